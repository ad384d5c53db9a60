/* state.h - what has become of a certificate: said beside its file, for it is never changed itself.
 *
 * FOLDER/ADDRESS.state.json holds one object: certificate, state ("in force", "suspended"), since,
 * reason, and where there are any the suspensions before.  No file: in force.  A suspended
 * certificate stands for records that exist and counts for no new ones, so when it was suspended is
 * kept for good: a bill that is made again must come out the same.  That a term is over follows
 * from the certificate alone.
 */
#ifndef DYNO_METER_CERT_STATE_H
#define DYNO_METER_CERT_STATE_H

#include "meter/cert/cert.h"

#define DYNO_CERT_REASON_BYTES 256U
#define DYNO_CERT_BEFORE_MAX   64U

enum dyno_cert_state_kind { DYNO_CERT_IN_FORCE, DYNO_CERT_SUSPENDED, DYNO_CERT_EXPIRED };

/* A time in which it was suspended: from, and before. */
struct dyno_cert_span {
    int64_t from_s, until_s;
};

struct dyno_cert_state {
    enum dyno_cert_state_kind kind;
    int64_t since_s;
    char reason[DYNO_CERT_REASON_BYTES];
    /* Suspensions that ended, in order. */
    uint32_t before_count;
    struct dyno_cert_span before[DYNO_CERT_BEFORE_MAX];
};

/* The state at now_s.  E_FORMAT, E_CORRUPT (of another certificate): errors begin with the path. */
DYNO_NODISCARD enum dyno_status dyno_cert_state_read(const struct dyno_cert *cert,
                                                     const char *folder, int64_t now_s,
                                                     struct dyno_cert_state *state_out,
                                                     struct dyno_err *err);

/* IN_FORCE or SUSPENDED, from since_s on.  What the file says of earlier is carried on, and not
 * taken from `state`; who is suspended already stays so since then.  E_LIMIT: too many suspensions;
 * errors of reading it. */
DYNO_NODISCARD enum dyno_status dyno_cert_state_write(const struct dyno_cert *cert,
                                                      const char *folder,
                                                      const struct dyno_cert_state *state,
                                                      struct dyno_err *err);

/* "in force", "suspended", "expired". */
const char *dyno_cert_state_text(enum dyno_cert_state_kind kind);

#endif /* DYNO_METER_CERT_STATE_H */
