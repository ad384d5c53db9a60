/* rnn_walk.c - what RNN, GRU and LSTM share: activations, shapes, and the walk over time. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/rnn.h"
#include "ops/values.h"

enum { IN_X, IN_W, IN_R, IN_BIAS, IN_LENGTHS, IN_H, IN_C, IN_PEEPHOLE };

const char *const dyno_rnn_direction_names[] = {"forward", "reverse", "bidirectional", NULL};

/* --- activations --- */

static double act_relu(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return x > 0 ? x : 0;
}

static double act_tanh(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return tanh(x);
}

static double act_sigmoid(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return 1 / (1 + exp(-x));
}

static double act_affine(double x, double alpha, double beta)
{
    return alpha * x + beta;
}

static double act_leaky_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x >= 0 ? x : alpha * x;
}

static double act_thresholded_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x >= alpha ? x : 0;
}

static double act_scaled_tanh(double x, double alpha, double beta)
{
    return alpha * tanh(beta * x);
}

static double act_hard_sigmoid(double x, double alpha, double beta)
{
    return fmin(fmax(alpha * x + beta, 0), 1);
}

static double act_elu(double x, double alpha, double beta)
{
    (void)beta;
    return x >= 0 ? x : alpha * expm1(x);
}

static double act_softsign(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return x / (1 + fabs(x));
}

static double act_softplus(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static const struct act_row {
    const char *name;
    double (*fn)(double x, double alpha, double beta);
    bool has_alpha, has_beta;
    double alpha, beta; /* fallbacks */
} act_rows[] = {
    {"Relu", act_relu, false, false, 0, 0},
    {"Tanh", act_tanh, false, false, 0, 0},
    {"Sigmoid", act_sigmoid, false, false, 0, 0},
    {"Affine", act_affine, true, true, 1, 0},
    {"LeakyRelu", act_leaky_relu, true, false, 0.01, 0},
    {"ThresholdedRelu", act_thresholded_relu, true, false, 1, 0},
    {"ScaledTanh", act_scaled_tanh, true, true, 1, 1},
    {"HardSigmoid", act_hard_sigmoid, true, true, 0.2, 0.5},
    {"Elu", act_elu, true, false, 1, 0},
    {"Softsign", act_softsign, false, false, 0, 0},
    {"Softplus", act_softplus, false, false, 0, 0},
};

static const struct act_row *find_act(const char *name, size_t bytes)
{
    for (size_t i = 0; i < DYNO_COUNT(act_rows); i++)
        if (strlen(act_rows[i].name) == bytes && strncasecmp(act_rows[i].name, name, bytes) == 0)
            return &act_rows[i];
    return NULL;
}

enum dyno_status dyno_rnn_acts(const struct dyno_rnn_attrs *a, const char *const *defaults,
                               int count_per, struct dyno_rnn_act *acts_out, struct dyno_err *err)
{
    const uint32_t want = (uint32_t)(count_per * dyno_rnn_direction_count(a));
    uint32_t alpha_idx = 0;
    uint32_t beta_idx = 0;
    if (a->activations.count != 0 && a->activations.count != want)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "activations has %u entries, wants %u",
                         a->activations.count, want);
    for (uint32_t i = 0; i < want; i++) {
        const char *name = defaults[i % (uint32_t)count_per];
        size_t bytes = strlen(name);
        if (a->activations.count != 0) {
            name = a->activations.at[i].text;
            bytes = a->activations.at[i].bytes;
        }
        const struct act_row *row = find_act(name, bytes);
        if (row == NULL)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "activations[%u] is '%.*s', which ONNX does not "
                             "name",
                             i, (int)(bytes < 64 ? bytes : 64), name);
        acts_out[i] = (struct dyno_rnn_act){row->fn, row->alpha, row->beta};
        if (row->has_alpha && alpha_idx < a->activation_alpha.count)
            acts_out[i].alpha = (double)a->activation_alpha.at[alpha_idx++];
        if (row->has_beta && beta_idx < a->activation_beta.count)
            acts_out[i].beta = (double)a->activation_beta.at[beta_idx++];
    }
    return DYNO_OK;
}

double dyno_rnn_apply(const struct dyno_rnn_step *step, int act, double x)
{
    const struct dyno_rnn_act *f = &step->acts[act];
    const double limit = (double)step->attrs->clip;
    return f->fn(limit > 0 ? fmin(fmax(x, -limit), limit) : x, f->alpha, f->beta);
}

