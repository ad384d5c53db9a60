/* record.h - the usage record: what one request took, and the other entries of an account.
 *
 * Its bytes are of one size, little-endian, and end with their CRC-32C; docs/ledger-format.md has
 * the table.  Names (of tenants, models, ...) are numbers of the dictionary of the ledger file that
 * the record lies in, from 1 on, 0 being none.  Times are nanoseconds; a start is one of the
 * system's clock, since 1970.  Nothing here allocates or keeps state; any thread.
 */
#ifndef DYNO_METER_ACCOUNT_RECORD_H
#define DYNO_METER_ACCOUNT_RECORD_H

#include <stdbool.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "base/wide.h"

#define DYNO_RECORD_FORMAT    1U
#define DYNO_RECORD_BYTES     128U
#define DYNO_RECORD_NODE_MAX  UINT32_MAX
#define DYNO_RECORD_TEXT_ROOM 48 /* of an id as text */

/* X(symbol, value, text): what a record is about.  Values are those of the file: append. */
#define DYNO_RECORD_KIND_MAP(X)                                                      \
    X(USAGE, 1, "usage")         /* a request */                                     \
    X(VOID, 2, "void")           /* the answer of that record did not leave */       \
    X(RESIDENCY, 3, "residency") /* a model that was held in memory */               \
    X(PLATFORM, 4, "platform")   /* the platform's own work: warm-up, builds, ... */ \
    X(IDLE, 5, "idle")           /* a device that did nothing */

/* How a request ended.  What is not OK delivers no reference-ns. */
#define DYNO_OUTCOME_MAP(X)                                      \
    X(NONE, 0, "none") /* a record of another kind than USAGE */ \
    X(OK, 1, "ok")                                               \
    X(FAILED, 2, "failed")                                       \
    X(REFUSED, 3, "refused")                                     \
    X(CACHED, 4, "cached")                                       \
    X(CANCELLED, 5, "cancelled")

#define DYNO_RECORD_FLAG_MAP(X)                                                             \
    X(RELAXED, 1, "relaxed")           /* the answer left before the record was durable */  \
    X(CORE_NS, 2, "core-ns")           /* device_ns are those of processor cores */         \
    X(OUT_OF_RANGE, 4, "out-of-range") /* no certified shape: reference_ns are device_ns */ \
    X(UNCERTIFIED, 8, "uncertified")   /* no reference certificate: the same */             \
    X(DEGRADED, 16, "degraded")        /* another variant served it than was wanted */

enum dyno_record_kind {
#define X(sym, value, text) DYNO_RECORD_##sym = (value),
    DYNO_RECORD_KIND_MAP(X)
#undef X
};

enum dyno_outcome {
#define X(sym, value, text) DYNO_OUTCOME_##sym = (value),
    DYNO_OUTCOME_MAP(X)
#undef X
};

enum dyno_record_flag {
#define X(sym, value, text) DYNO_RECORD_##sym = (value),
    DYNO_RECORD_FLAG_MAP(X)
#undef X
};

/* What a record's name numbers mean: each kind is counted on its own.  Values are those of the
 * file: append. */
#define DYNO_NAME_KIND_MAP(X)                            \
    X(TENANT, 1, "tenant", tenant)                       \
    X(MODEL, 2, "model", model)                          \
    X(VARIANT, 3, "variant", variant)                    \
    X(REFERENCE, 4, "reference_certificate", reference)  \
    X(CERTIFICATE, 5, "engine_certificate", certificate) \
    X(CLASS, 6, "class", class_name)                     \
    X(SHAPE, 7, "shape", shape)                          \
    X(DEVICE, 8, "device", device)                       \
    X(TARIFF, 9, "tariff", tariff)

enum dyno_name_kind {
#define X(sym, value, text, field) DYNO_NAME_##sym = (value),
    DYNO_NAME_KIND_MAP(X)
#undef X
};
#define DYNO_NAME_KINDS 9U

/* "tenant"; NULL: no kind has this value. */
const char *dyno_name_kind_text(uint32_t kind);

/* Of all records there ever are.  Epochs of a node grow from start to start; seq counts from 1 in
 * each, without a gap. */
struct dyno_record_id {
    uint32_t node, epoch;
    uint64_t seq;
};

struct dyno_record {
    struct dyno_record_id id;
    enum dyno_record_kind kind;
    enum dyno_outcome outcome;
    uint32_t flags;                  /* enum dyno_record_flag */
    uint32_t names[DYNO_NAME_KINDS]; /* by enum dyno_name_kind - 1 */
    uint32_t items;                  /* images, sequences, ... of the request */
    uint32_t batch_count;            /* requests that ran with it, itself included */
    uint64_t batch_id;               /* of the run; 0: it ran on no device */
    uint64_t start_ns;               /* when it came, or when the span begins */
    uint64_t queue_ns;               /* it waited; of other kinds: how long the span is */
    uint64_t device_ns;              /* its share of the device */
    uint64_t reference_ns;           /* what it delivered: EPU-hours times 3.6e12 */
    dyno_u128 memory_byte_ns;        /* bytes held, times how long */
    struct dyno_record_id voids;     /* VOID: which; node is the record's own */
};

static inline uint32_t dyno_record_name(const struct dyno_record *record, enum dyno_name_kind kind)
{
    return record->names[kind - 1];
}

/* E_ARG, with the field and the rule, when no ledger may hold this. */
enum dyno_status dyno_record_check(const struct dyno_record *record, struct dyno_err *err);

/* The record must pass dyno_record_check. */
void dyno_record_encode(const struct dyno_record *record, uint8_t bytes_out[DYNO_RECORD_BYTES]);

/* E_CORRUPT: the checksum differs; E_UNSUPPORTED: a newer format; E_FORMAT: it is right, and what
 * it covers is nothing that we write. */
enum dyno_status dyno_record_decode(const uint8_t bytes[DYNO_RECORD_BYTES],
                                    struct dyno_record *record_out, struct dyno_err *err);

/* "1-1764401000-42": node, epoch, seq. */
const char *dyno_record_id_text(struct dyno_record_id id, char out[DYNO_RECORD_TEXT_ROOM]);
enum dyno_status dyno_record_id_parse(const char *text, struct dyno_record_id *id_out,
                                      struct dyno_err *err);

/* "usage", "ok"; NULL when there is none of this value. */
const char *dyno_record_kind_text(uint32_t kind);
const char *dyno_outcome_text(uint32_t outcome);
/* "relaxed,core-ns" */
void dyno_record_flags_print(uint32_t flags, struct dyno_strbuf *out);

#endif /* DYNO_METER_ACCOUNT_RECORD_H */
