/* views.c - reshapes, slices, concatenations, and changes of layout and order without copies. */
#include "build/views.h"

#include <string.h>

#include "backend/backend.h"
#include "ops/move.h"

struct viewer {
    struct dyno_plan *plan;
    uint32_t *view_counts; /* by tensor: how many views it is the base of */
    bool *dense;           /* by tensor: a kernel reads or writes it that takes no channel view */
    bool *drop;            /* by step */
    uint32_t count;
    struct dyno_err *err;
};

static bool is_row(const struct dyno_plan_tensor *tensor)
{
    return tensor->layout.kind == DYNO_LAYOUT_ROW;
}

static bool can_hold_views(const struct dyno_plan_tensor *tensor)
{
    return tensor->rank >= 0 &&
           (tensor->role == DYNO_ROLE_TEMP || tensor->role == DYNO_ROLE_INPUT ||
            tensor->role == DYNO_ROLE_OUTPUT);
}

static dyno_expr offset_of(const struct viewer *viewer, uint32_t id)
{
    const struct dyno_plan_tensor *tensor = &viewer->plan->tensors[id];
    return tensor->base != DYNO_NO_TENSOR ? tensor->view_offset
                                          : dyno_expr_const(viewer->plan->exprs, 0);
}

/* Make `id` a view of `base` (a root) at `offset`; what viewed `id` moves along. */
static enum dyno_status set_view(struct viewer *viewer, uint32_t id, uint32_t base,
                                 dyno_expr offset)
{
    struct dyno_plan *plan = viewer->plan;
    if (offset == DYNO_EXPR_NONE)
        return DYNO_NOMEM(viewer->err);
    for (uint32_t i = 0; viewer->view_counts[id] != 0 && i < plan->tensor_count; i++) {
        if (plan->tensors[i].base != id)
            continue;
        plan->tensors[i].base = base;
        plan->tensors[i].view_offset =
            dyno_expr_add(plan->exprs, plan->tensors[i].view_offset, offset);
        if (plan->tensors[i].view_offset == DYNO_EXPR_NONE)
            return DYNO_NOMEM(viewer->err);
        viewer->view_counts[base]++;
    }
    viewer->view_counts[id] = 0;
    plan->tensors[id].base = base;
    plan->tensors[id].view_offset = offset;
    viewer->view_counts[base]++;
    viewer->count++;
    return DYNO_OK;
}

static bool same_layout(const struct dyno_plan_tensor *a, const struct dyno_plan_tensor *b)
{
    return dyno_layout_same(a->layout, b->layout) && a->dtype == b->dtype;
}

/* --- reshapes --- */

/* In BLOCK layout too when batch and channels stay: only the spatial axes are seen otherwise. */
static bool keeps_bytes(const struct dyno_plan_tensor *from, const struct dyno_plan_tensor *to)
{
    if (!same_layout(from, to) || from->layout.kind == DYNO_LAYOUT_LAST)
        return false;
    return is_row(from) || (from->rank >= 2 && to->rank >= 2 && from->dims[0] == to->dims[0] &&
                            from->dims[1] == to->dims[1]);
}

static enum dyno_status view_reshape(struct viewer *viewer, uint32_t step_idx)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_step *step = &plan->steps[step_idx];
    const uint32_t in = step->ins[0];
    const uint32_t out = step->outs[0];
    if (in == DYNO_NO_TENSOR || out == DYNO_NO_TENSOR || step->tail.instr_count != 0)
        return DYNO_OK;
    const struct dyno_plan_tensor *from = &plan->tensors[in];
    const struct dyno_plan_tensor *to = &plan->tensors[out];
    if (from->rank < 0 || to->rank < 0 || !keeps_bytes(from, to))
        return DYNO_OK;
    const uint32_t root = dyno_plan_root(plan, in);
    if (to->role == DYNO_ROLE_TEMP && can_hold_views(&plan->tensors[root])) {
        DYNO_TRY(set_view(viewer, out, root, offset_of(viewer, in)));
    } else if (to->role == DYNO_ROLE_OUTPUT && from->role == DYNO_ROLE_TEMP && root == in) {
        DYNO_TRY(set_view(viewer, in, out, dyno_expr_const(plan->exprs, 0)));
    } else {
        return DYNO_OK;
    }
    viewer->drop[step_idx] = true;
    return DYNO_OK;
}

/* --- cutting and joining along an axis --- */

static bool is_one(const struct dyno_plan *plan, dyno_expr e)
{
    int64_t value = 0;
    return dyno_expr_is_const(plan->exprs, e, &value) && value == 1;
}

