/* flatten.c - y = x as a matrix: the axes before `axis` by the others.  (ONNX Flatten-25) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_axis_attrs, axis), 1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[2] = {DYNO_EXPR_NONE, DYNO_EXPR_NONE};
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    if (in->rank >= 0) {
        if (a->axis < -in->rank || a->axis > in->rank)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "axis %" PRId64 " is outside [%d, %d] of a tensor with %d dimensions",
                             a->axis, -in->rank, in->rank, in->rank);
        const int axis = dyno_ref_axis(a->axis, in->rank);
        dims[0] = dyno_infer_product(ctx, in->dims, 0, axis);
        dims[1] = dyno_infer_product(ctx, in->dims, axis, in->rank);
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, 2, dims));
    if (in->elems != NULL)
        dyno_infer_set_elems(ctx, 0, in->elems, in->elem_count);
    return DYNO_OK;
}

const struct dyno_op dyno_op_flatten = {
    .onnx_name = "Flatten",
    .since = 25,
    DYNO_UNARY_OP,
    .flags = DYNO_OP_VIEW,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_axis_attrs),
    .infer = infer,
    .reference = dyno_ref_view,
};
