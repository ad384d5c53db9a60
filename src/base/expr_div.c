/* expr_div.c - floor division and remainder: what is whole is taken out, the rest made small. */
#include "base/expr_poly.h"

/* a = b * quotient + rest for a divisor b of one term.  Coefficients of the rest are below b's. */
static enum expr_fit divide_by_term(const struct expr_poly *a, const struct expr_term *b,
                                    struct expr_poly *quotient, struct expr_poly *rest)
{
    quotient->count = 0;
    rest->count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        struct expr_term left = a->terms[i];
        struct expr_term share;
        if (dyno_term_divide(&left, b, &share)) {
            if (left.coef == INT64_MIN || b->coef == INT64_MIN)
                return EXPR_FIT_OVERFLOW;
            share.coef = left.coef / b->coef;
            if (left.degree == 0)
                share.coef = dyno_expr_apply(DYNO_EXPR_FLOORDIV, left.coef, b->coef, 0);
            left.coef -= share.coef * b->coef;
            if (dyno_poly_add_term(quotient, &share) != EXPR_FIT_OK)
                return EXPR_FIT_LARGE;
        }
        if (dyno_poly_add_term(rest, &left) != EXPR_FIT_OK)
            return EXPR_FIT_LARGE;
    }
    return EXPR_FIT_OK;
}

/* True when a is b times a polynomial, which is then *quotient. */
static bool divide_exactly(const struct expr_poly *a, const struct expr_poly *b,
                           struct expr_poly *quotient)
{
    struct expr_poly rest = *a;
    quotient->count = 0;
    for (int step = 0; step < EXPR_TERMS_MAX && rest.count != 0; step++) {
        struct expr_term share;
        const int64_t lead = b->terms[0].coef;
        const int64_t coef = rest.terms[0].coef;
        if (!dyno_term_divide(&rest.terms[0], &b->terms[0], &share) || coef == INT64_MIN ||
            coef % lead != 0)
            return false;
        share.coef = coef / lead;
        struct expr_term factor = share;
        factor.coef = -share.coef;
        if (dyno_poly_add_term(quotient, &share) != EXPR_FIT_OK ||
            dyno_poly_add_scaled(&rest, b, &factor) != EXPR_FIT_OK)
            return false;
    }
    return rest.count == 0;
}

/* Keep in *common the atoms that `term` has too, with multiplicity. */
static void keep_common(struct expr_term *common, const struct expr_term *term)
{
    uint32_t kept = 0;
    uint32_t j = 0;
    for (uint32_t i = 0; i < common->degree; i++) {
        while (j < term->degree && term->atoms[j] < common->atoms[i])
            j++;
        if (j < term->degree && term->atoms[j] == common->atoms[i]) {
            common->atoms[kept++] = common->atoms[i];
            j++;
        }
    }
    common->degree = kept;
}

/* The monomial that divides every term of a and b.  With b constant and positive the constant term
 * of a is left out, for floor((g*x + k) / (g*c)) is floor((x + floor(k/g)) / c). */
static void common_factor(const struct dyno_exprs *exprs, const struct expr_poly *a,
                          const struct expr_poly *b, struct expr_term *out)
{
    const bool const_divisor = b->count == 1 && b->terms[0].degree == 0 && b->terms[0].coef > 0;
    uint64_t factor = 0;
    *out = b->terms[0];
    for (uint32_t i = 0; i < b->count; i++) {
        factor = dyno_gcd(factor, dyno_magnitude(b->terms[i].coef));
        keep_common(out, &b->terms[i]);
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (const_divisor && a->terms[i].degree == 0)
            continue;
        factor = dyno_gcd(factor, dyno_magnitude(a->terms[i].coef));
        keep_common(out, &a->terms[i]);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->degree; i++)
        if (dyno_expr_excludes_zero(exprs, out->atoms[i]))
            out->atoms[kept++] = out->atoms[i];
    out->degree = kept;
    out->coef = factor > INT64_MAX || factor == 0 ? 1 : (int64_t)factor;
}

static bool is_unit(const struct expr_term *term)
{
    return term->degree == 0 && term->coef == 1;
}

/* The inner node and the constant beside it, when the polynomial is `node + constant`. */
static bool is_node_plus_const(const struct dyno_exprs *exprs, const struct expr_poly *poly,
                               enum dyno_expr_op op, struct dyno_expr_node *node_out,
                               int64_t *addend_out)
{
    if (poly->count == 0 || poly->count > 2 || poly->terms[0].degree != 1 ||
        poly->terms[0].coef != 1 || exprs->nodes[poly->terms[0].atoms[0]].op != op)
        return false;
    if (poly->count == 2 && poly->terms[1].degree != 0)
        return false;
    *node_out = exprs->nodes[poly->terms[0].atoms[0]];
    *addend_out = poly->count == 2 ? poly->terms[1].coef : 0;
    return true;
}

/* One division in progress: a / b with a already less than its whole multiples of b. */
struct division {
    struct expr_poly quotient;
    struct expr_poly rest;
    struct expr_poly divisor;
};