static unsigned stored_bits(const struct dyno_plan_tensor *tensor)
{
    return dyno_dtype_bits(dyno_layout_elem(tensor->layout, tensor->dtype));
}

/* Can a range of axis `axis` of this tensor be a view of it? */
static bool can_cut(const struct dyno_plan *plan, const struct dyno_plan_tensor *whole, int axis)
{
    if (!is_row(whole))
        return axis == 1;
    for (int i = 0; i < axis; i++) {
        if (!is_one(plan, whole->dims[i]))
            return false;
    }
    return stored_bits(whole) % 8 == 0;
}

/* On a GPU kernels read and write 16 bytes at a time: views begin at multiples of that. */
static bool can_begin_at(const struct dyno_plan *plan, dyno_expr offset)
{
    int64_t rest = 0;
    if (plan->gpu.compute == 0)
        return true;
    const dyno_expr mod =
        dyno_expr_mod(plan->exprs, offset, dyno_expr_const(plan->exprs, DYNO_GPU_VIEW_BYTES));
    return mod != DYNO_EXPR_NONE && dyno_expr_is_const(plan->exprs, mod, &rest) && rest == 0;
}

/* Offset of index `start` on the axis in the view's unit: channels or bytes. NONE when it cannot
 * be. */
static dyno_expr cut_offset(const struct dyno_plan *plan, const struct dyno_plan_tensor *whole,
                            int axis, dyno_expr start)
{
    int64_t value = 0;
    if (!is_row(whole))
        return dyno_expr_is_const(plan->exprs, start, &value) && value % whole->layout.block == 0
                   ? start
                   : DYNO_EXPR_NONE;
    dyno_expr bytes =
        dyno_expr_mul(plan->exprs, start, dyno_expr_const(plan->exprs, stored_bits(whole) / 8));
    for (int i = axis + 1; i < whole->rank; i++)
        bytes = dyno_expr_mul(plan->exprs, bytes, whole->dims[i]);
    return can_begin_at(plan, bytes) ? bytes : DYNO_EXPR_NONE;
}

/* Can channels of `whole` from `start` on be this tensor, where that takes more than an offset?  In
 * LAST kernels take a channel view or not, and what lies behind its last channel is zero. */
static bool can_be_part(const struct viewer *viewer, uint32_t part, uint32_t whole, dyno_expr start)
{
    const struct dyno_plan *plan = viewer->plan;
    const struct dyno_plan_tensor *from = &plan->tensors[whole];
    int64_t first = 0, count = 0, all = 0;
    if (from->layout.kind != DYNO_LAYOUT_LAST)
        return true;
    return !viewer->dense[part] && dyno_expr_is_const(plan->exprs, start, &first) &&
           dyno_expr_is_const(plan->exprs, plan->tensors[part].dims[1], &count) &&
           dyno_expr_is_const(plan->exprs, from->dims[1], &all) && first >= 0 && count > 0 &&
           count <= all - first && (count % from->layout.block == 0 || count == all - first);
}

/* Make `part` the range of `whole` that starts at `start`; false in *done when it cannot be. */
static enum dyno_status view_part(struct viewer *viewer, uint32_t part, uint32_t whole, int axis,
                                  dyno_expr start, bool *done)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_plan_tensor *to = &plan->tensors[part];
    const struct dyno_plan_tensor *from = &plan->tensors[whole];
    const uint32_t root = dyno_plan_root(plan, whole);
    *done = false;
    if (to->role != DYNO_ROLE_TEMP || to->base != DYNO_NO_TENSOR || to->rank < 0 ||
        !same_layout(to, from) || !can_hold_views(&plan->tensors[root]) ||
        !can_cut(plan, from, axis) || !can_be_part(viewer, part, whole, start))
        return DYNO_OK;
    const dyno_expr offset = cut_offset(plan, from, axis, start);
    if (offset == DYNO_EXPR_NONE)
        return DYNO_OK;
    *done = true;
    return set_view(viewer, part, root,
                    dyno_expr_add(plan->exprs, offset_of(viewer, whole), offset));
}

/* Constant integers of a small input; false when they are not known. */
static bool const_ints(const struct dyno_plan *plan, uint32_t id, int64_t *values, uint32_t count)
{
    if (id == DYNO_NO_TENSOR || plan->tensors[id].role != DYNO_ROLE_WEIGHT)
        return false;
    const struct dyno_plan_tensor *tensor = &plan->tensors[id];
    if (tensor->data == NULL || !dyno_dtype_is_int(tensor->dtype) ||
        tensor->data_bytes != (uint64_t)count * dyno_dtype_bits(tensor->dtype) / 8)
        return false;
    for (uint32_t i = 0; i < count; i++)
        values[i] = dyno_elem_load_i64(tensor->dtype, tensor->data, i);
    return true;
}

