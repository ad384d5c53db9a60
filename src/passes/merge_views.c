/* merge_views.c - Squeeze, Unsqueeze, Flatten and Reshape, singly or in chains, become one Reshape
 * that says its sizes outright: the only view that later passes meet. */
#include "passes/clean.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_merge_views;

static bool is_view(const struct dyno_node *node)
{
    return (node->op == DYNO_OP_reshape || node->op == DYNO_OP_squeeze ||
            node->op == DYNO_OP_unsqueeze || node->op == DYNO_OP_flatten) &&
           node->tail.instr_count == 0 && node->outs[0] != NULL;
}

/* A Reshape whose second input is a constant or host value with exactly the sizes of the output. */
static bool says_sizes(const struct dyno_node *node)
{
    const struct dyno_type *type = &node->outs[0]->type;
    const struct dyno_value *sizes = node->ins[1];
    if (node->op != DYNO_OP_reshape || sizes->producer != NULL ||
        sizes->type.elem_count != (uint32_t)type->rank || sizes->type.elems == NULL)
        return false;
    for (int i = 0; i < type->rank; i++) {
        if (sizes->type.elems[i] != type->dims[i])
            return false;
    }
    return true;
}

static enum dyno_status merge_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                 struct dyno_err *err)
{
    const struct dyno_bindable *bindable = arg;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (!is_view(node) || node->outs[0]->type.rank < 0 ||
            !dyno_bindable_all(bindable, node->outs[0]->type.dims,
                               (uint32_t)node->outs[0]->type.rank))
            continue;
        struct dyno_value *data = node->ins[0];
        bool changed = !says_sizes(node);
        while (data->producer != NULL && data->producer->graph == graph &&
               is_view(data->producer) && data->producer->outs[0] == data) {
            if (!dyno_node_add_origins(node, data->producer))
                return DYNO_NOMEM(err);
            data = data->producer->ins[0];
            changed = true;
        }
        if (!changed)
            continue;
        if (!dyno_clean_reshape(node, data))
            return DYNO_NOMEM(err);
        *changed_out = true;
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_merge_views(struct dyno_graph *graph, bool *changed_out,
                                       struct dyno_err *err)
{
    return dyno_clean_each_bindable(graph, merge_in, changed_out, err);
}
