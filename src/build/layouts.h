/* layouts.h - insert the layout changes that the chosen tactics imply. */
#ifndef DYNO_BUILD_LAYOUTS_H
#define DYNO_BUILD_LAYOUTS_H

#include "backend/backend.h"

/* *open_from: the first step whose shapes only the run tells (build/open.h), before and after; what
 * those steps read is brought to row-major before it.
 * Gives every tensor the layout its producer writes and puts a Reorder step between a producer and
 * a consumer that disagree (one for each tensor and layout). */
DYNO_NODISCARD enum dyno_status dyno_insert_reorders(struct dyno_plan *plan,
                                                     const struct dyno_target *target,
                                                     uint32_t *open_from, uint32_t *count_out,
                                                     struct dyno_err *err);

#endif /* DYNO_BUILD_LAYOUTS_H */
