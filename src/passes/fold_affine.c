/* fold_affine.c - BatchNormalization, and Mul, Div, Add, Sub by constants of one number a channel,
 * go into the weights and bias of the Conv, ConvTranspose, Gemm or MatMul before them.
 *
 * Scales are computed in f64 and stored as f32 once.  New constants are made: weights that others
 * use stay as they are.  A BatchNormalization that finds no such producer becomes Mul and Add. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/gemm.h"
#include "ops/norm.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fold_affine;

/* y = scale[c] * x + shift[c], c along `axis` of x. */
struct affine {
    struct dyno_value *x;
    double *scale;
    double *shift;
    double *bias; /* room for the producer's bias; NULL where none is folded */
    int64_t count;
};

/* --- what a node does --- */

static bool read_batch_norm(const struct dyno_node *node, struct affine *affine)
{
    const struct dyno_batch_norm_attrs *attrs = node->attrs;
    const float *params[4];
    for (uint32_t i = 0; i < 4; i++) {
        const struct dyno_tensor *tensor = dyno_value_constant(node->ins[i + 1]);
        if (tensor == NULL || tensor->dtype != DYNO_F32 || tensor->rank != 1 ||
            tensor->dims[0] != affine->count)
            return false;
        params[i] = tensor->data;
    }
    for (int64_t c = 0; c < affine->count; c++) {
        const double scale =
            (double)params[0][c] / sqrt((double)params[3][c] + (double)attrs->epsilon);
        affine->scale[c] = scale;
        affine->shift[c] = (double)params[1][c] - (double)params[2][c] * scale;
    }
    affine->x = node->ins[0];
    return true;
}

/* One arithmetic node with a constant beside x. */
static bool read_arithmetic(const struct dyno_node *node, uint32_t constant_idx, int axis,
                            struct affine *affine)
{
    double *given = affine->shift;
    if (!dyno_match_channel(node->graph, node->ins[constant_idx], node->ins[1 - constant_idx], axis,
                            given, affine->count))
        return false;
    const bool constant_first = constant_idx == 0;
    for (int64_t c = 0; c < affine->count; c++) {
        const double number = given[c];
        affine->scale[c] = 1.0;
        affine->shift[c] = 0.0;
        if (node->op == DYNO_OP_mul)
            affine->scale[c] = number;
        else if (node->op == DYNO_OP_div)
            affine->scale[c] = 1.0 / number;
        else if (node->op == DYNO_OP_sub && constant_first)
            affine->scale[c] = -1.0;
        if (node->op == DYNO_OP_add || node->op == DYNO_OP_sub)
            affine->shift[c] = node->op == DYNO_OP_sub && !constant_first ? -number : number;
    }
    affine->x = node->ins[1 - constant_idx];
    return true;
}

static bool is_arithmetic(const struct dyno_node *node)
{
    return dyno_match_f32(node, DYNO_OP_add) || dyno_match_f32(node, DYNO_OP_sub) ||
           dyno_match_f32(node, DYNO_OP_mul) || dyno_match_f32(node, DYNO_OP_div);
}

/* Fills scale, shift and x; false when the node is no such thing or a number is not finite. */
static bool read_affine(const struct dyno_node *node, int axis, struct affine *affine)
{
    bool known = false;
    if (node->op == DYNO_OP_batch_normalization)
        known = axis == 1 && read_batch_norm(node, affine);
    else
        known = read_arithmetic(node, 1, axis, affine) ||
                (node->op != DYNO_OP_div && read_arithmetic(node, 0, axis, affine));
    for (int64_t c = 0; c < affine->count && known; c++)
        known = isfinite(affine->scale[c]) && isfinite(affine->shift[c]);
    return known;
}

/* --- where it goes --- */

/* The channel that each element of a weight belongs to. */
struct channels {
    int64_t outer; /* repetitions of the whole pattern */
    int64_t count; /* channels in one repetition */
    int64_t inner; /* neighbouring elements of one channel */
    int64_t
        group; /* ConvTranspose: repetitions of one group; the next ones are the next channels */
};

static bool weight_channels(const struct dyno_node *node, const struct dyno_tensor *weight,
                            struct channels *channels)
{
    if (weight == NULL || weight->dtype != DYNO_F32 || weight->rank < 2)
        return false;
    *channels = (struct channels){.outer = 1, .count = weight->dims[0], .inner = 1, .group = 1};
    for (int i = 2; i < weight->rank; i++)
        channels->inner *= weight->dims[i];
    if (node->op == DYNO_OP_conv) {
        channels->inner *= weight->dims[1];
        return true;
    }
    if (node->op == DYNO_OP_conv_transpose) {
        const struct dyno_conv_transpose_attrs *attrs = node->attrs;
        channels->outer = weight->dims[0];
        channels->count = weight->dims[1];
        channels->group = attrs->group > 0 ? weight->dims[0] / attrs->group : 0;
        return channels->group > 0;
    }
    if (weight->rank != 2)
        return false;
    if (node->op == DYNO_OP_gemm && ((const struct dyno_gemm_attrs *)node->attrs)->trans_b != 0) {
        channels->inner = weight->dims[1];
        return true;
    }
    channels->outer = weight->dims[0];
    channels->count = weight->dims[1];
    channels->group = weight->dims[0];
    return true;
}

