/* engine_inputs.h - numbers to run any engine on. */
#ifndef DYNO_TESTS_FUZZ_ENGINE_INPUTS_H
#define DYNO_TESTS_FUZZ_ENGINE_INPUTS_H

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define ENGINE_INPUTS_MAX (1 << 20) /* bytes */

/* Ordinary numbers, and some that are none. */
static inline void engine_inputs_fill(struct dyno_array *array, uint32_t seed)
{
    static const uint32_t odd[] = {0x7FC00000U, 0x7F800000U, 0xFF800000U, 0x00000001U,
                                   0x80000000U, 0xFFFFFFFFU, 0x7F7FFFFFU, 0U};
    uint32_t state = seed * 2654435761U + 1;
    uint8_t *at = array->data;
    for (size_t i = 0; i < array->bytes; i++) {
        state = state * 1664525U + 1013904223U;
        at[i] = (uint8_t)(state >> 24);
    }
    for (size_t i = 0; array->dtype == DYNO_F32 && i + 4 <= array->bytes; i += 4) {
        const float value = (float)(int8_t)at[i] / 32.0F;
        memcpy(at + i, &value, sizeof(value));
        if (at[i] % 61 == 1)
            memcpy(at + i, &odd[i / 4 % DYNO_COUNT(odd)], 4);
    }
    for (size_t i = 0; array->dtype == DYNO_BOOL && i < array->bytes; i++)
        at[i] &= 1;
    for (size_t i = 0; array->dtype == DYNO_I64 && i + 8 <= array->bytes; i += 8) {
        const int64_t value = (int8_t)at[i] % 5;
        memcpy(at + i, &value, sizeof(value));
    }
}

/* Inputs of the profile's least (0), optimal (1) or greatest (2) shape; free the data of each, also
 * on failure.  False when they would be too large, or texts. */
static inline bool engine_inputs_make(const struct dyno_engine *engine, int corner,
                                      struct dyno_array *inputs)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        struct dyno_io_info info;
        int64_t count = 0;
        dyno_engine_input(engine, i, &info);
        const int64_t *dims = corner == 0 ? info.min : corner == 1 ? info.opt : info.max;
        struct dyno_array *array = &inputs[i];
        *array = (struct dyno_array){.dtype = info.dtype, .rank = info.rank};
        for (int d = 0; d < info.rank; d++)
            array->dims[d] = dims[d];
        if (info.dtype == DYNO_STR || !dyno_dims_count(array->dims, info.rank, &count) ||
            !dyno_dtype_bytes((enum dyno_dtype)info.dtype, (uint64_t)count, &array->bytes) ||
            array->bytes > ENGINE_INPUTS_MAX - sum)
            return false;
        sum += array->bytes;
        array->data = malloc(array->bytes + (array->bytes == 0));
        if (array->data == NULL)
            return false;
        engine_inputs_fill(array, i + 1);
    }
    return true;
}

#endif /* DYNO_TESTS_FUZZ_ENGINE_INPUTS_H */
