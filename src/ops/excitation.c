/* excitation.c - Dyno's Excitation: two products of a map's means, an activation between them. */
#include "ops/excitation.h"

#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"act", DYNO_ATTR_I64, offsetof(struct dyno_excitation_attrs, act), 0, NULL, 0},
};

enum { IN_X, IN_W1, IN_W2, IN_B1, IN_B2, IN_COUNT };

static const char *const names[] = {"x", "w1", "w2", "b1", "b2"};

/* Axis `axis` of input `in` has as many as `other` has on `other_axis`, where both are known. */
static enum dyno_status check_equal(struct dyno_infer *ctx, uint32_t in, int axis, uint32_t other,
                                    int other_axis)
{
    int64_t a = 0, b = 0;
    if (in < ctx->in_count && ctx->in[in] != NULL && dyno_dim_const(ctx, ctx->in[in], axis, &a) &&
        dyno_dim_const(ctx, ctx->in[other], other_axis, &b) && a != b)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has size %lld on axis %d but %s has %lld",
                         names[in], (long long)a, axis, names[other], (long long)b);
    return DYNO_OK;
}

/* One tap: all axes behind the second are 1. */
static enum dyno_status check_weight(struct dyno_infer *ctx, uint32_t idx)
{
    int64_t size = 1;
    const struct dyno_type *type = ctx->in[idx];
    const int rank = ctx->in[IN_X]->rank;
    if (type->rank >= 0 && rank >= 0 && type->rank != rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has rank %d, wants that of x, %d", names[idx],
                         type->rank, rank);
    for (int i = 2; i < type->rank; i++) {
        if (dyno_dim_const(ctx, type, i, &size) && size != 1)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has size %lld on axis %d, wants 1",
                             names[idx], (long long)size, i);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_excitation_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    dyno_expr dims[DYNO_RANK_MAX];
    if (a->act != DYNO_EXCITATION_RELU && a->act != DYNO_EXCITATION_SILU)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "act is %lld, must be 0 or 1", (long long)a->act);
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_B2, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_X, "x", IN_W1, "w1"));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_X, "x", IN_W2, "w2"));
    if (x->rank >= 0 && x->rank < 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 3", x->rank);
    DYNO_TRY(check_weight(ctx, IN_W1));
    DYNO_TRY(check_weight(ctx, IN_W2));
    DYNO_TRY(check_equal(ctx, IN_W1, 1, IN_X, 1));
    DYNO_TRY(check_equal(ctx, IN_W2, 1, IN_W1, 0));
    DYNO_TRY(check_equal(ctx, IN_B1, 0, IN_W1, 0));
    DYNO_TRY(check_equal(ctx, IN_B2, 0, IN_W2, 0));
    if (ctx->in_count > IN_B1 && ctx->in[IN_B1] != NULL)
        DYNO_TRY(dyno_check_rank(ctx, IN_B1, "b1", 1));
    if (ctx->in_count > IN_B2 && ctx->in[IN_B2] != NULL)
        DYNO_TRY(dyno_check_rank(ctx, IN_B2, "b2", 1));
    for (int i = 0; i < x->rank; i++)
        dims[i] = i == 0 ? x->dims[0] : dyno_expr_const(ctx->exprs, 1);
    if (x->rank >= 0)
        dims[1] = ctx->in[IN_W2]->rank >= 2 ? ctx->in[IN_W2]->dims[0] : DYNO_EXPR_NONE;
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

static double activate(double a, int64_t act)
{
    return act == DYNO_EXCITATION_SILU ? a / (1.0 + exp(-a)) : (a < 0.0 ? 0.0 : a);
}

/* to[rows] = weights[rows][count] . from[count] + bias */
static void product(double *to, int64_t rows, const double *weights, const double *bias,
                    const double *from, int64_t count)
{
    for (int64_t i = 0; i < rows; i++) {
        to[i] = bias != NULL ? bias[i] : 0.0;
        for (int64_t k = 0; k < count; k++)
            to[i] += weights[i * count + k] * from[k];
    }
}

static void run(struct dyno_ref *ctx, double *const loaded[IN_COUNT], double *means, double *hidden,
                double *out)
{
    const struct dyno_excitation_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const int64_t c = x->dims[1], r = ctx->in[IN_W1]->dims[0], m = ctx->in[IN_W2]->dims[0];
    int64_t positions = 1;
    for (int i = 2; i < x->rank; i++)
        positions *= x->dims[i];
    for (int64_t n = 0; n < x->dims[0]; n++) {
        for (int64_t k = 0; k < c; k++) {
            means[k] = 0.0;
            for (int64_t i = 0; i < positions; i++)
                means[k] += loaded[IN_X][(n * c + k) * positions + i];
            means[k] /= (double)positions;
        }
        product(hidden, r, loaded[IN_W1], loaded[IN_B1], means, c);
        for (int64_t i = 0; i < r; i++)
            hidden[i] = activate(hidden[i], a->act);
        product(out, m, loaded[IN_W2], loaded[IN_B2], hidden, r);
        dyno_values_store_at(&ctx->out[0], n * m, out, m);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    double *loaded[IN_COUNT] = {NULL};
    double *means = dyno_values_alloc(ctx->in[IN_X]->dims[1]);
    double *hidden = dyno_values_alloc(ctx->in[IN_W1]->dims[0]);
    double *out = dyno_values_alloc(ctx->in[IN_W2]->dims[0]);
    bool ok = means != NULL && hidden != NULL && out != NULL;
    for (uint32_t i = 0; ok && i < ctx->in_count; i++) {
        if (ctx->in[i] == NULL)
            continue;
        loaded[i] = dyno_values_load(ctx->in[i]);
        ok = loaded[i] != NULL;
    }
    ok = ok && loaded[IN_X] != NULL && loaded[IN_W1] != NULL && loaded[IN_W2] != NULL;
    if (ok)
        run(ctx, loaded, means, hidden, out);
    for (int i = 0; i < IN_COUNT; i++)
        dyno_free(loaded[i]);
    dyno_free(out);
    dyno_free(hidden);
    dyno_free(means);
    return ok ? DYNO_OK : DYNO_NOMEM(ctx->err);
}

const struct dyno_op dyno_op_excitation = {
    .onnx_name = "Excitation",
    .domain = "dyno",
    .since = 1,
    .in_min = 3,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_excitation_attrs),
    .infer = infer,
    .reference = reference,
};
