/* plan.c - lifetime and verification of a plan. */
#include "plan/plan.h"

#include <string.h>

#include "base/mem.h"

struct dyno_plan *dyno_plan_create(void)
{
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_exprs *exprs = dyno_exprs_create();
    struct dyno_plan *plan =
        arena != NULL && exprs != NULL ? dyno_arena_alloc(arena, 1, sizeof(*plan)) : NULL;
    if (plan == NULL) {
        dyno_exprs_destroy(exprs);
        dyno_arena_destroy(arena);
        return NULL;
    }
    plan->arena = arena;
    plan->exprs = exprs;
    plan->name = "";
    return plan;
}

void dyno_plan_destroy(struct dyno_plan *plan)
{
    if (plan == NULL)
        return;
    dyno_exprs_destroy(plan->exprs);
    dyno_arena_destroy(plan->arena); /* the plan itself lives there */
}

uint32_t dyno_plan_precisions(const struct dyno_plan *plan,
                              const char *names_out[DYNO_PLAN_PRECISIONS_MAX])
{
    static const struct {
        uint32_t flag;
        const char *name;
    } rows[] = {{DYNO_PLAN_F16, "f16"}, {DYNO_PLAN_BF16, "bf16"}, {DYNO_PLAN_TF32, "tf32"}};
    uint32_t count = 0;
    names_out[count++] = "f32";
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if ((plan->flags & rows[i].flag) != 0)
            names_out[count++] = rows[i].name;
    }
    return count;
}

/* One size at which the profile holds a symbol is enough: inputs that share it must agree. */
static bool symbol_is_open(const struct dyno_plan *plan, int64_t symbol)
{
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct dyno_io *io = &plan->inputs[i];
        const struct dyno_plan_tensor *tensor = &plan->tensors[io->tensor];
        for (int d = 0; d < tensor->rank; d++) {
            const struct dyno_expr_node node = dyno_exprs_node(plan->exprs, tensor->dims[d]);
            if (node.op == DYNO_EXPR_SYMBOL && node.value == symbol && io->min[d] == io->max[d])
                return false;
        }
    }
    return true;
}

void dyno_plan_open_exprs(const struct dyno_plan *plan, bool *open_out)
{
    const size_t count = dyno_exprs_count(plan->exprs);
    for (size_t e = 0; e < count; e++) {
        const struct dyno_expr_node node = dyno_exprs_node(plan->exprs, (dyno_expr)e);
        const dyno_expr operands[] = {node.a, node.b, node.c};
        open_out[e] = node.op == DYNO_EXPR_SYMBOL && symbol_is_open(plan, node.value);
        if (node.op == DYNO_EXPR_CONST || node.op == DYNO_EXPR_SYMBOL)
            continue;
        for (int k = 0; k < (node.op == DYNO_EXPR_SELECT ? 3 : 2); k++)
            open_out[e] = open_out[e] || open_out[operands[k]];
    }
}

bool dyno_layout_bytes(struct dyno_layout layout, enum dyno_dtype dtype, int rank,
                       const int64_t *dims, uint64_t *bytes_out)
{
    int64_t padded[DYNO_RANK_MAX];
    int64_t count = 0;
    size_t bytes = 0;
    if (rank < 0 || rank > DYNO_RANK_MAX)
        return false;
    memcpy(padded, dims, (size_t)rank * sizeof(*dims));
    if (layout.kind != DYNO_LAYOUT_ROW) {
        if (rank < 2 || layout.block == 0 || dims[1] < 0 || dims[1] > INT64_MAX - layout.block)
            return false;
        padded[1] = (dims[1] + layout.block - 1) / layout.block * layout.block;
    }
    if (!dyno_dims_count(padded, rank, &count) ||
        !dyno_dtype_bytes(dyno_layout_elem(layout, dtype), (uint64_t)count, &bytes))
        return false;
    *bytes_out = bytes;
    return true;
}

/* --- verification --- */

static enum dyno_status check_expr(const struct dyno_plan *plan, dyno_expr e, const char *what,
                                   const char *name, struct dyno_err *err)
{
    if (e >= dyno_exprs_count(plan->exprs))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': %s is expression %u of %zu", name, what,
                         e, dyno_exprs_count(plan->exprs));
    return DYNO_OK;
}

