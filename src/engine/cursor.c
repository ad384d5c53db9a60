/* cursor.c - bounds-checked reading of sections. */
#include "engine/cursor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const section_names[DYNO_SECTION_END] = {
    [DYNO_SECTION_INFO] = "info",         [DYNO_SECTION_STRINGS] = "strings",
    [DYNO_SECTION_EXPRS] = "expressions", [DYNO_SECTION_TENSORS] = "tensors",
    [DYNO_SECTION_STEPS] = "steps",       [DYNO_SECTION_IOS] = "inputs and outputs",
    [DYNO_SECTION_DATA] = "data",         [DYNO_SECTION_CRC] = "checksums",
};

void cursor_fail(struct dyno_cursor *cursor, enum dyno_status status, const char *fmt, ...)
{
    if (!cursor_ok(cursor))
        return;
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    cursor->reader->status =
        DYNO_FAIL(cursor->reader->err, status, "engine section '%s' at byte %zu: %s",
                  cursor->section, (size_t)(cursor->at - cursor->start), text);
}

struct dyno_cursor cursor_open(struct dyno_engine_reader *reader, enum dyno_engine_section id)
{
    const uint8_t *start = reader->bytes + reader->sections[id].offset;
    return (struct dyno_cursor){.reader = reader,
                                .section = section_names[id],
                                .start = start,
                                .at = start,
                                .end = start + reader->sections[id].bytes};
}

void cursor_close(struct dyno_cursor *cursor)
{
    if (cursor->at != cursor->end)
        cursor_fail(cursor, DYNO_E_FORMAT, "%zu bytes after the last record",
                    (size_t)(cursor->end - cursor->at));
}

const uint8_t *cursor_bytes(struct dyno_cursor *cursor, uint64_t bytes)
{
    if (!cursor_ok(cursor))
        return NULL;
    if (bytes > (uint64_t)(cursor->end - cursor->at)) {
        cursor_fail(cursor, DYNO_E_FORMAT, "%llu bytes wanted, %zu are left",
                    (unsigned long long)bytes, (size_t)(cursor->end - cursor->at));
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += bytes;
    return at;
}

static void read_into(struct dyno_cursor *cursor, void *out, size_t bytes)
{
    const uint8_t *at = cursor_bytes(cursor, bytes);
    if (at != NULL)
        memcpy(out, at, bytes);
}

uint8_t cursor_u8(struct dyno_cursor *cursor)
{
    uint8_t value = 0;
    read_into(cursor, &value, sizeof(value));
    return value;
}

uint16_t cursor_u16(struct dyno_cursor *cursor)
{
    uint16_t value = 0;
    read_into(cursor, &value, sizeof(value));
    return value;
}

uint32_t cursor_u32(struct dyno_cursor *cursor)
{
    uint32_t value = 0;
    read_into(cursor, &value, sizeof(value));
    return value;
}

uint64_t cursor_u64(struct dyno_cursor *cursor)
{
    uint64_t value = 0;
    read_into(cursor, &value, sizeof(value));
    return value;
}

int64_t cursor_i64(struct dyno_cursor *cursor)
{
    return (int64_t)cursor_u64(cursor);
}

float cursor_f32(struct dyno_cursor *cursor)
{
    float value = 0;
    read_into(cursor, &value, sizeof(value));
    return value;
}

uint32_t cursor_count(struct dyno_cursor *cursor, size_t item_bytes)
{
    const uint32_t count = cursor_u32(cursor);
    if (count <= (size_t)(cursor->end - cursor->at) / item_bytes)
        return count;
    cursor_fail(cursor, DYNO_E_FORMAT, "%u items cannot be in the %zu bytes left", count,
                (size_t)(cursor->end - cursor->at));
    return 0;
}

void *cursor_alloc(struct dyno_cursor *cursor, size_t count, size_t item_bytes)
{
    if (!cursor_ok(cursor))
        return NULL;
    void *items = dyno_arena_alloc(cursor->reader->plan->arena, count, item_bytes);
    if (items == NULL)
        cursor->reader->status = DYNO_NOMEM(cursor->reader->err);
    return items;
}

struct dyno_str cursor_str(struct dyno_cursor *cursor)
{
    const uint32_t idx = cursor_u32(cursor);
    if (cursor_ok(cursor) && idx >= cursor->reader->text_count)
        cursor_fail(cursor, DYNO_E_FORMAT, "text %u of %u", idx, cursor->reader->text_count);
    return cursor_ok(cursor) ? cursor->reader->texts[idx] : (struct dyno_str){.text = ""};
}

const char *cursor_name(struct dyno_cursor *cursor)
{
    const struct dyno_str text = cursor_str(cursor);
    if (memchr(text.text, 0, text.bytes) != NULL)
        cursor_fail(cursor, DYNO_E_FORMAT, "a name holds a NUL");
    return text.text;
}

dyno_expr cursor_expr(struct dyno_cursor *cursor)
{
    const uint32_t idx = cursor_u32(cursor);
    if (!cursor_ok(cursor) || idx == DYNO_ENGINE_NONE)
        return DYNO_EXPR_NONE;
    if (idx < cursor->reader->expr_count)
        return cursor->reader->exprs[idx];
    cursor_fail(cursor, DYNO_E_FORMAT, "expression %u of %u", idx, cursor->reader->expr_count);
    return DYNO_EXPR_NONE;
}

const void *cursor_blob(struct dyno_cursor *cursor, uint64_t *bytes_out)
{
    const uint64_t offset = cursor_u64(cursor);
    const uint64_t bytes = cursor_u64(cursor);
    const uint64_t have = cursor->reader->sections[DYNO_SECTION_DATA].bytes;
    *bytes_out = 0;
    if (!cursor_ok(cursor) || bytes == 0)
        return NULL;
    if (offset > have || bytes > have - offset || offset % DYNO_ENGINE_ALIGN_BYTES != 0) {
        cursor_fail(cursor, DYNO_E_FORMAT, "%llu bytes at %llu of %llu bytes of data",
                    (unsigned long long)bytes, (unsigned long long)offset,
                    (unsigned long long)have);
        return NULL;
    }
    *bytes_out = bytes;
    return cursor->reader->bytes + cursor->reader->sections[DYNO_SECTION_DATA].offset + offset;
}

const struct dyno_str *cursor_strs(struct dyno_cursor *cursor, uint32_t count)
{
    struct dyno_str *texts = cursor_alloc(cursor, count, sizeof(*texts));
    for (uint32_t i = 0; i < count && texts != NULL; i++)
        texts[i] = cursor_str(cursor);
    return texts;
}
