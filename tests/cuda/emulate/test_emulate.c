/* test_emulate.c - that the emulated GPU sees what is wrong with a program: each small program here
 * has one fault, and beside it stands what becomes of it.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cuda/device.h"
#include "backend/cuda/nvrtc.h"
#include "emulate.h"
#include "test.h"

#define SKIPPED 77
#define THREADS 64
#define GRID    3
#define NUMBERS (THREADS * GRID)

/* Before each: parameters, and the instructions as ptx.cuh declares them. */
#define HEAD                                                                                \
    "struct params { unsigned long long x, y; };\n#line 1 \"ptx.cuh\"\n#line 1 \"test\"\n"  \
    "extern \"C\" __global__ void __launch_bounds__(64) dyno_main(const __grid_constant__ " \
    "params p) { const float *x = (const float *)p.x; float *y = (float *)p.y;\n"           \
    "const int i = threadIdx.x, at = blockIdx.x * 64 + i;\n"

static const struct row {
    const char *name, *body;
    int code;    /* of the wait behind the launch */
    bool is_sum; /* y[i] = x[i] + 1 is right; all others are wrong, or stop */
} rows[] = {
    {"right", "y[at] = x[at] + 1;", EMULATE_OK, true},
    {"through shared memory",
     "__shared__ float s[64]; s[i] = x[at]; __syncthreads(); y[blockIdx.x * 64 + 63 - i] = s[63 - "
     "i] + 1;",
     EMULATE_OK, true},
    {"no barrier",
     "__shared__ float s[64]; s[i] = x[at]; y[blockIdx.x * 64 + 63 - i] = s[63 - i] + 1;",
     EMULATE_OK, false},
    {"by other lanes", "y[at] = __shfl_xor_sync(-1u, x[at ^ 5], 5) + 1;", EMULATE_OK, true},
    {"half of a warp", "if (i & 1) y[at] = __shfl_xor_sync(-1u, x[at], 2) + 1;", EMULATE_FAILED,
     false},
    {"a barrier and a shuffle",
     "if (i & 1) __syncthreads(); else y[at] = __shfl_xor_sync(-1u, x[at], 2);", EMULATE_FAILED,
     false},
    {"reads behind the end", "y[at] = x[at + 8192] + 1;", EMULATE_BAD_ADDRESS, false},
    {"writes before the start", "y[at - 8192] = x[at] + 1;", EMULATE_BAD_ADDRESS, false},
    {"nowhere", "*(float *)0 = x[at];", EMULATE_BAD_ADDRESS, false},
    {"not a multiple", "y[at] = *(const float *)((const char *)x + 2) + 1;", EMULATE_MISALIGNED,
     false},
    {"too deep", "volatile float deep[1 << 16]; deep[0] = x[at]; y[at] = deep[0] + 1;",
     EMULATE_BAD_ADDRESS, false},
    {"copied and waited for",
     "extern __shared__ __align__(16) float s[]; if (i % 4 == 0) ptx_copy16((unsigned)"
     "__cvta_generic_to_shared(s + i), x + at, 16); ptx_copies_commit(); ptx_copies_wait<0>();"
     "__syncthreads(); y[at] = s[i] + 1;",
     EMULATE_OK, true},
    {"copied and not waited for",
     "extern __shared__ __align__(16) float s[]; if (i % 4 == 0) ptx_copy16((unsigned)"
     "__cvta_generic_to_shared(s + i), x + at, 16); ptx_copies_commit(); ptx_copies_wait<1>();"
     "__syncthreads(); y[at] = s[i] + 1; ptx_copies_wait<0>();",
     EMULATE_OK, false},
    {"copied past the block's memory",
     "extern __shared__ __align__(16) float s[]; ptx_copy16((unsigned)"
     "__cvta_generic_to_shared(s + 4 * i), x + at / 4 * 4, 16); ptx_copies_commit(); "
     "ptx_copies_wait<0>();",
     EMULATE_BAD_ADDRESS, false},
};

