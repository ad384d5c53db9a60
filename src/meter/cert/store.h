/* store.h - a folder of certificates, each under its address.
 *
 * Files that cannot be read or are no certificates are passed over with a warning: a damaged one
 * must not hide the others.  One thread at a time.
 */
#ifndef DYNO_METER_CERT_STORE_H
#define DYNO_METER_CERT_STORE_H

#include "meter/cert/cert.h"

/* Of which kind, and what dyno_cert_check is asked. */
struct dyno_cert_query {
    enum dyno_cert_kind kind;
    bool is_trial; /* exactly that */
    struct dyno_cert_want want;
};

/* The certificate in force (neither suspended nor expired at want.now_s, which is not 0).  Of
 * several reference certificates the oldest: a certificate is never rebased; of engine certificates
 * the newest.  NULL in cert_out: there is none.  E_NOT_FOUND, E_IO: the folder cannot be
 * read; E_NOMEM. */
DYNO_NODISCARD enum dyno_status dyno_cert_find(const char *folder,
                                               const struct dyno_cert_query *query,
                                               struct dyno_cert **cert_out, struct dyno_err *err);

/* Put the addresses of refused certificates of the same kind, model, engine and device into `cert`,
 * which is not yet derived: every attempt is kept. */
DYNO_NODISCARD enum dyno_status dyno_cert_add_earlier(const char *folder, struct dyno_cert *cert,
                                                      struct dyno_err *err);

#endif /* DYNO_METER_CERT_STORE_H */
