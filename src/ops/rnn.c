/* rnn.c - RNN-22: h = f(W x + Wb + R h + Rb). */
#include "ops/rnn.h"

#define FIELD(name) offsetof(struct dyno_rnn_attrs, name)
static const struct dyno_attr attrs[] = {
    {"activation_alpha", DYNO_ATTR_F32S, FIELD(activation_alpha), 0, NULL, 0},
    {"activation_beta", DYNO_ATTR_F32S, FIELD(activation_beta), 0, NULL, 0},
    {"activations", DYNO_ATTR_STRS, FIELD(activations), 0, NULL, 0},
    {"clip", DYNO_ATTR_F32, FIELD(clip), 0, NULL, 0},
    {"direction", DYNO_ATTR_ENUM, FIELD(direction), DYNO_RNN_FORWARD, dyno_rnn_direction_names, 0},
    {"hidden_size", DYNO_ATTR_I64, FIELD(hidden_size), 0, NULL, 0},
    {"layout", DYNO_ATTR_I64, FIELD(layout), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_rnn_infer(ctx, 1);
}

static double apply(const struct dyno_rnn_step *step, int act, double x)
{
    const struct dyno_rnn_act *f = &step->acts[act];
    return f->fn(dyno_rnn_clip(step->attrs, x), f->alpha, f->beta);
}

static void one_step(const struct dyno_rnn_step *step)
{
    for (int64_t i = 0; i < step->hidden; i++)
        step->h[i] = apply(step, 0, step->wx[i] + step->rh[i]);
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
