/* grid_sample.c - GridSample-22: x [N,C,spatial...] sampled where grid [N,out...,axes] points. */
#include <math.h>

#include "ops/infer.h"
#include "ops/values.h"

#define GRID_AXES_MAX 3
#define GRID_TAPS_MAX 4

enum grid_mode { MODE_LINEAR, MODE_NEAREST, MODE_CUBIC };
enum grid_padding { PADDING_ZEROS, PADDING_BORDER, PADDING_REFLECTION };

struct grid_attrs {
    int64_t align_corners; /* -1 and 1 are the centres, not the edges, of the corner elements */
    int32_t mode;          /* enum grid_mode */
    int32_t padding;       /* enum grid_padding */
};

static const char *const mode_names[] = {"linear", "nearest", "cubic", NULL};
static const char *const padding_names[] = {"zeros", "border", "reflection", NULL};

#define FIELD(name) offsetof(struct grid_attrs, name)
static const struct dyno_attr attrs[] = {
    {"align_corners", DYNO_ATTR_I64, FIELD(align_corners), 0, NULL, 0},
    {"mode", DYNO_ATTR_ENUM, FIELD(mode), MODE_LINEAR, mode_names, 0},
    {"padding_mode", DYNO_ATTR_ENUM, FIELD(padding), PADDING_ZEROS, padding_names, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *grid = ctx->in[1];
    const int rank = x->rank >= 0 ? x->rank : grid->rank;
    int64_t width = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_FLOAT));
    if (x->rank >= 0 && grid->rank >= 0 && x->rank != grid->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d but grid has rank %d", x->rank,
                         grid->rank);
    if (rank >= 0 && (rank < 3 || rank - 2 > GRID_AXES_MAX))
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED,
                         "x has rank %d; this build samples over 1..%d spatial axes", rank,
                         GRID_AXES_MAX);
    if (dyno_dim_const(ctx, grid, grid->rank - 1, &width) && width != rank - 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "grid's last axis is %lld, wants %d coordinates",
                         (long long)width, rank - 2);
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < rank; i++) {
        if (i < 2)
            dims[i] = x->rank >= 0 ? x->dims[i] : DYNO_EXPR_NONE;
        else
            dims[i] = grid->rank >= 0 ? grid->dims[i - 1] : DYNO_EXPR_NONE;
    }
    return dyno_infer_set(ctx, 0, x->dtype, rank, dims);
}

/* Folds x back between min and max. */
static float reflect(float x, float min, float max)
{
    const float range = max - min;
    if (!(range > 0))
        return min;
    const float over = x < min ? min - x : x - max;
    if (!(over > 0))
        return x;
    const float times = truncf(over / range);
    const float rest = over - times * range;
    const bool even = fmodf(times, 2) == 0;
    return (x < min) == even ? min + rest : max - rest;
}

/* Where a coordinate falls on one axis: taps and weights. */
struct axis_taps {
    int count;
    int64_t idx[GRID_TAPS_MAX]; /* -1: a zero */
    double weight[GRID_TAPS_MAX];
};

static int64_t pad_idx(const struct grid_attrs *a, int64_t idx, int64_t size)
{
    if (a->padding == PADDING_ZEROS)
        return idx >= 0 && idx < size ? idx : -1;
    if (a->padding == PADDING_REFLECTION) {
        const float edge = a->align_corners != 0 ? 0 : 0.5F;
        idx = (int64_t)reflect((float)idx, -edge, (float)size - 1 + edge);
    }
    return idx < 0 ? 0 : idx >= size ? size - 1 : idx;
}

/* The coordinate in elements, in f32 as ONNX's meaning has it: ties matter to `nearest`. */
static float denormalise(const struct grid_attrs *a, float n, int64_t size)
{
    const float length = (float)size;
    const float edge = a->align_corners != 0 ? 0 : 0.5F;
    float x = a->align_corners != 0 ? (n + 1) / 2 * (length - 1) : ((n + 1) * length - 1) / 2;
    if (a->mode == MODE_NEAREST)
        x = rintf(x);
    if (x >= -edge && x <= length - 1 + edge)
        return x;
    if (a->padding == PADDING_BORDER)
        return fminf(fmaxf(x, 0), length - 1);
    if (a->padding == PADDING_REFLECTION && isfinite(x))
        return reflect(x, -edge, length - 1 + edge);
    /* Anything this far out sees only zeros; keep the index an integer. */
    return isnan(x) ? -8 : fminf(fmaxf(x, -8), length + 8);
}

