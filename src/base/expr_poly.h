/* expr_poly.h - sums of products behind expressions; for expr*.c only. */
#ifndef DYNO_BASE_EXPR_POLY_H
#define DYNO_BASE_EXPR_POLY_H

#include "base/expr_pool.h"

#define EXPR_TERMS_MAX  64
#define EXPR_DEGREE_MAX 16

struct expr_term {
    int64_t coef;
    uint32_t degree;
    dyno_expr atoms[EXPR_DEGREE_MAX]; /* ascending */
};

enum expr_fit {
    EXPR_FIT_OK,
    EXPR_FIT_LARGE,    /* too many terms or factors: make an opaque node */
    EXPR_FIT_OVERFLOW, /* a coefficient does not fit int64 */
};

struct expr_poly {
    uint32_t count;
    struct expr_term terms[EXPR_TERMS_MAX]; /* by degree, highest first, then by atoms */
};

extern const struct expr_term dyno_term_minus_unit;

/* The interned node of an operator with two operands. */
dyno_expr dyno_expr_node2(struct dyno_exprs *exprs, enum dyno_expr_op op, dyno_expr a, dyno_expr b);

enum expr_fit dyno_poly_add_term(struct expr_poly *poly, const struct expr_term *term);
/* poly += factor * other */
enum expr_fit dyno_poly_add_scaled(struct expr_poly *poly, const struct expr_poly *other,
                                   const struct expr_term *factor);

/* The polynomial of an expression, read off its structure, and back. */
void dyno_poly_read(const struct dyno_exprs *exprs, dyno_expr e, struct expr_poly *out);
dyno_expr dyno_poly_emit(struct dyno_exprs *exprs, const struct expr_poly *poly);
dyno_expr dyno_term_emit(struct dyno_exprs *exprs, const struct expr_term *term);

/* The atoms of `term` less those of `divisor`; false when some are missing. */
bool dyno_term_divide(const struct expr_term *term, const struct expr_term *divisor,
                      struct expr_term *out);

/* Every term by `factor`, the constant one rounded down; its remainder is returned. */
int64_t dyno_poly_reduce(struct expr_poly *poly, const struct expr_term *factor);

static inline bool dyno_expr_excludes_zero(const struct dyno_exprs *exprs, dyno_expr e)
{
    return exprs->ranges[e].min > 0 || exprs->ranges[e].max < 0;
}

static inline uint64_t dyno_magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static inline uint64_t dyno_gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

#endif /* DYNO_BASE_EXPR_POLY_H */
