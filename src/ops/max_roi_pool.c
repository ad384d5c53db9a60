/* max_roi_pool.c - MaxRoiPool-22: the greatest value in each bin of each region. */
#include <math.h>

#include "ops/infer.h"
#include "ops/values.h"

struct roi_attrs {
    struct dyno_i64s pooled_shape; /* bins: height, width */
    float spatial_scale;           /* from the regions' coordinates to x's */
};

#define FIELD(name) offsetof(struct roi_attrs, name)
static const struct dyno_attr attrs[] = {
    {"pooled_shape", DYNO_ATTR_I64S, FIELD(pooled_shape), 0, NULL, 1},
    {"spatial_scale", DYNO_ATTR_F32, FIELD(spatial_scale), 1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct roi_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *rois = ctx->in[1];
    DYNO_TRY(dyno_check_classes(ctx, 0, 1, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_rank(ctx, 0, "x", 4));
    DYNO_TRY(dyno_check_rank(ctx, 1, "rois", 2));
    if (a->pooled_shape.count != 2 || a->pooled_shape.at[0] < 1 || a->pooled_shape.at[1] < 1 ||
        a->pooled_shape.at[0] > INT32_MAX || a->pooled_shape.at[1] > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "pooled_shape must be a height and a width of at least 1");
    const dyno_expr dims[4] = {rois->rank == 2 ? rois->dims[0] : DYNO_EXPR_NONE,
                               x->rank == 4 ? x->dims[1] : DYNO_EXPR_NONE,
                               dyno_expr_const(ctx->exprs, a->pooled_shape.at[0]),
                               dyno_expr_const(ctx->exprs, a->pooled_shape.at[1])};
    return dyno_infer_set(ctx, 0, x->dtype, 4, dims);
}

/* Elements [first, end) of bin `bin` along one axis. */
static void bin_range(double begin, double length, int64_t bins, int64_t bin, int64_t size,
                      int64_t *first, int64_t *end)
{
    const double each = length / (double)bins;
    const double low = floor((double)bin * each) + begin;
    const double high = ceil((double)(bin + 1) * each) + begin;
    *first = (int64_t)fmin(fmax(low, 0), (double)size);
    *end = (int64_t)fmin(fmax(high, 0), (double)size);
}

/* One region in one channel's plane. */
static void pool(struct dyno_ref *ctx, int64_t plane, const double *box, int64_t to)
{
    const struct roi_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const double height = fmax(box[3] - box[1] + 1, 1);
    const double width = fmax(box[2] - box[0] + 1, 1);
    for (int64_t i = 0; i < a->pooled_shape.at[0]; i++)
        for (int64_t j = 0; j < a->pooled_shape.at[1]; j++, to++) {
            int64_t rows[2];
            int64_t cols[2];
            bin_range(box[1], height, a->pooled_shape.at[0], i, x->dims[2], &rows[0], &rows[1]);
            bin_range(box[0], width, a->pooled_shape.at[1], j, x->dims[3], &cols[0], &cols[1]);
            double max = -INFINITY;
            for (int64_t r = rows[0]; r < rows[1]; r++)
                for (int64_t c = cols[0]; c < cols[1]; c++) {
                    const int64_t at = (plane * x->dims[2] + r) * x->dims[3] + c;
                    max = fmax(max, dyno_elem_load_f64(x->dtype, x->data, (size_t)at));
                }
            if (rows[0] >= rows[1] || cols[0] >= cols[1])
                max = 0;
            dyno_values_store_at(&ctx->out[0], to, &max, 1);
        }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct roi_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *rois = ctx->in[1];
    const int64_t each = a->pooled_shape.at[0] * a->pooled_shape.at[1];
    if (rois->dims[1] != 5)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "rois is [.., %lld], wants [.., 5]",
                         (long long)rois->dims[1]);
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        double row[5];
        for (int64_t i = 0; i < 5; i++) {
            row[i] = dyno_elem_load_f64(rois->dtype, rois->data, (size_t)(r * 5 + i));
            if (i > 0)
                row[i] = round(row[i] * (double)a->spatial_scale);
        }
        if (!(row[0] >= 0 && row[0] < (double)x->dims[0]))
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "region %lld is of image %g, x has %lld",
                             (long long)r, row[0], (long long)x->dims[0]);
        for (int64_t c = 0; c < x->dims[1]; c++)
            pool(ctx, (int64_t)row[0] * x->dims[1] + c, row + 1, (r * x->dims[1] + c) * each);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_max_roi_pool = {
    .onnx_name = "MaxRoiPool",
    .since = 22,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct roi_attrs),
    .infer = infer,
    .reference = reference,
};
