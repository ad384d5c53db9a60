/* gpu_account.h - what the files of the GPU's side share: its bytes, and the way to give back. */
#ifndef DYNO_ENGINE_GPU_ACCOUNT_H
#define DYNO_ENGINE_GPU_ACCOUNT_H

#include "backend/cuda/device.h"
#include "engine/gpu.h"

/* Before things are given back, which goes on whatever this says: there is nobody to tell. */
static inline void dyno_gpu_leave(const struct dyno_cuda *cuda)
{
    const enum dyno_status ignored = dyno_cuda_enter(cuda, NULL);
    (void)ignored;
}

/* Bytes there that are the engine's from now on, and no more. */
static inline void dyno_gpu_hold(const struct dyno_engine *engine, uint64_t bytes)
{
    atomic_fetch_add_explicit(&engine->gpu->bytes, bytes, memory_order_relaxed);
}

static inline void dyno_gpu_let_go(const struct dyno_engine *engine, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&engine->gpu->bytes, bytes, memory_order_relaxed);
}

#endif /* DYNO_ENGINE_GPU_ACCOUNT_H */
