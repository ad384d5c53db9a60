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

/* Classes of element types that an input accepts. */
enum dyno_type_class {
    DYNO_WANT_FLOAT = 1U << 0,
    DYNO_WANT_INT = 1U << 1, /* 2..64 bits, signed or not */
    DYNO_WANT_BOOL = 1U << 2,
    DYNO_WANT_STR = 1U << 3,
    DYNO_WANT_COMPLEX = 1U << 4,
    DYNO_WANT_INDEX = 1U << 5, /* i32, i64 */
    DYNO_WANT_NUMBER = DYNO_WANT_FLOAT | DYNO_WANT_INT,
    DYNO_WANT_ANY = DYNO_WANT_NUMBER | DYNO_WANT_BOOL | DYNO_WANT_STR | DYNO_WANT_COMPLEX,
};

/* E_FORMAT unless input idx is absent, of unknown type, or a tensor of one of the classes. */
enum dyno_status dyno_infer_want(struct dyno_infer *ctx, uint32_t idx, unsigned classes);
/* E_FORMAT unless the inputs (those that are present and known) have one element type. */
enum dyno_status dyno_infer_want_same(struct dyno_infer *ctx, uint32_t a_idx, uint32_t b_idx);

/* The type of a concrete tensor, its elems when small and integer; constant is set when it has
 * data.  False when out of memory. */
bool dyno_type_of_tensor(const struct dyno_tensor *tensor, struct dyno_exprs *exprs,
                         struct dyno_arena *arena, struct dyno_type *type_out);

/* Ready-made rules. */
enum dyno_status dyno_infer_same_as_input(struct dyno_infer *ctx); /* type and shape of input 0 */
enum dyno_status dyno_infer_broadcast(struct dyno_infer *ctx);     /* numpy broadcast, one dtype */
enum dyno_status dyno_infer_unary_float(struct dyno_infer *ctx);   /* same as input 0, a float */
enum dyno_status dyno_infer_unary_number(struct dyno_infer *ctx);  /* ... a float or an integer */
enum dyno_status dyno_infer_arith(struct dyno_infer *ctx);         /* broadcast of numbers */
enum dyno_status dyno_infer_integers(struct dyno_infer *ctx);      /* broadcast of integers */
/* out[0] = dtype (NONE: input 0's) with the broadcast of the shapes of all inputs. */
enum dyno_status dyno_infer_broadcast_to(struct dyno_infer *ctx, enum dyno_dtype dtype);

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

/* out[idx].elems = elems, unless one of them is NONE or the shape of out[idx] is not constant or
 * has another count: then nothing is known. */
void dyno_infer_set_elems(struct dyno_infer *ctx, uint32_t idx, const dyno_expr *elems,
                          uint32_t count);

/* Element-wise shape arithmetic: out[0].elems[i] = fn(the inputs' elements that broadcast to i)
 * when every input's contents are known (i32, i64 and bool only).  Call after out[0] is set.  NONE
 * from fn: not known. */
typedef dyno_expr dyno_infer_elem_fn(struct dyno_infer *ctx, const dyno_expr *args);
enum dyno_status dyno_infer_map_elems(struct dyno_infer *ctx, dyno_infer_elem_fn *fn);
/* Broadcast of two inputs of one type, gives bool; known contents by fn. */
enum dyno_status dyno_infer_compare(struct dyno_infer *ctx, dyno_infer_elem_fn *fn);
/* dyno_infer_arith, and known contents folded from the first input to the last. */
typedef dyno_expr dyno_infer_fold_fn(struct dyno_exprs *exprs, dyno_expr a, dyno_expr b);
enum dyno_status dyno_infer_arith_fold(struct dyno_infer *ctx, dyno_infer_fold_fn *fold);

/* Contents of the outputs of an op that only moves elements, by running its reference on them:
 * input i is data when bit i of data_mask is set (its contents may be expressions); the other
 * inputs must be constants.  Call after the outputs are set. */
enum dyno_status dyno_infer_move_elems(struct dyno_infer *ctx,
                                       enum dyno_status (*reference)(struct dyno_ref *ref),
                                       uint32_t data_mask);

/* The constant dimensions of a type: false when its rank or one of them is open. */
bool dyno_infer_const_dims(const struct dyno_infer *ctx, const struct dyno_type *type,
                           int64_t *dims_out);

/* Product of dims[from..to), the constant 1 when empty. */
dyno_expr dyno_infer_product(struct dyno_infer *ctx, const dyno_expr *dims, int from, int to);

/* Number of elements of a rank-1 input: -1 when open. */
int64_t dyno_infer_vector_count(const struct dyno_infer *ctx, uint32_t idx);

#endif /* DYNO_OPS_INFER_H */
