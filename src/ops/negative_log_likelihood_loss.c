/* negative_log_likelihood_loss.c - NegativeLogLikelihoodLoss-22: -weight * x at each label. */
#include "base/mem.h"
#include "ops/loss.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_loss_attrs, name)
static const struct dyno_attr attrs[] = {
    {"ignore_index", DYNO_ATTR_I64, FIELD(ignore_index), (double)DYNO_LOSS_IGNORE_NONE, NULL, 0},
    {"reduction", DYNO_ATTR_ENUM, FIELD(reduction), DYNO_LOSS_MEAN, dyno_loss_reduction_names, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    double *values = dyno_values_load(ctx->in[0]);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const enum dyno_status status = dyno_loss_run(ctx, values);
    dyno_free(values);
    return status;
}

const struct dyno_op dyno_op_negative_log_likelihood_loss = {
    .onnx_name = "NegativeLogLikelihoodLoss",
    .domain = "",
    .since = 22,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_loss_attrs),
    .infer = dyno_loss_infer,
    .reference = reference,
};