static int64_t channel_count(const struct channels *channels)
{
    return channels->count * (channels->outer / channels->group);
}

/* The weight with every channel scaled; `value` itself when all scales are 1; NULL: no memory. */
static struct dyno_value *scaled_weight(struct dyno_graph *graph, struct dyno_value *value,
                                        const struct channels *channels,
                                        const struct affine *affine)
{
    const struct dyno_tensor *from = dyno_value_constant(value);
    bool is_identity = true;
    for (int64_t c = 0; c < affine->count; c++)
        is_identity = is_identity && affine->scale[c] == 1.0;
    if (is_identity)
        return value;
    void *data = NULL;
    struct dyno_value *made =
        dyno_graph_constant_new(graph, value->name, DYNO_F32, from->rank, from->dims, &data);
    if (made == NULL)
        return NULL;
    const float *src = from->data;
    float *dst = data;
    for (int64_t outer = 0; outer < channels->outer; outer++) {
        const int64_t first = outer / channels->group * channels->count;
        for (int64_t c = 0; c < channels->count; c++) {
            const double scale = affine->scale[first + c];
            for (int64_t i = 0; i < channels->inner; i++)
                *dst++ = (float)((double)*src++ * scale);
        }
    }
    return dyno_graph_constant_done(graph, made) ? made : NULL;
}

/* Bias so far, as numbers a channel; false when it is not constant. */
static bool read_bias(const struct dyno_node *producer, double *bias, int64_t count)
{
    memset(bias, 0, (size_t)count * sizeof(*bias));
    struct dyno_value *value = producer->own_in_count > 2 ? producer->ins[2] : NULL;
    if (value == NULL || producer->op == DYNO_OP_mat_mul)
        return true;
    if (producer->op == DYNO_OP_gemm) {
        const double beta = (double)((const struct dyno_gemm_attrs *)producer->attrs)->beta;
        if (!dyno_match_channel(producer->graph, value, producer->outs[0], 1, bias, count))
            return false;
        for (int64_t c = 0; c < count; c++)
            bias[c] *= beta;
        return true;
    }
    const struct dyno_tensor *tensor = dyno_value_constant(value);
    if (tensor == NULL || tensor->dtype != DYNO_F32 || dyno_tensor_count(tensor) != count)
        return false;
    for (int64_t c = 0; c < count; c++)
        bias[c] = dyno_elem_load_f64(DYNO_F32, tensor->data, (size_t)c);
    return true;
}

static enum dyno_status set_bias(struct dyno_node *producer, const double *bias, int64_t count,
                                 struct dyno_err *err)
{
    struct dyno_value *value = dyno_fuse_constant(producer->graph, producer->name, 1, &count, bias);
    if (value == NULL)
        return DYNO_NOMEM(err);
    if (producer->own_in_count > 2) {
        dyno_node_set_in(producer, 2, value);
    } else {
        if (dyno_node_add_in(producer, value) == UINT32_MAX)
            return DYNO_NOMEM(err);
        producer->own_in_count = producer->in_count;
    }
    if (producer->op == DYNO_OP_gemm)
        ((struct dyno_gemm_attrs *)producer->attrs)->beta = 1.0F;
    return DYNO_OK;
}

/* MatMul has no bias: the node that is folded stays as the addition of the shift. */
static enum dyno_status fold_into_mat_mul(struct dyno_node *producer, struct dyno_node *node,
                                          const struct affine *affine, struct dyno_err *err)
{
    bool has_shift = false;
    for (int64_t c = 0; c < affine->count; c++)
        has_shift = has_shift || affine->shift[c] != 0.0;
    if (!has_shift)
        return dyno_fuse_take_over(producer, node) ? DYNO_OK : DYNO_NOMEM(err);
    struct dyno_value *shift =
        dyno_fuse_constant(node->graph, node->name, 1, &affine->count, affine->shift);
    struct dyno_value *ins[2] = {producer->outs[0], shift};
    if (shift == NULL || !dyno_fuse_become(node, DYNO_OP_add, ins, 2))
        return DYNO_NOMEM(err);
    return DYNO_OK;
}

