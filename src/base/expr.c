/* expr.c - the pool of expressions: interning, ranges, evaluation. */
#include "base/expr.h"

#include <stdio.h>
#include <string.h>

#include "base/expr_pool.h"
#include "base/hash.h"
#include "base/mem.h"

struct dyno_exprs *dyno_exprs_create(void)
{
    struct dyno_exprs *exprs = dyno_alloc(1, sizeof(*exprs));
    if (exprs == NULL)
        return NULL;
    exprs->names = dyno_arena_create();
    if (exprs->names == NULL) {
        dyno_free(exprs);
        return NULL;
    }
    return exprs;
}

void dyno_exprs_destroy(struct dyno_exprs *exprs)
{
    if (exprs == NULL)
        return;
    dyno_free(exprs->nodes);
    dyno_free(exprs->ranges);
    dyno_free(exprs->is_opaque);
    dyno_free(exprs->slots);
    dyno_free(exprs->symbols);
    dyno_map_fini(&exprs->symbol_by_name);
    dyno_arena_destroy(exprs->names);
    dyno_free(exprs);
}

/* --- evaluation --- */

static int64_t apply_division(enum dyno_expr_op op, int64_t a, int64_t b)
{
    if (b == 0)
        return DYNO_EXPR_POISON;
    if (b == -1) {
        if (op == DYNO_EXPR_MOD)
            return 0;
        return a == INT64_MIN ? DYNO_EXPR_POISON : -a;
    }
    const int64_t rest = a % b;
    const bool rounds_up = rest != 0 && (rest < 0) != (b < 0);
    if (op == DYNO_EXPR_MOD)
        return rounds_up ? rest + b : rest;
    return rounds_up ? a / b - 1 : a / b;
}

int64_t dyno_expr_apply(enum dyno_expr_op op, int64_t a, int64_t b, int64_t c)
{
    if (op == DYNO_EXPR_SELECT) {
        if (!dyno_expr_value_ok(a))
            return DYNO_EXPR_POISON;
        return a != 0 ? b : c;
    }
    if (!dyno_expr_value_ok(a) || !dyno_expr_value_ok(b))
        return DYNO_EXPR_POISON;
    int64_t value = 0;
    switch (op) {
    case DYNO_EXPR_ADD:
        return __builtin_add_overflow(a, b, &value) ? DYNO_EXPR_POISON : value;
    case DYNO_EXPR_MUL:
        return __builtin_mul_overflow(a, b, &value) ? DYNO_EXPR_POISON : value;
    case DYNO_EXPR_FLOORDIV:
    case DYNO_EXPR_MOD:
        return apply_division(op, a, b);
    case DYNO_EXPR_MIN:
        return a < b ? a : b;
    case DYNO_EXPR_MAX:
        return a > b ? a : b;
    case DYNO_EXPR_EQ:
        return a == b;
    case DYNO_EXPR_LT:
        return a < b;
    case DYNO_EXPR_CONST:
    case DYNO_EXPR_SYMBOL:
    case DYNO_EXPR_SELECT:
    case DYNO_EXPR_OP_COUNT:
        break;
    }
    return DYNO_EXPR_POISON;
}

int64_t dyno_expr_node_eval(const struct dyno_expr_node *node, const int64_t *symbols,
                            const int64_t *values)
{
    if (node->op == DYNO_EXPR_CONST)
        return node->value;
    if (node->op == DYNO_EXPR_SYMBOL)
        return symbols[node->value] != INT64_MIN ? symbols[node->value] : DYNO_EXPR_POISON;
    const int64_t c = node->op == DYNO_EXPR_SELECT ? values[node->c] : 0;
    return dyno_expr_apply(node->op, values[node->a], values[node->b], c);
}

void dyno_exprs_eval(const struct dyno_exprs *exprs, const int64_t *symbols, int64_t *values_out)
{
    for (size_t i = 0; i < exprs->count; i++)
        values_out[i] = dyno_expr_node_eval(&exprs->nodes[i], symbols, values_out);
}

/* --- ranges --- */

