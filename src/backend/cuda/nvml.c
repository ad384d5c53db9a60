/* nvml.c - finding NVIDIA's management library, and a card in it. */
#include "backend/cuda/nvml.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/library.h"

#define LIBRARY "libnvidia-ml.so.1"

struct nvml {
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration */
#define DYNO_NVML(name, symbol, params) NVML_RESULT(*name) params;
#include "backend/cuda/nvml.def"
#undef DYNO_NVML
    /* NOLINTEND(bugprone-macro-parentheses) */
};

static const struct dyno_library_row rows[] = {
#define DYNO_NVML(name, symbol, params) {#symbol, offsetof(struct nvml, name)},
#include "backend/cuda/nvml.def"
#undef DYNO_NVML
};

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct nvml nvml; /* not changed any more once it is loaded */
static char why_not[256];

static void load(void)
{
    if (!dyno_library_load(LIBRARY, rows, DYNO_COUNT(rows), &nvml, why_not, sizeof(why_not)))
        return;
    const int code = nvml.init();
    if (code != DYNO_NVML_OK)
        (void)snprintf(why_not, sizeof(why_not), LIBRARY " does not start: error %d", code);
}

/* The card by its place on the bus, which the driver and the library both know. */
static enum dyno_status find(const struct dyno_cuda *cuda, NVML_DEVICE *device_out,
                             struct dyno_err *err)
{
    const struct dyno_cu *cu = cuda->cu;
    int domain = 0, bus = 0, slot = 0;
    char bus_id[32];
    unsigned now = 0, next = 0;
    int code = cu->device_attribute(&domain, DYNO_CU_PCI_DOMAIN, cuda->handle);
    if (code == DYNO_CU_OK)
        code = cu->device_attribute(&bus, DYNO_CU_PCI_BUS, cuda->handle);
    if (code == DYNO_CU_OK)
        code = cu->device_attribute(&slot, DYNO_CU_PCI_DEVICE, cuda->handle);
    DYNO_TRY(dyno_cu_check(cu, code, "to say where it is", err));
    (void)snprintf(bus_id, sizeof(bus_id), "%08x:%02x:%02x.0", (unsigned)domain, (unsigned)bus,
                   (unsigned)slot);
    const int found = nvml.by_bus_id(bus_id, device_out);
    if (found != DYNO_NVML_OK)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "cuda:%d tells nothing of itself: " LIBRARY
                         " does not know the card at %s (error %d)",
                         cuda->ordinal, bus_id, found);
    if (nvml.mig_mode(*device_out, &now, &next) == DYNO_NVML_OK && now == DYNO_NVML_MIG_ON)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "cuda:%d tells nothing of itself: it is a MIG slice, and the card at %s "
                         "knows only all of them together",
                         cuda->ordinal, bus_id);
    return DYNO_OK;
}

/* A number that was told, in a unit; NAN when it was not. */
static double told(int code, double value, double unit)
{
    return code == DYNO_NVML_OK ? value * unit : NAN;
}

enum dyno_status dyno_cuda_facts(const struct dyno_cuda *cuda, struct dyno_device_facts *facts_out,
                                 struct dyno_err *err)
{
    NVML_DEVICE device = NULL;
    unsigned long long millijoules = 0;
    unsigned value = 0;
    struct dyno_nvml_busy busy = {0};
    struct dyno_nvml_memory memory = {0};
    struct dyno_device_facts *facts = facts_out;
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "cuda:%d tells nothing of itself: %s",
                         cuda->ordinal, why_not);
    DYNO_TRY(find(cuda, &device, err));
    facts->uuid[0] = 0;
    if (nvml.uuid(device, facts->uuid, sizeof(facts->uuid)) != DYNO_NVML_OK)
        facts->uuid[0] = 0;
    facts->uuid[sizeof(facts->uuid) - 1] = 0;
    facts->driver[0] = 0;
    if (nvml.driver_version(facts->driver, sizeof(facts->driver)) != DYNO_NVML_OK)
        facts->driver[0] = 0;
    facts->driver[sizeof(facts->driver) - 1] = 0;
    int code = nvml.energy(device, &millijoules);
    facts->energy_j = told(code, (double)millijoules, 1e-3);
    code = nvml.power(device, &value);
    facts->power_w = told(code, value, 1e-3);
    code = nvml.power_limit(device, &value);
    facts->power_limit_w = told(code, value, 1e-3);
    code = nvml.busy(device, &busy);
    facts->busy = told(code, busy.gpu, 1e-2);
    code = nvml.memory(device, &memory);
    facts->memory_used_bytes = told(code, (double)memory.used, 1.0);
    facts->memory_bytes = told(code, (double)memory.total, 1.0);
    code = nvml.clock(device, DYNO_NVML_CLOCK_SM, &value);
    facts->core_mhz = told(code, value, 1.0);
    code = nvml.clock(device, DYNO_NVML_CLOCK_MEMORY, &value);
    facts->memory_mhz = told(code, value, 1.0);
    code = nvml.temperature(device, DYNO_NVML_SENSOR_GPU, &value);
    facts->temperature_c = told(code, value, 1.0);
    return DYNO_OK;
}

double dyno_cuda_core_mhz(const struct dyno_cuda *cuda)
{
    NVML_DEVICE device = NULL;
    unsigned value = 0;
    struct dyno_err ignored = {0};
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0 || find(cuda, &device, &ignored) != DYNO_OK)
        return NAN;
    const int code = nvml.clock(device, DYNO_NVML_CLOCK_SM, &value);
    return told(code, value, 1.0);
}

enum dyno_status dyno_cuda_look(int ordinal, struct dyno_device_facts *facts_out,
                                struct dyno_err *err)
{
    struct dyno_cuda cuda = {.ordinal = ordinal};
    DYNO_TRY(dyno_cu_load(&cuda.cu, err));
    DYNO_TRY(
        dyno_cu_check(cuda.cu, cuda.cu->device_get(&cuda.handle, ordinal), "to be found", err));
    return dyno_cuda_facts(&cuda, facts_out, err);
}
