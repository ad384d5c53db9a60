/* kernel_table.c - every kernel of this build, by position and by stable id. */
#include "backend/backend.h"

#define DYNO_KERNEL(isa, name) extern const struct dyno_kernel dyno_kernel_##isa##_##name;
#include "backend/kernels.def"
#undef DYNO_KERNEL

const struct dyno_kernel *const dyno_kernels[] = {
#define DYNO_KERNEL(isa, name) &dyno_kernel_##isa##_##name,
#include "backend/kernels.def"
#undef DYNO_KERNEL
};
const size_t dyno_kernel_count = DYNO_COUNT(dyno_kernels);

uint32_t dyno_kernel_id(const struct dyno_kernel *kernel)
{
    uint32_t hash = 2166136261U;
    for (const char *c = kernel->name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619U;
    return hash;
}

const struct dyno_kernel *dyno_kernel_find(uint32_t id)
{
    for (size_t i = 0; i < dyno_kernel_count; i++)
        if (dyno_kernel_id(dyno_kernels[i]) == id)
            return dyno_kernels[i];
    return NULL;
}
