/* fuse_layer_norm.c - LayerNormalization out of the arithmetic that exporters write:
 *
 *   d = x - mean(x);  v = mean(d * d);  y = d / sqrt(v + epsilon) [* scale] [+ bias]
 *
 * over the last axis.  d * d may be Pow(d, 2), the quotient a product with a reciprocal or with
 * Pow(., -0.5).  The match starts at the quotient; scale and bias are looked for behind it. */
#include "base/mem.h"
#include "ops/norm.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_layer_norm;

/* The ReduceMean over the last axis, with keepdims, that makes input idx of `user`. */
static struct dyno_node *last_axis_mean(const struct dyno_node *user, uint32_t idx)
{
    struct dyno_node *node = dyno_match_in(user, idx, DYNO_OP_reduce_mean);
    int64_t axis = 0;
    uint32_t count = 0;
    if (node == NULL || node->in_count < 2 || node->ins[0]->type.dtype != DYNO_F32 ||
        dyno_match_attr_i64(node, "keepdims", 1) == 0 ||
        !dyno_match_ints(node->graph, node->ins[1], &axis, 1, &count) || count != 1)
        return NULL;
    const int rank = node->ins[0]->type.rank;
    return rank > 0 && (axis == -1 || axis == rank - 1) ? node : NULL;
}

/* x of d = x - mean(x). */
static struct dyno_value *centred(const struct dyno_node *user, uint32_t idx,
                                  struct dyno_match *match)
{
    struct dyno_node *sub = dyno_match_in(user, idx, DYNO_OP_sub);
    struct dyno_node *mean = sub != NULL ? last_axis_mean(sub, 1) : NULL;
    if (mean == NULL || mean->ins[0] != sub->ins[0])
        return NULL;
    dyno_match_add(match, sub);
    dyno_match_add(match, mean);
    return sub->ins[0];
}

/* x and epsilon when input idx of `user` is mean((x - mean(x))^2) + epsilon. */
static struct dyno_value *variance(const struct dyno_node *user, uint32_t idx, double *epsilon_out,
                                   struct dyno_match *match)
{
    struct dyno_node *add = dyno_match_in(user, idx, DYNO_OP_add);
    struct dyno_value *var = add != NULL ? dyno_match_beside_scalar(add, epsilon_out) : NULL;
    if (var == NULL)
        return NULL;
    struct dyno_node *mean = last_axis_mean(add, var == add->ins[0] ? 0 : 1);
    if (mean == NULL)
        return NULL;
    struct dyno_node *square = dyno_match_in(mean, 0, DYNO_OP_mul);
    struct dyno_node *pow = dyno_match_in(mean, 0, DYNO_OP_pow);
    int64_t whole = 0;
    double exponent = 0.0;
    uint32_t count = 0;
    if (square != NULL && square->ins[0] != square->ins[1])
        return NULL;
    if (pow != NULL && !(dyno_match_scalar(pow->ins[1], &exponent) && exponent == 2.0) &&
        !(dyno_match_ints(pow->graph, pow->ins[1], &whole, 1, &count) && count == 1 && whole == 2))
        return NULL;
    if (square == NULL)
        square = pow;
    dyno_match_add(match, add);
    dyno_match_add(match, mean);
    dyno_match_add(match, square);
    return square != NULL ? centred(square, 0, match) : NULL;
}

/* x when input idx of `user` is sqrt(variance). */
static struct dyno_value *deviation(const struct dyno_node *user, uint32_t idx, double *epsilon_out,
                                    struct dyno_match *match)
{
    struct dyno_node *node = dyno_match_in(user, idx, DYNO_OP_sqrt);
    double exponent = 0.0;
    if (node == NULL) {
        node = dyno_match_in(user, idx, DYNO_OP_pow);
        if (node == NULL || !dyno_match_scalar(node->ins[1], &exponent) || exponent != 0.5)
            return NULL;
    }
    dyno_match_add(match, node);
    return variance(node, 0, epsilon_out, match);
}

/* x when input idx of `user` is 1 / sqrt(variance). */
static struct dyno_value *inverse_deviation(const struct dyno_node *user, uint32_t idx,
                                            double *epsilon_out, struct dyno_match *match)
{
    double number = 0.0;
    struct dyno_node *node = dyno_match_in(user, idx, DYNO_OP_pow);
    if (node != NULL && dyno_match_scalar(node->ins[1], &number) && number == -0.5) {
        dyno_match_add(match, node);
        return variance(node, 0, epsilon_out, match);
    }
    node = dyno_match_in(user, idx, DYNO_OP_reciprocal);
    uint32_t divisor = 0;
    if (node == NULL) {
        node = dyno_match_in(user, idx, DYNO_OP_div);
        divisor = 1;
        if (node == NULL || !dyno_match_scalar(node->ins[0], &number) || number != 1.0)
            return NULL;
    }
    dyno_match_add(match, node);
    return deviation(node, divisor, epsilon_out, match);
}

