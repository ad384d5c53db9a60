/* heads.h - heads as they are published: one line of JSON each, kept, appended to a file, and
 * checked one after another.
 *
 * A line has the head's bytes as "head" and what shows that it goes on from the one before as
 * "proof", in hexadecimal; what else is in it is for people.  Lines are hostile until they are
 * read.
 */
#ifndef DYNO_METER_LEDGER_HEADS_H
#define DYNO_METER_LEDGER_HEADS_H

#include "base/json.h"
#include "meter/ledger/head.h"

#define DYNO_HEAD_LINE_BYTES_MAX 65536U

struct dyno_head_line {
    uint8_t bytes[DYNO_HEAD_BYTES];
    struct dyno_head head;
    uint8_t proof[DYNO_HEAD_PROOF_MAX];
    size_t proof_bytes;
};

/* The figures of a head as members of an object. */
void dyno_head_json(const struct dyno_head *head, struct dyno_json_writer *json);
/* A line, its end included. */
void dyno_head_line_print(const struct dyno_head *head, const uint8_t *bytes, const uint8_t *proof,
                          size_t proof_bytes, struct dyno_strbuf *out);
/* E_FORMAT, E_CORRUPT, E_UNSUPPORTED.  The signature is not looked at. */
enum dyno_status dyno_head_line_parse(const char *text, size_t bytes,
                                      struct dyno_head_line *line_out, struct dyno_err *err);

/* --- one after another --- */

/* Zero-initialised, and the key, is the begin. */
struct dyno_head_chain {
    const uint8_t *key; /* DYNO_KEY_BYTES; every head must be signed by it; NULL: by any */
    bool has_last;
    struct dyno_head last;
    uint64_t count, signed_count;
    uint64_t gaps; /* heads whose proofs begin at another than the one before: heads are missing */
};
/* One more.  E_CORRUPT: a signature or a proof is wrong; E_MISMATCH: another node or key, an order
 * that no ledger makes, or two heads of one place. */
enum dyno_status dyno_head_chain_add(struct dyno_head_chain *chain,
                                     const struct dyno_head_line *line, struct dyno_err *err);

/* --- publishing --- */

/* The newest heads of a ledger that is written, at hand, and all of them in a file: each is
 * appended in one write, and synced.  What a crash left out is appended at the next head. */
struct dyno_head_board;

struct dyno_head_board_options {
    const char *ledger;  /* its folder */
    uint32_t node;       /* its node */
    const char *publish; /* a file; in a folder, heads-NODE.jsonl; NULL: nowhere */
};

/* E_BUSY: another process publishes there; E_MISMATCH: heads of another node; E_FORMAT, E_IO. */
enum dyno_status dyno_head_board_create(const struct dyno_head_board_options *options,
                                        struct dyno_head_board **board_out, struct dyno_err *err);
void dyno_head_board_destroy(struct dyno_head_board *board); /* accepts NULL */

/* dyno_ledger_options.on_head, with the board as its `arg`. */
void dyno_head_board_take(void *arg, const struct dyno_head *head, const uint8_t *bytes,
                          const uint8_t *proof, size_t proof_bytes);
/* What is published is of another ledger, or this one was changed since: E_MISMATCH.  Ask when the
 * ledger is open. */
enum dyno_status dyno_head_board_check(struct dyno_head_board *board, struct dyno_err *err);
/* The newest lines, oldest first; any thread. */
void dyno_head_board_print(struct dyno_head_board *board, struct dyno_strbuf *out);

#endif /* DYNO_METER_LEDGER_HEADS_H */
