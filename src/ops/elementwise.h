/* elementwise.h - attributes of element-wise operators other than activations. */
#ifndef DYNO_OPS_ELEMENTWISE_H
#define DYNO_OPS_ELEMENTWISE_H

#include "ops/op.h"

enum dyno_cast_round { DYNO_CAST_ROUND_UP, DYNO_CAST_ROUND_DOWN, DYNO_CAST_ROUND_NEAREST };

/* Cast; CastLike has no `to`. */
struct dyno_cast_attrs {
    int64_t to;         /* enum dyno_dtype */
    int64_t saturate;   /* to f8: != 0 (default) clamps to the largest finite value */
    int32_t round_mode; /* to f8e8m0: enum dyno_cast_round (default up) */
};

/* Shared by Cast and CastLike (both have struct dyno_cast_attrs). */
enum dyno_status dyno_cast_infer(struct dyno_infer *ctx, enum dyno_dtype to);
enum dyno_status dyno_cast_run(struct dyno_ref *ctx);

struct dyno_mod_attrs {
    int64_t fmod; /* 0 (default): the sign of the divisor; 1: of the dividend, as C's fmod */
};

struct dyno_is_inf_attrs {
    int64_t detect_negative; /* default 1 */
    int64_t detect_positive; /* default 1 */
};

enum dyno_bit_shift_direction { DYNO_BIT_SHIFT_LEFT, DYNO_BIT_SHIFT_RIGHT };

struct dyno_bit_shift_attrs {
    int32_t direction; /* enum dyno_bit_shift_direction; required */
};

#endif /* DYNO_OPS_ELEMENTWISE_H */
