/* tensor.c - counting elements of shapes from outside. */
#include "base/tensor.h"

/* The widest element is 16 bytes, so a count below 2^59 has a byte size that fits int64. */
#define COUNT_MAX (INT64_MAX / 16)

bool dyno_dims_count(const int64_t *dims, int rank, int64_t *count_out)
{
    int64_t count = 1;
    bool is_empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return false;
        if (dims[i] == 0)
            is_empty = true;
        else if (__builtin_mul_overflow(count, dims[i], &count) || count > COUNT_MAX)
            return false;
    }
    *count_out = is_empty ? 0 : count;
    return true;
}
