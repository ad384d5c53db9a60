/* global_pool.c - means over the whole map become GlobalAveragePool: ReduceMean over exactly the
 * spatial axes, and AveragePool whose window is the map. */
#include "ops/pool.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_global_pool;

/* Axes 2.. of an [N, C, spatial...] value, each once, and no other.  With one spatial axis it may
 * as well be a mean over the features of [batch, time, features]: that stays. */
static bool covers_spatial(const int64_t *axes, uint32_t count, int rank)
{
    bool seen[DYNO_RANK_MAX] = {false};
    if (rank < 4 || count != (uint32_t)rank - 2)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 2 || axis >= rank || seen[axis])
            return false;
        seen[axis] = true;
    }
    return true;
}

/* Without keepdims the pool is followed by a Squeeze. */
static enum dyno_status from_reduce(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    const struct dyno_graph *graph = node->graph;
    struct dyno_value *x = node->ins[0];
    int64_t axes[DYNO_RANK_MAX];
    uint32_t count = 0;
    if (node->in_count < 2 || x->type.dtype != DYNO_F32 ||
        !dyno_match_ints(graph, node->ins[1], axes, DYNO_RANK_MAX, &count) ||
        !covers_spatial(axes, count, x->type.rank))
        return DYNO_OK;
    *changed_out = true;
    struct dyno_node *squeeze = NULL;
    if (dyno_match_attr_i64(node, "keepdims", 1) == 0) {
        squeeze = dyno_fuse_append(node, DYNO_OP_squeeze, node->ins[1]);
        if (squeeze == NULL)
            return DYNO_NOMEM(err);
    }
    if (!dyno_fuse_become(node, DYNO_OP_global_average_pool, &x, 1))
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_node_infer(node, err));
    return squeeze != NULL ? dyno_node_infer(squeeze, err) : DYNO_OK;
}

static enum dyno_status from_pool(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    const struct dyno_pooling_attrs *attrs = node->attrs;
    struct dyno_value *x = node->ins[0];
    const int spatial = x->type.rank - 2;
    if (x->type.dtype != DYNO_F32 || spatial < 1 ||
        attrs->kernel_shape.count != (uint32_t)spatial ||
        (attrs->auto_pad != DYNO_AUTO_PAD_NOTSET && attrs->auto_pad != DYNO_AUTO_PAD_VALID))
        return DYNO_OK;
    for (int i = 0; i < spatial; i++) {
        int64_t size = 0;
        if (!dyno_value_dim(node->graph, x, i + 2, &size) || attrs->kernel_shape.at[i] != size)
            return DYNO_OK;
        if (attrs->dilations.count != 0 && attrs->dilations.at[i] != 1)
            return DYNO_OK;
    }
    for (uint32_t i = 0; i < attrs->pads.count; i++) {
        if (attrs->pads.at[i] != 0)
            return DYNO_OK;
    }
    *changed_out = true;
    if (!dyno_fuse_become(node, DYNO_OP_global_average_pool, &x, 1))
        return DYNO_NOMEM(err);
    return dyno_node_infer(node, err);
}

enum dyno_status dyno_pass_global_pool(struct dyno_graph *graph, bool *changed_out,
                                       struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op == DYNO_OP_reduce_mean && node->tail.instr_count == 0)
            DYNO_TRY(from_reduce(node, changed_out, err));
        else if (node->op == DYNO_OP_average_pool && node->tail.instr_count == 0)
            DYNO_TRY(from_pool(node, changed_out, err));
    }
    return DYNO_OK;
}
