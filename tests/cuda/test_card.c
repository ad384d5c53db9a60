/* test_card.c - the child that drives a GPU, and the server's side of it.
 *
 * This program is the child, too: with the driver that writes down what it is asked for, or lying,
 * as the number of its device says.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/log.h"
#include "liar.h"
#include "needs_nvrtc.h"
#include "record.h"
#include "serve/gpu/drive.h"
#include "serve/gpu/remote.h"
#include "unit/build/chain.h"

#define SKIPPED 77

static char engine_path[] = "/tmp/dyno-test-card-XXXXXX";
static const char *self;

/* --- the child --- */

enum device {
    GOOD,
    BREAKS, /* its GPU fails after a while */
    NONE,   /* there is no such GPU */
    SILENT, /* it answers nothing: LIAR_SILENT */
    FIRST_LIE,
};

static int be_child(const char *device)
{
    int number = 0;
    if (!dyno_cuda_ordinal(device, &number))
        return 2;
    if (number >= SILENT)
        return liar_speak(number - FIRST_LIE);
    struct record *record = record_start(90);
    record->gpu_count = number == NONE ? 1 : 2;
    record->fail_code = 700;
    record->fail_at = number == BREAKS ? 400 : 0;
    return dyno_gpu_drive(device);
}

/* --- the server's side --- */

/* A card whose falls are written down. */
struct bench {
    struct dyno_card *card;
    struct dyno_engine *engine; /* looked at */
    int file;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fall_count;
    char why[256];
};

static void fell(void *arg, struct dyno_card *card, const char *why)
{
    struct bench *bench = arg;
    (void)card;
    (void)pthread_mutex_lock(&bench->lock);
    bench->fall_count++;
    (void)snprintf(bench->why, sizeof(bench->why), "%s", why);
    (void)pthread_cond_signal(&bench->changed);
    (void)pthread_mutex_unlock(&bench->lock);
}

static void open_bench(struct bench *bench, const char *device, uint64_t timeout_ns)
{
    struct dyno_err err = {0};
    *bench = (struct bench){.file = open(engine_path, O_RDONLY | O_CLOEXEC)};
    (void)pthread_mutex_init(&bench->lock, NULL);
    (void)pthread_cond_init(&bench->changed, NULL);
    const struct dyno_card_options options = {.device = device,
                                              .program = self,
                                              .timeout_ns = timeout_ns,
                                              .fell = fell,
                                              .fell_arg = bench};
    REQUIRE(bench->file >= 0);
    REQUIRE(dyno_engine_inspect(engine_path, &bench->engine, &err) == DYNO_OK);
    REQUIRE(dyno_card_create(&options, &bench->card, &err) == DYNO_OK);
}

static void close_bench(struct bench *bench)
{
    dyno_card_destroy(bench->card);
    dyno_engine_close(bench->engine);
    (void)close(bench->file);
}

static void wait_for_fall(struct bench *bench, int count)
{
    (void)pthread_mutex_lock(&bench->lock);
    while (bench->fall_count < count)
        (void)pthread_cond_wait(&bench->changed, &bench->lock);
    (void)pthread_mutex_unlock(&bench->lock);
}

/* A run that is waited for. */
struct wait {
    pthread_mutex_t lock;
    pthread_cond_t is_over_cond;
    bool is_over;
    enum dyno_status status;
    struct dyno_remote_times times;
    struct dyno_err err;
};

static void run_over(void *arg, enum dyno_status status, const struct dyno_remote_times *times,
                     const struct dyno_err *err)
{
    struct wait *wait = arg;
    (void)pthread_mutex_lock(&wait->lock);
    wait->status = status;
    wait->times = *times;
    wait->err = *err;
    wait->is_over = true;
    (void)pthread_cond_signal(&wait->is_over_cond);
    (void)pthread_mutex_unlock(&wait->lock);
}

static void wait_for_run(struct wait *wait)
{
    (void)pthread_mutex_lock(&wait->lock);
    while (!wait->is_over)
        (void)pthread_cond_wait(&wait->is_over_cond, &wait->lock);
    (void)pthread_mutex_unlock(&wait->lock);
}

