/* expr_poly.c - the operators: sums of products in canonical form.
 *
 * A sum is ADD(ADD(t1, t2), t3), a product MUL(constant, MUL(MUL(a1, a2), a3)), with terms and
 * atoms in a fixed order; so the polynomial of a node is read off its structure and equal
 * polynomials are the same node.  What passes the limits below becomes an opaque node, which counts
 * as an atom.
 */
#include <string.h>

#include "base/expr_pool.h"

#define TERMS_MAX  64
#define DEGREE_MAX 16

struct term {
    int64_t coef;
    uint32_t degree;
    dyno_expr atoms[DEGREE_MAX]; /* ascending */
};

enum fit {
    FIT_OK,
    FIT_LARGE,    /* too many terms or factors: make an opaque node */
    FIT_OVERFLOW, /* a coefficient does not fit int64 */
};

struct poly {
    uint32_t count;
    struct term terms[TERMS_MAX]; /* by degree, highest first, then by atoms */
};

static dyno_expr node2(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a, dyno_expr b)
{
    return dyno_expr_intern(exprs, (struct dyno_expr_node){.op = op, .a = a, .b = b}, false);
}

static int term_order(const struct term *a, const struct term *b)
{
    if (a->degree != b->degree)
        return a->degree > b->degree ? -1 : 1;
    for (uint32_t i = 0; i < a->degree; i++)
        if (a->atoms[i] != b->atoms[i])
            return a->atoms[i] < b->atoms[i] ? -1 : 1;
    return 0;
}

static enum fit poly_add_term(struct poly *poly, const struct term *term)
{
    if (term->coef == 0)
        return FIT_OK;
    uint32_t at = 0;
    int order = 1;
    while (at < poly->count && (order = term_order(&poly->terms[at], term)) < 0)
        at++;
    if (at < poly->count && order == 0) {
        int64_t *coef = &poly->terms[at].coef;
        if (__builtin_add_overflow(*coef, term->coef, coef))
            return FIT_OVERFLOW;
        if (*coef == 0) {
            poly->count--;
            memmove(&poly->terms[at], &poly->terms[at + 1],
                    (poly->count - at) * sizeof(struct term));
        }
        return FIT_OK;
    }
    if (poly->count == TERMS_MAX)
        return FIT_LARGE;
    memmove(&poly->terms[at + 1], &poly->terms[at], (poly->count - at) * sizeof(struct term));
    poly->terms[at] = *term;
    poly->count++;
    return FIT_OK;
}

static enum fit term_mul(const struct term *a, const struct term *b, struct term *out)
{
    if (__builtin_mul_overflow(a->coef, b->coef, &out->coef))
        return FIT_OVERFLOW;
    if (a->degree + b->degree > DEGREE_MAX)
        return FIT_LARGE;
    out->degree = a->degree + b->degree;
    uint32_t i = 0;
    uint32_t j = 0;
    for (uint32_t k = 0; k < out->degree; k++) {
        const bool from_a = j == b->degree || (i < a->degree && a->atoms[i] <= b->atoms[j]);
        out->atoms[k] = from_a ? a->atoms[i++] : b->atoms[j++];
    }
    return FIT_OK;
}

/* poly += factor * other */
static enum fit poly_add_scaled(struct poly *poly, const struct poly *other,
                                const struct term *factor)
{
    for (uint32_t i = 0; i < other->count; i++) {
        struct term product;
        enum fit fit = term_mul(&other->terms[i], factor, &product);
        if (fit == FIT_OK)
            fit = poly_add_term(poly, &product);
        if (fit != FIT_OK)
            return fit;
    }
    return FIT_OK;
}

static bool is_plain(const struct dyno_exprs *exprs, dyno_expr e, enum dyno_expr_op op)
{
    return exprs->nodes[e].op == op && !exprs->is_opaque[e];
}

static void term_read(const struct dyno_exprs *exprs, dyno_expr e, struct term *out)
{
    out->coef = 1;
    out->degree = 0;
    if (exprs->nodes[e].op == DYNO_EXPR_CONST) {
        out->coef = exprs->nodes[e].value;
        return;
    }
    if (is_plain(exprs, e, DYNO_EXPR_MUL) &&
        exprs->nodes[exprs->nodes[e].a].op == DYNO_EXPR_CONST) {
        out->coef = exprs->nodes[exprs->nodes[e].a].value;
        e = exprs->nodes[e].b;
    }
    uint32_t degree = 1;
    for (dyno_expr at = e; is_plain(exprs, at, DYNO_EXPR_MUL); at = exprs->nodes[at].a)
        degree++;
    out->degree = degree;
    for (; degree > 1; e = exprs->nodes[e].a)
        out->atoms[--degree] = exprs->nodes[e].b;
    out->atoms[0] = e;
}

