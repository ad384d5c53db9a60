/* top_k.c - the k largest (smallest) elements along an axis and where they are; among equals the
 * lower index comes first.  (ONNX TopK-24) */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_top_k_attrs, axis), -1, NULL, 0},
    {"largest", DYNO_ATTR_I64, offsetof(struct dyno_top_k_attrs, largest), 1, NULL, 0},
    {"sorted", DYNO_ATTR_I64, offsetof(struct dyno_top_k_attrs, sorted), 1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_top_k_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    uint32_t count = 0;
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (in->rank < 0) {
        DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, -1, NULL));
        return dyno_infer_set(ctx, 1, DYNO_I64, -1, NULL);
    }
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    const dyno_expr *const k = dyno_infer_elems(ctx, 1, &count);
    for (int i = 0; i < in->rank; i++)
        dims[i] = in->dims[i];
    dims[axis] = k != NULL && count == 1 ? k[0] : dyno_infer_unknown_dim(ctx);
    int64_t asked = 0;
    int64_t size = 0;
    if (dyno_expr_is_const(ctx->exprs, dims[axis], &asked) &&
        dyno_expr_is_const(ctx->exprs, in->dims[axis], &size) && asked > size)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "k is %" PRId64 ", more than the %" PRId64 " elements of axis %d", asked,
                         size, axis);
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, dims));
    return dyno_infer_set(ctx, 1, DYNO_I64, in->rank, dims);
}

/* An element of a line by its rank: the smaller key comes first. */
struct item {
    double f64;  /* floats, negated for `largest`; 0 otherwise */
    int64_t i64; /* integers in an order-keeping form; 0 otherwise */
    int64_t idx;
};

static int compare(const void *a, const void *b)
{
    const struct item *const x = a;
    const struct item *const y = b;
    if (x->f64 != y->f64)
        return x->f64 < y->f64 ? -1 : 1;
    if (x->i64 != y->i64)
        return x->i64 < y->i64 ? -1 : 1;
    return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static struct item item_of(const struct dyno_tensor *in, int64_t at, int64_t idx, bool largest)
{
    struct item item = {.idx = idx};
    if (dyno_dtype_is_float(in->dtype)) {
        const double value = dyno_elem_load_f64(in->dtype, in->data, (size_t)at);
        item.f64 = isnan(value) ? -INFINITY : (largest ? -value : value); /* NaN comes first */
    } else {
        /* Flipping the top bit orders u64; inverting all bits turns an order round. */
        uint64_t key = (uint64_t)dyno_ref_i64(in, at);
        key ^= in->dtype == DYNO_U64 ? UINT64_C(1) << 63 : 0;
        item.i64 = (int64_t)(largest ? ~key : key);
    }
    return item;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_top_k_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const int axis = dyno_ref_axis(a->axis, in->rank);
    const int64_t size = in->dims[axis];
    const int64_t k = ctx->out[0].dims[axis];
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < in->rank; i++) {
        outer *= i < axis ? in->dims[i] : 1;
        inner *= i > axis ? in->dims[i] : 1;
    }
    struct item *const items = dyno_arena_alloc(ctx->arena, (size_t)size + 1, sizeof(*items));
    if (items == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t line = 0; line < outer * inner; line++) {
        const int64_t from = line / inner * size * inner + line % inner;
        const int64_t to = line / inner * k * inner + line % inner;
        for (int64_t i = 0; i < size; i++)
            items[i] = item_of(in, from + i * inner, i, a->largest != 0);
        qsort(items, (size_t)size, sizeof(*items), compare);
        for (int64_t i = 0; i < k; i++) {
            dyno_ref_copy(in->dtype, ctx->out[0].data, to + i * inner, in->data,
                          from + items[i].idx * inner);
            if (ctx->out_count > 1)
                ((int64_t *)ctx->out[1].data)[to + i * inner] = items[i].idx;
        }
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_top_k = {
    .onnx_name = "TopK",
    .domain = "",
    .since = 24,
    .in_min = 2,
    .in_max = 2,
    .out_min = 2,
    .out_max = 2,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_top_k_attrs),
    .infer = infer,
    .reference = reference,
};
