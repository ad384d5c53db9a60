/* fold_slice.c - a Slice that drops the last outputs of a convolution becomes less padding: what is
 * dropped is not computed.  (The convolution with an even kernel and "same" size of Wav2Vec2.) */
#include "ops/conv.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fold_slice;

/* How many outputs at the end of which spatial axis the Slice drops; false: it does something else.
 */
static bool read_slice(const struct dyno_node *slice, int *axis_out, int64_t *dropped_out)
{
    const struct dyno_graph *graph = slice->graph;
    const int rank = slice->ins[0]->type.rank;
    int64_t numbers[4] = {0, 0, 0, 1}; /* start, end, axis, step */
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t count = 0;
        const bool given = i + 1 < slice->in_count && slice->ins[i + 1] != NULL;
        if (!given && i < 3)
            return false;
        if (given &&
            (!dyno_match_ints(graph, slice->ins[i + 1], &numbers[i], 1, &count) || count != 1))
            return false;
    }
    const int64_t axis = numbers[2] < 0 ? numbers[2] + rank : numbers[2];
    if (numbers[0] != 0 || numbers[3] != 1 || axis < 2 || axis >= rank)
        return false;
    int64_t size = 0;
    *axis_out = (int)axis;
    *dropped_out = -numbers[1];
    if (numbers[1] >= 0) {
        if (!dyno_value_dim(graph, slice->ins[0], (int)axis, &size))
            return false;
        *dropped_out = size - numbers[1];
    }
    return *dropped_out > 0;
}

static enum dyno_status fold(struct dyno_node *conv, struct dyno_node *slice, bool *changed_out,
                             struct dyno_err *err)
{
    struct dyno_conv_attrs *attrs = conv->attrs;
    const uint32_t axes = (uint32_t)conv->outs[0]->type.rank - 2;
    int axis = 0;
    int64_t dropped = 0;
    if (!read_slice(slice, &axis, &dropped) || attrs->auto_pad != DYNO_AUTO_PAD_NOTSET ||
        attrs->pads.count != 2 * axes)
        return DYNO_OK;
    const uint32_t end = axes + (uint32_t)axis - 2;
    const int64_t stride = attrs->strides.count != 0 ? attrs->strides.at[axis - 2] : 1;
    if (stride != 1 || attrs->pads.at[end] < dropped)
        return DYNO_OK;
    int64_t *pads =
        dyno_arena_memdup(conv->graph->arena, attrs->pads.at, attrs->pads.count * sizeof(*pads));
    if (pads == NULL)
        return DYNO_NOMEM(err);
    pads[end] -= dropped;
    attrs->pads.at = pads;
    *changed_out = true;
    return dyno_fuse_take_over(conv, slice) ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_pass_fold_slice(struct dyno_graph *graph, bool *changed_out,
                                      struct dyno_err *err)
{
    bool changed = false;
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        struct dyno_node *conv =
            node->op == DYNO_OP_slice ? dyno_match_in(node, 0, DYNO_OP_conv) : NULL;
        if (conv != NULL && conv->outs[0]->type.rank > 2 &&
            dyno_value_sole_user(conv->outs[0]) == node)
            DYNO_TRY(fold(conv, node, &changed, err));
    }
    if (!changed)
        return DYNO_OK;
    *changed_out = true;
    /* The sizes behind may be simpler expressions now. */
    return dyno_graph_infer(graph, err);
}
