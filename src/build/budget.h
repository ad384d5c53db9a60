/* budget.h - an engine's accuracy, kept within what the caller allows.
 *
 * The error is the largest difference of an output from that of the unoptimised execution in f32 on
 * the CPU, as a share of the output's range, over the inputs at hand.  Where it is over the budget,
 * steps go back to f32: those whose f32 gains most for what it costs, found by building engines and
 * running them, at most DYNO_BUDGET_TRIALS of them; nothing is timed again.  Where TF32 is enough
 * for them, and allowed, they round to that: their tensors are f32 as well.
 */
#ifndef DYNO_BUILD_BUDGET_H
#define DYNO_BUILD_BUDGET_H

#include "build/builder.h"

#define DYNO_BUDGET_TRIALS 40

/* Leaves in builder->precisions what keeps the budget, and says in the report what it took.
 * E_MISMATCH when no choice does. */
DYNO_NODISCARD enum dyno_status dyno_meet_budget(struct dyno_builder *builder);

/* To dyno_builder_finish: says in the report which of the steps that were raised round to TF32. */
void dyno_budget_note(void *builder, const struct dyno_plan *plan);

#endif /* DYNO_BUILD_BUDGET_H */
