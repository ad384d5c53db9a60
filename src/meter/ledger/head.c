/* head.c - bytes of heads, their proofs, and openings. */
#include "meter/ledger/head.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/le.h"

#define HEAD_MAGIC    0x31485944U /* "DYH1" */
#define OPENING_MAGIC 0x314f5944U /* "DYO1" */
#define FLAG_SIGNED   1U
#define FLAG_LAST     2U

/* --- heads --- */

enum {
    HEAD_AT_MAGIC = 0,
    HEAD_AT_FORMAT = 4,
    HEAD_AT_FLAGS = 6,
    HEAD_AT_NODE = 8,
    HEAD_AT_SEGMENT = 12,
    HEAD_AT_EPOCH = 16,
    HEAD_AT_ZERO = 20,
    HEAD_AT_SEQ = 24,
    HEAD_AT_GROUPS = 32,
    HEAD_AT_TIME = 40,
    HEAD_AT_CHAIN = 48,
    HEAD_AT_ROOT = 80,
    HEAD_AT_KEY = 112,
    HEAD_AT_SIGNATURE = 144,
    HEAD_AT_CRC = 208,
};

/* What is signed: nothing else that anybody signs with that key begins so. */
#define SIGNED_PREFIX "dyno ledger head 1\n"
#define SIGNED_BYTES  (sizeof(SIGNED_PREFIX) - 1 + HEAD_AT_SIGNATURE)

static void put_signed(const uint8_t *bytes, uint8_t out[SIGNED_BYTES])
{
    memcpy(out, SIGNED_PREFIX, sizeof(SIGNED_PREFIX) - 1);
    memcpy(out + sizeof(SIGNED_PREFIX) - 1, bytes, HEAD_AT_SIGNATURE);
}

enum dyno_status dyno_head_encode(struct dyno_head *head, struct dyno_signer *signer,
                                  uint8_t bytes_out[DYNO_HEAD_BYTES], struct dyno_err *err)
{
    uint8_t message[SIGNED_BYTES];
    uint8_t *at = bytes_out;
    memset(head->key, 0, sizeof(head->key));
    memset(head->signature, 0, sizeof(head->signature));
    head->is_signed = signer != NULL;
    if (signer != NULL)
        dyno_signer_key(signer, head->key);
    dyno_le_put_u32(at + HEAD_AT_MAGIC, HEAD_MAGIC);
    dyno_le_put_u16(at + HEAD_AT_FORMAT, DYNO_LEDGER_FORMAT);
    dyno_le_put_u16(at + HEAD_AT_FLAGS, (uint16_t)((signer != NULL ? FLAG_SIGNED : 0) |
                                                   (head->is_last ? FLAG_LAST : 0)));
    dyno_le_put_u32(at + HEAD_AT_NODE, head->node);
    dyno_le_put_u32(at + HEAD_AT_SEGMENT, head->segment);
    dyno_le_put_u32(at + HEAD_AT_EPOCH, head->epoch);
    dyno_le_put_u32(at + HEAD_AT_ZERO, 0);
    dyno_le_put_u64(at + HEAD_AT_SEQ, head->seq);
    dyno_le_put_u64(at + HEAD_AT_GROUPS, head->group_count);
    dyno_le_put_u64(at + HEAD_AT_TIME, head->time_ns);
    memcpy(at + HEAD_AT_CHAIN, head->chain.bytes, DYNO_DIGEST_BYTES);
    memcpy(at + HEAD_AT_ROOT, head->root.bytes, DYNO_DIGEST_BYTES);
    memcpy(at + HEAD_AT_KEY, head->key, DYNO_KEY_BYTES);
    put_signed(at, message);
    if (signer != NULL)
        DYNO_TRY(dyno_signer_sign(signer, message, sizeof(message), head->signature, err));
    memcpy(at + HEAD_AT_SIGNATURE, head->signature, DYNO_SIGNATURE_BYTES);
    dyno_le_put_u32(at + HEAD_AT_CRC, dyno_crc32c(0, at, HEAD_AT_CRC));
    return DYNO_OK;
}

