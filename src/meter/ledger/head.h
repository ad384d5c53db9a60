/* head.h - what a ledger says of itself: heads, which are signed and published, proofs that one
 * goes on from another, and the opening of a file, which says what lies before it.
 *
 * docs/ledger-format.md has the bytes; all are hostile until they are decoded.  Pure functions but
 * for the signatures (sign.h); nothing allocates.
 */
#ifndef DYNO_METER_LEDGER_HEAD_H
#define DYNO_METER_LEDGER_HEAD_H

#include "meter/ledger/group.h"
#include "meter/ledger/sign.h"

#define DYNO_HEAD_BYTES        212U
#define DYNO_HEAD_PROOF_MAX    (8U + DYNO_DIGEST_BYTES * (64U + DYNO_COVER_MAX))
#define DYNO_OPENING_BYTES_MAX (92U + DYNO_DIGEST_BYTES * 64U)

/* The ledger of a node at one moment. */
struct dyno_head {
    uint32_t node, segment, epoch;
    uint64_t seq;         /* of the last record of that epoch; 0: none */
    uint64_t group_count; /* in the whole ledger, from its first file on */
    uint64_t time_ns;
    struct dyno_digest chain; /* the hash of the last group */
    struct dyno_digest root;  /* of the tree over all groups */
    bool is_signed;
    bool is_last;                /* no group comes after: the ledger was retired (retire.h) */
    uint8_t key[DYNO_KEY_BYTES]; /* public; zeros when it is not signed */
    uint8_t signature[DYNO_SIGNATURE_BYTES];
};

/* Signs it when there is a signer (may be NULL), and writes it. */
enum dyno_status dyno_head_encode(struct dyno_head *head, struct dyno_signer *signer,
                                  uint8_t bytes_out[DYNO_HEAD_BYTES], struct dyno_err *err);
/* E_CORRUPT, E_UNSUPPORTED, E_FORMAT.  The signature is not looked at. */
enum dyno_status dyno_head_decode(const uint8_t *bytes, size_t bytes_count,
                                  struct dyno_head *head_out, struct dyno_err *err);
/* E_CORRUPT when the signature is not the key's; a head without one passes. */
enum dyno_status dyno_head_check(const uint8_t bytes[DYNO_HEAD_BYTES], struct dyno_err *err);

/* --- consistency of a head with the one before --- */

/* Returns the bytes written: the tree at `before`, and what was added (merkle.h). */
size_t dyno_head_proof_encode(const struct dyno_frontier *before, const struct dyno_cover *cover,
                              uint8_t bytes_out[DYNO_HEAD_PROOF_MAX]);
/* The frontiers that a proof speaks of; E_FORMAT.  Compare their roots with those of the heads. */
enum dyno_status dyno_head_proof_decode(const uint8_t *bytes, size_t bytes_count, uint64_t end,
                                        struct dyno_frontier *before_out,
                                        struct dyno_frontier *after_out, struct dyno_err *err);

/* --- the opening of a file --- */

struct dyno_opening {
    uint32_t node, segment;
    uint64_t time_ns;
    uint32_t last_epoch; /* of the records before; 0: there are none */
    uint64_t last_seq, last_sent_seq;
    struct dyno_digest chain;      /* the hash of the last group before */
    struct dyno_frontier frontier; /* of the tree over the groups before */
};

size_t dyno_opening_encode(const struct dyno_opening *opening,
                           uint8_t bytes_out[DYNO_OPENING_BYTES_MAX]);
enum dyno_status dyno_opening_decode(const uint8_t *bytes, size_t bytes_count,
                                     struct dyno_opening *opening_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_HEAD_H */
