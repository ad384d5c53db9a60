/* cublaslt.c - stands in for NVIDIA's libcublasLt (DYNO_CUBLASLT names it): products on the
 * emulated GPU, by loops.
 *
 * It has three algorithms: 1 does everything; 2 splits the sum over k, and adds the parts up in its
 * workspace; 3 wants rows that are multiples of 16 bytes.  The parts are of the output's type
 * unless that is unwanted.  Sums are f32 here, so with parts of 16 bits it is offered but not done.
 *
 * DYNO_EMULATE_CUBLASLT_VERSION (130100): what it says of itself.  DYNO_EMULATE_CUBLASLT_FAIL (0:
 * none): the n-th call of a process that can fail does.  DYNO_EMULATE_CUBLASLT_REFUSE (0: none):
 * from so many rows on, algorithms are for fewer, except for the first.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cublaslt.h"

/* NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): as NVIDIA names them */
#define DYNO_LT(name, symbol, result, params) EMULATE_EXPORT result symbol params;
#include "backend/cuda/cublaslt.def"
#undef DYNO_LT
/* NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses) */

enum { NOT_INITIALIZED = 1, INVALID = 7, EXECUTION_FAILED = 13, INTERNAL = 14 };

#define TILES      3
#define SPLITS_MAX 8
#define REDUCTIONS (DYNO_LT_IN_PLACE | DYNO_LT_AS_SUMS | DYNO_LT_AS_OUTPUT)

/* --- the driver, and failures --- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    __typeof__(emulate_library_call) *call;
    __typeof__(emulate_library_device) *device;
} driver;

static void find_driver(void)
{
    void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return;
    *(void **)&driver.call = dlsym(handle, "emulate_library_call");
    emulate_product_memory(
        (__typeof__(emulate_library_memory) *)dlsym(handle, "emulate_library_memory"));
    *(void **)&driver.device = dlsym(handle, "emulate_library_device");
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != 0 ? strtoull(text, NULL, 10) : otherwise;
}

static bool fails(void)
{
    static uint64_t count; /* of one thread's calls, where a test asks for it */
    const uint64_t nth = setting("DYNO_EMULATE_CUBLASLT_FAIL", 0);
    return nth != 0 && __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) == nth;
}

#define CALL()               \
    do {                     \
        if (fails())         \
            return INTERNAL; \
    } while (0)

size_t cublasLtGetVersion(void)
{
    return (size_t)setting("DYNO_EMULATE_CUBLASLT_VERSION", 130100);
}

const char *cublasLtGetStatusName(int code)
{
    switch (code) {
    case NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case INVALID:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case INTERNAL:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    case DYNO_LT_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    }
}

int cublasLtCreate(void **handle)
{
    int compute = 0, sm_count = 0;
    CALL();
    (void)pthread_once(&once, find_driver);
    if (driver.call == NULL || driver.device(&compute, &sm_count) != 0)
        return NOT_INITIALIZED;
    *handle = calloc(1, 64);
    return *handle != NULL ? DYNO_LT_OK : DYNO_LT_NO_MEMORY;
}

int cublasLtDestroy(void *handle)
{
    free(handle);
    return handle != NULL ? DYNO_LT_OK : NOT_INITIALIZED;
}

/* --- attributes --- */

struct attribute {
    int number;
    size_t offset, bytes;
};

/* The one of that number and size; NULL: there is none. */
static void *find(const struct attribute *rows, size_t count, void *object, int number,
                  size_t bytes)
{
    for (size_t i = 0; i < count && *(const uint32_t *)object == MAGIC; i++) {
        if (rows[i].number == number && rows[i].bytes == bytes)
            return (char *)object + rows[i].offset;
    }
    return NULL;
}

#define ROW(number, object, field)                                                  \
    {                                                                               \
        number, offsetof(struct object, field), sizeof(((struct object *)0)->field) \
    }