static struct axis_taps find_taps(const struct grid_attrs *a, float n, int64_t size)
{
    const float x = denormalise(a, n, size);
    struct axis_taps taps = {.count = 1, .weight = {1}};
    if (a->mode == MODE_NEAREST) {
        taps.idx[0] = pad_idx(a, (int64_t)x, size);
        return taps;
    }
    const double low = floor((double)x);
    const double r = (double)x - low;
    const double c = -0.75;
    int64_t first = (int64_t)low;
    if (a->mode == MODE_LINEAR) {
        taps.count = 2;
        taps.weight[0] = 1 - r;
        taps.weight[1] = r;
    } else {
        const double s = 1 - r;
        taps.count = 4;
        first--;
        taps.weight[0] = ((c * (r + 1) - 5 * c) * (r + 1) + 8 * c) * (r + 1) - 4 * c;
        taps.weight[1] = ((c + 2) * r - (c + 3)) * r * r + 1;
        taps.weight[2] = ((c + 2) * s - (c + 3)) * s * s + 1;
        taps.weight[3] = ((c * (s + 1) - 5 * c) * (s + 1) + 8 * c) * (s + 1) - 4 * c;
    }
    for (int i = 0; i < taps.count; i++)
        taps.idx[i] = pad_idx(a, first + i, size);
    return taps;
}

/* Sum over the taps of three axes (a missing axis has one tap at 0) of one channel's plane. */
static double sample(const struct dyno_tensor *x, int64_t plane, const int64_t *size,
                     const struct axis_taps *taps)
{
    double sum = 0;
    for (int i = 0; i < taps[0].count; i++)
        for (int j = 0; j < taps[1].count; j++)
            for (int k = 0; k < taps[2].count; k++) {
                const int64_t z = taps[0].idx[i];
                const int64_t y = taps[1].idx[j];
                const int64_t w = taps[2].idx[k];
                if (z < 0 || y < 0 || w < 0)
                    continue;
                const int64_t at = ((plane * size[0] + z) * size[1] + y) * size[2] + w;
                sum += taps[0].weight[i] * taps[1].weight[j] * taps[2].weight[k] *
                       dyno_elem_load_f64(x->dtype, x->data, (size_t)at);
            }
    return sum;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct grid_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *grid = ctx->in[1];
    const int axes = x->rank - 2;
    int64_t size[GRID_AXES_MAX] = {1, 1, 1};
    int64_t points = 1;
    for (int i = 0; i < axes; i++) {
        size[GRID_AXES_MAX - axes + i] = x->dims[2 + i];
        points *= grid->dims[1 + i];
    }
    if (grid->dims[axes + 1] != axes || grid->dims[0] != x->dims[0])
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "grid's batch or last axis does not fit x");
    if (dyno_tensor_count(x) == 0 && points > 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has no elements to sample");
    for (int64_t n = 0; n < x->dims[0]; n++)
        for (int64_t p = 0; p < points; p++) {
            struct axis_taps taps[GRID_AXES_MAX] = {{1, {0}, {1}}, {1, {0}, {1}}, {1, {0}, {1}}};
            for (int i = 0; i < axes; i++) {
                /* The grid names the last spatial axis first. */
                const int axis = GRID_AXES_MAX - 1 - i;
                const int64_t at = (n * points + p) * axes + i;
                taps[axis] = find_taps(
                    a, (float)dyno_elem_load_f64(grid->dtype, grid->data, (size_t)at), size[axis]);
            }
            for (int64_t c = 0; c < x->dims[1]; c++) {
                const int64_t plane = n * x->dims[1] + c;
                const double y = sample(x, plane, size, taps);
                dyno_values_store_at(&ctx->out[0], plane * points + p, &y, 1);
            }
        }
    return DYNO_OK;
}

const struct dyno_op dyno_op_grid_sample = {
    .onnx_name = "GridSample",
    .since = 22,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct grid_attrs),
    .infer = infer,
    .reference = reference,
};