/* False: a or b out of bounds, or a case that is settled; then *settled_out has it. */
static bool division_begin(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a, dyno_expr b,
                           struct division *div, dyno_expr *settled_out)
{
    *settled_out = DYNO_EXPR_NONE;
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return false;
    int64_t left = 0;
    int64_t right = 0;
    const bool const_b = dyno_expr_is_const(exprs, b, &right);
    if (const_b && right == 0)
        return false;
    if (const_b && dyno_expr_is_const(exprs, a, &left)) {
        *settled_out = dyno_expr_const(exprs, dyno_expr_apply(op, left, right, 0));
        return false;
    }
    dyno_poly_read(exprs, a, &div->rest);
    dyno_poly_read(exprs, b, &div->divisor);
    div->quotient.count = 0;
    if (div->rest.count == 0) {
        *settled_out = dyno_expr_const(exprs, 0);
        return false;
    }
    if (!dyno_expr_excludes_zero(exprs, b))
        return true;
    if (div->divisor.count > 1) {
        struct expr_poly whole;
        if (divide_exactly(&div->rest, &div->divisor, &whole)) {
            div->quotient = whole;
            div->rest.count = 0;
        }
        return true;
    }
    const struct expr_poly dividend = div->rest;
    if (divide_by_term(&dividend, &div->divisor.terms[0], &div->quotient, &div->rest) !=
        EXPR_FIT_OK) {
        div->quotient.count = 0;
        div->rest = dividend;
    }
    return true;
}

/* floor(rest / b), where nothing whole is left to take out. */
static dyno_expr floordiv_rest(struct dyno_exprs *exprs, struct division *div, dyno_expr b)
{
    if (div->rest.count == 0)
        return dyno_expr_const(exprs, 0);
    const dyno_expr rest = dyno_poly_emit(exprs, &div->rest);
    if (rest == DYNO_EXPR_NONE)
        return rest;
    const struct expr_range range = dyno_range_floordiv(exprs->ranges[rest], exprs->ranges[b]);
    if (range.min == range.max)
        return dyno_expr_const(exprs, range.min);
    struct expr_term factor;
    common_factor(exprs, &div->rest, &div->divisor, &factor);
    if (!is_unit(&factor)) {
        (void)dyno_poly_reduce(&div->rest, &factor);
        (void)dyno_poly_reduce(&div->divisor, &factor);
        return dyno_expr_floordiv(exprs, dyno_poly_emit(exprs, &div->rest),
                                  dyno_poly_emit(exprs, &div->divisor));
    }
    struct dyno_expr_node inner;
    int64_t addend = 0;
    int64_t divisor = 0;
    if (dyno_expr_is_const(exprs, b, &divisor) && divisor > 0 &&
        is_node_plus_const(exprs, &div->rest, DYNO_EXPR_FLOORDIV, &inner, &addend)) {
        const dyno_expr shift = dyno_expr_mul(exprs, dyno_expr_const(exprs, addend), inner.b);
        const dyno_expr merged = dyno_expr_floordiv(exprs, dyno_expr_add(exprs, inner.a, shift),
                                                    dyno_expr_mul(exprs, inner.b, b));
        if (merged != DYNO_EXPR_NONE)
            return merged;
    }
    return dyno_expr_node2(exprs, DYNO_EXPR_FLOORDIV, rest, b);
}

dyno_expr dyno_expr_floordiv(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    struct division div;
    dyno_expr settled;
    if (!division_begin(exprs, DYNO_EXPR_FLOORDIV, a, b, &div, &settled))
        return settled;
    const dyno_expr whole = dyno_poly_emit(exprs, &div.quotient);
    return dyno_expr_add(exprs, whole, floordiv_rest(exprs, &div, b));
}

dyno_expr dyno_expr_ceildiv(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const dyno_expr one = dyno_expr_const(exprs, 1);
    if (exprs->ranges[b].min > 0)
        return dyno_expr_floordiv(exprs, dyno_expr_add(exprs, a, dyno_expr_sub(exprs, b, one)), b);
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    return dyno_expr_sub(exprs, zero, dyno_expr_floordiv(exprs, dyno_expr_sub(exprs, zero, a), b));
}

/* mod(g*x + k, g*c) is g * mod(x + floor(k/g), c) + k mod g. */
static dyno_expr mod_reduced(struct dyno_exprs *exprs, struct division *div,
                             const struct expr_term *factor)
{
    const int64_t lost = dyno_poly_reduce(&div->rest, factor);
    (void)dyno_poly_reduce(&div->divisor, factor);
    const dyno_expr inner = dyno_expr_mod(exprs, dyno_poly_emit(exprs, &div->rest),
                                          dyno_poly_emit(exprs, &div->divisor));
    return dyno_expr_add(exprs, dyno_expr_mul(exprs, dyno_term_emit(exprs, factor), inner),
                         dyno_expr_const(exprs, lost));
}

dyno_expr dyno_expr_mod(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    struct division div;
    dyno_expr settled;
    if (!division_begin(exprs, DYNO_EXPR_MOD, a, b, &div, &settled))
        return settled;
    const dyno_expr rest = dyno_poly_emit(exprs, &div.rest);
    if (div.rest.count == 0 || rest == DYNO_EXPR_NONE)
        return rest;
    if (exprs->ranges[rest].min >= 0 && exprs->ranges[rest].max < exprs->ranges[b].min)
        return rest;
    struct expr_term factor;
    common_factor(exprs, &div.rest, &div.divisor, &factor);
    if (!is_unit(&factor))
        return mod_reduced(exprs, &div, &factor);
    struct dyno_expr_node inner;
    int64_t addend = 0;
    int64_t modulus = 0;
    int64_t inner_modulus = 0;
    if (dyno_expr_is_const(exprs, b, &modulus) &&
        is_node_plus_const(exprs, &div.rest, DYNO_EXPR_MOD, &inner, &addend) &&
        dyno_expr_is_const(exprs, inner.b, &inner_modulus) && modulus > 0 &&
        inner_modulus % modulus == 0)
        return dyno_expr_mod(exprs, dyno_expr_add(exprs, inner.a, dyno_expr_const(exprs, addend)),
                             b);
    return dyno_expr_node2(exprs, DYNO_EXPR_MOD, rest, b);
}