static void poly_read(const struct dyno_exprs *exprs, dyno_expr e, struct poly *out)
{
    uint32_t count = 1;
    for (dyno_expr at = e; is_plain(exprs, at, DYNO_EXPR_ADD); at = exprs->nodes[at].a)
        count++;
    out->count = count;
    for (; count > 1; e = exprs->nodes[e].a)
        term_read(exprs, exprs->nodes[e].b, &out->terms[--count]);
    term_read(exprs, e, &out->terms[0]);
    if (out->count == 1 && out->terms[0].coef == 0)
        out->count = 0;
}

static dyno_expr term_emit(struct dyno_exprs *exprs, const struct term *term)
{
    if (term->degree == 0)
        return dyno_expr_const(exprs, term->coef);
    dyno_expr product = term->atoms[0];
    for (uint32_t i = 1; i < term->degree && product != DYNO_EXPR_NONE; i++)
        product = node2(exprs, DYNO_EXPR_MUL, product, term->atoms[i]);
    if (term->coef == 1 || product == DYNO_EXPR_NONE)
        return product;
    const dyno_expr coef = dyno_expr_const(exprs, term->coef);
    return coef == DYNO_EXPR_NONE ? coef : node2(exprs, DYNO_EXPR_MUL, coef, product);
}

static dyno_expr poly_emit(struct dyno_exprs *exprs, const struct poly *poly)
{
    if (poly->count == 0)
        return dyno_expr_const(exprs, 0);
    dyno_expr sum = term_emit(exprs, &poly->terms[0]);
    for (uint32_t i = 1; i < poly->count; i++) {
        const dyno_expr term = term_emit(exprs, &poly->terms[i]);
        if (sum == DYNO_EXPR_NONE || term == DYNO_EXPR_NONE)
            return DYNO_EXPR_NONE;
        sum = node2(exprs, DYNO_EXPR_ADD, sum, term);
    }
    return sum;
}

static const struct term unit = {.coef = 1};
static const struct term minus_unit = {.coef = -1};

/* a + factor * b, or an opaque node. */
static dyno_expr add_scaled(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b,
                            const struct term *factor)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    struct poly sum;
    struct poly other;
    poly_read(exprs, a, &sum);
    poly_read(exprs, b, &other);
    const enum fit fit = poly_add_scaled(&sum, &other, factor);
    if (fit == FIT_OK)
        return poly_emit(exprs, &sum);
    if (fit == FIT_OVERFLOW)
        return DYNO_EXPR_NONE;
    if (factor->coef != 1)
        b = dyno_expr_mul(exprs, dyno_expr_const(exprs, factor->coef), b);
    if (b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const struct dyno_expr_node node = {
        .op = DYNO_EXPR_ADD, .a = a < b ? a : b, .b = a < b ? b : a};
    return dyno_expr_intern(exprs, node, true);
}

dyno_expr dyno_expr_add(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    return add_scaled(exprs, a, b, &unit);
}

dyno_expr dyno_expr_sub(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    return add_scaled(exprs, a, b, &minus_unit);
}

dyno_expr dyno_expr_mul(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    struct poly left;
    struct poly right;
    struct poly product = {.count = 0};
    poly_read(exprs, a, &left);
    poly_read(exprs, b, &right);
    enum fit fit = FIT_OK;
    for (uint32_t i = 0; i < right.count && fit == FIT_OK; i++)
        fit = poly_add_scaled(&product, &left, &right.terms[i]);
    if (fit == FIT_OK)
        return poly_emit(exprs, &product);
    if (fit == FIT_OVERFLOW)
        return DYNO_EXPR_NONE;
    const struct dyno_expr_node node = {
        .op = DYNO_EXPR_MUL, .a = a < b ? a : b, .b = a < b ? b : a};
    return dyno_expr_intern(exprs, node, true);
}

/* --- division --- */

