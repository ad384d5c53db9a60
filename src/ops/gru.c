/* gru.c - GRU-22: gates z r h. */
#include "ops/rnn.h"

static const struct dyno_attr attrs[] = {
    DYNO_RNN_ATTR_ROWS,
    {"layout", DYNO_ATTR_I64, DYNO_RNN_ATTR(layout), 0, NULL, 0},
    {"linear_before_reset", DYNO_ATTR_I64, DYNO_RNN_ATTR(linear_before_reset), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_rnn_infer(ctx, 3);
}

/* R_h . (r * h) + Rb_h for every unit: the reset gate comes before the product. */
static void reset_first(const struct dyno_rnn_step *step, const double *reset, double *out)
{
    const int64_t n = step->hidden;
    const double *matrix = step->r + 2 * n * n;
    for (int64_t i = 0; i < n; i++) {
        out[i] = step->rb[2 * n + i];
        for (int64_t j = 0; j < n; j++)
            out[i] += matrix[i * n + j] * reset[j] * step->h[j];
    }
}

static void one_step(const struct dyno_rnn_step *step)
{
    const int64_t n = step->hidden;
    double *update = step->scratch;
    double *reset = update + n;
    double *hidden = reset + n;
    for (int64_t i = 0; i < n; i++) {
        update[i] = dyno_rnn_apply(step, 0, step->wx[i] + step->rh[i]);
        reset[i] = dyno_rnn_apply(step, 0, step->wx[n + i] + step->rh[n + i]);
    }
    if (step->attrs->linear_before_reset == 0)
        reset_first(step, reset, hidden);
    else
        for (int64_t i = 0; i < n; i++)
            hidden[i] = reset[i] * step->rh[2 * n + i];
    for (int64_t i = 0; i < n; i++) {
        const double candidate = dyno_rnn_apply(step, 1, step->wx[2 * n + i] + hidden[i]);
        step->h[i] = (1 - update[i]) * candidate + update[i] * step->h[i];
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const char *const default_acts[] = {"Sigmoid", "Tanh"};
    return dyno_rnn_run(ctx, 3, default_acts, 2, one_step);
}

const struct dyno_op dyno_op_gru = {
    .onnx_name = "GRU",
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