static int set(const struct attribute *rows, size_t count, void *object, int number,
               const void *value, size_t bytes)
{
    void *at = value != NULL ? find(rows, count, object, number, bytes) : NULL;
    if (at == NULL)
        return INVALID;
    memcpy(at, value, bytes);
    return DYNO_LT_OK;
}

static bool is_type(int type)
{
    return type == DYNO_LT_F32 || type == DYNO_LT_F16 || type == DYNO_LT_BF16;
}

int cublasLtMatrixLayoutInit_internal(struct dyno_lt_layout *out, size_t bytes, int type,
                                      uint64_t rows, uint64_t columns, int64_t ld)
{
    const struct layout layout = {MAGIC, type, rows, columns, ld, 0, 1};
    CALL();
    if (bytes < sizeof(layout) || !is_type(type))
        return bytes < sizeof(layout) ? DYNO_LT_NO_MEMORY : INVALID;
    memset(out, 0, bytes);
    memcpy(out, &layout, sizeof(layout));
    return DYNO_LT_OK;
}

int cublasLtMatrixLayoutSetAttribute(struct dyno_lt_layout *layout, int number, const void *value,
                                     size_t bytes)
{
    static const struct attribute rows[] = {ROW(DYNO_LT_BATCH_COUNT, layout, batch),
                                            ROW(DYNO_LT_BATCH_STEP, layout, step)};
    CALL();
    return set(rows, 2, layout, number, value, bytes);
}

int cublasLtMatmulDescInit_internal(struct dyno_lt_product *out, size_t bytes, int compute,
                                    int scale)
{
    const struct product product = {
        .magic = MAGIC, .compute = compute, .bias_type = -1, .epilogue = DYNO_LT_PLAIN};
    CALL();
    if (bytes < sizeof(product) || scale != DYNO_LT_F32 ||
        (compute != DYNO_LT_COMPUTE_F32 && compute != DYNO_LT_COMPUTE_TF32))
        return INVALID;
    memset(out, 0, bytes);
    memcpy(out, &product, sizeof(product));
    return DYNO_LT_OK;
}

int cublasLtMatmulDescSetAttribute(struct dyno_lt_product *product, int number, const void *value,
                                   size_t bytes)
{
    static const struct attribute rows[] = {
        ROW(DYNO_LT_TURN_A, product, turn_a),       ROW(DYNO_LT_TURN_B, product, turn_b),
        ROW(DYNO_LT_EPILOGUE, product, epilogue),   ROW(DYNO_LT_BIAS, product, bias),
        ROW(DYNO_LT_BIAS_TYPE, product, bias_type),
    };
    CALL();
    return set(rows, 5, product, number, value, bytes);
}

int cublasLtMatmulPreferenceInit_internal(struct dyno_lt_wish *out, size_t bytes)
{
    const struct wish wish = {
        .magic = MAGIC, .align = {256, 256, 256, 256}, .reductions = REDUCTIONS};
    CALL();
    if (bytes < sizeof(wish))
        return DYNO_LT_NO_MEMORY;
    memset(out, 0, bytes);
    memcpy(out, &wish, sizeof(wish));
    return DYNO_LT_OK;
}

int cublasLtMatmulPreferenceSetAttribute(struct dyno_lt_wish *wish, int number, const void *value,
                                         size_t bytes)
{
    static const struct attribute rows[] = {
        ROW(DYNO_LT_WORKSPACE_MAX, wish, workspace_bytes),
        ROW(DYNO_LT_REDUCTIONS, wish, reductions),
        ROW(DYNO_LT_ALIGN_A, wish, align[0]),
        ROW(DYNO_LT_ALIGN_B, wish, align[1]),
        ROW(DYNO_LT_ALIGN_C, wish, align[2]),
        ROW(DYNO_LT_ALIGN_D, wish, align[3]),
    };
    CALL();
    return set(rows, 6, wish, number, value, bytes);
}

