/* fold_shapes.c - small integer tensors that follow from the sizes of the inputs become host
 * values: the nodes that computed them are dead. */
#include "passes/clean.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fold_shapes;

static bool may_be_host(const struct dyno_graph *graph, const struct dyno_bindable *bindable,
                        const struct dyno_value *value)
{
    if (value == NULL || value->uses == NULL || value->type.elems == NULL || value->type.rank < 0 ||
        dyno_value_is_output(value))
        return false;
    for (int i = 0; i < value->type.rank; i++) {
        int64_t size = 0;
        if (!dyno_value_dim(graph, value, i, &size))
            return false;
    }
    return dyno_bindable_all(bindable, value->type.elems, value->type.elem_count);
}

static enum dyno_status fold_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                struct dyno_err *err)
{
    const struct dyno_bindable *bindable = arg;
    struct dyno_node *next = NULL;
    (void)err;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        bool is_done = true;
        next = node->next;
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (may_be_host(graph, bindable, node->outs[i])) {
                dyno_value_make_host(node->outs[i]);
                *changed_out = true;
            }
            is_done = is_done && node->outs[i] == NULL;
        }
        if (is_done)
            dyno_node_remove(node);
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_fold_shapes(struct dyno_graph *graph, bool *changed_out,
                                       struct dyno_err *err)
{
    return dyno_clean_each_bindable(graph, fold_in, changed_out, err);
}
