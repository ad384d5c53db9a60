/* fuse_activation.c - activations out of their arithmetic: Gelu (erf and tanh), Swish, HardSwish,
 * Mish.
 *
 * All are c * x * s(x) with a special s: 1 + erf(x / sqrt 2), 1 + tanh(...), sigmoid(a * x), ...
 * The match starts at s and follows its only user, then that one's, through products with x and
 * with numbers, in whatever order they were written, until x is in and the number is c. */
#include <math.h>

#include "ops/activation.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_activation;

#define SQRT_2         1.41421356237309505
#define SQRT_2_OVER_PI 0.79788456080286536

/* What a node was found to be. */
struct activation {
    enum dyno_op_id op;
    struct dyno_value *x;
    double factor; /* c */
    double alpha;  /* Swish */
    bool is_tanh;  /* Gelu */
    struct dyno_match match;
};

/* `value` as number * something: through at most one product or quotient with a number. */
static struct dyno_value *strip_number(struct dyno_value *value, double *number_out,
                                       struct dyno_node **node_out)
{
    struct dyno_node *node = value->producer;
    double number = 1.0;
    *number_out = 1.0;
    *node_out = NULL;
    if (!dyno_match_f32(node, DYNO_OP_mul) && !dyno_match_f32(node, DYNO_OP_div))
        return value;
    struct dyno_value *beside = dyno_match_beside_scalar(node, &number);
    if (beside == NULL)
        return value;
    *number_out = node->op == DYNO_OP_div ? 1.0 / number : number;
    *node_out = node;
    return beside;
}

/* --- the cubic inside the tanh form --- */

/* How often x is a factor of `value`, and the product of the numbers beside it; -1: there is more.
 */
static int power_of(struct dyno_value *value, const struct dyno_value *x, double *number,
                    struct dyno_match *match, int depth)
{
    struct dyno_node *node = value->producer;
    double scalar = 0.0;
    if (value == x)
        return 1;
    if (dyno_match_scalar(value, &scalar)) {
        *number *= scalar;
        return 0;
    }
    if (depth == 0 || node == NULL)
        return -1;
    dyno_match_add(match, node);
    if (dyno_match_f32(node, DYNO_OP_mul)) {
        const int a = power_of(node->ins[0], x, number, match, depth - 1);
        const int b = power_of(node->ins[1], x, number, match, depth - 1);
        return a < 0 || b < 0 ? -1 : a + b;
    }
    if (node->op == DYNO_OP_pow && node->tail.instr_count == 0 && node->ins[0] == x &&
        dyno_value_constant(node->ins[1]) != NULL &&
        dyno_tensor_count(dyno_value_constant(node->ins[1])) == 1) {
        const struct dyno_tensor *exponent = dyno_value_constant(node->ins[1]);
        const double power = dyno_elem_load_f64(exponent->dtype, exponent->data, 0);
        return power == 2.0 || power == 3.0 ? (int)power : -1;
    }
    return -1;
}

/* Whether `value` is sqrt(2/pi) * (x + 0.044715 x^3); finds x. */
static bool is_tanh_argument(struct dyno_value *value, struct activation *found)
{
    struct dyno_node *scale = NULL;
    double number = 1.0;
    struct dyno_value *inner = strip_number(value, &number, &scale);
    dyno_match_add(&found->match, scale);
    struct dyno_node *sum = inner->producer;
    for (uint32_t i = 0; dyno_match_f32(sum, DYNO_OP_add) && i < 2; i++) {
        double cubic = 1.0;
        struct dyno_match tried = found->match;
        dyno_match_add(&tried, sum);
        if (dyno_match_near(number, SQRT_2_OVER_PI) &&
            power_of(sum->ins[1 - i], sum->ins[i], &cubic, &tried, 4) == 3 &&
            dyno_match_near(cubic, 0.044715)) {
            found->x = sum->ins[i];
            found->match = tried;
            return true;
        }
    }
    /* x * (sqrt(2/pi) * (1 + 0.044715 x^2)) in either order of its products. */
    struct dyno_node *product = inner->producer;
    for (uint32_t i = 0; dyno_match_f32(product, DYNO_OP_mul) && i < 2; i++) {
        double inner_number = 1.0;
        double quadratic = 1.0;
        double one = 0.0;
        struct dyno_match tried = found->match;
        struct dyno_node *inner_scale = NULL;
        struct dyno_value *x = strip_number(product->ins[i], &inner_number, &inner_scale);
        sum = product->ins[1 - i]->producer;
        if (!dyno_match_f32(sum, DYNO_OP_add))
            continue;
        struct dyno_value *square = dyno_match_beside_scalar(sum, &one);
        dyno_match_add(&tried, product);
        dyno_match_add(&tried, inner_scale);
        dyno_match_add(&tried, sum);
        if (square != NULL && one == 1.0 &&
            dyno_match_near(number * inner_number, SQRT_2_OVER_PI) &&
            power_of(square, x, &quadratic, &tried, 4) == 2 &&
            dyno_match_near(quadratic, 0.044715)) {
            found->x = x;
            found->match = tried;
            return true;
        }
    }
    return false;
}

