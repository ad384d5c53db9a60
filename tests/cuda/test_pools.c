/* test_pools.c - the arena of a context that grows, and the pool of the GPU's memory that it is of,
 * on a driver that writes down what it is asked for (record.h).
 */
#include "needs_nvrtc.h"
#include "record_case.h"

static const struct dyno_build_options for_gpu = {.device = "cuda"};

/* --- whose the pool is --- */

static void test_shared(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_cuda *first = NULL, *second = NULL, *other = NULL;
    record->gpu_count = 2;
    REQUIRE(dyno_cuda_open(0, &first, &err) == DYNO_OK && first->pool != NULL);
    REQUIRE(dyno_cuda_open(0, &second, &err) == DYNO_OK && second->pool == first->pool);
    REQUIRE(dyno_cuda_open(1, &other, &err) == DYNO_OK && other->pool != NULL);
    CHECK(other->pool != first->pool);
    const int64_t live = record->live_count;
    dyno_cuda_close(first);
    CHECK(record->live_count == live - 1); /* its context */
    dyno_cuda_close(second);
    CHECK(record->live_count == live - 3); /* and the pool */
    dyno_cuda_close(other);
    CHECK(record->live_count == 0);
    REQUIRE(dyno_cuda_open(0, &first, &err) == DYNO_OK && first->pool != NULL); /* a new one */
    dyno_cuda_close(first);
    record->has_no_pools = true;
    REQUIRE(dyno_cuda_open(0, &first, &err) == DYNO_OK && first->pool == NULL);
    dyno_cuda_pool_trim(first);
    dyno_cuda_close(first);
    CHECK(record->live_count == 0 && record->trim_count == 0);
    record_end();
}

static void test_open_fails(void)
{
    bool failed = true;
    uint32_t pool_count = 0;
    for (uint64_t nth = 1; failed; nth++) {
        struct record *record = record_start(90);
        struct dyno_err err = {0};
        struct dyno_cuda *cuda = NULL;
        record->fail_at = nth;
        record->fail_code = nth % 2 != 0 ? 700 : DYNO_CU_OUT_OF_MEMORY;
        const enum dyno_status status = dyno_cuda_open(0, &cuda, &err);
        failed = record->failed;
        CHECK(failed == (status != DYNO_OK) && failed == (cuda == NULL));
        pool_count += strstr(err.text, "to make a pool of memory") != NULL;
        dyno_cuda_close(cuda);
        CHECK_MSG(record->live_count == 0, "call %llu", (unsigned long long)nth);
        record_end();
    }
    CHECK(pool_count == 2); /* is there one, and making it */
}

/* Where there are none, whoever says so, all goes on without. */
static void test_unsupported(void)
{
    bool was_opened = false;
    for (uint64_t nth = 1; !was_opened; nth++) {
        struct record *record = record_start(90);
        struct dyno_err err = {0};
        struct dyno_cuda *cuda = NULL;
        record->fail_at = nth;
        record->fail_code = DYNO_CU_NOT_SUPPORTED;
        was_opened = dyno_cuda_open(0, &cuda, &err) == DYNO_OK;
        CHECK(!was_opened || (record->failed && cuda->pool == NULL));
        dyno_cuda_close(cuda);
        CHECK(record->live_count == 0);
        record_end();
    }
}

/* --- an arena that grows --- */

static void test_growth(bool has_pools)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    record->has_no_pools = !has_pools;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    const int64_t live = record->live_count;
    const uint64_t weights = dyno_engine_gpu_bytes(built.engine);
    uint32_t waits = record->device_wait_count;
    CHECK_MSG(run_batch(context, 2, &err) == DYNO_OK, "%s", err.text);
    CHECK(record->device_wait_count == waits + (has_pools ? 0 : 1));
    waits = record->device_wait_count;
    const uint64_t small = dyno_engine_gpu_bytes(built.engine);
    for (int64_t batch = 3; batch < 8; batch++) {
        const uint64_t before = dyno_engine_gpu_bytes(built.engine);
        CHECK(run_batch(context, batch, &err) == DYNO_OK);
        CHECK(dyno_engine_gpu_bytes(built.engine) > before);
        CHECK(record->idle_bytes == 0); /* after a run the pool holds what is used */
    }
    CHECK(record->device_wait_count == waits + (has_pools ? 0 : 10)); /* one goes, one comes */
    waits = record->device_wait_count;
    CHECK(run_batch(context, 2, &err) == DYNO_OK); /* in the arena that is there */
    CHECK(record->device_wait_count == waits && record->trim_count == 0);
    CHECK(weights < small && small < dyno_engine_gpu_bytes(built.engine));
    dyno_context_destroy(context);
    CHECK(dyno_engine_gpu_bytes(built.engine) == weights && record->live_count < live);
    CHECK(record->idle_bytes == 0 && record->trim_count == (has_pools ? 1 : 0));
    CHECK(record->device_wait_count == waits + (has_pools ? 0 : 1));
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK_MSG(record->live_count == 0, "%lld live", (long long)record->live_count);
    record_end();
}

