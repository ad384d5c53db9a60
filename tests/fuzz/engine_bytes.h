/* engine_bytes.h - an engine file as sections that can be changed and put together again, with
 * checksums that fit.
 *
 * Allocates by malloc: what the code under test leaves behind is counted in base/mem.h.
 */
#ifndef DYNO_TESTS_FUZZ_ENGINE_BYTES_H
#define DYNO_TESTS_FUZZ_ENGINE_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/format.h"

/* Where the section table says the checksums are, make them fit; and the size in the header. */
static inline void engine_bytes_mend(uint8_t *bytes, size_t n)
{
    const size_t entry =
        DYNO_ENGINE_HEADER_BYTES + (DYNO_SECTION_CRC - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES + 8;
    uint64_t covered = 0;
    if (n < entry + sizeof(covered))
        return;
    memcpy(bytes + 16, &n, sizeof(n));
    memcpy(&covered, bytes + entry, sizeof(covered));
    if (covered > n)
        return;
    size_t at = (size_t)covered;
    for (size_t start = 0; start < covered && at + 4 <= n; start += DYNO_ENGINE_CHUNK_BYTES) {
        const size_t left = (size_t)covered - start;
        const size_t share = left < DYNO_ENGINE_CHUNK_BYTES ? left : DYNO_ENGINE_CHUNK_BYTES;
        const uint32_t crc = dyno_crc32c(0, bytes + start, share);
        memcpy(bytes + at, &crc, sizeof(crc));
        at += sizeof(crc);
    }
    const uint32_t crc = dyno_crc32c(0, bytes + covered, at - (size_t)covered);
    if (at + sizeof(crc) <= n)
        memcpy(bytes + at, &crc, sizeof(crc));
}

struct engine_section {
    uint8_t *at; /* with room for `room` bytes */
    size_t bytes, room;
};

struct engine_bytes {
    uint8_t header[DYNO_ENGINE_HEADER_BYTES];
    struct engine_section sections[DYNO_SECTION_CRC]; /* by id; 0 is not used */
};

static inline void engine_bytes_fini(struct engine_bytes *engine)
{
    for (int id = 0; id < DYNO_SECTION_CRC; id++)
        free(engine->sections[id].at);
    memset(engine, 0, sizeof(*engine));
}

/* Copies of the sections; false when the table makes no sense. */
static inline bool engine_bytes_split(const uint8_t *bytes, size_t n, struct engine_bytes *engine)
{
    memset(engine, 0, sizeof(*engine));
    if (n < DYNO_ENGINE_HEADER_BYTES + DYNO_ENGINE_SECTIONS * (size_t)DYNO_ENGINE_ENTRY_BYTES)
        return false;
    memcpy(engine->header, bytes, sizeof(engine->header));
    for (int id = 1; id < DYNO_SECTION_CRC; id++) {
        const uint8_t *entry =
            bytes + DYNO_ENGINE_HEADER_BYTES + (size_t)(id - 1) * DYNO_ENGINE_ENTRY_BYTES;
        struct engine_section *section = &engine->sections[id];
        uint64_t offset = 0;
        uint64_t size = 0;
        memcpy(&offset, entry + 8, sizeof(offset));
        memcpy(&size, entry + 16, sizeof(size));
        if (offset > n || size > n - offset || size > 1U << 20)
            return false;
        section->bytes = (size_t)size;
        section->room = (size_t)size + 4096;
        section->at = calloc(1, section->room);
        if (section->at == NULL)
            return false;
        memcpy(section->at, bytes + offset, (size_t)size);
    }
    return true;
}

/* The whole file into out[max], its size; 0 when it does not fit. */
static inline size_t engine_bytes_join(const struct engine_bytes *engine, uint8_t *out, size_t max)
{
    const size_t align = DYNO_ENGINE_ALIGN_BYTES;
    size_t end = DYNO_ENGINE_HEADER_BYTES + DYNO_ENGINE_SECTIONS * (size_t)DYNO_ENGINE_ENTRY_BYTES;
    if (max < end)
        return 0;
    memcpy(out, engine->header, sizeof(engine->header));
    for (int id = 1; id <= DYNO_SECTION_CRC; id++) {
        const size_t start = (end + align - 1) / align * align;
        const size_t chunks = (start + DYNO_ENGINE_CHUNK_BYTES - 1) / DYNO_ENGINE_CHUNK_BYTES;
        const size_t bytes =
            id == DYNO_SECTION_CRC ? (chunks + 1) * sizeof(uint32_t) : engine->sections[id].bytes;
        if (start > max || bytes > max - start)
            return 0;
        memset(out + end, 0, start - end);
        if (id != DYNO_SECTION_CRC)
            memcpy(out + start, engine->sections[id].at, bytes);
        uint8_t *entry =
            out + DYNO_ENGINE_HEADER_BYTES + (size_t)(id - 1) * DYNO_ENGINE_ENTRY_BYTES;
        const uint64_t numbers[3] = {(uint64_t)id, start, bytes};
        memcpy(entry, numbers, sizeof(numbers));
        end = start + bytes;
    }
    engine_bytes_mend(out, end);
    return end;
}

#endif /* DYNO_TESTS_FUZZ_ENGINE_BYTES_H */
