/* bit_shift.c - y = a << b or a >> b of unsigned numbers, broadcast.  (ONNX BitShift-11) */
#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const char *const directions[] = {"LEFT", "RIGHT", NULL};

static const struct dyno_attr attrs[] = {
    {"direction", DYNO_ATTR_ENUM, offsetof(struct dyno_bit_shift_attrs, direction), 0, directions,
     1},
};

/* Shifting by the width or more leaves nothing; narrower types lose the rest when stored. */
static int64_t left(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return (uint64_t)b > 63 ? 0 : (int64_t)((uint64_t)a << (uint64_t)b);
}

static int64_t right(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return (uint64_t)b > 63 ? 0 : (int64_t)((uint64_t)a >> (uint64_t)b);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_bit_shift_attrs *const a = ctx->attrs;
    return dyno_ref_binary(
        ctx, &(struct dyno_ref_binary){.pw = -1,
                                       .i64 = a->direction == DYNO_BIT_SHIFT_LEFT ? left : right});
}

const struct dyno_op dyno_op_bit_shift = {
    .onnx_name = "BitShift",
    .since = 11,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_bit_shift_attrs),
    .infer = dyno_infer_integers,
    .reference = reference,
};