static enum dyno_status run(struct dyno_remote *remote, int64_t batch, struct dyno_array *output,
                            struct wait *wait)
{
    const int64_t dims[4] = {batch, 3, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 4, 1);
    *wait = (struct wait){.is_over = false};
    (void)pthread_mutex_init(&wait->lock, NULL);
    (void)pthread_cond_init(&wait->is_over_cond, NULL);
    struct dyno_err err = {0};
    const enum dyno_status status =
        dyno_remote_submit(remote, &input, output, run_over, wait, &err);
    if (status != DYNO_OK) {
        wait->status = status;
        wait->err = err;
    } else {
        wait_for_run(wait);
    }
    dyno_arena_destroy(arena);
    return wait->status;
}

static void test_runs(void)
{
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    struct dyno_remote *remotes[2] = {NULL, NULL};
    struct dyno_array output;
    struct wait wait;
    open_bench(&bench, "cuda:0", 0);
    struct dyno_card_figures figures;
    dyno_card_look(bench.card, &figures);
    CHECK(figures.pid == 0 && figures.memory_bytes == 0); /* nobody wanted it yet */
    REQUIRE(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
            DYNO_OK);
    dyno_card_look(bench.card, &figures);
    CHECK(figures.pid > 0 && figures.memory_bytes == (uint64_t)64 << 30);
    CHECK_STR(figures.name, "Recorded GPU");
    const uint64_t weights = dyno_remote_engine_gpu_bytes(engine);
    CHECK(weights > 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(dyno_remote_create(engine, &remotes[i], &err) == DYNO_OK);
    for (int i = 0; i < 6; i++) {
        CHECK_MSG(run(remotes[i % 2], 2 + i / 2, &output, &wait) == DYNO_OK, "%s", wait.err.text);
        CHECK(output.rank == 2 && output.dims[0] == 2 + i / 2 && output.dims[1] == 7);
        CHECK(output.dtype == DYNO_F32 && output.bytes == (size_t)(2 + i / 2) * 7 * 4);
        CHECK(wait.times.start_ns <= wait.times.end_ns && wait.times.device_ns > 0);
        CHECK(wait.times.device_ns <= wait.times.end_ns - wait.times.start_ns);
    }
    CHECK(dyno_remote_engine_gpu_bytes(engine) > weights);

    /* Inputs at the end of the memory: it grows for the outputs. */
    const uint64_t before = dyno_remote_engine_host_bytes(engine);
    const int64_t dims[4] = {2, 3, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 4, 1);
    char *room = dyno_remote_room(remotes[0], 65536);
    REQUIRE(room != NULL);
    input.data = room + 65536 - dyno_gpu_align(input.bytes);
    (void)pthread_mutex_init(&wait.lock, NULL);
    wait.is_over = false;
    REQUIRE(dyno_remote_submit(remotes[0], &input, &output, run_over, &wait, &err) == DYNO_OK);
    wait_for_run(&wait);
    CHECK_MSG(wait.status == DYNO_OK, "%s", wait.err.text);
    CHECK(output.dims[0] == 2 && dyno_remote_engine_host_bytes(engine) >= before + 65536);
    dyno_arena_destroy(arena);

    /* What the engine refuses is told, and harms nothing. */
    CHECK(run(remotes[0], 0, &output, &wait) == DYNO_E_ARG);
    CHECK_MSG(strstr(wait.err.text, "dimension 0 is 0") != NULL, "%s", wait.err.text);
    CHECK(run(remotes[0], 3, &output, &wait) == DYNO_OK);
    for (int i = 0; i < 2; i++)
        dyno_remote_destroy(remotes[i]);
    dyno_remote_engine_close(engine);
    CHECK(bench.fall_count == 0);
    close_bench(&bench);
}

/* Several in flight: they end in the order in which they were sent, and share no time. */
static void test_together(void)
{
    enum { COUNT = DYNO_GPU_LANES + 1, ROUNDS = 60 };
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    struct dyno_remote *remotes[COUNT] = {NULL};
    struct dyno_array outputs[COUNT];
    struct wait waits[COUNT];
    const int64_t dims[4] = {2, 3, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 4, 1);
    uint64_t last_ns = 0;
    open_bench(&bench, "cuda:0", 0);
    REQUIRE(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
            DYNO_OK);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(dyno_remote_create(engine, &remotes[i], &err) == DYNO_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) {
            waits[i] = (struct wait){.is_over = false};
            (void)pthread_mutex_init(&waits[i].lock, NULL);
            (void)pthread_cond_init(&waits[i].is_over_cond, NULL);
            REQUIRE(dyno_remote_submit(remotes[i], &input, &outputs[i], run_over, &waits[i],
                                       &err) == DYNO_OK);
        }
        for (int i = 0; i < COUNT; i++) {
            wait_for_run(&waits[i]);
            const struct dyno_remote_times *times = &waits[i].times;
            CHECK_MSG(waits[i].status == DYNO_OK, "%s", waits[i].err.text);
            CHECK(outputs[i].dims[0] == 2 && outputs[i].bytes == sizeof(float) * 14);
            CHECK(times->end_ns >= last_ns && times->start_ns <= times->end_ns);
            CHECK(times->device_ns <= times->end_ns - times->start_ns);
            last_ns = times->end_ns;
        }
    }
    for (int i = 0; i < COUNT; i++)
        dyno_remote_destroy(remotes[i]);
    dyno_remote_engine_close(engine);
    dyno_arena_destroy(arena);
    CHECK(bench.fall_count == 0);
    close_bench(&bench);
}