static bool excludes_zero(const struct dyno_exprs *exprs, dyno_expr e)
{
    return exprs->ranges[e].min > 0 || exprs->ranges[e].max < 0;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The atoms of `term` less those of `divisor`; false when some are missing. */
static bool atoms_divide(const struct term *term, const struct term *divisor, struct term *out)
{
    uint32_t j = 0;
    out->degree = 0;
    for (uint32_t i = 0; i < term->degree; i++) {
        if (j < divisor->degree && divisor->atoms[j] == term->atoms[i])
            j++;
        else
            out->atoms[out->degree++] = term->atoms[i];
    }
    return j == divisor->degree;
}

/* a = b * quotient + rest for a divisor b of one term.  Coefficients of the rest are below b's. */
static enum fit divide_by_term(const struct poly *a, const struct term *b, struct poly *quotient,
                               struct poly *rest)
{
    quotient->count = 0;
    rest->count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        struct term left = a->terms[i];
        struct term share;
        if (atoms_divide(&left, b, &share)) {
            if (left.coef == INT64_MIN || b->coef == INT64_MIN)
                return FIT_OVERFLOW;
            share.coef = left.coef / b->coef;
            if (left.degree == 0)
                share.coef = dyno_expr_apply(DYNO_EXPR_FLOORDIV, left.coef, b->coef, 0);
            left.coef -= share.coef * b->coef;
            if (poly_add_term(quotient, &share) != FIT_OK)
                return FIT_LARGE;
        }
        if (poly_add_term(rest, &left) != FIT_OK)
            return FIT_LARGE;
    }
    return FIT_OK;
}

/* True when a is b times a polynomial, which is then *quotient. */
static bool divide_exactly(const struct poly *a, const struct poly *b, struct poly *quotient)
{
    struct poly rest = *a;
    quotient->count = 0;
    for (int step = 0; step < TERMS_MAX && rest.count != 0; step++) {
        struct term share;
        const int64_t lead = b->terms[0].coef;
        const int64_t coef = rest.terms[0].coef;
        if (!atoms_divide(&rest.terms[0], &b->terms[0], &share) || coef == INT64_MIN ||
            coef % lead != 0)
            return false;
        share.coef = coef / lead;
        struct term factor = share;
        factor.coef = -share.coef;
        if (poly_add_term(quotient, &share) != FIT_OK ||
            poly_add_scaled(&rest, b, &factor) != FIT_OK)
            return false;
    }
    return rest.count == 0;
}

/* Keep in *common the atoms that `term` has too, with multiplicity. */
static void keep_common(struct term *common, const struct term *term)
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
static void common_factor(const struct dyno_exprs *exprs, const struct poly *a,
                          const struct poly *b, struct term *out)
{
    const bool const_divisor = b->count == 1 && b->terms[0].degree == 0 && b->terms[0].coef > 0;
    uint64_t factor = 0;
    *out = b->terms[0];
    for (uint32_t i = 0; i < b->count; i++) {
        factor = gcd(factor, magnitude(b->terms[i].coef));
        keep_common(out, &b->terms[i]);
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (const_divisor && a->terms[i].degree == 0)
            continue;
        factor = gcd(factor, magnitude(a->terms[i].coef));
        keep_common(out, &a->terms[i]);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->degree; i++)
        if (excludes_zero(exprs, out->atoms[i]))
            out->atoms[kept++] = out->atoms[i];
    out->degree = kept;
    out->coef = factor > INT64_MAX || factor == 0 ? 1 : (int64_t)factor;
}

static bool is_unit(const struct term *term)
{
    return term->degree == 0 && term->coef == 1;
}

/* Every term by `factor`, the constant one rounded down; its remainder is returned. */
static int64_t reduce(struct poly *poly, const struct term *factor)
{
    int64_t lost = 0;
    struct poly out = {.count = 0};
    for (uint32_t i = 0; i < poly->count; i++) {
        struct term share;
        (void)atoms_divide(&poly->terms[i], factor, &share);
        const int64_t coef = poly->terms[i].coef;
        share.coef = dyno_expr_apply(DYNO_EXPR_FLOORDIV, coef, factor->coef, 0);
        lost += coef - share.coef * factor->coef;
        (void)poly_add_term(&out, &share);
    }
    *poly = out;
    return lost;
}