/* --- shapes --- */

/* Axis `axis` of input idx, when known, is `want`. */
static enum dyno_status check_dim(struct dyno_infer *ctx, uint32_t idx, const char *name, int axis,
                                  int64_t want)
{
    int64_t got = 0;
    if (idx < ctx->in_count && want >= 0 && dyno_dim_const(ctx, ctx->in[idx], axis, &got) &&
        got != want)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has size %lld on axis %d, wants %lld", name,
                         (long long)got, axis, (long long)want);
    return DYNO_OK;
}

/* initial_h or initial_c: [D, B, H], or [B, D, H] with layout 1. */
static enum dyno_status check_state(struct dyno_infer *ctx, uint32_t idx, const char *name,
                                    int64_t hidden)
{
    const struct dyno_rnn_attrs *a = ctx->attrs;
    const int batch_axis = a->layout != 0 ? 0 : 1;
    int64_t batch = -1;
    if (!dyno_dim_const(ctx, ctx->in[IN_X], batch_axis, &batch))
        batch = -1;
    DYNO_TRY(check_dim(ctx, idx, name, batch_axis, batch));
    DYNO_TRY(check_dim(ctx, idx, name, 1 - batch_axis, dyno_rnn_direction_count(a)));
    return check_dim(ctx, idx, name, 2, hidden);
}

static enum dyno_status check_shapes(struct dyno_infer *ctx, int gates, int64_t hidden)
{
    const struct dyno_rnn_attrs *a = ctx->attrs;
    const int64_t directions = dyno_rnn_direction_count(a);
    const int64_t rows = hidden >= 0 ? gates * hidden : -1;
    int64_t inputs = -1;
    if (!dyno_dim_const(ctx, ctx->in[IN_X], 2, &inputs))
        inputs = -1;
    DYNO_TRY(dyno_check_rank(ctx, IN_X, "x", 3));
    DYNO_TRY(dyno_check_rank(ctx, IN_W, "w", 3));
    DYNO_TRY(dyno_check_rank(ctx, IN_R, "r", 3));
    DYNO_TRY(dyno_check_rank(ctx, IN_BIAS, "bias", 2));
    DYNO_TRY(dyno_check_rank(ctx, IN_LENGTHS, "sequence_lens", 1));
    DYNO_TRY(dyno_check_rank(ctx, IN_H, "initial_h", 3));
    DYNO_TRY(dyno_check_rank(ctx, IN_C, "initial_c", 3));
    DYNO_TRY(dyno_check_rank(ctx, IN_PEEPHOLE, "p", 2));
    DYNO_TRY(check_dim(ctx, IN_W, "w", 0, directions));
    DYNO_TRY(check_dim(ctx, IN_W, "w", 1, rows));
    DYNO_TRY(check_dim(ctx, IN_W, "w", 2, inputs));
    DYNO_TRY(check_dim(ctx, IN_R, "r", 0, directions));
    DYNO_TRY(check_dim(ctx, IN_R, "r", 1, rows));
    DYNO_TRY(check_dim(ctx, IN_R, "r", 2, hidden));
    DYNO_TRY(check_dim(ctx, IN_BIAS, "bias", 0, directions));
    DYNO_TRY(check_dim(ctx, IN_BIAS, "bias", 1, rows >= 0 ? 2 * rows : -1));
    DYNO_TRY(check_state(ctx, IN_H, "initial_h", hidden));
    DYNO_TRY(check_state(ctx, IN_C, "initial_c", hidden));
    DYNO_TRY(check_dim(ctx, IN_PEEPHOLE, "p", 0, directions));
    return check_dim(ctx, IN_PEEPHOLE, "p", 1, hidden >= 0 ? 3 * hidden : -1);
}

