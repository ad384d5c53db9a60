/* deform_conv.c - DeformConv-22: a 2-D convolution whose taps are moved by an input.
 *
 * x [N,C,H,W], w [M,C/group,kh,kw], offset [N, offset_group*kh*kw*2, oh, ow] (rows then columns),
 * bias [M], mask [N, offset_group*kh*kw, oh, ow]. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"
#include "ops/window.h"

struct deform_attrs {
    int64_t group;
    int64_t offset_group; /* channels of a group share their offsets */
    struct dyno_i64s kernel_shape, dilations, strides, pads;
};

#define FIELD(name) offsetof(struct deform_attrs, name)
static const struct dyno_attr attrs[] = {
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"group", DYNO_ATTR_I64, FIELD(group), 1, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 0},
    {"offset_group", DYNO_ATTR_I64, FIELD(offset_group), 1, NULL, 0},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

enum { IN_X, IN_W, IN_OFFSET, IN_BIAS, IN_MASK };

static struct dyno_window_attrs window_attrs(const struct deform_attrs *a)
{
    return (struct dyno_window_attrs){.kernel_shape = a->kernel_shape,
                                      .strides = a->strides,
                                      .dilations = a->dilations,
                                      .pads = a->pads};
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct deform_attrs *a = ctx->attrs;
    const struct dyno_window_attrs how = window_attrs(a);
    const struct dyno_type *x = ctx->in[IN_X];
    const struct dyno_type *w = ctx->in[IN_W];
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_MASK, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_rank(ctx, IN_X, "x", 4));
    DYNO_TRY(dyno_check_rank(ctx, IN_W, "w", 4));
    DYNO_TRY(dyno_check_rank(ctx, IN_OFFSET, "offset", 4));
    DYNO_TRY(dyno_check_rank(ctx, IN_MASK, "mask", 4));
    if (a->group < 1 || a->offset_group < 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "group is %lld and offset_group %lld, both must be at least 1",
                         (long long)a->group, (long long)a->offset_group);
    dyno_expr dims[4] = {DYNO_EXPR_NONE, DYNO_EXPR_NONE, DYNO_EXPR_NONE, DYNO_EXPR_NONE};
    int64_t kernel[2];
    if (x->rank == 4)
        dims[0] = x->dims[0];
    if (w->rank == 4)
        dims[1] = w->dims[0];
    DYNO_TRY(dyno_check_vector(ctx, IN_BIAS, "bias", dims[1]));
    if (x->rank == 4 && dyno_dim_const(ctx, w, 2, &kernel[0]) &&
        dyno_dim_const(ctx, w, 3, &kernel[1])) {
        struct dyno_window window;
        DYNO_TRY(dyno_window_static(&how, 2, kernel, &window, ctx->err));
        for (int i = 0; i < 2; i++)
            dims[2 + i] = dyno_window_out_expr(ctx->exprs, &how, &window, i, x->dims[2 + i]);
    }
    return dyno_infer_set(ctx, 0, x->dtype, 4, dims);
}

/* Bilinear, zeros outside. */
static double sample(const double *plane, int64_t height, int64_t width, double y, double x)
{
    if (!(y > -1 && y < (double)height && x > -1 && x < (double)width))
        return 0;
    const int64_t row = (int64_t)floor(y);
    const int64_t col = (int64_t)floor(x);
    double sum = 0;
    for (int64_t r = row; r <= row + 1; r++)
        for (int64_t c = col; c <= col + 1; c++)
            if (r >= 0 && r < height && c >= 0 && c < width)
                sum += (1 - fabs(y - (double)r)) * (1 - fabs(x - (double)c)) * plane[r * width + c];
    return sum;
}

struct run {
    const struct deform_attrs *a;
    struct dyno_window v;
    const int64_t *x_dims, *w_dims;
    double *x, *w, *offset, *mask;
};

