/* loss.h - NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
 *
 * Inputs scores [N, C, d...], labels [N, d...], weights [C] (optional).
 */
#ifndef DYNO_OPS_LOSS_H
#define DYNO_OPS_LOSS_H

#include "ops/op.h"

enum dyno_loss_reduction { DYNO_LOSS_MEAN, DYNO_LOSS_SUM, DYNO_LOSS_NONE };
extern const char *const dyno_loss_reduction_names[]; /* NULL-terminated */

#define DYNO_LOSS_IGNORE_NONE INT64_MIN

struct dyno_loss_attrs {
    int64_t ignore_index; /* label that costs nothing; DYNO_LOSS_IGNORE_NONE: none */
    int32_t reduction;    /* enum dyno_loss_reduction */
};

/* Rule of output 0. */
enum dyno_status dyno_loss_infer(struct dyno_infer *ctx);

/* Writes output 0 from log-probabilities, laid out like input 0. */
enum dyno_status dyno_loss_run(struct dyno_ref *ctx, const double *log_probs);

#endif /* DYNO_OPS_LOSS_H */
