/* lower.c - a plan with one step a node. */
#include "build/lower.h"

#include <string.h>

#include "base/mem.h"

struct lower {
    const struct dyno_graph *graph;
    struct dyno_plan *plan;
    uint32_t *tensor_of; /* value id -> tensor */
    dyno_expr *expr_of;  /* graph expression -> plan expression */
    size_t expr_count;
    struct dyno_err *err;
};

/* The same expression in the plan's pool: only what the plan needs goes there. */
static dyno_expr move_expr(struct lower *lower, dyno_expr e)
{
    struct dyno_exprs *to = lower->plan->exprs;
    if (e == DYNO_EXPR_NONE || lower->expr_of[e] != DYNO_EXPR_NONE)
        return e == DYNO_EXPR_NONE ? DYNO_EXPR_NONE : lower->expr_of[e];
    const struct dyno_expr_node node = dyno_exprs_node(lower->graph->exprs, e);
    dyno_expr out = DYNO_EXPR_NONE;
    if (node.op == DYNO_EXPR_CONST) {
        out = dyno_expr_const(to, node.value);
    } else if (node.op == DYNO_EXPR_SYMBOL) {
        int64_t min = 0;
        int64_t max = 0;
        const char *name = dyno_exprs_symbol(lower->graph->exprs, (size_t)node.value, &min, &max);
        out = dyno_expr_symbol(to, name, min, max);
    } else {
        const dyno_expr a = move_expr(lower, node.a);
        const dyno_expr b = move_expr(lower, node.b);
        const dyno_expr c = node.op == DYNO_EXPR_SELECT ? move_expr(lower, node.c) : 0;
        switch (node.op) {
        case DYNO_EXPR_ADD:
            out = dyno_expr_add(to, a, b);
            break;
        case DYNO_EXPR_MUL:
            out = dyno_expr_mul(to, a, b);
            break;
        case DYNO_EXPR_FLOORDIV:
            out = dyno_expr_floordiv(to, a, b);
            break;
        case DYNO_EXPR_MOD:
            out = dyno_expr_mod(to, a, b);
            break;
        case DYNO_EXPR_MIN:
            out = dyno_expr_min(to, a, b);
            break;
        case DYNO_EXPR_MAX:
            out = dyno_expr_max(to, a, b);
            break;
        case DYNO_EXPR_EQ:
            out = dyno_expr_eq(to, a, b);
            break;
        case DYNO_EXPR_LT:
            out = dyno_expr_lt(to, a, b);
            break;
        case DYNO_EXPR_SELECT:
            out = dyno_expr_select(to, a, b, c);
            break;
        case DYNO_EXPR_CONST:
        case DYNO_EXPR_SYMBOL:
        case DYNO_EXPR_OP_COUNT:
            break;
        }
    }
    lower->expr_of[e] = out;
    return out;
}

static enum dyno_status fill_tensor(struct lower *lower, const struct dyno_value *value,
                                    struct dyno_plan_tensor *tensor)
{
    const struct dyno_type *type = &value->type;
    if (type->kind != DYNO_TYPE_TENSOR)
        return DYNO_FAIL(lower->err, DYNO_E_UNSUPPORTED,
                         "value '%s': sequences and optionals have no place in an engine",
                         value->name);
    if (type->dtype == DYNO_DTYPE_NONE)
        return DYNO_FAIL(lower->err, DYNO_E_UNSUPPORTED, "value '%s': its type is not known",
                         value->name);
    tensor->name = value->name;
    tensor->dtype = type->dtype;
    tensor->layout = DYNO_ROW;
    tensor->rank = type->rank;
    tensor->base = DYNO_NO_TENSOR;
    tensor->view_offset = DYNO_EXPR_NONE;
    for (int i = 0; i < type->rank; i++) {
        tensor->dims[i] = move_expr(lower, type->dims[i]);
        if (tensor->dims[i] == DYNO_EXPR_NONE)
            return DYNO_NOMEM(lower->err);
    }
    if (type->constant != NULL) {
        size_t bytes = 0;
        if (!dyno_dtype_bytes(type->dtype, (uint64_t)dyno_tensor_count(type->constant), &bytes))
            return DYNO_FAIL(lower->err, DYNO_E_LIMIT, "constant '%s' is too large", value->name);
        tensor->role = DYNO_ROLE_WEIGHT;
        tensor->data = type->constant->data;
        tensor->data_bytes = bytes;
    } else if (value->producer == NULL && type->elems != NULL) {
        dyno_expr *elems =
            dyno_arena_alloc(lower->plan->arena, type->elem_count + 1U, sizeof(*elems));
        if (elems == NULL)
            return DYNO_NOMEM(lower->err);
        for (uint32_t i = 0; i < type->elem_count; i++) {
            elems[i] = move_expr(lower, type->elems[i]);
            if (elems[i] == DYNO_EXPR_NONE)
                return DYNO_NOMEM(lower->err);
        }
        tensor->role = DYNO_ROLE_HOST;
        tensor->elems = elems;
        tensor->elem_count = type->elem_count;
    }
    return DYNO_OK;
}

