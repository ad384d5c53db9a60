/* lower.h - from the rewritten graph to a plan: one step a node, all tensors row-major, no tactics
 * chosen and no views decided yet.
 *
 * The plan borrows names, attributes and constants of the graph and of the model's file: both must
 * outlive it (an engine file does not).
 */
#ifndef DYNO_BUILD_LOWER_H
#define DYNO_BUILD_LOWER_H

#include "ir/graph.h"
#include "plan/plan.h"

/* One input's profile; dims that are constant have min = opt = max. */
struct dyno_profile_input {
    const char *name;
    int rank;
    int64_t min[DYNO_RANK_MAX], opt[DYNO_RANK_MAX], max[DYNO_RANK_MAX];
};

/* Profile entries that are missing take the symbol's range, with opt = max(min, 1).
 * E_UNSUPPORTED names a node that has neither a reference nor a kernel (regions, sequences). */
DYNO_NODISCARD enum dyno_status dyno_lower(const struct dyno_graph *graph,
                                           const struct dyno_profile_input *profile,
                                           uint32_t profile_count, struct dyno_plan **plan_out,
                                           struct dyno_err *err);

#endif /* DYNO_BUILD_LOWER_H */
