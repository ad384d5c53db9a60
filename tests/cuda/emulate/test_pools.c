/* test_pools.c - pools of the emulated GPU's memory: that what is wrong with their use is seen, and
 * that memory which a pool holds for nobody is found when it is missing.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cuda/device.h"
#include "emulate.h"
#include "test.h"

#define BYTES ((uint64_t)600 << 20) /* more than half of what there is */

static struct dyno_cuda *open_gpu(void)
{
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = NULL;
    CHECK_MSG(dyno_cuda_open(0, &cuda, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(cuda != NULL);
    return cuda;
}

/* Nobody waits between what goes and what comes: the pool still holds it. */
static void test_trimmed(void)
{
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = open_gpu();
    CU_STREAM stream = NULL;
    uint64_t address = 0;
    CU_ADDRESS plain = 0;
    REQUIRE(cuda->pool != NULL && cuda->cu->stream_create(&stream, 1) == DYNO_CU_OK);
    REQUIRE(dyno_cuda_pool_alloc(cuda, stream, BYTES, &address, &err) == DYNO_OK);
    dyno_cuda_free(cuda, address);
    CHECK(cuda->cu->memory_alloc(&plain, BYTES) == DYNO_CU_OUT_OF_MEMORY);
    CHECK(dyno_cuda_pool_alloc(cuda, stream, BYTES, &address, &err) == DYNO_OK);
    dyno_cuda_free(cuda, address);
    CHECK(dyno_cuda_alloc(cuda, BYTES, &address, &err) == DYNO_OK);
    uint64_t more = 1;
    CHECK(dyno_cuda_pool_alloc(cuda, stream, BYTES, &more, &err) == DYNO_E_NOMEM && more == 0);
    CHECK_MSG(strstr(err.text, "629145600 bytes on cuda:0: the GPU failed to give memory: "
                               "CUDA_ERROR_OUT_OF_MEMORY") != NULL,
              "%s", err.text);
    dyno_cuda_free(cuda, address);
    /* A wait lets it go, too. */
    err = (struct dyno_err){0};
    CHECK(dyno_cuda_pool_alloc(cuda, stream, BYTES, &address, &err) == DYNO_OK);
    dyno_cuda_free(cuda, address);
    CHECK(cuda->cu->stream_wait(stream) == DYNO_CU_OK);
    CHECK(cuda->cu->memory_alloc(&plain, BYTES) == DYNO_CU_OK);
    dyno_cuda_free(cuda, plain);
    CHECK(cuda->cu->stream_destroy(stream) == DYNO_CU_OK);
    dyno_cuda_close(cuda);
}

/* Work that is not done when its memory goes: of a pool nobody waits for it. */
static void use_after_free(bool of_pool)
{
    static char text[1 << 16];
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = open_gpu();
    CU_STREAM stream = NULL;
    uint64_t address = 0;
    REQUIRE(cuda->cu->stream_create(&stream, 1) == DYNO_CU_OK);
    if (of_pool)
        CHECK(dyno_cuda_pool_alloc(cuda, stream, sizeof(text), &address, &err) == DYNO_OK);
    else
        CHECK(dyno_cuda_alloc(cuda, sizeof(text), &address, &err) == DYNO_OK);
    CHECK(cuda->cu->copy_in(address, text, sizeof(text), stream) == DYNO_CU_OK);
    dyno_cuda_free(cuda, address);
    CHECK(cuda->cu->stream_wait(stream) == DYNO_CU_OK);
    CHECK(cuda->cu->stream_destroy(stream) == DYNO_CU_OK);
    dyno_cuda_close(cuda);
}

static void use_plain(void)
{
    use_after_free(false);
}

static void use_pool(void)
{
    use_after_free(true);
}

static void close_in_use(void)
{
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = open_gpu();
    CU_STREAM stream = NULL;
    uint64_t address = 0;
    REQUIRE(cuda->cu->stream_create(&stream, 1) == DYNO_CU_OK);
    CHECK(dyno_cuda_pool_alloc(cuda, stream, BYTES, &address, &err) == DYNO_OK);
    dyno_cuda_close(cuda);
}

/* In a process of its own; the signal that ends it, 0: none, and all was well. */
static int end_of(void (*what)(void))
{
    int status = -1;
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        test_fail_count = 0;
        what();
        _exit(TEST_RESULT());
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : -1;
}

int main(void)
{
    CHECK(end_of(test_trimmed) == 0);
    CHECK(end_of(use_plain) == 0);
    CHECK(end_of(use_pool) == SIGSEGV);
    CHECK(end_of(close_in_use) == SIGABRT);
    return TEST_RESULT();
}
