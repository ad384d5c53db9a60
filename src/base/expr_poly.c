/* expr_poly.c - sums of products in canonical form; addition and multiplication.
 *
 * A sum is ADD(ADD(t1, t2), t3), a product MUL(constant, MUL(MUL(a1, a2), a3)), with terms and
 * atoms in a fixed order; so the polynomial of a node is read off its structure and equal
 * polynomials are the same node.  What passes the limits of expr_poly.h becomes an opaque node,
 * which counts as an atom.
 */
#include <string.h>

#include "base/expr_poly.h"

dyno_expr dyno_expr_node2(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a, dyno_expr b)
{
    return dyno_expr_intern(exprs, (struct dyno_expr_node){.op = op, .a = a, .b = b}, false);
}

static int term_order(const struct expr_term *a, const struct expr_term *b)
{
    if (a->degree != b->degree)
        return a->degree > b->degree ? -1 : 1;
    for (uint32_t i = 0; i < a->degree; i++)
        if (a->atoms[i] != b->atoms[i])
            return a->atoms[i] < b->atoms[i] ? -1 : 1;
    return 0;
}

enum expr_fit dyno_poly_add_term(struct expr_poly *poly, const struct expr_term *term)
{
    if (term->coef == 0)
        return EXPR_FIT_OK;
    uint32_t at = 0;
    int order = 1;
    while (at < poly->count && (order = term_order(&poly->terms[at], term)) < 0)
        at++;
    if (at < poly->count && order == 0) {
        int64_t *coef = &poly->terms[at].coef;
        if (__builtin_add_overflow(*coef, term->coef, coef))
            return EXPR_FIT_OVERFLOW;
        if (*coef == 0) {
            poly->count--;
            memmove(&poly->terms[at], &poly->terms[at + 1],
                    (poly->count - at) * sizeof(struct expr_term));
        }
        return EXPR_FIT_OK;
    }
    if (poly->count == EXPR_TERMS_MAX)
        return EXPR_FIT_LARGE;
    memmove(&poly->terms[at + 1], &poly->terms[at], (poly->count - at) * sizeof(struct expr_term));
    poly->terms[at] = *term;
    poly->count++;
    return EXPR_FIT_OK;
}

static enum expr_fit term_mul(const struct expr_term *a, const struct expr_term *b,
                              struct expr_term *out)
{
    if (__builtin_mul_overflow(a->coef, b->coef, &out->coef))
        return EXPR_FIT_OVERFLOW;
    if (a->degree + b->degree > EXPR_DEGREE_MAX)
        return EXPR_FIT_LARGE;
    out->degree = a->degree + b->degree;
    uint32_t i = 0;
    uint32_t j = 0;
    for (uint32_t k = 0; k < out->degree; k++) {
        const bool from_a = j == b->degree || (i < a->degree && a->atoms[i] <= b->atoms[j]);
        out->atoms[k] = from_a ? a->atoms[i++] : b->atoms[j++];
    }
    return EXPR_FIT_OK;
}

enum expr_fit dyno_poly_add_scaled(struct expr_poly *poly, const struct expr_poly *other,
                                   const struct expr_term *factor)
{
    for (uint32_t i = 0; i < other->count; i++) {
        struct expr_term product;
        enum expr_fit fit = term_mul(&other->terms[i], factor, &product);
        if (fit == EXPR_FIT_OK)
            fit = dyno_poly_add_term(poly, &product);
        if (fit != EXPR_FIT_OK)
            return fit;
    }
    return EXPR_FIT_OK;
}

static bool is_plain(const struct dyno_exprs *exprs, dyno_expr e, enum dyno_expr_op op)
{
    return exprs->nodes[e].op == op && !exprs->is_opaque[e];
}

static void term_read(const struct dyno_exprs *exprs, dyno_expr e, struct expr_term *out)
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

void dyno_poly_read(const struct dyno_exprs *exprs, dyno_expr e, struct expr_poly *out)
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