/* The tensor of a value, made at its first use. */
static enum dyno_status tensor_of(struct lower *lower, const struct dyno_value *value,
                                  uint32_t *id_out)
{
    if (value == NULL) {
        *id_out = DYNO_NO_TENSOR;
        return DYNO_OK;
    }
    if (lower->tensor_of[value->id] == DYNO_NO_TENSOR) {
        const uint32_t id = lower->plan->tensor_count;
        DYNO_TRY(fill_tensor(lower, value, &lower->plan->tensors[id]));
        lower->plan->tensor_count++;
        lower->tensor_of[value->id] = id;
    }
    *id_out = lower->tensor_of[value->id];
    return DYNO_OK;
}

static enum dyno_status lower_node(struct lower *lower, const struct dyno_node *node,
                                   struct dyno_step *step)
{
    struct dyno_plan *plan = lower->plan;
    if (node->region_count != 0 || dyno_ops[node->op]->reference == NULL)
        return DYNO_FAIL(lower->err, DYNO_E_UNSUPPORTED,
                         "node '%s': %s cannot be put into an engine by this build", node->name,
                         dyno_ops[node->op]->onnx_name);
    step->name = node->name;
    step->origins = node->origins;
    step->origin_count = node->origin_count;
    step->op = node->op;
    step->attrs = node->attrs;
    step->in_count = node->in_count;
    step->own_in_count = node->own_in_count;
    step->out_count = node->out_count;
    step->tail = node->tail;
    step->ins = dyno_arena_alloc(plan->arena, node->in_count + 1U, sizeof(*step->ins));
    step->outs = dyno_arena_alloc(plan->arena, node->out_count + 1U, sizeof(*step->outs));
    if (step->ins == NULL || step->outs == NULL)
        return DYNO_NOMEM(lower->err);
    for (uint32_t i = 0; i < node->in_count; i++)
        DYNO_TRY(tensor_of(lower, node->ins[i], &step->ins[i]));
    for (uint32_t i = 0; i < node->out_count; i++)
        DYNO_TRY(tensor_of(lower, node->outs[i], &step->outs[i]));
    return DYNO_OK;
}

/* --- inputs and outputs --- */

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : (value > max ? max : value);
}

static enum dyno_status lower_input(struct lower *lower, const struct dyno_value *value,
                                    const struct dyno_profile_input *profile, struct dyno_io *io)
{
    DYNO_TRY(tensor_of(lower, value, &io->tensor));
    struct dyno_plan_tensor *tensor = &lower->plan->tensors[io->tensor];
    tensor->role = DYNO_ROLE_INPUT;
    io->name = value->name;
    if (tensor->rank < 0)
        return DYNO_FAIL(
            lower->err, DYNO_E_UNSUPPORTED,
            "input '%s': its number of dimensions is not known; give --shapes=", value->name);
    for (int i = 0; i < tensor->rank; i++) {
        int64_t min = 0;
        int64_t max = 0;
        dyno_expr_range(lower->plan->exprs, tensor->dims[i], &min, &max);
        io->min[i] = profile != NULL ? profile->min[i] : min;
        io->max[i] = profile != NULL ? profile->max[i] : max;
        io->opt[i] = profile != NULL ? profile->opt[i] : clamp(1, min, max);
    }
    return DYNO_OK;
}

/* Set symbols from one corner of the profile. */
static void set_symbols(const struct dyno_plan *plan, int corner, int64_t *symbols)
{
    for (size_t i = 0; i < dyno_exprs_symbol_count(plan->exprs); i++)
        symbols[i] = INT64_MIN;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct dyno_io *io = &plan->inputs[i];
        const int64_t *dims = corner == 0 ? io->min : (corner == 1 ? io->opt : io->max);
        for (int d = 0; d < plan->tensors[io->tensor].rank; d++) {
            const struct dyno_expr_node node =
                dyno_exprs_node(plan->exprs, plan->tensors[io->tensor].dims[d]);
            if (node.op == DYNO_EXPR_SYMBOL)
                symbols[node.value] = dims[d];
        }
    }
}

/* Shapes of the outputs at the three corners of the profile; 0 where the run alone tells. */
static enum dyno_status size_outputs(struct lower *lower)
{
    struct dyno_plan *plan = lower->plan;
    int64_t *symbols =
        dyno_arena_alloc(plan->arena, dyno_exprs_symbol_count(plan->exprs) + 1, sizeof(*symbols));
    int64_t *values =
        dyno_arena_alloc(plan->arena, dyno_exprs_count(plan->exprs) + 1, sizeof(*values));
    if (symbols == NULL || values == NULL)
        return DYNO_NOMEM(lower->err);
    for (int corner = 0; corner < 3; corner++) {
        set_symbols(plan, corner, symbols);
        dyno_exprs_eval(plan->exprs, symbols, values);
        for (uint32_t i = 0; i < plan->output_count; i++) {
            struct dyno_io *io = &plan->outputs[i];
            int64_t *dims = corner == 0 ? io->min : (corner == 1 ? io->opt : io->max);
            for (int d = 0; d < plan->tensors[io->tensor].rank; d++) {
                const int64_t value = values[plan->tensors[io->tensor].dims[d]];
                dims[d] = dyno_expr_value_ok(value) && value > 0 ? value : 0;
            }
        }
    }
    return DYNO_OK;
}