/* Its death fails what is in flight, and the next one has to be told everything anew. */
static void test_killed(void)
{
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    struct dyno_remote *remote = NULL;
    struct dyno_array output;
    struct dyno_card_figures figures;
    struct wait wait;
    open_bench(&bench, "cuda:0", 0);
    for (int fall = 1; fall <= 3; fall++) {
        err = (struct dyno_err){0};
        REQUIRE(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
                DYNO_OK);
        REQUIRE(dyno_remote_create(engine, &remote, &err) == DYNO_OK);
        CHECK_MSG(run(remote, 2, &output, &wait) == DYNO_OK, "%s", wait.err.text);
        dyno_card_look(bench.card, &figures);
        CHECK(figures.restart_count == (uint64_t)fall - 1);
        REQUIRE(kill(figures.pid, SIGSTOP) == 0); /* so that the run is in flight */
        const int64_t dims[4] = {2, 3, 9, 9};
        struct dyno_arena *arena = dyno_arena_create();
        struct dyno_array input = chain_array(arena, dims, 4, 1);
        wait.is_over = false;
        REQUIRE(dyno_remote_submit(remote, &input, &output, run_over, &wait, &err) == DYNO_OK);
        REQUIRE(kill(figures.pid, SIGKILL) == 0);
        wait_for_fall(&bench, fall);
        CHECK(wait.is_over && wait.status == DYNO_E_BUSY);
        CHECK_STR(wait.err.text,
                  "GPU cuda:0 failed while this ran: its driver was ended by SIGKILL");
        CHECK_STR(bench.why, "its driver was ended by SIGKILL");
        CHECK(run(remote, 2, &output, &wait) == DYNO_E_BUSY);
        CHECK_STR(wait.err.text,
                  "GPU cuda:0 is being started again: its driver was ended by SIGKILL");
        dyno_arena_destroy(arena);
        dyno_remote_destroy(remote);
        dyno_remote_engine_close(engine);
    }
    close_bench(&bench);
}

/* An error of the GPU ends the child, after it was told. */
static void test_gpu_fails(void)
{
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    struct dyno_remote *remote = NULL;
    struct dyno_array output;
    struct wait wait;
    open_bench(&bench, "cuda:1", 0);
    REQUIRE(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
            DYNO_OK);
    REQUIRE(dyno_remote_create(engine, &remote, &err) == DYNO_OK);
    int count = 0;
    while (run(remote, 2, &output, &wait) == DYNO_OK)
        count++;
    CHECK_MSG(count > 3 && wait.status == DYNO_E_IO, "%d runs, %s", count, wait.err.text);
    CHECK_MSG(strstr(wait.err.text, "CUDA_ERROR_RECORDED (700") != NULL, "%s", wait.err.text);
    wait_for_fall(&bench, 1);
    CHECK_STR(bench.why, "its driver ended with exit code 74");
    dyno_remote_destroy(remote);
    dyno_remote_engine_close(engine);
    CHECK(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) == DYNO_OK);
    dyno_remote_engine_close(engine);
    close_bench(&bench);
}

static void test_not_there(void)
{
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    open_bench(&bench, "cuda:2", 0);
    for (int i = 0; i < 4; i++) {
        err = (struct dyno_err){0};
        CHECK(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
                  DYNO_E_TARGET &&
              engine == NULL);
        CHECK_STR(err.text, "there is no GPU cuda:2: this machine has 1");
    }
    CHECK(bench.fall_count == 0);
    close_bench(&bench);
    const char *before = self;
    self = "/nonexistent/dyno-serve";
    open_bench(&bench, "cuda:0", 0);
    err = (struct dyno_err){0};
    CHECK(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
          DYNO_E_IO);
    CHECK_STR(err.text, "cannot execute '/nonexistent/dyno-serve': No such file or directory");
    close_bench(&bench);
    self = before;
}

