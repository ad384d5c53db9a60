/* values.h - tensors as heap arrays of doubles, so that a reference is written once for every
 * dtype and rounds once.
 */
#ifndef DYNO_OPS_VALUES_H
#define DYNO_OPS_VALUES_H

#include "ops/op.h"

/* All elements as doubles (f16, bf16, f8 exactly; 64-bit integers may round); the caller frees with
 * dyno_free.  NULL when out of memory.  Never NULL for an empty tensor. */
double *dyno_values_load(const struct dyno_tensor *tensor);

/* count doubles, not cleared; the caller frees.  NULL when out of memory. */
double *dyno_values_alloc(int64_t count);

/* Rounds every value to the tensor's dtype. */
void dyno_values_store(struct dyno_tensor *tensor, const double *values);
/* The same for `count` values at element `first`. */
void dyno_values_store_at(struct dyno_tensor *tensor, int64_t first, const double *values,
                          int64_t count);

/* Give output `idx` its shape when inference has not (data NULL). */
enum dyno_status dyno_values_shape_out(struct dyno_ref *ctx, uint32_t idx, enum dyno_dtype dtype,
                                       int rank, const int64_t *dims);

/* --- small checks that infer rules share --- */

/* Size of an axis when it is a known constant. */
bool dyno_dim_const(const struct dyno_infer *ctx, const struct dyno_type *type, int axis,
                    int64_t *size_out);

/* Inputs first..last are of these classes (enum dyno_type_class) when present and known. */
enum dyno_status dyno_check_classes(struct dyno_infer *ctx, uint32_t first, uint32_t last,
                                    unsigned classes);

/* Inputs a and b have one dtype (unknown ones pass). */
enum dyno_status dyno_check_same_dtype(struct dyno_infer *ctx, uint32_t a, const char *a_name,
                                       uint32_t b, const char *b_name);

/* Input idx, when present and known, is a vector of `length` (an expression; NONE: any). */
enum dyno_status dyno_check_vector(struct dyno_infer *ctx, uint32_t idx, const char *name,
                                   dyno_expr length);

/* Input idx, when its rank is known, has this rank. */
enum dyno_status dyno_check_rank(struct dyno_infer *ctx, uint32_t idx, const char *name, int rank);

#endif /* DYNO_OPS_VALUES_H */
