/* nvrtc.h - NVIDIA's run-time compiler, loaded when a build for a GPU first needs it.  Running an
 * engine never does.
 */
#ifndef DYNO_BACKEND_CUDA_NVRTC_H
#define DYNO_BACKEND_CUDA_NVRTC_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* CUDA C++ into a cubin for one compute capability (90: 9.0, compiled for "sm_90a"), in `arena`.
 * name: what the text is called in messages.  Any thread.
 * E_TARGET: no such library, or one that is too old; the sentence says where it was looked for.
 * E_UNSUPPORTED: it does not compile; the sentence ends with the first lines of the log. */
DYNO_NODISCARD enum dyno_status dyno_nvrtc_compile(const char *name, const char *text, int compute,
                                                   struct dyno_arena *arena, const void **cubin_out,
                                                   uint64_t *bytes_out, struct dyno_err *err);

/* 13000 for 13.0; E_TARGET as above. */
DYNO_NODISCARD enum dyno_status dyno_nvrtc_version(int *version_out, struct dyno_err *err);

#endif /* DYNO_BACKEND_CUDA_NVRTC_H */