enum dyno_status dyno_head_decode(const uint8_t *bytes, size_t bytes_count,
                                  struct dyno_head *head_out, struct dyno_err *err)
{
    const uint8_t *at = bytes;
    struct dyno_head *h = head_out;
    *h = (struct dyno_head){0};
    if (bytes_count != DYNO_HEAD_BYTES || dyno_le_u32(at + HEAD_AT_MAGIC) != HEAD_MAGIC)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no head of a ledger");
    if (dyno_le_u16(at + HEAD_AT_FORMAT) != DYNO_LEDGER_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "the head has format %u, this build knows %u",
                         (unsigned)dyno_le_u16(at + HEAD_AT_FORMAT), DYNO_LEDGER_FORMAT);
    if (dyno_le_u32(at + HEAD_AT_CRC) != dyno_crc32c(0, at, HEAD_AT_CRC))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the checksum of the head differs");
    h->is_signed = (dyno_le_u16(at + HEAD_AT_FLAGS) & FLAG_SIGNED) != 0;
    h->is_last = (dyno_le_u16(at + HEAD_AT_FLAGS) & FLAG_LAST) != 0;
    h->node = dyno_le_u32(at + HEAD_AT_NODE);
    h->segment = dyno_le_u32(at + HEAD_AT_SEGMENT);
    h->epoch = dyno_le_u32(at + HEAD_AT_EPOCH);
    h->seq = dyno_le_u64(at + HEAD_AT_SEQ);
    h->group_count = dyno_le_u64(at + HEAD_AT_GROUPS);
    h->time_ns = dyno_le_u64(at + HEAD_AT_TIME);
    memcpy(h->chain.bytes, at + HEAD_AT_CHAIN, DYNO_DIGEST_BYTES);
    memcpy(h->root.bytes, at + HEAD_AT_ROOT, DYNO_DIGEST_BYTES);
    memcpy(h->key, at + HEAD_AT_KEY, DYNO_KEY_BYTES);
    memcpy(h->signature, at + HEAD_AT_SIGNATURE, DYNO_SIGNATURE_BYTES);
    if ((dyno_le_u16(at + HEAD_AT_FLAGS) & ~(FLAG_SIGNED | FLAG_LAST)) != 0 ||
        dyno_le_u32(at + HEAD_AT_ZERO) != 0 || h->group_count == 0 || h->group_count > INT64_MAX ||
        h->epoch == 0 || h->segment == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the head has flags or counts that nothing writes");
    return DYNO_OK;
}

enum dyno_status dyno_head_check(const uint8_t bytes[DYNO_HEAD_BYTES], struct dyno_err *err)
{
    uint8_t message[SIGNED_BYTES];
    struct dyno_head head;
    DYNO_TRY(dyno_head_decode(bytes, DYNO_HEAD_BYTES, &head, err));
    if (!head.is_signed)
        return DYNO_OK;
    put_signed(bytes, message);
    return dyno_signature_check(head.key, message, sizeof(message), head.signature, err);
}

/* --- consistency --- */

static size_t put_digests(uint8_t *at, const struct dyno_digest *digests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(at + (size_t)i * DYNO_DIGEST_BYTES, digests[i].bytes, DYNO_DIGEST_BYTES);
    return (size_t)count * DYNO_DIGEST_BYTES;
}

static size_t get_digests(const uint8_t *at, struct dyno_digest *digests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(digests[i].bytes, at + (size_t)i * DYNO_DIGEST_BYTES, DYNO_DIGEST_BYTES);
    return (size_t)count * DYNO_DIGEST_BYTES;
}

size_t dyno_head_proof_encode(const struct dyno_frontier *before, const struct dyno_cover *cover,
                              uint8_t bytes_out[DYNO_HEAD_PROOF_MAX])
{
    size_t at = 8;
    DYNO_ASSERT(before->count == cover->begin);
    dyno_le_put_u64(bytes_out, before->count);
    at += put_digests(bytes_out + at, before->peaks, before->peak_count);
    at += put_digests(bytes_out + at, cover->trees, cover->count);
    return at;
}

enum dyno_status dyno_head_proof_decode(const uint8_t *bytes, size_t bytes_count, uint64_t end,
                                        struct dyno_frontier *before_out,
                                        struct dyno_frontier *after_out, struct dyno_err *err)
{
    struct dyno_digest trees[DYNO_COVER_MAX];
    *before_out = (struct dyno_frontier){0};
    *after_out = (struct dyno_frontier){0};
    const size_t digest_count = bytes_count < 8 ? 0 : (bytes_count - 8) / DYNO_DIGEST_BYTES;
    const uint64_t begin = bytes_count < 8 ? 0 : dyno_le_u64(bytes);
    const uint32_t peaks = dyno_frontier_peaks(begin);
    if (bytes_count < 8 || (bytes_count - 8) % DYNO_DIGEST_BYTES != 0 || begin > end ||
        end > INT64_MAX || digest_count < peaks || digest_count - peaks > DYNO_COVER_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the proof of a head has %zu bytes, of %" PRIu64 " groups and %" PRIu64
                         " before",
                         bytes_count, end, begin);
    const uint32_t tree_count = (uint32_t)digest_count - peaks;
    before_out->count = begin;
    before_out->peak_count = peaks;
    const size_t at = 8 + get_digests(bytes + 8, before_out->peaks, peaks);
    (void)get_digests(bytes + at, trees, tree_count);
    *after_out = *before_out;
    if (!dyno_frontier_add_cover(after_out, end, trees, tree_count))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the proof of a head does not lead from %" PRIu64 " groups to %" PRIu64,
                         begin, end);
    return DYNO_OK;
}

