/* expr_pool.h - inside of the expression pool; for expr*.c only. */
#ifndef DYNO_BASE_EXPR_POOL_H
#define DYNO_BASE_EXPR_POOL_H

#include "base/arena.h"
#include "base/expr.h"
#include "base/map.h"

#define EXPR_NODES_MAX ((size_t)1 << 24)

struct expr_symbol {
    const char *name;
    int64_t min;
    int64_t max;
    dyno_expr node;
};

/* An inclusive range; INT64_MIN and INT64_MAX mean open. */
struct expr_range {
    int64_t min;
    int64_t max;
};

struct dyno_exprs {
    struct dyno_expr_node *nodes;
    struct expr_range *ranges;
    bool *is_opaque; /* ADD and MUL past the limits of polynomials: treated as atoms */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* hash table of node index + 1 */
    size_t slot_count;
    struct expr_symbol *symbols;
    size_t symbol_count;
    size_t symbol_capacity;
    struct dyno_map symbol_by_name;
    struct dyno_arena *names;
    uint64_t fresh_count;
    bool is_out_of_memory;
};

/* The node with these fields, made if new.  Nodes other than sums, products, constants and symbols
 * become constants when their range holds one value. */
dyno_expr dyno_expr_intern(struct dyno_exprs *exprs, struct dyno_expr_node node, bool is_opaque);

/* Bounds of floor(a / b). */
struct expr_range dyno_range_floordiv(struct expr_range a, struct expr_range b);

/* One operator on values; DYNO_EXPR_POISON when there is none. */
int64_t dyno_expr_apply(enum dyno_expr_op op, int64_t a, int64_t b, int64_t c);

#endif /* DYNO_BASE_EXPR_POOL_H */
