/* whole.h - what a build decides by runs of the whole graph on its GPU (tune/whole.h). */
#ifndef DYNO_BUILD_WHOLE_H
#define DYNO_BUILD_WHOLE_H

#include "build/builder.h"

/* builder->plan becomes builder->engine, unless there is one. */
DYNO_NODISCARD enum dyno_status dyno_builder_engine(struct dyno_builder *builder);

/* The finished plan, whoever has it. */
struct dyno_plan *dyno_builder_plan(const struct dyno_builder *builder);

/* May its steps overlap?  Sets the flag of the finished plan, be it an engine's already. */
DYNO_NODISCARD enum dyno_status dyno_builder_branch(struct dyno_builder *builder);

/* Two engines' runs in turns, until tune/retime.h has a verdict.  A round beside which the clock
 * fell is timed again.  *saves_us_out: a run, on average, by the other. */
DYNO_NODISCARD enum dyno_status dyno_builder_compare(const struct dyno_builder *builder,
                                                     struct dyno_whole_run *chosen,
                                                     struct dyno_whole_run *other,
                                                     struct dyno_tune_clock *clock,
                                                     bool *is_taken_out, double *saves_us_out);

#endif /* DYNO_BUILD_WHOLE_H */
