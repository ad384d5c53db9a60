/* sizes.c - what the symbols of a graph stand for while it is interpreted. */
#include <string.h>

#include "base/mem.h"
#include "ir/interpret_run.h"

bool dyno_sizes_init(struct dyno_sizes *sizes, const struct dyno_exprs *exprs)
{
    const size_t symbol_count = dyno_exprs_symbol_count(exprs) + 1;
    const size_t count = dyno_exprs_count(exprs) + 1;
    *sizes = (struct dyno_sizes){.exprs = exprs, .stale = true};
    sizes->symbols = dyno_alloc(symbol_count, sizeof(int64_t));
    sizes->bound = dyno_alloc(symbol_count, 1);
    sizes->values = dyno_alloc(count, sizeof(int64_t));
    sizes->known = dyno_alloc(count, 1);
    return sizes->symbols != NULL && sizes->bound != NULL && sizes->values != NULL &&
           sizes->known != NULL;
}

void dyno_sizes_fini(struct dyno_sizes *sizes)
{
    dyno_free(sizes->symbols);
    dyno_free(sizes->bound);
    dyno_free(sizes->values);
    dyno_free(sizes->known);
}

/* Floor division; b != 0 and no overflow. */
static int64_t floor_div(int64_t a, int64_t b)
{
    const int64_t quotient = a / b;
    return quotient - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static bool compute(const struct dyno_sizes *sizes, const struct dyno_expr_node *node,
                    int64_t *value_out)
{
    const int64_t *values = sizes->values;
    const int64_t a = values[node->a];
    const int64_t b = values[node->b];
    switch (node->op) {
    case DYNO_EXPR_ADD:
        return !__builtin_add_overflow(a, b, value_out);
    case DYNO_EXPR_MUL:
        return !__builtin_mul_overflow(a, b, value_out);
    case DYNO_EXPR_FLOORDIV:
        if (b == 0 || (a == INT64_MIN && b == -1))
            return false;
        *value_out = floor_div(a, b);
        return true;
    case DYNO_EXPR_MOD:
        if (b == 0 || b == -1)
            return b != 0 && (*value_out = 0, true);
        *value_out = a - floor_div(a, b) * b;
        return true;
    case DYNO_EXPR_MIN:
        *value_out = a < b ? a : b;
        return true;
    case DYNO_EXPR_MAX:
        *value_out = a > b ? a : b;
        return true;
    case DYNO_EXPR_EQ:
        *value_out = a == b;
        return true;
    case DYNO_EXPR_LT:
        *value_out = a < b;
        return true;
    case DYNO_EXPR_SELECT:
        *value_out = a != 0 ? b : values[node->c];
        return true;
    case DYNO_EXPR_CONST:
    case DYNO_EXPR_SYMBOL:
    case DYNO_EXPR_OP_COUNT:
        break;
    }
    return false;
}

/* Operands are older than what uses them: one sweep computes everything that is known. */
static void sweep(struct dyno_sizes *sizes)
{
    const size_t count = dyno_exprs_count(sizes->exprs);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_expr_node node = dyno_exprs_node(sizes->exprs, (dyno_expr)i);
        if (node.op == DYNO_EXPR_CONST) {
            sizes->values[i] = node.value;
            sizes->known[i] = 1;
        } else if (node.op == DYNO_EXPR_SYMBOL) {
            sizes->values[i] = sizes->symbols[node.value];
            sizes->known[i] = sizes->bound[node.value] != DYNO_BOUND_NOT;
        } else {
            bool known = sizes->known[node.a] != 0 && sizes->known[node.b] != 0;
            if (node.op == DYNO_EXPR_SELECT)
                known = known && sizes->known[node.c] != 0;
            sizes->known[i] = known && compute(sizes, &node, &sizes->values[i]);
        }
    }
    sizes->stale = false;
}

bool dyno_sizes_eval(struct dyno_sizes *sizes, dyno_expr e, int64_t *value_out)
{
    if (e == DYNO_EXPR_NONE)
        return false;
    if (sizes->stale)
        sweep(sizes);
    *value_out = sizes->values[e];
    return sizes->known[e] != 0;
}

/* Bind the symbol that dimension `e` is, if it is one that is still to be bound. */
static enum dyno_status bind(struct dyno_sizes *sizes, const struct dyno_value *value, int axis,
                             int64_t size, enum dyno_bound by, struct dyno_err *err)
{
    int64_t min = 0;
    int64_t max = 0;
    const struct dyno_expr_node node = dyno_exprs_node(sizes->exprs, value->type.dims[axis]);
    if (node.op != DYNO_EXPR_SYMBOL)
        return DYNO_OK;
    uint8_t *bound = &sizes->bound[node.value];
    /* What a node of a region found may differ in the next turn; inputs are for good. */
    if (*bound == DYNO_BOUND_INPUT ||
        (*bound == DYNO_BOUND_NODE && sizes->symbols[node.value] == size))
        return DYNO_OK;
    const char *name = dyno_exprs_symbol(sizes->exprs, (size_t)node.value, &min, &max);
    if (size < min || size > max)
        return DYNO_FAIL(err, by == DYNO_BOUND_INPUT ? DYNO_E_ARG : DYNO_E_MISMATCH,
                         "'%s' axis %d is %lld, but %s is %lld to %lld", value->name, axis,
                         (long long)size, name, (long long)min, (long long)max);
    sizes->symbols[node.value] = size;
    *bound = (uint8_t)by;
    sizes->stale = true;
    return DYNO_OK;
}

enum dyno_status dyno_sizes_match(struct dyno_sizes *sizes, const struct dyno_value *value,
                                  const struct dyno_tensor *tensor, enum dyno_bound by,
                                  struct dyno_err *err)
{
    const struct dyno_type *type = &value->type;
    const enum dyno_status code = by == DYNO_BOUND_INPUT ? DYNO_E_ARG : DYNO_E_MISMATCH;
    if (tensor->dtype != type->dtype)
        return DYNO_FAIL(err, code, "'%s' is of %s, but its type says %s", value->name,
                         dyno_dtype_text(tensor->dtype), dyno_dtype_text(type->dtype));
    if (type->rank >= 0 && type->rank != tensor->rank)
        return DYNO_FAIL(err, code, "'%s' has rank %d, but its type says %d", value->name,
                         tensor->rank, type->rank);
    for (int axis = 0; axis < type->rank; axis++)
        DYNO_TRY(bind(sizes, value, axis, tensor->dims[axis], by, err));
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t size = 0;
        if (dyno_sizes_eval(sizes, type->dims[axis], &size) && size != tensor->dims[axis])
            return DYNO_FAIL(err, code, "'%s' axis %d is %lld, but its type says %lld", value->name,
                             axis, (long long)tensor->dims[axis], (long long)size);
    }
    return DYNO_OK;
}
