/* lstm.c - LSTM-22: gates i o f c. */
#include "ops/rnn.h"

static const struct dyno_attr attrs[] = {
    DYNO_RNN_ATTR_ROWS,
    {"input_forget", DYNO_ATTR_I64, DYNO_RNN_ATTR(input_forget), 0, NULL, 0},
    {"layout", DYNO_ATTR_I64, DYNO_RNN_ATTR(layout), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_rnn_infer(ctx, 4);
}

static void one_step(const struct dyno_rnn_step *step)
{
    const int64_t n = step->hidden;
    const double *peephole = step->peephole;
    for (int64_t i = 0; i < n; i++) {
        const double cell = step->c[i];
        double in = step->wx[i] + step->rh[i];
        double out = step->wx[n + i] + step->rh[n + i];
        double forget = step->wx[2 * n + i] + step->rh[2 * n + i];
        if (peephole != NULL) {
            in += peephole[i] * cell;
            forget += peephole[2 * n + i] * cell;
        }
        in = dyno_rnn_apply(step, 0, in);
        forget = step->attrs->input_forget != 0 ? 1 - in : dyno_rnn_apply(step, 0, forget);
        const double candidate = dyno_rnn_apply(step, 1, step->wx[3 * n + i] + step->rh[3 * n + i]);
        const double next = forget * cell + in * candidate;
        if (peephole != NULL)
            out += peephole[n + i] * next;
        step->c[i] = next;
        step->h[i] = dyno_rnn_apply(step, 0, out) * dyno_rnn_apply(step, 2, next);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const char *const default_acts[] = {"Sigmoid", "Tanh", "Tanh"};
    return dyno_rnn_run(ctx, 4, default_acts, 3, one_step);
}

const struct dyno_op dyno_op_lstm = {
    .onnx_name = "LSTM",
    .domain = "",
    .since = 22,
    .in_min = 3,
    .in_max = 8,
    .out_min = 0,
    .out_max = 3,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_rnn_attrs),
    .infer = infer,
    .reference = reference,
};
