/* check_nvml.c - our declarations of the management library (backend/cuda/nvml.h) against NVIDIA's
 * header: compiled where that header is, never run.
 */
#include <nvml.h>

#include "backend/cuda/nvml.h"

_Static_assert(sizeof(nvmlReturn_t) == sizeof(int) && sizeof(nvmlClockType_t) == sizeof(int) &&
                   sizeof(nvmlTemperatureSensors_t) == sizeof(int),
               "enumerations");
_Static_assert(sizeof(nvmlDevice_t) == sizeof(void *), "handles");
_Static_assert(sizeof(nvmlUtilization_t) == sizeof(struct dyno_nvml_busy) &&
                   offsetof(nvmlUtilization_t, gpu) == offsetof(struct dyno_nvml_busy, gpu),
               "utilisation");
_Static_assert(sizeof(nvmlMemory_t) == sizeof(struct dyno_nvml_memory) &&
                   offsetof(nvmlMemory_t, total) == offsetof(struct dyno_nvml_memory, total) &&
                   offsetof(nvmlMemory_t, used) == offsetof(struct dyno_nvml_memory, used),
               "memory");

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(DYNO_NVML_OK, NVML_SUCCESS);
SAME(DYNO_NVML_CLOCK_SM, NVML_CLOCK_SM);
SAME(DYNO_NVML_CLOCK_MEMORY, NVML_CLOCK_MEM);
SAME(DYNO_NVML_SENSOR_GPU, NVML_TEMPERATURE_GPU);
SAME(DYNO_NVML_MIG_ON, NVML_DEVICE_MIG_ENABLE);

/* The same rows with NVIDIA's types must be NVIDIA's functions. */
#undef NVML_RESULT
#undef NVML_DEVICE
#undef NVML_CLOCK
#undef NVML_SENSOR
#undef NVML_BUSY
#undef NVML_MEMORY
#define NVML_DEVICE nvmlDevice_t
#define NVML_CLOCK  nvmlClockType_t
#define NVML_SENSOR nvmlTemperatureSensors_t
#define NVML_BUSY   nvmlUtilization_t
#define NVML_MEMORY nvmlMemory_t
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* of the newest; all have it */
// NOLINTBEGIN(bugprone-macro-parentheses): symbol and params are parts of types
#define DYNO_NVML(name, symbol, params)                                                       \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), nvmlReturn_t(*) params), \
                   #symbol);
// NOLINTEND(bugprone-macro-parentheses)
#include "backend/cuda/nvml.def"
#undef DYNO_NVML
