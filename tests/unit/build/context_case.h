/* context_case.h - a small convolution, its images and what comes out of them, for the tests of
 * contexts.
 */
#ifndef DYNO_TESTS_UNIT_BUILD_CONTEXT_CASE_H
#define DYNO_TESTS_UNIT_BUILD_CONTEXT_CASE_H

#include "unit/build/chain.h"

static struct dyno_pool *pool;
static struct dyno_built conv; /* x[N,3,9,9] -> y[N,7] */
static struct dyno_arena *arena;

#define BATCHES 6
static struct dyno_array images[BATCHES + 1]; /* by batch; 0 unused */
static struct dyno_tensor *wanted[BATCHES + 1];

static struct dyno_context *new_context(struct dyno_engine *engine)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    CHECK_MSG(dyno_context_create(engine, pool, &context, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(context != NULL);
    return context;
}

static bool is_right(const struct dyno_array *output, int batch)
{
    return output->data != NULL && chain_error(output, wanted[batch]) < 1e-5;
}

/* Before all tests. */
static inline void context_case_begin(void)
{
    struct dyno_err err = {0};
    message model = small_conv_net();
    arena = dyno_arena_create();
    REQUIRE(arena != NULL && dyno_threads_create(3, 0, &pool, &err) == DYNO_OK);
    conv = chain_build(&model, (struct dyno_build_options){.pool = pool}, &err);
    for (int batch = 1; batch <= BATCHES; batch++) {
        const int64_t dims[4] = {batch, 3, 9, 9};
        images[batch] = chain_array(arena, dims, 4, (uint32_t)batch);
        wanted[batch] = chain_oracle(&model, &images[batch], arena);
    }
    dyno_strbuf_fini(&model);
}

/* After them: the exit code of the program. */
static inline int context_case_end(void)
{
    dyno_built_fini(&conv);
    dyno_threads_destroy(pool);
    dyno_arena_destroy(arena);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}

#endif /* DYNO_TESTS_UNIT_BUILD_CONTEXT_CASE_H */
