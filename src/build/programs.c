/* programs.c - programs of a plan's steps. */
#include "build/programs.h"

#include <string.h>

#include "tune/shapes.h"

static bool same(const struct dyno_program *a, const struct dyno_program *b)
{
    return strcmp(a->source, b->source) == 0 && strcmp(a->choices, b->choices) == 0;
}

/* The number of this program in the plan, which gets a copy when it is new; 0: out of memory. */
static uint32_t number_of(struct dyno_plan *plan, const struct dyno_program *program)
{
    for (uint32_t i = 0; i < plan->program_count; i++) {
        if (same(&plan->programs[i], program))
            return i + 1;
    }
    struct dyno_program *copy = &plan->programs[plan->program_count];
    *copy = *program;
    copy->source = dyno_arena_strdup(plan->arena, program->source);
    copy->choices = dyno_arena_strdup(plan->arena, program->choices);
    copy->image = dyno_arena_memdup(plan->arena, program->image, (size_t)program->image_bytes);
    if (copy->source == NULL || copy->choices == NULL || copy->image == NULL)
        return 0;
    return ++plan->program_count;
}

/* Most were compiled when they were timed; those that were not, as their times were known, are
 * compiled beside each other. */
static enum dyno_status compile_missing(struct dyno_plan *plan, const struct dyno_buf *bufs,
                                        const struct dyno_target *target, struct dyno_pool *pool,
                                        struct dyno_cuda_programs *programs,
                                        struct dyno_arena *arena, struct dyno_err *err)
{
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        struct dyno_site site;
        DYNO_TRY(dyno_tune_site(plan, step, bufs, target, arena, &site, err));
        DYNO_TRY(dyno_cuda_programs_want(programs, dyno_kernel_find(step->tactic.kernel), &site,
                                         &step->tactic, err));
    }
    return dyno_cuda_programs_compile(programs, pool, err);
}

static enum dyno_status compile_step(struct dyno_plan *plan, struct dyno_step *step,
                                     const struct dyno_buf *bufs, const struct dyno_target *target,
                                     struct dyno_cuda_programs *programs, struct dyno_arena *arena,
                                     struct dyno_err *err)
{
    const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
    const struct dyno_cuda_program *program = NULL;
    struct dyno_site site;
    DYNO_ASSERT(kernel != NULL);
    if (!dyno_kernel_has_program(kernel, &step->tactic))
        return DYNO_OK;
    DYNO_TRY(dyno_tune_site(plan, step, bufs, target, arena, &site, err));
    DYNO_TRY(dyno_cuda_programs_get(programs, kernel, &site, &step->tactic, &program, err));
    step->program = number_of(plan, &program->compiled);
    return step->program != 0 ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_compile_programs(struct dyno_plan *plan, const struct dyno_target *target,
                                       struct dyno_pool *pool, struct dyno_cuda_programs *programs,
                                       struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_buf *bufs = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    plan->programs = dyno_arena_alloc(plan->arena, plan->step_count + 1U, sizeof(*plan->programs));
    status = plan->programs != NULL ? dyno_tune_shapes(plan, arena, &bufs, err) : DYNO_NOMEM(err);
    for (uint32_t i = 0; status == DYNO_OK && i < plan->tensor_count; i++)
        dyno_tune_set_layout(&bufs[i], plan->tensors[i].layout);
    if (status == DYNO_OK)
        status = compile_missing(plan, bufs, target, pool, programs, arena, err);
    for (uint32_t s = 0; status == DYNO_OK && s < plan->step_count; s++) {
        struct dyno_step *step = &plan->steps[s];
        status = compile_step(plan, step, bufs, target, programs, arena, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "step '%s' (%s)", step->name, dyno_ops[step->op]->onnx_name);
    }
    dyno_arena_destroy(arena);
    return status;
}
