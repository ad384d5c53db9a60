/* test_changed.c - test_changed [COUNT [FIRST [ENGINE]]]: engines in which something was changed,
 * but for their programs, on the emulated GPU: a result or a sentence, and no program that touches
 * what is not its own.
 */
#include "backend/cuda/nvrtc.h"
#include "changed.h"

#define SKIPPED 77

static struct changed_counts counts;

/* Programs are code, and stay what they were: they end the data. */
static size_t keep_programs(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    struct engine_bytes whole;
    struct engine_bytes changed = {.header = {0}};
    size_t made = to_bytes;
    if (engine_bytes_split(from, from_bytes, &whole) &&
        engine_bytes_split(to, to_bytes, &changed)) {
        const struct engine_section *data = &whole.sections[DYNO_SECTION_DATA];
        const struct engine_section *other = &changed.sections[DYNO_SECTION_DATA];
        const uint8_t *first = memmem(data->at, data->bytes, "\177ELF", 4);
        if (first != NULL && other->bytes == data->bytes) {
            memcpy(other->at + (first - data->at), first, data->bytes - (size_t)(first - data->at));
            made = engine_bytes_join(&changed, to, CHANGED_BYTES_MAX);
        }
    }
    engine_bytes_fini(&changed);
    engine_bytes_fini(&whole);
    return made;
}

/* A fault ends it: the GPU is broken then. */
static void try_changes(const uint8_t *bytes, size_t n, uint32_t first, uint32_t count)
{
    struct dyno_err err = {0};
    enum dyno_status whole = changed_try(bytes, n, 0, &counts, &err);
    CHECK_MSG(whole == DYNO_OK, "as it was: %s", err.text);
    uint8_t *changed = dyno_alloc(CHANGED_BYTES_MAX, 1);
    REQUIRE(changed != NULL);
    for (uint32_t seed = first; seed < first + count && whole == DYNO_OK; seed++) {
        struct dyno_err again = {0};
        memcpy(changed, bytes, n);
        size_t made = mutate_engine(changed, n, CHANGED_BYTES_MAX, seed);
        made = keep_programs(bytes, n, changed, made);
        if (changed_try(changed, made, seed, &counts, &err) == DYNO_E_IO)
            whole = changed_try(bytes, n, seed, &counts, &again);
        CHECK_MSG(whole == DYNO_OK, "change %u: %s", seed, err.text);
    }
    dyno_free(changed);
}

static void try_file(const char *path, uint32_t first, uint32_t count)
{
    struct dyno_file_map map;
    struct dyno_err err = {0};
    REQUIRE(dyno_file_map(path, &map, &err) == DYNO_OK && map.bytes < CHANGED_BYTES_MAX / 2);
    try_changes(map.data, map.bytes, first, count);
    dyno_file_unmap(&map);
}

static void try_net(message model, uint32_t precisions, uint32_t first, uint32_t count)
{
    uint8_t *bytes = NULL;
    const size_t n = changed_make(model, precisions, &bytes);
    counts = (struct changed_counts){0};
    try_changes(bytes, n, first, count);
    CHECK(counts.ran > count / 10 && counts.refused > count / 10);
    dyno_free(bytes);
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    int version = 0;
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 400;
    const uint32_t first = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    if (argc > 3) {
        try_file(argv[3], first, count);
    } else {
        try_net(small_conv_net(), DYNO_PRECISION_F16, first, count);
        try_net(small_token_net(), 0, first, count);
    }
    printf("%u changes: %u runs, %u refused\n", count, counts.ran, counts.refused);
    return TEST_RESULT();
}
