/* fold_pad.c - Pad goes into the padding of the Conv, AveragePool or MaxPool behind it, when the
 * padded value is what that op itself pads with. */
#include <math.h>

#include "ops/conv.h"
#include "ops/pool.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fold_pad;

/* A Pad of an [N, C, spatial...] value along spatial axes only. */
struct padding {
    struct dyno_value *x;
    int axes; /* spatial */
    int64_t begin[DYNO_RANK_MAX], end[DYNO_RANK_MAX];
    double value;
};

static bool read_axes(const struct dyno_node *pad, int rank, int64_t *axes, uint32_t *count)
{
    *count = (uint32_t)rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    if (pad->in_count < 4 || pad->ins[3] == NULL)
        return true;
    return dyno_match_ints(pad->graph, pad->ins[3], axes, DYNO_RANK_MAX, count);
}

static bool read_pad(const struct dyno_node *pad, struct padding *padding)
{
    const int rank = pad->ins[0]->type.rank;
    int64_t axes[DYNO_RANK_MAX];
    int64_t pads[2 * DYNO_RANK_MAX];
    uint32_t axis_count = 0;
    uint32_t pad_count = 0;
    *padding = (struct padding){.x = pad->ins[0], .axes = rank - 2};
    if (rank < 3 || !dyno_match_attr_is(pad, "mode", "constant") ||
        !read_axes(pad, rank, axes, &axis_count) ||
        !dyno_match_ints(pad->graph, pad->ins[1], pads, 2 * DYNO_RANK_MAX, &pad_count) ||
        pad_count != 2 * axis_count)
        return false;
    for (uint32_t i = 0; i < axis_count; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        const int64_t begin = pads[i];
        const int64_t end = pads[i + axis_count];
        if (begin < 0 || end < 0 || axis < 0 || axis >= rank ||
            (axis < 2 && (begin != 0 || end != 0)))
            return false;
        if (axis >= 2) {
            padding->begin[axis - 2] = begin;
            padding->end[axis - 2] = end;
        }
    }
    return pad->in_count < 3 || pad->ins[2] == NULL ||
           dyno_match_scalar(pad->ins[2], &padding->value);
}

/* The sum of own and new pads, in the arena; empty when out of memory. */
static struct dyno_i64s add_pads(struct dyno_graph *graph, const struct dyno_i64s *own,
                                 const struct padding *padding)
{
    const size_t axes = (size_t)padding->axes;
    int64_t *sum = dyno_arena_alloc(graph->arena, 2 * axes, sizeof(*sum));
    if (sum == NULL)
        return (struct dyno_i64s){.at = NULL};
    for (size_t i = 0; i < axes; i++) {
        const bool has_own = own->count == 2 * axes;
        sum[i] = padding->begin[i] + (has_own ? own->at[i] : 0);
        sum[axes + i] = padding->end[i] + (has_own ? own->at[axes + i] : 0);
    }
    return (struct dyno_i64s){.at = sum, .count = (uint32_t)(2 * axes)};
}

static bool has_pads(const struct dyno_i64s *pads)
{
    for (uint32_t i = 0; i < pads->count; i++) {
        if (pads->at[i] != 0)
            return true;
    }
    return false;
}

/* Whether every element is known to be at least 0. */
static bool is_not_negative(const struct dyno_value *value)
{
    const struct dyno_node *node = value->producer;
    double min = 0.0;
    if (node == NULL || node->tail.instr_count != 0)
        return false;
    if (node->op == DYNO_OP_clip)
        return node->in_count > 1 && dyno_match_scalar(node->ins[1], &min) && min >= 0.0;
    return node->op == DYNO_OP_relu || node->op == DYNO_OP_sigmoid ||
           node->op == DYNO_OP_hard_sigmoid || node->op == DYNO_OP_softplus;
}

/* Zeros in the padding do no harm where nothing is below 0 and every window holds an element. */
static bool max_pool_takes(const struct dyno_pooling_attrs *attrs, const struct padding *padding)
{
    const bool is_own_value = isinf(padding->value) && padding->value < 0.0;
    if (!is_own_value && (padding->value > 0.0 || !is_not_negative(padding->x)))
        return false;
    if (attrs->ceil_mode != 0 || attrs->kernel_shape.count != (uint32_t)padding->axes)
        return false;
    for (int i = 0; i < padding->axes; i++) {
        const bool dilated = attrs->dilations.count != 0 && attrs->dilations.at[i] != 1;
        const int64_t own_begin = attrs->pads.count != 0 ? attrs->pads.at[i] : 0;
        const int64_t own_end = attrs->pads.count != 0 ? attrs->pads.at[i + padding->axes] : 0;
        if (dilated || padding->begin[i] + own_begin >= attrs->kernel_shape.at[i] ||
            padding->end[i] + own_end >= attrs->kernel_shape.at[i])
            return false;
    }
    return true;
}

static bool pool_takes(const struct dyno_node *node, const struct padding *padding)
{
    const struct dyno_pooling_attrs *attrs = node->attrs;
    if (attrs->auto_pad != DYNO_AUTO_PAD_NOTSET && attrs->auto_pad != DYNO_AUTO_PAD_VALID)
        return false;
    if (node->op == DYNO_OP_max_pool)
        return node->out_count == 1 && max_pool_takes(attrs, padding);
    /* The zeros of the Pad counted in the mean; own padding must count too, or not be there. */
    return padding->value == 0.0 && attrs->ceil_mode == 0 &&
           (attrs->count_include_pad != 0 || !has_pads(&attrs->pads));
}

static enum dyno_status fold(struct dyno_node *pad, struct dyno_node *node, bool *changed_out,
                             struct dyno_err *err)
{
    struct padding padding;
    struct dyno_graph *graph = node->graph;
    if (!read_pad(pad, &padding))
        return DYNO_OK;
    struct dyno_i64s *pads = NULL;
    int32_t *auto_pad = NULL;
    if (node->op == DYNO_OP_conv) {
        struct dyno_conv_attrs *attrs = node->attrs;
        if (padding.value != 0.0 ||
            (attrs->auto_pad != DYNO_AUTO_PAD_NOTSET && attrs->auto_pad != DYNO_AUTO_PAD_VALID))
            return DYNO_OK;
        pads = &attrs->pads;
        auto_pad = &attrs->auto_pad;
    } else {
        struct dyno_pooling_attrs *attrs = node->attrs;
        if (!pool_takes(node, &padding))
            return DYNO_OK;
        attrs->count_include_pad = node->op == DYNO_OP_average_pool;
        pads = &attrs->pads;
        auto_pad = &attrs->auto_pad;
    }
    const struct dyno_i64s sum = add_pads(graph, pads, &padding);
    if (sum.at == NULL || !dyno_node_add_origins(node, pad))
        return DYNO_NOMEM(err);
    *pads = sum;
    *auto_pad = DYNO_AUTO_PAD_NOTSET;
    dyno_node_set_in(node, 0, padding.x);
    *changed_out = true;
    return DYNO_OK;
}

enum dyno_status dyno_pass_fold_pad(struct dyno_graph *graph, bool *changed_out,
                                    struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op != DYNO_OP_conv && node->op != DYNO_OP_max_pool &&
            node->op != DYNO_OP_average_pool)
            continue;
        struct dyno_node *pad = dyno_match_in(node, 0, DYNO_OP_pad);
        if (pad != NULL && pad->ins[0]->type.dtype == DYNO_F32)
            DYNO_TRY(fold(pad, node, changed_out, err));
    }
    if (*changed_out)
        (void)dyno_graph_drop_dead(graph);
    return DYNO_OK;
}
