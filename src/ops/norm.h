/* norm.h - attributes of the normalisations. */
#ifndef DYNO_OPS_NORM_H
#define DYNO_OPS_NORM_H

#include "ops/op.h"

/* y = (x - mean) / sqrt(var + epsilon) * scale + bias over axes [axis, rank).
 * Inputs x, scale, bias (optional); outputs y, mean, 1/std. */
struct dyno_layer_norm_attrs {
    int64_t axis;       /* first normalised axis, -rank..rank-1; -1 */
    float epsilon;      /* 1e-5 */
    int64_t stash_type; /* dtype of mean and 1/std: 1 (f32) or 16 (bf16) */
};

/* y = x / sqrt(mean(x^2) + epsilon) * scale over axes [axis, rank).  Inputs x, scale. */
struct dyno_rms_norm_attrs {
    int64_t axis;
    float epsilon;
    int64_t stash_type; /* dtype the computation is done in */
};

/* Over the spatial axes of each (n, c).  Inputs x [N,C,...], scale [C], bias [C]. */
struct dyno_instance_norm_attrs {
    float epsilon; /* 1e-5 */
};

/* Over each group of C/num_groups channels.  Inputs x [N,C,...], scale [C], bias [C]. */
struct dyno_group_norm_attrs {
    float epsilon;
    int64_t num_groups; /* divides C */
    int64_t stash_type;
};

/* y = (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c].
 * Inputs x [N,C,...], scale, bias, mean, var, each [C].  Inference only. */
struct dyno_batch_norm_attrs {
    float epsilon;         /* 1e-5 */
    float momentum;        /* of no effect in inference */
    int64_t training_mode; /* must be 0 */
};

/* (x - mean) / (std + 1e-9) over `axes`. */
struct dyno_mean_variance_norm_attrs {
    struct dyno_i64s axes; /* absent: 0, 2, 3 */
};

/* x / ||x||_p along one axis; NaN where the norm is 0. */
struct dyno_lp_norm_attrs {
    int64_t axis; /* -1 */
    int64_t p;    /* 1 or 2 */
};

/* y = x / (bias + alpha/size * sum over `size` neighbouring channels of x^2)^beta. */
struct dyno_lrn_attrs {
    float alpha; /* 1e-4 */
    float beta;  /* 0.75 */
    float bias;  /* 1 */
    int64_t size;
};

/* --- shared by rules and references --- */

/* Mean and variance (of the population). */
void dyno_norm_moments(const double *values, int64_t count, double *mean_out, double *var_out);

/* Rule of the [N,C,...] normalisations: y like x; inputs 1.. are [C] (names[] for the errors). */
enum dyno_status dyno_norm_infer_channels(struct dyno_infer *ctx, const char *const *names);

/* Input idx broadcasts to x's axes [axis, rank) and to nothing before. */
enum dyno_status dyno_norm_split(const struct dyno_infer *ctx, uint32_t idx, const char *name,
                                 int axis);

/* out[first + i] = (values[i] - mean) * factor * scale + bias. */
void dyno_norm_affine(const double *values, int64_t count, double mean, double factor, double scale,
                      double bias, struct dyno_tensor *out, int64_t first);

double dyno_norm_load(const struct dyno_tensor *tensor, int64_t idx);

#endif /* DYNO_OPS_NORM_H */
