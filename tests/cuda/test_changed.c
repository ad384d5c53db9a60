/* test_changed.c - test_changed [COUNT]: engines for a GPU in which something was changed, opened,
 * bound and run on the recording driver: a result or a sentence, and nothing left behind.
 *
 * Changes know the records (tests/fuzz/mutate_engine.h); every third is one of bytes in the GPU's
 * own section.  Copies are real here, so a wrong size or offset shows under AddressSanitizer.
 */
#include "changed.h"
#include "needs_nvrtc.h"
#include "record.h"

#define SKIPPED 77

static struct changed_counts counts;

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
        made = engine_bytes_join(&engine, data, CHANGED_BYTES_MAX);
    }
    engine_bytes_fini(&engine);
    return made;
}

static void try_engine(const uint8_t *bytes, size_t n, uint32_t seed)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    const enum dyno_status ignored = changed_try(bytes, n, seed, &counts, &err);
    (void)ignored;
    CHECK_MSG(record->live_count == 0 && record->module_count == 0, "change %u: %lld live", seed,
              (long long)record->live_count);
}

int main(int argc, char **argv)
{
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1500;
    if (nvrtc_is_missing())
        return SKIPPED;
    uint8_t *seeds[2];
    size_t sizes[2];
    (void)record_start(90);
    sizes[0] = changed_make(small_conv_net(), DYNO_PRECISION_F16, &seeds[0]);
    (void)record_start(90);
    sizes[1] = changed_make(small_token_net(), 0, &seeds[1]);
    uint8_t *changed = dyno_alloc(CHANGED_BYTES_MAX, 1);
    REQUIRE(changed != NULL);
    try_engine(seeds[0], sizes[0], 0);
    try_engine(seeds[1], sizes[1], 0);
    CHECK(counts.ran == 4 && counts.refused == 0);
    for (uint32_t seed = 1; seed <= count; seed++) {
        size_t n = sizes[seed % 2];
        memcpy(changed, seeds[seed % 2], n);
        n = seed % 3 == 0 ? change_gpu(changed, n, seed)
                          : mutate_engine(changed, n, CHANGED_BYTES_MAX, seed);
        try_engine(changed, n, seed);
    }
    printf("%u changes: %u runs, %u refused\n", count, counts.ran, counts.refused);
    CHECK(counts.ran > count / 10 && counts.refused > count / 10);
    dyno_free(changed);
    dyno_free(seeds[0]);
    dyno_free(seeds[1]);
    record_end();
    return TEST_RESULT();
}
