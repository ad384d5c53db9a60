/* split_to_slices.c - a Split of channels becomes one Slice a part: only output 0 of a step can be
 * in blocked layout, and a slice of whole blocks needs no copy. */
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_split_to_slices;

/* Sizes of all parts are known numbers. */
static bool takes(const struct dyno_node *split)
{
    const struct dyno_type *type = &split->ins[0]->type;
    const int64_t axis = dyno_match_attr_i64(split, "axis", 0);
    if (split->tail.instr_count != 0 || split->out_count < 2 || type->dtype != DYNO_F32 ||
        type->rank < 3 || (axis < 0 ? axis + type->rank : axis) != 1)
        return false;
    for (uint32_t i = 0; i < split->out_count; i++) {
        int64_t size = 0;
        if (split->outs[i] == NULL || !dyno_value_dim(split->graph, split->outs[i], 1, &size))
            return false;
    }
    return true;
}

static enum dyno_status cut(struct dyno_node *split, struct dyno_err *err)
{
    struct dyno_graph *graph = split->graph;
    int64_t start = 0;
    for (uint32_t i = 0; i < split->out_count; i++) {
        struct dyno_value *part = split->outs[i];
        int64_t size = 0;
        (void)dyno_value_dim(graph, part, 1, &size);
        if ((part->uses != NULL || dyno_value_is_output(part)) &&
            !dyno_fuse_channels(split->ins[0], start, size, part, split, split))
            return DYNO_NOMEM(err);
        start += size;
    }
    dyno_node_remove(split);
    return DYNO_OK;
}

enum dyno_status dyno_pass_split_to_slices(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        if (node->op != DYNO_OP_split || !takes(node))
            continue;
        DYNO_TRY(cut(node, err));
        *changed_out = true;
    }
    return DYNO_OK;
}
