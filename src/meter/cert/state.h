/* state.h - what has become of a certificate: said beside its file, for it is never changed itself.
 *
 * FOLDER/ADDRESS.state.json holds one object: certificate, state ("in force", "suspended"), since,
 * reason.  No file: in force.  A suspended certificate stands for records that exist and counts for
 * no new ones.  That a term is over follows from the certificate alone.
 */
#ifndef DYNO_METER_CERT_STATE_H
#define DYNO_METER_CERT_STATE_H

#include "meter/cert/cert.h"

#define DYNO_CERT_REASON_BYTES 256U

enum dyno_cert_state_kind { DYNO_CERT_IN_FORCE, DYNO_CERT_SUSPENDED, DYNO_CERT_EXPIRED };

struct dyno_cert_state {
    enum dyno_cert_state_kind kind;
    int64_t since_s;
    char reason[DYNO_CERT_REASON_BYTES];
};

/* The state at now_s.  E_FORMAT, E_CORRUPT (of another certificate): errors begin with the path. */
DYNO_NODISCARD enum dyno_status dyno_cert_state_read(const struct dyno_cert *cert,
                                                     const char *folder, int64_t now_s,
                                                     struct dyno_cert_state *state_out,
                                                     struct dyno_err *err);

/* IN_FORCE or SUSPENDED, from since_s on. */
DYNO_NODISCARD enum dyno_status dyno_cert_state_write(const struct dyno_cert *cert,
                                                      const char *folder,
                                                      const struct dyno_cert_state *state,
                                                      struct dyno_err *err);

/* "in force", "suspended", "expired". */
const char *dyno_cert_state_text(enum dyno_cert_state_kind kind);

#endif /* DYNO_METER_CERT_STATE_H */
