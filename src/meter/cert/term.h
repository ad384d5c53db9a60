/* term.h - a record that cites a certificate which did not count when it began: its term was over,
 * or it was suspended.
 *
 * A server leaves such a certificate out of its records, some seconds after it was suspended.  One
 * that cites it all the same (those seconds, a clock that was set back, another program) is no
 * claim on the customer: of what it says to have delivered at most its own device time counts.
 */
#ifndef DYNO_METER_CERT_TERM_H
#define DYNO_METER_CERT_TERM_H

#include "meter/cert/state.h"

struct dyno_cert_term {
    int64_t ends_s;   /* INT64_MAX: not known */
    uint32_t threads; /* of the device, where its time is told by core */
    /* When it was suspended, in order; the last one may go on.  In the arena. */
    uint32_t suspended_count;
    const struct dyno_cert_span *suspended;
};

/* By the state that lies in the folder beside it; errors of dyno_cert_state_read, E_NOMEM. */
enum dyno_status dyno_cert_term_of(const struct dyno_cert *cert, const char *folder,
                                   struct dyno_arena *arena, struct dyno_cert_term *term_out,
                                   struct dyno_err *err);
/* Of FOLDER/ADDRESS.KIND.json; of a certificate that cannot be read there it is not known.  Errors
 * of dyno_cert_term_of. */
enum dyno_status dyno_cert_term_read(const char *folder, const char *address,
                                     enum dyno_cert_kind kind, struct dyno_arena *arena,
                                     struct dyno_cert_term *term_out, struct dyno_err *err);

/* What it was at that time. */
enum dyno_cert_state_kind dyno_cert_term_at(const struct dyno_cert_term *term, int64_t time_s);

/* What counts of reference_ns when it does not: at most what the device took (is_core: device_ns
 * are those of its cores). */
uint64_t dyno_cert_term_bound(const struct dyno_cert_term *term, uint64_t reference_ns,
                              uint64_t device_ns, bool is_core);

#endif /* DYNO_METER_CERT_TERM_H */
