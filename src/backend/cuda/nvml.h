/* nvml.h - what a card tells of itself: energy, power, clocks, memory, temperature.
 *
 * By NVIDIA's management library (libnvidia-ml.so.1), which comes with the driver, loaded when it
 * is first asked for.  The declarations are ours; tests/cuda/check_nvml.c holds them against
 * NVIDIA's header where there is one.
 */
#ifndef DYNO_BACKEND_CUDA_NVML_H
#define DYNO_BACKEND_CUDA_NVML_H

#include "backend/cuda/device.h"
#include "dyno/engine.h"

#define NVML_RESULT int
#define NVML_DEVICE void *
#define NVML_CLOCK  int
#define NVML_SENSOR int
#define NVML_BUSY   struct dyno_nvml_busy
#define NVML_MEMORY struct dyno_nvml_memory

enum {
    DYNO_NVML_OK = 0,
    DYNO_NVML_CLOCK_SM = 1,
    DYNO_NVML_CLOCK_MEMORY = 2,
    DYNO_NVML_SENSOR_GPU = 0,
    DYNO_NVML_MIG_ON = 1,
};

struct dyno_nvml_busy {
    unsigned int gpu, memory; /* per cent */
};
struct dyno_nvml_memory {
    unsigned long long total, free, used; /* bytes */
};

/* All of the card, whoever uses it.  What it does not tell is NAN.  Any thread.
 * E_UNSUPPORTED, in one sentence: no library, a card that it does not know, or one that is cut into
 * MIG slices, whose figures are of all of them together. */
DYNO_NODISCARD enum dyno_status dyno_cuda_facts(const struct dyno_cuda *cuda,
                                                struct dyno_device_facts *facts_out,
                                                struct dyno_err *err);

/* The same of GPU `ordinal`, which is not opened for it. */
DYNO_NODISCARD enum dyno_status dyno_cuda_look(int ordinal, struct dyno_device_facts *facts_out,
                                               struct dyno_err *err);

/* The clock of its multiprocessors alone, which is quickly told; NAN: it tells none. */
double dyno_cuda_core_mhz(const struct dyno_cuda *cuda);

#endif /* DYNO_BACKEND_CUDA_NVML_H */
