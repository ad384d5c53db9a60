/* record.c - the record's bytes, its rules, and its words. */
#include "meter/account/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/le.h"

/* Where the fields lie. */
enum {
    AT_FORMAT = 0,
    AT_KIND = 2,
    AT_OUTCOME = 3,
    AT_FLAGS = 4,
    AT_NODE = 8,
    AT_EPOCH = 12,
    AT_SEQ = 16,
    AT_NAMES = 24,
    AT_ITEMS = 60,
    AT_BATCH_ID = 64,
    AT_START = 72,
    AT_QUEUE = 80,
    AT_DEVICE = 88,
    AT_REFERENCE = 96,
    AT_MEMORY = 104,
    AT_BATCH_COUNT = 120,
    AT_CRC = 124,
};

/* --- words --- */

const char *dyno_name_kind_text(uint32_t kind)
{
    switch (kind) {
#define X(sym, value, text, field) \
    case (value):                  \
        return text;
        DYNO_NAME_KIND_MAP(X)
#undef X
    default:
        return NULL;
    }
}

#define X(sym, value, text) \
    case (value):           \
        return text;

const char *dyno_record_kind_text(uint32_t kind)
{
    switch (kind) {
        DYNO_RECORD_KIND_MAP(X)
    default:
        return NULL;
    }
}

const char *dyno_outcome_text(uint32_t outcome)
{
    switch (outcome) {
        DYNO_OUTCOME_MAP(X)
    default:
        return NULL;
    }
}
#undef X

static const struct {
    uint32_t flag;
    const char *text;
} flag_rows[] = {
#define X(sym, value, text) {(value), text},
    DYNO_RECORD_FLAG_MAP(X)
#undef X
};

static uint32_t flags_known(void)
{
    uint32_t known = 0;
    for (size_t i = 0; i < DYNO_COUNT(flag_rows); i++)
        known |= flag_rows[i].flag;
    return known;
}

void dyno_record_flags_print(uint32_t flags, struct dyno_strbuf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < DYNO_COUNT(flag_rows); i++) {
        if ((flags & flag_rows[i].flag) == 0)
            continue;
        dyno_strbuf_puts(out, comma);
        dyno_strbuf_puts(out, flag_rows[i].text);
        comma = ",";
    }
}

/* --- ids --- */

/* Each answer has one: printf would take longer than the rest of it. */
static char *put_number(char *out, uint64_t value)
{
    char digits[20];
    size_t first = sizeof(digits);
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + first, sizeof(digits) - first);
    return out + sizeof(digits) - first;
}

const char *dyno_record_id_text(struct dyno_record_id id, char out[DYNO_RECORD_TEXT_ROOM])
{
    char *at = put_number(out, id.node);
    *at++ = '-';
    at = put_number(at, id.epoch);
    *at++ = '-';
    at = put_number(at, id.seq);
    *at = 0;
    return out;
}

/* Digits up to `end` of the text; false when they are none, or exceed max. */
static bool take_number(const char **text, char end, uint64_t max, uint64_t *value_out)
{
    dyno_u128 value = 0;
    const char *stop = strchr(*text, end);
    if (stop == NULL || !dyno_u128_parse(*text, (size_t)(stop - *text), &value) || value > max)
        return false;
    *value_out = (uint64_t)value;
    *text = stop + 1;
    return true;
}

enum dyno_status dyno_record_id_parse(const char *text, struct dyno_record_id *id_out,
                                      struct dyno_err *err)
{
    const char *at = text;
    uint64_t node = 0;
    uint64_t epoch = 0;
    uint64_t seq = 0;
    *id_out = (struct dyno_record_id){0};
    if (!take_number(&at, '-', UINT32_MAX, &node) || !take_number(&at, '-', UINT32_MAX, &epoch) ||
        !take_number(&at, 0, UINT64_MAX, &seq) || epoch == 0 || seq == 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "'%.64s' is no record id: NODE-EPOCH-SEQ, the last two from 1 on", text);
    *id_out = (struct dyno_record_id){(uint32_t)node, (uint32_t)epoch, seq};
    return DYNO_OK;
}

/* --- rules --- */

static enum dyno_status check_usage(const struct dyno_record *r, struct dyno_err *err)
{
    if (r->outcome == DYNO_OUTCOME_NONE)
        return DYNO_FAIL(err, DYNO_E_ARG, "usage without an outcome");
    if (r->outcome != DYNO_OUTCOME_OK && r->reference_ns != 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "outcome %s delivers nothing, and has %" PRIu64 " reference-ns",
                         dyno_outcome_text(r->outcome), r->reference_ns);
    if (dyno_record_name(r, DYNO_NAME_TENANT) == 0 || dyno_record_name(r, DYNO_NAME_MODEL) == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "usage without a tenant or a model");
    if ((r->batch_id == 0) != (r->batch_count == 0))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "batch %" PRIu64 " of %" PRIu32 " requests: either both are 0 or none is",
                         r->batch_id, r->batch_count);
    return DYNO_OK;
}

