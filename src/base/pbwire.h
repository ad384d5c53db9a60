/* pbwire.h - the protobuf wire format: a reader over bytes in memory and a small writer.
 *
 * The reader copies nothing: byte fields point into the input.  Groups (wire types 3 and 4) are
 * refused.  A reader is a value; readers of nested messages are made from a field's bytes.
 */
#ifndef DYNO_BASE_PBWIRE_H
#define DYNO_BASE_PBWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

enum dyno_pb_wire {
    DYNO_PB_VARINT = 0,
    DYNO_PB_I64 = 1,
    DYNO_PB_LEN = 2,
    DYNO_PB_I32 = 5,
};

struct dyno_pb_reader {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start; /* of the outermost message: for offsets in error texts */
};

struct dyno_pb_field {
    uint32_t number;
    enum dyno_pb_wire wire;
    uint64_t value;      /* VARINT, I64, I32 (zero-extended bits) */
    const uint8_t *data; /* LEN */
    size_t bytes;        /* LEN */
};

void dyno_pb_init(struct dyno_pb_reader *reader, const void *data, size_t bytes);
/* A reader of the message inside a LEN field. */
struct dyno_pb_reader dyno_pb_nested(const struct dyno_pb_reader *reader,
                                     const struct dyno_pb_field *field);

/* The next field; *more_out false at the end of the message.  Fails with E_FORMAT (truncation, a
 * varint over 10 bytes, field number 0 or out of range, unknown wire type) naming the offset. */
enum dyno_status dyno_pb_next(struct dyno_pb_reader *reader, struct dyno_pb_field *field_out,
                              bool *more_out, struct dyno_err *err);

/* Typed views; E_FORMAT when the wire type is another. */
enum dyno_status dyno_pb_i64(const struct dyno_pb_field *field, int64_t *value_out,
                             struct dyno_err *err);
/* int32 and enums: a negative one is sent as ten bytes; truncated to 32 bits as protobuf does. */
enum dyno_status dyno_pb_i32(const struct dyno_pb_field *field, int32_t *value_out,
                             struct dyno_err *err);
enum dyno_status dyno_pb_f32(const struct dyno_pb_field *field, float *value_out,
                             struct dyno_err *err);
enum dyno_status dyno_pb_f64(const struct dyno_pb_field *field, double *value_out,
                             struct dyno_err *err);
enum dyno_status dyno_pb_bytes(const struct dyno_pb_field *field, const char **text_out,
                               size_t *bytes_out, struct dyno_err *err);

/* Repeated scalars come packed (LEN) or one a field; both forms are to be accepted.  *_count says
 * how many values the field holds; *_read writes them to out[0..count). */
enum dyno_status dyno_pb_varints_count(const struct dyno_pb_field *field, size_t *count_out,
                                       struct dyno_err *err);
void dyno_pb_varints_read(const struct dyno_pb_field *field, uint64_t *out);
/* One value after the other, without an array: start with *at 0, read as many as were counted. */
uint64_t dyno_pb_varint_at(const struct dyno_pb_field *field, size_t *at);
/* wire_bytes: 4 or 8 (fixed32/float or fixed64/double).  Values are copied as bits. */
enum dyno_status dyno_pb_fixed_count(const struct dyno_pb_field *field, size_t wire_bytes,
                                     size_t *count_out, struct dyno_err *err);
void dyno_pb_fixed_read(const struct dyno_pb_field *field, size_t wire_bytes, void *out);

/* --- writer: append one field --- */

#define DYNO_PB_VARINT_BYTES_MAX 10
/* A bare varint into to[DYNO_PB_VARINT_BYTES_MAX]: tags, lengths, packed values; its length. */
size_t dyno_pb_varint(uint64_t value, char *to);

void dyno_pb_put_varint(struct dyno_strbuf *out, uint32_t number, uint64_t value);
void dyno_pb_put_f32(struct dyno_strbuf *out, uint32_t number, float value);
void dyno_pb_put_f64(struct dyno_strbuf *out, uint32_t number, double value);
void dyno_pb_put_bytes(struct dyno_strbuf *out, uint32_t number, const void *data, size_t bytes);
void dyno_pb_put_text(struct dyno_strbuf *out, uint32_t number, const char *text);

#endif /* DYNO_BASE_PBWIRE_H */
