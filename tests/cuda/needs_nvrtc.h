/* needs_nvrtc.h - tests that compile kernels are skipped where there is no NVRTC. */
#ifndef DYNO_TESTS_CUDA_NEEDS_NVRTC_H
#define DYNO_TESTS_CUDA_NEEDS_NVRTC_H

#include <stdbool.h>
#include <stdio.h>

#include "backend/cuda/nvrtc.h"

/* Says why when it is missing. */
static inline bool nvrtc_is_missing(void)
{
    struct dyno_err err = {0};
    int version = 0;
    if (dyno_nvrtc_version(&version, &err) == DYNO_OK)
        return false;
    printf("skipped: %s\n", err.text);
    return true;
}

#endif /* DYNO_TESTS_CUDA_NEEDS_NVRTC_H */
