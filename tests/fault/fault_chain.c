/* fault_chain.c - from the model to the run, losing each allocation and each system call once. */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/npy.h"
#include "build/build.h"
#include "small_models.h"
#include "test.h"

#define ATTEMPTS_MAX 20000
#define OUTPUTS_MAX  3

/* One way through the chain: its inputs, and what it leaves for the next. */
struct stage {
    message model;
    char onnx_path[128], engine_path[128], cache_path[128];
    const struct dyno_array *inputs[2]; /* two sets of shapes */
    uint32_t output_count;
    struct dyno_pool *pool;
};

typedef enum dyno_status stage_fn(const struct stage *stage, struct dyno_err *err);

static char folder[] = "/tmp/dyno-fault-XXXXXX";

static uint32_t file_count(void)
{
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry = NULL; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

/* True when the next allocation is the one set to fail: the run before it made all of its own. */
static bool was_not_reached(void)
{
    void *probe = dyno_alloc(1, 1);
    dyno_free(probe);
    return probe == NULL;
}

static void lose_allocations(const char *what, const struct stage *stage, stage_fn *fn)
{
    const uint64_t live = dyno_mem_live_count();
    uint64_t nth = 1;
    for (; nth <= ATTEMPTS_MAX; nth++) {
        struct dyno_err err = {0};
        dyno_mem_fail_at(nth);
        const enum dyno_status status = fn(stage, &err);
        const bool done = was_not_reached();
        dyno_mem_fail_at(0);
        CHECK_MSG(dyno_mem_live_count() == live, "%s, allocation %llu: %llu blocks left", what,
                  (unsigned long long)nth, (unsigned long long)(dyno_mem_live_count() - live));
        if (done) {
            CHECK_MSG(status == DYNO_OK, "%s: %s", what, err.text);
            break;
        }
        CHECK_MSG(status == DYNO_E_NOMEM && err.status == DYNO_E_NOMEM && err.text[0] != 0,
                  "%s, allocation %llu: status %d, '%s'", what, (unsigned long long)nth,
                  (int)status, err.text);
    }
    CHECK_MSG(nth > 1 && nth <= ATTEMPTS_MAX, "%s: %llu attempts", what, (unsigned long long)nth);
    printf("%s: %llu allocations lost\n", what, (unsigned long long)(nth - 1));
}

/* `lost_file`: what the stage writes, gone before each attempt; whole or absent after it. */
static void lose_calls(const char *what, const struct stage *stage, stage_fn *fn,
                       const char *lost_file)
{
    const uint64_t live = dyno_mem_live_count();
    bool done = false;
    uint64_t nth = 1;
    for (; nth <= ATTEMPTS_MAX && !done; nth++) {
        struct dyno_err err = {0};
        if (lost_file != NULL)
            (void)unlink(lost_file);
        const uint32_t files = file_count();
        dyno_file_fail_at(nth, ENOSPC);
        const enum dyno_status status = fn(stage, &err);
        dyno_file_fail_at(0, 0);
        done = status == DYNO_OK;
        CHECK_MSG(done || (status == DYNO_E_IO && strstr(err.text, "is full") != NULL),
                  "%s, call %llu: status %d, '%s'", what, (unsigned long long)nth, (int)status,
                  err.text);
        CHECK(dyno_mem_live_count() == live);
        const bool written = lost_file != NULL && access(lost_file, F_OK) == 0;
        CHECK_MSG(file_count() == files + (written ? 1U : 0U), "%s, call %llu: files left", what,
                  (unsigned long long)nth);
        CHECK(!done || lost_file == NULL || written);
    }
    CHECK(done);
    printf("%s: %llu system calls lost\n", what, (unsigned long long)(nth - 2));
}

/* --- the stages --- */

static enum dyno_status import_model(const struct stage *stage, struct dyno_err *err)
{
    struct dyno_onnx_model *model = NULL;
    const enum dyno_status status = dyno_onnx_import(stage->onnx_path, NULL, &model, err);
    CHECK(status == DYNO_OK || model == NULL);
    dyno_onnx_model_close(model);
    return status;
}

static enum dyno_status build(const struct stage *stage, const char *engine_path, bool baseline,
                              struct dyno_err *err)
{
    const struct dyno_build_options options = {.onnx_path = stage->onnx_path,
                                               .engine_path = engine_path,
                                               .pool = stage->pool,
                                               .baseline = baseline};
    struct dyno_built built;
    const enum dyno_status status = dyno_build(&options, &built, err);
    CHECK(status == DYNO_OK || (built.engine == NULL && built.model == NULL));
    dyno_built_fini(&built);
    return status;
}

static enum dyno_status build_in_memory(const struct stage *stage, struct dyno_err *err)
{
    return build(stage, NULL, false, err);
}

static enum dyno_status build_baseline(const struct stage *stage, struct dyno_err *err)
{
    return build(stage, NULL, true, err);
}

static enum dyno_status build_to_file(const struct stage *stage, struct dyno_err *err)
{
    return build(stage, stage->engine_path, false, err);
}

static enum dyno_status load(const struct stage *stage, struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    uint8_t sha256[32];
    enum dyno_status status = dyno_engine_open(stage->engine_path, &engine, err);
    CHECK((status == DYNO_OK) == (engine != NULL));
    if (status == DYNO_OK)
        status = dyno_engine_identity(engine, sha256, err);
    dyno_engine_close(engine);
    return status;
}

/* Both sets of shapes, blocking and submitted, outputs in the context's memory. */
static enum dyno_status run_context(const struct stage *stage, struct dyno_engine *engine,
                                    struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    enum dyno_status status = dyno_context_create(engine, stage->pool, &context, err);
    CHECK((status == DYNO_OK) == (context != NULL));
    for (int i = 0; i < 4 && status == DYNO_OK; i++) {
        struct dyno_array outputs[OUTPUTS_MAX] = {{.data = NULL}};
        const struct dyno_array *inputs = stage->inputs[i % 2];
        status = dyno_context_bind(context, inputs, outputs, err);
        if (status == DYNO_OK && i < 3)
            status = dyno_context_run(context, inputs, outputs, err);
        if (status == DYNO_OK && i == 3)
            status = dyno_context_submit(context, inputs, outputs, NULL, NULL, err);
        if (status == DYNO_OK && i == 3)
            status = dyno_context_wait(context, NULL, err);
        for (uint32_t k = 0; k < stage->output_count && status == DYNO_OK; k++)
            CHECK_MSG(outputs[k].data != NULL && outputs[k].bytes != 0,
                      "run %d, output %u of rank %d: %zu bytes", i, k, outputs[k].rank,
                      outputs[k].bytes);
    }
    dyno_context_destroy(context);
    return status;
}

struct kept {
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    size_t bytes;
    unsigned char data[4096];
};

static enum dyno_status run_once(const struct stage *stage, struct dyno_context *context, int which,
                                 struct kept *kept, struct dyno_err *err)
{
    struct dyno_array outputs[OUTPUTS_MAX] = {{.data = NULL}};
    DYNO_TRY(dyno_context_run(context, stage->inputs[which], outputs, err));
    for (uint32_t k = 0; k < stage->output_count; k++) {
        REQUIRE(outputs[k].bytes <= sizeof(kept[k].data));
        kept[k] = (struct kept){.rank = outputs[k].rank, .bytes = outputs[k].bytes};
        memcpy(kept[k].dims, outputs[k].dims, sizeof(kept[k].dims));
        memcpy(kept[k].data, outputs[k].data, outputs[k].bytes);
    }
    return DYNO_OK;
}

/* A context whose run failed gives the right outputs in the next one. */
static void run_after_failure(const struct stage *stage)
{
    static struct kept want[2][OUTPUTS_MAX];
    static struct kept got[OUTPUTS_MAX];
    struct dyno_engine *engine = NULL;
    struct dyno_err err = {0};
    uint64_t nth = 0;
    bool done = false;
    REQUIRE(dyno_engine_open(stage->engine_path, &engine, &err) == DYNO_OK);
    for (; nth <= ATTEMPTS_MAX && !done; nth++) {
        struct dyno_context *context = NULL;
        err = (struct dyno_err){0};
        REQUIRE(dyno_context_create(engine, stage->pool, &context, &err) == DYNO_OK);
        dyno_mem_fail_at(nth);
        for (int i = 0; i < 2; i++) {
            memset(got, 0, sizeof(got));
            (void)run_once(stage, context, i, got, &err);
        }
        done = nth > 0 && was_not_reached();
        dyno_mem_fail_at(0);
        for (int i = 1; i >= 0; i--) {
            memset(got, 0, sizeof(got));
            err = (struct dyno_err){0};
            CHECK_MSG(run_once(stage, context, i, got, &err) == DYNO_OK, "%s", err.text);
            if (nth == 0)
                memcpy(want[i], got, sizeof(got));
            CHECK_MSG(test_same(want[i], got, sizeof(got)), "shapes %d after allocation %llu", i,
                      (unsigned long long)nth);
        }
        dyno_context_destroy(context);
    }
    CHECK(done);
    dyno_engine_close(engine);
    printf("run again: %llu allocations lost\n", (unsigned long long)(nth - 2));
}

static enum dyno_status load_and_run(const struct stage *stage, struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    enum dyno_status status = dyno_engine_open(stage->engine_path, &engine, err);
    if (status == DYNO_OK)
        status = run_context(stage, engine, err);
    dyno_engine_close(engine);
    return status;
}

static enum dyno_status make_threads(const struct stage *stage, struct dyno_err *err)
{
    struct dyno_pool *pool = NULL;
    (void)stage;
    const enum dyno_status status = dyno_threads_create(3, 0, &pool, err);
    CHECK((status == DYNO_OK) == (pool != NULL));
    dyno_threads_destroy(pool);
    return status;
}

static enum dyno_status keep_timings(const struct stage *stage, struct dyno_err *err)
{
    struct dyno_tune_cache *cache = dyno_tune_cache_create();
    enum dyno_status status = cache != NULL ? DYNO_OK : DYNO_NOMEM(err);
    for (uint64_t i = 0; i < 100 && status == DYNO_OK; i++) {
        const struct dyno_tune_key key = {.hi = i * 77, .lo = i};
        if (!dyno_tune_cache_put(cache, key, 1.5F, "kernel"))
            status = DYNO_NOMEM(err);
    }
    if (status == DYNO_OK)
        status = dyno_tune_cache_save(cache, stage->cache_path, err);
    dyno_tune_cache_destroy(cache);
    cache = status == DYNO_OK ? dyno_tune_cache_create() : NULL;
    if (status == DYNO_OK && cache == NULL)
        status = DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_tune_cache_load(cache, stage->cache_path, err);
    if (status == DYNO_OK)
        CHECK(dyno_tune_cache_count(cache) == 100);
    dyno_tune_cache_destroy(cache);
    return status;
}

/* --- the models --- */

static void run_stages(const char *name, message model, const struct dyno_array *first,
                       const struct dyno_array *second, uint32_t output_count,
                       struct dyno_pool *pool)
{
    struct stage stage = {
        .model = model, .inputs = {first, second}, .output_count = output_count, .pool = pool};
    printf("--- %s\n", name);
    (void)snprintf(stage.onnx_path, sizeof(stage.onnx_path), "%s/m.onnx", folder);
    (void)snprintf(stage.engine_path, sizeof(stage.engine_path), "%s/m.engine", folder);
    (void)snprintf(stage.cache_path, sizeof(stage.cache_path), "%s/times", folder);
    struct dyno_err err = {0};
    REQUIRE(dyno_file_write_atomic(stage.onnx_path, dyno_strbuf_text(&model), model.bytes, &err) ==
            DYNO_OK);
    lose_allocations("import", &stage, import_model);
    lose_allocations("build in memory", &stage, build_in_memory);
    lose_allocations("build the baseline", &stage, build_baseline);
    lose_allocations("build to a file", &stage, build_to_file);
    lose_allocations("load", &stage, load);
    lose_allocations("load and run", &stage, load_and_run);
    run_after_failure(&stage);
    lose_calls("import", &stage, import_model, NULL);
    lose_calls("build to a file", &stage, build_to_file, stage.engine_path);
    lose_calls("load", &stage, load, NULL);
    lose_allocations("threads", &stage, make_threads);
    lose_allocations("timing cache", &stage, keep_timings);
    lose_calls("timing cache", &stage, keep_timings, stage.cache_path);
    (void)unlink(stage.cache_path);
    (void)unlink(stage.engine_path);
    (void)unlink(stage.onnx_path);
    dyno_strbuf_fini(&model);
    CHECK(file_count() == 0);
}

static float floats[4096];

static struct dyno_array array_of(int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    struct dyno_array array = {
        .data = floats, .dtype = DYNO_F32, .rank = rank, .dims = {d0, d1, d2, d3}};
    array.bytes = sizeof(float);
    for (int i = 0; i < rank; i++)
        array.bytes *= (size_t)array.dims[i];
    return array;
}

int main(void)
{
    struct dyno_pool *pool = NULL;
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(dyno_threads_create(2, 0, &pool, NULL) == DYNO_OK);
    for (size_t i = 0; i < DYNO_COUNT(floats); i++)
        floats[i] = (float)(i * 11 % 29) / 16.0F - 0.9F;
    const struct dyno_array images[2] = {array_of(4, 1, 3, 9, 9), array_of(4, 3, 3, 9, 9)};
    const struct dyno_array tokens[2] = {array_of(3, 1, 5, 16, 0), array_of(3, 2, 7, 16, 0)};
    const struct dyno_array rows[2] = {array_of(2, 3, 4, 0, 0), array_of(2, 6, 4, 0, 0)};
    run_stages("convolutions", small_conv_net(), &images[0], &images[1], 1, pool);
    run_stages("tokens", small_token_net(), &tokens[0], &tokens[1], 1, pool);
    run_stages("open shapes", small_open_net(), &rows[0], &rows[1], 3, pool);
    dyno_threads_destroy(pool);
    CHECK(dyno_mem_live_count() == 0);
    CHECK(rmdir(folder) == 0);
    return TEST_RESULT();
}
