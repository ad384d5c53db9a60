/* pbwire.c - protobuf's wire format (protobuf.dev, "Encoding"). */
#include "base/pbwire.h"

#include <string.h>

#define FIELD_NUMBER_MAX 0x1fffffffU

void dyno_pb_init(struct dyno_pb_reader *reader, const void *data, size_t bytes)
{
    static const uint8_t nothing;
    const uint8_t *start = data != NULL ? data : &nothing;
    *reader = (struct dyno_pb_reader){.at = start, .end = start + bytes, .start = start};
}

struct dyno_pb_reader dyno_pb_nested(const struct dyno_pb_reader *reader,
                                     const struct dyno_pb_field *field)
{
    return (struct dyno_pb_reader){
        .at = field->data, .end = field->data + field->bytes, .start = reader->start};
}

static enum dyno_status refuse(const struct dyno_pb_reader *reader, const char *what,
                               struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_FORMAT, "protobuf at byte %zu: %s",
                     (size_t)(reader->at - reader->start), what);
}

/* The varint at *at, advancing it; false when it is cut short or longer than ten bytes. */
static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && *at < end; shift += 7) {
        const uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7fU) << shift;
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static enum dyno_status read_fixed(struct dyno_pb_reader *reader, size_t bytes, uint64_t *value_out,
                                   struct dyno_err *err)
{
    if ((size_t)(reader->end - reader->at) < bytes)
        return refuse(reader, "fixed-size field is cut short", err);
    *value_out = 0;
    memcpy(value_out, reader->at, bytes);
    reader->at += bytes;
    return DYNO_OK;
}

static enum dyno_status read_length(struct dyno_pb_reader *reader, struct dyno_pb_field *field,
                                    struct dyno_err *err)
{
    uint64_t length = 0;
    if (!read_varint(&reader->at, reader->end, &length))
        return refuse(reader, "malformed length", err);
    if (length > (uint64_t)(reader->end - reader->at))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "protobuf at byte %zu: field %u wants %llu bytes, %zu are left",
                         (size_t)(reader->at - reader->start), field->number,
                         (unsigned long long)length, (size_t)(reader->end - reader->at));
    field->data = reader->at;
    field->bytes = (size_t)length;
    reader->at += length;
    return DYNO_OK;
}

enum dyno_status dyno_pb_next(struct dyno_pb_reader *reader, struct dyno_pb_field *field_out,
                              bool *more_out, struct dyno_err *err)
{
    *field_out = (struct dyno_pb_field){0};
    *more_out = reader->at < reader->end;
    if (!*more_out)
        return DYNO_OK;
    uint64_t tag = 0;
    if (!read_varint(&reader->at, reader->end, &tag))
        return refuse(reader, "malformed field tag", err);
    if (tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
        return refuse(reader, "field number out of range", err);
    field_out->number = (uint32_t)(tag >> 3);
    switch (tag & 7U) {
    case DYNO_PB_VARINT:
        field_out->wire = DYNO_PB_VARINT;
        if (!read_varint(&reader->at, reader->end, &field_out->value))
            return refuse(reader, "malformed varint", err);
        return DYNO_OK;
    case DYNO_PB_I64:
        field_out->wire = DYNO_PB_I64;
        return read_fixed(reader, 8, &field_out->value, err);
    case DYNO_PB_LEN:
        field_out->wire = DYNO_PB_LEN;
        return read_length(reader, field_out, err);
    case DYNO_PB_I32:
        field_out->wire = DYNO_PB_I32;
        return read_fixed(reader, 4, &field_out->value, err);
    default:
        return DYNO_FAIL(err, DYNO_E_FORMAT, "protobuf at byte %zu: field %u has wire type %u",
                         (size_t)(reader->at - reader->start), field_out->number,
                         (unsigned)(tag & 7U));
    }
}

/* --- typed views --- */

static enum dyno_status want_wire(const struct dyno_pb_field *field, enum dyno_pb_wire wire,
                                  struct dyno_err *err)
{
    if (field->wire == wire)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "protobuf field %u has wire type %d, wants %d",
                     field->number, (int)field->wire, (int)wire);
}

enum dyno_status dyno_pb_i64(const struct dyno_pb_field *field, int64_t *value_out,
                             struct dyno_err *err)
{
    DYNO_TRY(want_wire(field, DYNO_PB_VARINT, err));
    *value_out = (int64_t)field->value;
    return DYNO_OK;
}

enum dyno_status dyno_pb_i32(const struct dyno_pb_field *field, int32_t *value_out,
                             struct dyno_err *err)
{
    DYNO_TRY(want_wire(field, DYNO_PB_VARINT, err));
    *value_out = (int32_t)(uint32_t)field->value;
    return DYNO_OK;
}

enum dyno_status dyno_pb_f32(const struct dyno_pb_field *field, float *value_out,
                             struct dyno_err *err)
{
    DYNO_TRY(want_wire(field, DYNO_PB_I32, err));
    memcpy(value_out, &field->value, sizeof(*value_out));
    return DYNO_OK;
}

