/* contents.c - intervals of the elements of values. */
#include "passes/contents.h"

#include <math.h>

#define VISITS_MAX  64                 /* values looked at for one answer */
#define SCANNED_MAX 4096               /* elements of a constant that are worth looking at all */
#define EXACT_MAX   9007199254740992.0 /* 2^53 */

struct interval {
    double min, max;
};

static bool find(const struct dyno_value *value, int *left, struct interval *out);

/* The hull of the first `count` elements of a constant; false on NaN. */
static bool of_elements(const struct dyno_tensor *tensor, int64_t count, struct interval *out)
{
    *out = (struct interval){INFINITY, -INFINITY};
    for (int64_t i = 0; i < count; i++) {
        const double elem = dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)i);
        if (isnan(elem))
            return false;
        out->min = elem < out->min ? elem : out->min;
        out->max = elem > out->max ? elem : out->max;
    }
    return count != 0;
}

static bool is_number(enum dyno_dtype dtype)
{
    return dyno_dtype_is_float(dtype) || dyno_dtype_is_int(dtype) || dtype == DYNO_BOOL;
}

static bool of_tensor(const struct dyno_tensor *tensor, struct interval *out)
{
    const int64_t count = dyno_tensor_count(tensor);
    return is_number(tensor->dtype) && count <= SCANNED_MAX && of_elements(tensor, count, out);
}

/* Contents known as expressions; the range of each follows from those of the symbols. */
static bool of_host(const struct dyno_exprs *exprs, const struct dyno_type *type,
                    struct interval *out)
{
    *out = (struct interval){INFINITY, -INFINITY};
    for (uint32_t i = 0; i < type->elem_count; i++) {
        int64_t min = 0;
        int64_t max = 0;
        dyno_expr_range(exprs, type->elems[i], &min, &max);
        out->min = (double)min < out->min ? (double)min : out->min;
        out->max = (double)max > out->max ? (double)max : out->max;
    }
    return type->elem_count != 0;
}

static bool hull(const struct dyno_value *a, const struct dyno_value *b, int *left,
                 struct interval *out)
{
    struct interval other;
    if (!find(a, left, out) || !find(b, left, &other))
        return false;
    out->min = fmin(out->min, other.min);
    out->max = fmax(out->max, other.max);
    return true;
}

/* An operand that is a host value is told by the graph of the node that reads it. */
static bool find_in(const struct dyno_node *node, uint32_t idx, int *left, struct interval *out)
{
    const struct dyno_value *value = node->ins[idx];
    if (value->type.constant == NULL && value->type.elems != NULL)
        return of_host(node->graph->exprs, &value->type, out);
    return find(value, left, out);
}

/* Range: from the first number on, up or down. */
static bool of_range(const struct dyno_node *node, int *left, struct interval *out)
{
    struct interval start;
    struct interval limit;
    struct interval step;
    if (!find_in(node, 0, left, &start) || !find_in(node, 1, left, &limit) ||
        !find_in(node, 2, left, &step))
        return false;
    if (step.min > 0.0)
        *out = (struct interval){start.min, fmax(limit.max, start.min)};
    else if (step.max < 0.0)
        *out = (struct interval){fmin(limit.min, start.max), start.max};
    else
        return false;
    return true;
}

static void set_truth(struct interval *out, bool surely, bool never)
{
    *out = (struct interval){surely ? 1.0 : 0.0, never ? 0.0 : 1.0};
}

static bool of_comparison(const struct dyno_node *node, int *left, struct interval *out)
{
    struct interval a;
    struct interval b;
    if (!find_in(node, 0, left, &a) || !find_in(node, 1, left, &b))
        return false;
    switch ((int)node->op) {
    case DYNO_OP_greater:
        set_truth(out, a.min > b.max, a.max <= b.min);
        return true;
    case DYNO_OP_greater_or_equal:
        set_truth(out, a.min >= b.max, a.max < b.min);
        return true;
    case DYNO_OP_less:
        set_truth(out, a.max < b.min, a.min >= b.max);
        return true;
    case DYNO_OP_less_or_equal:
        set_truth(out, a.max <= b.min, a.min > b.max);
        return true;
    case DYNO_OP_equal:
        set_truth(out, a.min == a.max && b.min == a.min && b.max == a.max,
                  a.max < b.min || a.min > b.max);
        return true;
    default:
        return false;
    }
}

static bool of_where(const struct dyno_node *node, int *left, struct interval *out)
{
    struct interval cond;
    if (find(node->ins[0], left, &cond) && cond.min == cond.max)
        return find_in(node, cond.min != 0.0 ? 1 : 2, left, out);
    return hull(node->ins[1], node->ins[2], left, out);
}

