/* precision.h - which layers may be stored in 16 bits, or round to TF32. */
#ifndef DYNO_BUILD_PRECISION_H
#define DYNO_BUILD_PRECISION_H

#include "build/build.h"

/* Does the name fit the pattern?  '*' stands for any characters, also none. */
bool dyno_pattern_fits(const char *pattern, const char *name);

/* by_step_out[plan->step_count]: of `allowed` (enum dyno_precision) what the rules leave to each
 * step. A step is meant by the names of the ONNX nodes that it does, or by its own.  A rule without
 * '*' goes before one with, else the last that fits holds.  E_ARG names a rule that fits no step.
 */
DYNO_NODISCARD enum dyno_status dyno_layer_precisions(const struct dyno_plan *plan,
                                                      const struct dyno_layer_precision *rules,
                                                      uint32_t rule_count, uint32_t allowed,
                                                      uint32_t *by_step_out, struct dyno_err *err);

#endif /* DYNO_BUILD_PRECISION_H */
