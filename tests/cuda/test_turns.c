/* test_turns.c - runs that take turns on a GPU, and memory of the caller that is page-locked, on a
 * driver that writes down what it is asked for (record.h).
 */
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "backend/cuda/nvrtc.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED 77
#define RUNS    40

static const struct dyno_build_options for_gpu = {.device = "cuda"};

#define BATCH_MAX 4

static struct dyno_array inputs[BATCH_MAX + 1]; /* by batch */

static enum dyno_status run_batch(struct dyno_context *context, struct dyno_turns *turns,
                                  uint64_t number, int64_t batch, struct dyno_err *err)
{
    struct dyno_array output = {.data = NULL};
    return dyno_context_run_in_turn(context, turns, number, &inputs[batch], &output, err);
}

/* Runs that come in any order on several threads. */
struct runner {
    pthread_t thread;
    struct dyno_context *context;
    struct dyno_turns *turns;
    uint64_t first, step; /* of its numbers */
    int good_count;
};

static void *run_some(void *arg)
{
    struct runner *runner = arg;
    for (uint64_t number = runner->first; number < RUNS; number += runner->step) {
        struct dyno_err err = {0};
        if (number % 7 == 3) { /* not taken after all */
            dyno_turns_pass(runner->turns, number);
            runner->good_count++;
            continue;
        }
        const int64_t batch = number % 5 == 4 ? 0 : 2 + (int64_t)(number % 3); /* 0 is refused */
        const enum dyno_status status =
            run_batch(runner->context, runner->turns, number, batch, &err);
        runner->good_count += status == (batch == 0 ? DYNO_E_ARG : DYNO_OK);
    }
    return NULL;
}

static void test_order(struct dyno_engine *engine, struct record *record)
{
    struct dyno_err err = {0};
    struct dyno_turns *turns = NULL;
    struct runner runners[3];
    REQUIRE(dyno_turns_create("cuda", &turns, &err) == DYNO_OK);
    record->wait_count = 0;
    for (uint64_t i = 0; i < RUNS; i++)
        CHECK(dyno_turns_next(turns) == i);
    for (uint64_t i = 0; i < 3; i++) {
        /* The first thread has the last numbers, so it waits for the others. */
        runners[i] = (struct runner){.turns = turns, .first = 2 - i, .step = 3};
        REQUIRE(dyno_context_create(engine, NULL, &runners[i].context, &err) == DYNO_OK);
        REQUIRE(pthread_create(&runners[i].thread, NULL, run_some, &runners[i]) == 0);
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    int good_count = 0;
    for (int i = 0; i < 3; i++) {
        (void)pthread_join(runners[i].thread, NULL);
        good_count += runners[i].good_count;
        dyno_context_destroy(runners[i].context);
    }
    CHECK_MSG(good_count == RUNS, "%d of %d", good_count, RUNS);
    /* Each run waited once on the GPU, whatever its segments; the refused and the passed never. */
    uint32_t ran = 0;
    for (int number = 0; number < RUNS; number++)
        ran += number % 7 != 3 && number % 5 != 4;
    CHECK_MSG(record->wait_count == ran, "%u of %u", record->wait_count, ran);
    CHECK(dyno_turns_next(turns) == RUNS);
    dyno_turns_pass(turns, RUNS);
    dyno_turns_destroy(turns);
}

/* Whichever call fails, the number is used up: the next run does not wait for ever. */
static void test_failures(struct dyno_engine *engine, struct record *record)
{
    bool failed = true;
    uint32_t failed_count = 0;
    record->fail_code = 700;
    for (uint64_t nth = 1; failed; nth++) {
        struct dyno_err err = {0};
        struct dyno_turns *turns = NULL;
        struct dyno_context *context = NULL;
        REQUIRE(dyno_turns_create("cuda", &turns, &err) == DYNO_OK);
        REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
        record->failed = false;
        record->fail_at = record->call_count + nth;
        const enum dyno_status status = run_batch(context, turns, dyno_turns_next(turns), 2, &err);
        failed = record->failed;
        record->fail_at = 0;
        failed_count += status != DYNO_OK;
        if (status != DYNO_OK)
            CHECK_MSG(strstr(err.text, "CUDA_ERROR_RECORDED") != NULL, "%s", err.text);
        CHECK(run_batch(context, turns, dyno_turns_next(turns), 2, &err) == DYNO_OK);
        dyno_context_destroy(context);
        dyno_turns_destroy(turns);
    }
    CHECK_MSG(failed_count > 10, "%u calls failed", failed_count);
}

static void test_create_fails(struct record *record)
{
    struct dyno_err err = {0};
    struct dyno_turns *turns = NULL;
    CHECK(dyno_turns_create("gpu", &turns, &err) == DYNO_E_ARG && turns == NULL);
    err = (struct dyno_err){0};
    CHECK(dyno_turns_create("cuda:7", &turns, &err) == DYNO_E_TARGET && turns == NULL);
    const int64_t live = record->live_count;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        err = (struct dyno_err){0};
        record->failed = false;
        record->fail_at = record->call_count + nth;
        const enum dyno_status status = dyno_turns_create("cuda", &turns, &err);
        failed = record->failed;
        record->fail_at = 0;
        CHECK(status != DYNO_OK || turns != NULL);
        dyno_turns_destroy(turns);
        turns = NULL;
        CHECK(record->live_count == live);
    }
}

static void test_lock(struct dyno_engine *engine, struct record *record)
{
    struct dyno_err err = {0};
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    CHECK(dyno_engine_lock(engine, memory, 65536, &err) == DYNO_OK && record->locked_count == 1);
    dyno_engine_unlock(engine, memory);
    CHECK(record->locked_count == 0);
    record->fail_at = record->call_count + 2; /* after the context is entered */
    CHECK(dyno_engine_lock(engine, memory, 65536, &err) == DYNO_E_IO && record->locked_count == 0);
    record->fail_at = 0;
    (void)munmap(memory, 65536);
}

int main(void)
{
    struct dyno_err err = {0};
    int version = 0;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    struct record *record = record_start(90);
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, for_gpu, &err);
    struct dyno_arena *arena = dyno_arena_create();
    for (int64_t batch = 0; batch <= BATCH_MAX; batch++)
        inputs[batch] = chain_array(arena, (const int64_t[4]){batch, 3, 9, 9}, 4, 1);
    test_order(built.engine, record);
    test_failures(built.engine, record);
    test_create_fails(record);
    test_lock(built.engine, record);
    dyno_arena_destroy(arena);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK_MSG(record->live_count == 0, "%lld live", (long long)record->live_count);
    record_end();
    return TEST_RESULT();
}
