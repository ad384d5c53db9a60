/* settings.c - the judgement of settings, and regions between the protocol and their module. */
#include "serve/app/settings.h"

#include <string.h>

#include "base/log.h"

/* --- logging --- */

static const struct {
    const char *name;
    enum dyno_log_level level;
} log_levels[] = {
    {"log_info", DYNO_LOG_INFO}, {"log_warning", DYNO_LOG_WARN}, {"log_error", DYNO_LOG_ERROR}};

static bool is_name(const struct dyno_v2_setting *setting, const char *name)
{
    return strcmp(setting->name, name) == 0;
}

/* Check one setting, or set it. */
static enum dyno_status take_log(const struct dyno_v2_setting *setting, bool does_set,
                                 struct dyno_err *err)
{
    const enum dyno_v2_setting_kind kind = setting->kind;
    for (size_t i = 0; i < DYNO_COUNT(log_levels); i++) {
        if (!is_name(setting, log_levels[i].name))
            continue;
        if (kind != DYNO_V2_SETTING_BOOL && kind != DYNO_V2_SETTING_NONE)
            return DYNO_FAIL(err, DYNO_E_ARG, "setting '%s' must be a boolean", setting->name);
        if (does_set && kind == DYNO_V2_SETTING_BOOL)
            dyno_log_enable(log_levels[i].level, setting->boolean);
        return DYNO_OK;
    }
    if (is_name(setting, "log_verbose_level")) {
        if (kind != DYNO_V2_SETTING_UINT && kind != DYNO_V2_SETTING_NONE)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "setting 'log_verbose_level' must be a whole number, not negative");
        if (does_set && kind == DYNO_V2_SETTING_UINT)
            dyno_log_enable(DYNO_LOG_DEBUG, setting->number > 0);
        return DYNO_OK;
    }
    if (is_name(setting, "log_format")) {
        const bool is_text = kind == DYNO_V2_SETTING_TEXT;
        const bool is_iso = is_text && strcmp(setting->text, "ISO8601") == 0;
        if (kind != DYNO_V2_SETTING_NONE && !is_iso &&
            !(is_text && strcmp(setting->text, "default") == 0))
            return DYNO_FAIL(err, DYNO_E_ARG, "setting 'log_format' must be default or ISO8601");
        if (does_set && is_text)
            dyno_log_set_time(is_iso);
        return DYNO_OK;
    }
    if (!is_name(setting, "log_file"))
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no setting '%.64s' of logging", setting->name);
    return kind == DYNO_V2_SETTING_NONE
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "log_file cannot be set over the network");
}

enum dyno_status dyno_app_set_log(const struct dyno_v2_setting *settings, struct dyno_err *err)
{
    for (const struct dyno_v2_setting *at = settings; at != NULL; at = at->next)
        DYNO_TRY(take_log(at, false, err));
    for (const struct dyno_v2_setting *at = settings; at != NULL; at = at->next)
        (void)!take_log(at, true, err);
    if (settings != NULL)
        dyno_log(DYNO_LOG_INFO, "logging was set: errors %d, warnings %d, details %d",
                 dyno_log_on(DYNO_LOG_ERROR), dyno_log_on(DYNO_LOG_WARN),
                 dyno_log_on(DYNO_LOG_DEBUG));
    return DYNO_OK;
}

size_t dyno_app_log_settings(struct dyno_v2_setting *settings_out)
{
    size_t count = 0;
    settings_out[count++] =
        (struct dyno_v2_setting){.name = "log_file", .kind = DYNO_V2_SETTING_TEXT, .text = ""};
    for (size_t i = 0; i < DYNO_COUNT(log_levels); i++)
        settings_out[count++] =
            (struct dyno_v2_setting){.name = log_levels[i].name,
                                     .kind = DYNO_V2_SETTING_BOOL,
                                     .boolean = dyno_log_on(log_levels[i].level)};
    settings_out[count++] = (struct dyno_v2_setting){.name = "log_verbose_level",
                                                     .kind = DYNO_V2_SETTING_UINT,
                                                     .number = dyno_log_on(DYNO_LOG_DEBUG)};
    settings_out[count++] =
        (struct dyno_v2_setting){.name = "log_format",
                                 .kind = DYNO_V2_SETTING_TEXT,
                                 .text = dyno_log_has_time() ? "ISO8601" : "default"};
    return count;
}

/* --- tracing --- */