static enum dyno_status check_layout(const struct dyno_plan *plan,
                                     const struct dyno_plan_tensor *tensor, struct dyno_err *err)
{
    const struct dyno_layout layout = tensor->layout;
    if (layout.kind == DYNO_LAYOUT_ROW && layout.block == 0 && layout.elem == 0)
        return DYNO_OK;
    const bool is_inner = tensor->dtype == DYNO_F32 && tensor->role == DYNO_ROLE_TEMP;
    const bool is_half = layout.elem == DYNO_F16 || layout.elem == DYNO_BF16;
    if (layout.kind == DYNO_LAYOUT_BLOCK && layout.block == 16 && tensor->rank >= 2 && is_inner &&
        layout.elem == 0)
        return DYNO_OK;
    if (plan->gpu.compute != 0 && is_inner && layout.kind == DYNO_LAYOUT_ROW && layout.block == 0 &&
        is_half)
        return DYNO_OK;
    if (plan->gpu.compute != 0 && is_inner && layout.kind == DYNO_LAYOUT_LAST &&
        tensor->rank >= 2 &&
        ((layout.elem == 0 && layout.block == 4) || (is_half && layout.block == 8)))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_FORMAT,
                     "tensor '%s': layout %u/%u/%u of rank %d %s is not one that exists",
                     tensor->name, layout.kind, layout.block, layout.elem, tensor->rank,
                     dyno_dtype_text(tensor->dtype));
}

static enum dyno_status check_view(const struct dyno_plan *plan,
                                   const struct dyno_plan_tensor *tensor, struct dyno_err *err)
{
    if (tensor->base == DYNO_NO_TENSOR)
        return DYNO_OK;
    if (tensor->base >= plan->tensor_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': is a view of tensor %u of %u",
                         tensor->name, tensor->base, plan->tensor_count);
    const struct dyno_plan_tensor *base = &plan->tensors[tensor->base];
    if (base->base != DYNO_NO_TENSOR)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': is a view of the view '%s'",
                         tensor->name, base->name);
    if (tensor->role != DYNO_ROLE_TEMP || base->role == DYNO_ROLE_WEIGHT ||
        base->role == DYNO_ROLE_HOST || base->rank < 0 || tensor->rank < 0 ||
        base->layout.elem != tensor->layout.elem || base->dtype != tensor->dtype)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s': cannot be a view of '%s' (role, layout or type differ)",
                         tensor->name, base->name);
    return check_expr(plan, tensor->view_offset, "the view's offset", tensor->name, err);
}

static enum dyno_status check_contents(const struct dyno_plan *plan,
                                       const struct dyno_plan_tensor *tensor, struct dyno_err *err)
{
    int64_t dims[DYNO_RANK_MAX];
    int64_t count = 0;
    size_t bytes = 0;
    if (tensor->role != DYNO_ROLE_WEIGHT && tensor->role != DYNO_ROLE_HOST)
        return DYNO_OK;
    for (int i = 0; i < tensor->rank; i++) {
        if (!dyno_expr_is_const(plan->exprs, tensor->dims[i], &dims[i]))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': a constant has an open dimension %d",
                             tensor->name, i);
    }
    if (tensor->rank < 0 || !dyno_dims_count(dims, tensor->rank, &count) ||
        !dyno_dtype_bytes(tensor->dtype, (uint64_t)count, &bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': the size of a constant overflows",
                         tensor->name);
    if (tensor->role == DYNO_ROLE_WEIGHT) {
        if (tensor->data == NULL && tensor->data_bytes == 0)
            return DYNO_OK;
        if (tensor->data_bytes != bytes)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "tensor '%s': holds %llu bytes, its shape wants %zu", tensor->name,
                             (unsigned long long)tensor->data_bytes, bytes);
        return DYNO_OK;
    }
    if (tensor->elem_count != count ||
        (!dyno_dtype_is_int(tensor->dtype) && tensor->dtype != DYNO_BOOL))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': %u host elements of type %s for %lld",
                         tensor->name, tensor->elem_count, dyno_dtype_text(tensor->dtype),
                         (long long)count);
    for (uint32_t i = 0; i < tensor->elem_count; i++)
        DYNO_TRY(check_expr(plan, tensor->elems[i], "a host element", tensor->name, err));
    return DYNO_OK;
}

