/* open.c - the split of a plan at the shapes that only the run tells. */
#include "build/open.h"

#include <string.h>

#include "tune/shapes.h"

static bool depends_on_open(const struct dyno_step *step, const struct dyno_buf *bufs,
                            const bool *late)
{
    for (uint32_t i = 0; i < step->in_count; i++) {
        const uint32_t id = step->ins[i];
        if (id != DYNO_NO_TENSOR && (late[id] || bufs[id].rank < 0))
            return true;
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] != DYNO_NO_TENSOR && bufs[step->outs[i]].rank < 0)
            return true;
    }
    return false;
}

static enum dyno_status sort_steps(struct dyno_plan *plan, struct dyno_arena *arena,
                                   uint32_t *open_from_out, struct dyno_err *err)
{
    struct dyno_buf *bufs = NULL;
    bool *late = dyno_arena_alloc(arena, plan->tensor_count + 1U, sizeof(*late));
    struct dyno_step *rest = dyno_arena_alloc(arena, plan->step_count + 1U, sizeof(*rest));
    if (late == NULL || rest == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_tune_shapes(plan, arena, &bufs, err));
    uint32_t early_count = 0;
    uint32_t late_count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step step = plan->steps[s];
        if (!depends_on_open(&step, bufs, late)) {
            plan->steps[early_count++] = step;
            continue;
        }
        rest[late_count++] = step;
        for (uint32_t i = 0; i < step.out_count; i++) {
            if (step.outs[i] != DYNO_NO_TENSOR)
                late[step.outs[i]] = true;
        }
    }
    memcpy(plan->steps + early_count, rest, late_count * sizeof(*rest));
    *open_from_out = early_count;
    return DYNO_OK;
}

enum dyno_status dyno_sort_open(struct dyno_plan *plan, uint32_t *open_from_out,
                                struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = sort_steps(plan, arena, open_from_out, err);
    dyno_arena_destroy(arena);
    return status;
}
