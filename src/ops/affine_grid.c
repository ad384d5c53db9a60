/* affine_grid.c - AffineGrid-20: the sampling grid of an affine map, for GridSample.
 *
 * theta [N,2,3] and size (N,C,H,W) give [N,H,W,2]; theta [N,3,4] and (N,C,D,H,W) [N,D,H,W,3]. */
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

struct grid_attrs {
    int64_t align_corners; /* -1 and 1 are the centres, not the edges, of the corner elements */
};

static const struct dyno_attr attrs[] = {
    {"align_corners", DYNO_ATTR_I64, offsetof(struct grid_attrs, align_corners), 0, NULL, 0},
};

enum { IN_THETA, IN_SIZE };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *theta = ctx->in[IN_THETA];
    const int64_t count = dyno_infer_vector_count(ctx, IN_SIZE);
    uint32_t elem_count = 0;
    const dyno_expr *size = dyno_infer_elems(ctx, IN_SIZE, &elem_count);
    dyno_expr dims[5];
    DYNO_TRY(dyno_infer_want(ctx, IN_THETA, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_SIZE, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_check_rank(ctx, IN_THETA, "theta", 3));
    if (count >= 0 && count != 4 && count != 5)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "size has %lld entries, wants 4 or 5",
                         (long long)count);
    if (count < 0)
        return dyno_infer_set(ctx, 0, theta->dtype, -1, NULL);
    const int rank = (int)count;
    const bool known = size != NULL && elem_count == (uint32_t)count;
    for (int i = 0; i < rank - 1; i++)
        dims[i] = known ? size[i == 0 ? 0 : i + 1] : DYNO_EXPR_NONE;
    dims[rank - 1] = dyno_expr_const(ctx->exprs, rank - 2);
    return dyno_infer_set(ctx, 0, theta->dtype, rank, dims);
}

/* Centre of element idx of `size`, in -1..1. */
static double centre(const struct grid_attrs *a, int64_t idx, int64_t size)
{
    if (a->align_corners != 0)
        return size > 1 ? 2 * (double)idx / (double)(size - 1) - 1 : -1;
    return (2 * (double)idx + 1) / (double)size - 1;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *theta = ctx->in[IN_THETA];
    const int axes = (int)dyno_tensor_count(ctx->in[IN_SIZE]) - 2;
    if (axes != 2 && axes != 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "size has %d entries, wants 4 or 5", axes + 2);
    int64_t dims[5];
    for (int i = 0; i < axes + 1; i++) {
        dims[i] = dyno_ref_i64(ctx->in[IN_SIZE], i == 0 ? 0 : i + 1);
        if (dims[i] < 0)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "size has the negative entry %lld",
                             (long long)dims[i]);
    }
    dims[axes + 1] = axes;
    if (theta->dims[0] != dims[0] || theta->dims[1] != axes || theta->dims[2] != axes + 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "theta must be [%lld, %d, %d]",
                         (long long)dims[0], axes, axes + 1);
    DYNO_TRY(dyno_values_shape_out(ctx, 0, theta->dtype, axes + 2, dims));
    struct dyno_walk walk;
    dyno_walk_init(&walk, axes + 1, dims);
    int64_t points = 1;
    for (int i = 0; i < axes + 1; i++)
        points *= dims[i];
    for (int64_t p = 0; p < points; p++, dyno_walk_next(&walk)) {
        for (int row = 0; row < axes; row++) {
            const int64_t first = (walk.idx[0] * axes + row) * (axes + 1);
            double sum = dyno_elem_load_f64(theta->dtype, theta->data, (size_t)(first + axes));
            /* Column 0 multiplies the last spatial axis. */
            for (int col = 0; col < axes; col++)
                sum += dyno_elem_load_f64(theta->dtype, theta->data, (size_t)(first + col)) *
                       centre(ctx->attrs, walk.idx[axes - col], dims[axes - col]);
            dyno_values_store_at(&ctx->out[0], p * axes + row, &sum, 1);
        }
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_affine_grid = {
    .onnx_name = "AffineGrid",
    .since = 20,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct grid_attrs),
    .infer = infer,
    .reference = reference,
};