/* y[n, m, i, j] without bias. */
static double one_output(const struct run *run, int64_t n, int64_t m, int64_t i, int64_t j)
{
    const struct dyno_window *v = &run->v;
    const int64_t per_group = run->w_dims[1];
    const int64_t taps = v->kernel[0] * v->kernel[1];
    const int64_t size = v->out[0] * v->out[1];
    const int64_t first = m / (run->w_dims[0] / run->a->group) * per_group;
    const int64_t per_offset = run->x_dims[1] / run->a->offset_group;
    double sum = 0;
    for (int64_t c = 0; c < per_group; c++) {
        const int64_t channel = first + c;
        const int64_t moved = n * run->a->offset_group + channel / per_offset;
        const double *plane = run->x + (n * run->x_dims[1] + channel) * v->in[0] * v->in[1];
        for (int64_t k = 0; k < taps; k++) {
            const int64_t spot = i * v->out[1] + j;
            const double *offset = run->offset + (moved * taps + k) * 2 * size + spot;
            const int64_t row = k / v->kernel[1];
            const int64_t column = k % v->kernel[1];
            const double y =
                (double)(i * v->stride[0] + row * v->dilation[0] - v->pad_begin[0]) + offset[0];
            const double x =
                (double)(j * v->stride[1] + column * v->dilation[1] - v->pad_begin[1]) +
                offset[size];
            const double keep = run->mask != NULL ? run->mask[(moved * taps + k) * size + spot] : 1;
            sum += run->w[(m * per_group + c) * taps + k] * keep *
                   sample(plane, v->in[0], v->in[1], y, x);
        }
    }
    return sum;
}

static const struct dyno_tensor *input(const struct dyno_ref *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

static enum dyno_status check_shapes(struct dyno_ref *ctx, const struct run *run)
{
    const struct deform_attrs *a = run->a;
    const struct dyno_tensor *offset = input(ctx, IN_OFFSET);
    const struct dyno_tensor *mask = input(ctx, IN_MASK);
    const int64_t taps = run->v.kernel[0] * run->v.kernel[1];
    const int64_t spots = run->x_dims[0] * run->v.out[0] * run->v.out[1];
    if (run->x_dims[1] % a->offset_group != 0 || run->x_dims[1] != run->w_dims[1] * a->group ||
        run->w_dims[0] % a->group != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "%lld channels of x, %lld outputs and %lld channels a group of w do not "
                         "fit group %lld and offset_group %lld",
                         (long long)run->x_dims[1], (long long)run->w_dims[0],
                         (long long)run->w_dims[1], (long long)a->group,
                         (long long)a->offset_group);
    if (dyno_tensor_count(offset) != spots * a->offset_group * taps * 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "offset has %lld entries, wants %lld",
                         (long long)dyno_tensor_count(offset),
                         (long long)(spots * a->offset_group * taps * 2));
    if (mask != NULL && dyno_tensor_count(mask) != spots * a->offset_group * taps)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "mask has %lld entries, wants %lld",
                         (long long)dyno_tensor_count(mask),
                         (long long)(spots * a->offset_group * taps));
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *w = ctx->in[IN_W];
    const struct dyno_tensor *bias = input(ctx, IN_BIAS);
    const struct dyno_tensor *mask = input(ctx, IN_MASK);
    struct run run = {.a = ctx->attrs, .x_dims = x->dims, .w_dims = w->dims};
    const struct dyno_window_attrs how = window_attrs(run.a);
    DYNO_TRY(dyno_window_resolve(&how, 2, x->dims + 2, w->dims + 2, &run.v, ctx->err));
    DYNO_TRY(check_shapes(ctx, &run));
    enum dyno_status status = DYNO_OK;
    run.x = dyno_values_load(x);
    run.w = dyno_values_load(w);
    run.offset = dyno_values_load(ctx->in[IN_OFFSET]);
    run.mask = mask != NULL ? dyno_values_load(mask) : NULL;
    if (run.x == NULL || run.w == NULL || run.offset == NULL ||
        (mask != NULL && run.mask == NULL)) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    int64_t at = 0;
    for (int64_t n = 0; n < x->dims[0]; n++)
        for (int64_t m = 0; m < w->dims[0]; m++)
            for (int64_t i = 0; i < run.v.out[0]; i++)
                for (int64_t j = 0; j < run.v.out[1]; j++) {
                    double y = one_output(&run, n, m, i, j);
                    if (bias != NULL)
                        y += dyno_elem_load_f64(bias->dtype, bias->data, (size_t)m);
                    dyno_values_store_at(&ctx->out[0], at++, &y, 1);
                }
out:
    dyno_free(run.mask);
    dyno_free(run.offset);
    dyno_free(run.w);
    dyno_free(run.x);
    return status;
}

const struct dyno_op dyno_op_deform_conv = {
    .onnx_name = "DeformConv",
    .domain = "",
    .since = 22,
    .in_min = 3,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct deform_attrs),
    .infer = infer,
    .reference = reference,
};
