/* test_retime.c - alternatives in the whole graph, on a driver that writes down what it is asked
 * for (record.h) and fails once: whichever call of a trial it is, what was chosen stays, and
 * nothing is left behind.  That what is faster is taken, test_retime.py shows.
 */
#include "backend/cuda/nvrtc.h"
#include "base/file.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED       77
#define ERROR_INVALID 1

static char folder[] = "/tmp/dyno-test-retime-XXXXXX";
static char model_path[64], engine_path[64], cache_path[64];

static struct dyno_file_map read_all(const char *path)
{
    struct dyno_err err = {0};
    struct dyno_file_map map = {0};
    CHECK_MSG(dyno_file_map(path, &map, &err) == DYNO_OK, "%s", err.text);
    return map;
}

/* seconds: as in struct dyno_build_options */
static enum dyno_status build(double seconds, struct dyno_built *built, struct dyno_err *err)
{
    const struct dyno_build_options options = {.onnx_path = model_path,
                                               .engine_path = engine_path,
                                               .device = "cuda",
                                               .lean = true,
                                               .level = 1,
                                               .retime_seconds = seconds,
                                               .timing_cache_path = cache_path};
    return dyno_build(&options, built, err);
}

static void check_chosen(const struct dyno_file_map *chosen, uint64_t nth)
{
    struct dyno_file_map now = read_all(engine_path);
    CHECK_MSG(now.bytes == chosen->bytes && test_same(now.data, chosen->data, now.bytes),
              "call %llu: another engine", (unsigned long long)nth);
    dyno_file_unmap(&now);
}

/* True: the call was made, and failed. */
static bool fail_once(uint64_t nth, const struct dyno_file_map *chosen,
                      const struct dyno_file_map *times, uint32_t *failed_trials)
{
    struct dyno_err err = {0};
    struct dyno_built built = {0};
    REQUIRE(dyno_file_write_atomic(cache_path, times->data, times->bytes, &err) == DYNO_OK);
    struct record *record = record_start(90);
    record->fail_at = nth;
    record->fail_code = nth % 2 == 0 ? ERROR_INVALID : DYNO_CU_OUT_OF_MEMORY;
    const enum dyno_status status = build(7200.0, &built, &err);
    const struct dyno_retime_report *report = &built.report.retime;
    CHECK_MSG(status == DYNO_OK || err.text[0] != 0, "call %llu: no sentence",
              (unsigned long long)nth);
    if (status == DYNO_OK) {
        CHECK(report->taken_count == 0);
        check_chosen(chosen, nth);
    }
    if (report->failure.status != DYNO_OK) {
        CHECK_MSG(strncmp(report->failure.text, "a trial in step '", 17) == 0, "%s",
                  report->failure.text);
        CHECK(report->is_cut);
        *failed_trials += 1;
    }
    dyno_built_fini(&built);
    CHECK_MSG(record->live_count == 0, "call %llu: %lld are left", (unsigned long long)nth,
              (long long)record->live_count);
    const bool failed = record->failed;
    record_end();
    return failed;
}

/* By the recording driver's clock nothing takes longer than anything else: all are near, and none
 * is better. */
static void test_failing_calls(void)
{
    struct dyno_err err = {0};
    struct dyno_built built = {0};
    uint32_t failed_trials = 0, tried = 0;
    struct record *record = record_start(90);
    CHECK_MSG(build(-1.0, &built, &err) == DYNO_OK, "%s", err.text);
    CHECK(built.report.retime.ns == 0);
    dyno_built_fini(&built);
    struct dyno_file_map chosen = read_all(engine_path);
    struct dyno_file_map times = read_all(cache_path);
    CHECK_MSG(build(7200.0, &built, &err) == DYNO_OK, "%s", err.text);
    CHECK(built.report.retime.trial_count > 2 && built.report.retime.taken_count == 0);
    CHECK(built.report.retime.failure.status == DYNO_OK && !built.report.retime.is_cut);
    CHECK(built.report.tune.measured_count == 0); /* of single steps */
    dyno_built_fini(&built);
    CHECK(record->live_count == 0);
    record_end();
    check_chosen(&chosen, 0);
    for (uint64_t nth = 1; fail_once(nth, &chosen, &times, &failed_trials); nth += 1 + nth / 12)
        tried++;
    CHECK_MSG(failed_trials > 10 && failed_trials < tried, "%u of %u", failed_trials, tried);
    dyno_file_unmap(&chosen);
    dyno_file_unmap(&times);
}

int main(void)
{
    struct dyno_err err = {0};
    int version = 0;
    message model = small_conv_net();
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(model_path, sizeof(model_path), "%s/m.onnx", folder);
    (void)snprintf(engine_path, sizeof(engine_path), "%s/m.engine", folder);
    (void)snprintf(cache_path, sizeof(cache_path), "%s/times", folder);
    REQUIRE(dyno_file_write_atomic(model_path, dyno_strbuf_text(&model), model.bytes, &err) ==
            DYNO_OK);
    test_failing_calls();
    dyno_strbuf_fini(&model);
    (void)unlink(model_path);
    (void)unlink(engine_path);
    (void)unlink(cache_path);
    (void)rmdir(folder);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
