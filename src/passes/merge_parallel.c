/* merge_parallel.c - convolutions 1x1 of one value become one, whose channels are read in parts.
 *
 * On a GPU where every kernel that reads a part can read it where it lies, as channels of a wider
 * tensor: one launch for several, and the value is read once.  The parts are alike: strides, pads,
 * bias or none, and the same activation; so this runs when tails are fused, and a convolution with
 * an addition behind it keeps that.  Their weights are theirs alone, or they would be stored twice.
 *
 * Not merged is what would have to be copied out of the whole again, for a copy takes the launch
 * that was saved:
 * - channels that are no whole blocks of any type: kernels read whole vectors;
 * - an output of the graph, whose memory is the caller's;
 * - what a Concat reads, into which it is now written in place;
 * - what is read in rows or by a kernel that takes no views: anything but convolutions without
 *   groups or with one for each channel, poolings and Resize.  Of few outputs, a convolution is
 *   done in rows.  A pass cannot know whether cuDNN will do a convolution, so this one is not for
 *   builds that have it (the group VIEWS).
 *
 * There is no bound on sizes: how many rows fill a card, neither the graph nor the profile says. */
#include <string.h>

#include "ops/conv.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_merge_parallel;

#define PARTS_MAX  16
#define BLOCK      8 /* channels: the most of any type */
#define IN_WEIGHTS 1
#define IN_BIAS    2

/* One of the convolutions. */
struct part {
    struct dyno_node *conv;
    const struct dyno_tensor *weights; /* [channels, depth, 1, 1] */
    const struct dyno_tensor *bias;    /* [channels]; NULL: none */
    int64_t channels;
};

/* --- who reads a part --- */

/* Can each kernel of this convolution read channels of a wider tensor? */
static bool conv_takes_views(const struct dyno_node *conv)
{
    const struct dyno_type *weights = &conv->ins[IN_WEIGHTS]->type;
    const int64_t group = ((const struct dyno_conv_attrs *)conv->attrs)->group;
    int64_t outputs = 0, depth = 0;
    return weights->rank == 4 &&
           dyno_expr_is_const(conv->graph->exprs, weights->dims[0], &outputs) &&
           dyno_expr_is_const(conv->graph->exprs, weights->dims[1], &depth) && outputs >= BLOCK &&
           (group == 1 || (group == outputs && depth == 1));
}

static bool takes_view(const struct dyno_use *use, const struct dyno_graph *graph)
{
    const struct dyno_node *user = use->user;
    if (user == NULL || user->graph != graph || (use->idx > 0 && use->idx < user->own_in_count))
        return false;
    switch ((int)user->op) {
    case DYNO_OP_conv:
        return conv_takes_views(user);
    case DYNO_OP_average_pool:
    case DYNO_OP_max_pool:
    case DYNO_OP_resize:
        return true;
    default:
        return false;
    }
}

static bool can_be_view(const struct dyno_node *conv)
{
    const struct dyno_use *use = conv->outs[0]->uses;
    for (; use != NULL; use = use->next) {
        if (!takes_view(use, conv->graph))
            return false;
    }
    return conv->outs[0]->uses != NULL && !dyno_value_is_output(conv->outs[0]);
}

/* --- which are alike --- */

static const struct dyno_tensor *f32_constant(const struct dyno_node *node, uint32_t idx)
{
    const struct dyno_tensor *tensor = idx < node->own_in_count && node->ins[idx] != NULL
                                           ? dyno_value_constant(node->ins[idx])
                                           : NULL;
    return tensor != NULL && tensor->dtype == DYNO_F32 ? tensor : NULL;
}

/* A convolution 1x1 that may be a part. */
static bool read_part(struct dyno_node *node, struct part *part_out)
{
    if (node->op != DYNO_OP_conv || node->outs[0]->type.dtype != DYNO_F32 ||
        node->in_count != node->own_in_count) /* operands of a tail have channels of their own */
        return false;
    const struct dyno_conv_attrs *attrs = node->attrs;
    const bool has_bias = node->own_in_count > IN_BIAS && node->ins[IN_BIAS] != NULL;
    const struct dyno_tensor *weights = f32_constant(node, IN_WEIGHTS);
    *part_out = (struct part){
        .conv = node, .weights = weights, .bias = has_bias ? f32_constant(node, IN_BIAS) : NULL};
    if (weights == NULL || weights->rank != 4 || weights->dims[2] != 1 || weights->dims[3] != 1 ||
        weights->dims[0] < 1 || weights->dims[0] % BLOCK != 0 ||
        (has_bias && part_out->bias == NULL))
        return false;
    part_out->channels = weights->dims[0];
    return attrs->group == 1 && attrs->auto_pad == DYNO_AUTO_PAD_NOTSET &&
           dyno_value_use_count(node->ins[IN_WEIGHTS]) == 1 && can_be_view(node);
}

static bool same_numbers(const struct dyno_i64s *a, const struct dyno_i64s *b, uint32_t count,
                         int64_t otherwise)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((i < a->count ? a->at[i] : otherwise) != (i < b->count ? b->at[i] : otherwise))
            return false;
    }
    return true;
}

