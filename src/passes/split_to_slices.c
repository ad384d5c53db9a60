/* split_to_slices.c - a Split of channels becomes one Slice a part: only output 0 of a step can be
 * in blocked layout, and a slice of whole blocks needs no copy. */
#include <stdio.h>

#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_split_to_slices;

static struct dyno_value *number(struct dyno_graph *graph, const struct dyno_value *part,
                                 const char *what, int64_t value)
{
    char name[256];
    void *data = NULL;
    const int64_t one = 1;
    (void)snprintf(name, sizeof(name), "%s.%s", part->name == NULL ? "" : part->name, what);
    struct dyno_value *constant =
        dyno_graph_constant_new(graph, part->name == NULL ? NULL : name, DYNO_I64, 1, &one, &data);
    if (constant == NULL)
        return NULL;
    *(int64_t *)data = value;
    return dyno_graph_constant_done(graph, constant) ? constant : NULL;
}

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
        if (part->uses != NULL || dyno_value_is_output(part)) {
            struct dyno_value *const ins[] = {split->ins[0], number(graph, part, "start", start),
                                              number(graph, part, "end", start + size),
                                              number(graph, part, "axis", 1)};
            struct dyno_node *slice = NULL;
            if (ins[1] != NULL && ins[2] != NULL && ins[3] != NULL)
                slice = dyno_graph_node(graph, DYNO_OP_slice, split->name, ins, 4, 1, split, split);
            if (slice == NULL)
                return DYNO_NOMEM(err);
            dyno_node_set_out(slice, 0, part);
        }
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
