/* compare.h - is a result what a test of ONNX wants?  Types and shapes exactly; floats within
 * ONNX's own tolerance (relative 1e-3, absolute 1e-7), any NaN equals any NaN; the rest exactly. */
#ifndef DYNO_TESTS_CONFORMANCE_COMPARE_H
#define DYNO_TESTS_CONFORMANCE_COMPARE_H

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/tensor.h"

#define COMPARE_RTOL 1e-3
#define COMPARE_ATOL 1e-7

static inline bool compare_floats(double got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabs(got - want) <= COMPARE_ATOL + COMPARE_RTOL * fabs(want);
}

static inline enum dyno_status compare_elems(const struct dyno_tensor *got,
                                             const struct dyno_tensor *want, size_t i,
                                             struct dyno_err *err)
{
    if (want->dtype == DYNO_STR) {
        const struct dyno_str *a = (const struct dyno_str *)got->data + i;
        const struct dyno_str *b = (const struct dyno_str *)want->data + i;
        if (a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->text, b->text, a->bytes) == 0))
            return DYNO_OK;
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "element %zu is '%.*s', want '%.*s'", i,
                         (int)a->bytes, a->text, (int)b->bytes, b->text);
    }
    if (dyno_dtype_is_float(want->dtype)) {
        const double a = dyno_elem_load_f64(got->dtype, got->data, i);
        const double b = dyno_elem_load_f64(want->dtype, want->data, i);
        if (compare_floats(a, b))
            return DYNO_OK;
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "element %zu is %.9g, want %.9g", i, a, b);
    }
    const int64_t a = dyno_elem_load_i64(got->dtype, got->data, i);
    const int64_t b = dyno_elem_load_i64(want->dtype, want->data, i);
    if (a == b)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_MISMATCH, "element %zu is %" PRId64 ", want %" PRId64, i, a, b);
}

static inline enum dyno_status compare_tensors(const struct dyno_tensor *got,
                                               const struct dyno_tensor *want, struct dyno_err *err)
{
    if (got->dtype != want->dtype)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "is %s, want %s", dyno_dtype_text(got->dtype),
                         dyno_dtype_text(want->dtype));
    if (got->rank != want->rank)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "has %d dimensions, want %d", got->rank, want->rank);
    for (int i = 0; i < want->rank; i++) {
        if (got->dims[i] != want->dims[i])
            return DYNO_FAIL(err, DYNO_E_MISMATCH, "dimension %d is %" PRId64 ", want %" PRId64, i,
                             got->dims[i], want->dims[i]);
    }
    struct dyno_tensor a = *got;
    struct dyno_tensor b = *want;
    size_t count = (size_t)dyno_tensor_count(want);
    if (want->dtype == DYNO_C64 || want->dtype == DYNO_C128) {
        a.dtype = b.dtype = want->dtype == DYNO_C64 ? DYNO_F32 : DYNO_F64;
        count *= 2;
    }
    for (size_t i = 0; i < count; i++)
        DYNO_TRY(compare_elems(&a, &b, i, err));
    return DYNO_OK;
}

#endif /* DYNO_TESTS_CONFORMANCE_COMPARE_H */
