/* settings.h - requests that change settings and lend memory, and what is told of both: logging,
 * tracing, shared memory regions.
 *
 * Pure functions of bytes.  What a request says comes as a list of settings, in order, whichever
 * protocol carried it; what a setting means is not decided here.
 */
#ifndef DYNO_SERVE_V2_SETTINGS_H
#define DYNO_SERVE_V2_SETTINGS_H

#include "base/json.h"
#include "serve/v2/infer.h"

#define DYNO_V2_SETTINGS_MAX 64 /* of one request */

enum dyno_v2_setting_kind {
    DYNO_V2_SETTING_NONE, /* null, or a list of nothing: as it was before it was set */
    DYNO_V2_SETTING_BOOL,
    DYNO_V2_SETTING_UINT,
    DYNO_V2_SETTING_TEXT,
    DYNO_V2_SETTING_LIST, /* written only: a list of the one text */
};

/* A list of several texts comes as several settings of one name. */
struct dyno_v2_setting {
    const struct dyno_v2_setting *next;
    const char *name;
    enum dyno_v2_setting_kind kind;
    bool boolean;
    uint32_t number;
    const char *text;
};

/* `root` may be NULL: nothing.  E_FORMAT: a value that is of no kind; E_LIMIT. */
enum dyno_status dyno_v2_json_settings(const struct dyno_json *root, struct dyno_arena *arena,
                                       const struct dyno_v2_setting **settings_out,
                                       struct dyno_err *err);
/* LogSettingsRequest and TraceSettingRequest; *model_out is "" where it has none. */
enum dyno_status dyno_v2_pb_settings(const void *body, size_t bytes, struct dyno_arena *arena,
                                     const struct dyno_v2_setting **settings_out,
                                     const char **model_out, struct dyno_err *err);

/* An object of all of them. */
void dyno_v2_json_put_settings(struct dyno_json_writer *json,
                               const struct dyno_v2_setting *settings, size_t count);
/* The fields of LogSettingsResponse, or of TraceSettingResponse, whose values are lists of texts.
 */
void dyno_v2_pb_put_settings(struct dyno_strbuf *out, const struct dyno_v2_setting *settings,
                             size_t count, bool is_trace);

/* --- shared memory regions --- */

struct dyno_v2_region {
    const char *name, *key;
    uint64_t offset, bytes;
};

/* The body of a register request over HTTP: key and byte_size, perhaps offset.  E_ARG. */
enum dyno_status dyno_v2_json_region(const struct dyno_json *root,
                                     struct dyno_v2_region *region_out, struct dyno_err *err);
/* SystemSharedMemoryRegisterRequest; of other requests about regions the name. */
enum dyno_status dyno_v2_pb_region(const void *body, size_t bytes, struct dyno_arena *arena,
                                   struct dyno_v2_region *region_out, struct dyno_err *err);

void dyno_v2_json_put_region(struct dyno_json_writer *json, const struct dyno_v2_region *region);
/* One entry of SystemSharedMemoryStatusResponse's map. */
void dyno_v2_pb_put_region(struct dyno_strbuf *out, const struct dyno_v2_region *region);

#endif /* DYNO_SERVE_V2_SETTINGS_H */