static const struct dyno_profile_input *find_profile(const struct dyno_profile_input *profile,
                                                     uint32_t profile_count, const char *name)
{
    for (uint32_t i = 0; i < profile_count; i++) {
        if (strcmp(profile[i].name, name) == 0)
            return &profile[i];
    }
    return NULL;
}

/* An output that is a constant, an input or listed twice still needs memory of its own: a copy. */
static enum dyno_status copy_to_output(struct lower *lower, uint32_t from, uint32_t *to_out)
{
    struct dyno_plan *plan = lower->plan;
    const uint32_t id = plan->tensor_count++;
    plan->tensors[id] = plan->tensors[from];
    plan->tensors[id].role = DYNO_ROLE_OUTPUT;
    plan->tensors[id].data = NULL;
    plan->tensors[id].data_bytes = 0;
    plan->tensors[id].elems = NULL;
    plan->tensors[id].elem_count = 0;
    struct dyno_step *step = &plan->steps[plan->step_count++];
    step->name = plan->tensors[from].name;
    step->origins = &step->name;
    step->origin_count = 1;
    step->op = DYNO_OP_identity;
    step->ins = dyno_arena_alloc(plan->arena, 1, sizeof(*step->ins));
    step->outs = dyno_arena_alloc(plan->arena, 1, sizeof(*step->outs));
    step->attrs = dyno_op_attrs_create(dyno_ops[DYNO_OP_identity], plan->arena);
    if (step->ins == NULL || step->outs == NULL || step->attrs == NULL)
        return DYNO_NOMEM(lower->err);
    step->ins[0] = from;
    step->outs[0] = id;
    step->in_count = step->own_in_count = step->out_count = 1;
    *to_out = id;
    return DYNO_OK;
}

static enum dyno_status lower_outputs(struct lower *lower)
{
    const struct dyno_graph *graph = lower->graph;
    struct dyno_plan *plan = lower->plan;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        struct dyno_io *io = &plan->outputs[i];
        uint32_t id = 0;
        DYNO_TRY(tensor_of(lower, graph->outputs[i], &id));
        if (plan->tensors[id].role == DYNO_ROLE_TEMP && graph->outputs[i]->producer != NULL)
            plan->tensors[id].role = DYNO_ROLE_OUTPUT;
        else
            DYNO_TRY(copy_to_output(lower, id, &id));
        io->name = graph->outputs[i]->name;
        io->tensor = id;
        plan->output_count++;
    }
    return size_outputs(lower);
}

static enum dyno_status lower_graph(struct lower *lower, const struct dyno_profile_input *profile,
                                    uint32_t profile_count)
{
    const struct dyno_graph *graph = lower->graph;
    struct dyno_plan *plan = lower->plan;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        DYNO_TRY(lower_input(lower, graph->inputs[i],
                             find_profile(profile, profile_count, graph->inputs[i]->name),
                             &plan->inputs[i]));
        plan->input_count++;
    }
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        DYNO_TRY(lower_node(lower, node, &plan->steps[plan->step_count]));
        plan->step_count++;
    }
    return lower_outputs(lower);
}

enum dyno_status dyno_lower(const struct dyno_graph *graph,
                            const struct dyno_profile_input *profile, uint32_t profile_count,
                            struct dyno_plan **plan_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_plan *plan = dyno_plan_create();
    struct lower lower = {.graph = graph, .plan = plan, .err = err};
    *plan_out = NULL;
    lower.expr_count = dyno_exprs_count(graph->exprs);
    lower.tensor_of = dyno_alloc(graph->value_id_count + 1U, sizeof(uint32_t));
    lower.expr_of = dyno_alloc(lower.expr_count + 1, sizeof(dyno_expr));
    if (plan == NULL || lower.tensor_of == NULL || lower.expr_of == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    memset(lower.tensor_of, 0xFF, graph->value_id_count * sizeof(uint32_t));
    memset(lower.expr_of, 0xFF, lower.expr_count * sizeof(dyno_expr));
    plan->name = graph->name;
    plan->tensors = dyno_arena_alloc(plan->arena, graph->value_id_count + graph->output_count + 1U,
                                     sizeof(*plan->tensors));
    plan->steps = dyno_arena_alloc(plan->arena, graph->node_count + graph->output_count + 1U,
                                   sizeof(*plan->steps));
    plan->inputs = dyno_arena_alloc(plan->arena, graph->input_count + 1U, sizeof(*plan->inputs));
    plan->outputs = dyno_arena_alloc(plan->arena, graph->output_count + 1U, sizeof(*plan->outputs));
    if (plan->tensors == NULL || plan->steps == NULL || plan->inputs == NULL ||
        plan->outputs == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    status = lower_graph(&lower, profile, profile_count);
    if (status != DYNO_OK)
        goto out;
    *plan_out = plan;
    plan = NULL;
out:
    dyno_free(lower.expr_of);
    dyno_free(lower.tensor_of);
    dyno_plan_destroy(plan);
    return status;
}
