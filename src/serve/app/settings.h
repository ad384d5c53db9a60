/* settings.h - logging, tracing and shared memory regions, whichever protocol asks for them. */
#ifndef DYNO_SERVE_APP_SETTINGS_H
#define DYNO_SERVE_APP_SETTINGS_H

#include "serve/app/server.h"
#include "serve/v2/settings.h"

#define DYNO_APP_SETTINGS_MAX 6 /* of logging, or of tracing */

/* Change what is logged, all of it or nothing.  E_ARG: a setting that there is not, or of the wrong
 * kind; E_UNSUPPORTED: the file, which nobody may name over the network. */
enum dyno_status dyno_app_set_log(const struct dyno_v2_setting *settings, struct dyno_err *err);
/* What is logged now; how many settings. */
size_t dyno_app_log_settings(struct dyno_v2_setting *settings_out);

/* Nothing is traced here: a setting may be set to what it is, and else is refused (E_UNSUPPORTED).
 * `model` and `version` may be ""; E_NOT_FOUND. */
enum dyno_status dyno_app_set_trace(struct dyno_server *server, const char *model,
                                    const char *version, const struct dyno_v2_setting *settings,
                                    struct dyno_err *err);
size_t dyno_app_trace_settings(struct dyno_v2_setting *settings_out);

/* E_UNSUPPORTED when clients may lend no memory. */
enum dyno_status dyno_app_register(struct dyno_server *server, const struct dyno_v2_region *region,
                                   struct dyno_err *err);
enum dyno_status dyno_app_unregister(struct dyno_server *server, const char *name,
                                     struct dyno_err *err);
/* All regions, or the one of that name; without client memory there are none. */
enum dyno_status dyno_app_regions(struct dyno_server *server, const char *name,
                                  struct dyno_arena *arena, struct dyno_v2_region **regions_out,
                                  size_t *count_out, struct dyno_err *err);
/* Memory of GPUs: there is none to lend, so registering is E_UNSUPPORTED, a name E_NOT_FOUND, and
 * the list empty. */
enum dyno_status dyno_app_cuda_register(struct dyno_err *err);
enum dyno_status dyno_app_cuda_find(const char *name, struct dyno_err *err);
enum dyno_status dyno_app_cuda_unregister(struct dyno_server *server, struct dyno_err *err);

#endif /* DYNO_SERVE_APP_SETTINGS_H */