/* The inner node and the constant beside it, when the polynomial is `node + constant`. */
static bool is_node_plus_const(const struct dyno_exprs *exprs, const struct poly *poly,
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
    struct poly quotient;
    struct poly rest;
    struct poly divisor;
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
    poly_read(exprs, a, &div->rest);
    poly_read(exprs, b, &div->divisor);
    div->quotient.count = 0;
    if (div->rest.count == 0) {
        *settled_out = dyno_expr_const(exprs, 0);
        return false;
    }
    if (!excludes_zero(exprs, b))
        return true;
    if (div->divisor.count > 1) {
        struct poly whole;
        if (divide_exactly(&div->rest, &div->divisor, &whole)) {
            div->quotient = whole;
            div->rest.count = 0;
        }
        return true;
    }
    const struct poly dividend = div->rest;
    if (divide_by_term(&dividend, &div->divisor.terms[0], &div->quotient, &div->rest) != FIT_OK) {
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
    const dyno_expr rest = poly_emit(exprs, &div->rest);
    if (rest == DYNO_EXPR_NONE)
        return rest;
    const struct expr_range range = dyno_range_floordiv(exprs->ranges[rest], exprs->ranges[b]);
    if (range.min == range.max)
        return dyno_expr_const(exprs, range.min);
    struct term factor;
    common_factor(exprs, &div->rest, &div->divisor, &factor);
    if (!is_unit(&factor)) {
        (void)reduce(&div->rest, &factor);
        (void)reduce(&div->divisor, &factor);
        return dyno_expr_floordiv(exprs, poly_emit(exprs, &div->rest),
                                  poly_emit(exprs, &div->divisor));
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
    return node2(exprs, DYNO_EXPR_FLOORDIV, rest, b);
}

dyno_expr dyno_expr_floordiv(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    struct division div;
    dyno_expr settled;
    if (!division_begin(exprs, DYNO_EXPR_FLOORDIV, a, b, &div, &settled))
        return settled;
    const dyno_expr whole = poly_emit(exprs, &div.quotient);
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
                             const struct term *factor)
{
    const int64_t lost = reduce(&div->rest, factor);
    (void)reduce(&div->divisor, factor);
    const dyno_expr inner =
        dyno_expr_mod(exprs, poly_emit(exprs, &div->rest), poly_emit(exprs, &div->divisor));
    return dyno_expr_add(exprs, dyno_expr_mul(exprs, term_emit(exprs, factor), inner),
                         dyno_expr_const(exprs, lost));
}

dyno_expr dyno_expr_mod(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    struct division div;
    dyno_expr settled;
    if (!division_begin(exprs, DYNO_EXPR_MOD, a, b, &div, &settled))
        return settled;
    const dyno_expr rest = poly_emit(exprs, &div.rest);
    if (div.rest.count == 0 || rest == DYNO_EXPR_NONE)
        return rest;
    if (exprs->ranges[rest].min >= 0 && exprs->ranges[rest].max < exprs->ranges[b].min)
        return rest;
    struct term factor;
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
    return node2(exprs, DYNO_EXPR_MOD, rest, b);
}

/* --- order --- */

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
    return node2(exprs, op, a < b ? a : b, a < b ? b : a);
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
                               dyno_expr b, struct poly *out, dyno_expr *settled_out)
{
    *settled_out = DYNO_EXPR_NONE;
    const dyno_expr difference = dyno_expr_sub(exprs, a, b);
    if (difference == DYNO_EXPR_NONE)
        return false;
    poly_read(exprs, difference, out);
    uint64_t factor = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (out->terms[i].degree != 0)
            factor = gcd(factor, magnitude(out->terms[i].coef));
    if (factor > 1 && factor <= INT64_MAX) {
        const struct term divisor = {.coef = (int64_t)factor};
        if (reduce(out, &divisor) != 0 && op == DYNO_EXPR_EQ) {
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
    struct poly difference;
    dyno_expr settled;
    if (!difference_reduced(exprs, DYNO_EXPR_EQ, a, b, &difference, &settled))
        return settled;
    if (difference.terms[0].coef < 0) {
        const struct poly positive = difference;
        difference.count = 0;
        if (poly_add_scaled(&difference, &positive, &minus_unit) != FIT_OK)
            return DYNO_EXPR_NONE;
    }
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr left = poly_emit(exprs, &difference);
    if (left == DYNO_EXPR_NONE || zero == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    if (excludes_zero(exprs, left))
        return zero;
    return node2(exprs, DYNO_EXPR_EQ, left, zero);
}

dyno_expr dyno_expr_lt(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    const int order = compare(exprs, a, b);
    if (order != 3 && order != -2)
        return dyno_expr_const(exprs, order == -1);
    struct poly difference;
    dyno_expr settled;
    if (!difference_reduced(exprs, DYNO_EXPR_LT, a, b, &difference, &settled))
        return settled;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr left = poly_emit(exprs, &difference);
    if (left == DYNO_EXPR_NONE || zero == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    if (exprs->ranges[left].max < 0 || exprs->ranges[left].min >= 0)
        return dyno_expr_const(exprs, exprs->ranges[left].max < 0);
    return node2(exprs, DYNO_EXPR_LT, left, zero);
}

dyno_expr dyno_expr_select(struct dyno_exprs *exprs, dyno_expr cond, dyno_expr a, dyno_expr b)
{
    if (cond == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    int64_t value = 0;
    if (dyno_expr_is_const(exprs, cond, &value))
        return value != 0 ? a : b;
    if (excludes_zero(exprs, cond))
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
