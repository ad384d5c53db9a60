/* layouts.h - insert the layout changes that the chosen tactics imply. */
#ifndef DYNO_BUILD_LAYOUTS_H
#define DYNO_BUILD_LAYOUTS_H

#include "backend/backend.h"

/* Gives every tensor the layout its producer writes and puts a Reorder step between a producer and
 * a consumer that disagree (one for each tensor and layout). */
DYNO_NODISCARD enum dyno_status dyno_insert_reorders(struct dyno_plan *plan,
                                                     const struct dyno_target *target,
                                                     uint32_t *count_out, struct dyno_err *err);

#endif /* DYNO_BUILD_LAYOUTS_H */