/* x when `node` is (x - mean(x)) / sqrt(variance of x). */
static struct dyno_value *normalised(const struct dyno_node *node, double *epsilon_out,
                                     struct dyno_match *match)
{
    if (dyno_match_f32(node, DYNO_OP_div)) {
        struct dyno_value *x = deviation(node, 1, epsilon_out, match);
        return x != NULL && centred(node, 0, match) == x ? x : NULL;
    }
    if (!dyno_match_f32(node, DYNO_OP_mul))
        return NULL;
    for (uint32_t i = 0; i < 2; i++) {
        struct dyno_match tried = {.count = 0};
        struct dyno_value *x = inverse_deviation(node, i, epsilon_out, &tried);
        if (x != NULL && centred(node, 1 - i, &tried) == x) {
            *match = tried;
            return x;
        }
    }
    return NULL;
}

/* `value` as one number a place along the last axis of x, shape [count]: itself, or a constant of
 * that shape.  NULL when it is no such thing or memory ran out (then *status_out says so). */
static struct dyno_value *as_vector(struct dyno_graph *graph, struct dyno_value *value,
                                    const struct dyno_value *x, int64_t count,
                                    enum dyno_status *status_out)
{
    int64_t size = 0;
    if (value == NULL || value->type.dtype != DYNO_F32)
        return NULL;
    if (value->type.rank == 1 && dyno_value_dim(graph, value, 0, &size) && size == count)
        return value;
    double *numbers = dyno_alloc((size_t)count, sizeof(*numbers));
    struct dyno_value *made = NULL;
    if (numbers == NULL) {
        *status_out = DYNO_E_NOMEM;
    } else if (dyno_match_channel(graph, value, x, x->type.rank - 1, numbers, count)) {
        made = dyno_fuse_constant(graph, value->name, 1, &count, numbers);
        *status_out = made != NULL ? DYNO_OK : DYNO_E_NOMEM;
    }
    dyno_free(numbers);
    return made;
}

static struct dyno_value *ones(struct dyno_graph *graph, int64_t count)
{
    void *data = NULL;
    struct dyno_value *made = dyno_graph_constant_new(graph, NULL, DYNO_F32, 1, &count, &data);
    for (int64_t i = 0; i < count && made != NULL; i++)
        ((float *)data)[i] = 1.0F;
    return made != NULL && dyno_graph_constant_done(graph, made) ? made : NULL;
}

/* The `op` behind *node_io that applies a vector to its whole result; moves *node_io there. */
static struct dyno_value *vector_behind(struct dyno_node **node_io, enum dyno_op_id op,
                                        const struct dyno_value *x, int64_t count,
                                        struct dyno_match *match, enum dyno_status *status_out)
{
    struct dyno_node *node = *node_io;
    struct dyno_node *user = dyno_value_sole_user(node->outs[0]);
    if (user == NULL || !dyno_match_f32(user, op) ||
        !dyno_match_same_type(user->outs[0], node->outs[0]))
        return NULL;
    struct dyno_value *other = dyno_match_beside(user, node->outs[0]);
    /* A vector that is computed may be made after the node that stays: only the last one stays. */
    struct dyno_value *vector = as_vector(node->graph, other, x, count, status_out);
    if (vector == NULL)
        return NULL;
    dyno_match_add(match, node);
    *node_io = user;
    return vector;
}

/* `node` is the quotient; *next_io: where the walk goes on. */
static enum dyno_status fuse(struct dyno_node *node, struct dyno_node **next_io, bool *changed_out,
                             struct dyno_err *err)
{
    const struct dyno_node *quotient = node;
    struct dyno_match match = {.count = 0};
    struct dyno_graph *graph = node->graph;
    double epsilon = 0.0;
    int64_t count = 0;
    enum dyno_status status = DYNO_OK;
    struct dyno_value *x = normalised(node, &epsilon, &match);
    if (x == NULL || !dyno_match_same_type(x, node->outs[0]) ||
        !dyno_value_dim(graph, x, x->type.rank - 1, &count))
        return DYNO_OK;
    struct dyno_value *ins[3] = {x, NULL, NULL};
    ins[1] = vector_behind(&node, DYNO_OP_mul, x, count, &match, &status);
    if (status == DYNO_OK)
        ins[2] = vector_behind(&node, DYNO_OP_add, x, count, &match, &status);
    if (status == DYNO_OK && ins[1] == NULL)
        ins[1] = ones(graph, count);
    if (ins[1] == NULL ||
        !dyno_fuse_become(node, DYNO_OP_layer_normalization, ins, ins[2] != NULL ? 3 : 2))
        return DYNO_NOMEM(err);
    struct dyno_layer_norm_attrs *attrs = node->attrs;
    attrs->axis = -1;
    attrs->epsilon = (float)epsilon;
    *next_io = dyno_match_next(quotient, &match);
    *changed_out = true;
    return dyno_fuse_absorb(node, &match) ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_pass_fuse_layer_norm(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        if (node->op == DYNO_OP_div || node->op == DYNO_OP_mul)
            DYNO_TRY(fuse(node, &next, changed_out, err));
    }
    return DYNO_OK;
}
