/* schedule.h - a plan's steps as segments of the CPU and of the GPU, and what moves between them.
 *
 * A step is where its kernel is.  A tensor is in the memory of each side that touches it; what one
 * side wrote is brought to the other before the first segment there that reads it.  Made once an
 * engine; immutable.
 */
#ifndef DYNO_ENGINE_SCHEDULE_H
#define DYNO_ENGINE_SCHEDULE_H

#include "backend/backend.h"

struct dyno_segment {
    enum dyno_place place;
    uint32_t first_step, step_count;
    uint32_t *moves; /* tensors brought to this side before the segment runs */
    uint32_t move_count;
};

struct dyno_schedule {
    struct dyno_segment *segments; /* the last one has no steps: its moves bring outputs home */
    uint32_t segment_count;
    bool *on_cpu, *on_gpu; /* by tensor without a base: who touches it or a view of it */
    uint32_t *cpu_step; /* the first step of the CPU that does; UINT32_MAX: the caller, or nobody */
};

/* kernels: one a step.  In the plan's arena. */
DYNO_NODISCARD enum dyno_status dyno_schedule_make(const struct dyno_plan *plan,
                                                   const struct dyno_kernel *const *kernels,
                                                   struct dyno_schedule *schedule_out,
                                                   struct dyno_err *err);

#endif /* DYNO_ENGINE_SCHEDULE_H */
