/* lstm.c - LSTM-22: gates i o f c. */
#include "ops/rnn.h"

#define FIELD(name) offsetof(struct dyno_rnn_attrs, name)
static const struct dyno_attr attrs[] = {
    {"activation_alpha", DYNO_ATTR_F32S, FIELD(activation_alpha), 0, NULL, 0},
    {"activation_beta", DYNO_ATTR_F32S, FIELD(activation_beta), 0, NULL, 0},
    {"activations", DYNO_ATTR_STRS, FIELD(activations), 0, NULL, 0},
    {"clip", DYNO_ATTR_F32, FIELD(clip), 0, NULL, 0},
    {"direction", DYNO_ATTR_ENUM, FIELD(direction), DYNO_RNN_FORWARD, dyno_rnn_direction_names, 0},
    {"hidden_size", DYNO_ATTR_I64, FIELD(hidden_size), 0, NULL, 0},
    {"input_forget", DYNO_ATTR_I64, FIELD(input_forget), 0, NULL, 0},
    {"layout", DYNO_ATTR_I64, FIELD(layout), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_rnn_infer(ctx, 4);
}

static double apply(const struct dyno_rnn_step *step, int act, double x)
{
    const struct dyno_rnn_act *f = &step->acts[act];
    return f->fn(dyno_rnn_clip(step->attrs, x), f->alpha, f->beta);
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
        in = apply(step, 0, in);
        forget = step->attrs->input_forget != 0 ? 1 - in : apply(step, 0, forget);
        const double candidate = apply(step, 1, step->wx[3 * n + i] + step->rh[3 * n + i]);
        const double next = forget * cell + in * candidate;
        if (peephole != NULL)
            out += peephole[n + i] * next;
        step->c[i] = next;
        step->h[i] = apply(step, 0, out) * apply(step, 2, next);
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
