/* corners.h - candidates are found and timed at the profile's optimum; an engine runs at all of its
 * shapes.  What a kernel of a GPU would refuse at the least or the greatest of them is no
 * candidate where another one does not.
 *
 * Sizes between the bounds are no question: limits grow with sizes, and no program depends on an
 * open one (dyno_buf.open).
 */
#ifndef DYNO_TUNE_CORNERS_H
#define DYNO_TUNE_CORNERS_H

#include "tune/shapes.h"

#define DYNO_CORNERS 2

struct dyno_tune_corners {
    const struct dyno_plan *plan;
    struct dyno_buf *bufs[DYNO_CORNERS]; /* by tensor; NULL: all shapes are closed, or that
                                          * corner is without a bound */
};

/* In `arena`. */
DYNO_NODISCARD enum dyno_status dyno_tune_corners_init(struct dyno_tune_corners *corners,
                                                       const struct dyno_plan *plan,
                                                       struct dyno_arena *arena,
                                                       struct dyno_err *err);

/* Sets site->others. */
DYNO_NODISCARD enum dyno_status dyno_tune_corner_sites(const struct dyno_tune_corners *corners,
                                                       struct dyno_arena *arena,
                                                       struct dyno_site *site,
                                                       struct dyno_err *err);

/* Does it take the shapes of `site`, with a workspace within the target's limit? */
bool dyno_tune_prepares(const struct dyno_kernel *kernel, const struct dyno_site *site,
                        const struct dyno_tactic *tactic);

/* Would this candidate, settled at `site`, be bound at its others? */
bool dyno_tune_runs_at_corners(const struct dyno_kernel *kernel, const struct dyno_site *site,
                               const struct dyno_tactic *tactic);

#endif /* DYNO_TUNE_CORNERS_H */
