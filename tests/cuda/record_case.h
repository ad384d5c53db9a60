/* record_case.h - a small convolution that runs on the recording driver. */
#ifndef DYNO_TESTS_CUDA_RECORD_CASE_H
#define DYNO_TESTS_CUDA_RECORD_CASE_H

#include "backend/cuda/nvrtc.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED 77 /* exit code: there is no compiler for the GPU's programs */

/* x[batch,3,9,9] -> y[batch,7], as small_conv_net has it. */
static inline enum dyno_status run_batch(struct dyno_context *context, int64_t batch,
                                         struct dyno_err *err)
{
    const int64_t dims[4] = {batch, 3, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 4, 1);
    struct dyno_array output = {.data = NULL};
    const enum dyno_status status = dyno_context_run(context, &input, &output, err);
    if (status == DYNO_OK)
        CHECK(output.rank == 2 && output.dims[0] == batch && output.dims[1] == 7);
    dyno_arena_destroy(arena);
    return status;
}

static inline uint32_t segments_on(const struct dyno_engine *engine, enum dyno_place place)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < engine->schedule.segment_count; i++)
        count += engine->schedule.segments[i].place == place &&
                 engine->schedule.segments[i].step_count != 0;
    return count;
}

#endif /* DYNO_TESTS_CUDA_RECORD_CASE_H */