dyno_expr dyno_term_emit(struct dyno_exprs *exprs, const struct expr_term *term)
{
    if (term->degree == 0)
        return dyno_expr_const(exprs, term->coef);
    dyno_expr product = term->atoms[0];
    for (uint32_t i = 1; i < term->degree && product != DYNO_EXPR_NONE; i++)
        product = dyno_expr_node2(exprs, DYNO_EXPR_MUL, product, term->atoms[i]);
    if (term->coef == 1 || product == DYNO_EXPR_NONE)
        return product;
    const dyno_expr coef = dyno_expr_const(exprs, term->coef);
    return coef == DYNO_EXPR_NONE ? coef : dyno_expr_node2(exprs, DYNO_EXPR_MUL, coef, product);
}

dyno_expr dyno_poly_emit(struct dyno_exprs *exprs, const struct expr_poly *poly)
{
    if (poly->count == 0)
        return dyno_expr_const(exprs, 0);
    dyno_expr sum = dyno_term_emit(exprs, &poly->terms[0]);
    for (uint32_t i = 1; i < poly->count; i++) {
        const dyno_expr term = dyno_term_emit(exprs, &poly->terms[i]);
        if (sum == DYNO_EXPR_NONE || term == DYNO_EXPR_NONE)
            return DYNO_EXPR_NONE;
        sum = dyno_expr_node2(exprs, DYNO_EXPR_ADD, sum, term);
    }
    return sum;
}

static const struct expr_term unit = {.coef = 1};
const struct expr_term dyno_term_minus_unit = {.coef = -1};

/* a + factor * b, or an opaque node. */
static dyno_expr add_scaled(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b,
                            const struct expr_term *factor)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    struct expr_poly sum;
    struct expr_poly other;
    dyno_poly_read(exprs, a, &sum);
    dyno_poly_read(exprs, b, &other);
    const enum expr_fit fit = dyno_poly_add_scaled(&sum, &other, factor);
    if (fit == EXPR_FIT_OK)
        return dyno_poly_emit(exprs, &sum);
    if (fit == EXPR_FIT_OVERFLOW)
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
    return add_scaled(exprs, a, b, &dyno_term_minus_unit);
}

dyno_expr dyno_expr_mul(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b)
{
    if (a == DYNO_EXPR_NONE || b == DYNO_EXPR_NONE)
        return DYNO_EXPR_NONE;
    struct expr_poly left;
    struct expr_poly right;
    struct expr_poly product = {.count = 0};
    dyno_poly_read(exprs, a, &left);
    dyno_poly_read(exprs, b, &right);
    enum expr_fit fit = EXPR_FIT_OK;
    for (uint32_t i = 0; i < right.count && fit == EXPR_FIT_OK; i++)
        fit = dyno_poly_add_scaled(&product, &left, &right.terms[i]);
    if (fit == EXPR_FIT_OK)
        return dyno_poly_emit(exprs, &product);
    if (fit == EXPR_FIT_OVERFLOW)
        return DYNO_EXPR_NONE;
    const struct dyno_expr_node node = {
        .op = DYNO_EXPR_MUL, .a = a < b ? a : b, .b = a < b ? b : a};
    return dyno_expr_intern(exprs, node, true);
}

bool dyno_term_divide(const struct expr_term *term, const struct expr_term *divisor,
                      struct expr_term *out)
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

int64_t dyno_poly_reduce(struct expr_poly *poly, const struct expr_term *factor)
{
    int64_t lost = 0;
    struct expr_poly out = {.count = 0};
    for (uint32_t i = 0; i < poly->count; i++) {
        struct expr_term share;
        (void)dyno_term_divide(&poly->terms[i], factor, &share);
        const int64_t coef = poly->terms[i].coef;
        share.coef = dyno_expr_apply(DYNO_EXPR_FLOORDIV, coef, factor->coef, 0);
        lost += dyno_expr_apply(DYNO_EXPR_MOD, coef, factor->coef, 0); /* 0 but for the constant */
        (void)dyno_poly_add_term(&out, &share);
    }
    *poly = out;
    return lost;
}