static const struct attribute algo_rows[] = {
    ROW(DYNO_LT_ALGO_TILE, algo, tile),
    ROW(DYNO_LT_ALGO_SPLIT, algo, split),
    ROW(DYNO_LT_ALGO_REDUCTION, algo, reduction),
    ROW(DYNO_LT_ALGO_SWIZZLE, algo, swizzle),
    ROW(DYNO_LT_ALGO_CUSTOM, algo, custom),
    ROW(DYNO_LT_ALGO_STAGES, algo, stages),
    ROW(DYNO_LT_ALGO_INNER, algo, inner),
    ROW(DYNO_LT_ALGO_CLUSTER, algo, cluster),
    ROW(DYNO_LT_ALGO_ID, algo, id),
};
#define ALGO_ROWS (sizeof(algo_rows) / sizeof(algo_rows[0]))

int cublasLtMatmulAlgoConfigGetAttribute(const struct dyno_lt_algo *algo, int number, void *value,
                                         size_t bytes, size_t *written)
{
    struct dyno_lt_algo copy = *algo;
    CALL();
    const void *at = find(algo_rows, ALGO_ROWS, &copy, number, bytes);
    if (at == NULL)
        return INVALID;
    memcpy(value, at, bytes);
    *written = bytes;
    return DYNO_LT_OK;
}

int cublasLtMatmulAlgoConfigSetAttribute(struct dyno_lt_algo *algo, int number, const void *value,
                                         size_t bytes)
{
    CALL();
    return set(algo_rows, ALGO_ROWS - 1, algo, number, value, bytes);
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
int cublasLtMatmulAlgoInit(void *handle, int compute, int scale, int a, int b, int c, int d, int id,
                           struct dyno_lt_algo *out)
{
    const struct algo algo = {.magic = MAGIC,
                              .id = id,
                              .types = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d},
                              .compute = compute,
                              .split = 1};
    CALL();
    if (handle == NULL || scale != DYNO_LT_F32 || id < PLAIN || id > ALIGNED)
        return handle == NULL ? NOT_INITIALIZED : INVALID;
    memset(out, 0, sizeof(*out));
    memcpy(out, &algo, sizeof(algo));
    return DYNO_LT_OK;
}

/* --- one product --- */

static bool read_work(struct work *work, const struct dyno_lt_product *product,
                      const struct dyno_lt_layout *a, const struct dyno_lt_layout *b,
                      const struct dyno_lt_layout *c, const struct dyno_lt_layout *d)
{
    const struct dyno_lt_layout *const layouts[] = {a, b, c, d};
    bool ok = product != NULL;
    *work = (struct work){.alpha = 0};
    for (int i = 0; i < 4; i++) {
        ok = ok && layouts[i] != NULL;
        if (ok)
            memcpy(&work->layouts[i], layouts[i], sizeof(work->layouts[i]));
        ok = ok && work->layouts[i].magic == MAGIC;
    }
    if (ok)
        memcpy(&work->product, product, sizeof(work->product));
    return ok && work->product.magic == MAGIC;
}

static bool lies_like(const struct layout *a, const struct layout *b)
{
    return a->type == b->type && a->rows == b->rows && a->columns == b->columns &&
           a->step == b->step;
}

/* Shapes that go together, and types and epilogues that there are. */
static int check_work(const struct work *work)
{
    const struct layout *a = &work->layouts[0], *b = &work->layouts[1], *d = &work->layouts[3];
    const struct product *product = &work->product;
    const uint64_t m = product->turn_a != 0 ? a->columns : a->rows;
    const uint64_t n = product->turn_b != 0 ? b->rows : b->columns;
    const uint64_t k = product->turn_b != 0 ? b->columns : b->rows;
    const bool half = d->type == a->type;
    for (int i = 0; i < 4; i++) {
        const struct layout *layout = &work->layouts[i];
        if (layout->rows == 0 || layout->columns == 0 || layout->ld < (int64_t)layout->rows ||
            layout->batch != d->batch || layout->batch < 1)
            return INVALID;
    }
    if (m != d->rows || n != d->columns || k != work_depth(work) ||
        !lies_like(&work->layouts[2], d) || a->type != b->type)
        return INVALID;
    if ((!half && d->type != DYNO_LT_F32) ||
        (product->compute == DYNO_LT_COMPUTE_TF32 && a->type != DYNO_LT_F32))
        return DYNO_LT_NOT_SUPPORTED;
    const bool has_bias = (product->epilogue & DYNO_LT_WITH_BIAS) != 0;
    const uint32_t function = product->epilogue & ~(uint32_t)DYNO_LT_WITH_BIAS;
    const bool is_plain = function == DYNO_LT_PLAIN && !has_bias;
    if (!is_plain && function != DYNO_LT_WITH_RELU && function != DYNO_LT_WITH_GELU &&
        (function != 0 || !has_bias))
        return DYNO_LT_NOT_SUPPORTED;
    if (has_bias &&
        (product->bias == NULL || (product->bias_type != -1 && product->bias_type != d->type)))
        return INVALID;
    return DYNO_LT_OK;
}