/* The code of what fails first; `y` is written when nothing does. */
static int run(const struct dyno_cuda *cuda, const struct dyno_cuda_module *module, const float *x,
               float *y)
{
    const struct dyno_cu *cu = cuda->cu;
    struct {
        CU_ADDRESS x, y;
    } params = {0, 0};
    size_t bytes = sizeof(params);
    void *extra[] = {(void *)DYNO_CU_PARAMS_AT, &params, (void *)DYNO_CU_PARAMS_BYTES, &bytes,
                     NULL};
    CHECK(cu->memory_alloc(&params.x, NUMBERS * sizeof(float)) == DYNO_CU_OK);
    CHECK(cu->memory_alloc(&params.y, NUMBERS * sizeof(float)) == DYNO_CU_OK);
    CHECK(cu->copy_in(params.x, x, NUMBERS * sizeof(float), NULL) == DYNO_CU_OK);
    CHECK(cu->launch(module->function, GRID, 1, 1, THREADS, 1, 1, THREADS * sizeof(float), NULL,
                     NULL, extra) == DYNO_CU_OK);
    const int code = cu->stream_wait(NULL);
    if (code != DYNO_CU_OK) {
        /* Nothing works any more. */
        CHECK(cu->copy_out(y, params.y, 4, NULL) == code && cu->memory_free(params.x) == code);
        return code;
    }
    CHECK(cu->copy_out(y, params.y, NUMBERS * sizeof(float), NULL) == DYNO_CU_OK);
    CHECK(cu->memory_free(params.x) == DYNO_CU_OK && cu->memory_free(params.y) == DYNO_CU_OK);
    CHECK(cu->memory_free(params.y) != DYNO_CU_OK);
    return code;
}

static void try_row(const struct row *row)
{
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = NULL;
    struct dyno_cuda_module module;
    struct dyno_arena *arena = dyno_arena_create();
    const void *cubin = NULL;
    uint64_t bytes = 0;
    float x[NUMBERS], y[NUMBERS];
    char text[2048];
    bool is_sum = true;
    (void)snprintf(text, sizeof(text), "%s%s }\n", HEAD, row->body);
    CHECK_MSG(dyno_nvrtc_compile(row->name, text, 80, arena, &cubin, &bytes, &err) == DYNO_OK, "%s",
              err.text);
    CHECK(cubin != NULL && dyno_cubin_check(cubin, bytes));
    CHECK_MSG(dyno_cuda_open(0, &cuda, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(cuda != NULL && dyno_cuda_module_load(cuda, cubin, &module, &err) == DYNO_OK);
    for (int i = 0; i < NUMBERS; i++)
        x[i] = (float)i;
    const int code = run(cuda, &module, x, y);
    CHECK_MSG(code == row->code, "%s: %d, wants %d", row->name, code, row->code);
    for (int i = 0; code == DYNO_CU_OK && i < NUMBERS; i++)
        is_sum = is_sum && y[i] == x[i] + 1.0F;
    CHECK_MSG(code != DYNO_CU_OK || is_sum == row->is_sum, "%s: sums are %s", row->name,
              is_sum ? "right" : "wrong");
    dyno_cuda_module_unload(cuda, &module);
    dyno_cuda_close(cuda);
    dyno_arena_destroy(arena);
}

/* A GPU is broken for its process: one each. */
int main(void)
{
    struct dyno_err err = {0};
    int version = 0;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        (void)fprintf(stderr, "skipped: %s\n", err.text);
        return SKIPPED;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = -1;
        (void)fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            test_fail_count = 0;
            try_row(&rows[i]);
            _exit(TEST_RESULT());
        }
        CHECK_MSG(child > 0 && waitpid(child, &status, 0) == child && status == 0, "%s: status %d",
                  rows[i].name, status);
    }
    return TEST_RESULT();
}
