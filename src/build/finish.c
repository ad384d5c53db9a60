/* finish.c - layouts, views, packed weights, in this order. */
#include "build/finish.h"

#include "build/layouts.h"
#include "build/views.h"
#include "tune/shapes.h"

/* Tensors that only packed forms hold need no raw copy in the engine. */
static enum dyno_status drop_raw(struct dyno_plan *plan, struct dyno_err *err)
{
    bool *needed = dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(*needed));
    if (needed == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
        for (uint32_t i = 0; i < step->in_count; i++) {
            const bool is_packed =
                step->packed != NULL && i < 32 && (kernel->packed_ins >> i & 1U) != 0;
            if (step->ins[i] != DYNO_NO_TENSOR && !is_packed)
                needed[step->ins[i]] = true;
        }
    }
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (plan->tensors[i].role == DYNO_ROLE_WEIGHT && !needed[i]) {
            plan->tensors[i].data = NULL;
            plan->tensors[i].data_bytes = 0;
        }
    }
    return DYNO_OK;
}

static enum dyno_status pack_step(struct dyno_plan *plan, struct dyno_step *step,
                                  const struct dyno_buf *bufs, const struct dyno_target *target,
                                  struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
    struct dyno_site site;
    DYNO_ASSERT(kernel != NULL);
    if (step->tactic.packed_bytes == 0 || kernel->pack == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_tune_site(plan, step, bufs, target, arena, &site, err));
    void *packed = dyno_arena_alloc(plan->arena, step->tactic.packed_bytes, 1);
    if (packed == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(kernel->pack(&site, &step->tactic, packed, err));
    step->packed = packed;
    return DYNO_OK;
}

static enum dyno_status pack_all(struct dyno_plan *plan, const struct dyno_target *target,
                                 struct dyno_finish_report *report, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_buf *bufs = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    status = dyno_tune_shapes(plan, arena, &bufs, err);
    for (uint32_t i = 0; status == DYNO_OK && i < plan->tensor_count; i++)
        dyno_tune_set_layout(&bufs[i], plan->tensors[i].layout);
    for (uint32_t s = 0; status == DYNO_OK && s < plan->step_count; s++) {
        status = pack_step(plan, &plan->steps[s], bufs, target, arena, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "step '%s'", plan->steps[s].name);
        report->packed_bytes += plan->steps[s].tactic.packed_bytes;
    }
    dyno_arena_destroy(arena);
    return status;
}

enum dyno_status dyno_finish(struct dyno_plan *plan, const struct dyno_target *target,
                             uint32_t open_from, bool in_place,
                             struct dyno_finish_report *report_out, struct dyno_err *err)
{
    *report_out = (struct dyno_finish_report){0};
    plan->gpu = target->gpu;
    DYNO_TRY(dyno_insert_reorders(plan, target, &open_from, &report_out->reorder_count, err));
    DYNO_TRY(dyno_make_views(plan, open_from, in_place, &report_out->view_count, err));
    DYNO_TRY(pack_all(plan, target, report_out, err));
    DYNO_TRY(drop_raw(plan, err));
    return dyno_plan_verify(plan, err);
}
