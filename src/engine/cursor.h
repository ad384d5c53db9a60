/* cursor.h - reading records of an engine file; for read*.c only.
 *
 * A failed read gives zero and is remembered in the reader, with the first sentence; so a record is
 * read without a check a field, and nothing is allocated or indexed on the strength of a count that
 * the bytes at hand do not bear out.
 */
#ifndef DYNO_ENGINE_CURSOR_H
#define DYNO_ENGINE_CURSOR_H

#include "engine/format.h"

struct dyno_engine_reader {
    const uint8_t *bytes;
    struct {
        uint64_t offset;
        uint64_t bytes;
    } sections[DYNO_SECTION_END];
    const struct dyno_target *here;
    uint64_t isa_mask; /* of the header */
    struct dyno_plan *plan;
    struct dyno_str *texts;
    uint32_t text_count;
    dyno_expr *exprs; /* numbers of the file to those of the plan's pool */
    uint32_t expr_count;
    char *warning;
    size_t warning_bytes;
    enum dyno_status status;
    struct dyno_err *err;
};

struct dyno_cursor {
    struct dyno_engine_reader *reader;
    const char *section;
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
};

static inline bool cursor_ok(const struct dyno_cursor *cursor)
{
    return cursor->reader->status == DYNO_OK;
}

/* Remember the failure; the sentence gets the section and the place. */
void cursor_fail(struct dyno_cursor *cursor, enum dyno_status status, const char *fmt, ...)
    DYNO_PRINTF(3, 4);

/* A cursor over a whole section. */
struct dyno_cursor cursor_open(struct dyno_engine_reader *reader, enum dyno_engine_section id);
/* Fails when bytes are left. */
void cursor_close(struct dyno_cursor *cursor);

/* The next bytes, in place; NULL when fewer are left. */
const uint8_t *cursor_bytes(struct dyno_cursor *cursor, uint64_t bytes);
uint8_t cursor_u8(struct dyno_cursor *cursor);
uint16_t cursor_u16(struct dyno_cursor *cursor);
uint32_t cursor_u32(struct dyno_cursor *cursor);
uint64_t cursor_u64(struct dyno_cursor *cursor);
int64_t cursor_i64(struct dyno_cursor *cursor);
float cursor_f32(struct dyno_cursor *cursor);

/* A u32 count of items that take at least item_bytes each in the file. */
uint32_t cursor_count(struct dyno_cursor *cursor, size_t item_bytes);

/* Storage in the plan's arena; NULL (and E_NOMEM) when out of memory. */
void *cursor_alloc(struct dyno_cursor *cursor, size_t count, size_t item_bytes);

/* A text of the strings section: any bytes / a name without NUL ("" on failure). */
struct dyno_str cursor_str(struct dyno_cursor *cursor);
const char *cursor_name(struct dyno_cursor *cursor);

/* An expression of the plan's pool, DYNO_EXPR_NONE for "none". */
dyno_expr cursor_expr(struct dyno_cursor *cursor);

/* A block of the data section, in place; NULL when it is empty. */
const void *cursor_blob(struct dyno_cursor *cursor, uint64_t *bytes_out);

/* So many texts; the array is in the arena. */
const struct dyno_str *cursor_strs(struct dyno_cursor *cursor, uint32_t count);

/* read_step.c: a layout; one step. */
struct dyno_layout dyno_engine_read_layout(struct dyno_cursor *cursor);
void dyno_engine_read_step(struct dyno_cursor *cursor, struct dyno_step *step);

/* read_plan.c: all sections into reader->plan. */
void dyno_engine_read_plan(struct dyno_engine_reader *reader);

#endif /* DYNO_ENGINE_CURSOR_H */
