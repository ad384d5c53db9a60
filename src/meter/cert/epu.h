/* epu.h - what a request is worth: its work in reference-ns, a property of the request.
 *
 * One reference-ns is what the unoptimised execution does in a nanosecond on the reference device;
 * 3.6e12 of them are an EPU-hour.  Pure functions; any thread.
 */
#ifndef DYNO_METER_CERT_EPU_H
#define DYNO_METER_CERT_EPU_H

#include "meter/cert/cert.h"

#define DYNO_EPU_HOUR_NS 3600000000000U

/* What a request is charged by. */
enum dyno_epu_basis {
    DYNO_EPU_CERTIFIED,   /* items x t_ref of its shape */
    DYNO_EPU_OUTSIDE,     /* its shape lies outside the certificate's range: its own device time */
    DYNO_EPU_UNCERTIFIED, /* its model has no reference certificate: its own device time */
    DYNO_EPU_NONE,        /* nothing was delivered (cached, failed, refused): 0 */
};

struct dyno_epu {
    uint64_t reference_ns;
    enum dyno_epu_basis basis;
};

/* What inputs of a request look like: dims[i][ranks[i]] of the certificate's input i. */
struct dyno_epu_shape {
    const int64_t *const *dims;
    const uint32_t *ranks;
};

/* The EPU of a request.  reference: the model's certificate, NULL: none.  device_ns: its own device
 * time, of the whole device that the certificate is of (core-ns divided by its threads).
 * A trial counts as one (whoever bills asks dyno_cert_check); a refused one does not.
 * delivered: false for a cached answer, a failed or a refused request.
 *
 * Items are the size of the first dimension of the first input, 1 where it has none.  t_ref is
 * interpolated linearly between the certified points, in each dimension of the grid; the product
 * with the items is exact (whole numbers) and rounded down once: no request costs more than its
 * share of the certified time, and two halves of one never more than the whole.
 *
 * Outside is a size outside the range of the certificate's inputs or points, a size that inputs
 * share and do not agree about, more than 2^20 items, or none. */
struct dyno_epu dyno_epu_of(const struct dyno_cert *reference, const struct dyno_epu_shape *shape,
                            uint64_t device_ns, bool delivered);

/* "certified", "outside", "uncertified", "none". */
const char *dyno_epu_basis_text(enum dyno_epu_basis basis);

#endif /* DYNO_METER_CERT_EPU_H */
