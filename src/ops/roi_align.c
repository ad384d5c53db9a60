/* roi_align.c - RoiAlign-22: bilinear samples of regions, averaged or maximised in bins. */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

enum roi_coord { COORD_HALF_PIXEL, COORD_OUTPUT_HALF_PIXEL };
enum roi_mode { MODE_AVG, MODE_MAX };

struct roi_attrs {
    int32_t coord; /* enum roi_coord */
    int32_t mode;  /* enum roi_mode */
    int64_t output_height, output_width;
    int64_t sampling_ratio; /* samples a bin and axis; 0: as many as elements */
    float spatial_scale;    /* from the regions' coordinates to x's */
};

static const char *const coord_names[] = {"half_pixel", "output_half_pixel", NULL};
static const char *const mode_names[] = {"avg", "max", NULL};

#define FIELD(name) offsetof(struct roi_attrs, name)
static const struct dyno_attr attrs[] = {
    {"coordinate_transformation_mode", DYNO_ATTR_ENUM, FIELD(coord), COORD_HALF_PIXEL, coord_names,
     0},
    {"mode", DYNO_ATTR_ENUM, FIELD(mode), MODE_AVG, mode_names, 0},
    {"output_height", DYNO_ATTR_I64, FIELD(output_height), 1, NULL, 0},
    {"output_width", DYNO_ATTR_I64, FIELD(output_width), 1, NULL, 0},
    {"sampling_ratio", DYNO_ATTR_I64, FIELD(sampling_ratio), 0, NULL, 0},
    {"spatial_scale", DYNO_ATTR_F32, FIELD(spatial_scale), 1, NULL, 0},
};

enum { IN_X, IN_ROIS, IN_BATCHES };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct roi_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    const struct dyno_type *rois = ctx->in[IN_ROIS];
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_ROIS, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_BATCHES, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_check_rank(ctx, IN_X, "x", 4));
    DYNO_TRY(dyno_check_rank(ctx, IN_ROIS, "rois", 2));
    DYNO_TRY(dyno_check_vector(ctx, IN_BATCHES, "batch_indices",
                               rois->rank == 2 ? rois->dims[0] : DYNO_EXPR_NONE));
    if (a->output_height < 1 || a->output_height > INT32_MAX || a->output_width < 1 ||
        a->output_width > INT32_MAX || a->sampling_ratio < 0 || a->sampling_ratio > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "output_height %lld and output_width %lld must be at least 1, "
                         "sampling_ratio %lld at least 0",
                         (long long)a->output_height, (long long)a->output_width,
                         (long long)a->sampling_ratio);
    const dyno_expr dims[4] = {rois->rank == 2 ? rois->dims[0] : DYNO_EXPR_NONE,
                               x->rank == 4 ? x->dims[1] : DYNO_EXPR_NONE,
                               dyno_expr_const(ctx->exprs, a->output_height),
                               dyno_expr_const(ctx->exprs, a->output_width)};
    return dyno_infer_set(ctx, 0, x->dtype, 4, dims);
}

/* One coordinate between two elements of an axis. */
struct between {
    int64_t low, high;
    double low_weight, high_weight;
};

static struct between find_between(double x, int64_t size)
{
    struct between out = {0, 0, 0, 0};
    if (!(x >= -1 && x <= (double)size))
        return out;
    x = fmax(x, 0);
    out.low = (int64_t)x;
    out.high = out.low + 1;
    if (out.low >= size - 1) {
        out.low = out.high = size - 1;
        x = (double)out.low;
    }
    out.high_weight = x - (double)out.low;
    out.low_weight = 1 - out.high_weight;
    return out;
}

/* A region's bins along one axis. */
struct bins {
    double start, size;
    int64_t samples;
};

