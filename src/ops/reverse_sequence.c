/* reverse_sequence.c - the first lens[b] steps of each sequence, backwards.
 * (ONNX ReverseSequence-10) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"batch_axis", DYNO_ATTR_I64, offsetof(struct dyno_reverse_sequence_attrs, batch_axis), 1, NULL,
     0},
    {"time_axis", DYNO_ATTR_I64, offsetof(struct dyno_reverse_sequence_attrs, time_axis), 0, NULL,
     0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_reverse_sequence_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (in->rank >= 0 && in->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input 0 has %d dimensions, must have 2 or more",
                         in->rank);
    if (a->batch_axis < 0 || a->batch_axis > 1 || a->time_axis != 1 - a->batch_axis)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "batch_axis and time_axis are %" PRId64 " and %" PRId64
                         ", must be 0 and 1 in some order",
                         a->batch_axis, a->time_axis);
    return dyno_infer_same_as_input(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_reverse_sequence_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const lens = ctx->in[1];
    const int64_t count = dyno_tensor_count(in);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    if (dyno_tensor_count(lens) != in->dims[a->batch_axis])
        return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                         "there are %" PRId64 " lengths for %" PRId64 " sequences",
                         dyno_tensor_count(lens), in->dims[a->batch_axis]);
    struct dyno_walk walk;
    dyno_walk_init(&walk, in->rank, in->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        const int64_t len = dyno_ref_i64(lens, walk.idx[a->batch_axis]);
        const int64_t t = walk.idx[a->time_axis];
        if (len < 0 || len > in->dims[a->time_axis])
            return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                             "a sequence is %" PRId64 " long, at most %" PRId64 " fit", len,
                             in->dims[a->time_axis]);
        const int64_t from = t < len ? len - 1 - t : t;
        dyno_ref_copy(in->dtype, ctx->out[0].data, i, in->data,
                      i + (from - t) * strides[a->time_axis]);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_reverse_sequence = {
    .onnx_name = "ReverseSequence",
    .since = 10,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_reverse_sequence_attrs),
    .infer = infer,
    .reference = reference,
};
