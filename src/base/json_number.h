/* json_number.h - the number at `at`, for json_read.c: sets number, is_int and integer of the
 * token and returns where it ends; *why_out when it is malformed. */
#ifndef DYNO_BASE_JSON_NUMBER_H
#define DYNO_BASE_JSON_NUMBER_H

#include "base/json.h"

const char *dyno_json_number(const char *at, const char *end, struct dyno_json_token *token,
                             const char **why_out);

#endif /* DYNO_BASE_JSON_NUMBER_H */