/* Nothing that a child answers is believed before it was looked at. */
static void test_lies(void)
{
    char device[16];
    for (int lie = LIAR_SILENT; lie < liar_count(); lie++) {
        const bool is_silent = lie == LIAR_SILENT;
        struct bench bench;
        struct dyno_err err = {0};
        struct dyno_remote_engine *engine = NULL;
        struct dyno_remote *remote = NULL;
        struct dyno_array output;
        struct wait wait;
        (void)snprintf(device, sizeof(device), "cuda:%d", FIRST_LIE + lie);
        open_bench(&bench, device, is_silent ? 300000000 : 0);
        REQUIRE(dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err) ==
                DYNO_OK);
        REQUIRE(dyno_remote_create(engine, &remote, &err) == DYNO_OK);
        CHECK_MSG(run(remote, 2, &output, &wait) == DYNO_E_BUSY, "lie %d: %d, %s", lie, wait.status,
                  wait.err.text);
        wait_for_fall(&bench, 1);
        const char *says = is_silent ? "its driver did not answer" : "its driver answered nonsense";
        if (!is_silent && liar_goes_on(lie))
            says = "its driver heard nothing more and did not end";
        CHECK_MSG(strncmp(bench.why, says, strlen(says)) == 0, "lie %d: %s", lie, bench.why);
        dyno_remote_destroy(remote);
        dyno_remote_engine_close(engine);
        close_bench(&bench);
    }
}

/* Each allocation of the server's side fails once: an error, nothing is left, and the child lives.
 */
static void test_memory(void)
{
    struct bench bench;
    struct dyno_err err = {0};
    struct dyno_remote_engine *engine = NULL;
    uint64_t epoch = 0;
    open_bench(&bench, "cuda:0", 0);
    REQUIRE(dyno_card_start(bench.card, &epoch, &err) == DYNO_OK);
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1;; nth++) {
        struct dyno_remote *remote = NULL;
        err = (struct dyno_err){0};
        dyno_mem_fail_at(nth);
        enum dyno_status status =
            dyno_remote_engine_open(bench.card, bench.file, bench.engine, &engine, &err);
        if (status == DYNO_OK)
            status = dyno_remote_create(engine, &remote, &err);
        dyno_mem_fail_at(0);
        dyno_remote_destroy(remote);
        dyno_remote_engine_close(engine);
        engine = NULL;
        CHECK(dyno_mem_live_count() == live);
        if (status == DYNO_OK)
            break;
        CHECK_MSG(status == DYNO_E_NOMEM, "allocation %llu: %s", (unsigned long long)nth, err.text);
    }
    CHECK(bench.fall_count == 0);
    close_bench(&bench);
}

static void make_engine(void)
{
    static char model_path[] = "/tmp/dyno-test-card-model-XXXXXX";
    struct dyno_err err = {0};
    struct dyno_built built = {0};
    message model = small_conv_net();
    (void)record_start(90);
    int fd = mkstemp(model_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    fd = mkstemp(engine_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_file_write_atomic(model_path, dyno_strbuf_text(&model), model.bytes, &err) ==
            DYNO_OK);
    const struct dyno_build_options options = {
        .device = "cuda", .onnx_path = model_path, .engine_path = engine_path};
    CHECK_MSG(dyno_build(&options, &built, &err) == DYNO_OK, "%s", err.text);
    (void)unlink(model_path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    record_end();
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--drive-gpu") == 0)
        return be_child(argv[2]);
    if (nvrtc_is_missing())
        return SKIPPED;
    dyno_log_set_level(DYNO_LOG_ERROR);
    dyno_log_enable(DYNO_LOG_ERROR, false); /* falls are meant */
    self = argv[0];
    make_engine();
    const uint64_t live = dyno_mem_live_count();
    test_runs();
    test_together();
    test_killed();
    test_gpu_fails();
    test_not_there();
    test_memory();
    test_lies();
    CHECK(dyno_mem_live_count() == live);
    (void)unlink(engine_path);
    return TEST_RESULT();
}