/* Slice(data, starts, ends, axes, steps) along one axis, step 1, start known and not negative. */
static enum dyno_status view_slice(struct viewer *viewer, uint32_t step_idx)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_step *step = &plan->steps[step_idx];
    int64_t start = 0;
    int64_t axis = 0;
    int64_t stride = 1;
    bool done = false;
    if (step->tail.instr_count != 0 || step->own_in_count < 4 ||
        !const_ints(plan, step->ins[1], &start, 1) || !const_ints(plan, step->ins[3], &axis, 1) ||
        (step->own_in_count > 4 && step->ins[4] != DYNO_NO_TENSOR &&
         !const_ints(plan, step->ins[4], &stride, 1)))
        return DYNO_OK;
    const struct dyno_plan_tensor *whole = &plan->tensors[step->ins[0]];
    axis += axis < 0 ? whole->rank : 0;
    if (stride != 1 || axis < 0 || axis >= whole->rank || start < 0)
        return DYNO_OK;
    int64_t least = 0;
    int64_t most = 0;
    dyno_expr_range(plan->exprs, whole->dims[axis], &least, &most);
    if (start > least) /* might be clamped to a shorter axis */
        return DYNO_OK;
    DYNO_TRY(view_part(viewer, step->outs[0], step->ins[0], (int)axis,
                       dyno_expr_const(plan->exprs, start), &done));
    viewer->drop[step_idx] = done;
    return DYNO_OK;
}

static enum dyno_status view_split(struct viewer *viewer, uint32_t step_idx)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_step *step = &plan->steps[step_idx];
    const struct dyno_split_attrs *attrs = step->attrs;
    const struct dyno_plan_tensor *whole = &plan->tensors[step->ins[0]];
    const int axis = (int)(attrs->axis < 0 ? attrs->axis + whole->rank : attrs->axis);
    bool all = true;
    if (step->tail.instr_count != 0 || axis < 0 || axis >= whole->rank)
        return DYNO_OK;
    /* Either every part can be a view or none becomes one: the step stays whole. */
    dyno_expr start = dyno_expr_const(plan->exprs, 0);
    for (uint32_t i = 0; i < step->out_count && all; i++) {
        const struct dyno_plan_tensor *part = &plan->tensors[step->outs[i]];
        all = step->outs[i] != DYNO_NO_TENSOR && part->role == DYNO_ROLE_TEMP && part->rank >= 0 &&
              same_layout(part, whole) && can_cut(plan, whole, axis) &&
              cut_offset(plan, whole, axis, start) != DYNO_EXPR_NONE &&
              can_be_part(viewer, step->outs[i], step->ins[0], start) &&
              can_hold_views(&plan->tensors[dyno_plan_root(plan, step->ins[0])]);
        if (all)
            start = dyno_expr_add(plan->exprs, start, part->dims[axis]);
    }
    if (!all)
        return DYNO_OK;
    start = dyno_expr_const(plan->exprs, 0);
    for (uint32_t i = 0; i < step->out_count; i++) {
        bool done = false;
        DYNO_TRY(view_part(viewer, step->outs[i], step->ins[0], axis, start, &done));
        start = dyno_expr_add(plan->exprs, start, plan->tensors[step->outs[i]].dims[axis]);
    }
    viewer->drop[step_idx] = true;
    return DYNO_OK;
}

/* Channels in front of input `idx` of a concatenation; input own_in_count: all of them. */
static dyno_expr start_of(const struct dyno_plan *plan, const struct dyno_step *step, uint32_t idx,
                          int axis)
{
    dyno_expr start = dyno_expr_const(plan->exprs, 0);
    for (uint32_t i = 0; i < idx && start != DYNO_EXPR_NONE; i++)
        start = dyno_expr_add(plan->exprs, start, plan->tensors[step->ins[i]].dims[axis]);
    return start;
}

/* Where in the concatenation the memory that holds input `idx` would begin; false where no number
 * says. */
static bool place_of(const struct viewer *viewer, const struct dyno_step *step, uint32_t idx,
                     int axis, int64_t *place_out)
{
    const struct dyno_plan *plan = viewer->plan;
    int64_t start = 0, offset = 0;
    const bool known = dyno_expr_is_const(plan->exprs, start_of(plan, step, idx, axis), &start) &&
                       dyno_expr_is_const(plan->exprs, offset_of(viewer, step->ins[idx]), &offset);
    *place_out = start - offset;
    return known && start >= offset;
}

