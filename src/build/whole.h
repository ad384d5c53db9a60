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

#endif /* DYNO_BUILD_WHOLE_H */
