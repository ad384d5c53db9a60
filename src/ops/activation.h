/* activation.h - attributes of the activation functions. */
#ifndef DYNO_OPS_ACTIVATION_H
#define DYNO_OPS_ACTIVATION_H

#include <stdint.h>

/* Elu, Celu, LeakyRelu, ThresholdedRelu, Swish. */
struct dyno_alpha_attrs {
    float alpha;
};

struct dyno_selu_attrs {
    float alpha;
    float gamma;
};

struct dyno_hard_sigmoid_attrs {
    float alpha;
    float beta;
};

enum dyno_gelu_kind { DYNO_GELU_ERF, DYNO_GELU_TANH };

struct dyno_gelu_attrs {
    int32_t approximate; /* enum dyno_gelu_kind */
};

struct dyno_shrink_attrs {
    float bias;
    float lambd;
};

#endif /* DYNO_OPS_ACTIVATION_H */
