/* same_bytes.c - changes of layout and order that move nothing. */
#include <string.h>

#include "ops/move.h"
#include "plan/plan.h"

static bool is_one(const struct dyno_plan *plan, dyno_expr e)
{
    int64_t value = 0;
    return dyno_expr_is_const(plan->exprs, e, &value) && value == 1;
}

/* The tensor's axes in the order in which they lie in memory, without those of size 1; false where
 * there is padding, or an axis in two parts. */
static bool order_of(const struct dyno_plan *plan, const struct dyno_plan_tensor *tensor,
                     struct dyno_layout layout, int *order_out, int *count_out)
{
    const bool is_last = layout.kind == DYNO_LAYOUT_LAST;
    int64_t channels = 0;
    *count_out = 0;
    if (tensor->rank < (layout.kind == DYNO_LAYOUT_ROW ? 0 : 2))
        return false;
    if (layout.kind != DYNO_LAYOUT_ROW &&
        (!dyno_expr_is_const(plan->exprs, tensor->dims[1], &channels) ||
         channels % layout.block != 0))
        return false;
    for (int i = 0; i < tensor->rank; i++) {
        int axis = i;
        if (is_last && i > 0) /* channels behind the positions */
            axis = i == tensor->rank - 1 ? 1 : i + 1;
        if (is_one(plan, tensor->dims[axis]))
            continue;
        if (layout.kind == DYNO_LAYOUT_BLOCK && i >= 2)
            return false;
        order_out[(*count_out)++] = axis;
    }
    return true;
}

bool dyno_plan_same_bytes(const struct dyno_plan *plan, uint32_t from,
                          struct dyno_layout from_layout, uint32_t to, struct dyno_layout to_layout,
                          const int64_t *perm)
{
    const struct dyno_plan_tensor *a = &plan->tensors[from];
    const struct dyno_plan_tensor *b = &plan->tensors[to];
    int a_order[DYNO_RANK_MAX], b_order[DYNO_RANK_MAX];
    int a_count = 0, b_count = 0;
    if (a->rank != b->rank || a->dtype != b->dtype || from_layout.elem != to_layout.elem ||
        dyno_dtype_bits(dyno_layout_elem(from_layout, a->dtype)) % 8 != 0 ||
        !order_of(plan, a, from_layout, a_order, &a_count) ||
        !order_of(plan, b, to_layout, b_order, &b_count) || a_count != b_count)
        return false;
    for (int i = 0; i < a_count; i++) {
        if (a_order[i] != (perm != NULL ? perm[b_order[i]] : b_order[i]))
            return false;
    }
    return true;
}

bool dyno_plan_moves_nothing(const struct dyno_plan *plan, const struct dyno_step *step,
                             struct dyno_layout from_layout, struct dyno_layout to_layout)
{
    const uint32_t in = step->ins[0];
    const uint32_t out = step->outs[0];
    int64_t perm[DYNO_RANK_MAX];
    if ((step->op != DYNO_OP_transpose && step->op != DYNO_OP_reorder) ||
        step->tail.instr_count != 0 || in == DYNO_NO_TENSOR || out == DYNO_NO_TENSOR)
        return false;
    if (step->op == DYNO_OP_reorder)
        return dyno_plan_same_bytes(plan, in, from_layout, out, to_layout, NULL);
    const struct dyno_transpose_attrs *attrs = step->attrs;
    const int rank = plan->tensors[out].rank;
    if (attrs->perm.count != 0 && attrs->perm.count != (uint32_t)(rank < 0 ? 0 : rank))
        return false;
    for (int i = 0; i < rank; i++) {
        perm[i] = attrs->perm.count != 0 ? attrs->perm.at[i] : rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= rank)
            return false;
    }
    return dyno_plan_same_bytes(plan, in, from_layout, out, to_layout, perm);
}
