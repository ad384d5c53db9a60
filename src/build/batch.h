/* batch.h - a batch of any size up to a maximum, without a profile that names every input. */
#ifndef DYNO_BUILD_BATCH_H
#define DYNO_BUILD_BATCH_H

#include "base/arena.h"
#include "build/build.h"

/* What an engine for batches of 1..batch_max is tuned for when nobody says: the power of two next
 * to the geometric middle, so that neither end is far from it. */
int64_t dyno_batch_middle(int64_t batch_max);

/* options->profile, and entries for the inputs it leaves out, in `arena`: a batch dimension (an
 * open first one, which the importer has bounded by options->batch_max) has its optimum, whatever
 * else is open the same that it has without an entry.  E_ARG: no input of the model has a batch
 * dimension.
 */
DYNO_NODISCARD enum dyno_status dyno_batch_profile(const struct dyno_graph *graph,
                                                   const struct dyno_build_options *options,
                                                   struct dyno_arena *arena,
                                                   const struct dyno_profile_input **profile_out,
                                                   uint32_t *count_out, struct dyno_err *err);

#endif /* DYNO_BUILD_BATCH_H */
