/* infer.h - helpers of infer rules.  All record their failure in ctx->err.
 *
 * A dimension is a dyno_expr; DYNO_EXPR_NONE in a dim means "unknown" only inside a rule: before a
 * rule returns, an unknown size gets a fresh symbol (dyno_infer_unknown_dim).
 */
#ifndef DYNO_OPS_INFER_H
#define DYNO_OPS_INFER_H

#include "ops/op.h"

/* out[idx] = tensor of that type with unknown rank / of a shape (dims copied). */
enum dyno_status dyno_infer_set(struct dyno_infer *ctx, uint32_t idx, enum dyno_dtype dtype,
                                int rank, const dyno_expr *dims);

/* Ready-made rules. */
enum dyno_status dyno_infer_same_as_input(struct dyno_infer *ctx); /* type and shape of input 0 */
enum dyno_status dyno_infer_broadcast(struct dyno_infer *ctx);     /* numpy broadcast, one dtype */
enum dyno_status dyno_infer_compare(struct dyno_infer *ctx);       /* broadcast, gives bool */

/* Numpy broadcast of two shapes; symbolic dimensions that are not provably equal and not 1 unify to
 * their maximum.  Fails with E_FORMAT when two known sizes clash. */
enum dyno_status dyno_infer_broadcast_dims(struct dyno_infer *ctx, const dyno_expr *a, int a_rank,
                                           const dyno_expr *b, int b_rank, dyno_expr *out,
                                           int *out_rank);

/* A fresh symbol 0..INT64_MAX. */
dyno_expr dyno_infer_unknown_dim(struct dyno_infer *ctx);

/* axis in [-rank, rank) to [0, rank); E_FORMAT with a sentence otherwise. */
enum dyno_status dyno_infer_axis(struct dyno_infer *ctx, int64_t axis, int rank, int *axis_out);

/* Contents of input idx as int64 expressions, when known; NULL otherwise. */
const dyno_expr *dyno_infer_elems(const struct dyno_infer *ctx, uint32_t idx, uint32_t *count_out);

/* Contents of input idx as constants: false unless every element is a known constant.
 * Writes at most max values. */
bool dyno_infer_consts(const struct dyno_infer *ctx, uint32_t idx, int64_t *values_out,
                       uint32_t max, uint32_t *count_out);

/* Allocate room for out[idx].elems. */
dyno_expr *dyno_infer_elems_alloc(struct dyno_infer *ctx, uint32_t count);

#endif /* DYNO_OPS_INFER_H */