static enum dyno_status check_tensor(const struct dyno_plan *plan, uint32_t idx,
                                     struct dyno_err *err)
{
    const struct dyno_plan_tensor *tensor = &plan->tensors[idx];
    if (tensor->name == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor %u has no name", idx);
    if ((unsigned)tensor->role > DYNO_ROLE_HOST || dyno_dtype_bits(tensor->dtype) == 0 ||
        tensor->rank < -1 || tensor->rank > DYNO_RANK_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': role %u, type %u or rank %d is unknown",
                         tensor->name, tensor->role, tensor->dtype, tensor->rank);
    for (int i = 0; i < tensor->rank; i++)
        DYNO_TRY(check_expr(plan, tensor->dims[i], "a dimension", tensor->name, err));
    DYNO_TRY(check_layout(plan, tensor, err));
    DYNO_TRY(check_view(plan, tensor, err));
    return check_contents(plan, tensor, err);
}

static enum dyno_status check_operand(const struct dyno_step *step, uint32_t instr_idx,
                                      const struct dyno_operand *operand, struct dyno_err *err)
{
    const bool ok = (operand->kind == DYNO_OPERAND_REG && operand->idx <= instr_idx) ||
                    (operand->kind == DYNO_OPERAND_INPUT && operand->idx >= step->own_in_count &&
                     operand->idx < step->in_count && step->ins[operand->idx] != DYNO_NO_TENSOR) ||
                    operand->kind == DYNO_OPERAND_CONST;
    if (!ok)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "step '%s': tail instruction %u has operand %u of kind %u", step->name,
                         instr_idx, operand->idx, operand->kind);
    return DYNO_OK;
}

static enum dyno_status check_tail(const struct dyno_step *step, struct dyno_err *err)
{
    if (step->tail.instr_count > DYNO_TAIL_INSTRS_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': a tail of %u instructions, at most %d",
                         step->name, step->tail.instr_count, DYNO_TAIL_INSTRS_MAX);
    for (uint32_t i = 0; i < step->tail.instr_count; i++) {
        const struct dyno_tail_instr *instr = &step->tail.instrs[i];
        if (instr->op >= DYNO_PW_COUNT)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': tail instruction %u is unknown",
                             step->name, instr->op);
        const int operand_count = dyno_pw_infos[instr->op].operand_count;
        for (int k = 0; k < operand_count; k++)
            DYNO_TRY(check_operand(step, i, &instr->operands[k], err));
        for (int k = operand_count; k < 3; k++) {
            if (instr->operands[k].kind != DYNO_OPERAND_NONE)
                return DYNO_FAIL(err, DYNO_E_FORMAT,
                                 "step '%s': tail instruction %u has more than %d operands",
                                 step->name, i, operand_count);
        }
    }
    return DYNO_OK;
}

/* Memory of the context or of an output; an input's belongs to the caller. */
static bool may_be_written(const struct dyno_plan *plan, uint32_t id)
{
    const struct dyno_plan_tensor *tensor = &plan->tensors[id];
    if (tensor->base != DYNO_NO_TENSOR && plan->tensors[tensor->base].role == DYNO_ROLE_INPUT)
        return false;
    return tensor->role == DYNO_ROLE_TEMP || tensor->role == DYNO_ROLE_OUTPUT;
}

/* made: by tensor, it holds data before the step runs; written: a step before has it as output. */
static enum dyno_status check_step(const struct dyno_plan *plan, uint32_t idx, bool *made,
                                   bool *written, struct dyno_err *err)
{
    const struct dyno_step *step = &plan->steps[idx];
    if (step->name == NULL || step->op >= DYNO_OP_COUNT || step->own_in_count > step->in_count ||
        step->out_count == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "step %u: name, op or counts are out of range", idx);
    const struct dyno_op *op = dyno_ops[step->op];
    if (step->program > plan->program_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': program %u of %u", step->name,
                         step->program, plan->program_count);
    if (step->own_in_count < op->in_min || step->own_in_count > op->in_max ||
        step->out_count < op->out_min || step->out_count > op->out_max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': %u inputs and %u outputs do not fit %s",
                         step->name, step->own_in_count, step->out_count, op->onnx_name);
    for (uint32_t i = 0; i < step->in_count; i++) {
        const uint32_t id = step->ins[i];
        if (id == DYNO_NO_TENSOR && i >= dyno_op_needed_ins(op, step->own_in_count))
            continue;
        if (id >= plan->tensor_count)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': input %u is tensor %u of %u",
                             step->name, i, id, plan->tensor_count);
        if (!made[id])
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "step '%s': input %u ('%s') is read before it is made", step->name, i,
                             plan->tensors[id].name);
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        const uint32_t id = step->outs[i];
        if (id == DYNO_NO_TENSOR)
            continue;
        if (id >= plan->tensor_count || !may_be_written(plan, id))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': output %u cannot be tensor %u",
                             step->name, i, id);
        if (written[id])
            return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': output %u ('%s') is written twice",
                             step->name, i, plan->tensors[id].name);
        made[id] = written[id] = true;
    }
    return check_tail(step, err);
}

