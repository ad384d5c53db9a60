/* internal.h - what the files of a certificate share. */
#ifndef DYNO_METER_CERT_INTERNAL_H
#define DYNO_METER_CERT_INTERNAL_H

#include "meter/cert/cert.h"

/* Do counts and numbers lie in the ranges that deriving leans on?  E_FORMAT, E_LIMIT. */
enum dyno_status dyno_cert_check_samples(const struct dyno_cert *cert, struct dyno_err *err);
/* The same for segments, once the batch is known; and whether a certificate that is no trial has
 * what the method asks for: processes, blocks, segments. */
enum dyno_status dyno_cert_check_segments(const struct dyno_cert *cert, struct dyno_err *err);

/* "2026-01-31T12:00:00Z" as seconds since 1970; false when it is not written like that. */
bool dyno_cert_time(const char *text, int64_t *time_s_out);

#endif /* DYNO_METER_CERT_INTERNAL_H */