static int check_algo(const struct work *work, const struct algo *algo, size_t *workspace_out)
{
    const struct layout *d = &work->layouts[3];
    const uint64_t limit = setting("DYNO_EMULATE_CUBLASLT_REFUSE", 0);
    *workspace_out = 0;
    if (algo->magic != MAGIC || algo->id < PLAIN || algo->id > ALIGNED ||
        algo->compute != work->product.compute)
        return INVALID;
    for (int i = 0; i < 4; i++) {
        if (algo->types[i] != work->layouts[i].type)
            return INVALID;
        if (algo->id == ALIGNED &&
            work->layouts[i].ld * (int64_t)elem_bytes(work->layouts[i].type) % 16 != 0)
            return DYNO_LT_NOT_SUPPORTED;
    }
    const bool splits = algo->id == SPLIT;
    if (algo->tile < 1 || algo->tile > TILES || algo->split < 1 || algo->split > SPLITS_MAX ||
        splits != (algo->split > 1) || algo->swizzle > 1 ||
        splits != (algo->reduction == DYNO_LT_AS_SUMS || algo->reduction == DYNO_LT_AS_OUTPUT) ||
        (!splits && algo->reduction != 0) || algo->custom > 3 || algo->stages > 4 ||
        algo->inner != 0 || algo->cluster > 2 || algo->split > work_depth(work))
        return DYNO_LT_NOT_SUPPORTED;
    if (limit != 0 && algo->id != PLAIN && d->columns >= limit)
        return DYNO_LT_NOT_SUPPORTED;
    if (splits)
        *workspace_out = (size_t)(d->rows * d->columns * (uint64_t)d->batch) * algo->split * 4;
    return DYNO_LT_OK;
}

