/* infer.c - types of values, node by node. */
#include <string.h>

#include "base/mem.h"
#include "ir/internal.h"

bool dyno_op_is(const struct dyno_node *node, const char *onnx_name)
{
    const struct dyno_op *op = dyno_ops[node->op];
    return op->domain[0] == '\0' && strcmp(op->onnx_name, onnx_name) == 0;
}

enum dyno_status dyno_node_check_counts(const struct dyno_node *node, struct dyno_err *err)
{
    const struct dyno_op *op = dyno_ops[node->op];
    const uint32_t in_count = node->own_in_count;
    if (in_count < op->in_min)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "has %u inputs, wants at least %u", in_count,
                         op->in_min);
    if (in_count > op->in_max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "has %u inputs, wants at most %u", in_count,
                         op->in_max);
    if (node->out_count < op->out_min || node->out_count > op->out_max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "has %u outputs, wants %u to %u", node->out_count,
                         op->out_min, op->out_max);
    if ((op->flags & DYNO_OP_REGIONS) != 0)
        return DYNO_OK; /* Loop may lack its first inputs */
    const uint32_t needed = dyno_op_needed_ins(op, in_count);
    for (uint32_t i = 0; i < needed && i < in_count; i++) {
        if (node->ins[i] == NULL)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "input %u is absent, but not optional", i);
    }
    return DYNO_OK;
}

/* Does the value of `e` depend on a symbol made after the pool held `before` expressions?
 * Expressions are older than all that use them, so that only younger ones are looked into. */
static bool is_new(const struct dyno_exprs *exprs, dyno_expr e, size_t before)
{
    if (e == DYNO_EXPR_NONE || e < before)
        return false;
    const struct dyno_expr_node node = dyno_exprs_node(exprs, e);
    if (node.op == DYNO_EXPR_SYMBOL)
        return true;
    if (node.op == DYNO_EXPR_CONST)
        return false;
    if (is_new(exprs, node.a, before) || is_new(exprs, node.b, before))
        return true;
    return node.op == DYNO_EXPR_SELECT && is_new(exprs, node.c, before);
}

static bool all_known(const dyno_expr *elems, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (elems[i] == DYNO_EXPR_NONE)
            return false;
    }
    return true;
}

enum dyno_status dyno_value_set_type(struct dyno_graph *graph, struct dyno_value *value,
                                     struct dyno_type type, size_t before, struct dyno_err *err)
{
    const struct dyno_type *old = &value->type;
    const bool comparable = old->kind == type.kind && old->dtype == type.dtype;
    for (int i = 0; i < type.rank; i++) {
        if (type.dims[i] == DYNO_EXPR_NONE)
            return dyno_exprs_out_of_memory(graph->exprs)
                       ? DYNO_NOMEM(err)
                       : DYNO_FAIL(err, DYNO_E_LIMIT,
                                   "the size of axis %d of '%s' is beyond 64 bits", i, value->name);
        if (comparable && old->rank == type.rank && is_new(graph->exprs, type.dims[i], before))
            type.dims[i] = old->dims[i];
    }
    if (type.elems != NULL && !all_known(type.elems, type.elem_count)) {
        type.elems = NULL;
        type.elem_count = 0;
    }
    for (uint32_t i = 0; type.elems != NULL && i < type.elem_count; i++) {
        if (old->elems != NULL && old->elem_count == type.elem_count &&
            is_new(graph->exprs, type.elems[i], before)) {
            type.elems = old->elems;
            break;
        }
    }
    type.constant = NULL;
    value->type = type;
    return DYNO_OK;
}

/* Call the rule; types: room for in_count pointers and out_count types. */
static enum dyno_status run_rule(struct dyno_node *node, const struct dyno_type **ins,
                                 struct dyno_type *outs, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    for (uint32_t i = 0; i < node->own_in_count; i++)
        ins[i] = node->ins[i] != NULL ? &node->ins[i]->type : NULL;
    for (uint32_t i = 0; i < node->out_count; i++)
        outs[i].rank = -1;
    const size_t before = dyno_exprs_count(graph->exprs);
    struct dyno_infer ctx = {.attrs = node->attrs,
                             .in_count = node->own_in_count,
                             .out_count = node->out_count,
                             .in = ins,
                             .out = outs,
                             .exprs = graph->exprs,
                             .arena = graph->arena,
                             .err = err};
    DYNO_TRY(dyno_ops[node->op]->infer(&ctx));
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->outs[i] != NULL)
            DYNO_TRY(dyno_value_set_type(graph, node->outs[i], outs[i], before, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_node_infer(struct dyno_node *node, struct dyno_err *err)
{
    const struct dyno_op *op = dyno_ops[node->op];
    const struct dyno_type **ins = NULL;
    struct dyno_type *outs = NULL;
    enum dyno_status status = dyno_node_check_counts(node, err);
    if (status != DYNO_OK)
        goto out;
    if ((op->flags & DYNO_OP_REGIONS) != 0) {
        status = dyno_infer_regions(node, err);
        goto out;
    }
    ins = dyno_alloc((size_t)node->own_in_count + 1, sizeof(struct dyno_type *));
    outs = dyno_alloc((size_t)node->out_count + 1, sizeof(*outs));
    if (ins == NULL || outs == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    status = run_rule(node, ins, outs, err);
out:
    if (status != DYNO_OK)
        dyno_err_prefix(err, "node %s (%s)", node->name, op->onnx_name);
    dyno_free(ins);
    dyno_free(outs);
    return status;
}

enum dyno_status dyno_graph_infer(struct dyno_graph *graph, struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next)
        DYNO_TRY(dyno_node_infer(node, err));
    return DYNO_OK;
}
