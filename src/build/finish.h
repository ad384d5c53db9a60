/* finish.h - make a tuned plan executable: layout changes inserted, views decided, weights packed.
 *
 * In place of copies: a reshape is another view of the same bytes; slices are views of what they
 * cut; what only flows into a concatenation is written into its place at once.
 */
#ifndef DYNO_BUILD_FINISH_H
#define DYNO_BUILD_FINISH_H

#include "backend/backend.h"

struct dyno_finish_report {
    uint32_t reorder_count; /* layout changes inserted */
    uint32_t view_count;    /* tensors that became views */
    uint64_t packed_bytes;  /* of packed weights */
};

/* Steps from `open_from` on (build/open.h) keep row-major tensors without views.
 * `in_place` false leaves every op a step of its own (the unoptimised execution), except
 * reshapes, which no framework copies. */
DYNO_NODISCARD enum dyno_status dyno_finish(struct dyno_plan *plan,
                                            const struct dyno_target *target, uint32_t open_from,
                                            bool in_place, struct dyno_finish_report *report_out,
                                            struct dyno_err *err);

#endif /* DYNO_BUILD_FINISH_H */
