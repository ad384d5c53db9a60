/* drop_dead.c - remove nodes whose results nobody uses. */
#include "passes/pass.h"

dyno_pass_fn dyno_pass_drop_dead;

enum dyno_status dyno_pass_drop_dead(struct dyno_graph *graph, bool *changed_out,
                                     struct dyno_err *err)
{
    (void)err;
    if (dyno_graph_drop_dead(graph) != 0)
        *changed_out = true;
    return DYNO_OK;
}
