/* retime.h - the choice of the tuner, tried again in runs of the whole graph (tune/retime.h). */
#ifndef DYNO_BUILD_RETIME_H
#define DYNO_BUILD_RETIME_H

#include "build/builder.h"

/* Of a finished plan, whose flag of branches is set: where another candidate makes the whole graph
 * faster it is in the plan afterwards, or in that of builder->engine.  *changed_out: it is another
 * plan than before.  A trial that fails ends the search and is no failure of the build; where the
 * GPU itself is broken by it, the plan is the one before. */
DYNO_NODISCARD enum dyno_status dyno_builder_retime(struct dyno_builder *builder,
                                                    bool *changed_out);

#endif /* DYNO_BUILD_RETIME_H */
