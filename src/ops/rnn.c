/* rnn.c - RNN-22: h = f(W x + Wb + R h + Rb). */
#include "ops/rnn.h"

static const struct dyno_attr attrs[] = {
    DYNO_RNN_ATTR_ROWS,
    {"layout", DYNO_ATTR_I64, DYNO_RNN_ATTR(layout), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_rnn_infer(ctx, 1);
}

static void one_step(const struct dyno_rnn_step *step)
{
    for (int64_t i = 0; i < step->hidden; i++)
        step->h[i] = dyno_rnn_apply(step, 0, step->wx[i] + step->rh[i]);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const char *const default_acts[] = {"Tanh"};
    return dyno_rnn_run(ctx, 1, default_acts, 1, one_step);
}

const struct dyno_op dyno_op_rnn = {
    .onnx_name = "RNN",
    .domain = "",
    .since = 22,
    .in_min = 3,
    .in_max = 6,
    .out_min = 0,
    .out_max = 2,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_rnn_attrs),
    .infer = infer,
    .reference = reference,
};