static bool of_logic(const struct dyno_node *node, int *left, struct interval *out)
{
    struct interval a;
    struct interval b;
    if (!find(node->ins[0], left, &a) || (node->op != DYNO_OP_not && !find(node->ins[1], left, &b)))
        return false;
    if (node->op == DYNO_OP_not)
        *out = (struct interval){1.0 - a.max, 1.0 - a.min};
    else if (node->op == DYNO_OP_and)
        *out = (struct interval){fmin(a.min, b.min), fmin(a.max, b.max)};
    else
        *out = (struct interval){fmax(a.min, b.min), fmax(a.max, b.max)};
    return true;
}

/* Numbers that every kind holds as they are. */
static bool of_cast(const struct dyno_node *node, int *left, struct interval *out)
{
    if (!find_in(node, 0, left, out))
        return false;
    const bool small = out->min >= 0.0 && out->max <= 1.0 && rint(out->min) == out->min &&
                       rint(out->max) == out->max;
    /* Between 0 and 1 lie numbers that truncate: only the ends will do, unless both kinds agree. */
    const enum dyno_dtype from = node->ins[0]->type.dtype;
    return small && (from == DYNO_BOOL || dyno_dtype_is_int(from) || out->min == out->max);
}

static bool of_fill(const struct dyno_node *node, struct interval *out)
{
    const struct dyno_tensor *const *fill = dyno_node_attr(node, "value", DYNO_ATTR_TENSOR);
    *out = (struct interval){0.0, 0.0};
    return fill != NULL && (*fill == NULL || of_tensor(*fill, out));
}

static bool of_node(const struct dyno_node *node, int *left, struct interval *out)
{
    switch ((int)node->op) {
    case DYNO_OP_identity:
    case DYNO_OP_expand:
    case DYNO_OP_reshape:
    case DYNO_OP_squeeze:
    case DYNO_OP_unsqueeze:
    case DYNO_OP_flatten:
    case DYNO_OP_transpose:
    case DYNO_OP_tile:
    case DYNO_OP_slice:
    case DYNO_OP_gather:
    case DYNO_OP_gather_elements:
        return find_in(node, 0, left, out);
    case DYNO_OP_range:
        return of_range(node, left, out);
    case DYNO_OP_where:
        return of_where(node, left, out);
    case DYNO_OP_cast:
        return of_cast(node, left, out);
    case DYNO_OP_constant_of_shape:
        return of_fill(node, out);
    case DYNO_OP_not:
    case DYNO_OP_and:
    case DYNO_OP_or:
        return of_logic(node, left, out);
    case DYNO_OP_greater:
    case DYNO_OP_greater_or_equal:
    case DYNO_OP_less:
    case DYNO_OP_less_or_equal:
    case DYNO_OP_equal:
        return of_comparison(node, left, out);
    default:
        return false;
    }
}

static bool find(const struct dyno_value *value, int *left, struct interval *out)
{
    bool known = false;
    if ((*left)-- <= 0 || !is_number(value->type.dtype))
        return false;
    if (value->type.constant != NULL)
        known = of_tensor(value->type.constant, out);
    else if (value->producer != NULL && value->producer->tail.instr_count == 0 &&
             value->producer_out_idx == 0 && value->type.kind == DYNO_TYPE_TENSOR)
        known = of_node(value->producer, left, out);
    if (!known)
        return false;
    /* A bound that was rounded must not prove what is not true: beyond 2^53 only upper ones pass,
     * which no other bound reaches. */
    return dyno_dtype_is_float(value->type.dtype) ||
           (fabs(out->min) < EXACT_MAX && (fabs(out->max) < EXACT_MAX || out->max > 0.0));
}

bool dyno_contents_range(const struct dyno_value *value, double *min_out, double *max_out)
{
    struct interval interval;
    int left = VISITS_MAX;
    if (!find(value, &left, &interval))
        return false;
    *min_out = interval.min;
    *max_out = interval.max;
    return true;
}

/* Constants of any size, to the first element that differs. */
static bool constant_same(const struct dyno_tensor *tensor, double *same_out)
{
    const int64_t count = dyno_tensor_count(tensor);
    if (!is_number(tensor->dtype) || count == 0)
        return false;
    *same_out = dyno_elem_load_f64(tensor->dtype, tensor->data, 0);
    for (int64_t i = 1; i < count; i++) {
        if (dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)i) != *same_out)
            return false;
    }
    return !isnan(*same_out);
}

bool dyno_contents_same(const struct dyno_value *value, double *same_out)
{
    struct interval interval;
    int left = VISITS_MAX;
    if (value->type.constant != NULL)
        return constant_same(value->type.constant, same_out);
    if (!find(value, &left, &interval) || interval.min != interval.max)
        return false;
    *same_out = interval.min;
    return true;
}
