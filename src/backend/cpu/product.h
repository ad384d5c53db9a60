/* product.h - MatMul and Gemm as one thing: what is multiplied, what is constant, what is added. */
#ifndef DYNO_BACKEND_CPU_PRODUCT_H
#define DYNO_BACKEND_CPU_PRODUCT_H

#include "backend/cpu/gemm.h"
#include "backend/cpu/tail.h"
#include "ops/mat_mul.h"

/* y[batch][rows, n] = a[batch][rows, k] * b[batch][k, n] * alpha + c; y and a are ROW. */
struct dyno_cpu_product {
    int64_t batches, rows, k, n;
    int64_t b_count;        /* matrices in B */
    ptrdiff_t a_row, a_col; /* floats between elements of A's matrix */
    ptrdiff_t b_row, b_col;
    float alpha, beta;
    bool b_constant;
    /* Constants over a row are added: Gemm's C and the tail's first instruction.  Only with a
     * constant B, or n and with it what is packed could differ from shape to shape. */
    bool bias;
    bool peeled; /* ... of which the tail's first instruction */
    bool addend; /* Gemm's C is anything else */
    uint32_t peeled_input;
    struct dyno_mat_mul_shape shape; /* MatMul: which matrices make a batch */
    bool folded;                     /* A's batches are one matrix of more rows */
};

/* False unless the step is an f32 MatMul or Gemm whose tail the tail functions take. */
bool dyno_cpu_product_resolve(const struct dyno_site *site, struct dyno_cpu_product *product_out);

/* The step's tail less what `peeled` says is done. */
void dyno_cpu_product_tail(const struct dyno_step *step, const struct dyno_cpu_product *product,
                           struct dyno_tail *tail_out);

/* Which matrices of A and B make `batch`. */
void dyno_cpu_product_batch(const struct dyno_cpu_product *product, int64_t batch, int64_t *a_out,
                            int64_t *b_out);

/* Packed: the bias of a row (when there is one), then B's matrices (when constant); floats. */
struct dyno_cpu_product_packed {
    int64_t columns;
    int64_t b_at;
    int64_t b_matrix;
    uint64_t all_bytes;
};
bool dyno_cpu_product_packed(const struct dyno_cpu_product *product, int panel,
                             struct dyno_cpu_product_packed *packed_out);
void dyno_cpu_product_pack(const struct dyno_site *site, const struct dyno_cpu_product *product,
                           int panel, float *dst);

/* Element strides of Gemm's C over y's two axes. */
void dyno_cpu_product_addend(const struct dyno_buf *c, ptrdiff_t *row_out, ptrdiff_t *col_out);

#endif /* DYNO_BACKEND_CPU_PRODUCT_H */
