/* clock.c - the clock of a GPU, beside its timings. */
#include "tune/clock.h"

#include <math.h>

#include "backend/cuda/nvml.h"

#define KEPT 0.97 /* less of what it could do is a fall; steps of a clock are smaller */

void dyno_tune_clock_init(struct dyno_tune_clock *clock, const struct dyno_cuda *cuda)
{
    *clock = (struct dyno_tune_clock){.wanted_mhz = cuda->gpu.clock_khz * 1e-3};
}

bool dyno_tune_clock_fell(struct dyno_tune_clock *clock, const struct dyno_cuda *cuda,
                          bool is_repetition)
{
    const double mhz = dyno_cuda_core_mhz(cuda);
    if (isnan(mhz))
        return false;
    if (mhz < clock->wanted_mhz * KEPT && !is_repetition) {
        clock->repeated++;
        return true;
    }
    if (mhz > clock->wanted_mhz || is_repetition)
        clock->wanted_mhz = mhz;
    if (mhz > clock->most_mhz)
        clock->most_mhz = mhz;
    if (mhz < clock->least_mhz || clock->least_mhz <= 0.0)
        clock->least_mhz = mhz;
    return false;
}
