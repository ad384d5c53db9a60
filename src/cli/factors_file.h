/* factors_file.h - the table of devices out of a file. */
#ifndef DYNO_CLI_FACTORS_FILE_H
#define DYNO_CLI_FACTORS_FILE_H

#include "meter/cert/factor.h"

/* Errors begin with the path. */
enum dyno_status dyno_factors_load(const char *path, struct dyno_arena *arena,
                                   struct dyno_factors *factors_out, struct dyno_err *err);

#endif /* DYNO_CLI_FACTORS_FILE_H */
