/* dft.c - DFT-20: the discrete Fourier transform along one axis, by its definition.
 *
 * x [..., 1] (real) or [..., 2] (real, imaginary); y [..., 2]. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

struct dft_attrs {
    int64_t inverse;
    int64_t onesided; /* only frequencies 0..length/2 */
};

#define FIELD(name) offsetof(struct dft_attrs, name)
static const struct dyno_attr attrs[] = {
    {"inverse", DYNO_ATTR_I64, FIELD(inverse), 0, NULL, 0},
    {"onesided", DYNO_ATTR_I64, FIELD(onesided), 0, NULL, 0},
};

enum { IN_X, IN_LENGTH, IN_AXIS };

#define DFT_AXIS_FALLBACK (-2)

static bool present(const struct dyno_infer *ctx, uint32_t idx)
{
    return idx < ctx->in_count && ctx->in[idx] != NULL;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dft_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    int64_t axis_value = DFT_AXIS_FALLBACK;
    uint32_t count = 1;
    int axis = 0;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_infer_want(ctx, IN_X, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_classes(ctx, IN_LENGTH, IN_AXIS, DYNO_WANT_INDEX));
    if (x->rank < 0)
        return dyno_infer_set(ctx, 0, x->dtype, -1, NULL);
    if (x->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 2", x->rank);
    const bool known = !present(ctx, IN_AXIS) ||
                       (dyno_infer_consts(ctx, IN_AXIS, &axis_value, 1, &count) && count == 1);
    if (known)
        DYNO_TRY(dyno_infer_axis(ctx, axis_value, x->rank, &axis));
    if (known && axis == x->rank - 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axis %d holds the parts of numbers", axis);
    for (int i = 0; i < x->rank; i++)
        dims[i] = known ? x->dims[i] : DYNO_EXPR_NONE;
    dims[x->rank - 1] = dyno_expr_const(ctx->exprs, 2);
    if (known && present(ctx, IN_LENGTH)) {
        const dyno_expr *length = dyno_infer_elems(ctx, IN_LENGTH, &count);
        dims[axis] = length != NULL && count == 1 ? length[0] : DYNO_EXPR_NONE;
    }
    if (known && a->onesided != 0)
        dims[axis] = dyno_expr_add(
            ctx->exprs, dyno_expr_floordiv(ctx->exprs, dims[axis], dyno_expr_const(ctx->exprs, 2)),
            dyno_expr_const(ctx->exprs, 1));
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* A line of `length` numbers (zeros behind `have`) to `bins` frequencies. */
struct line {
    const double *from; /* first number; numbers are `stride` doubles apart, `parts` each */
    int64_t stride, have, parts;
    int64_t length, bins;
};

static void transform(const struct line *line, bool inverse, double *to)
{
    const double turn = (inverse ? 2 : -2) * acos(-1.0) / (double)line->length;
    const int64_t used = line->have < line->length ? line->have : line->length;
    for (int64_t k = 0; k < line->bins; k++) {
        double real = 0;
        double imaginary = 0;
        for (int64_t n = 0; n < used; n++) {
            const double *x = line->from + n * line->stride;
            /* The angle modulo a turn, while the product is still exact. */
            const double angle = turn * (double)(k * n % line->length);
            const double c = cos(angle);
            const double s = sin(angle);
            const double other = line->parts == 2 ? x[1] : 0;
            real += x[0] * c - other * s;
            imaginary += x[0] * s + other * c;
        }
        to[2 * k] = inverse ? real / (double)line->length : real;
        to[2 * k + 1] = inverse ? imaginary / (double)line->length : imaginary;
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dft_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *given = ctx->in_count > IN_LENGTH ? ctx->in[IN_LENGTH] : NULL;
    const struct dyno_tensor *where = ctx->in_count > IN_AXIS ? ctx->in[IN_AXIS] : NULL;
    if ((given != NULL && dyno_tensor_count(given) != 1) ||
        (where != NULL && dyno_tensor_count(where) != 1))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "dft_length and axis must be single numbers");
    const int axis =
        dyno_ref_axis(where != NULL ? dyno_ref_i64(where, 0) : DFT_AXIS_FALLBACK, x->rank);
    struct line line = {.have = x->dims[axis], .parts = x->dims[x->rank - 1]};
    line.length = given != NULL ? dyno_ref_i64(given, 0) : line.have;
    line.bins = a->onesided != 0 ? line.length / 2 + 1 : line.length;
    if (line.length < 1 || line.length > INT32_MAX || (line.parts != 1 && line.parts != 2))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "the length is %lld and x's last axis %lld; want at least 1, and 1 or 2",
                         (long long)line.length, (long long)line.parts);
    int64_t dims[DYNO_RANK_MAX];
    int64_t inner = 1; /* numbers between neighbours on the axis */
    for (int i = 0; i < x->rank; i++) {
        dims[i] = i == axis ? line.bins : i == x->rank - 1 ? 2 : x->dims[i];
        inner *= i > axis && i < x->rank - 1 ? x->dims[i] : 1;
    }
    line.stride = inner * line.parts;
    DYNO_TRY(dyno_values_shape_out(ctx, 0, x->dtype, x->rank, dims));
    const int64_t lines = dyno_tensor_count(&ctx->out[0]) / (2 * line.bins);
    double *values = dyno_values_load(x);
    double *to = dyno_values_alloc(2 * line.bins);
    enum dyno_status status = DYNO_OK;
    if (values == NULL || to == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t r = 0; r < lines; r++) {
        line.from = values + r / inner * line.have * line.stride + r % inner * line.parts;
        transform(&line, a->inverse != 0, to);
        for (int64_t k = 0; k < line.bins; k++)
            dyno_values_store_at(
                &ctx->out[0], ((r / inner * line.bins + k) * inner + r % inner) * 2, to + 2 * k, 2);
    }
out:
    dyno_free(to);
    dyno_free(values);
    return status;
}

const struct dyno_op dyno_op_dft = {
    .onnx_name = "DFT",
    .domain = "",
    .since = 20,
    .in_min = 1,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dft_attrs),
    .infer = infer,
    .reference = reference,
};
