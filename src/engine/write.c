/* write.c - the engine file around its sections: header, section table, data, checksums. */
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "engine/write_plan.h"

#define TABLE_BYTES (DYNO_ENGINE_ENTRY_BYTES * DYNO_ENGINE_SECTIONS)

/* The file as it grows, with the checksum of the chunk that is being filled. */
struct stream {
    struct dyno_file_writer writer;
    uint64_t offset;
    uint32_t crc;
    struct dyno_strbuf crcs; /* of finished chunks */
    struct dyno_err *err;
};

static void end_chunk(struct stream *stream)
{
    char bytes[sizeof(stream->crc)];
    memcpy(bytes, &stream->crc, sizeof(bytes));
    dyno_strbuf_add(&stream->crcs, bytes, sizeof(bytes));
    stream->crc = 0;
}

static enum dyno_status put(struct stream *stream, const void *data, uint64_t bytes)
{
    const char *at = data;
    while (bytes != 0) {
        const uint64_t room = DYNO_ENGINE_CHUNK_BYTES - stream->offset % DYNO_ENGINE_CHUNK_BYTES;
        const size_t share = (size_t)(bytes < room ? bytes : room);
        stream->crc = dyno_crc32c(stream->crc, at, share);
        DYNO_TRY(dyno_file_write(&stream->writer, at, share, stream->err));
        stream->offset += share;
        at += share;
        bytes -= share;
        if (share == room)
            end_chunk(stream);
    }
    return DYNO_OK;
}

static uint64_t aligned(uint64_t offset)
{
    return (offset + DYNO_ENGINE_ALIGN_BYTES - 1) / DYNO_ENGINE_ALIGN_BYTES *
           DYNO_ENGINE_ALIGN_BYTES;
}

static enum dyno_status pad(struct stream *stream)
{
    static const char zeros[DYNO_ENGINE_ALIGN_BYTES];
    return put(stream, zeros, aligned(stream->offset) - stream->offset);
}

static void set_u32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void set_u64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* Header and section table: all sizes are known before the first byte is written. */
static enum dyno_status put_head(struct stream *stream, const struct dyno_engine_parts *parts)
{
    unsigned char head[DYNO_ENGINE_HEADER_BYTES + TABLE_BYTES] = {0};
    uint64_t offset = sizeof(head);
    for (uint32_t id = DYNO_SECTION_INFO; id < DYNO_SECTION_END; id++) {
        unsigned char *entry =
            head + DYNO_ENGINE_HEADER_BYTES + (id - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES;
        offset = aligned(offset);
        uint64_t bytes = parts->sections[id].bytes;
        if (id == DYNO_SECTION_DATA)
            bytes = parts->data_bytes;
        if (id == DYNO_SECTION_CRC)
            bytes = ((offset + DYNO_ENGINE_CHUNK_BYTES - 1) / DYNO_ENGINE_CHUNK_BYTES + 1) *
                    sizeof(uint32_t);
        set_u32(entry, id);
        set_u64(entry + 8, offset);
        set_u64(entry + 16, bytes);
        offset += bytes;
    }
    memcpy(head, DYNO_ENGINE_MAGIC, 8); /* NOLINT(bugprone-not-null-terminated-result): bytes */
    set_u32(head + 8, DYNO_ENGINE_VERSION);
    set_u32(head + 12, DYNO_ENGINE_SECTIONS);
    set_u64(head + 16, offset);
    set_u32(head + 24, DYNO_ENGINE_CHUNK_BYTES);
    set_u64(head + 32, parts->isa_mask);
    return put(stream, head, sizeof(head));
}

static enum dyno_status put_data(struct stream *stream, const struct dyno_engine_parts *parts)
{
    DYNO_TRY(pad(stream));
    for (size_t i = 0; i < parts->blob_count; i++) {
        DYNO_TRY(pad(stream));
        DYNO_TRY(put(stream, parts->blobs[i].data, parts->blobs[i].bytes));
    }
    return DYNO_OK;
}

static enum dyno_status put_crcs(struct stream *stream)
{
    DYNO_TRY(pad(stream));
    if (stream->offset % DYNO_ENGINE_CHUNK_BYTES != 0)
        end_chunk(stream);
    stream->crc = dyno_crc32c(0, dyno_strbuf_text(&stream->crcs), stream->crcs.bytes);
    end_chunk(stream);
    if (!dyno_strbuf_ok(&stream->crcs))
        return DYNO_NOMEM(stream->err);
    return dyno_file_write(&stream->writer, stream->crcs.text, stream->crcs.bytes, stream->err);
}

static enum dyno_status put_file(struct stream *stream, const struct dyno_engine_parts *parts)
{
    DYNO_TRY(put_head(stream, parts));
    for (uint32_t id = DYNO_SECTION_INFO; id < DYNO_SECTION_DATA; id++) {
        DYNO_TRY(pad(stream));
        DYNO_TRY(put(stream, dyno_strbuf_text(&parts->sections[id]), parts->sections[id].bytes));
    }
    DYNO_TRY(put_data(stream, parts));
    DYNO_TRY(put_crcs(stream));
    return dyno_file_write_commit(&stream->writer, stream->err);
}

enum dyno_status dyno_engine_write(const struct dyno_plan *plan, const struct dyno_target *target,
                                   const char *path, struct dyno_err *err)
{
    struct dyno_engine_parts parts = {0};
    struct stream stream = {.err = err};
    enum dyno_status status = dyno_engine_parts_init(&parts, plan, target, err);
    if (status == DYNO_OK)
        status = dyno_file_write_begin(&stream.writer, path, err);
    if (status == DYNO_OK)
        status = put_file(&stream, &parts);
    dyno_file_write_abort(&stream.writer);
    dyno_strbuf_fini(&stream.crcs);
    dyno_engine_parts_fini(&parts);
    return status;
}