enum dyno_status dyno_rnn_infer(struct dyno_infer *ctx, int gates)
{
    const struct dyno_rnn_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    int64_t hidden = a->hidden_size;
    if (hidden < 0 || hidden > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "hidden_size is %lld, must be at least 1",
                         (long long)hidden);
    if (hidden == 0 && !dyno_dim_const(ctx, ctx->in[IN_R], 2, &hidden))
        hidden = -1;
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_BIAS, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_LENGTHS, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_check_classes(ctx, IN_H, IN_PEEPHOLE, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_X, "x", IN_W, "w"));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_X, "x", IN_R, "r"));
    DYNO_TRY(check_shapes(ctx, gates, hidden));
    const bool batch_first = a->layout != 0;
    const dyno_expr time = x->rank == 3 ? x->dims[batch_first ? 1 : 0] : DYNO_EXPR_NONE;
    const dyno_expr batch = x->rank == 3 ? x->dims[batch_first ? 0 : 1] : DYNO_EXPR_NONE;
    const dyno_expr directions = dyno_expr_const(ctx->exprs, dyno_rnn_direction_count(a));
    const dyno_expr width = hidden >= 0 ? dyno_expr_const(ctx->exprs, hidden) : DYNO_EXPR_NONE;
    const dyno_expr y_time[4] = {time, directions, batch, width};
    const dyno_expr y_batch[4] = {batch, time, directions, width};
    const dyno_expr h_time[3] = {directions, batch, width};
    const dyno_expr h_batch[3] = {batch, directions, width};
    DYNO_TRY(dyno_infer_set(ctx, 0, x->dtype, 4, batch_first ? y_batch : y_time));
    DYNO_TRY(dyno_infer_set(ctx, 1, x->dtype, 3, batch_first ? h_batch : h_time));
    return dyno_infer_set(ctx, 2, x->dtype, 3, batch_first ? h_batch : h_time);
}

/* --- the walk --- */

/* Inputs as doubles, and where things lie. */
struct walk {
    double *x, *w, *r, *bias, *h0, *c0, *peephole;
    double *scratch; /* wx, rh, scratch [3*G*H], h [H], c [H], zeros [2*G*H] */
    int64_t time, batch, inputs, hidden, gates, directions;
    bool batch_first;
};

static const struct dyno_tensor *input(const struct dyno_ref *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

static double *load_optional(const struct dyno_tensor *tensor, bool *failed)
{
    double *values = tensor != NULL ? dyno_values_load(tensor) : NULL;
    *failed = *failed || (tensor != NULL && values == NULL);
    return values;
}

/* Element of Y at step t, direction d, batch item b. */
static int64_t y_row(const struct walk *at, int64_t t, int64_t d, int64_t b)
{
    if (at->batch_first)
        return ((b * at->time + t) * at->directions + d) * at->hidden;
    return ((t * at->directions + d) * at->batch + b) * at->hidden;
}

/* Element of Y_h, Y_c, initial_h, initial_c. */
static int64_t h_row(const struct walk *at, int64_t d, int64_t b)
{
    return (at->batch_first ? b * at->directions + d : d * at->batch + b) * at->hidden;
}

/* out[rows] = matrix [rows, cols] . vector + bias */
static void multiply(int64_t rows, int64_t cols, const double *matrix, const double *vector,
                     const double *bias, double *out)
{
    for (int64_t i = 0; i < rows; i++) {
        double sum = bias[i];
        for (int64_t j = 0; j < cols; j++)
            sum += matrix[i * cols + j] * vector[j];
        out[i] = sum;
    }
}

/* One direction of one batch item. */
static void walk_one(struct dyno_ref *ctx, const struct walk *at, int64_t d, int64_t b,
                     int64_t length, const struct dyno_rnn_act *acts,
                     void (*step)(const struct dyno_rnn_step *step))
{
    const struct dyno_rnn_attrs *a = ctx->attrs;
    const int64_t rows = at->gates * at->hidden;
    double *wx = at->scratch;
    double *h = wx + 3 * rows;
    double *c = h + at->hidden;
    const double *zeros = c + at->hidden;
    const double *bias = at->bias != NULL ? at->bias + d * 2 * rows : zeros;
    const bool backward = a->direction == DYNO_RNN_REVERSE || d == 1;
    const struct dyno_rnn_step now = {
        .attrs = a,
        .acts = acts,
        .hidden = at->hidden,
        .wx = wx,
        .rh = wx + rows,
        .r = at->r + d * rows * at->hidden,
        .rb = bias + rows,
        .peephole = at->peephole != NULL ? at->peephole + d * 3 * at->hidden : NULL,
        .h = h,
        .c = c,
        .scratch = wx + 2 * rows,
    };
    const size_t bytes = (size_t)at->hidden * sizeof(double);
    memcpy(h, at->h0 != NULL ? at->h0 + h_row(at, d, b) : zeros, bytes);
    memcpy(c, at->c0 != NULL ? at->c0 + h_row(at, d, b) : zeros, bytes);
    for (int64_t i = 0; i < length; i++) {
        const int64_t t = backward ? length - 1 - i : i;
        const int64_t row = at->batch_first ? b * at->time + t : t * at->batch + b;
        multiply(rows, at->inputs, at->w + d * rows * at->inputs, at->x + row * at->inputs, bias,
                 wx);
        multiply(rows, at->hidden, now.r, h, now.rb, wx + rows);
        step(&now);
        if (ctx->out_count > 0)
            dyno_values_store_at(&ctx->out[0], y_row(at, t, d, b), h, at->hidden);
    }
    for (int64_t t = length; ctx->out_count > 0 && t < at->time; t++)
        dyno_values_store_at(&ctx->out[0], y_row(at, t, d, b), zeros, at->hidden);
    if (ctx->out_count > 1)
        dyno_values_store_at(&ctx->out[1], h_row(at, d, b), h, at->hidden);
    if (ctx->out_count > 2)
        dyno_values_store_at(&ctx->out[2], h_row(at, d, b), c, at->hidden);
}

static enum dyno_status walk_all(struct dyno_ref *ctx, const struct walk *at,
                                 const struct dyno_rnn_act *acts, int acts_per,
                                 void (*step)(const struct dyno_rnn_step *step))
{
    const struct dyno_tensor *lengths = input(ctx, IN_LENGTHS);
    if (lengths != NULL && dyno_tensor_count(lengths) != at->batch)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "sequence_lens has %lld entries, wants %lld",
                         (long long)dyno_tensor_count(lengths), (long long)at->batch);
    for (int64_t b = 0; b < at->batch; b++) {
        const int64_t length = lengths != NULL ? dyno_ref_i64(lengths, b) : at->time;
        if (length < 0 || length > at->time)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "sequence_lens[%lld] is %lld, must be 0..%lld", (long long)b,
                             (long long)length, (long long)at->time);
        for (int64_t d = 0; d < at->directions; d++)
            walk_one(ctx, at, d, b, length, acts + d * acts_per, step);
    }
    return DYNO_OK;
}

