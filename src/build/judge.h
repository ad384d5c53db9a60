/* judge.h - engines held against the unoptimised execution of their model, in f32 on the CPU, which
 * has no arithmetic in common with a GPU. */
#ifndef DYNO_BUILD_JUDGE_H
#define DYNO_BUILD_JUDGE_H

#include "build/build.h"

struct dyno_judge;

/* Builds that execution and runs it on the inputs that options->sample gives. */
DYNO_NODISCARD enum dyno_status dyno_judge_create(const struct dyno_build_options *options,
                                                  struct dyno_judge **judge_out,
                                                  struct dyno_err *err);
void dyno_judge_destroy(struct dyno_judge *judge); /* accepts NULL */

/* The largest difference of an output of floating point, as a share of its range. */
DYNO_NODISCARD enum dyno_status dyno_judge_error(struct dyno_judge *judge,
                                                 struct dyno_engine *engine, double *error_out,
                                                 struct dyno_err *err);

#endif /* DYNO_BUILD_JUDGE_H */
