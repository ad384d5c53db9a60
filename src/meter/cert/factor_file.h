/* factor_file.h - the table of devices out of a file. */
#ifndef DYNO_METER_CERT_FACTOR_FILE_H
#define DYNO_METER_CERT_FACTOR_FILE_H

#include "meter/cert/factor.h"

/* Errors begin with the path. */
enum dyno_status dyno_factors_load(const char *path, struct dyno_arena *arena,
                                   struct dyno_factors *factors_out, struct dyno_err *err);

#endif /* DYNO_METER_CERT_FACTOR_FILE_H */
