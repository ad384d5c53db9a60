/* test_engine_files.c - engine files for a GPU, on a driver that writes down what it is asked for
 * (record.h): on which GPU they run, lies, and each call of the driver that fails once.
 */
#include "engine/format.h"
#include "needs_nvrtc.h"
#include "record_case.h"

static char engine_path[] = "/tmp/dyno-test-cuda-XXXXXX";

static void build_file(int compute, struct dyno_err *err)
{
    static char model_path[] = "/tmp/dyno-test-cuda-model-XXXXXX";
    struct dyno_built built = {0};
    message model = small_conv_net();
    (void)record_start(compute);
    memset(model_path + sizeof(model_path) - 7, 'X', 6);
    const int fd = mkstemp(model_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_file_write_atomic(model_path, dyno_strbuf_text(&model), model.bytes, err) ==
            DYNO_OK);
    struct dyno_build_options options = {.device = "cuda"};
    options.onnx_path = model_path;
    options.engine_path = engine_path;
    options.branches = DYNO_BRANCHES_ON;
    CHECK_MSG(dyno_build(&options, &built, err) == DYNO_OK, "%s", err->text);
    (void)unlink(model_path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

static void test_file(void)
{
    struct dyno_err err = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    struct dyno_file_map first, second;
    build_file(90, &err);
    REQUIRE(dyno_file_map(engine_path, &first, &err) == DYNO_OK);
    build_file(90, &err);
    REQUIRE(dyno_file_map(engine_path, &second, &err) == DYNO_OK);
    CHECK(first.bytes == second.bytes && test_same(first.data, second.data, first.bytes));
    dyno_file_unmap(&first);
    dyno_file_unmap(&second);

    struct record *record = record_start(90);
    CHECK_MSG(dyno_engine_open(engine_path, &engine, &err) == DYNO_OK, "%s", err.text);
    CHECK_STR(dyno_engine_warning(engine), "");
    CHECK_STR(dyno_engine_device_name(engine), "Recorded GPU");
    REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
    CHECK_MSG(run_batch(context, 3, &err) == DYNO_OK, "%s", err.text);
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    CHECK(record->live_count == 0);

    record->sm_count = 78;
    CHECK(dyno_engine_open(engine_path, &engine, &err) == DYNO_OK);
    CHECK(strstr(dyno_engine_warning(engine), "78") != NULL);
    dyno_engine_close(engine);

    record = record_start(90);
    record->driver = 13010;
    CHECK(dyno_engine_open(engine_path, &engine, &err) == DYNO_OK);
    CHECK_STR(dyno_engine_warning(engine), "");
    dyno_engine_close(engine);
    record->driver = 12040;
    CHECK(dyno_engine_open(engine_path, &engine, &err) == DYNO_E_TARGET);
    CHECK_MSG(strstr(err.text, "a driver for CUDA 13.0; this machine's is for 12.4") != NULL, "%s",
              err.text);
    CHECK(record->live_count == 0);

    err = (struct dyno_err){0};
    record = record_start(80);
    CHECK(dyno_engine_open(engine_path, &engine, &err) == DYNO_E_TARGET);
    CHECK_MSG(strstr(err.text, "compute capability 9.0") != NULL &&
                  strstr(err.text, "has 8.0") != NULL,
              "%s", err.text);
    CHECK(record->live_count == 0);
    record_end();
}

/* The GPU is the one that was named, and what is held of its memory is counted and let go. */
static void test_devices(void)
{
    struct dyno_err err = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    build_file(90, &err);
    struct record *record = record_start(90);
    record->gpu_count = 2;
    REQUIRE(dyno_engine_open_on(engine_path, "cuda:1", &engine, &err) == DYNO_OK);
    CHECK(record->opened_gpu == 1);
    const uint64_t weights = dyno_engine_gpu_bytes(engine);
    CHECK(weights > 0 && weights >= record->copied_in_bytes);
    REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
    CHECK(dyno_context_device_ns(context) == 0);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(dyno_context_device_ns(context) == 125000U * segments_on(engine, DYNO_ON_GPU));
    const uint64_t small = dyno_engine_gpu_bytes(engine);
    CHECK(small > weights);
    CHECK(run_batch(context, 2, &err) == DYNO_OK && dyno_engine_gpu_bytes(engine) == small);
    CHECK(run_batch(context, 6, &err) == DYNO_OK && dyno_engine_gpu_bytes(engine) > small);
    dyno_context_destroy(context);
    CHECK(dyno_engine_gpu_bytes(engine) == weights);
    dyno_engine_close(engine);

    CHECK(dyno_engine_open_on(engine_path, NULL, &engine, &err) == DYNO_OK);
    CHECK(record->opened_gpu == 0);
    dyno_engine_close(engine);
    static const struct {
        const char *device;
        enum dyno_status status;
        const char *says;
    } refused[] = {
        {"cuda:2", DYNO_E_TARGET, "there is no GPU cuda:2: this machine has 2"},
        {"cpu", DYNO_E_TARGET, "it was built for the GPU 'Recorded GPU', and is to run on the CPU"},
        {"gpu", DYNO_E_ARG, "there is no device 'gpu'"},
    };
    for (size_t i = 0; i < DYNO_COUNT(refused); i++) {
        err = (struct dyno_err){0};
        CHECK(dyno_engine_open_on(engine_path, refused[i].device, &engine, &err) ==
                  refused[i].status &&
              engine == NULL);
        CHECK_MSG(strstr(err.text, refused[i].says) != NULL, "%s", err.text);
    }

    /* To be looked at it wants no GPU. */
    err = (struct dyno_err){0};
    const uint64_t calls = record->call_count;
    REQUIRE(dyno_engine_inspect(engine_path, &engine, &err) == DYNO_OK);
    CHECK(record->call_count == calls && dyno_engine_gpu_bytes(engine) == 0);
    CHECK_STR(dyno_engine_device_name(engine), "Recorded GPU");
    CHECK(dyno_context_create(engine, NULL, &context, &err) == DYNO_E_TARGET && context == NULL);
    dyno_engine_close(engine);
    CHECK(record->live_count == 0);
    record_end();
}

/* --- engines that lie --- */

typedef void edit_fn(struct dyno_plan *plan);

static void cut_cubin(struct dyno_plan *plan)
{
    plan->programs[0].image_bytes = 100;
}

static void cut_sections(struct dyno_plan *plan)
{
    plan->programs[0].image_bytes -= 65;
}

static void other_text(struct dyno_plan *plan)
{
    plan->programs[0].choices = "#define T float\n";
}

static void other_program(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].program > 1)
            plan->steps[i].program = 1;
}

