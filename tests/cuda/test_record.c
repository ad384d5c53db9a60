/* test_record.c - plans and runs for a GPU, on a driver that writes down what it is asked for
 * (record.h).  Kernels compute nothing here; gcheck and test_gpu look at numbers.
 */
#include "needs_nvrtc.h"
#include "record_case.h"

static const struct dyno_build_options for_gpu = {.device = "cuda"};

/* --- helpers --- */

static uint32_t steps_on(const struct dyno_engine *engine, enum dyno_place place)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < engine->plan->step_count; i++)
        count += engine->kernels[i]->place == place;
    return count;
}

/* --- runs --- */

static void test_segments(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    const struct dyno_engine *engine = built.engine;
    const uint32_t gpu_steps = steps_on(engine, DYNO_ON_GPU);
    const uint32_t gpu_segments = segments_on(engine, DYNO_ON_GPU);
    CHECK(engine->plan->gpu.compute == 90 && gpu_steps >= 5);
    CHECK(built.report.cpu_step_count == steps_on(engine, DYNO_ON_CPU));
    CHECK(built.report.program_count == engine->plan->program_count);
    CHECK(record->module_count == engine->plan->program_count);
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    uint64_t counted = 0;
    CHECK(dyno_context_launches(context, &counted, &err) == DYNO_E_ARG && counted == 0);

    CHECK_MSG(run_batch(context, 2, &err) == DYNO_OK, "%s", err.text);
    const uint32_t launches = record->launch_count; /* some steps are several */
    CHECK(record->run_count == launches && launches >= gpu_steps);
    CHECK(record->graph_count == gpu_segments && record->graph_launch_count == gpu_segments);
    for (uint32_t i = 0; i < record->launch_count; i++)
        CHECK(record->launches[i].captured);

    /* The same shapes again: the graphs are there. */
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->graph_count == gpu_segments && record->graph_launch_count == 2 * gpu_segments);
    CHECK(record->launch_count == launches && record->run_count == 2 * launches);

    /* Larger ones: a larger arena, so graphs of both are made anew. */
    CHECK(run_batch(context, 5, &err) == DYNO_OK);
    CHECK(record->graph_count == 2 * gpu_segments);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->graph_count == 3 * gpu_segments);
    CHECK(run_batch(context, 5, &err) == DYNO_OK && run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->graph_count == 3 * gpu_segments);

    /* Kernels are counted without a run of them. */
    const uint32_t before = record->launch_count;
    CHECK(dyno_context_launches(context, &counted, &err) == DYNO_OK && counted == launches);
    CHECK(record->graph_count == 3 * gpu_segments && record->launch_count == before + launches);
    record->launch_count = before;

    /* Step by step when each is timed. */
    dyno_context_profile(context, 1);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->graph_count == 3 * gpu_segments && record->launch_count == 4 * launches);
    CHECK(dyno_context_gpu_us(context) == 125.0);

    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK_MSG(record->live_count == 0 && record->module_count == 0, "%lld live",
              (long long)record->live_count);
    record_end();
}

/* A context keeps the graphs of the last 16 shapes; what they hold of the GPU's memory ends with
 * them. */
