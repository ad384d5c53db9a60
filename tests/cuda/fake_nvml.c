/* fake_nvml.c - a libnvidia-ml.so.1 for tests: one card, at 00000000:1b:00.0.
 *
 * FAKE_NVML=mig: it is cut into slices; FAKE_NVML=start: the library does not start;
 * FAKE_NVML=silent: the card tells only its memory; FAKE_NVML=falls: every second time it is asked
 * the clock of its multiprocessors is 1200 MHz.
 */
#include <stdlib.h>
#include <string.h>

#define NOT_SUPPORTED 3
#define NOT_FOUND     6
#define DRIVER_AWAY   9

static int card;
static unsigned long long energy_mj = 1000;

static int is(const char *what)
{
    const char *mode = getenv("FAKE_NVML");
    return mode != NULL && strcmp(mode, what) == 0;
}

static int tell(unsigned *to, unsigned value)
{
    *to = value;
    return is("silent") ? NOT_SUPPORTED : 0;
}

/* NOLINTBEGIN(readability-identifier-naming): NVIDIA's names */

int nvmlInit_v2(void)
{
    return is("start") ? DRIVER_AWAY : 0;
}

int nvmlSystemGetDriverVersion(char *version, unsigned bytes)
{
    strncpy(version, "580.1.02", bytes);
    return is("silent") ? NOT_SUPPORTED : 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
    *device = &card;
    return strcmp(bus_id, "00000000:1b:00.0") == 0 ? 0 : NOT_FOUND;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned bytes)
{
    (void)device;
    strncpy(uuid, "GPU-0badcafe-0000-0000-0000-000000000001", bytes);
    return is("silent") ? NOT_SUPPORTED : 0;
}

int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *next)
{
    (void)device;
    *now = *next = is("mig");
    return 0;
}

/* 50 J more each time. */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
    (void)device;
    *millijoules = energy_mj += 50000;
    return is("silent") ? NOT_SUPPORTED : 0;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    (void)device;
    return tell(milliwatts, 412500);
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts)
{
    (void)device;
    return tell(milliwatts, 700000);
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned *busy)
{
    (void)device;
    busy[1] = 30;
    return tell(&busy[0], 75);
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory)
{
    (void)device;
    memory[0] = 1000000;
    memory[1] = 600000;
    memory[2] = 400000;
    return 0;
}

int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz)
{
    static unsigned asked;
    (void)device;
    if (clock == 1 && is("falls") && ++asked % 2 == 0)
        return tell(mhz, 1200);
    return tell(mhz, clock == 1 ? 1980 : 3201);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    (void)device;
    return sensor == 0 ? tell(celsius, 41) : NOT_SUPPORTED;
}

/* NOLINTEND(readability-identifier-naming) */
