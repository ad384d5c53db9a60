/* programs.h - compile what the steps of a plan for a GPU run there. */
#ifndef DYNO_BUILD_PROGRAMS_H
#define DYNO_BUILD_PROGRAMS_H

#include "backend/cuda/program.h"

/* After dyno_finish: gives each step on the GPU its program, each program compiled once, on the
 * threads of `pool`, and copied into the plan. */
DYNO_NODISCARD enum dyno_status dyno_compile_programs(struct dyno_plan *plan,
                                                      const struct dyno_target *target,
                                                      struct dyno_pool *pool,
                                                      struct dyno_cuda_programs *programs,
                                                      struct dyno_err *err);

#endif /* DYNO_BUILD_PROGRAMS_H */