static bool is_open(int64_t bound)
{
    return bound == INT64_MIN || bound == INT64_MAX;
}

static int64_t bound_add(int64_t a, int64_t b)
{
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

/* Products and quotients of bounds, where open means infinite and 0 * infinity is 0. */
static int64_t bound_mul(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return 0;
    int64_t product = 0;
    if (is_open(a) || is_open(b) || __builtin_mul_overflow(a, b, &product))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return product;
}

static int64_t bound_div(int64_t a, int64_t b)
{
    if (is_open(a))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    if (is_open(b))
        return a != 0 && (a < 0) != (b < 0) ? -1 : 0;
    const int64_t value = dyno_expr_apply(DYNO_EXPR_FLOORDIV, a, b, 0);
    return dyno_expr_value_ok(value) ? value : INT64_MAX;
}

static struct expr_range hull(const int64_t corners[4])
{
    struct expr_range range = {corners[0], corners[0]};
    for (int i = 1; i < 4; i++) {
        range.min = corners[i] < range.min ? corners[i] : range.min;
        range.max = corners[i] > range.max ? corners[i] : range.max;
    }
    return range;
}

struct expr_range dyno_range_floordiv(struct expr_range a, struct expr_range b)
{
    if (b.min <= 0 && b.max >= 0)
        return (struct expr_range){INT64_MIN, INT64_MAX};
    const int64_t corners[4] = {bound_div(a.min, b.min), bound_div(a.min, b.max),
                                bound_div(a.max, b.min), bound_div(a.max, b.max)};
    return hull(corners);
}

static struct expr_range range_add(struct expr_range a, struct expr_range b)
{
    struct expr_range range = {INT64_MIN, INT64_MAX};
    if (a.min != INT64_MIN && b.min != INT64_MIN)
        range.min = bound_add(a.min, b.min);
    if (a.max != INT64_MAX && b.max != INT64_MAX)
        range.max = bound_add(a.max, b.max);
    return range;
}

static struct expr_range range_mul(struct expr_range a, struct expr_range b)
{
    const int64_t corners[4] = {bound_mul(a.min, b.min), bound_mul(a.min, b.max),
                                bound_mul(a.max, b.min), bound_mul(a.max, b.max)};
    return hull(corners);
}

static struct expr_range range_mod(struct expr_range a, struct expr_range b)
{
    struct expr_range range = {INT64_MIN, INT64_MAX};
    if (b.min > 0) {
        range.min = 0;
        range.max = b.max == INT64_MAX ? INT64_MAX : b.max - 1;
        if (a.min >= 0 && a.max < range.max)
            range.max = a.max;
    } else if (b.max < 0) {
        range.max = 0;
        range.min = b.min == INT64_MIN ? INT64_MIN : b.min + 1;
    }
    return range;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct expr_range range_of(const struct dyno_exprs *exprs, const struct dyno_expr_node *node)
{
    if (node->op == DYNO_EXPR_CONST)
        return (struct expr_range){node->value, node->value};
    if (node->op == DYNO_EXPR_SYMBOL) {
        const struct expr_symbol *symbol = &exprs->symbols[node->value];
        return (struct expr_range){symbol->min, symbol->max};
    }
    const struct expr_range a = exprs->ranges[node->a];
    const struct expr_range b = exprs->ranges[node->b];
    switch (node->op) {
    case DYNO_EXPR_ADD:
        return range_add(a, b);
    case DYNO_EXPR_MUL:
        return range_mul(a, b);
    case DYNO_EXPR_FLOORDIV:
        return dyno_range_floordiv(a, b);
    case DYNO_EXPR_MOD:
        return range_mod(a, b);
    case DYNO_EXPR_MIN:
        return (struct expr_range){least(a.min, b.min), least(a.max, b.max)};
    case DYNO_EXPR_MAX:
        return (struct expr_range){most(a.min, b.min), most(a.max, b.max)};
    case DYNO_EXPR_SELECT:
        return (struct expr_range){least(b.min, exprs->ranges[node->c].min),
                                   most(b.max, exprs->ranges[node->c].max)};
    case DYNO_EXPR_EQ:
    case DYNO_EXPR_LT:
    case DYNO_EXPR_CONST:
    case DYNO_EXPR_SYMBOL:
    case DYNO_EXPR_OP_COUNT:
        break;
    }
    return (struct expr_range){0, 1};
}

void dyno_expr_range(const struct dyno_exprs *exprs, dyno_expr e, int64_t *min_out,
                     int64_t *max_out)
{
    *min_out = e == DYNO_EXPR_NONE ? INT64_MIN : exprs->ranges[e].min;
    *max_out = e == DYNO_EXPR_NONE ? INT64_MAX : exprs->ranges[e].max;
}

/* --- interning --- */

static dyno_expr out_of_memory(struct dyno_exprs *exprs)
{
    exprs->is_out_of_memory = true;
    return DYNO_EXPR_NONE;
}

bool dyno_exprs_out_of_memory(const struct dyno_exprs *exprs)
{
    return exprs->is_out_of_memory;
}

static uint64_t node_hash(const struct dyno_expr_node *node)
{
    const uint64_t words[3] = {((uint64_t)node->op << 32) | node->a,
                               ((uint64_t)node->b << 32) | node->c, (uint64_t)node->value};
    return dyno_hash64(0, words, sizeof(words));
}

static bool nodes_equal(const struct dyno_expr_node *a, const struct dyno_expr_node *b)
{
    return a->op == b->op && a->a == b->a && a->b == b->b && a->c == b->c && a->value == b->value;
}

static bool grow_slots(struct dyno_exprs *exprs)
{
    const size_t slot_count = exprs->slot_count != 0 ? exprs->slot_count * 2 : 128;
    uint32_t *slots = dyno_alloc(slot_count, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < exprs->count; i++) {
        size_t at = (size_t)node_hash(&exprs->nodes[i]) & (slot_count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    dyno_free(exprs->slots);
    exprs->slots = slots;
    exprs->slot_count = slot_count;
    return true;
}

/* Grow one array of the pool to new_count items, keeping what is there. */
static bool grow_array(void **array, size_t count, size_t new_count, size_t item_bytes)
{
    void *moved = dyno_realloc(*array, count * item_bytes, new_count, item_bytes);
    if (moved == NULL)
        return false;
    *array = moved;
    return true;
}

static bool grow_nodes(struct dyno_exprs *exprs)
{
    const size_t capacity = exprs->capacity != 0 ? exprs->capacity * 2 : 64;
    void *nodes = exprs->nodes;
    void *ranges = exprs->ranges;
    void *is_opaque = exprs->is_opaque;
    const bool ok = grow_array(&nodes, exprs->count, capacity, sizeof(*exprs->nodes)) &&
                    grow_array(&ranges, exprs->count, capacity, sizeof(*exprs->ranges)) &&
                    grow_array(&is_opaque, exprs->count, capacity, sizeof(*exprs->is_opaque));
    exprs->nodes = nodes;
    exprs->ranges = ranges;
    exprs->is_opaque = is_opaque;
    if (ok)
        exprs->capacity = capacity;
    return ok;
}

static bool is_foldable(enum dyno_expr_op op)
{
    return op != DYNO_EXPR_CONST && op != DYNO_EXPR_SYMBOL && op != DYNO_EXPR_ADD &&
           op != DYNO_EXPR_MUL;
}

dyno_expr dyno_expr_intern(struct dyno_exprs *exprs, struct dyno_expr_node node, bool is_opaque)
{
    const struct expr_range range = range_of(exprs, &node);
    if (is_foldable(node.op) && range.min == range.max)
        return dyno_expr_const(exprs, range.min);
    if (exprs->count * 2 >= exprs->slot_count && !grow_slots(exprs))
        return out_of_memory(exprs);
    size_t at = (size_t)node_hash(&node) & (exprs->slot_count - 1);
    for (; exprs->slots[at] != 0; at = (at + 1) & (exprs->slot_count - 1))
        if (nodes_equal(&exprs->nodes[exprs->slots[at] - 1], &node))
            return exprs->slots[at] - 1;
    if (exprs->count == EXPR_NODES_MAX || (exprs->count == exprs->capacity && !grow_nodes(exprs)))
        return out_of_memory(exprs);
    const size_t idx = exprs->count++;
    exprs->nodes[idx] = node;
    exprs->ranges[idx] = range;
    exprs->is_opaque[idx] = is_opaque;
    exprs->slots[at] = (uint32_t)idx + 1;
    return (dyno_expr)idx;
}

dyno_expr dyno_expr_const(struct dyno_exprs *exprs, int64_t value)
{
    if (!dyno_expr_value_ok(value))
        return DYNO_EXPR_NONE;
    return dyno_expr_intern(exprs, (struct dyno_expr_node){.op = DYNO_EXPR_CONST, .value = value},
                            false);
}

dyno_expr dyno_expr_symbol(struct dyno_exprs *exprs, const char *name, int64_t min, int64_t max)
{
    uint64_t found = 0;
    if (dyno_map_find(&exprs->symbol_by_name, name, strlen(name), &found))
        return exprs->symbols[found].node;
    if (exprs->symbol_count == exprs->symbol_capacity) {
        const size_t capacity = exprs->symbol_capacity != 0 ? exprs->symbol_capacity * 2 : 16;
        void *symbols = exprs->symbols;
        if (!grow_array(&symbols, exprs->symbol_count, capacity, sizeof(*exprs->symbols)))
            return out_of_memory(exprs);
        exprs->symbols = symbols;
        exprs->symbol_capacity = capacity;
    }
    const char *copy = dyno_arena_strdup(exprs->names, name);
    if (copy == NULL)
        return out_of_memory(exprs);
    const size_t idx = exprs->symbol_count;
    exprs->symbols[idx] = (struct expr_symbol){.name = copy, .min = min, .max = max};
    if (!dyno_map_put(&exprs->symbol_by_name, copy, strlen(copy), (uint64_t)idx))
        return out_of_memory(exprs);
    const struct dyno_expr_node symbol = {.op = DYNO_EXPR_SYMBOL, .value = (int64_t)idx};
    const dyno_expr node = dyno_expr_intern(exprs, symbol, false);
    if (node == DYNO_EXPR_NONE) {
        (void)dyno_map_remove(&exprs->symbol_by_name, copy, strlen(copy));
        return DYNO_EXPR_NONE;
    }
    exprs->symbols[idx].node = node;
    exprs->symbol_count++;
    return node;
}

dyno_expr dyno_expr_fresh(struct dyno_exprs *exprs, int64_t min, int64_t max)
{
    char name[32];
    do
        (void)snprintf(name, sizeof(name), "?%llu", (unsigned long long)exprs->fresh_count++);
    while (dyno_map_find(&exprs->symbol_by_name, name, strlen(name), NULL));
    return dyno_expr_symbol(exprs, name, min, max);
}

/* --- looking --- */

bool dyno_expr_is_const(const struct dyno_exprs *exprs, dyno_expr e, int64_t *value_out)
{
    if (e == DYNO_EXPR_NONE || exprs->nodes[e].op != DYNO_EXPR_CONST)
        return false;
    *value_out = exprs->nodes[e].value;
    return true;
}

size_t dyno_exprs_count(const struct dyno_exprs *exprs)
{
    return exprs->count;
}

struct dyno_expr_node dyno_exprs_node(const struct dyno_exprs *exprs, dyno_expr e)
{
    DYNO_ASSERT(e < exprs->count);
    return exprs->nodes[e];
}

size_t dyno_exprs_symbol_count(const struct dyno_exprs *exprs)
{
    return exprs->symbol_count;
}

const char *dyno_exprs_symbol(const struct dyno_exprs *exprs, size_t symbol_idx, int64_t *min_out,
                              int64_t *max_out)
{
    DYNO_ASSERT(symbol_idx < exprs->symbol_count);
    *min_out = exprs->symbols[symbol_idx].min;
    *max_out = exprs->symbols[symbol_idx].max;
    return exprs->symbols[symbol_idx].name;
}