enum dyno_status dyno_rnn_run(struct dyno_ref *ctx, int gates, const char *const *default_acts,
                              int acts_per, void (*step)(const struct dyno_rnn_step *step))
{
    const struct dyno_rnn_attrs *a = ctx->attrs;
    const int64_t *x_dims = ctx->in[IN_X]->dims;
    struct dyno_rnn_act acts[2 * DYNO_RNN_ACTS_MAX];
    bool failed = false;
    DYNO_ASSERT(acts_per <= DYNO_RNN_ACTS_MAX);
    DYNO_TRY(dyno_rnn_acts(a, default_acts, acts_per, acts, ctx->err));
    struct walk at = {
        .x = load_optional(ctx->in[IN_X], &failed),
        .w = load_optional(ctx->in[IN_W], &failed),
        .r = load_optional(ctx->in[IN_R], &failed),
        .bias = load_optional(input(ctx, IN_BIAS), &failed),
        .h0 = load_optional(input(ctx, IN_H), &failed),
        .c0 = load_optional(input(ctx, IN_C), &failed),
        .peephole = load_optional(input(ctx, IN_PEEPHOLE), &failed),
        .time = x_dims[a->layout != 0 ? 1 : 0],
        .batch = x_dims[a->layout != 0 ? 0 : 1],
        .inputs = x_dims[2],
        .hidden = ctx->in[IN_R]->dims[2],
        .gates = gates,
        .directions = dyno_rnn_direction_count(a),
        .batch_first = a->layout != 0,
    };
    at.scratch = dyno_alloc((size_t)(at.hidden * (5 * gates + 2)) + 1, sizeof(double));
    enum dyno_status status = DYNO_OK;
    if (failed || at.scratch == NULL)
        status = DYNO_NOMEM(ctx->err);
    else
        status = walk_all(ctx, &at, acts, acts_per, step);
    dyno_free(at.scratch);
    dyno_free(at.peephole);
    dyno_free(at.c0);
    dyno_free(at.h0);
    dyno_free(at.bias);
    dyno_free(at.r);
    dyno_free(at.w);
    dyno_free(at.x);
    return status;
}
