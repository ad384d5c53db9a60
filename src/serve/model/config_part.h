/* config_part.h - what the files that read config.json share.  E_FORMAT names the field. */
#ifndef DYNO_SERVE_MODEL_CONFIG_PART_H
#define DYNO_SERVE_MODEL_CONFIG_PART_H

#include "base/json.h"
#include "serve/model/repository.h"

/* A whole number between 0 and max. */
enum dyno_status dyno_config_whole(const struct dyno_json *value, const char *name, int64_t max,
                                   int64_t *out, struct dyno_err *err);
enum dyno_status dyno_config_flag(const struct dyno_json *value, const char *name, bool *out,
                                  struct dyno_err *err);

/* "cuda:N", or "cuda", the first; "cpu" where that may be. */
enum dyno_status dyno_config_device(const struct dyno_json *value, const char *name,
                                    bool may_be_cpu, const char **out, struct dyno_err *err);

/* {"max_batch": 8, "level": 3, "shapes": {...}, "device": "cuda:1", "fp16": true, ...}; texts are
 * in `arena`. */
enum dyno_status dyno_config_build(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_make_wish *build, struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_CONFIG_PART_H */
