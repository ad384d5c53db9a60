/* clean.c - what the clean passes share. */
#include "passes/clean.h"

#include "base/mem.h"
#include "passes/match.h"

enum dyno_status dyno_clean_each(struct dyno_graph *graph, dyno_clean_fn *each, void *arg,
                                 bool *changed_out, struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->region_count; i++)
            DYNO_TRY(dyno_clean_each(node->regions[i], each, arg, changed_out, err));
    }
    return each(graph, arg, changed_out, err);
}

/* --- what is known when the inputs are --- */

static enum dyno_status find_bindable(const struct dyno_graph *graph,
                                      struct dyno_bindable *bindable, struct dyno_err *err)
{
    const struct dyno_graph *top = dyno_graph_top(graph);
    bindable->exprs = top->exprs;
    bindable->symbols = dyno_alloc(dyno_exprs_symbol_count(top->exprs) + 1, 1);
    if (bindable->symbols == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < top->input_count; i++) {
        const struct dyno_type *type = &top->inputs[i]->type;
        for (int axis = 0; axis < type->rank; axis++) {
            const struct dyno_expr_node node = dyno_exprs_node(top->exprs, type->dims[axis]);
            if (node.op == DYNO_EXPR_SYMBOL)
                bindable->symbols[node.value] = 1;
        }
    }
    return DYNO_OK;
}

enum dyno_status dyno_clean_each_bindable(struct dyno_graph *graph, dyno_clean_fn *each,
                                          bool *changed_out, struct dyno_err *err)
{
    struct dyno_bindable bindable;
    DYNO_TRY(find_bindable(graph, &bindable, err));
    const enum dyno_status status = dyno_clean_each(graph, each, &bindable, changed_out, err);
    dyno_free(bindable.symbols);
    return status;
}

bool dyno_bindable_ask(const struct dyno_bindable *bindable, dyno_expr e)
{
    if (e == DYNO_EXPR_NONE)
        return false;
    const struct dyno_expr_node node = dyno_exprs_node(bindable->exprs, e);
    if (node.op == DYNO_EXPR_CONST)
        return true;
    if (node.op == DYNO_EXPR_SYMBOL)
        return bindable->symbols[node.value] != 0;
    return dyno_bindable_ask(bindable, node.a) && dyno_bindable_ask(bindable, node.b) &&
           (node.op != DYNO_EXPR_SELECT || dyno_bindable_ask(bindable, node.c));
}

bool dyno_bindable_all(const struct dyno_bindable *bindable, const dyno_expr *at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!dyno_bindable_ask(bindable, at[i]))
            return false;
    }
    return true;
}

/* --- rewriting --- */

enum dyno_status dyno_clean_bypass(struct dyno_node *node, struct dyno_value *with,
                                   bool *changed_out, struct dyno_err *err)
{
    struct dyno_value *out = node->outs[0];
    if (out->uses == NULL)
        return DYNO_OK;
    struct dyno_node *maker = with->producer;
    if (dyno_value_forward(out, with)) {
        *changed_out = true;
        /* Somebody must stand for the node that goes. */
        const bool ok = maker == NULL || dyno_node_add_origins(maker, node);
        return ok ? DYNO_OK : DYNO_NOMEM(err);
    }
    if (node->op == DYNO_OP_identity)
        return DYNO_OK;
    for (; node->out_count > 1; node->out_count--)
        dyno_node_set_out(node, node->out_count - 1, NULL);
    if (!dyno_fuse_become(node, DYNO_OP_identity, &with, 1))
        return DYNO_NOMEM(err);
    *changed_out = true;
    return DYNO_OK;
}

struct dyno_value *dyno_clean_sizes(struct dyno_graph *graph, const dyno_expr *dims, uint32_t count)
{
    int64_t sizes[DYNO_RANK_MAX];
    DYNO_ASSERT(count <= DYNO_RANK_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (!dyno_expr_is_const(graph->exprs, dims[i], &sizes[i]))
            return dyno_graph_host(graph, "sizes", dims, count, false);
    }
    const int64_t shape[1] = {count};
    void *data = NULL;
    struct dyno_value *value = dyno_graph_constant_new(graph, "sizes", DYNO_I64, 1, shape, &data);
    if (value == NULL)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        dyno_elem_store_i64(DYNO_I64, data, i, sizes[i]);
    return dyno_graph_constant_done(graph, value) ? value : NULL;
}

bool dyno_clean_reshape(struct dyno_node *node, struct dyno_value *data)
{
    const struct dyno_type *type = &node->outs[0]->type;
    bool may_be_empty = false;
    for (int i = 0; i < type->rank; i++) {
        int64_t min = 0;
        int64_t max = 0;
        dyno_expr_range(node->graph->exprs, type->dims[i], &min, &max);
        may_be_empty = may_be_empty || min < 1;
    }
    struct dyno_value *sizes = dyno_clean_sizes(node->graph, type->dims, (uint32_t)type->rank);
    struct dyno_value *const ins[2] = {data, sizes};
    if (sizes == NULL || !dyno_fuse_become(node, DYNO_OP_reshape, ins, 2))
        return false;
    /* A 0 means 0 here, not "as in the input". */
    int64_t *allow_zero = dyno_node_attr(node, "allowzero", DYNO_ATTR_I64);
    DYNO_ASSERT(allow_zero != NULL);
    *allow_zero = may_be_empty;
    return true;
}

bool dyno_clean_perm(const struct dyno_node *node, int64_t *perm_out)
{
    const struct dyno_i64s *perm = dyno_node_attr(node, "perm", DYNO_ATTR_I64S);
    const int rank = node->outs[0] != NULL ? node->outs[0]->type.rank : -1;
    if (rank < 0 || (perm != NULL && perm->at != NULL && perm->count != (uint32_t)rank))
        return false;
    for (int i = 0; i < rank; i++) {
        perm_out[i] = perm != NULL && perm->at != NULL ? perm->at[i] : rank - 1 - i;
        perm_out[i] += perm_out[i] < 0 ? rank : 0;
    }
    return true;
}
