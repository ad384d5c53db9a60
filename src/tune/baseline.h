/* baseline.h - what the unoptimised execution on a GPU is made of. */
#ifndef DYNO_TUNE_BASELINE_H
#define DYNO_TUNE_BASELINE_H

#include "backend/backend.h"

/* Of the candidates out[*count_in_out] for a step those that it may be: convolutions and products
 * by NVIDIA's libraries, as frameworks have them, where any GPU kernel does the step.  Elsewhere,
 * and in other builds, all stay.  E_UNSUPPORTED: a library is not here, or does not do it; a slower
 * kernel in its place would be another unoptimised execution. */
DYNO_NODISCARD enum dyno_status dyno_tune_baseline(const struct dyno_site *site,
                                                   struct dyno_tactic *out, int *count_in_out,
                                                   struct dyno_err *err);

#endif /* DYNO_TUNE_BASELINE_H */
