/* test_facts.c - what a card tells of itself, by a management library of the tests (fake_nvml.c).
 *
 * FAKE_NVML says which card it is; "none": there is no such library.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>

#include "backend/cuda/nvml.h"
#include "record.h"
#include "test.h"

#define SKIPPED 77

static enum dyno_status ask(int ordinal, struct dyno_device_facts *facts, struct dyno_err *err)
{
    struct dyno_cuda *cuda = NULL;
    struct record *record = record_start(90);
    record->gpu_count = 2;
    *err = (struct dyno_err){0};
    REQUIRE(dyno_cuda_open(ordinal, &cuda, err) == DYNO_OK);
    const enum dyno_status status = dyno_cuda_facts(cuda, facts, err);
    dyno_cuda_close(cuda);
    CHECK(record->live_count == 0);
    record_end();
    return status;
}

static void check_refused(const char *sentence)
{
    struct dyno_device_facts facts;
    struct dyno_err err;
    CHECK(ask(0, &facts, &err) == DYNO_E_UNSUPPORTED);
    CHECK_MSG(strstr(err.text, sentence) != NULL, "%s", err.text);
}

static void check_told(void)
{
    struct dyno_device_facts facts, later;
    struct dyno_err err;
    CHECK_MSG(ask(0, &facts, &err) == DYNO_OK, "%s", err.text);
    CHECK(facts.power_w == 412.5 && facts.power_limit_w == 700.0 && facts.busy == 0.75);
    CHECK(facts.memory_used_bytes == 400000.0 && facts.memory_bytes == 1000000.0);
    CHECK(facts.core_mhz == 1980.0 && facts.memory_mhz == 3201.0 && facts.temperature_c == 41.0);
    CHECK_STR(facts.uuid, "GPU-0badcafe-0000-0000-0000-000000000001");
    CHECK_STR(facts.driver, "580.1.02");
    CHECK(ask(0, &later, &err) == DYNO_OK && later.energy_j - facts.energy_j == 50.0);
    /* Another card is not taken for it. */
    CHECK(ask(1, &facts, &err) == DYNO_E_UNSUPPORTED);
    CHECK_MSG(strstr(err.text, "does not know the card at 00000000:1b:01.0") != NULL, "%s",
              err.text);
}

static void check_silent(void)
{
    struct dyno_device_facts facts;
    struct dyno_err err;
    CHECK(ask(0, &facts, &err) == DYNO_OK);
    CHECK(isnan(facts.energy_j) && isnan(facts.power_w) && isnan(facts.busy));
    CHECK(facts.uuid[0] == 0 && facts.driver[0] == 0);
    CHECK(isnan(facts.core_mhz) && isnan(facts.temperature_c));
    CHECK(facts.memory_used_bytes == 400000.0);
}

int main(void)
{
    const char *mode = getenv("FAKE_NVML");
    REQUIRE(mode != NULL);
    if (strcmp(mode, "none") == 0 && dlopen("libnvidia-ml.so.1", RTLD_LAZY) != NULL) {
        printf("skipped: this machine has one\n");
        return SKIPPED;
    }
    if (strcmp(mode, "none") == 0)
        check_refused("libnvidia-ml.so.1: cannot open shared object file");
    else if (strcmp(mode, "start") == 0)
        check_refused("libnvidia-ml.so.1 does not start: error 9");
    else if (strcmp(mode, "mig") == 0)
        check_refused("it is a MIG slice");
    else if (strcmp(mode, "silent") == 0)
        check_silent();
    else
        check_told();
    return TEST_RESULT();
}