/* One call of the run that makes the arena grow fails: the context then runs both shapes, and holds
 * what it would have held.  Memory that was missing once is there after the pool was trimmed. */
static uint32_t fail_growth(struct record *record, struct dyno_engine *engine, int code,
                            uint64_t bytes)
{
    uint32_t trimmed_count = 0;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct dyno_err err = {0};
        struct dyno_context *context = NULL;
        REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
        REQUIRE(run_batch(context, 2, &err) == DYNO_OK);
        record->failed = false;
        record->fail_code = code;
        record->fail_at = record->call_count + nth;
        const uint32_t trims = record->trim_count;
        const enum dyno_status status = run_batch(context, 5, &err);
        record->fail_at = 0;
        failed = record->failed;
        const bool is_trimmed = record->trim_count != trims;
        trimmed_count += is_trimmed;
        CHECK(!is_trimmed || status == DYNO_OK);
        CHECK_MSG(status == DYNO_OK || strstr(err.text, "CUDA_ERROR_") != NULL, "%s", err.text);
        err = (struct dyno_err){0};
        CHECK_MSG(run_batch(context, 2, &err) == DYNO_OK, "call %llu: %s", (unsigned long long)nth,
                  err.text);
        CHECK(run_batch(context, 5, &err) == DYNO_OK && run_batch(context, 2, &err) == DYNO_OK);
        CHECK(dyno_engine_gpu_bytes(engine) == bytes);
        dyno_context_destroy(context);
        CHECK(record->idle_bytes == 0);
    }
    return trimmed_count;
}

/* A run that fails leaves work on its stream: the arena waits for that when the context ends, and
 * when it grows. */
static void test_work_is_left(struct record *record, struct dyno_engine *engine)
{
    uint32_t left_count = 0;
    bool failed = true;
    record->fail_code = 700;
    for (uint64_t nth = 1; failed; nth++) {
        for (int grows = 0; grows < 2; grows++) {
            struct dyno_err err = {0};
            struct dyno_context *context = NULL;
            REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
            record->failed = false;
            record->fail_at = record->call_count + nth;
            const enum dyno_status status = run_batch(context, 2, &err);
            record->fail_at = 0;
            failed = record->failed;
            left_count += status != DYNO_OK && record->is_busy;
            if (grows)
                CHECK(run_batch(context, 5, NULL) == DYNO_OK);
            dyno_context_destroy(context);
            CHECK(record->early_free_count == 0);
        }
    }
    CHECK(left_count >= 4);
}

static void test_no_memory(struct record *record, struct dyno_engine *engine)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    uint32_t told_count = 0;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
        record->failed = false;
        record->stays_broken = true;
        record->fail_code = DYNO_CU_OUT_OF_MEMORY;
        record->fail_at = record->call_count + nth;
        const enum dyno_status status = run_batch(context, 2, &err);
        failed = record->failed;
        CHECK(failed == (status == DYNO_E_NOMEM));
        told_count += strstr(err.text, " bytes on cuda:0: the GPU failed to give memory: "
                                       "CUDA_ERROR_OUT_OF_MEMORY (2: out of memory)") != NULL;
        err = (struct dyno_err){0};
        dyno_context_destroy(context);
        record->fail_at = 0;
        CHECK(record->idle_bytes == 0);
    }
    CHECK(told_count == 1);
    record->stays_broken = false;
}

static void test_failures(bool has_pools)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    record->has_no_pools = !has_pools;
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    const int64_t live = record->live_count;
    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    REQUIRE(run_batch(context, 5, &err) == DYNO_OK && run_batch(context, 2, &err) == DYNO_OK);
    const uint64_t bytes = dyno_engine_gpu_bytes(built.engine);
    dyno_context_destroy(context);
    CHECK(record->live_count == live);
    CHECK(fail_growth(record, built.engine, 700, bytes) == 0);
    CHECK(fail_growth(record, built.engine, DYNO_CU_OUT_OF_MEMORY, bytes) == (has_pools ? 1 : 0));
    test_work_is_left(record, built.engine);
    test_no_memory(record, built.engine);
    CHECK_MSG(record->live_count == live, "%lld live", (long long)record->live_count);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

int main(void)
{
    if (nvrtc_is_missing())
        return SKIPPED;
    test_shared();
    test_open_fails();
    test_unsupported();
    for (int has_pools = 0; has_pools < 2; has_pools++) {
        test_growth(has_pools != 0);
        test_failures(has_pools != 0);
    }
    return TEST_RESULT();
}
