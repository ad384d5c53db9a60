/* providers.h - kernels of NVIDIA's libraries among our own, or our own alone: the whole graph
 * decides (docs/decisions/0034-our-own-alone.md).
 *
 * Alone a library's kernel may be the fastest for a step.  In a graph it is one launch more where
 * its tail is a program of ours behind it, it has rounded once more by then, and what it takes at
 * its start and end no timing alone tells.  So where libraries do some of the steps, an engine
 * without them is run beside the one with them.
 */
#ifndef DYNO_BUILD_PROVIDERS_H
#define DYNO_BUILD_PROVIDERS_H

#include "build/builder.h"

/* The choice of builder->tuned, the accuracy budget kept, its branches decided: into builder->plan,
 * finished, or into builder->engine where runs of the graph made one.  builder->tuned becomes what
 * the choice was made from. */
DYNO_NODISCARD enum dyno_status dyno_builder_choose(struct dyno_builder *builder);

#endif /* DYNO_BUILD_PROVIDERS_H */