static void no_program(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        plan->steps[i].program = 0;
}

static void far_program(struct dyno_plan *plan)
{
    plan->steps[0].program = plan->program_count + 1;
}

static void no_gpu(struct dyno_plan *plan)
{
    plan->gpu.compute = 0;
}

static void wide_tile(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].op == DYNO_OP_conv)
            plan->steps[i].tactic.cfg[0] = 99;
}

static void other_tile(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].op == DYNO_OP_conv)
            plan->steps[i].tactic.cfg[0] ^= 1;
}

static void half_input(struct dyno_plan *plan)
{
    plan->tensors[plan->inputs[0].tensor].layout.elem = DYNO_F16;
}

static void odd_block(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].layout.kind == DYNO_LAYOUT_LAST)
            plan->tensors[i].layout.block = 3;
}

static void check_lie(edit_fn *edit, const char *sentence)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    struct dyno_file_map map;
    struct dyno_plan *plan = NULL;
    char warning[256];
    struct dyno_target here;
    dyno_target_detect(&here, NULL);
    REQUIRE(dyno_file_map(engine_path, &map, &err) == DYNO_OK);
    REQUIRE(dyno_engine_read(map.data, map.bytes, &here, &plan, warning, sizeof(warning), &err) ==
            DYNO_OK);
    edit(plan);
    enum dyno_status status = dyno_plan_verify(plan, &err);
    if (status != DYNO_OK)
        dyno_plan_destroy(plan);
    else
        status = dyno_engine_from_plan(plan, &engine, &err);
    if (status == DYNO_OK)
        status = dyno_context_create(engine, NULL, &context, &err);
    if (status == DYNO_OK)
        status = run_batch(context, 2, &err);
    CHECK_MSG(status != DYNO_OK && strstr(err.text, sentence) != NULL, "%s: %s", sentence,
              err.text);
    CHECK(record->run_count == 0);
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    dyno_file_unmap(&map);
    CHECK(record->live_count == 0);
    record_end();
}

static void test_lies(void)
{
    struct dyno_err err = {0};
    build_file(90, &err);
    check_lie(cut_cubin, "is no cubin");
    check_lie(cut_sections, "is no cubin");
    check_lie(other_text, "is not the one of kernel");
    check_lie(other_program, "is not the one of kernel");
    check_lie(no_program, "has no program");
    check_lie(far_program, "program ");
    check_lie(no_gpu, "");
    check_lie(wide_tile, "does not do Conv");
    check_lie(other_tile, "is not the one of kernel");
    check_lie(half_input, "is not one that exists");
    check_lie(odd_block, "is not one that exists");
}

