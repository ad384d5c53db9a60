/* cast_like.c - y = x as the element type of the second input.  (ONNX CastLike-25) */
#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const char *const rounds[] = {"up", "down", "nearest", NULL};

static const struct dyno_attr attrs[] = {
    {"saturate", DYNO_ATTR_I64, offsetof(struct dyno_cast_attrs, saturate), 1, NULL, 0},
    {"round_mode", DYNO_ATTR_ENUM, offsetof(struct dyno_cast_attrs, round_mode), DYNO_CAST_ROUND_UP,
     rounds, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_cast_infer(ctx, ctx->in[1]->dtype);
}

const struct dyno_op dyno_op_cast_like = {
    .onnx_name = "CastLike",
    .since = 25,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_cast_attrs),
    .infer = infer,
    .reference = dyno_cast_run,
};