enum dyno_status dyno_pb_f64(const struct dyno_pb_field *field, double *value_out,
                             struct dyno_err *err)
{
    DYNO_TRY(want_wire(field, DYNO_PB_I64, err));
    memcpy(value_out, &field->value, sizeof(*value_out));
    return DYNO_OK;
}

enum dyno_status dyno_pb_bytes(const struct dyno_pb_field *field, const char **text_out,
                               size_t *bytes_out, struct dyno_err *err)
{
    DYNO_TRY(want_wire(field, DYNO_PB_LEN, err));
    *text_out = (const char *)field->data;
    *bytes_out = field->bytes;
    return DYNO_OK;
}

enum dyno_status dyno_pb_varints_count(const struct dyno_pb_field *field, size_t *count_out,
                                       struct dyno_err *err)
{
    *count_out = 1;
    if (field->wire == DYNO_PB_VARINT)
        return DYNO_OK;
    DYNO_TRY(want_wire(field, DYNO_PB_LEN, err));
    *count_out = 0;
    const uint8_t *at = field->data;
    const uint8_t *end = at + field->bytes;
    for (uint64_t value = 0; at < end; ++*count_out)
        if (!read_varint(&at, end, &value))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "protobuf field %u: malformed varint in packed values", field->number);
    return DYNO_OK;
}

void dyno_pb_varints_read(const struct dyno_pb_field *field, uint64_t *out)
{
    if (field->wire == DYNO_PB_VARINT) {
        *out = field->value;
        return;
    }
    const uint8_t *at = field->data;
    const uint8_t *end = at + field->bytes;
    while (at < end && read_varint(&at, end, out))
        out++;
}

uint64_t dyno_pb_varint_at(const struct dyno_pb_field *field, size_t *at)
{
    uint64_t value = field->value;
    if (field->wire == DYNO_PB_VARINT)
        return value;
    const uint8_t *from = field->data + *at;
    (void)read_varint(&from, field->data + field->bytes, &value);
    *at = (size_t)(from - field->data);
    return value;
}

enum dyno_status dyno_pb_fixed_count(const struct dyno_pb_field *field, size_t wire_bytes,
                                     size_t *count_out, struct dyno_err *err)
{
    *count_out = 1;
    if (field->wire == (wire_bytes == 8 ? DYNO_PB_I64 : DYNO_PB_I32))
        return DYNO_OK;
    DYNO_TRY(want_wire(field, DYNO_PB_LEN, err));
    if (field->bytes % wire_bytes != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "protobuf field %u: %zu bytes of packed values, wants a multiple of %zu",
                         field->number, field->bytes, wire_bytes);
    *count_out = field->bytes / wire_bytes;
    return DYNO_OK;
}

void dyno_pb_fixed_read(const struct dyno_pb_field *field, size_t wire_bytes, void *out)
{
    if (field->wire != DYNO_PB_LEN)
        memcpy(out, &field->value, wire_bytes);
    else if (field->bytes != 0)
        memcpy(out, field->data, field->bytes);
}

/* --- writer --- */

size_t dyno_pb_varint(uint64_t value, char *to)
{
    size_t count = 0;
    do {
        to[count++] = (char)((value & 0x7fU) | (value > 0x7f ? 0x80U : 0U));
        value >>= 7;
    } while (value != 0);
    return count;
}

static void put_varint(struct dyno_strbuf *out, uint64_t value)
{
    char bytes[DYNO_PB_VARINT_BYTES_MAX];
    const size_t count = dyno_pb_varint(value, bytes);
    dyno_strbuf_add(out, bytes, count);
}

static void put_tag(struct dyno_strbuf *out, uint32_t number, enum dyno_pb_wire wire)
{
    put_varint(out, ((uint64_t)number << 3) | (uint64_t)wire);
}

void dyno_pb_put_varint(struct dyno_strbuf *out, uint32_t number, uint64_t value)
{
    put_tag(out, number, DYNO_PB_VARINT);
    put_varint(out, value);
}

void dyno_pb_put_f32(struct dyno_strbuf *out, uint32_t number, float value)
{
    char bytes[sizeof(value)];
    memcpy(bytes, &value, sizeof(value));
    put_tag(out, number, DYNO_PB_I32);
    dyno_strbuf_add(out, bytes, sizeof(bytes));
}

void dyno_pb_put_f64(struct dyno_strbuf *out, uint32_t number, double value)
{
    char bytes[sizeof(value)];
    memcpy(bytes, &value, sizeof(value));
    put_tag(out, number, DYNO_PB_I64);
    dyno_strbuf_add(out, bytes, sizeof(bytes));
}

void dyno_pb_put_bytes(struct dyno_strbuf *out, uint32_t number, const void *data, size_t bytes)
{
    put_tag(out, number, DYNO_PB_LEN);
    put_varint(out, bytes);
    dyno_strbuf_add(out, data, bytes);
}

void dyno_pb_put_text(struct dyno_strbuf *out, uint32_t number, const char *text)
{
    dyno_pb_put_bytes(out, number, text, strlen(text));
}
