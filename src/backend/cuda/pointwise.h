/* pointwise.h - a pass over the elements of an output by a program of tail instructions
 * (pointwise.cu): what pointwise operators are, and the tails of steps whose kernel cannot have
 * them.
 */
#ifndef DYNO_BACKEND_CUDA_POINTWISE_H
#define DYNO_BACKEND_CUDA_POINTWISE_H

#include "backend/cuda/tail.h"

struct dyno_cuda_pass {
    struct dyno_gpu_pointwise params;
    struct dyno_cuda_tail tail;
    int64_t blocks;
};

/* For `program`: over output 0 as the tactic lays it; `load`: it begins with what lies there, or in
 * another tensor like it, else with 0; `open`: one text for all lengths of rows, as also where the
 * output's is open. */
void dyno_cuda_pass_text(const struct dyno_site *site, const struct dyno_tactic *tactic,
                         const struct dyno_tail *program, const struct dyno_cuda_tail *tail,
                         bool load, bool open, const char **source_out,
                         struct dyno_strbuf *choices);

/* For `prepare`, with the plan of the tail's operands; x: where it begins, NULL: with 0. */
DYNO_NODISCARD enum dyno_status dyno_cuda_pass_prepare(const struct dyno_site *site,
                                                       const struct dyno_tactic *tactic,
                                                       const struct dyno_buf *x,
                                                       const struct dyno_cuda_tail *tail, bool open,
                                                       struct dyno_cuda_pass *pass_out,
                                                       struct dyno_err *err);

/* For `run`: from x to output 0; x may be that itself. */
DYNO_NODISCARD enum dyno_status dyno_cuda_pass_run(const struct dyno_run_args *args,
                                                   const struct dyno_cuda_pass *pass,
                                                   const void *x);

#endif /* DYNO_BACKEND_CUDA_POINTWISE_H */
