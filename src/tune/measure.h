/* measure.h - the time of one tactic of one step on this machine. */
#ifndef DYNO_TUNE_MEASURE_H
#define DYNO_TUNE_MEASURE_H

#include "backend/cuda/program.h"

struct dyno_measure_options {
    struct dyno_pool *pool;
    double budget_us;               /* stop measuring after about this long */
    double give_up_us;              /* stop at once when the first warm run is slower than this */
    uint64_t least_workspace_bytes; /* do not time what wants less */
    uint64_t *workspace_bytes_out;  /* what it wants, where it was timed; may be NULL */
    uint64_t passing_bytes; /* on a GPU: what passes through its cache between two runs of a step */
};

/* Pack, prepare and run `tactic` on made-up activations (constants are the real ones); the least of
 * several runs, microseconds.  Packed weights rotate through copies larger than the caches, as the
 * layer meets them inside a network.  INFINITY in *us_out when the kernel refuses the shapes.
 * E_NOMEM when there is no room. */
DYNO_NODISCARD enum dyno_status dyno_measure(const struct dyno_site *site,
                                             const struct dyno_tactic *tactic,
                                             const struct dyno_measure_options *options,
                                             float *us_out, struct dyno_err *err);

/* The same on the GPU of `programs`, which compiles what it needs: the median of launches back to
 * back, of a graph where they are short, between events.  Weights rotate through copies of
 * passing_bytes; what the step before has made is as warm as the cache is large. */
DYNO_NODISCARD enum dyno_status dyno_measure_gpu(const struct dyno_site *site,
                                                 const struct dyno_tactic *tactic,
                                                 struct dyno_cuda_programs *programs,
                                                 const struct dyno_measure_options *options,
                                                 float *us_out, struct dyno_err *err);

#endif /* DYNO_TUNE_MEASURE_H */
