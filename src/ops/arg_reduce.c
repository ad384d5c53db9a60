/* arg_reduce.c - what ArgMax and ArgMin share. */
#include "ops/infer.h"
#include "ops/reduce.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_arg_reduce_attrs, name)
const struct dyno_attr dyno_arg_reduce_attr_rows[3] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), 0, NULL, 0},
    {"keepdims", DYNO_ATTR_I64, FIELD(keepdims), 1, NULL, 0},
    {"select_last_index", DYNO_ATTR_I64, FIELD(select_last_index), 0, NULL, 0},
};

enum dyno_status dyno_arg_reduce_infer(struct dyno_infer *ctx)
{
    const struct dyno_arg_reduce_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    if (x->rank < 0)
        return dyno_infer_set(ctx, 0, DYNO_I64, -1, NULL);
    int axis = 0;
    int64_t size = 0;
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, x->rank, &axis));
    if (dyno_dim_const(ctx, x, axis, &size) && size == 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axis %d has no elements to choose from", axis);
    dyno_expr dims[DYNO_RANK_MAX];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (i != axis)
            dims[rank++] = x->dims[i];
        else if (a->keepdims != 0)
            dims[rank++] = dyno_expr_const(ctx->exprs, 1);
    }
    return dyno_infer_set(ctx, 0, DYNO_I64, rank, dims);
}

enum dyno_status dyno_arg_reduce_run(struct dyno_ref *ctx, bool (*better)(double a, double b))
{
    const struct dyno_arg_reduce_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const int axis = dyno_ref_axis(a->axis, x->rank);
    const int64_t count = x->dims[axis];
    const int64_t rows = count > 0 ? dyno_tensor_count(x) / count : 0;
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(x->rank, x->dims, strides);
    const int64_t inner = strides[axis];
    int64_t *out = ctx->out[0].data;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t first = r / inner * inner * count + r % inner;
        int64_t best = 0;
        for (int64_t i = 1; i < count; i++) {
            const double challenger =
                dyno_elem_load_f64(x->dtype, x->data, (size_t)(first + i * inner));
            const double holder =
                dyno_elem_load_f64(x->dtype, x->data, (size_t)(first + best * inner));
            if (better(challenger, holder) ||
                (a->select_last_index != 0 && !better(holder, challenger)))
                best = i;
        }
        out[r] = best;
    }
    return DYNO_OK;
}
