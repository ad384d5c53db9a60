/* layouts.c - Reorder steps where producer and consumer disagree. */
#include "build/layouts.h"

#include <string.h>

#include "tune/shapes.h"
#include "tune/tune.h"

struct inserter {
    struct dyno_plan *plan;
    const struct dyno_target *target;
    struct dyno_step *steps; /* the new list */
    uint32_t step_count;
    uint32_t *changed; /* by tensor id: the same in another layout, and so on; DYNO_NO_TENSOR */
    uint32_t old_tensor_count;
    uint32_t reorder_count;
    struct dyno_err *err;
};

static enum dyno_status best_reorder(struct inserter *in, struct dyno_step *step)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_buf *bufs = NULL;
    struct dyno_site site;
    struct dyno_tactic found[DYNO_TACTICS_MAX * 2];
    if (arena == NULL)
        return DYNO_NOMEM(in->err);
    status = dyno_tune_shapes(in->plan, arena, &bufs, in->err);
    if (status == DYNO_OK)
        status = dyno_tune_site(in->plan, step, bufs, in->target, arena, &site, in->err);
    if (status != DYNO_OK)
        goto out;
    const int count = dyno_tune_candidates(&site, found, (int)DYNO_COUNT(found));
    const struct dyno_plan_tensor *from = &in->plan->tensors[step->ins[0]];
    const struct dyno_plan_tensor *to = &in->plan->tensors[step->outs[0]];
    for (int i = 0; i < count; i++) {
        if (dyno_layout_same(found[i].in_layouts[0], from->layout) &&
            dyno_layout_same(found[i].out_layout, to->layout)) {
            step->tactic = found[i];
            goto out;
        }
    }
    status = DYNO_FAIL(in->err, DYNO_E_UNSUPPORTED, "tensor '%s': no kernel changes its layout",
                       from->name);
out:
    dyno_arena_destroy(arena);
    return status;
}

/* A Reorder step at the end of the new list. */
static enum dyno_status add_reorder(struct inserter *in, uint32_t from, uint32_t to)
{
    struct dyno_plan *plan = in->plan;
    struct dyno_step *step = &in->steps[in->step_count];
    *step = (struct dyno_step){.name = plan->tensors[from].name, .op = DYNO_OP_reorder};
    const char **origin = dyno_arena_alloc(plan->arena, 1, sizeof(*origin));
    step->attrs = dyno_op_attrs_create(dyno_ops[DYNO_OP_reorder], plan->arena);
    step->ins = dyno_arena_alloc(plan->arena, 1, sizeof(*step->ins));
    step->outs = dyno_arena_alloc(plan->arena, 1, sizeof(*step->outs));
    if (origin == NULL || step->attrs == NULL || step->ins == NULL || step->outs == NULL)
        return DYNO_NOMEM(in->err);
    *origin = step->name;
    step->origins = origin;
    step->origin_count = 1;
    step->in_count = step->own_in_count = step->out_count = 1;
    step->ins[0] = from;
    step->outs[0] = to;
    DYNO_TRY(best_reorder(in, step));
    in->step_count++;
    in->reorder_count++;
    return DYNO_OK;
}

static uint32_t clone_tensor(struct dyno_plan *plan, uint32_t id, struct dyno_layout layout)
{
    const uint32_t copy = plan->tensor_count++;
    plan->tensors[copy] = plan->tensors[id];
    plan->tensors[copy].role = DYNO_ROLE_TEMP;
    plan->tensors[copy].layout = layout;
    plan->tensors[copy].data = NULL;
    plan->tensors[copy].data_bytes = 0;
    plan->tensors[copy].elems = NULL;
    plan->tensors[copy].elem_count = 0;
    return copy;
}

