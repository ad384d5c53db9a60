/* views.h - tensors that need no memory of their own. */
#ifndef DYNO_BUILD_VIEWS_H
#define DYNO_BUILD_VIEWS_H

#include "plan/plan.h"

/* Reshapes become views and their steps go; with `in_place` also Slice, Split and Concat where the
 * layouts allow, and Transpose and Reorder where they move nothing; steps from `open_from` on stay
 * as they are.  Returns how many tensors became views. */
DYNO_NODISCARD enum dyno_status dyno_make_views(struct dyno_plan *plan, uint32_t open_from,
                                                bool in_place, uint32_t *count_out,
                                                struct dyno_err *err);

#endif /* DYNO_BUILD_VIEWS_H */