/* --- openings --- */

enum {
    OPENING_AT_FORMAT = 4,
    OPENING_AT_ZERO = 6,
    OPENING_AT_NODE = 8,
    OPENING_AT_SEGMENT = 12,
    OPENING_AT_GROUPS = 16,
    OPENING_AT_TIME = 24,
    OPENING_AT_EPOCH = 32,
    OPENING_AT_ZERO_TOO = 36,
    OPENING_AT_SEQ = 40,
    OPENING_AT_SENT = 48,
    OPENING_AT_CHAIN = 56,
    OPENING_AT_PEAKS = 88,
};

size_t dyno_opening_encode(const struct dyno_opening *opening,
                           uint8_t bytes_out[DYNO_OPENING_BYTES_MAX])
{
    uint8_t *at = bytes_out;
    dyno_le_put_u32(at, OPENING_MAGIC);
    dyno_le_put_u16(at + OPENING_AT_FORMAT, DYNO_LEDGER_FORMAT);
    dyno_le_put_u16(at + OPENING_AT_ZERO, 0);
    dyno_le_put_u32(at + OPENING_AT_NODE, opening->node);
    dyno_le_put_u32(at + OPENING_AT_SEGMENT, opening->segment);
    dyno_le_put_u64(at + OPENING_AT_GROUPS, opening->frontier.count);
    dyno_le_put_u64(at + OPENING_AT_TIME, opening->time_ns);
    dyno_le_put_u32(at + OPENING_AT_EPOCH, opening->last_epoch);
    dyno_le_put_u32(at + OPENING_AT_ZERO_TOO, 0);
    dyno_le_put_u64(at + OPENING_AT_SEQ, opening->last_seq);
    dyno_le_put_u64(at + OPENING_AT_SENT, opening->last_sent_seq);
    memcpy(at + OPENING_AT_CHAIN, opening->chain.bytes, DYNO_DIGEST_BYTES);
    const size_t end =
        OPENING_AT_PEAKS +
        put_digests(at + OPENING_AT_PEAKS, opening->frontier.peaks, opening->frontier.peak_count);
    dyno_le_put_u32(at + end, dyno_crc32c(0, at, end));
    return end + 4;
}

enum dyno_status dyno_opening_decode(const uint8_t *bytes, size_t bytes_count,
                                     struct dyno_opening *opening_out, struct dyno_err *err)
{
    const uint8_t *at = bytes;
    struct dyno_opening *o = opening_out;
    *o = (struct dyno_opening){0};
    if (bytes_count < OPENING_AT_PEAKS + 4 || dyno_le_u32(at) != OPENING_MAGIC)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it has no opening of a ledger");
    if (dyno_le_u16(at + OPENING_AT_FORMAT) != DYNO_LEDGER_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "it has format %u, this build knows %u",
                         (unsigned)dyno_le_u16(at + OPENING_AT_FORMAT), DYNO_LEDGER_FORMAT);
    const uint64_t groups = dyno_le_u64(at + OPENING_AT_GROUPS);
    const uint32_t peaks = dyno_frontier_peaks(groups);
    const size_t end = OPENING_AT_PEAKS + (size_t)peaks * DYNO_DIGEST_BYTES;
    if (bytes_count != end + 4)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "its opening has %zu bytes, after %" PRIu64 " groups it has %zu",
                         bytes_count, groups, end + 4);
    if (dyno_le_u32(at + end) != dyno_crc32c(0, at, end))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the checksum of its opening differs");
    o->node = dyno_le_u32(at + OPENING_AT_NODE);
    o->segment = dyno_le_u32(at + OPENING_AT_SEGMENT);
    o->time_ns = dyno_le_u64(at + OPENING_AT_TIME);
    o->last_epoch = dyno_le_u32(at + OPENING_AT_EPOCH);
    o->last_seq = dyno_le_u64(at + OPENING_AT_SEQ);
    o->last_sent_seq = dyno_le_u64(at + OPENING_AT_SENT);
    memcpy(o->chain.bytes, at + OPENING_AT_CHAIN, DYNO_DIGEST_BYTES);
    o->frontier.count = groups;
    o->frontier.peak_count = peaks;
    (void)get_digests(at + OPENING_AT_PEAKS, o->frontier.peaks, peaks);
    if (dyno_le_u16(at + OPENING_AT_ZERO) != 0 || dyno_le_u32(at + OPENING_AT_ZERO_TOO) != 0 ||
        o->segment == 0 || groups > INT64_MAX || o->last_seq > INT64_MAX ||
        o->last_sent_seq > o->last_seq || (groups == 0) != (o->last_epoch == 0))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its opening has numbers that nothing writes");
    return DYNO_OK;
}