static struct bins find_bins(const struct roi_attrs *a, double begin, double end, int64_t count)
{
    const double offset = a->coord == COORD_HALF_PIXEL ? 0.5 : 0;
    struct bins bins = {.start = begin * (double)a->spatial_scale - offset};
    double length = end * (double)a->spatial_scale - offset - bins.start;
    if (a->coord != COORD_HALF_PIXEL)
        length = fmax(length, 1);
    bins.size = length / (double)count;
    bins.samples = a->sampling_ratio;
    if (bins.samples == 0)
        bins.samples = (int64_t)fmin(fmax(ceil(bins.size), 0), 1e6);
    return bins;
}

static double at(const struct bins *bins, int64_t bin, int64_t sample)
{
    return bins->start + (double)bin * bins->size +
           ((double)sample + 0.5) * bins->size / (double)bins->samples;
}

static double pool(const struct roi_attrs *a, const struct dyno_tensor *x, int64_t plane,
                   const struct bins *rows, const struct bins *cols, int64_t row, int64_t col)
{
    const int64_t height = x->dims[2];
    const int64_t width = x->dims[3];
    double sum = 0;
    double max = -INFINITY;
    for (int64_t i = 0; i < rows->samples; i++)
        for (int64_t j = 0; j < cols->samples; j++) {
            double y_at = at(rows, row, i);
            double x_at = at(cols, col, j);
            const bool outside =
                !(y_at >= -1 && y_at <= (double)height && x_at >= -1 && x_at <= (double)width);
            const struct between v = find_between(outside ? -2 : y_at, height);
            const struct between h = find_between(outside ? -2 : x_at, width);
            const int64_t base = plane * height;
            const double corners[4] = {
                v.low_weight * h.low_weight *
                    dyno_elem_load_f64(x->dtype, x->data, (size_t)((base + v.low) * width + h.low)),
                v.low_weight * h.high_weight *
                    dyno_elem_load_f64(x->dtype, x->data,
                                       (size_t)((base + v.low) * width + h.high)),
                v.high_weight * h.low_weight *
                    dyno_elem_load_f64(x->dtype, x->data,
                                       (size_t)((base + v.high) * width + h.low)),
                v.high_weight * h.high_weight *
                    dyno_elem_load_f64(x->dtype, x->data,
                                       (size_t)((base + v.high) * width + h.high)),
            };
            for (int k = 0; k < 4; k++) {
                sum += corners[k];
                max = fmax(max, corners[k]);
            }
        }
    const int64_t count = rows->samples * cols->samples;
    if (a->mode == MODE_MAX)
        return count > 0 ? max : 0;
    return sum / (double)(count > 0 ? count : 1);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct roi_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *rois = ctx->in[IN_ROIS];
    if (rois->dims[1] != 4)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "rois is [.., %lld], wants [.., 4]",
                         (long long)rois->dims[1]);
    int64_t to = 0;
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        double box[4];
        for (int64_t i = 0; i < 4; i++)
            box[i] = dyno_elem_load_f64(rois->dtype, rois->data, (size_t)(r * 4 + i));
        const int64_t batch = dyno_ref_i64(ctx->in[IN_BATCHES], r);
        if (batch < 0 || batch >= x->dims[0] || x->dims[2] == 0 || x->dims[3] == 0)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "batch_indices[%lld] is %lld, x has %lld images", (long long)r,
                             (long long)batch, (long long)x->dims[0]);
        const struct bins rows = find_bins(a, box[1], box[3], a->output_height);
        const struct bins cols = find_bins(a, box[0], box[2], a->output_width);
        for (int64_t c = 0; c < x->dims[1]; c++)
            for (int64_t i = 0; i < a->output_height; i++)
                for (int64_t j = 0; j < a->output_width; j++) {
                    const double y = pool(a, x, batch * x->dims[1] + c, &rows, &cols, i, j);
                    dyno_values_store_at(&ctx->out[0], to++, &y, 1);
                }
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_roi_align = {
    .onnx_name = "RoiAlign",
    .domain = "",
    .since = 22,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct roi_attrs),
    .infer = infer,
    .reference = reference,
};