static void test_many_shapes(void)
{
    enum { KEPT = 16, LARGEST = 40 };
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    const uint32_t each = segments_on(built.engine, DYNO_ON_GPU);
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    for (int64_t batch = LARGEST; batch > LARGEST - KEPT; batch--)
        CHECK_MSG(run_batch(context, batch, &err) == DYNO_OK, "%s", err.text);
    const int64_t live = record->live_count;
    const uint64_t bytes = dyno_engine_gpu_bytes(built.engine);
    CHECK(record->graph_count == KEPT * each);
    for (int64_t batch = LARGEST - KEPT; batch > 0; batch--) {
        CHECK(run_batch(context, batch, &err) == DYNO_OK);
        CHECK(record->live_count == live && dyno_engine_gpu_bytes(built.engine) == bytes);
    }
    CHECK(record->graph_count == LARGEST * each);
    for (int64_t batch = KEPT; batch > 0; batch--) /* still there, in any order */
        CHECK(run_batch(context, batch, &err) == DYNO_OK);
    CHECK(record->graph_count == LARGEST * each);
    CHECK(run_batch(context, LARGEST, &err) == DYNO_OK); /* in the place of the oldest ... */
    CHECK(record->graph_count == (LARGEST + 1) * each);
    CHECK(run_batch(context, KEPT - 1, &err) == DYNO_OK);
    CHECK(record->graph_count == (LARGEST + 1) * each);
    CHECK(run_batch(context, KEPT, &err) == DYNO_OK); /* ... which was this one */
    CHECK(record->graph_count == (LARGEST + 2) * each);
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* Candidates are compiled on all threads, then timed; with a cache of timings none is timed again,
 * and the plan is the same. */
static void test_tuning(void)
{
    static char cache_path[] = "/tmp/dyno-test-cuda-cache-XXXXXX";
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_pool *pool = NULL;
    const struct dyno_pool_options two = {.thread_count = 2};
    REQUIRE(dyno_pool_create(&two, &pool, &err) == DYNO_OK);
    const int fd = mkstemp(cache_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    struct dyno_build_options options = for_gpu;
    options.level = 1;
    options.pool = pool;
    options.precisions = DYNO_PRECISION_F16;
    options.timing_cache_path = cache_path;
    message model = small_conv_net();
    struct dyno_built first = chain_build(&model, options, &err);
    CHECK(first.report.tune.measured_count > 20 && record->run_count > 20);
    const uint32_t runs = record->run_count;
    struct dyno_built second = chain_build(&model, options, &err);
    CHECK(second.report.tune.measured_count == 0 && record->run_count == runs);
    CHECK(second.report.tune.cached_count >= first.report.tune.measured_count);
    CHECK(first.engine->plan->step_count == second.engine->plan->step_count);
    dyno_built_fini(&second);
    dyno_built_fini(&first);
    dyno_pool_destroy(pool);
    dyno_strbuf_fini(&model);
    (void)unlink(cache_path);
    CHECK(record->live_count == 0);
    record_end();
}

/* Products of two activations are done on the CPU: tensors go there and come back. */
static void test_both_sides(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    message model = small_token_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    const struct dyno_engine *engine = built.engine;
    const struct dyno_schedule *schedule = &engine->schedule;
    CHECK(steps_on(engine, DYNO_ON_CPU) >= 1 && segments_on(engine, DYNO_ON_CPU) >= 1);
    CHECK(segments_on(engine, DYNO_ON_GPU) >= 2);
    for (uint32_t i = 0; i < schedule->segment_count; i++) {
        if (i > 0)
            CHECK(schedule->segments[i].place != schedule->segments[i - 1].place);
        CHECK(schedule->segments[i].move_count > 0);
    }
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    const uint32_t copies = record->copy_in_count;
    const int64_t dims[3] = {2, 5, 16};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 3, 1);
    struct dyno_array output = {.data = NULL};
    CHECK_MSG(dyno_context_run(context, &input, &output, &err) == DYNO_OK, "%s", err.text);
    CHECK(output.rank == 3 && output.dims[1] == 5);
    CHECK(record->graph_launch_count == segments_on(engine, DYNO_ON_GPU));
    CHECK(record->copy_in_count > copies + 1 && record->copy_out_count > 1);
    dyno_arena_destroy(arena);
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* With 16 bits allowed, tensors between convolutions are f16, channels last, in blocks of 8. */
static void test_layouts(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_build_options options = for_gpu;
    options.precisions = DYNO_PRECISION_F16;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, options, &err);
    const struct dyno_plan *plan = built.engine->plan;
    uint32_t half_count = 0;
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        const struct dyno_layout layout = plan->tensors[i].layout;
        half_count += layout.kind == DYNO_LAYOUT_LAST && layout.elem == DYNO_F16;
        CHECK(layout.kind != DYNO_LAYOUT_BLOCK);
        if (plan->tensors[i].role != DYNO_ROLE_TEMP)
            CHECK(dyno_layout_same(layout, DYNO_ROW));
    }
    CHECK(half_count > 0);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* What is built in memory runs on the GPU that it was built for. */
static void test_built_for_the_second(void)
{
    struct dyno_err err = {0};
    struct record *record = record_start(90);
    struct dyno_build_options options = {.device = "cuda:1"};
    record->gpu_count = 2;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, options, &err);
    CHECK(built.engine != NULL && record->opened_gpu == 1);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* --- transfers --- */

/* Outputs of the context are page-locked, as is what is asked for; without transfers nothing is
 * copied, and all else goes on. */
static void test_transfers(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);

    const uint64_t held = dyno_engine_memory_bytes(built.engine);
    void *memory = NULL;
    REQUIRE(dyno_engine_alloc(built.engine, 1000, &memory, &err) == DYNO_OK);
    CHECK((uintptr_t)memory % 64 == 0);
    memset(memory, 1, 1000);
    CHECK(dyno_engine_memory_bytes(built.engine) >= held + 1000);
    dyno_engine_free(built.engine, memory);
    dyno_engine_free(built.engine, NULL);
    CHECK(dyno_engine_memory_bytes(built.engine) == held);
    CHECK(dyno_engine_alloc(built.engine, SIZE_MAX - 8, &memory, &err) == DYNO_E_NOMEM);
    err = (struct dyno_err){0};
    record->fail_at = record->call_count + 2; /* the call after the context is entered */
    record->fail_code = DYNO_CU_OUT_OF_MEMORY;
    CHECK(dyno_engine_alloc(built.engine, 1000, &memory, &err) == DYNO_E_NOMEM && memory == NULL);
    CHECK_MSG(strstr(err.text, "to lock memory") != NULL, "%s", err.text);

    const uint32_t in = record->copy_in_count;
    const uint32_t out = record->copy_out_count;
    const uint32_t runs = record->run_count;
    dyno_context_transfers(context, 0);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->copy_in_count == in && record->copy_out_count == out);
    CHECK(record->run_count > runs);
    dyno_context_transfers(context, 1);
    CHECK(run_batch(context, 2, &err) == DYNO_OK);
    CHECK(record->copy_in_count > in && record->copy_out_count > out);

    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* x[4,8] -> y[8,8]: both halves of the output are written in place. */