/* --- the special functions --- */

/* The sum of `node`'s result and 1; NULL when its only user is something else. */
static struct dyno_node *plus_one(struct dyno_node *node, struct dyno_match *match)
{
    struct dyno_node *add = dyno_value_sole_user(node->outs[0]);
    double one = 0.0;
    if (add == NULL || !dyno_match_f32(add, DYNO_OP_add) ||
        dyno_match_beside_scalar(add, &one) != node->outs[0] || one != 1.0)
        return NULL;
    dyno_match_add(match, node);
    return add;
}

/* Each returns the node whose result is s(x), or NULL. */
static struct dyno_node *from_erf(struct dyno_node *node, struct activation *found)
{
    struct dyno_node *scale = NULL;
    double number = 1.0;
    found->op = DYNO_OP_gelu;
    found->factor = 0.5;
    found->x = strip_number(node->ins[0], &number, &scale);
    dyno_match_add(&found->match, scale);
    return dyno_match_near(number, 1.0 / SQRT_2) ? plus_one(node, &found->match) : NULL;
}

static struct dyno_node *from_tanh(struct dyno_node *node, struct activation *found)
{
    struct dyno_node *softplus = dyno_match_in(node, 0, DYNO_OP_softplus);
    if (softplus != NULL) {
        found->op = DYNO_OP_mish;
        found->factor = 1.0;
        found->x = softplus->ins[0];
        dyno_match_add(&found->match, softplus);
        return node;
    }
    found->op = DYNO_OP_gelu;
    found->factor = 0.5;
    found->is_tanh = true;
    return is_tanh_argument(node->ins[0], found) ? plus_one(node, &found->match) : NULL;
}

static struct dyno_node *from_hard_sigmoid(struct dyno_node *node, struct activation *found)
{
    const struct dyno_hard_sigmoid_attrs *attrs = node->attrs;
    found->op = DYNO_OP_hard_swish;
    found->factor = 1.0;
    found->x = node->ins[0];
    const bool matches = dyno_match_near((double)attrs->alpha, 1.0 / 6.0) && attrs->beta == 0.5F;
    return matches ? node : NULL;
}

/* Clip(x + 3, 0, 6) */
static struct dyno_node *from_clip(struct dyno_node *node, struct activation *found)
{
    struct dyno_node *add = dyno_match_in(node, 0, DYNO_OP_add);
    double number = 0.0;
    if (add == NULL || node->in_count < 3 || !dyno_match_f32(add, DYNO_OP_add) ||
        !dyno_match_scalar(node->ins[1], &number) || number != 0.0 ||
        !dyno_match_scalar(node->ins[2], &number) || number != 6.0)
        return NULL;
    found->op = DYNO_OP_hard_swish;
    found->factor = 1.0 / 6.0;
    found->x = dyno_match_beside_scalar(add, &number);
    dyno_match_add(&found->match, add);
    return found->x != NULL && number == 3.0 ? node : NULL;
}