int cublasLtMatmulAlgoCheck(void *handle, struct dyno_lt_product *product, struct dyno_lt_layout *a,
                            struct dyno_lt_layout *b, struct dyno_lt_layout *c,
                            struct dyno_lt_layout *d, const struct dyno_lt_algo *algo,
                            struct dyno_lt_found *found)
{
    struct work work;
    CALL();
    if (handle == NULL || !read_work(&work, product, a, b, c, d))
        return INVALID;
    memcpy(&work.algo, algo, sizeof(work.algo));
    int code = check_work(&work);
    if (code == DYNO_LT_OK)
        code = check_algo(&work, &work.algo, &found->workspace_bytes);
    found->state = code;
    found->waves = 1.0F;
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
int cublasLtMatmulAlgoGetHeuristic(void *handle, struct dyno_lt_product *product,
                                   struct dyno_lt_layout *a, struct dyno_lt_layout *b,
                                   struct dyno_lt_layout *c, struct dyno_lt_layout *d,
                                   struct dyno_lt_wish *wish, int wanted,
                                   struct dyno_lt_found found[], int *count)
{
    struct work work;
    struct wish limits;
    CALL();
    *count = 0;
    memcpy(&limits, wish, sizeof(limits));
    if (handle == NULL || wanted < 1 || limits.magic != MAGIC ||
        !read_work(&work, product, a, b, c, d))
        return INVALID;
    const int code = check_work(&work);
    const uint32_t reduction =
        limits.reductions & DYNO_LT_AS_OUTPUT ? DYNO_LT_AS_OUTPUT : DYNO_LT_AS_SUMS;
    for (uint32_t i = 0; code == DYNO_LT_OK && i < 3 * TILES && *count < wanted; i++) {
        /* Another one each time: all kinds of them come up among the first. */
        const int id = (int)((i + work.layouts[3].rows) % 3) + PLAIN;
        struct algo algo = {.magic = MAGIC,
                            .id = id,
                            .compute = work.product.compute,
                            .tile = i / 3 + 1,
                            .split = id == SPLIT ? 2 + i : 1,
                            .reduction = id == SPLIT ? reduction : 0,
                            .custom = i % 4,
                            .stages = i % 5,
                            .cluster = (uint16_t)(i % 3)};
        for (int t = 0; t < 4; t++)
            algo.types[t] = (uint8_t)work.layouts[t].type;
        struct dyno_lt_found *next = &found[*count];
        *next = (struct dyno_lt_found){.state = DYNO_LT_OK, .waves = 1.0F};
        memcpy(&next->algo, &algo, sizeof(algo));
        if (check_algo(&work, &algo, &next->workspace_bytes) == DYNO_LT_OK &&
            next->workspace_bytes <= limits.workspace_bytes &&
            (id != SPLIT || (limits.reductions & reduction) != 0) &&
            (id != ALIGNED || limits.align[0] % 16 == 0))
            ++*count;
    }
    return code == DYNO_LT_OK && *count == 0 ? DYNO_LT_NOT_SUPPORTED : code;
}

static bool is_aligned(const void *at, size_t bytes)
{
    return (uintptr_t)at % bytes == 0;
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
int cublasLtMatmul(void *handle, struct dyno_lt_product *product, const void *alpha, const void *a,
                   struct dyno_lt_layout *a_layout, const void *b, struct dyno_lt_layout *b_layout,
                   const void *beta, const void *c, struct dyno_lt_layout *c_layout, void *d,
                   struct dyno_lt_layout *d_layout, const struct dyno_lt_algo *algo,
                   void *workspace, size_t workspace_bytes, void *stream)
{
    struct work work;
    size_t needed = 0;
    CALL();
    if (handle == NULL || algo == NULL ||
        !read_work(&work, product, a_layout, b_layout, c_layout, d_layout))
        return INVALID;
    memcpy(&work.algo, algo, sizeof(work.algo));
    memcpy(&work.alpha, alpha, sizeof(work.alpha));
    memcpy(&work.beta, beta, sizeof(work.beta));
    int code = check_work(&work);
    if (code == DYNO_LT_OK)
        code = check_algo(&work, &work.algo, &needed);
    if (code != DYNO_LT_OK)
        return code;
    const void *const at[] = {a, b, c, d};
    for (int i = 0; i < 4; i++) {
        work.at[i] = at[i];
        if (!is_aligned(at[i], work.algo.id == ALIGNED ? 16 : elem_bytes(work.layouts[i].type)))
            return INVALID;
    }
    if (needed > workspace_bytes || !is_aligned(workspace, 256))
        return INVALID;
    if (work.algo.reduction == DYNO_LT_AS_OUTPUT && work.layouts[3].type != DYNO_LT_F32) {
        (void)fputs("emulated cuBLASLt: parts of a sum would be of 16 bits\n", stderr);
        return EXECUTION_FAILED;
    }
    work.workspace = workspace;
    work.workspace_bytes = needed;
    const uint64_t threads =
        work.layouts[3].rows * work.layouts[3].columns * (uint64_t)work.layouts[3].batch;
    return driver.call(stream, emulate_product_turn, &work, sizeof(work),
                       (unsigned)(threads < 1000000 ? threads : 1000000)) == EMULATE_OK
               ? DYNO_LT_OK
               : EXECUTION_FAILED;
}
