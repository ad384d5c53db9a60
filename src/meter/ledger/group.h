/* group.h - what a commit writes: one group of records with the names that are new in it, bound
 * into a chain of hashes and a tree over all groups.
 *
 * docs/ledger-format.md has the bytes.  All bytes are hostile until they are decoded.  Pure
 * functions; nothing allocates; any thread.
 */
#ifndef DYNO_METER_LEDGER_GROUP_H
#define DYNO_METER_LEDGER_GROUP_H

#include "meter/account/record.h"
#include "meter/ledger/merkle.h"

#define DYNO_LEDGER_FORMAT      1U
#define DYNO_GROUP_HEADER_BYTES 132U
#define DYNO_GROUP_RECORDS_MAX  4096U
#define DYNO_GROUP_ENTRIES_MAX  4096U
#define DYNO_GROUP_ITEMS_MAX    (DYNO_GROUP_RECORDS_MAX + DYNO_GROUP_ENTRIES_MAX)
#define DYNO_SEED_BYTES         32U
#define DYNO_SALT_BYTES         16U
#define DYNO_NAME_BYTES_MAX     255U
#define DYNO_ENTRY_HEAD_BYTES   8U
#define DYNO_ENTRIES_BYTES_MAX  (256U * 1024U)

/* Values are those of the file: append. */
#define DYNO_GROUP_KIND_MAP(X)                                                \
    X(START, 1, "start")     /* the first of an epoch */                      \
    X(RECORDS, 2, "records") /* at least one */                               \
    X(MARK, 3, "mark")       /* nothing but the watermark of what has left */ \
    X(CLOSE, 4, "close")     /* the last of its file, which ends in order */

enum dyno_group_kind {
#define X(sym, value, text) DYNO_GROUP_##sym = (value),
    DYNO_GROUP_KIND_MAP(X)
#undef X
};

struct dyno_group {
    enum dyno_group_kind kind;
    uint32_t segment; /* the number of its file */
    uint32_t node, epoch;
    uint64_t number;    /* counts the groups of the node's ledger, from 0 on */
    uint64_t first_seq; /* of its records; without any: the next one's */
    uint64_t sent_seq;  /* the answers of all records of this epoch up to here have left */
    uint64_t time_ns;   /* of the system's clock, never less than that of the group before */
    uint32_t record_count, entry_count, entries_bytes;
    struct dyno_digest before;     /* the hash of the group before; of the first: zeros */
    struct dyno_digest items_root; /* of the tree over entries and records */
};

void dyno_group_encode(const struct dyno_group *group, uint8_t bytes_out[DYNO_GROUP_HEADER_BYTES]);
/* E_CORRUPT, E_UNSUPPORTED, E_FORMAT. */
enum dyno_status dyno_group_decode(const uint8_t *bytes, size_t bytes_count,
                                   struct dyno_group *group_out, struct dyno_err *err);
/* The link of the chain, and the leaf of the tree over groups. */
void dyno_group_hash(const uint8_t header[DYNO_GROUP_HEADER_BYTES], struct dyno_digest *hash_out);

/* --- items: first the new names, then the records --- */

/* One name that is new in this file: its number is one more than the last one's of its kind. */
struct dyno_entry {
    enum dyno_name_kind kind;
    uint32_t id;
    const char *text; /* not terminated; UTF-8 without control characters */
    uint32_t text_bytes;
    const uint8_t *bytes; /* the entry as it lies there */
    uint32_t bytes_count;
};

/* May this be a name?  1 to DYNO_NAME_BYTES_MAX bytes of UTF-8, none of them a control character.
 */
bool dyno_name_ok(const char *text, size_t bytes);
/* Bytes written: DYNO_ENTRY_HEAD_BYTES and the text. */
uint32_t dyno_entry_encode(enum dyno_name_kind kind, uint32_t id, const char *text,
                           uint32_t text_bytes, uint8_t *bytes_out);
/* The entry at bytes[left]. */
enum dyno_status dyno_entry_decode(const uint8_t *bytes, size_t left, struct dyno_entry *entry_out,
                                   struct dyno_err *err);

struct dyno_items {
    const uint8_t *seed; /* DYNO_SEED_BYTES; keeps what a proof does not show from being guessed */
    const uint8_t *entries, *records;
    uint32_t entry_count, entries_bytes, record_count;
};

/* The items of a group in bytes[bytes_count]; E_FORMAT when their size is not what the group says.
 * Entries and records are not looked at. */
enum dyno_status dyno_items_open(const struct dyno_group *group, const uint8_t *bytes,
                                 size_t bytes_count, struct dyno_items *items_out,
                                 struct dyno_err *err);

#define DYNO_ITEM_ENTRY  2U
#define DYNO_ITEM_RECORD 3U

/* The salt of the item `index`, entries before records. */
void dyno_item_salt(const uint8_t seed[DYNO_SEED_BYTES], uint32_t index,
                    uint8_t salt_out[DYNO_SALT_BYTES]);
/* The leaf of an item: DYNO_ITEM_ENTRY or DYNO_ITEM_RECORD. */
void dyno_item_leaf(uint8_t type, const uint8_t salt[DYNO_SALT_BYTES], const uint8_t *bytes,
                    size_t bytes_count, struct dyno_digest *leaf_out);
/* All leaves, to leaves_out[entry_count + record_count]; E_FORMAT when the entries are damaged. */
enum dyno_status dyno_items_leaves(const struct dyno_items *items, struct dyno_digest *leaves_out,
                                   struct dyno_err *err);

const char *dyno_group_kind_text(uint32_t kind);

#endif /* DYNO_METER_LEDGER_GROUP_H */
