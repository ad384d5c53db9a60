/* changed.h - engines for a GPU as bytes that are to be changed, and their runs. */
#ifndef DYNO_TESTS_CUDA_CHANGED_H
#define DYNO_TESTS_CUDA_CHANGED_H

#include "engine/format.h"
#include "engine_bytes.h"
#include "engine_inputs.h"
#include "mutate_engine.h"
#include "unit/build/chain.h"

#define CHANGED_BYTES_MAX  (1 << 22)
#define CHANGED_ARENA_MAX  (1 << 20) /* bytes a run may take: larger ones say little more */
#define CHANGED_ARRAYS_MAX 16

struct changed_counts {
    uint32_t ran, refused;
};

/* The engine file of a small model, with room for changes; its size. */
static inline size_t changed_make(message model, uint32_t precisions, uint8_t **bytes_out)
{
    char path[] = "/tmp/dyno-test-cuda-changed-XXXXXX";
    struct dyno_err err = {0};
    struct dyno_file_map map;
    const struct dyno_build_options options = {
        .device = "cuda", .precisions = precisions, .branches = DYNO_BRANCHES_ON};
    struct dyno_built built = chain_build(&model, options, &err);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_engine_write(built.engine->plan, &built.report.target, path, &err) == DYNO_OK);
    REQUIRE(dyno_file_map(path, &map, &err) == DYNO_OK && map.bytes < CHANGED_BYTES_MAX / 2);
    *bytes_out = dyno_alloc(CHANGED_BYTES_MAX, 1);
    REQUIRE(*bytes_out != NULL);
    memcpy(*bytes_out, map.data, map.bytes);
    const size_t bytes = map.bytes;
    dyno_file_unmap(&map);
    (void)unlink(path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    return bytes;
}

/* corner: of engine_inputs_make. */
static inline enum dyno_status changed_run(struct dyno_engine *engine, int corner,
                                           struct changed_counts *counts, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[CHANGED_ARRAYS_MAX] = {{0}};
    struct dyno_array outputs[CHANGED_ARRAYS_MAX] = {{0}};
    enum dyno_status status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK && engine_inputs_make(engine, corner, inputs)) {
        status = dyno_context_bind(context, inputs, outputs, err);
        const bool small = status == DYNO_OK &&
                           dyno_context_arena_bytes(context) <= CHANGED_ARENA_MAX &&
                           dyno_context_tensor_bytes(context) <= CHANGED_ARENA_MAX;
        memset(outputs, 0, sizeof(outputs));
        for (int i = 0; i < 2 && small && status == DYNO_OK; i++)
            status = dyno_context_run(context, inputs, outputs, err);
        counts->ran += small && status == DYNO_OK;
    }
    dyno_context_destroy(context);
    for (int i = 0; i < CHANGED_ARRAYS_MAX; i++)
        free(inputs[i].data);
    return status;
}

/* Opened, bound and run: a result or a sentence. */
static inline enum dyno_status changed_try(const uint8_t *bytes, size_t n, uint32_t seed,
                                           struct changed_counts *counts, struct dyno_err *err)
{
    struct dyno_plan *plan = NULL;
    struct dyno_engine *engine = NULL;
    struct dyno_target here;
    char warning[512];
    dyno_target_detect(&here, NULL);
    *err = (struct dyno_err){0};
    enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), err);
    if (status == DYNO_OK)
        status = dyno_engine_from_plan(plan, &engine, err);
    for (int corner = 0; corner < 2 && status == DYNO_OK; corner++) {
        if (dyno_engine_input_count(engine) <= CHANGED_ARRAYS_MAX &&
            dyno_engine_output_count(engine) <= CHANGED_ARRAYS_MAX)
            status = changed_run(engine, corner, counts, err);
    }
    dyno_engine_close(engine);
    counts->refused += status != DYNO_OK;
    if (status != DYNO_OK)
        CHECK_MSG(err->status == status && err->text[0] != 0, "change %u: no sentence", seed);
    return status;
}

#endif /* DYNO_TESTS_CUDA_CHANGED_H */
