/* move.h - attributes of the operators that make, move, pick or place elements. */
#ifndef DYNO_OPS_MOVE_H
#define DYNO_OPS_MOVE_H

#include "ops/op.h"

#define DYNO_AXIS_ABSENT INT64_MIN /* what an optional axis is when the node has none */

/* Concat, Gather, GatherElements, Compress, ... : -rank..rank-1. */
struct dyno_axis_attrs {
    int64_t axis;
};

/* Shape: the dimensions [start, end), negative ones counted from the end, clamped. */
struct dyno_shape_attrs {
    int64_t start;
    int64_t end; /* default INT32_MAX: to the last */
};

struct dyno_reshape_attrs {
    int64_t allowzero; /* != 0: a 0 in the shape is a size, not "as in the input" */
};

struct dyno_transpose_attrs {
    struct dyno_i64s perm; /* absent: reversed */
};

struct dyno_split_attrs {
    int64_t axis;
    int64_t num_outputs; /* 0: absent; equal parts, the last one smaller */
};

struct dyno_gather_nd_attrs {
    int64_t batch_dims;
};

enum dyno_scatter_reduction {
    DYNO_SCATTER_NONE,
    DYNO_SCATTER_ADD,
    DYNO_SCATTER_MUL,
    DYNO_SCATTER_MAX,
    DYNO_SCATTER_MIN,
};

struct dyno_scatter_elements_attrs {
    int64_t axis;
    int32_t reduction; /* enum dyno_scatter_reduction */
};

struct dyno_scatter_nd_attrs {
    int32_t reduction; /* enum dyno_scatter_reduction */
};

/* Spellings of enum dyno_scatter_reduction. */
extern const char *const dyno_scatter_reductions[];

/* Element `to` of output 0 meets element `from` of the updates. */
enum dyno_status dyno_scatter_elem(struct dyno_ref *ctx, enum dyno_scatter_reduction reduction,
                                   int64_t to, const struct dyno_tensor *updates, int64_t from);

enum dyno_pad_mode { DYNO_PAD_CONSTANT, DYNO_PAD_REFLECT, DYNO_PAD_EDGE, DYNO_PAD_WRAP };

struct dyno_pad_attrs {
    int32_t mode; /* enum dyno_pad_mode */
};

struct dyno_constant_attrs {
    const struct dyno_tensor *value; /* required; the importer makes it of the other spellings */
};

struct dyno_constant_of_shape_attrs {
    const struct dyno_tensor *value; /* one element; NULL: f32 0 */
};

struct dyno_dropout_attrs {
    int64_t seed; /* inference never looks at it */
};

enum dyno_depth_mode { DYNO_DEPTH_DCR, DYNO_DEPTH_CRD };

/* DepthToSpace; SpaceToDepth has no mode. */
struct dyno_depth_attrs {
    int64_t blocksize; /* required */
    int32_t mode;      /* enum dyno_depth_mode */
};

struct dyno_cum_sum_attrs {
    int64_t exclusive;
    int64_t reverse;
};

struct dyno_eye_like_attrs {
    int64_t dtype; /* 0: the input's */
    int64_t k;     /* which diagonal */
};

struct dyno_compress_attrs {
    int64_t axis; /* DYNO_AXIS_ABSENT: over the flattened input */
};

struct dyno_unique_attrs {
    int64_t axis;   /* DYNO_AXIS_ABSENT: over the flattened input */
    int64_t sorted; /* default 1 */
};

struct dyno_top_k_attrs {
    int64_t axis;    /* default -1 */
    int64_t largest; /* default 1 */
    int64_t sorted;  /* default 1 */
};

struct dyno_reverse_sequence_attrs {
    int64_t batch_axis; /* default 1 */
    int64_t time_axis;  /* default 0 */
};

struct dyno_trilu_attrs {
    int64_t upper; /* default 1 */
};

struct dyno_einsum_attrs {
    struct dyno_str equation; /* required */
};

struct dyno_non_max_suppression_attrs {
    int64_t center_point_box;
};

struct dyno_center_crop_pad_attrs {
    struct dyno_i64s axes; /* absent: all */
};

#endif /* DYNO_OPS_MOVE_H */