/* Input `idx` is a range of channels of a tensor all of whose ranges follow each other here as they
 * do there: that tensor can be a range of the concatenation. */
static bool can_bring(const struct viewer *viewer, const struct dyno_step *step, uint32_t idx,
                      int axis)
{
    const struct dyno_plan *plan = viewer->plan;
    const uint32_t root = dyno_plan_root(plan, step->ins[idx]);
    const struct dyno_plan_tensor *whole = &plan->tensors[step->outs[0]];
    const struct dyno_plan_tensor *held = &plan->tensors[root];
    int64_t place = 0, other = 0, count = 0, sum = 0, all = 0;
    if (is_row(whole) || held->role != DYNO_ROLE_TEMP || !same_layout(held, whole) ||
        !place_of(viewer, step, idx, axis, &place) ||
        !dyno_expr_is_const(plan->exprs, held->dims[axis], &all))
        return false;
    for (uint32_t i = 0; i < step->own_in_count; i++) {
        if (dyno_plan_root(plan, step->ins[i]) != root)
            continue;
        if (!place_of(viewer, step, i, axis, &other) || other != place ||
            !dyno_expr_is_const(plan->exprs, plan->tensors[step->ins[i]].dims[axis], &count))
            return false;
        sum += count;
    }
    const dyno_expr start = dyno_expr_const(plan->exprs, place);
    return sum == all && cut_offset(plan, whole, axis, start) != DYNO_EXPR_NONE &&
           can_be_part(viewer, root, step->outs[0], start);
}

/* Can this input of a concatenation be written straight into it? */
static bool can_join(const struct viewer *viewer, const struct dyno_step *step, uint32_t idx,
                     int axis)
{
    const struct dyno_plan *plan = viewer->plan;
    const uint32_t id = step->ins[idx];
    const struct dyno_plan_tensor *part = &plan->tensors[id];
    const struct dyno_plan_tensor *whole = &plan->tensors[step->outs[0]];
    const dyno_expr start = start_of(plan, step, idx, axis);
    if (part->role != DYNO_ROLE_TEMP || part->rank < 0 || !same_layout(part, whole) ||
        start == DYNO_EXPR_NONE || cut_offset(plan, whole, axis, start) == DYNO_EXPR_NONE)
        return false;
    if (part->base != DYNO_NO_TENSOR)
        return can_bring(viewer, step, idx, axis);
    for (uint32_t k = 0; k < step->own_in_count; k++) {
        if (k != idx && dyno_plan_root(plan, step->ins[k]) == id)
            return false;
    }
    return can_be_part(viewer, id, step->outs[0], start);
}

static enum dyno_status view_concat(struct viewer *viewer, uint32_t step_idx)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_step *step = &plan->steps[step_idx];
    const struct dyno_axis_attrs *attrs = step->attrs;
    const uint32_t out = step->outs[0];
    const struct dyno_plan_tensor *whole = &plan->tensors[out];
    const int axis = (int)(attrs->axis < 0 ? attrs->axis + whole->rank : attrs->axis);
    if (step->tail.instr_count != 0 || whole->rank < 0 || axis < 0 || axis >= whole->rank ||
        whole->base != DYNO_NO_TENSOR || !can_hold_views(whole) || !can_cut(plan, whole, axis))
        return DYNO_OK;
    for (uint32_t i = 0; i < step->own_in_count; i++) {
        if (step->ins[i] == DYNO_NO_TENSOR || plan->tensors[step->ins[i]].rank != whole->rank)
            return DYNO_OK;
    }
    for (uint32_t i = 0; i < step->own_in_count; i++) {
        if (!can_join(viewer, step, i, axis))
            return DYNO_OK;
    }
    for (uint32_t i = 0; i < step->own_in_count; i++) {
        const uint32_t id = step->ins[i];
        const uint32_t base = plan->tensors[id].base;
        bool done = true;
        int64_t place = 0;
        if (base == DYNO_NO_TENSOR) {
            DYNO_TRY(view_part(viewer, id, out, axis, start_of(plan, step, i, axis), &done));
        } else if (base != out) { /* with the first of its ranges all have come */
            DYNO_ASSERT(place_of(viewer, step, i, axis, &place));
            DYNO_TRY(
                view_part(viewer, base, out, axis, dyno_expr_const(plan->exprs, place), &done));
        }
        DYNO_ASSERT(done);
    }
    viewer->drop[step_idx] = true;
    return DYNO_OK;
}