/* Input `id` in `layout`: itself, an earlier copy, or a copy made now. */
static enum dyno_status in_layout_of(struct inserter *in, uint32_t *id, struct dyno_layout layout)
{
    if (*id == DYNO_NO_TENSOR || dyno_layout_same(in->plan->tensors[*id].layout, layout))
        return DYNO_OK;
    uint32_t at = *id;
    while (in->changed[at] != DYNO_NO_TENSOR &&
           !dyno_layout_same(in->plan->tensors[in->changed[at]].layout, layout))
        at = in->changed[at];
    if (in->changed[at] == DYNO_NO_TENSOR) {
        const uint32_t copy = clone_tensor(in->plan, *id, layout);
        DYNO_TRY(add_reorder(in, *id, copy));
        in->changed[at] = copy;
    }
    *id = in->changed[at];
    return DYNO_OK;
}

static enum dyno_status place_step(struct inserter *in, const struct dyno_step *old)
{
    struct dyno_plan *plan = in->plan;
    for (uint32_t i = 0; i < old->in_count; i++) {
        const struct dyno_layout layout =
            i < DYNO_STEP_INS_MAX ? old->tactic.in_layouts[i] : DYNO_ROW;
        DYNO_TRY(in_layout_of(in, &old->ins[i], layout));
    }
    struct dyno_step *step = &in->steps[in->step_count++];
    *step = *old;
    const uint32_t out = step->outs[0];
    if (out == DYNO_NO_TENSOR || dyno_layout_same(step->tactic.out_layout, DYNO_ROW))
        return DYNO_OK;
    if (plan->tensors[out].role != DYNO_ROLE_OUTPUT) {
        plan->tensors[out].layout = step->tactic.out_layout;
        return DYNO_OK;
    }
    /* The caller wants it row-major; whoever reads it inside may take the blocked one. */
    const uint32_t blocked = clone_tensor(plan, out, step->tactic.out_layout);
    step->outs[0] = blocked;
    DYNO_TRY(add_reorder(in, blocked, out));
    in->changed[out] = blocked;
    return DYNO_OK;
}

enum dyno_status dyno_insert_reorders(struct dyno_plan *plan, const struct dyno_target *target,
                                      uint32_t *open_from, uint32_t *count_out,
                                      struct dyno_err *err)
{
    /* At most a copy for each other layout there is, one step a copy. */
    const size_t copies_max = target->gpu.compute != 0 ? 6 : 1;
    const uint32_t old_count = plan->tensor_count;
    const size_t most = (copies_max + 1) * old_count;
    struct inserter in = {
        .plan = plan, .target = target, .old_tensor_count = old_count, .err = err};
    struct dyno_plan_tensor *tensors = dyno_arena_alloc(plan->arena, most + 1U, sizeof(*tensors));
    in.steps = dyno_arena_alloc(plan->arena, plan->step_count + copies_max * old_count + 1U,
                                sizeof(*in.steps));
    in.changed = dyno_arena_alloc(plan->arena, most + 1U, sizeof(*in.changed));
    if (tensors == NULL || in.steps == NULL || in.changed == NULL)
        return DYNO_NOMEM(err);
    memcpy(tensors, plan->tensors, old_count * sizeof(*tensors));
    memset(in.changed, 0xFF, most * sizeof(*in.changed));
    plan->tensors = tensors;
    for (uint32_t s = 0; s < *open_from; s++)
        DYNO_TRY(place_step(&in, &plan->steps[s]));
    for (uint32_t s = *open_from; s < plan->step_count; s++) {
        for (uint32_t i = 0; i < plan->steps[s].in_count; i++)
            DYNO_TRY(in_layout_of(&in, &plan->steps[s].ins[i], DYNO_ROW));
    }
    const uint32_t placed = in.step_count;
    for (uint32_t s = *open_from; s < plan->step_count; s++)
        DYNO_TRY(place_step(&in, &plan->steps[s]));
    *open_from = placed;
    plan->steps = in.steps;
    plan->step_count = in.step_count;
    *count_out = in.reorder_count;
    return DYNO_OK;
}
