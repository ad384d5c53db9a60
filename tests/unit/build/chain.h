/* chain.h - ONNX bytes to an engine in memory, and the oracle beside it, for the tests of `build`.
 */
#ifndef DYNO_TESTS_UNIT_BUILD_CHAIN_H
#define DYNO_TESTS_UNIT_BUILD_CHAIN_H

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/build.h"
#include "ir/interpret.h"
#include "small_models.h"
#include "test.h"

/* The builder reads files: a private one, gone at once. */
static inline struct dyno_built chain_build(const message *model, struct dyno_build_options options,
                                            struct dyno_err *err)
{
    static char path[] = "/tmp/dyno-test-XXXXXX";
    struct dyno_built built = {0};
    memset(path + sizeof(path) - 7, 'X', 6);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_file_write_atomic(path, dyno_strbuf_text(model), model->bytes, err) == DYNO_OK);
    options.onnx_path = path;
    CHECK_MSG(dyno_build(&options, &built, err) == DYNO_OK, "%s", err->text);
    (void)unlink(path);
    REQUIRE(built.engine != NULL);
    return built;
}

/* Numbers in [-1, 1) that differ. */
static inline void chain_fill(float *values, size_t count, uint32_t seed)
{
    uint32_t state = seed * 2654435761U + 12345U;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525U + 1013904223U;
        values[i] = (float)(int32_t)state * 0x1p-31F;
    }
}

/* A float input of these dimensions in `arena`. */
static inline struct dyno_array chain_array(struct dyno_arena *arena, const int64_t *dims, int rank,
                                            uint32_t seed)
{
    struct dyno_array array = {.dtype = DYNO_F32, .rank = rank, .bytes = sizeof(float)};
    for (int i = 0; i < rank; i++) {
        array.dims[i] = dims[i];
        array.bytes *= (size_t)dims[i];
    }
    array.data = dyno_arena_alloc(arena, array.bytes + 1, 1);
    REQUIRE(array.data != NULL);
    chain_fill(array.data, array.bytes / sizeof(float), seed);
    return array;
}

/* What the model means for these inputs: the reference of every operator, without any pass. */
static inline struct dyno_tensor *chain_oracle(const message *model,
                                               const struct dyno_array *inputs,
                                               struct dyno_arena *arena)
{
    struct dyno_err err = {0};
    struct dyno_onnx_model *imported = NULL;
    CHECK_MSG(dyno_onnx_import_bytes(dyno_strbuf_text(model), model->bytes, NULL, NULL, &imported,
                                     &err) == DYNO_OK,
              "%s", err.text);
    REQUIRE(imported != NULL);
    const struct dyno_graph *graph = dyno_onnx_model_graph(imported);
    struct dyno_tensor *tensors = dyno_arena_alloc(arena, graph->input_count, sizeof(*tensors));
    const struct dyno_tensor **ins = dyno_arena_alloc(arena, graph->input_count, sizeof(*ins));
    struct dyno_tensor *outs = dyno_arena_alloc(arena, graph->output_count, sizeof(*outs));
    for (uint32_t i = 0; i < graph->input_count; i++) {
        tensors[i] = (struct dyno_tensor){.dtype = (enum dyno_dtype)inputs[i].dtype,
                                          .rank = inputs[i].rank,
                                          .data = inputs[i].data};
        memcpy(tensors[i].dims, inputs[i].dims, sizeof(tensors[i].dims));
        ins[i] = &tensors[i];
    }
    CHECK_MSG(dyno_graph_interpret(graph, ins, outs, arena, NULL, NULL, &err) == DYNO_OK, "%s",
              err.text);
    for (uint32_t i = 0; i < graph->output_count; i++) {
        size_t bytes = 0;
        REQUIRE(dyno_dtype_bytes(outs[i].dtype, (uint64_t)dyno_tensor_count(&outs[i]), &bytes));
        outs[i].data = dyno_arena_memdup(arena, outs[i].data, bytes); /* may be the model's own */
        REQUIRE(outs[i].data != NULL);
    }
    dyno_onnx_model_close(imported);
    return outs;
}

/* Largest difference over the range of `want`; infinite when type, shape or finiteness differ. */
static inline double chain_error(const struct dyno_array *got, const struct dyno_tensor *want)
{
    if (got->dtype != (int)want->dtype || got->rank != want->rank ||
        memcmp(got->dims, want->dims, (size_t)want->rank * sizeof(want->dims[0])) != 0)
        return INFINITY;
    const int64_t count = dyno_tensor_count(want);
    if (want->dtype != DYNO_F32)
        return memcmp(got->data, want->data, got->bytes) == 0 ? 0.0 : INFINITY;
    const float *x = got->data;
    const float *y = want->data;
    double low = INFINITY;
    double high = -INFINITY;
    double worst = 0.0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i]))
            return INFINITY;
        low = fmin(low, (double)y[i]);
        high = fmax(high, (double)y[i]);
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    }
    return high > low ? worst / (high - low) : worst;
}

#endif /* DYNO_TESTS_UNIT_BUILD_CHAIN_H */
