/* group.c - bytes of groups, names and items, and their hashes. */
#include "meter/ledger/group.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/le.h"
#include "base/utf8.h"

#define GROUP_MAGIC 0x31475944U /* "DYG1" */

/* First bytes of what is hashed: nothing of one sort can be taken for another.  1 is that of inner
 * nodes (merkle.c). */
#define HASH_LEAF  0U
#define HASH_GROUP 2U
#define HASH_SALT  3U

enum {
    AT_MAGIC = 0,
    AT_FORMAT = 4,
    AT_KIND = 6,
    AT_NODE = 8,
    AT_EPOCH = 12,
    AT_SEGMENT = 16,
    AT_RECORDS = 20,
    AT_NUMBER = 24,
    AT_FIRST_SEQ = 32,
    AT_SENT_SEQ = 40,
    AT_TIME = 48,
    AT_ENTRIES = 56,
    AT_ENTRIES_BYTES = 60,
    AT_BEFORE = 64,
    AT_ROOT = 96,
    AT_CRC = 128,
};

const char *dyno_group_kind_text(uint32_t kind)
{
    switch (kind) {
#define X(sym, value, text) \
    case (value):           \
        return text;
        DYNO_GROUP_KIND_MAP(X)
#undef X
    default:
        return NULL;
    }
}

/* --- headers --- */

void dyno_group_encode(const struct dyno_group *group, uint8_t bytes_out[DYNO_GROUP_HEADER_BYTES])
{
    uint8_t *at = bytes_out;
    dyno_le_put_u32(at + AT_MAGIC, GROUP_MAGIC);
    dyno_le_put_u16(at + AT_FORMAT, DYNO_LEDGER_FORMAT);
    dyno_le_put_u16(at + AT_KIND, (uint16_t)group->kind);
    dyno_le_put_u32(at + AT_NODE, group->node);
    dyno_le_put_u32(at + AT_EPOCH, group->epoch);
    dyno_le_put_u32(at + AT_SEGMENT, group->segment);
    dyno_le_put_u32(at + AT_RECORDS, group->record_count);
    dyno_le_put_u64(at + AT_NUMBER, group->number);
    dyno_le_put_u64(at + AT_FIRST_SEQ, group->first_seq);
    dyno_le_put_u64(at + AT_SENT_SEQ, group->sent_seq);
    dyno_le_put_u64(at + AT_TIME, group->time_ns);
    dyno_le_put_u32(at + AT_ENTRIES, group->entry_count);
    dyno_le_put_u32(at + AT_ENTRIES_BYTES, group->entries_bytes);
    memcpy(at + AT_BEFORE, group->before.bytes, DYNO_DIGEST_BYTES);
    memcpy(at + AT_ROOT, group->items_root.bytes, DYNO_DIGEST_BYTES);
    dyno_le_put_u32(at + AT_CRC, dyno_crc32c(0, at, AT_CRC));
}

static enum dyno_status check_counts(const struct dyno_group *g, struct dyno_err *err)
{
    if (dyno_group_kind_text(g->kind) == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "there is no kind %u of groups", (unsigned)g->kind);
    if (g->epoch == 0 || g->segment == 0 || g->first_seq == 0 || g->first_seq > INT64_MAX ||
        g->number > INT64_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "epoch %" PRIu32 ", segment %" PRIu32 ", seq %" PRIu64
                         ": each counts from 1 on, to 2^63",
                         g->epoch, g->segment, g->first_seq);
    if ((g->kind == DYNO_GROUP_RECORDS) != (g->record_count > 0) ||
        g->record_count > DYNO_GROUP_RECORDS_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a group of the kind %s has %" PRIu32 " records",
                         dyno_group_kind_text(g->kind), g->record_count);
    if (g->entry_count > DYNO_GROUP_ENTRIES_MAX || g->entries_bytes > DYNO_ENTRIES_BYTES_MAX ||
        ((g->entry_count > 0 || g->entries_bytes > 0) && g->record_count == 0))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "%" PRIu32 " names in %" PRIu32 " bytes, of %" PRIu32 " records",
                         g->entry_count, g->entries_bytes, g->record_count);
    if (g->sent_seq >= g->first_seq + g->record_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the answer of record %" PRIu64 " has left, and the last one is %" PRIu64,
                         g->sent_seq, g->first_seq + g->record_count - 1);
    return DYNO_OK;
}

