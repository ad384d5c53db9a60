/* context_ask.c - what a context tells of its runs, and how it is told to run. */
#include "base/mem.h"
#include "engine/context.h"
#include "engine/gpu.h"

void dyno_context_profile(struct dyno_context *context, int on)
{
    struct dyno_mem_account *before = dyno_mem_enter(&context->engine->account);
    dyno_free(context->step_us);
    context->step_us =
        on ? dyno_alloc(context->engine->plan->step_count + 1U, sizeof(float)) : NULL;
    dyno_mem_leave(before);
}

void dyno_context_step_times(const struct dyno_context *context, float *us_out)
{
    for (uint32_t i = 0; i < context->engine->plan->step_count; i++)
        us_out[i] = context->step_us != NULL ? context->step_us[i] : 0.0F;
}

void dyno_context_tap(struct dyno_context *context, dyno_tap_fn *tap, void *arg)
{
    context->tap = tap;
    context->tap_arg = arg;
}

double dyno_context_gpu_us(const struct dyno_context *context)
{
    return context->gpu != NULL ? context->gpu->us : 0.0;
}

const struct dyno_branches *dyno_context_branches(const struct dyno_context *context)
{
    return context->bound != NULL ? context->bound->branches : NULL;
}

void dyno_context_transfers(struct dyno_context *context, int on)
{
    if (context->gpu != NULL)
        context->gpu->keeps_io = !on;
}

uint64_t dyno_context_device_ns(const struct dyno_context *context)
{
    return (uint64_t)(dyno_context_gpu_us(context) * 1e3 + 0.5);
}

enum dyno_status dyno_context_launches(struct dyno_context *context, uint64_t *count_out,
                                       struct dyno_err *err)
{
    *count_out = 0;
    if (context->gpu == NULL)
        return DYNO_OK;
    if (context->bound == NULL || context->bound != context->current)
        return DYNO_FAIL(err, DYNO_E_ARG, "nothing has run with these shapes");
    struct dyno_mem_account *before = dyno_mem_enter(&context->engine->account);
    const enum dyno_status status =
        dyno_gpu_count_launches(context->gpu, context->bound, count_out, err);
    dyno_mem_leave(before);
    return status;
}

uint64_t dyno_context_arena_bytes(const struct dyno_context *context)
{
    return context->bound != NULL ? context->bound->arena_bytes + context->bound->gpu_bytes : 0;
}

uint64_t dyno_context_tensor_bytes(const struct dyno_context *context)
{
    return context->bound != NULL ? context->bound->tensor_bytes : 0;
}