static message halves_net(void)
{
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "4,8");
    put_output(&graph, "y", DYNO_F32, "8,8");
    put_node(&graph, "Relu", "left", "x", "l");
    put_node(&graph, "Sigmoid", "right", "x", "r");
    put_node_attr(&graph, "Concat", "join", "l,r", "y", attr_int("axis", 0));
    return model_of(&graph, 17);
}

/* Parts of an output are transfers of it. */
static void test_parts_of_an_output(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    const int64_t dims[2] = {4, 8};
    struct dyno_array input = chain_array(arena, dims, 2, 1);
    struct dyno_array output = {.data = NULL};
    message model = halves_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    CHECK(dyno_context_run(context, &input, &output, &err) == DYNO_OK);
    CHECK(record->copy_out_count == 2); /* nobody has joined them */
    dyno_context_transfers(context, 0);
    CHECK(dyno_context_run(context, &input, &output, &err) == DYNO_OK);
    CHECK(record->copy_out_count == 2);
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    dyno_arena_destroy(arena);
    CHECK(record->live_count == 0);
    record_end();
}

/* --- names, checks --- */

static void test_names(void)
{
    int ordinal = -1;
    CHECK(dyno_cuda_ordinal("cuda", &ordinal) && ordinal == 0);
    CHECK(dyno_cuda_ordinal("cuda:3", &ordinal) && ordinal == 3);
    static const char *const wrong[] = {"cpu",     "cuda:",   "cuda:x", "cuda:-1",
                                        "cuda: 1", "cuda:1x", "CUDA",   "cuda:99999999999999999999",
                                        "cuda0",   ""};
    for (size_t i = 0; i < DYNO_COUNT(wrong); i++)
        CHECK_MSG(!dyno_cuda_ordinal(wrong[i], &ordinal), "%s", wrong[i]);
    struct record *record = record_start(90);
    struct dyno_cuda *cuda = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_cuda_open(1, &cuda, &err) == DYNO_E_TARGET && cuda == NULL);
    CHECK_MSG(strstr(err.text, "there is no GPU cuda:1: this machine has 1") != NULL, "%s",
              err.text);
    CHECK(record->live_count == 0);
    record_end();
}

int main(void)
{
    if (nvrtc_is_missing())
        return SKIPPED;
    test_names();
    test_segments();
    test_many_shapes();
    test_tuning();
    test_both_sides();
    test_layouts();
    test_built_for_the_second();
    test_transfers();
    test_parts_of_an_output();
    return TEST_RESULT();
}
