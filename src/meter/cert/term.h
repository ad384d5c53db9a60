/* term.h - a record that cites a certificate whose term was over when it began.
 *
 * A certificate counts for no request after its term, and a server leaves it out of their records.
 * One that cites it all the same (a clock that was set back, another program) is no claim on the
 * customer: of what it says to have delivered at most its own device time counts.
 */
#ifndef DYNO_METER_CERT_TERM_H
#define DYNO_METER_CERT_TERM_H

#include "meter/cert/cert.h"

struct dyno_cert_term {
    int64_t ends_s;   /* INT64_MAX: not known */
    uint32_t threads; /* of the device, where its time is told by core */
};

struct dyno_cert_term dyno_cert_term_of(const struct dyno_cert *cert);
/* Of FOLDER/ADDRESS.KIND.json; of what cannot be read there it is not known.  E_NOMEM. */
enum dyno_status dyno_cert_term_read(const char *folder, const char *address,
                                     enum dyno_cert_kind kind, struct dyno_cert_term *term_out,
                                     struct dyno_err *err);

/* What counts of reference_ns once it is over: at most what the device took (is_core: device_ns are
 * those of its cores). */
uint64_t dyno_cert_term_bound(const struct dyno_cert_term *term, uint64_t reference_ns,
                              uint64_t device_ns, bool is_core);

#endif /* DYNO_METER_CERT_TERM_H */