static enum dyno_status check_other(const struct dyno_record *r, struct dyno_err *err)
{
    if (r->outcome != DYNO_OUTCOME_NONE || r->reference_ns != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s has no outcome and delivers no reference-ns",
                         dyno_record_kind_text(r->kind));
    if (r->kind != DYNO_RECORD_VOID)
        return r->batch_count == 0 && r->batch_id == 0
                   ? DYNO_OK
                   : DYNO_FAIL(err, DYNO_E_ARG, "%s has no batch", dyno_record_kind_text(r->kind));
    if (r->voids.epoch == 0 || r->voids.seq == 0 || r->voids.node != r->id.node)
        return DYNO_FAIL(err, DYNO_E_ARG, "void of no record of its node");
    if (r->device_ns != 0 || r->memory_byte_ns != 0 || r->items != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "void has no amounts");
    return DYNO_OK;
}

enum dyno_status dyno_record_check(const struct dyno_record *record, struct dyno_err *err)
{
    if (dyno_record_kind_text(record->kind) == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no kind %u of records", (unsigned)record->kind);
    if (dyno_outcome_text(record->outcome) == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no outcome %u", (unsigned)record->outcome);
    if ((record->flags & ~flags_known()) != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no flag among 0x%x", (unsigned)record->flags);
    return record->kind == DYNO_RECORD_USAGE ? check_usage(record, err) : check_other(record, err);
}

/* --- bytes --- */

void dyno_record_encode(const struct dyno_record *record, uint8_t bytes_out[DYNO_RECORD_BYTES])
{
    const bool is_void = record->kind == DYNO_RECORD_VOID;
    uint8_t *at = bytes_out;
    dyno_le_put_u16(at + AT_FORMAT, DYNO_RECORD_FORMAT);
    at[AT_KIND] = (uint8_t)record->kind;
    at[AT_OUTCOME] = (uint8_t)record->outcome;
    dyno_le_put_u32(at + AT_FLAGS, record->flags);
    dyno_le_put_u32(at + AT_NODE, record->id.node);
    dyno_le_put_u32(at + AT_EPOCH, record->id.epoch);
    dyno_le_put_u64(at + AT_SEQ, record->id.seq);
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        dyno_le_put_u32(at + AT_NAMES + 4 * (size_t)i, record->names[i]);
    dyno_le_put_u32(at + AT_ITEMS, record->items);
    dyno_le_put_u64(at + AT_BATCH_ID, is_void ? record->voids.seq : record->batch_id);
    dyno_le_put_u64(at + AT_START, record->start_ns);
    dyno_le_put_u64(at + AT_QUEUE, record->queue_ns);
    dyno_le_put_u64(at + AT_DEVICE, record->device_ns);
    dyno_le_put_u64(at + AT_REFERENCE, record->reference_ns);
    dyno_le_put_u64(at + AT_MEMORY, (uint64_t)record->memory_byte_ns);
    dyno_le_put_u64(at + AT_MEMORY + 8, (uint64_t)(record->memory_byte_ns >> 64));
    dyno_le_put_u32(at + AT_BATCH_COUNT, is_void ? record->voids.epoch : record->batch_count);
    dyno_le_put_u32(at + AT_CRC, dyno_crc32c(0, at, AT_CRC));
}

enum dyno_status dyno_record_decode(const uint8_t bytes[DYNO_RECORD_BYTES],
                                    struct dyno_record *record_out, struct dyno_err *err)
{
    const uint8_t *at = bytes;
    struct dyno_record *r = record_out;
    const uint32_t crc = dyno_crc32c(0, at, AT_CRC);
    *r = (struct dyno_record){0};
    if (dyno_le_u32(at + AT_CRC) != crc)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its checksum is %08x, its bytes have %08x",
                         (unsigned)dyno_le_u32(at + AT_CRC), (unsigned)crc);
    if (dyno_le_u16(at + AT_FORMAT) != DYNO_RECORD_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "it has format %u, this build knows %u",
                         (unsigned)dyno_le_u16(at + AT_FORMAT), DYNO_RECORD_FORMAT);
    r->kind = (enum dyno_record_kind)at[AT_KIND];
    r->outcome = (enum dyno_outcome)at[AT_OUTCOME];
    r->flags = dyno_le_u32(at + AT_FLAGS);
    r->id.node = dyno_le_u32(at + AT_NODE);
    r->id.epoch = dyno_le_u32(at + AT_EPOCH);
    r->id.seq = dyno_le_u64(at + AT_SEQ);
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        r->names[i] = dyno_le_u32(at + AT_NAMES + 4 * (size_t)i);
    r->items = dyno_le_u32(at + AT_ITEMS);
    r->batch_id = dyno_le_u64(at + AT_BATCH_ID);
    r->start_ns = dyno_le_u64(at + AT_START);
    r->queue_ns = dyno_le_u64(at + AT_QUEUE);
    r->device_ns = dyno_le_u64(at + AT_DEVICE);
    r->reference_ns = dyno_le_u64(at + AT_REFERENCE);
    r->memory_byte_ns = (dyno_u128)dyno_le_u64(at + AT_MEMORY + 8) << 64;
    r->memory_byte_ns |= dyno_le_u64(at + AT_MEMORY);
    r->batch_count = dyno_le_u32(at + AT_BATCH_COUNT);
    if (r->kind == DYNO_RECORD_VOID) {
        r->voids = (struct dyno_record_id){r->id.node, r->batch_count, r->batch_id};
        r->batch_count = 0;
        r->batch_id = 0;
    }
    if (r->id.epoch == 0 || r->id.seq == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its epoch or seq is 0");
    if (dyno_record_check(r, err) == DYNO_OK)
        return DYNO_OK;
    if (err != NULL)
        err->status = DYNO_E_FORMAT; /* the file's fault, not the caller's */
    return DYNO_E_FORMAT;
}