/* Put the affine map of `node` into `producer`, whose result nobody else uses. */
static enum dyno_status fold(struct dyno_node *producer, struct dyno_node *node,
                             const struct channels *channels, const struct affine *affine,
                             bool *changed_out, struct dyno_err *err)
{
    double *bias = affine->bias;
    if (!read_bias(producer, bias, affine->count))
        return DYNO_OK;
    struct dyno_value *weight = scaled_weight(producer->graph, producer->ins[1], channels, affine);
    if (weight == NULL)
        return DYNO_NOMEM(err);
    *changed_out = true;
    dyno_node_set_in(producer, 1, weight);
    if (producer->op == DYNO_OP_mat_mul)
        return fold_into_mat_mul(producer, node, affine, err);
    bool has_bias = producer->own_in_count > 2 && producer->ins[2] != NULL;
    for (int64_t c = 0; c < affine->count; c++) {
        bias[c] = bias[c] * affine->scale[c] + affine->shift[c];
        has_bias = has_bias || bias[c] != 0.0;
    }
    if (has_bias)
        DYNO_TRY(set_bias(producer, bias, affine->count, err));
    return dyno_fuse_take_over(producer, node) ? DYNO_OK : DYNO_NOMEM(err);
}

/* The one input of `node` that such a producer makes for it alone. */
static struct dyno_node *find_producer(const struct dyno_node *node)
{
    for (uint32_t i = 0; i < node->in_count && i < 2; i++) {
        struct dyno_node *producer = dyno_match_any(node, i);
        if (producer == NULL || dyno_value_sole_user(producer->outs[0]) != node)
            continue;
        if (dyno_match_f32(producer, DYNO_OP_conv) ||
            dyno_match_f32(producer, DYNO_OP_conv_transpose) ||
            dyno_match_f32(producer, DYNO_OP_gemm))
            return producer;
        /* An addition of constants is what a MatMul's bias is anyway. */
        if (dyno_match_f32(producer, DYNO_OP_mat_mul) && node->op != DYNO_OP_add &&
            node->op != DYNO_OP_sub)
            return producer;
    }
    return NULL;
}

static enum dyno_status try_fold(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    struct dyno_node *producer = find_producer(node);
    struct channels channels;
    if (producer == NULL ||
        !weight_channels(producer, dyno_value_constant(producer->ins[1]), &channels) ||
        !dyno_match_same_type(producer->outs[0], node->outs[0]))
        return DYNO_OK;
    const bool is_mat_mul = producer->op == DYNO_OP_mat_mul;
    const int rank = producer->outs[0]->type.rank;
    const int64_t count = channel_count(&channels);
    double *numbers = dyno_alloc((size_t)count, 3 * sizeof(*numbers));
    if (numbers == NULL)
        return DYNO_NOMEM(err);
    struct affine affine = {
        .scale = numbers, .shift = numbers + count, .bias = numbers + 2 * count, .count = count};
    enum dyno_status status = DYNO_OK;
    if (read_affine(node, is_mat_mul ? rank - 1 : 1, &affine) && affine.x == producer->outs[0])
        status = fold(producer, node, &channels, &affine, changed_out, err);
    dyno_free(numbers);
    return status;
}

/* BatchNormalization without a producer to take it: x * scale + shift. */
static enum dyno_status split_batch_norm(struct dyno_node *node, bool *changed_out,
                                         struct dyno_err *err)
{
    const struct dyno_tensor *mean = dyno_value_constant(node->ins[3]);
    struct dyno_graph *graph = node->graph;
    const int rank = node->ins[0]->type.rank;
    if (mean == NULL || mean->rank != 1 || rank < 2)
        return DYNO_OK;
    const int64_t count = mean->dims[0];
    double *numbers = dyno_alloc((size_t)count, 2 * sizeof(*numbers));
    if (numbers == NULL)
        return DYNO_NOMEM(err);
    struct affine affine = {.scale = numbers, .shift = numbers + count, .count = count};
    int64_t dims[DYNO_RANK_MAX] = {count, 1, 1, 1, 1, 1, 1, 1};
    enum dyno_status status = DYNO_OK;
    if (!read_affine(node, 1, &affine))
        goto out;
    struct dyno_value *scale = dyno_fuse_constant(graph, NULL, rank - 1, dims, affine.scale);
    struct dyno_value *shift = dyno_fuse_constant(graph, NULL, rank - 1, dims, affine.shift);
    struct dyno_value *product[2] = {node->ins[0], scale};
    struct dyno_node *sum = NULL;
    if (scale != NULL && shift != NULL)
        sum = dyno_fuse_append(node, DYNO_OP_add, shift);
    if (sum == NULL || !dyno_fuse_become(node, DYNO_OP_mul, product, 2)) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    *changed_out = true;
    status = dyno_node_infer(node, err);
    if (status == DYNO_OK)
        status = dyno_node_infer(sum, err);
out:
    dyno_free(numbers);
    return status;
}

enum dyno_status dyno_pass_fold_affine(struct dyno_graph *graph, bool *changed_out,
                                       struct dyno_err *err)
{
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        const bool is_norm = dyno_match_f32(node, DYNO_OP_batch_normalization);
        if (!is_norm && !(is_arithmetic(node) && node->in_count == 2))
            continue;
        bool folded = false;
        DYNO_TRY(try_fold(node, &folded, err));
        *changed_out = *changed_out || folded;
        if (is_norm && !folded)
            DYNO_TRY(split_batch_norm(node, changed_out, err));
    }
    return DYNO_OK;
}
