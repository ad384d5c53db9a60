/* make_pointwise.c - every f32 elementwise op becomes a dyno.Pointwise node with a tail of its own,
 * so that fuse_tails has one kind of thing to move.
 *
 * The node's own input is an operand that has the whole shape of the result; the others broadcast
 * to it.  Where no operand has it (an outer sum), the op stays as it is. */
#include <math.h>

#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_make_pointwise;

#define OPERANDS_MAX 8

/* What a node is as a program. */
struct program {
    struct dyno_tail tail;
    struct dyno_value *whole; /* register 0 */
    struct dyno_value *others[OPERANDS_MAX];
    uint32_t other_count;
};

static struct dyno_operand reg(uint32_t idx)
{
    return (struct dyno_operand){.kind = DYNO_OPERAND_REG, .idx = (uint16_t)idx};
}

static struct dyno_operand number(double value)
{
    return (struct dyno_operand){.kind = DYNO_OPERAND_CONST, .value = (float)value};
}

/* A value as an operand; kind NONE when there are too many. */
static struct dyno_operand operand_of(struct program *program, struct dyno_value *value)
{
    double scalar = 0.0;
    if (value == program->whole)
        return reg(0);
    if (dyno_match_scalar(value, &scalar))
        return number(scalar);
    uint32_t i = 0;
    while (i < program->other_count && program->others[i] != value)
        i++;
    if (i == OPERANDS_MAX)
        return (struct dyno_operand){.kind = DYNO_OPERAND_NONE};
    if (i == program->other_count)
        program->others[program->other_count++] = value;
    return (struct dyno_operand){.kind = DYNO_OPERAND_INPUT, .idx = (uint16_t)(i + 1)};
}

/* Append an instruction; its operands are set by the caller. */
static struct dyno_tail_instr *add(struct program *program, enum dyno_pw_op op)
{
    struct dyno_tail_instr *instr = &program->tail.instrs[program->tail.instr_count++];
    instr->op = (uint8_t)op;
    return instr;
}

/* Clip's bound: an absent one is no bound; false when it is not a constant. */
static bool clip_bound(const struct dyno_node *node, uint32_t idx, float *bound)
{
    double scalar = 0.0;
    if (idx >= node->in_count || node->ins[idx] == NULL)
        return true;
    if (!dyno_match_scalar(node->ins[idx], &scalar))
        return false;
    *bound = (float)scalar;
    return true;
}

/* One operand; immediates come from the attributes, or from Clip's constant inputs. */
static bool unary(const struct dyno_node *node, struct program *program, struct dyno_pw_form form)
{
    if (node->op == DYNO_OP_clip) {
        form.p = -INFINITY;
        form.q = INFINITY;
        if (!clip_bound(node, 1, &form.p) || !clip_bound(node, 2, &form.q))
            return false;
    }
    struct dyno_tail_instr *instr = add(program, (enum dyno_pw_op)form.pw);
    instr->operands[0] = reg(0);
    instr->p = form.p;
    instr->q = form.q;
    return true;
}

/* x^n for the constant exponents that are products. */
static bool power(const struct dyno_node *node, struct program *program)
{
    double exponent = 0.0;
    const struct dyno_tensor *tensor = dyno_value_constant(node->ins[1]);
    const bool is_number = tensor != NULL && dyno_tensor_count(tensor) == 1 &&
                           (dyno_dtype_is_float(tensor->dtype) || dyno_dtype_is_int(tensor->dtype));
    if (!is_number || node->ins[0] != program->whole)
        return false;
    exponent = dyno_elem_load_f64(tensor->dtype, tensor->data, 0);
    const uint32_t products = exponent == 2.0 ? 1 : exponent == 3.0 ? 2 : 0;
    for (uint32_t i = 0; i < products; i++) {
        struct dyno_tail_instr *instr = add(program, DYNO_PW_mul);
        instr->operands[0] = reg(i);
        instr->operands[1] = reg(0);
    }
    if (products == 0) {
        struct dyno_tail_instr *instr = add(program, DYNO_PW_pow);
        instr->operands[0] = reg(0);
        instr->operands[1] = number(exponent);
    }
    return true;
}

