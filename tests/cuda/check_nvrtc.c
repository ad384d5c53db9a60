/* check_nvrtc.c - our declarations of the run-time compiler (backend/cuda/nvrtc.def) against
 * NVIDIA's header: compiled where that header is, never run.
 */
#include <nvrtc.h>
#include <stddef.h>

_Static_assert(sizeof(nvrtcResult) == sizeof(int) && NVRTC_SUCCESS == 0, "results");
_Static_assert(sizeof(nvrtcProgram) == sizeof(void *), "handles");

/* The rows with NVIDIA's types must be NVIDIA's functions. */
#define NVRTC_PROGRAM nvrtcProgram
// NOLINTBEGIN(bugprone-macro-parentheses): symbol and params are parts of types
#define DYNO_NVRTC(name, symbol, params)                                                     \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), nvrtcResult(*) params), \
                   #symbol);
// NOLINTEND(bugprone-macro-parentheses)
#include "backend/cuda/nvrtc.def"
#undef DYNO_NVRTC
