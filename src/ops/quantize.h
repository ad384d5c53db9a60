/* quantize.h - attributes and arithmetic of QuantizeLinear and DequantizeLinear.
 *
 * Inputs x, scale, zero point (optional).  Scale of one element: per tensor.  Scale [C]: along
 * `axis`.  block_size > 0: scale has x's rank, and its size on `axis` is ceil(size/block_size).
 */
#ifndef DYNO_OPS_QUANTIZE_H
#define DYNO_OPS_QUANTIZE_H

#include "ops/op.h"

struct dyno_quantize_attrs {
    int64_t axis;       /* -rank..rank-1; 1; not looked at for a scale of one element */
    int64_t block_size; /* 0: none */
    int64_t
        output_dtype;  /* 0: the zero point's (Quantize: u8 without one; Dequantize: the scale's) */
    int64_t saturate;  /* Quantize to f8: != 0 (default) clamps to the largest finite value */
    int64_t precision; /* Quantize: dtype of the division; 0: the scale's */
};

/* Which scale an element of x uses: see dyno_quantize_scale_idx. */
struct dyno_quantize_map {
    int64_t inner;  /* elements between neighbours on the axis */
    int64_t size;   /* of the axis; 1: per tensor */
    int64_t block;  /* elements on the axis that share a scale, 1 per axis */
    int64_t blocks; /* scales on the axis */
    bool blocked;   /* scales also vary over the other axes */
    bool per_tensor;
};

enum dyno_status dyno_quantize_map(const struct dyno_quantize_attrs *attrs,
                                   const struct dyno_tensor *x, const struct dyno_tensor *scale,
                                   struct dyno_quantize_map *map_out, struct dyno_err *err);

static inline int64_t dyno_quantize_scale_idx(const struct dyno_quantize_map *map, int64_t e)
{
    if (map->per_tensor)
        return 0;
    const int64_t on_axis = e / map->inner % map->size / map->block;
    if (!map->blocked)
        return on_axis;
    return (e / map->inner / map->size * map->blocks + on_axis) * map->inner + e % map->inner;
}

/* Bounds of an integer dtype of up to 16 bits as doubles. */
void dyno_quantize_bounds(enum dyno_dtype dtype, double *min_out, double *max_out);

/* clamp(round_to_even(quotient) + zero_point). */
double dyno_quantize_round(float quotient, double zero_point, double min, double max);

/* Checks shapes of scale (input `idx`) and zero point (idx + 1) against x, as far as known. */
enum dyno_status dyno_quantize_check(struct dyno_infer *ctx,
                                     const struct dyno_quantize_attrs *attrs, uint32_t idx);

/* The zero point of scale `idx`; 0 when there is none. */
double dyno_quantize_zero(const struct dyno_tensor *zero_point, int64_t idx);

/* Classes of the inputs that QLinearConv and QLinearMatMul share: a, scale, zero, b, scale, zero,
 * y's scale, y's zero. */
enum dyno_status dyno_quantize_linear_classes(struct dyno_infer *ctx);

/* Input idx, when present, has 1 or `want` elements. */
enum dyno_status dyno_quantize_want_count(struct dyno_ref *ctx, uint32_t idx, const char *name,
                                          int64_t want);

/* Heap array of x - zero point as doubles, where the zero point has one element or one for each of
 * `size` slices of `inner` elements (slice = e / inner % size).  The caller frees; NULL: no memory.
 */
double *dyno_quantize_centred(const struct dyno_tensor *x, const struct dyno_tensor *zero_point,
                              int64_t inner, int64_t size);

#endif /* DYNO_OPS_QUANTIZE_H */