/* sigmoid(x), or sigmoid(alpha * x) when `scaled`. */
static struct dyno_node *from_sigmoid(struct dyno_node *node, bool scaled, struct activation *found)
{
    struct dyno_node *scale = NULL;
    found->op = DYNO_OP_swish;
    found->factor = 1.0;
    found->alpha = 1.0;
    found->x = node->ins[0];
    if (scaled)
        found->x = strip_number(node->ins[0], &found->alpha, &scale);
    dyno_match_add(&found->match, scale);
    return !scaled || scale != NULL ? node : NULL;
}

static struct dyno_node *special_of(struct dyno_node *node, int variant, struct activation *found)
{
    *found = (struct activation){.op = DYNO_OP_COUNT};
    if (variant == 1)
        return dyno_match_f32(node, DYNO_OP_sigmoid) ? from_sigmoid(node, true, found) : NULL;
    if (dyno_match_f32(node, DYNO_OP_erf))
        return from_erf(node, found);
    if (dyno_match_f32(node, DYNO_OP_tanh))
        return from_tanh(node, found);
    if (dyno_match_f32(node, DYNO_OP_hard_sigmoid))
        return from_hard_sigmoid(node, found);
    if (dyno_match_f32(node, DYNO_OP_clip))
        return from_clip(node, found);
    if (dyno_match_f32(node, DYNO_OP_sigmoid))
        return from_sigmoid(node, false, found);
    return NULL;
}

/* --- the products around it --- */

/* Follow the users of s(x) until the whole is factor * x * s(x); the last product, or NULL. */
static struct dyno_node *find_root(struct dyno_node *special, struct activation *found)
{
    struct dyno_node *at = special;
    bool has_x = false;
    double factor = 1.0;
    for (;;) {
        struct dyno_node *user = dyno_value_sole_user(at->outs[0]);
        if (user == NULL)
            return NULL;
        const bool is_div = dyno_match_f32(user, DYNO_OP_div);
        if (!is_div && !dyno_match_f32(user, DYNO_OP_mul))
            return NULL;
        double number = 1.0;
        struct dyno_value *other = dyno_match_beside(user, at->outs[0]);
        if (dyno_match_beside_scalar(user, &number) == at->outs[0]) {
            factor *= is_div ? 1.0 / number : number;
        } else {
            struct dyno_node *scale = NULL;
            if (is_div || has_x || other == NULL)
                return NULL;
            if (other != found->x && strip_number(other, &number, &scale) != found->x)
                return NULL;
            dyno_match_add(&found->match, scale);
            factor *= number;
            has_x = true;
        }
        dyno_match_add(&found->match, at);
        if (has_x && dyno_match_near(factor, found->factor))
            return user;
        at = user;
    }
}

static enum dyno_status rewrite(struct dyno_node *root, const struct activation *found,
                                struct dyno_err *err)
{
    struct dyno_value *x = found->x;
    if (!dyno_fuse_become(root, found->op, &x, 1))
        return DYNO_NOMEM(err);
    if (found->op == DYNO_OP_gelu)
        ((struct dyno_gelu_attrs *)root->attrs)->approximate =
            found->is_tanh ? DYNO_GELU_TANH : DYNO_GELU_ERF;
    else if (found->op == DYNO_OP_swish)
        ((struct dyno_alpha_attrs *)root->attrs)->alpha = (float)found->alpha;
    return dyno_fuse_absorb(root, &found->match) ? DYNO_OK : DYNO_NOMEM(err);
}

/* `node` is where s may start; *next_io: where the walk goes on. */
static enum dyno_status fuse(struct dyno_node *node, struct dyno_node **next_io, bool *changed_out,
                             struct dyno_err *err)
{
    for (int variant = 0; variant < 2; variant++) {
        struct activation found;
        struct dyno_node *special = special_of(node, variant, &found);
        struct dyno_node *root = special != NULL ? find_root(special, &found) : NULL;
        if (root == NULL || !dyno_match_same_type(found.x, root->outs[0]))
            continue;
        *changed_out = true;
        *next_io = dyno_match_next(node, &found.match);
        return rewrite(root, &found, err);
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_fuse_activation(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        DYNO_TRY(fuse(node, &next, changed_out, err));
    }
    return DYNO_OK;
}
