/* gopen.h - a case at several shapes of a profile: one of its sizes is open.
 *
 * Every input of the case that is no constant and names its shape has that size replaced.  Which
 * sizes of the outputs are open follows from running the case at all of them.
 */
#ifndef DYNO_TESTS_CUDA_GOPEN_H
#define DYNO_TESTS_CUDA_GOPEN_H

#include "kcase.h"

/* Gives `attempt` the case with each of its sizes open, at all its shapes one after the other, the
 * optimum first, for every kernel of the GPU and candidate of it that a build has for such a
 * profile and that is wanted: of neighbours that give the same layout the first.  The number of
 * candidates that a build leaves out, as they do not run at a bound. */
uint32_t gopen_run(const struct kcase *row, const struct dyno_target *target,
                   bool (*is_wanted)(const struct kcase *row, const struct dyno_kernel *kernel,
                                     const struct dyno_tactic *tactic, uint32_t in_count),
                   void (*attempt)(const struct kcase_data *data, const struct dyno_kernel *kernel,
                                   const struct dyno_tactic *tactic));

#endif /* DYNO_TESTS_CUDA_GOPEN_H */
