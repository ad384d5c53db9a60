/* json.h - JSON (RFC 8259): a streaming writer, a strict reader, and a parser upon it. */
#ifndef DYNO_BASE_JSON_H
#define DYNO_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"

#define DYNO_JSON_DEPTH_MAX 64

/* --- writer --- */

/* Writes into `out`; commas, indentation and escapes are its business.  Init with
 * {.out = &buf, .indent = 2} (indent 0: one line; -1: one line without blanks).  Nesting deeper
 * than DYNO_JSON_DEPTH_MAX and a key outside an object are broken invariants of the caller. */
struct dyno_json_writer {
    struct dyno_strbuf *out;
    int indent;
    int depth;
    bool has_items[DYNO_JSON_DEPTH_MAX + 1];
    bool after_key;
};

void dyno_json_object_begin(struct dyno_json_writer *json);
void dyno_json_object_end(struct dyno_json_writer *json);
void dyno_json_array_begin(struct dyno_json_writer *json);
void dyno_json_array_end(struct dyno_json_writer *json);
void dyno_json_key(struct dyno_json_writer *json, const char *key);
/* Bytes that are not UTF-8 become U+FFFD. */
void dyno_json_str(struct dyno_json_writer *json, const char *text);
void dyno_json_strn(struct dyno_json_writer *json, const char *text, size_t bytes);
void dyno_json_i64(struct dyno_json_writer *json, int64_t value);
void dyno_json_u64(struct dyno_json_writer *json, uint64_t value);
/* Shortest text that reads back as the same double; not finite: null. */
void dyno_json_f64(struct dyno_json_writer *json, double value);
/* The same for a float: at most 9 digits, and fast. */
void dyno_json_f32(struct dyno_json_writer *json, float value);
void dyno_json_bool(struct dyno_json_writer *json, bool value);
void dyno_json_null(struct dyno_json_writer *json);

/* A member of an object: its key, and a value. */
void dyno_json_put_str(struct dyno_json_writer *json, const char *key, const char *text);
void dyno_json_put_i64(struct dyno_json_writer *json, const char *key, int64_t value);
void dyno_json_put_u64(struct dyno_json_writer *json, const char *key, uint64_t value);
void dyno_json_put_f64(struct dyno_json_writer *json, const char *key, double value);
void dyno_json_put_bool(struct dyno_json_writer *json, const char *key, bool value);
/* NULL: null. */
void dyno_json_put_str_or_null(struct dyno_json_writer *json, const char *key, const char *text);
void dyno_json_put_strs(struct dyno_json_writer *json, const char *key, const char *const *texts,
                        size_t count);
/* What follows, up to the end of the object or array, is the value. */
void dyno_json_put_object_begin(struct dyno_json_writer *json, const char *key);
void dyno_json_put_array_begin(struct dyno_json_writer *json, const char *key);

/* --- reader: one token at a time, in constant memory --- */

enum dyno_json_token_kind {
    DYNO_JSON_TOKEN_END, /* of the text */
    DYNO_JSON_TOKEN_OBJECT,
    DYNO_JSON_TOKEN_ARRAY,
    DYNO_JSON_TOKEN_CLOSE, /* of the innermost object or array */
    DYNO_JSON_TOKEN_STRING,
    DYNO_JSON_TOKEN_NUMBER,
    DYNO_JSON_TOKEN_BOOL,
    DYNO_JSON_TOKEN_NULL,
};

/* Text as it stands between its quotes, checked; dyno_json_unescape gives what it means. */
struct dyno_json_raw {
    const char *text; /* into the input */
    size_t bytes;
    bool has_escapes;
};

struct dyno_json_token {
    enum dyno_json_token_kind kind;
    bool boolean;
    bool is_int;              /* NUMBER: without fraction and exponent, fits int64 */
    bool has_key;             /* a member of an object */
    int64_t integer;          /* NUMBER with is_int */
    double number;            /* NUMBER: correctly rounded */
    struct dyno_json_raw key; /* with has_key */
    struct dyno_json_raw raw; /* STRING, and NUMBER as it is written */
};

/* A value; copy it to return to where it was. */
struct dyno_json_reader {
    const char *start;
    const char *at;
    const char *end;
    int depth;
    bool wants_comma; /* a value was read in the innermost container */
    bool done;        /* the one value of the text was read */
    uint64_t objects; /* bit d: the container at depth d is an object */
};

/* `text` may be NULL where there are no bytes. */
void dyno_json_reader_init(struct dyno_json_reader *reader, const char *text, size_t bytes);

/* The next token.  Fails with E_FORMAT naming line and column, E_LIMIT (depth).  Keys that appear
 * twice are the caller's to see. */
enum dyno_status dyno_json_read(struct dyno_json_reader *reader, struct dyno_json_token *token_out,
                                struct dyno_err *err);

/* Read on to the end of the container whose opening token was just read. */
enum dyno_status dyno_json_skip(struct dyno_json_reader *reader, struct dyno_err *err);

/* The meaning of `raw` into out[raw->bytes] (it is never longer); returns its length. */
size_t dyno_json_unescape(const struct dyno_json_raw *raw, char *out);

/* Does `raw` mean this text? */
bool dyno_json_raw_is(const struct dyno_json_raw *raw, const char *text);

/* Record E_FORMAT with line and column of where the reader is. */
enum dyno_status dyno_json_refuse(const struct dyno_json_reader *reader, struct dyno_err *err,
                                  const char *what);

/* --- parser: the whole as a tree --- */

enum dyno_json_kind {
    DYNO_JSON_NULL,
    DYNO_JSON_BOOL,
    DYNO_JSON_NUMBER,
    DYNO_JSON_STRING,
    DYNO_JSON_ARRAY,
    DYNO_JSON_OBJECT,
};

/* Members and items are linked in their order. */
struct dyno_json {
    enum dyno_json_kind kind;
    bool boolean;
    bool is_int;      /* NUMBER: written without fraction and exponent, fits int64 */
    int64_t integer;  /* NUMBER with is_int */
    double number;    /* NUMBER */
    const char *text; /* STRING: UTF-8, NUL-terminated, may hold NULs before text_bytes */
    size_t text_bytes;
    const char *key; /* as a member of an object; else NULL */
    size_t key_bytes;
    size_t count; /* ARRAY, OBJECT */
    const struct dyno_json *first;
    const struct dyno_json *next;
};

/* The whole of `text` is one value.  The tree lives in `arena`; nothing of `text` is kept.  Fails
 * with E_FORMAT naming line and column (duplicate keys are refused too), E_LIMIT (depth), E_NOMEM.
 */
enum dyno_status dyno_json_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                 const struct dyno_json **root_out, struct dyno_err *err);

/* The member `key` of an object, NULL when absent or when `object` is NULL or no object. */
const struct dyno_json *dyno_json_find(const struct dyno_json *object, const char *key);

#endif /* DYNO_BASE_JSON_H */