/* --- each call of the driver fails once --- */

static enum dyno_status open_and_run(struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    enum dyno_status status = dyno_engine_open(engine_path, &engine, err);
    if (status == DYNO_OK)
        status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK)
        status = run_batch(context, 2, err);
    if (status == DYNO_OK)
        status = run_batch(context, 4, err);
    uint64_t launches = 0;
    if (status == DYNO_OK)
        status = dyno_context_launches(context, &launches, err);
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    return status;
}

static void test_failures(void)
{
    struct dyno_err err = {0};
    uint32_t failed_count = 0;
    build_file(90, &err);
    for (uint64_t nth = 1;; nth++) {
        struct record *record = record_start(90);
        record->fail_at = nth;
        record->fail_code = nth % 2 != 0 ? 700 : DYNO_CU_OUT_OF_MEMORY;
        err = (struct dyno_err){0};
        const enum dyno_status status = open_and_run(&err);
        const bool failed = record->failed;
        CHECK_MSG(record->live_count == 0 && record->module_count == 0, "call %llu: %lld live",
                  (unsigned long long)nth, (long long)record->live_count);
        record_end();
        if (!failed) {
            CHECK(status == DYNO_OK);
            break;
        }
        failed_count += status != DYNO_OK;
        if (status != DYNO_OK)
            CHECK_MSG(strstr(err.text, "CUDA_ERROR_") != NULL, "call %llu: %s",
                      (unsigned long long)nth, err.text);
    }
    CHECK_MSG(failed_count > 60, "%u calls failed", failed_count);
}

static void test_memory(void)
{
    struct dyno_err err = {0};
    (void)record_start(90);
    for (uint64_t nth = 1;; nth++) {
        err = (struct dyno_err){0};
        const uint64_t before = dyno_mem_live_count();
        dyno_mem_fail_at(nth);
        struct dyno_engine *engine = NULL;
        struct dyno_context *context = NULL;
        enum dyno_status status = dyno_engine_open(engine_path, &engine, &err);
        if (status == DYNO_OK)
            status = dyno_context_create(engine, NULL, &context, &err);
        dyno_context_destroy(context);
        dyno_engine_close(engine);
        dyno_mem_fail_at(0);
        CHECK(dyno_mem_live_count() == before);
        if (status == DYNO_OK)
            break;
        CHECK_MSG(status == DYNO_E_NOMEM, "allocation %llu: %s", (unsigned long long)nth, err.text);
    }
    record_end();
}

/* A cubin with one number after another changed is taken only with everything inside. */
static void test_cubin(void)
{
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_err err = {0};
    const void *cubin = NULL;
    uint64_t bytes = 0;
    CHECK_MSG(dyno_nvrtc_compile("x", "extern \"C\" __global__ void f(float *x) { *x = 1; }\n", 90,
                                 arena, &cubin, &bytes, &err) == DYNO_OK,
              "%s", err.text);
    CHECK(dyno_cubin_check(cubin, bytes));
    for (uint64_t n = 0; n < bytes; n += 7) /* cut anywhere: its tables are at its end */
        CHECK(!dyno_cubin_check(cubin, n));
    char *copy = dyno_arena_memdup(arena, cubin, bytes);
    uint32_t refused = 0;
    for (uint64_t at = 0; at + 8 <= 64; at++) {
        memcpy(copy, cubin, bytes);
        memset(copy + at, 0xFF, 8);
        refused += !dyno_cubin_check(copy, bytes);
    }
    CHECK_MSG(refused > 40, "%u", refused);
    err = (struct dyno_err){0};
    CHECK(dyno_nvrtc_compile("broken", "__global__ void f( {\n", 90, arena, &cubin, &bytes, &err) ==
          DYNO_E_UNSUPPORTED);
    CHECK_MSG(strstr(err.text, "'broken' does not compile") != NULL &&
                  strstr(err.text, "error") != NULL,
              "%s", err.text);
    dyno_arena_destroy(arena);
}

int main(void)
{
    if (nvrtc_is_missing())
        return SKIPPED;
    const int fd = mkstemp(engine_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    test_cubin();
    test_file();
    test_devices();
    test_lies();
    test_failures();
    test_memory();
    (void)unlink(engine_path);
    return TEST_RESULT();
}
