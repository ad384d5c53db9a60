/* rnn.h - attributes of RNN, GRU and LSTM.
 *
 * x [T, B, I] (layout 0) or [B, T, I] (layout 1); w [D, G*H, I]; r [D, G*H, H]; bias [D, 2*G*H];
 * G: 1 (RNN), 3 (GRU: z r h), 4 (LSTM: i o f c); D: 1, or 2 when bidirectional.
 */
#ifndef DYNO_OPS_RNN_H
#define DYNO_OPS_RNN_H

#include "ops/op.h"

enum dyno_rnn_direction {
    DYNO_RNN_FORWARD,
    DYNO_RNN_REVERSE,
    DYNO_RNN_BIDIRECTIONAL,
};

extern const char *const dyno_rnn_direction_names[]; /* NULL-terminated */

#define DYNO_RNN_ACTS_MAX 3 /* activations of a direction */

struct dyno_rnn_attrs {
    struct dyno_f32s activation_alpha; /* for the activations that take it, in order */
    struct dyno_f32s activation_beta;
    struct dyno_strs
        activations;      /* absent: Tanh (RNN); Sigmoid Tanh (GRU); Sigmoid Tanh Tanh (LSTM) */
    float clip;           /* 0: none; else inputs of activations are clamped to +-clip */
    int32_t direction;    /* enum dyno_rnn_direction */
    int64_t hidden_size;  /* H; 0: taken from r */
    int64_t input_forget; /* LSTM: couple the input and forget gates */
    int64_t layout;       /* 0: time first; 1: batch first */
    int64_t linear_before_reset; /* GRU */
};

/* The first rows of their attributes; "layout" comes later, as rows are in the order of the names.
 */
#define DYNO_RNN_ATTR(name) offsetof(struct dyno_rnn_attrs, name)
#define DYNO_RNN_ATTR_ROWS                                                               \
    {"activation_alpha", DYNO_ATTR_F32S, DYNO_RNN_ATTR(activation_alpha), 0, NULL, 0},   \
        {"activation_beta", DYNO_ATTR_F32S, DYNO_RNN_ATTR(activation_beta), 0, NULL, 0}, \
        {"activations", DYNO_ATTR_STRS, DYNO_RNN_ATTR(activations), 0, NULL, 0},         \
        {"clip", DYNO_ATTR_F32, DYNO_RNN_ATTR(clip), 0, NULL, 0},                        \
        {"direction",      DYNO_ATTR_ENUM,           DYNO_RNN_ATTR(direction),           \
         DYNO_RNN_FORWARD, dyno_rnn_direction_names, 0},                                 \
    {                                                                                    \
        "hidden_size", DYNO_ATTR_I64, DYNO_RNN_ATTR(hidden_size), 0, NULL, 0             \
    }

static inline int dyno_rnn_direction_count(const struct dyno_rnn_attrs *attrs)
{
    return attrs->direction == DYNO_RNN_BIDIRECTIONAL ? 2 : 1;
}

/* Shape rule; `gates`: G.  Outputs Y, Y_h and (LSTM) Y_c. */
enum dyno_status dyno_rnn_infer(struct dyno_infer *ctx, int gates);

/* One activation of a cell. */
struct dyno_rnn_act {
    double (*fn)(double x, double alpha, double beta);
    double alpha, beta;
};

/* The activations of every direction: acts_out[direction * count_per + i].  defaults[count_per]. */
enum dyno_status dyno_rnn_acts(const struct dyno_rnn_attrs *attrs, const char *const *defaults,
                               int count_per, struct dyno_rnn_act *acts_out, struct dyno_err *err);

/* Everything a step of one batch item sees; gates in the order that w and r have. */
struct dyno_rnn_step {
    const struct dyno_rnn_attrs *attrs;
    const struct dyno_rnn_act *acts; /* of this direction */
    int64_t hidden;
    const double *wx;       /* [G*H] W.x + Wb */
    const double *rh;       /* [G*H] R.h + Rb */
    const double *r;        /* [G*H, H] of this direction */
    const double *rb;       /* [G*H] recurrent bias of this direction */
    const double *peephole; /* [3*H] LSTM (i o f); NULL: none */
    double *h;              /* [H] in: previous, out: next */
    double *c;              /* [H] LSTM's cell; NULL otherwise */
    double *scratch;        /* [G*H] */
};

/* Walks directions, batches and time, calls `step`, writes Y, Y_h, Y_c. */
enum dyno_status dyno_rnn_run(struct dyno_ref *ctx, int gates, const char *const *default_acts,
                              int acts_per, void (*step)(const struct dyno_rnn_step *step));

/* Activation `act` of the step's direction, of x clipped. */
double dyno_rnn_apply(const struct dyno_rnn_step *step, int act, double x);

#endif /* DYNO_OPS_RNN_H */
