/* read.c - the engine file around its sections: header, section table, checksums. */
#include <string.h>

#include "base/hash.h"
#include "engine/cursor.h"

#define TABLE_BYTES (DYNO_ENGINE_ENTRY_BYTES * DYNO_ENGINE_SECTIONS)
#define HEAD_BYTES  (DYNO_ENGINE_HEADER_BYTES + TABLE_BYTES)

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t value = 0;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t u64_at(const uint8_t *bytes)
{
    uint64_t value = 0;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static enum dyno_status check_header(const uint8_t *bytes, size_t n, struct dyno_err *err)
{
    if (n < 8 || memcmp(bytes, DYNO_ENGINE_MAGIC, 8) != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "not an engine: its first 8 bytes are others");
    if (n < HEAD_BYTES)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the engine is cut short: %zu bytes", n);
    if (u32_at(bytes + 8) != DYNO_ENGINE_VERSION)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "the engine has format version %u, this build reads version %u: rebuild "
                         "it from its model",
                         u32_at(bytes + 8), DYNO_ENGINE_VERSION);
    if (u64_at(bytes + 16) != n)
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "the engine has %zu bytes, its header says %llu: it is cut short or "
                         "damaged",
                         n, (unsigned long long)u64_at(bytes + 16));
    if (u32_at(bytes + 12) != DYNO_ENGINE_SECTIONS ||
        u32_at(bytes + 24) != DYNO_ENGINE_CHUNK_BYTES || !all_zero(bytes + 28, 4) ||
        !all_zero(bytes + 40, 24))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the engine's header breaks the format");
    return DYNO_OK;
}

/* Sections follow one another, each at the next multiple of the alignment; the last ends the file.
 */
static enum dyno_status read_table(struct dyno_engine_reader *reader, size_t n)
{
    uint64_t end = HEAD_BYTES;
    for (uint32_t id = DYNO_SECTION_INFO; id < DYNO_SECTION_END; id++) {
        const uint8_t *entry =
            reader->bytes + DYNO_ENGINE_HEADER_BYTES + (id - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES;
        const uint64_t offset = u64_at(entry + 8);
        const uint64_t bytes = u64_at(entry + 16);
        const uint64_t align = DYNO_ENGINE_ALIGN_BYTES;
        const uint64_t want = (end + align - 1) / align * align;
        if (u32_at(entry) != id || !all_zero(entry + 4, 4) || offset != want || offset > n ||
            bytes > n - offset)
            return DYNO_FAIL(reader->err, DYNO_E_FORMAT,
                             "section %u of the engine: id %u, %llu bytes at %llu of %zu", id,
                             u32_at(entry), (unsigned long long)bytes, (unsigned long long)offset,
                             n);
        reader->sections[id].offset = offset;
        reader->sections[id].bytes = bytes;
        end = offset + bytes;
    }
    if (end != n)
        return DYNO_FAIL(reader->err, DYNO_E_FORMAT, "%llu bytes follow the engine's last section",
                         (unsigned long long)(n - end));
    return DYNO_OK;
}

static enum dyno_status check_crcs(const struct dyno_engine_reader *reader)
{
    const uint64_t covered = reader->sections[DYNO_SECTION_CRC].offset;
    const uint64_t chunk_count = (covered + DYNO_ENGINE_CHUNK_BYTES - 1) / DYNO_ENGINE_CHUNK_BYTES;
    const uint8_t *crcs = reader->bytes + covered;
    const size_t table_bytes = (size_t)chunk_count * sizeof(uint32_t);
    if (reader->sections[DYNO_SECTION_CRC].bytes != table_bytes + sizeof(uint32_t))
        return DYNO_FAIL(reader->err, DYNO_E_FORMAT,
                         "the engine has %llu bytes of checksums for %llu chunks",
                         (unsigned long long)reader->sections[DYNO_SECTION_CRC].bytes,
                         (unsigned long long)chunk_count);
    if (dyno_crc32c(0, crcs, table_bytes) != u32_at(crcs + table_bytes))
        return DYNO_FAIL(reader->err, DYNO_E_CORRUPT,
                         "the engine is damaged: its table of checksums differs from its checksum");
    for (uint64_t i = 0; i < chunk_count; i++) {
        const uint64_t start = i * DYNO_ENGINE_CHUNK_BYTES;
        const uint64_t left = covered - start;
        const size_t bytes =
            (size_t)(left < DYNO_ENGINE_CHUNK_BYTES ? left : DYNO_ENGINE_CHUNK_BYTES);
        if (dyno_crc32c(0, reader->bytes + start, bytes) != u32_at(crcs + i * sizeof(uint32_t)))
            return DYNO_FAIL(reader->err, DYNO_E_CORRUPT,
                             "the engine is damaged: bytes %llu to %llu differ from their checksum",
                             (unsigned long long)start, (unsigned long long)(start + bytes - 1));
    }
    return DYNO_OK;
}

enum dyno_status dyno_engine_read(const void *bytes, size_t n, const struct dyno_target *here,
                                  struct dyno_plan **plan_out, char *warning, size_t warning_bytes,
                                  struct dyno_err *err)
{
    struct dyno_engine_reader reader = {.bytes = bytes,
                                        .here = here,
                                        .warning = warning,
                                        .warning_bytes = warning_bytes,
                                        .err = err};
    *plan_out = NULL;
    if (warning_bytes != 0)
        warning[0] = 0;
    if ((uintptr_t)bytes % DYNO_ENGINE_ALIGN_BYTES != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "an engine must lie at a multiple of %u bytes",
                         DYNO_ENGINE_ALIGN_BYTES);
    DYNO_TRY(check_header(bytes, n, err));
    DYNO_TRY(read_table(&reader, n));
    DYNO_TRY(check_crcs(&reader));
    reader.isa_mask = u64_at(reader.bytes + 32);
    reader.plan = dyno_plan_create();
    if (reader.plan == NULL)
        return DYNO_NOMEM(err);
    dyno_engine_read_plan(&reader);
    if (reader.status != DYNO_OK) {
        dyno_plan_destroy(reader.plan);
        return reader.status;
    }
    *plan_out = reader.plan;
    return DYNO_OK;
}
