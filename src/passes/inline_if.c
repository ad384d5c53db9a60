/* inline_if.c - an If whose condition is known becomes the nodes of the branch it takes. */

#include "passes/clean.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_inline_if;

/* Whether the way is known, and which branch it is. */
static bool known_branch(const struct dyno_node *node, uint32_t *branch_out)
{
    const struct dyno_value *cond = node->ins[0];
    int64_t value = 0;
    if (cond == NULL || cond->type.elems == NULL || cond->type.elem_count != 1 ||
        !dyno_expr_is_const(node->graph->exprs, cond->type.elems[0], &value))
        return false;
    *branch_out = value != 0 ? 0 : 1;
    return true;
}

static enum dyno_status inline_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                  struct dyno_err *err)
{
    (void)arg;
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        uint32_t branch = 0;
        next = node->next;
        if (node->op != DYNO_OP_if || !known_branch(node, &branch))
            continue;
        if (!dyno_node_inline_region(node, branch))
            return DYNO_NOMEM(err);
        *changed_out = true;
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_inline_if(struct dyno_graph *graph, bool *changed_out,
                                     struct dyno_err *err)
{
    return dyno_clean_each(graph, inline_in, NULL, changed_out, err);
}
