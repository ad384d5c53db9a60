/* rivals.h - what else than the chosen candidates could be in a plan: those that were timed, of the
 * same layouts and precisions, and nearly as fast (tune/retime.h).
 *
 * A plan with a rival in it has the same layout changes, so every other step stays as it is; only
 * views may become copies beside a kernel that takes no views, and copies views.
 */
#ifndef DYNO_TUNE_RIVALS_H
#define DYNO_TUNE_RIVALS_H

#include "tune/retime.h"
#include "tune/tune.h"

/* Does it keep what was timed?  On a GPU, where some of it is tried again. */
bool dyno_tuned_has_rivals(const struct dyno_tuned *tuned);

/* The rivals of the choice that was made last, in the order in which they are to be tried.  Steps
 * of equal signature with equal choices are one group: they change together.  What comes out lives
 * as long as `tuned`. */
DYNO_NODISCARD enum dyno_status dyno_tuned_rivals(struct dyno_tuned *tuned,
                                                  struct dyno_rival **rivals_out, int *count_out,
                                                  struct dyno_err *err);

/* Plans that are chosen from now on, with the same precisions, have `rival` in the steps of that
 * group; NULL: what is chosen. */
void dyno_tuned_take(struct dyno_tuned *tuned, const struct dyno_rival *of_group,
                     const struct dyno_rival *rival);

#endif /* DYNO_TUNE_RIVALS_H */