static bool same_instr(const struct dyno_tail_instr *a, const struct dyno_tail_instr *b)
{
    for (size_t i = 0; i < DYNO_COUNT(a->operands); i++) {
        const struct dyno_operand *x = &a->operands[i];
        const struct dyno_operand *y = &b->operands[i];
        if (x->kind != y->kind || (x->kind == DYNO_OPERAND_REG && x->idx != y->idx) ||
            (x->kind == DYNO_OPERAND_CONST && x->value != y->value))
            return false;
    }
    return a->op == b->op && a->p == b->p && a->q == b->q;
}

static bool same_tail(const struct dyno_tail *a, const struct dyno_tail *b)
{
    for (uint32_t i = 0; i < a->instr_count && a->instr_count == b->instr_count; i++) {
        if (!same_instr(&a->instrs[i], &b->instrs[i]))
            return false;
    }
    return a->instr_count == b->instr_count;
}

/* Dilations say nothing of a window of 1. */
static bool alike(const struct part *a, const struct part *b)
{
    const struct dyno_conv_attrs *x = a->conv->attrs;
    const struct dyno_conv_attrs *y = b->conv->attrs;
    return a->conv->ins[0] == b->conv->ins[0] && (a->bias != NULL) == (b->bias != NULL) &&
           same_numbers(&x->strides, &y->strides, 2, 1) && same_numbers(&x->pads, &y->pads, 4, 0) &&
           same_tail(&a->conv->tail, &b->conv->tail);
}

/* The parts that are like `first`, in order: it, and those behind it. */
static uint32_t find_parts(struct dyno_node *first, struct part *parts)
{
    uint32_t count = 0;
    if (dyno_value_use_count(first->ins[0]) < 2 || !read_part(first, &parts[0]))
        return 0;
    count = 1;
    for (struct dyno_node *node = first->next; node != NULL && count < PARTS_MAX; node = node->next)
        count += read_part(node, &parts[count]) && alike(&parts[0], &parts[count]);
    return count;
}

/* --- the whole --- */

/* What the parts have as this input, one after the other; NULL when out of memory. */
static struct dyno_value *join(const struct part *parts, uint32_t count, uint32_t idx)
{
    struct dyno_graph *graph = parts[0].conv->graph;
    const struct dyno_value *like = parts[0].conv->ins[idx];
    const struct dyno_tensor *first = like->type.constant;
    int64_t dims[4];
    void *data = NULL;
    memcpy(dims, first->dims, (size_t)first->rank * sizeof(*dims));
    dims[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        dims[0] += parts[i].channels;
    struct dyno_value *joined =
        dyno_graph_constant_new(graph, like->name, DYNO_F32, first->rank, dims, &data);
    float *to = data;
    for (uint32_t i = 0; i < count && joined != NULL; i++) {
        const struct dyno_tensor *from = idx == IN_BIAS ? parts[i].bias : parts[i].weights;
        const size_t numbers = (size_t)dyno_tensor_count(from);
        memcpy(to, from->data, numbers * sizeof(*to));
        to += numbers;
    }
    return joined != NULL && dyno_graph_constant_done(graph, joined) ? joined : NULL;
}

/* The first of the parts becomes the whole; what was made by each is cut out of that. */
static enum dyno_status merge(const struct part *parts, uint32_t count, struct dyno_err *err)
{
    struct dyno_node *conv = parts[0].conv;
    struct dyno_node *next = conv->next;
    const bool has_bias = parts[0].bias != NULL;
    struct dyno_value *weights = join(parts, count, IN_WEIGHTS);
    struct dyno_value *bias = has_bias ? join(parts, count, IN_BIAS) : NULL;
    struct dyno_value *whole = dyno_graph_value(conv->graph, NULL);
    int64_t start = 0;
    if (weights == NULL || (has_bias && bias == NULL) || whole == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < count; i++) {
        if (!dyno_fuse_channels(whole, start, parts[i].channels, parts[i].conv->outs[0], next,
                                parts[i].conv) ||
            (i > 0 && !dyno_node_add_origins(conv, parts[i].conv)))
            return DYNO_NOMEM(err);
        start += parts[i].channels;
    }
    dyno_node_set_in(conv, IN_WEIGHTS, weights);
    if (has_bias)
        dyno_node_set_in(conv, IN_BIAS, bias);
    dyno_node_set_out(conv, 0, whole);
    for (uint32_t i = 1; i < count; i++)
        dyno_node_remove(parts[i].conv);
    return dyno_node_infer(conv, err);
}

enum dyno_status dyno_pass_merge_parallel(struct dyno_graph *graph, bool *changed_out,
                                          struct dyno_err *err)
{
    struct part parts[PARTS_MAX + 1];
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        const uint32_t count = node->op == DYNO_OP_conv ? find_parts(node, parts) : 0;
        if (count < 2)
            continue;
        DYNO_TRY(merge(parts, count, err));
        *changed_out = true;
    }
    return DYNO_OK;
}
