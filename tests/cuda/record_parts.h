/* record_parts.h - what the files of the driver without a GPU (record.h) know of each other. */
#ifndef DYNO_TESTS_CUDA_RECORD_PARTS_H
#define DYNO_TESTS_CUDA_RECORD_PARTS_H

#include "record.h"

#define RECORD_INVALID 1 /* CUDA_ERROR_INVALID_VALUE */

extern struct record record;

/* Every call but those that cannot fail begins with this. */
int record_call(void);
#define RECORD_CALL()                    \
    do {                                 \
        const int code_ = record_call(); \
        if (code_ != DYNO_CU_OK)         \
            return code_;                \
    } while (0)

int record_new_handle(void **out);
int record_old_handle(void *handle);

/* record_memory.c: its functions in the driver's table. */
void record_memory_rows(struct dyno_cu *cu);

#endif /* DYNO_TESTS_CUDA_RECORD_PARTS_H */
