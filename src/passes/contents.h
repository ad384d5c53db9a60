/* contents.h - what is known of the elements of a value without running the graph: an interval.
 *
 * Exporters write masks that turn out to be all true and sums with what turns out to be all zero;
 * their shapes are open, so that folding constants does not see them. */
#ifndef DYNO_PASSES_CONTENTS_H
#define DYNO_PASSES_CONTENTS_H

#include "ir/graph.h"

/* Every element of the (numeric or bool) value lies in [*min_out, *max_out]; false when nothing is
 * known, or when it may hold NaN or an integer that a double does not hold. */
bool dyno_contents_range(const struct dyno_value *value, double *min_out, double *max_out);

/* Every element is the same known number. */
bool dyno_contents_same(const struct dyno_value *value, double *same_out);

#endif /* DYNO_PASSES_CONTENTS_H */
