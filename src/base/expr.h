/* expr.h - integer expressions over symbols: the dimensions of shapes and the contents of small
 * shape tensors, kept exact while some sizes are open.
 *
 * A pool owns its expressions; an expression is an index into it and is interned: equal index means
 * provably equal value, for every value of the symbols inside their ranges.  Expressions are kept
 * in a canonical form: sums of products with integer coefficients over atoms (symbols and the
 * operators that are not polynomial), so that (2*n + n)*4 and 12*n meet, and floordiv(12*n*m, 4*n)
 * is 3*m (symbols are at least 1 unless their range says otherwise).
 *
 * Out of memory and int64 overflow while building give DYNO_EXPR_NONE; every operator takes NONE
 * and gives NONE, so that callers check once at the end.  NONE also stands for "not known".
 * One thread at a time; evaluation of a finished pool is const and may run in any thread.
 */
#ifndef DYNO_BASE_EXPR_H
#define DYNO_BASE_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

typedef uint32_t dyno_expr;
#define DYNO_EXPR_NONE UINT32_MAX

struct dyno_exprs; /* the pool */

enum dyno_expr_op {
    DYNO_EXPR_CONST,    /* value */
    DYNO_EXPR_SYMBOL,   /* value: index of the symbol */
    DYNO_EXPR_ADD,      /* a + b */
    DYNO_EXPR_MUL,      /* a * b */
    DYNO_EXPR_FLOORDIV, /* floor(a / b), b != 0 */
    DYNO_EXPR_MOD,      /* a - b * floor(a / b): the sign of b, as Python and ONNX fmod=0 */
    DYNO_EXPR_MIN,
    DYNO_EXPR_MAX,
    DYNO_EXPR_EQ,     /* 0 or 1 */
    DYNO_EXPR_LT,     /* 0 or 1 */
    DYNO_EXPR_SELECT, /* a != 0 ? b : c */
    DYNO_EXPR_OP_COUNT
};

/* One expression as stored: operands have smaller indices, so one forward sweep evaluates all. */
struct dyno_expr_node {
    enum dyno_expr_op op;
    dyno_expr a, b, c;
    int64_t value;
};

struct dyno_exprs *dyno_exprs_create(void); /* NULL: out of memory */
void dyno_exprs_destroy(struct dyno_exprs *exprs);

dyno_expr dyno_expr_const(struct dyno_exprs *exprs, int64_t value);

/* The symbol called `name` (made if new) with the inclusive range of its values; a second call with
 * the same name returns the same symbol and leaves its range.  Name is copied. */
dyno_expr dyno_expr_symbol(struct dyno_exprs *exprs, const char *name, int64_t min, int64_t max);

/* A new symbol with a name nobody else has ("?0", "?1", ...): a size known only while running. */
dyno_expr dyno_expr_fresh(struct dyno_exprs *exprs, int64_t min, int64_t max);

dyno_expr dyno_expr_add(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_sub(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_mul(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_floordiv(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_ceildiv(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_mod(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_min(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_max(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_eq(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_lt(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
dyno_expr dyno_expr_select(struct dyno_exprs *exprs, dyno_expr cond, dyno_expr a, dyno_expr b);

/* True and the value when `e` is a constant (not for NONE). */
bool dyno_expr_is_const(const struct dyno_exprs *exprs, dyno_expr e, int64_t *value_out);

/* Inclusive bounds by interval arithmetic; INT64_MIN/MAX when open.  NONE: both open. */
void dyno_expr_range(const struct dyno_exprs *exprs, dyno_expr e, int64_t *min_out,
                     int64_t *max_out);

/* True once an operator gave NONE for want of memory, not for want of a value. */
bool dyno_exprs_out_of_memory(const struct dyno_exprs *exprs);

size_t dyno_exprs_count(const struct dyno_exprs *exprs);
struct dyno_expr_node dyno_exprs_node(const struct dyno_exprs *exprs, dyno_expr e);
size_t dyno_exprs_symbol_count(const struct dyno_exprs *exprs);
/* Name and range of symbol `symbol_idx` (the `value` of its node). */
const char *dyno_exprs_symbol(const struct dyno_exprs *exprs, size_t symbol_idx, int64_t *min_out,
                              int64_t *max_out);

/* What evaluation gives for an expression that has no value: it overflows int64, divides by zero,
 * or uses one that does.  No constant may have this value (dyno_expr_const gives NONE). */
#define DYNO_EXPR_POISON (INT64_MIN + INT64_C(0x2badc0de))
static inline bool dyno_expr_value_ok(int64_t value)
{
    return value != DYNO_EXPR_POISON;
}

/* Evaluate every expression into values_out[dyno_exprs_count].  symbols[symbol_idx] are the values
 * of the symbols (INT64_MIN or DYNO_EXPR_POISON: not known yet).  Never fails: an expression
 * without a value gets DYNO_EXPR_POISON, so that only who needs it must care; a SELECT needs only
 * the branch it takes. */
void dyno_exprs_eval(const struct dyno_exprs *exprs, const int64_t *symbols, int64_t *values_out);

/* Evaluate one node from the values of its operands: the meaning of the operators. */
int64_t dyno_expr_node_eval(const struct dyno_expr_node *node, const int64_t *symbols,
                            const int64_t *values);

/* As a person writes it: "12*batch*time", "(width + 1)//2", "min(4, n)"; a symbol whose name is no
 * identifier is put in single quotes.  NONE: "?". */
void dyno_expr_print(const struct dyno_exprs *exprs, dyno_expr e, struct dyno_strbuf *out);

/* Read what dyno_expr_print writes; symbols not yet in the pool are made with range 1..INT64_MAX.
 */
enum dyno_status dyno_expr_parse(struct dyno_exprs *exprs, const char *text, size_t bytes,
                                 dyno_expr *e_out, struct dyno_err *err);

#endif /* DYNO_BASE_EXPR_H */