enum dyno_status dyno_group_decode(const uint8_t *bytes, size_t bytes_count,
                                   struct dyno_group *group_out, struct dyno_err *err)
{
    const uint8_t *at = bytes;
    struct dyno_group *g = group_out;
    *g = (struct dyno_group){0};
    if (bytes_count != DYNO_GROUP_HEADER_BYTES || dyno_le_u32(at + AT_MAGIC) != GROUP_MAGIC)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no header of a group");
    if (dyno_le_u16(at + AT_FORMAT) != DYNO_LEDGER_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "it has format %u, this build knows %u",
                         (unsigned)dyno_le_u16(at + AT_FORMAT), DYNO_LEDGER_FORMAT);
    if (dyno_le_u32(at + AT_CRC) != dyno_crc32c(0, at, AT_CRC))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the checksum of its header differs");
    g->kind = (enum dyno_group_kind)dyno_le_u16(at + AT_KIND);
    g->node = dyno_le_u32(at + AT_NODE);
    g->epoch = dyno_le_u32(at + AT_EPOCH);
    g->segment = dyno_le_u32(at + AT_SEGMENT);
    g->record_count = dyno_le_u32(at + AT_RECORDS);
    g->number = dyno_le_u64(at + AT_NUMBER);
    g->first_seq = dyno_le_u64(at + AT_FIRST_SEQ);
    g->sent_seq = dyno_le_u64(at + AT_SENT_SEQ);
    g->time_ns = dyno_le_u64(at + AT_TIME);
    g->entry_count = dyno_le_u32(at + AT_ENTRIES);
    g->entries_bytes = dyno_le_u32(at + AT_ENTRIES_BYTES);
    memcpy(g->before.bytes, at + AT_BEFORE, DYNO_DIGEST_BYTES);
    memcpy(g->items_root.bytes, at + AT_ROOT, DYNO_DIGEST_BYTES);
    return check_counts(g, err);
}

void dyno_group_hash(const uint8_t header[DYNO_GROUP_HEADER_BYTES], struct dyno_digest *hash_out)
{
    static const uint8_t type = HASH_GROUP;
    struct dyno_sha256 sha;
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, &type, 1);
    dyno_sha256_update(&sha, header, DYNO_GROUP_HEADER_BYTES);
    dyno_sha256_final(&sha, hash_out->bytes);
}

/* --- names --- */

bool dyno_name_ok(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > DYNO_NAME_BYTES_MAX)
        return false;
    for (size_t at = 0; at < bytes;) {
        const size_t length = dyno_utf8_next(text + at, bytes - at);
        if (length == 0 || (unsigned char)text[at] < 0x20 || text[at] == 0x7f)
            return false;
        at += length;
    }
    return true;
}

uint32_t dyno_entry_encode(enum dyno_name_kind kind, uint32_t id, const char *text,
                           uint32_t text_bytes, uint8_t *bytes_out)
{
    dyno_le_put_u32(bytes_out, id);
    dyno_le_put_u16(bytes_out + 4, (uint16_t)kind);
    dyno_le_put_u16(bytes_out + 6, (uint16_t)text_bytes);
    memcpy(bytes_out + DYNO_ENTRY_HEAD_BYTES, text, text_bytes);
    return DYNO_ENTRY_HEAD_BYTES + text_bytes;
}

enum dyno_status dyno_entry_decode(const uint8_t *bytes, size_t left, struct dyno_entry *entry_out,
                                   struct dyno_err *err)
{
    *entry_out = (struct dyno_entry){0};
    if (left < DYNO_ENTRY_HEAD_BYTES || left - DYNO_ENTRY_HEAD_BYTES < dyno_le_u16(bytes + 6))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a name is longer than the bytes that are left");
    const uint32_t kind = dyno_le_u16(bytes + 4);
    *entry_out = (struct dyno_entry){
        .kind = (enum dyno_name_kind)kind,
        .id = dyno_le_u32(bytes),
        .text = (const char *)bytes + DYNO_ENTRY_HEAD_BYTES,
        .text_bytes = dyno_le_u16(bytes + 6),
        .bytes = bytes,
        .bytes_count = DYNO_ENTRY_HEAD_BYTES + dyno_le_u16(bytes + 6),
    };
    if (dyno_name_kind_text(kind) == NULL || entry_out->id == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "name %u of kind %u: there is no such kind or number",
                         (unsigned)entry_out->id, (unsigned)kind);
    if (!dyno_name_ok(entry_out->text, entry_out->text_bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the name of %s %u is no text of 1 to %u bytes of UTF-8",
                         dyno_name_kind_text(kind), (unsigned)entry_out->id, DYNO_NAME_BYTES_MAX);
    return DYNO_OK;
}

/* --- items --- */

enum dyno_status dyno_items_open(const struct dyno_group *group, const uint8_t *bytes,
                                 size_t bytes_count, struct dyno_items *items_out,
                                 struct dyno_err *err)
{
    const size_t want = group->record_count == 0
                            ? 0
                            : DYNO_SEED_BYTES + (size_t)group->entries_bytes +
                                  (size_t)group->record_count * DYNO_RECORD_BYTES;
    *items_out = (struct dyno_items){0};
    if (bytes_count != want)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its items have %zu bytes, its header says %zu",
                         bytes_count, want);
    if (want == 0) /* no seed either: nothing would tell when it was changed */
        return DYNO_OK;
    *items_out = (struct dyno_items){
        .seed = bytes,
        .entries = bytes + DYNO_SEED_BYTES,
        .records = bytes + DYNO_SEED_BYTES + group->entries_bytes,
        .entry_count = group->entry_count,
        .entries_bytes = group->entries_bytes,
        .record_count = group->record_count,
    };
    return DYNO_OK;
}

