/* fuzz_run.c - any bytes as an engine file that is opened, bound to shapes and run: a result or a
 * sentence.
 *
 * Checksums are made to fit first, so that what is hostile gets to the plan and to the kernels.
 * With clang and -DDYNO_FUZZ=ON this is a libFuzzer program whose mutations know the records
 * (mutate_engine.h).  Without, its main replays files and folders; a file named good_* must run.
 * --mutate=N also runs N changes of each file, the same ones each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine_bytes.h"
#include "engine_inputs.h"
#include "mutate_engine.h"
#include "replay.h"

#define ARRAYS_MAX  16
#define BYTES_MAX   (1 << 20) /* of an engine */
#define ARENA_MAX   (1 << 20) /* bytes a run may take: larger ones say little more */
#define SECONDS_MAX 60        /* of a batch of changes: an engine may ask for any work */
#define BATCH       64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned seed);
const char *__asan_default_options(void); /* NOLINT */

/* An engine may ask for any size; that is answered, not died of. */
const char *__asan_default_options(void) /* NOLINT */
{
    return "allocator_may_return_null=1:max_allocation_size_mb=256";
}

static bool told(enum dyno_status status, const struct dyno_err *err)
{
    if (status == DYNO_OK || (err->status == status && err->text[0] != '\0'))
        return true;
    (void)fprintf(stderr, "status %d, text '%s'\n", (int)status, err->text);
    return false;
}

/* Whether the run gave results. */
static bool run_corner(struct dyno_engine *engine, struct dyno_pool *pool, int corner)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    struct dyno_array inputs[ARRAYS_MAX];
    struct dyno_array outputs[ARRAYS_MAX];
    enum dyno_status status = dyno_context_create(engine, pool, &context, &err);
    memset(inputs, 0, sizeof(inputs));
    memset(outputs, 0, sizeof(outputs));
    bool ran = false;
    if (status == DYNO_OK && engine_inputs_make(engine, corner, inputs)) {
        status = dyno_context_bind(context, inputs, outputs, &err);
        if (status == DYNO_OK && dyno_context_arena_bytes(context) <= ARENA_MAX &&
            dyno_context_tensor_bytes(context) <= ARENA_MAX) {
            memset(outputs, 0, sizeof(outputs));
            for (int i = 0; i < 2 && status == DYNO_OK; i++)
                status = dyno_context_run(context, inputs, outputs, &err);
            ran = status == DYNO_OK;
        }
    }
    if (!told(status, &err))
        abort();
    dyno_context_destroy(context);
    for (int i = 0; i < ARRAYS_MAX; i++)
        free(inputs[i].data);
    return ran;
}

static struct dyno_pool *shared_pool(void)
{
    static struct dyno_pool *pool;
    const struct dyno_pool_options options = {.thread_count = 3};
    if (pool == NULL && dyno_pool_create(&options, &pool, NULL) != DYNO_OK)
        abort();
    return pool;
}

/* bytes[n] are aligned and have room for no more. */
static bool open_and_run(const uint8_t *bytes, size_t n)
{
    struct dyno_target here;
    struct dyno_plan *plan = NULL;
    struct dyno_engine *engine = NULL;
    struct dyno_err err = {0};
    char warning[256];
    bool ran = false;
    dyno_target_detect(&here, NULL);
    enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), &err);
    if (status == DYNO_OK)
        status = dyno_engine_from_plan(plan, &engine, &err);
    if (!told(status, &err))
        abort();
    if (status != DYNO_OK)
        return false;
    if (dyno_engine_input_count(engine) <= ARRAYS_MAX &&
        dyno_engine_output_count(engine) <= ARRAYS_MAX) {
        ran = run_corner(engine, NULL, 1);
        (void)run_corner(engine, shared_pool(), 0);
        (void)run_corner(engine, shared_pool(), 2);
    }
    dyno_engine_close(engine);
    return ran;
}

static bool run_bytes(const uint8_t *data, size_t bytes)
{
    /* Not from base/mem.h, whose header would hide reads past the end from the sanitizers. */
    void *copy = NULL;
    if (bytes > BYTES_MAX || posix_memalign(&copy, DYNO_ENGINE_ALIGN_BYTES, bytes + 1) != 0)
        return false;
    (void)shared_pool();
    const uint64_t before = dyno_mem_live_count();
    if (bytes != 0)
        memcpy(copy, data, bytes);
    engine_bytes_mend(copy, bytes);
    const bool ran = open_and_run(copy, bytes);
    free(copy);
    if (dyno_mem_live_count() != before) {
        (void)fprintf(stderr, "%llu blocks left\n",
                      (unsigned long long)(dyno_mem_live_count() - before));
        abort();
    }
    return ran;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    (void)run_bytes(data, bytes);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned seed)
{
    return mutate_engine(data, bytes, max, seed);
}

#ifdef DYNO_FUZZ_REPLAY

static long run_count, slow_count;

/* Changes [first, first + BATCH) of an engine, in a child: another may take for ever, or die. */
static bool run_batch(const uint8_t *data, size_t bytes, uint32_t first)
{
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        (void)alarm(SECONDS_MAX);
        const size_t room = bytes + 4096;
        uint8_t *changed = malloc(room);
        for (uint32_t i = first; changed != NULL && i < first + BATCH; i++) {
            memcpy(changed, data, bytes);
            size_t size = bytes;
            for (uint32_t k = 0; k <= i % 3; k++)
                size = mutate_engine(changed, size, room, i * 3 + k);
            (void)run_bytes(changed, size);
        }
        free(changed);
        _exit(EXIT_SUCCESS);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    const bool slow = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    slow_count += slow;
    run_count += BATCH;
    return slow || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

static uint32_t mutate_count;
static const char *current; /* path */

static int replay_one(const uint8_t *data, size_t bytes)
{
    const char *name = strrchr(current, '/') != NULL ? strrchr(current, '/') + 1 : current;
    /* Changes first: they fork, and threads would not come along. */
    for (uint32_t i = 0; i < mutate_count; i += BATCH) {
        if (!run_batch(data, bytes, i)) {
            (void)fprintf(stderr, "%s: changes %u to %u die\n", current, i, i + BATCH - 1);
            return 1;
        }
    }
    if (mutate_count == 0 && !run_bytes(data, bytes) && strncmp(name, "good_", 5) == 0) {
        (void)fprintf(stderr,
                      "%s: does not run: is the format another?  make_engines makes new "
                      "ones\n",
                      current);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc > 1 && strncmp(argv[1], "--mutate=", 9) == 0) {
        mutate_count = (uint32_t)strtoul(argv[1] + 9, NULL, 10);
        first = 2;
    }
    const int code = replay(argc - first + 1, argv + first - 1, &current, replay_one);
    if (mutate_count != 0)
        printf("%ld changes run, %ld batches too slow\n", run_count, slow_count);
    return code;
}
#endif
