/* strength.c - dearer arithmetic with constants becomes cheaper arithmetic. */
#include <float.h>
#include <math.h>

#include "passes/clean.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_strength;

/* --- Pow --- */

static enum dyno_status weaken_pow(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    double exponent = 0;
    struct dyno_value *x = node->ins[0];
    if (!dyno_match_scalar(node->ins[1], &exponent) || !dyno_match_same_type(x, node->outs[0]))
        return DYNO_OK;
    struct dyno_value *const twice[2] = {x, x};
    bool ok = true;
    if (exponent == 2.0)
        ok = dyno_fuse_become(node, DYNO_OP_mul, twice, 2);
    else if (exponent == 0.5)
        ok = dyno_fuse_become(node, DYNO_OP_sqrt, twice, 1);
    else if (exponent == -1.0)
        ok = dyno_fuse_become(node, DYNO_OP_reciprocal, twice, 1);
    else
        return DYNO_OK;
    *changed_out = true;
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- Div --- */

/* 1/c is exact: c is a power of two, and neither c nor 1/c is denormal. */
static bool has_exact_reciprocal(float c)
{
    int exponent = 0;
    if (!isfinite(c) || c == 0.0F)
        return false;
    const float fraction = frexpf(c, &exponent);
    return fabsf(fraction) == 0.5F && exponent > FLT_MIN_EXP && exponent < FLT_MAX_EXP;
}

/* x / c is x * (1/c) bit for bit. */
static enum dyno_status weaken_div(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    const struct dyno_tensor *c = dyno_value_constant(node->ins[1]);
    if (c == NULL || c->dtype != DYNO_F32)
        return DYNO_OK;
    const int64_t count = dyno_tensor_count(c);
    const float *from = c->data;
    for (int64_t i = 0; i < count; i++) {
        if (!has_exact_reciprocal(from[i]))
            return DYNO_OK;
    }
    void *data = NULL;
    struct dyno_value *value =
        dyno_graph_constant_new(node->graph, node->ins[1]->name, DYNO_F32, c->rank, c->dims, &data);
    if (value == NULL)
        return DYNO_NOMEM(err);
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = 1.0F / from[i];
    struct dyno_value *const ins[2] = {node->ins[0], value};
    *changed_out = true;
    return dyno_fuse_become(node, DYNO_OP_mul, ins, 2) ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- chains --- */

/* (x * a) * b is x * (a*b): one rounding less, as long as a*b neither overflows nor fades away. */
static bool merge_factors(double a, double b, double *merged_out)
{
    const double product = (double)(float)(a * b);
    *merged_out = product;
    return isfinite(product) && fabs(product) >= (double)FLT_MIN && isfinite(a) && isfinite(b);
}

/* (x + a) + b is x + (a+b) when nothing cancels. */
static bool merge_terms(double a, double b, double *merged_out)
{
    const double sum = (double)(float)(a + b);
    *merged_out = sum;
    return isfinite(sum) && (a < 0.0) == (b < 0.0);
}

/* The chain's first link: a node of this op with a scalar, read by `node` alone. */
static struct dyno_node *first_link(const struct dyno_node *node, const struct dyno_value *via)
{
    struct dyno_node *first = via->producer;
    if (first == NULL || first->op != node->op || dyno_value_sole_user(via) != node ||
        !dyno_match_f32(first, first->op))
        return NULL;
    return first;
}

static enum dyno_status merge_chain(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    static const int64_t no_dims[1] = {0};
    double a = 0;
    double b = 0;
    double merged = 0;
    struct dyno_value *via = dyno_match_beside_scalar(node, &b);
    struct dyno_node *first = via != NULL ? first_link(node, via) : NULL;
    struct dyno_value *x = first != NULL ? dyno_match_beside_scalar(first, &a) : NULL;
    /* Scalars may have axes of size 1: none of them may be what gives the result its rank. */
    if (x == NULL || !dyno_match_same_type(x, node->outs[0]))
        return DYNO_OK;
    if (node->op == DYNO_OP_mul ? !merge_factors(a, b, &merged) : !merge_terms(a, b, &merged))
        return DYNO_OK;
    struct dyno_value *value = dyno_fuse_constant(node->graph, node->name, 0, no_dims, &merged);
    if (value == NULL || !dyno_node_add_origins(node, first))
        return DYNO_NOMEM(err);
    struct dyno_value *const ins[2] = {x, value};
    *changed_out = true;
    return dyno_fuse_become(node, node->op, ins, 2) ? DYNO_OK : DYNO_NOMEM(err);
}

/* x - c is x + (-c), bit for bit; only where that makes a chain. */
static enum dyno_status weaken_sub(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    static const int64_t no_dims[1] = {0};
    double c = 0;
    struct dyno_value *x = dyno_match_beside_scalar(node, &c);
    if (x == NULL || x != node->ins[0] || !dyno_match_same_type(x, node->outs[0]))
        return DYNO_OK;
    const struct dyno_node *before = x->producer;
    const struct dyno_node *after = dyno_value_sole_user(node->outs[0]);
    const bool makes_chain =
        (before != NULL && (before->op == DYNO_OP_add || before->op == DYNO_OP_sub)) ||
        (after != NULL && (after->op == DYNO_OP_add || after->op == DYNO_OP_sub));
    if (!makes_chain)
        return DYNO_OK;
    c = -c;
    struct dyno_value *value = dyno_fuse_constant(node->graph, node->name, 0, no_dims, &c);
    if (value == NULL)
        return DYNO_NOMEM(err);
    struct dyno_value *const ins[2] = {x, value};
    *changed_out = true;
    return dyno_fuse_become(node, DYNO_OP_add, ins, 2) ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status weaken_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                  struct dyno_err *err)
{
    (void)arg;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (!dyno_match_f32(node, node->op))
            continue;
        if (node->op == DYNO_OP_pow)
            DYNO_TRY(weaken_pow(node, changed_out, err));
        else if (node->op == DYNO_OP_div)
            DYNO_TRY(weaken_div(node, changed_out, err));
        else if (node->op == DYNO_OP_sub)
            DYNO_TRY(weaken_sub(node, changed_out, err));
        else if (node->op == DYNO_OP_mul || node->op == DYNO_OP_add)
            DYNO_TRY(merge_chain(node, changed_out, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_strength(struct dyno_graph *graph, bool *changed_out,
                                    struct dyno_err *err)
{
    return dyno_clean_each(graph, weaken_in, NULL, changed_out, err);
}
