/* open.h - steps whose shapes only the run tells (NonZero and what follows from it). */
#ifndef DYNO_BUILD_OPEN_H
#define DYNO_BUILD_OPEN_H

#include "plan/plan.h"

/* Put every step that does not depend on such a shape first, both groups in their old order.
 * *open_from_out: the first step of the second group; step_count when there is none.  That group
 * runs by reference, on row-major tensors, without views (engine/context.c). */
DYNO_NODISCARD enum dyno_status dyno_sort_open(struct dyno_plan *plan, uint32_t *open_from_out,
                                               struct dyno_err *err);

#endif /* DYNO_BUILD_OPEN_H */