void dyno_item_salt(const uint8_t seed[DYNO_SEED_BYTES], uint32_t index,
                    uint8_t salt_out[DYNO_SALT_BYTES])
{
    uint8_t bytes[1 + DYNO_SEED_BYTES + 4];
    struct dyno_digest digest;
    struct dyno_sha256 sha;
    bytes[0] = HASH_SALT;
    memcpy(bytes + 1, seed, DYNO_SEED_BYTES);
    dyno_le_put_u32(bytes + 1 + DYNO_SEED_BYTES, index);
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, bytes, sizeof(bytes));
    dyno_sha256_final(&sha, digest.bytes);
    memcpy(salt_out, digest.bytes, DYNO_SALT_BYTES);
}

void dyno_item_leaf(uint8_t type, const uint8_t salt[DYNO_SALT_BYTES], const uint8_t *bytes,
                    size_t bytes_count, struct dyno_digest *leaf_out)
{
    uint8_t head[2 + DYNO_SALT_BYTES];
    struct dyno_sha256 sha;
    head[0] = HASH_LEAF;
    head[1] = type;
    memcpy(head + 2, salt, DYNO_SALT_BYTES);
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, head, sizeof(head));
    dyno_sha256_update(&sha, bytes, bytes_count);
    dyno_sha256_final(&sha, leaf_out->bytes);
}

/* As dyno_item_salt and dyno_item_leaf have them, two at a time. */
static void leaf_pair(const struct dyno_items *items, uint32_t index, struct dyno_digest *leaves)
{
    uint8_t salts[2][1 + DYNO_SEED_BYTES + 4];
    uint8_t bytes[2][2 + DYNO_SALT_BYTES + DYNO_RECORD_BYTES];
    struct dyno_digest digests[2];
    for (uint32_t k = 0; k < 2; k++) {
        salts[k][0] = HASH_SALT;
        memcpy(salts[k] + 1, items->seed, DYNO_SEED_BYTES);
        dyno_le_put_u32(salts[k] + 1 + DYNO_SEED_BYTES, items->entry_count + index + k);
    }
    dyno_sha256_pair(salts[0], salts[1], sizeof(salts[0]), digests[0].bytes, digests[1].bytes);
    for (uint32_t k = 0; k < 2; k++) {
        bytes[k][0] = HASH_LEAF;
        bytes[k][1] = DYNO_ITEM_RECORD;
        memcpy(bytes[k] + 2, digests[k].bytes, DYNO_SALT_BYTES);
        memcpy(bytes[k] + 2 + DYNO_SALT_BYTES,
               items->records + (size_t)(index + k) * DYNO_RECORD_BYTES, DYNO_RECORD_BYTES);
    }
    dyno_sha256_pair(bytes[0], bytes[1], sizeof(bytes[0]), leaves[0].bytes, leaves[1].bytes);
}

static void record_leaves(const struct dyno_items *items, struct dyno_digest *leaves)
{
    uint32_t i = 0;
    for (; i + 2 <= items->record_count; i += 2)
        leaf_pair(items, i, &leaves[i]);
    if (i < items->record_count) {
        uint8_t salt[DYNO_SALT_BYTES];
        dyno_item_salt(items->seed, items->entry_count + i, salt);
        dyno_item_leaf(DYNO_ITEM_RECORD, salt, items->records + (size_t)i * DYNO_RECORD_BYTES,
                       DYNO_RECORD_BYTES, &leaves[i]);
    }
}

enum dyno_status dyno_items_leaves(const struct dyno_items *items, struct dyno_digest *leaves_out,
                                   struct dyno_err *err)
{
    uint8_t salt[DYNO_SALT_BYTES];
    size_t at = 0;
    for (uint32_t i = 0; i < items->entry_count; i++) {
        struct dyno_entry entry;
        DYNO_TRY(dyno_entry_decode(items->entries + at, items->entries_bytes - at, &entry, err));
        dyno_item_salt(items->seed, i, salt);
        dyno_item_leaf(DYNO_ITEM_ENTRY, salt, entry.bytes, entry.bytes_count, &leaves_out[i]);
        at += entry.bytes_count;
    }
    if (at != items->entries_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%zu bytes are left after its names",
                         items->entries_bytes - at);
    record_leaves(items, leaves_out + items->entry_count);
    return DYNO_OK;
}
