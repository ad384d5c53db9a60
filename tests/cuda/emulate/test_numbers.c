/* test_numbers.c - test_numbers [COUNT]: engines whose steps call cuBLASLt, with other numbers in
 * the parameters of their tactics, on the emulated GPU: a result or a sentence, and a GPU that goes
 * on.
 */
#include "backend/cuda/libraries.h"
#include "backend/cuda/nvrtc.h"
#include "engine/engine.h"
#include "engine/format.h"
#include "engine_inputs.h"
#include "unit/build/chain.h"

#define SKIPPED    77
#define ARRAYS_MAX 16

static uint32_t ran_count, refused_count, step_count;

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* One parameter of a step that calls the library: some bits, or a small number, or any. */
static void change(struct dyno_plan *plan, uint32_t seed)
{
    uint32_t state = seed * 2654435761U + 7U;
    step_count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct dyno_kernel *kernel = dyno_kernel_find(plan->steps[i].tactic.kernel);
        step_count += kernel->library == DYNO_LIBRARY_cublaslt;
        if (seed == 0 || kernel->library != DYNO_LIBRARY_cublaslt)
            continue;
        uint32_t *cfg = &plan->steps[i].tactic.cfg[next(&state) % DYNO_TACTIC_CFGS];
        const uint32_t shift = next(&state) % 4 * 8;
        switch (next(&state) % 3) {
        case 0:
            *cfg ^= 1U << next(&state) % 32;
            break;
        case 1:
            *cfg = (*cfg & ~(0xFFU << shift)) | (next(&state) % 12) << shift;
            break;
        default:
            *cfg = next(&state) << 8 | next(&state) % 256;
            break;
        }
    }
}

static enum dyno_status run_corner(struct dyno_engine *engine, int corner, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[ARRAYS_MAX] = {{0}};
    struct dyno_array outputs[ARRAYS_MAX] = {{0}};
    enum dyno_status status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK && engine_inputs_make(engine, corner, inputs)) {
        for (int i = 0; i < 2 && status == DYNO_OK; i++) /* by steps, as a graph */
            status = dyno_context_run(context, inputs, outputs, err);
        ran_count += status == DYNO_OK;
    }
    dyno_context_destroy(context);
    for (int i = 0; i < ARRAYS_MAX; i++)
        free(inputs[i].data);
    return status;
}

static void try_engine(const struct dyno_file_map *map, uint32_t seed)
{
    struct dyno_err err = {0};
    struct dyno_plan *plan = NULL;
    struct dyno_engine *engine = NULL;
    struct dyno_target here;
    char warning[512];
    dyno_target_detect(&here, NULL);
    enum dyno_status status =
        dyno_engine_read(map->data, map->bytes, &here, &plan, warning, sizeof(warning), &err);
    REQUIRE(status == DYNO_OK);
    change(plan, seed);
    status = dyno_engine_from_plan(plan, &engine, &err);
    for (int corner = 0; corner < 2 && status == DYNO_OK; corner++)
        status = run_corner(engine, corner, &err);
    dyno_engine_close(engine);
    refused_count += status != DYNO_OK;
    CHECK_MSG(status == DYNO_OK || (err.status == status && err.text[0] != 0),
              "change %u: no sentence", seed);
    CHECK_MSG(status != DYNO_E_IO || strstr(err.text, "cuBLASLt") != NULL, "change %u: %s", seed,
              err.text);
}

/* A file, as a plan that was read borrows from its bytes. */
static void make_engine(struct dyno_file_map *map_out)
{
    char path[] = "/tmp/dyno-test-cublaslt-XXXXXX";
    struct dyno_err err = {0};
    const struct dyno_build_options options = {.device = "cuda", .precisions = DYNO_PRECISION_F16};
    message model = small_token_net();
    struct dyno_built built = chain_build(&model, options, &err);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_engine_write(built.engine->plan, &built.report.target, path, &err) == DYNO_OK);
    REQUIRE(dyno_file_map(path, map_out, &err) == DYNO_OK);
    (void)unlink(path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    struct dyno_file_map map;
    int version = 0;
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 600;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    make_engine(&map);
    try_engine(&map, 0);
    CHECK_MSG(step_count >= 1 && ran_count == 2 && refused_count == 0, "%u steps, %u runs",
              step_count, ran_count);
    for (uint32_t seed = 1; seed <= count; seed++)
        try_engine(&map, seed);
    printf("%u changes: %u runs, %u refused\n", count, ran_count, refused_count);
    CHECK(ran_count > count / 10 && refused_count > count / 10);
    ran_count = 0;
    try_engine(&map, 0);
    CHECK(ran_count == 2);
    dyno_file_unmap(&map);
    return TEST_RESULT();
}
