/* classify.h - the classification extension: the largest elements of an output, as text.
 *
 * Pure functions of bytes, as all of v2.
 */
#ifndef DYNO_SERVE_V2_CLASSIFY_H
#define DYNO_SERVE_V2_CLASSIFY_H

#include "serve/v2/infer.h"

#define DYNO_V2_CLASSES_MAX 1000000 /* elements of a row */

/* Names of classes by index; an empty one is none. */
struct dyno_v2_labels {
    const char **items;
    size_t count;
};

/* Of each row of `tensor` (with is_batch its first dimension counts rows, else all is one) the
 * `count` largest elements, or all there are, largest first: a BYTES tensor [rows, n] or [n] of
 * "value:index" or "value:index:label".  Equal elements come in the order of their indices; a NaN
 * is smaller than everything else, and NaNs come in that order, too.  Values of floating point have
 * six digits after the point, as Triton prints them; a NaN is "nan" whatever its sign.
 *
 * `labels` may be NULL.  What is written lies in memory that `take` gave.  E_ARG: elements that
 * have no order (BOOL, BYTES); E_LIMIT: a row of more than DYNO_V2_CLASSES_MAX; E_BUSY. */
enum dyno_status dyno_v2_classify(const struct dyno_v2_tensor *tensor, bool is_batch,
                                  uint32_t count, const struct dyno_v2_labels *labels,
                                  struct dyno_v2_memory *memory, struct dyno_v2_tensor *classes_out,
                                  struct dyno_err *err);

#endif /* DYNO_SERVE_V2_CLASSIFY_H */
