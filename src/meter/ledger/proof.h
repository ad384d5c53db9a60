/* proof.h - one record, with its names, and what shows that it is in a ledger: a text that can be
 * checked alone, by anybody.
 *
 * It is JSON: hexadecimal bytes of the record and of the entries of its names, each with its salt
 * and its path in its group; the headers of those groups, each with its path in the tree over all
 * groups; and the head whose root those paths lead to.  Nothing in it tells of other records.
 */
#ifndef DYNO_METER_LEDGER_PROOF_H
#define DYNO_METER_LEDGER_PROOF_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "meter/ledger/reader.h"

#define DYNO_PROOF_GROUPS_MAX (1U + DYNO_NAME_KINDS)

/* Under the first head that is over the record; when there is none yet, under an unsigned one over
 * all that is there.  The files (of the store; NULL: paths) follow one another.  E_NOT_FOUND: no
 * such record in them; E_CORRUPT: what was read leads to another root than the head's. */
enum dyno_status dyno_proof_make(const struct dyno_ledger_store *store, const char *const *paths,
                                 size_t path_count, struct dyno_record_id id,
                                 struct dyno_strbuf *json_out, struct dyno_err *err);

/* What a proof shows. */
struct dyno_proof_report {
    struct dyno_record record;
    const char *names[DYNO_NAME_KINDS]; /* in the arena; "" for none */
    struct dyno_group group;            /* of the record */
    struct dyno_head head;              /* its signature is right when it has one */
};

/* E_FORMAT: no proof, or one that leaves something out; E_CORRUPT: it shows nothing, for something
 * in it was changed; E_UNSUPPORTED: no libcrypto, and the head is signed. */
enum dyno_status dyno_proof_check(const char *json, size_t bytes, struct dyno_arena *arena,
                                  struct dyno_proof_report *report_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_PROOF_H */
