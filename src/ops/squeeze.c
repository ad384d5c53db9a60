/* squeeze.c - y = x without axes of size 1: those named, or all.  (ONNX Squeeze-25) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status check_axis(struct dyno_infer *ctx, int axis)
{
    int64_t size = 1;
    if (dyno_expr_is_const(ctx->exprs, ctx->in[0]->dims[axis], &size) && size != 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axis %d has size %" PRId64 ", must be 1", axis,
                         size);
    return DYNO_OK;
}

/* Which axes go; *known_out false when that depends on sizes or axes that are open. */
static enum dyno_status find_axes(struct dyno_infer *ctx, bool *drop, bool *known_out)
{
    const struct dyno_type *const in = ctx->in[0];
    int64_t axes[DYNO_RANK_MAX] = {0};
    uint32_t count = 0;
    *known_out = in->rank >= 0;
    if (in->rank < 0)
        return DYNO_OK;
    if (ctx->in_count < 2 || ctx->in[1] == NULL) {
        for (int i = 0; i < in->rank; i++) {
            int64_t size = 0;
            if (!dyno_expr_is_const(ctx->exprs, in->dims[i], &size))
                *known_out = false;
            drop[i] = size == 1;
        }
        return DYNO_OK;
    }
    *known_out = dyno_infer_consts(ctx, 1, axes, DYNO_RANK_MAX, &count);
    if (*known_out && count > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u axes for %d dimensions", count,
                         in->rank);
    for (uint32_t i = 0; *known_out && i < count; i++) {
        int axis = 0;
        DYNO_TRY(dyno_infer_axis(ctx, axes[i], in->rank, &axis));
        DYNO_TRY(check_axis(ctx, axis));
        drop[axis] = true;
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    bool drop[DYNO_RANK_MAX] = {false};
    bool known = false;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    DYNO_TRY(find_axes(ctx, drop, &known));
    if (!known)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    dyno_expr dims[DYNO_RANK_MAX];
    int rank = 0;
    for (int i = 0; i < in->rank; i++)
        if (!drop[i])
            dims[rank++] = in->dims[i];
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, rank, dims));
    if (in->elems != NULL)
        dyno_infer_set_elems(ctx, 0, in->elems, in->elem_count);
    return DYNO_OK;
}

const struct dyno_op dyno_op_squeeze = {
    .onnx_name = "Squeeze",
    .domain = "",
    .since = 25,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = DYNO_OP_VIEW,
    .pw = -1,
    .infer = infer,
    .reference = dyno_ref_view,
};