/* A view is made when its base is, and a base once any view of it is written. */
static void spread_made(const struct dyno_plan *plan, bool *made)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        const uint32_t base = plan->tensors[i].base;
        if (base != DYNO_NO_TENSOR && made[i])
            made[base] = true;
    }
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        const uint32_t base = plan->tensors[i].base;
        if (base != DYNO_NO_TENSOR && made[base])
            made[i] = true;
    }
}

static enum dyno_status check_profile(const struct dyno_plan *plan, const struct dyno_io *io,
                                      struct dyno_err *err)
{
    const struct dyno_plan_tensor *tensor = &plan->tensors[io->tensor];
    if (tensor->rank < 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "input '%s': its number of dimensions is open",
                         io->name);
    for (int d = 0; d < tensor->rank; d++) {
        const enum dyno_expr_op op = dyno_exprs_node(plan->exprs, tensor->dims[d]).op;
        if (op != DYNO_EXPR_CONST && op != DYNO_EXPR_SYMBOL)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "input '%s': dimension %d is neither a size nor a symbol", io->name,
                             d);
        if (io->min[d] < 0 || io->min[d] > io->opt[d] || io->opt[d] > io->max[d])
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "input '%s': the profile of dimension %d is not min <= opt <= max",
                             io->name, d);
    }
    return DYNO_OK;
}

/* Every tensor of the role is one of `ios`, and the other way round; only so has it an address.
 * made: by tensor, cleared for those that are listed. */
static enum dyno_status check_ios(const struct dyno_plan *plan, const struct dyno_io *ios,
                                  uint32_t count, enum dyno_role role, bool *made,
                                  struct dyno_err *err)
{
    uint32_t tensor_count = 0;
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        tensor_count += plan->tensors[i].role == role;
    for (uint32_t i = 0; i < count; i++) {
        if (ios[i].name == NULL || ios[i].tensor >= plan->tensor_count)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "binding %u has no name or no tensor", i);
        if (plan->tensors[ios[i].tensor].role != role)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "binding '%s': its tensor has another role",
                             ios[i].name);
        if (!made[ios[i].tensor])
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "binding '%s': no step makes its tensor, or it is listed twice",
                             ios[i].name);
        made[ios[i].tensor] = false;
        if (role == DYNO_ROLE_INPUT)
            DYNO_TRY(check_profile(plan, &ios[i], err));
    }
    if (tensor_count != count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%u tensors are %s, %u are listed", tensor_count,
                         role == DYNO_ROLE_INPUT ? "inputs" : "outputs", count);
    return DYNO_OK;
}

enum dyno_status dyno_plan_verify(const struct dyno_plan *plan, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    bool *made = dyno_alloc(2 * (plan->tensor_count + (size_t)1), sizeof(*made));
    if (made == NULL)
        return DYNO_NOMEM(err);
    bool *written = made + plan->tensor_count + 1;
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        status = check_tensor(plan, i, err);
        if (status != DYNO_OK)
            goto out;
        const enum dyno_role role = plan->tensors[i].role;
        made[i] = role == DYNO_ROLE_INPUT || role == DYNO_ROLE_WEIGHT || role == DYNO_ROLE_HOST;
    }
    spread_made(plan, made);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        status = check_step(plan, i, made, written, err);
        if (status != DYNO_OK)
            goto out;
        spread_made(plan, made);
    }
    status = check_ios(plan, plan->inputs, plan->input_count, DYNO_ROLE_INPUT, made, err);
    if (status == DYNO_OK)
        status = check_ios(plan, plan->outputs, plan->output_count, DYNO_ROLE_OUTPUT, made, err);
out:
    dyno_free(made);
    return status;
}
