/* expr_order.c - minimum, maximum, comparison and choice, settled by ranges where these do. */
#include "base/expr_poly.h"

/* -1: a < b always; 0: a == b always; 1: a > b always; -2/2: a <= b / a >= b; 3: not known. */
static int compare(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == b)
        return 0;
    const struct expr_range left = exprs->ranges[a];
    const struct expr_range right = exprs->ranges[b];
    if (left.max < right.min)
        return -1;
    if (left.min > right.max)
        return 1;
    if (left.max == right.min)
        return -2;
    if (left.min == right.max)
        return 2;
    const dyno_expr difference = dyno_expr_sub(exprs, a, b);
    if (difference == DYNO_EXPR_NONE)
        return 3;
    const struct expr_range range = exprs->ranges[difference];
    if (range.max <= 0)
        return range.max < 0 ? -1 : range.min == 0 ? 0 : -2;
    if (range.min >= 0)
        return range.min > 0 ? 1 : 2;
    return 3;
}

static dyno_expr pick(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const int order = compare(exprs, a, b);
    if (order != 3) {
        const bool a_is_less = order <= 0;
        return a_is_less == (op == DYNO_EXPR_MIN) ? a : b;
    }
    for (int swap = 0; swap < 2; swap++) {
        const dyno_expr outer = swap ? b : a;
        const dyno_expr other = swap ? a : b;
        const struct dyno_expr_node node = exprs->nodes[outer];
        int64_t inner_value = 0;
        int64_t value = 0;
        if ((node.op == DYNO_EXPR_MIN || node.op == DYNO_EXPR_MAX) &&
            (node.a == other || node.b == other))
            return node.op == op ? outer : other;
        if (node.op != op || !dyno_expr_is_const(exprs, other, &value))
            continue;
        const bool const_is_a = dyno_expr_is_const(exprs, node.a, &inner_value);
        if (const_is_a || dyno_expr_is_const(exprs, node.b, &inner_value))
            return pick(exprs, op, const_is_a ? node.b : node.a,
                        pick(exprs, op, const_is_a ? node.a : node.b, other));
    }
    return dyno_expr_node2(exprs, op, a < b ? a : b, a < b ? b : a);
}

dyno_expr dyno_expr_min(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    return pick(exprs, DYNO_EXPR_MIN, a, b);
}

dyno_expr dyno_expr_max(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    return pick(exprs, DYNO_EXPR_MAX, a, b);
}

/* a - b over the greatest common divisor of its coefficients; for LT the constant is rounded down,
 * for EQ a constant that is no multiple settles it.  False when settled or not representable. */
static bool difference_reduced(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a,
                               dyno_expr b, struct expr_poly *out, dyno_expr *settled_out)
{
    *settled_out = DYNO_EXPR_NONE;
    const dyno_expr difference = dyno_expr_sub(exprs, a, b);
    if (difference == DYNO_EXPR_NONE)
        return false;
    dyno_poly_read(exprs, difference, out);
    uint64_t factor = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (out->terms[i].degree != 0)
            factor = dyno_gcd(factor, dyno_magnitude(out->terms[i].coef));
    if (factor > 1 && factor <= INT64_MAX) {
        const struct expr_term divisor = {.coef = (int64_t)factor};
        if (dyno_poly_reduce(out, &divisor) != 0 && op == DYNO_EXPR_EQ) {
            *settled_out = dyno_expr_const(exprs, 0);
            return false;
        }
    }
    return true;
}

dyno_expr dyno_expr_eq(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const int order = compare(exprs, a, b);
    if (order == 0 || order == -1 || order == 1)
        return dyno_expr_const(exprs, order == 0);
    struct expr_poly difference;
    dyno_expr settled;
    if (!difference_reduced(exprs, DYNO_EXPR_EQ, a, b, &difference, &settled))
        return settled;
    if (difference.terms[0].coef < 0) {
        const struct expr_poly positive = difference;
        difference.count = 0;
        if (dyno_poly_add_scaled(&difference, &positive, &dyno_term_minus_unit) != EXPR_FIT_OK)
            return DYNO_EXPR_NONE;
    }
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr left = dyno_poly_emit(exprs, &difference);
    if (left == DYNO_EXPR_NONE || zero == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    if (dyno_expr_excludes_zero(exprs, left))
        return zero;
    return dyno_expr_node2(exprs, DYNO_EXPR_EQ, left, zero);
}

dyno_expr dyno_expr_lt(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const int order = compare(exprs, a, b);
    if (order != 3 && order != -2)
        return dyno_expr_const(exprs, order == -1);
    struct expr_poly difference;
    dyno_expr settled;
    if (!difference_reduced(exprs, DYNO_EXPR_LT, a, b, &difference, &settled))
        return settled;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr left = dyno_poly_emit(exprs, &difference);
    if (left == DYNO_EXPR_NONE || zero == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    if (exprs->ranges[left].max < 0 || exprs->ranges[left].min >= 0)
        return dyno_expr_const(exprs, exprs->ranges[left].max < 0);
    return dyno_expr_node2(exprs, DYNO_EXPR_LT, left, zero);
}

dyno_expr dyno_expr_select(struct dyno_exprs *exprs, dyno_expr cond, dyno_expr a, dyno_expr b)
{
    if (cond == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    int64_t value = 0;
    if (dyno_expr_is_const(exprs, cond, &value))
        return value != 0 ? a : b;
    if (dyno_expr_excludes_zero(exprs, cond))
        return a;
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE || a == b)
        return a == b ? a : DYNO_EXPR_NONE;
    const struct expr_range range = exprs->ranges[cond];
    int64_t other = 0;
    if (range.min == 0 && range.max == 1 && dyno_expr_is_const(exprs, a, &value) && value == 1 &&
        dyno_expr_is_const(exprs, b, &other) && other == 0)
        return cond;
    const struct dyno_expr_node node = {.op = DYNO_EXPR_SELECT, .a = cond, .b = a, .c = b};
    return dyno_expr_intern(exprs, node, false);
}