/* Triton's settings with Triton's defaults, which mean that nothing is traced. */
static const struct dyno_v2_setting trace_settings[] = {
    {.name = "trace_level", .kind = DYNO_V2_SETTING_LIST, .text = "OFF"},
    {.name = "trace_rate", .kind = DYNO_V2_SETTING_TEXT, .text = "1000"},
    {.name = "trace_count", .kind = DYNO_V2_SETTING_TEXT, .text = "-1"},
    {.name = "log_frequency", .kind = DYNO_V2_SETTING_TEXT, .text = "0"},
    {.name = "trace_file", .kind = DYNO_V2_SETTING_TEXT, .text = ""},
    {.name = "trace_mode", .kind = DYNO_V2_SETTING_TEXT, .text = "triton"},
};
_Static_assert(DYNO_COUNT(trace_settings) <= DYNO_APP_SETTINGS_MAX, "callers have room for these");

static enum dyno_status check_trace(const struct dyno_v2_setting *setting, struct dyno_err *err)
{
    if (setting->kind == DYNO_V2_SETTING_NONE)
        return DYNO_OK;
    if (is_name(setting, "trace_file"))
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "trace_file cannot be set over the network");
    for (size_t i = 0; i < DYNO_COUNT(trace_settings); i++) {
        if (!is_name(setting, trace_settings[i].name))
            continue;
        if (setting->kind != DYNO_V2_SETTING_TEXT)
            return DYNO_FAIL(err, DYNO_E_ARG, "setting '%s' must be a string", setting->name);
        if (strcmp(setting->text, trace_settings[i].text) == 0)
            return DYNO_OK;
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "this server does not trace: %s can only be '%s'",
                         setting->name, trace_settings[i].text);
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "there is no setting '%.64s' of tracing", setting->name);
}

enum dyno_status dyno_app_set_trace(struct dyno_server *server, const char *model,
                                    const char *version, const struct dyno_v2_setting *settings,
                                    struct dyno_err *err)
{
    struct dyno_variant *variant = NULL;
    if (model[0] != 0) {
        DYNO_TRY(dyno_catalog_find(server->catalog, model, version, &variant, err));
        dyno_variant_unref(variant);
    }
    for (; settings != NULL; settings = settings->next)
        DYNO_TRY(check_trace(settings, err));
    return DYNO_OK;
}

size_t dyno_app_trace_settings(struct dyno_v2_setting *settings_out)
{
    memcpy(settings_out, trace_settings, sizeof(trace_settings));
    return DYNO_COUNT(trace_settings);
}

/* --- regions --- */

static enum dyno_status check_allowed(const struct dyno_server *server, struct dyno_err *err)
{
    return server->shm != NULL
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                           "shared memory of clients is off: --allow-client-shm turns it on");
}

enum dyno_status dyno_app_register(struct dyno_server *server, const struct dyno_v2_region *region,
                                   struct dyno_err *err)
{
    DYNO_TRY(check_allowed(server, err));
    DYNO_TRY(dyno_shm_register(server->shm, region->name, region->key, region->offset,
                               region->bytes, err));
    dyno_log(DYNO_LOG_INFO, "shared memory region '%s' of %llu bytes was registered", region->name,
             (unsigned long long)region->bytes);
    return DYNO_OK;
}

enum dyno_status dyno_app_unregister(struct dyno_server *server, const char *name,
                                     struct dyno_err *err)
{
    DYNO_TRY(check_allowed(server, err));
    dyno_shm_unregister(server->shm, name);
    return DYNO_OK;
}

static enum dyno_status no_region(const char *name, struct dyno_err *err)
{
    return name[0] == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no shared memory region '%.*s'",
                           DYNO_SHM_NAME_BYTES_MAX, name);
}

enum dyno_status dyno_app_regions(struct dyno_server *server, const char *name,
                                  struct dyno_arena *arena, struct dyno_v2_region **regions_out,
                                  size_t *count_out, struct dyno_err *err)
{
    struct dyno_shm_row *rows = NULL;
    *count_out = 0;
    if (server->shm == NULL)
        return no_region(name, err);
    DYNO_TRY(dyno_shm_list(server->shm, name, arena, &rows, count_out, err));
    *regions_out = dyno_arena_alloc(arena, *count_out + 1, sizeof(**regions_out));
    if (*regions_out == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < *count_out; i++)
        (*regions_out)[i] = (struct dyno_v2_region){.name = rows[i].name,
                                                    .key = rows[i].key,
                                                    .offset = rows[i].offset,
                                                    .bytes = rows[i].bytes};
    return DYNO_OK;
}

enum dyno_status dyno_app_cuda_register(struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "memory of GPUs cannot be shared with this server");
}

enum dyno_status dyno_app_cuda_find(const char *name, struct dyno_err *err)
{
    return no_region(name, err);
}

enum dyno_status dyno_app_cuda_unregister(struct dyno_server *server, struct dyno_err *err)
{
    return check_allowed(server, err); /* and there is nothing to do */
}
