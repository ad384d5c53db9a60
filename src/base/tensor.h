/* tensor.h - a dense row-major array in memory, with concrete dimensions.
 *
 * A tensor never owns its data: an arena, a file map or the caller does.
 */
#ifndef DYNO_BASE_TENSOR_H
#define DYNO_BASE_TENSOR_H

#include "base/dtype.h"

#define DYNO_RANK_MAX 8

struct dyno_tensor {
    enum dyno_dtype dtype;
    int rank; /* 0: scalar */
    int64_t dims[DYNO_RANK_MAX];
    void *data; /* packed elements; STR: struct dyno_str items */
};

/* Text of a STR element: borrowed bytes, not NUL-terminated. */
struct dyno_str {
    const char *text;
    size_t bytes;
};

/* Product of the dimensions; callers have checked it against overflow. */
static inline int64_t dyno_tensor_count(const struct dyno_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->dims[i];
    return count;
}

/* Product with checks: false when a dimension is negative or the byte size overflows int64. */
bool dyno_dims_count(const int64_t *dims, int rank, int64_t *count_out);

#endif /* DYNO_BASE_TENSOR_H */
