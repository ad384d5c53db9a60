/* mat_mul.h - the geometry of numpy's matmul, shared by MatMul, MatMulInteger and QLinearMatMul. */
#ifndef DYNO_OPS_MAT_MUL_H
#define DYNO_OPS_MAT_MUL_H

#include "ops/op.h"

/* One product [m,k] x [k,n] for every batch of the broadcast leading axes. */
struct dyno_mat_mul_shape {
    int64_t m, k, n;
    int batch_rank; /* leading axes of the result before its matrix */
    int64_t batch_dims[DYNO_RANK_MAX];
    int64_t a_strides[DYNO_RANK_MAX]; /* in matrices; 0 where A is broadcast */
    int64_t b_strides[DYNO_RANK_MAX];
    int64_t batch_count; /* product of batch_dims */
    int out_rank;
    int64_t out_dims[DYNO_RANK_MAX]; /* 1-D operands lose their axis */
};

enum dyno_status dyno_mat_mul_shape(int a_rank, const int64_t *a_dims, int b_rank,
                                    const int64_t *b_dims, struct dyno_mat_mul_shape *shape_out,
                                    struct dyno_err *err);

/* Which matrix of A and of B makes matrix `batch` of the result. */
void dyno_mat_mul_batch(const struct dyno_mat_mul_shape *shape, int64_t batch, int64_t *a_out,
                        int64_t *b_out);

/* Symbolic shape of the product of types a and b; rank -1 when either is unknown. */
enum dyno_status dyno_mat_mul_infer_dims(struct dyno_infer *ctx, const struct dyno_type *a,
                                         const struct dyno_type *b, int *rank_out,
                                         dyno_expr *dims_out);

/* y [m,n] = a [m,k] x b [k,n], in f64. */
void dyno_mat_mul_f64(int64_t m, int64_t k, int64_t n, const double *a, const double *b, double *y);

#endif /* DYNO_OPS_MAT_MUL_H */