/* --- changes of layout and order that move nothing --- */

/* May `id`, with what views it, be a view inside `root`, which lies in another way? */
static bool can_follow(const struct viewer *viewer, uint32_t id, uint32_t root)
{
    const struct dyno_plan *plan = viewer->plan;
    const struct dyno_plan_tensor *tensor = &plan->tensors[id];
    const struct dyno_plan_tensor *held = &plan->tensors[root];
    /* Offsets are bytes of rows, and of what lies otherwise than its base. */
    return tensor->role == DYNO_ROLE_TEMP && tensor->base == DYNO_NO_TENSOR &&
           can_hold_views(held) && (is_row(tensor) || viewer->view_counts[id] == 0) &&
           (is_row(tensor) || tensor->layout.kind != held->layout.kind);
}

static enum dyno_status view_same(struct viewer *viewer, uint32_t step_idx)
{
    struct dyno_plan *plan = viewer->plan;
    const struct dyno_step *step = &plan->steps[step_idx];
    const uint32_t in = step->ins[0];
    const uint32_t out = step->outs[0];
    if (in == DYNO_NO_TENSOR || out == DYNO_NO_TENSOR ||
        !dyno_plan_moves_nothing(plan, step, plan->tensors[in].layout, plan->tensors[out].layout))
        return DYNO_OK;
    const struct dyno_plan_tensor *from = &plan->tensors[in];
    const struct dyno_plan_tensor *to = &plan->tensors[out];
    const uint32_t root = dyno_plan_root(plan, in);
    const bool is_range = root != in && !is_row(from) && same_layout(from, &plan->tensors[root]);
    if (!is_range && can_follow(viewer, out, root)) {
        DYNO_TRY(set_view(viewer, out, root, offset_of(viewer, in)));
    } else if (to->role == DYNO_ROLE_OUTPUT && from->role == DYNO_ROLE_TEMP && root == in &&
               viewer->view_counts[in] == 0) {
        DYNO_TRY(set_view(viewer, in, out, dyno_expr_const(plan->exprs, 0)));
    } else {
        return DYNO_OK;
    }
    viewer->drop[step_idx] = true;
    return DYNO_OK;
}

/* --- all --- */

static enum dyno_status view_step(struct viewer *viewer, uint32_t idx, bool in_place)
{
    const struct dyno_step *step = &viewer->plan->steps[idx];
    if ((dyno_ops[step->op]->flags & DYNO_OP_VIEW) != 0)
        return view_reshape(viewer, idx);
    if (!in_place)
        return DYNO_OK;
    if (step->op == DYNO_OP_slice)
        return view_slice(viewer, idx);
    if (step->op == DYNO_OP_split)
        return view_split(viewer, idx);
    if (step->op == DYNO_OP_concat)
        return view_concat(viewer, idx);
    return DYNO_OK;
}

/* What each step's kernel wants of its tensors; what becomes a view is not seen by any. */
static void find_dense(struct viewer *viewer)
{
    const struct dyno_plan *plan = viewer->plan;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
        if (kernel != NULL && kernel->strided)
            continue;
        for (uint32_t i = 0; i < step->in_count + step->out_count; i++) {
            const uint32_t id = i < step->in_count ? step->ins[i] : step->outs[i - step->in_count];
            if (id != DYNO_NO_TENSOR)
                viewer->dense[id] = true;
        }
    }
}

enum dyno_status dyno_make_views(struct dyno_plan *plan, uint32_t open_from, bool in_place,
                                 uint32_t *count_out, struct dyno_err *err)
{
    struct viewer viewer = {.plan = plan, .err = err};
    viewer.view_counts =
        dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(*viewer.view_counts));
    viewer.drop = dyno_arena_alloc(plan->arena, plan->step_count + 1U, sizeof(*viewer.drop));
    viewer.dense = dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(*viewer.dense));
    if (viewer.view_counts == NULL || viewer.drop == NULL || viewer.dense == NULL)
        return DYNO_NOMEM(err);
    find_dense(&viewer);
    for (uint32_t s = 0; s < open_from; s++)
        DYNO_TRY(view_step(&viewer, s, in_place));
    /* Then those that need their tensors dense, as ranges of channels are not. */
    for (uint32_t s = 0; s < open_from && in_place; s++) {
        if (!viewer.drop[s])
            DYNO_TRY(view_same(&viewer, s));
    }
    uint32_t kept = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (!viewer.drop[s])
            plan->steps[kept++] = plan->steps[s];
    }
    plan->step_count = kept;
    *count_out = viewer.count;
    return DYNO_OK;
}