/* Two operands, or a fold of any number from the left. */
static bool fold(const struct dyno_node *node, struct program *program, enum dyno_pw_op pw)
{
    if (node->in_count > OPERANDS_MAX)
        return false;
    if (node->in_count == 1) {
        add(program, DYNO_PW_copy)->operands[0] = reg(0);
        return true;
    }
    struct dyno_operand left = operand_of(program, node->ins[0]);
    for (uint32_t i = 1; i < node->in_count; i++) {
        const struct dyno_operand right = operand_of(program, node->ins[i]);
        struct dyno_tail_instr *instr = add(program, pw);
        instr->operands[0] = left;
        instr->operands[1] = right;
        if (left.kind == DYNO_OPERAND_NONE || right.kind == DYNO_OPERAND_NONE)
            return false;
        dyno_tail_instr_order(instr);
        left = reg(program->tail.instr_count);
    }
    return true;
}

/* The shape of `value` is that of `out` whenever the model runs at all: a dimension of two or more
 * cannot be broadcast, so the others are equal to it or 1. */
static bool has_whole_shape(const struct dyno_graph *graph, const struct dyno_value *value,
                            const struct dyno_value *out)
{
    if (value->type.rank != out->type.rank || out->type.rank < 0)
        return false;
    for (int i = 0; i < out->type.rank; i++) {
        int64_t min = 0;
        int64_t max = 0;
        if (value->type.dims[i] == out->type.dims[i])
            continue;
        dyno_expr_range(graph->exprs, value->type.dims[i], &min, &max);
        if (min < 2)
            return false;
    }
    return true;
}

static bool choose_whole(const struct dyno_node *node, struct program *program)
{
    for (uint32_t i = 0; i < node->in_count && program->whole == NULL; i++) {
        struct dyno_value *value = node->ins[i];
        if (value != NULL && value->type.dtype == DYNO_F32 && dyno_value_constant(value) == NULL &&
            has_whole_shape(node->graph, value, node->outs[0]))
            program->whole = value;
    }
    return program->whole != NULL;
}

/* Every operand is f32, but for Pow's exponent, which `power` looks at itself. */
static bool inputs_are_f32(const struct dyno_node *node)
{
    const uint32_t count = node->op == DYNO_OP_pow || node->op == DYNO_OP_clip ? 1 : node->in_count;
    for (uint32_t i = 0; i < count; i++) {
        if (node->ins[i] == NULL || node->ins[i]->type.dtype != DYNO_F32)
            return false;
    }
    return true;
}

static bool lower(const struct dyno_node *node, struct program *program)
{
    const struct dyno_pw_form form = dyno_op_pw_form(dyno_ops[node->op], node->attrs);
    if (form.pw < 0 || node->op == DYNO_OP_pointwise || node->tail.instr_count != 0 ||
        node->out_count != 1 || node->outs[0] == NULL || node->outs[0]->type.dtype != DYNO_F32 ||
        node->in_count == 0 || !inputs_are_f32(node) || !choose_whole(node, program))
        return false;
    const int operand_count = dyno_pw_infos[form.pw].operand_count;
    if (operand_count == 1)
        return unary(node, program, form);
    if (node->op == DYNO_OP_pow && power(node, program))
        return true;
    if (node->op == DYNO_OP_pow && node->ins[1]->type.dtype != DYNO_F32)
        return false;
    return operand_count == 2 && fold(node, program, (enum dyno_pw_op)form.pw);
}

enum dyno_status dyno_pass_make_pointwise(struct dyno_graph *graph, bool *changed_out,
                                          struct dyno_err *err)
{
    bool types_changed = false;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        struct program program = {.whole = NULL};
        if (types_changed)
            DYNO_TRY(dyno_node_infer(node, err));
        if (!lower(node, &program))
            continue;
        struct dyno_value *whole = program.whole;
        types_changed = types_changed || !dyno_match_same_type(whole, node->outs[0]);
        if (!dyno_fuse_become(node, DYNO_OP_pointwise, &whole, 1))
            return DYNO_NOMEM(err);
        for (uint32_t i = 0; i < program.other_count; i++) {
            if (dyno_node_add_in(node, program.others[i]) == UINT32_MAX)
                return DYNO_NOMEM(err);
        }
        node->tail = program.tail;
        DYNO_TRY(dyno_node_infer(node, err));
        *changed_out = true;
    }
    return DYNO_OK;
}
