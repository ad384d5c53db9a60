/* test_changed.c - test_changed [COUNT]: engines for a GPU in which something was changed, opened,
 * bound and run on the recording driver: a result or a sentence, and nothing left behind.
 *
 * Changes know the records (tests/fuzz/mutate_engine.h); every third is one of bytes in the GPU's
 * own section.  Copies are real here, so a wrong size or offset shows under AddressSanitizer.
 */
#include "backend/cuda/nvrtc.h"
#include "engine/format.h"
#include "engine_bytes.h"
#include "engine_inputs.h"
#include "mutate_engine.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED    77
#define BYTES_MAX  (1 << 21)
#define ARENA_MAX  (1 << 20) /* bytes a run may take: larger ones say little more */
#define ARRAYS_MAX 16

static uint32_t ran_count, refused_count;

/* The engine file of a small model, with room for changes; its size. */
static size_t make_engine(message model, uint32_t precisions, uint8_t **bytes_out)
{
    char path[] = "/tmp/dyno-test-cuda-changed-XXXXXX";
    struct dyno_err err = {0};
    struct dyno_file_map map;
    const struct dyno_build_options options = {
        .device = "cuda", .precisions = precisions, .branches = DYNO_BRANCHES_ON};
    (void)record_start(90);
    struct dyno_built built = chain_build(&model, options, &err);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_engine_write(built.engine->plan, &built.report.target, path, &err) == DYNO_OK);
    REQUIRE(dyno_file_map(path, &map, &err) == DYNO_OK && map.bytes < BYTES_MAX / 2);
    *bytes_out = dyno_alloc(BYTES_MAX, 1);
    REQUIRE(*bytes_out != NULL);
    memcpy(*bytes_out, map.data, map.bytes);
    const size_t bytes = map.bytes;
    dyno_file_unmap(&map);
    (void)unlink(path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    return bytes;
}

/* Some bytes of the GPU's section get other values. */
static size_t change_gpu(uint8_t *data, size_t bytes, uint32_t seed)
{
    struct engine_bytes engine;
    uint32_t state = seed * 2654435761U + 7U;
    size_t made = bytes;
    if (engine_bytes_split(data, bytes, &engine)) {
        struct engine_section *section = &engine.sections[DYNO_SECTION_GPU];
        for (uint32_t i = 0; i < 1 + seed % 3 && section->bytes != 0; i++) {
            state = state * 1664525U + 1013904223U;
            section->at[(state >> 8) % section->bytes] = (uint8_t)(state >> 24);
        }
        made = engine_bytes_join(&engine, data, BYTES_MAX);
    }
    engine_bytes_fini(&engine);
    return made;
}

static enum dyno_status run_corner(struct dyno_engine *engine, int corner, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[ARRAYS_MAX] = {{0}};
    struct dyno_array outputs[ARRAYS_MAX] = {{0}};
    enum dyno_status status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK && engine_inputs_make(engine, corner, inputs)) {
        status = dyno_context_bind(context, inputs, outputs, err);
        const bool small = status == DYNO_OK && dyno_context_arena_bytes(context) <= ARENA_MAX &&
                           dyno_context_tensor_bytes(context) <= ARENA_MAX;
        memset(outputs, 0, sizeof(outputs));
        for (int i = 0; i < 2 && small && status == DYNO_OK; i++)
            status = dyno_context_run(context, inputs, outputs, err);
        ran_count += small && status == DYNO_OK;
    }
    dyno_context_destroy(context);
    for (int i = 0; i < ARRAYS_MAX; i++)
        free(inputs[i].data);
    return status;
}

static void try_engine(const uint8_t *bytes, size_t n, uint32_t seed)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    struct dyno_plan *plan = NULL;
    struct dyno_engine *engine = NULL;
    struct dyno_target here;
    char warning[512];
    dyno_target_detect(&here, NULL);
    enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), &err);
    if (status == DYNO_OK)
        status = dyno_engine_from_plan(plan, &engine, &err);
    for (int corner = 0; corner < 2 && status == DYNO_OK; corner++) {
        if (dyno_engine_input_count(engine) <= ARRAYS_MAX &&
            dyno_engine_output_count(engine) <= ARRAYS_MAX)
            status = run_corner(engine, corner, &err);
    }
    dyno_engine_close(engine);
    refused_count += status != DYNO_OK;
    if (status != DYNO_OK)
        CHECK_MSG(err.status == status && err.text[0] != 0, "change %u: no sentence", seed);
    CHECK_MSG(record->live_count == 0 && record->module_count == 0, "change %u: %lld live", seed,
              (long long)record->live_count);
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    int version = 0;
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1500;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    uint8_t *seeds[2];
    const size_t sizes[2] = {make_engine(small_conv_net(), DYNO_PRECISION_F16, &seeds[0]),
                             make_engine(small_token_net(), 0, &seeds[1])};
    uint8_t *changed = dyno_alloc(BYTES_MAX, 1);
    REQUIRE(changed != NULL);
    try_engine(seeds[0], sizes[0], 0);
    try_engine(seeds[1], sizes[1], 0);
    CHECK(ran_count == 4 && refused_count == 0);
    for (uint32_t seed = 1; seed <= count; seed++) {
        size_t n = sizes[seed % 2];
        memcpy(changed, seeds[seed % 2], n);
        n = seed % 3 == 0 ? change_gpu(changed, n, seed)
                          : mutate_engine(changed, n, BYTES_MAX, seed);
        try_engine(changed, n, seed);
    }
    printf("%u changes: %u runs, %u refused\n", count, ran_count, refused_count);
    CHECK(ran_count > count / 10 && refused_count > count / 10);
    dyno_free(changed);
    dyno_free(seeds[0]);
    dyno_free(seeds[1]);
    record_end();
    return TEST_RESULT();
}
