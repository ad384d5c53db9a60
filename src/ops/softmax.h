/* softmax.h - attributes of Softmax, LogSoftmax and Hardmax (opset 13's meaning: one axis). */
#ifndef DYNO_OPS_SOFTMAX_H
#define DYNO_OPS_SOFTMAX_H

#include "ops/op.h"

struct dyno_softmax_attrs {
    int64_t axis; /* -rank..rank-1; -1 */
};

extern const struct dyno_attr dyno_softmax_attr_rows[1];

/* Members of struct dyno_op that all three have. */
#define DYNO_SOFTMAX_OP                                                                          \
    .pw = -1, .attrs = dyno_softmax_attr_rows, .attr_count = DYNO_COUNT(dyno_softmax_attr_rows), \
    .attr_bytes = sizeof(struct dyno_softmax_attrs), .infer = dyno_softmax_infer, DYNO_UNARY_OP

/* Rule of all three: type and shape of input 0, and the axis is checked. */
enum dyno_status dyno_softmax_infer(struct dyno_infer *ctx);

/* Calls `row` for every run of `count` values along the axis (in f64, contiguous). */
enum dyno_status dyno_softmax_run(struct dyno_ref *ctx, void (*row)(double *values, int64_t count));

/* In place: exp(x - max) / sum. */
void dyno_softmax_row(double *values, int64_t count);

#endif /* DYNO_OPS_SOFTMAX_H */
