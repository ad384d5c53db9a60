/* ref.h - helpers of references: walking over elements, and generic element-wise loops. */
#ifndef DYNO_OPS_REF_H
#define DYNO_OPS_REF_H

#include "ops/op.h"

/* --- walking --- */

#define DYNO_WALK_OPERANDS_MAX 4

/* Visits every index of a shape in row-major order and follows operands along with it. */
struct dyno_walk {
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    int64_t idx[DYNO_RANK_MAX];
    int operand_count;
    int64_t strides[DYNO_WALK_OPERANDS_MAX][DYNO_RANK_MAX];
    int64_t at[DYNO_WALK_OPERANDS_MAX]; /* each operand's element under the current index */
};

void dyno_walk_init(struct dyno_walk *walk, int rank, const int64_t *dims);
/* Follow a tensor that broadcasts to the shape. */
void dyno_walk_add(struct dyno_walk *walk, const struct dyno_tensor *tensor);
/* Follow element `base` + sum of idx[i] * strides[i]. */
void dyno_walk_add_strides(struct dyno_walk *walk, int64_t base, const int64_t *strides);
void dyno_walk_next(struct dyno_walk *walk);

/* Row-major strides, in elements. */
void dyno_ref_strides(int rank, const int64_t *dims, int64_t *strides_out);
/* Strides of `tensor` along the axes of a shape of `rank` axes that it broadcasts to. */
void dyno_ref_broadcast_strides(const struct dyno_tensor *tensor, int rank, int64_t *strides_out);
/* Whether `tensor` broadcasts to exactly `to`'s shape. */
bool dyno_ref_broadcasts(const struct dyno_tensor *tensor, const struct dyno_tensor *to);

/* Copy one element whatever its type (strings: the reference to the text). */
void dyno_ref_copy(enum dyno_dtype dtype, void *dst, int64_t dst_idx, const void *src,
                   int64_t src_idx);
/* Copy a whole tensor's bytes: out has as many elements of the same type. */
void dyno_ref_copy_all(const struct dyno_tensor *in, struct dyno_tensor *out);

/* Element idx of an integer tensor (index inputs). */
static inline int64_t dyno_ref_i64(const struct dyno_tensor *tensor, int64_t idx)
{
    return dyno_elem_load_i64(tensor->dtype, tensor->data, (size_t)idx);
}

/* Index idx of `indices` into an axis of `size`, counted from the end when negative; E_ARG outside.
 */
enum dyno_status dyno_ref_index(struct dyno_ref *ctx, const struct dyno_tensor *indices,
                                int64_t idx, int64_t size, int64_t *idx_out);

/* axis of an op whose infer rule has accepted it: [-rank, rank) to [0, rank). */
static inline int dyno_ref_axis(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

/* --- element-wise --- */

/* f32, f16 and bf16 go through `form` (through f64 when form.pw is -1), f64 through f64 (or f64_pq
 * with the form's immediates), integers and bool through i64 (NULL: refused). */
struct dyno_ref_unary {
    struct dyno_pw_form form;
    double (*f64)(double a);
    double (*f64_pq)(double a, double p, double q);
    int64_t (*i64)(int64_t a);
};
enum dyno_status dyno_ref_unary(struct dyno_ref *ctx, const struct dyno_ref_unary *fn);

/* The same with two broadcast inputs of one type; the output's type may differ (comparisons).
 * is_u64: both numbers are the bits of a u64. */
struct dyno_ref_binary {
    int pw;
    double (*f64)(double a, double b);
    int64_t (*i64)(int64_t a, int64_t b, bool is_u64);
};
enum dyno_status dyno_ref_binary(struct dyno_ref *ctx, const struct dyno_ref_binary *fn);
/* Folds any number of inputs from the left. */
enum dyno_status dyno_ref_variadic(struct dyno_ref *ctx, const struct dyno_ref_binary *fn);

/* E_ARG when input 1 is of integers and one of them is 0. */
enum dyno_status dyno_ref_check_divisor(struct dyno_ref *ctx);

/* E_UNSUPPORTED: this op's reference does not take that element type. */
enum dyno_status dyno_ref_refuse(struct dyno_ref *ctx, enum dyno_dtype dtype);

/* Output 0 is input 0 under another shape. */
enum dyno_status dyno_ref_view(struct dyno_ref *ctx);

#endif /* DYNO_OPS_REF_H */
