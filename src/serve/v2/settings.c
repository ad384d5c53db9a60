/* settings.c - settings and regions, read and written. */
#include "serve/v2/settings.h"

#include <string.h>

#include "serve/v2/pb_part.h"

/* Settings in the order they came. */
struct list {
    struct dyno_arena *arena;
    const struct dyno_v2_setting **end;
    size_t count;
};

static enum dyno_status add(struct list *list, const struct dyno_v2_setting *setting,
                            struct dyno_err *err)
{
    if (list->count++ == DYNO_V2_SETTINGS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d settings", DYNO_V2_SETTINGS_MAX);
    struct dyno_v2_setting *own = dyno_arena_memdup(list->arena, setting, sizeof(*setting));
    if (own == NULL)
        return DYNO_NOMEM(err);
    own->next = NULL;
    *list->end = own;
    list->end = &own->next;
    return DYNO_OK;
}

/* --- JSON --- */

static enum dyno_status add_json(struct list *list, const char *name, const struct dyno_json *value,
                                 struct dyno_err *err)
{
    struct dyno_v2_setting setting = {.name = name};
    if (value->kind == DYNO_JSON_BOOL) {
        setting.kind = DYNO_V2_SETTING_BOOL;
        setting.boolean = value->boolean;
    } else if (value->kind == DYNO_JSON_NUMBER && value->is_int && value->integer >= 0 &&
               value->integer <= UINT32_MAX) {
        setting.kind = DYNO_V2_SETTING_UINT;
        setting.number = (uint32_t)value->integer;
    } else if (value->kind == DYNO_JSON_STRING && strlen(value->text) == value->text_bytes) {
        setting.kind = DYNO_V2_SETTING_TEXT;
        setting.text = value->text;
    } else if (value->kind != DYNO_JSON_NULL) {
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "setting '%.64s' must be a boolean, a whole number, a string, an array of "
                         "those, or null",
                         name);
    }
    return add(list, &setting, err);
}

enum dyno_status dyno_v2_json_settings(const struct dyno_json *root, struct dyno_arena *arena,
                                       const struct dyno_v2_setting **settings_out,
                                       struct dyno_err *err)
{
    struct list list = {.arena = arena, .end = settings_out};
    *settings_out = NULL;
    for (const struct dyno_json *at = root != NULL ? root->first : NULL; at != NULL;
         at = at->next) {
        const struct dyno_v2_setting none = {.name = at->key};
        if (at->kind != DYNO_JSON_ARRAY)
            DYNO_TRY(add_json(&list, at->key, at, err));
        else if (at->count == 0)
            DYNO_TRY(add(&list, &none, err));
        for (const struct dyno_json *item = at->kind == DYNO_JSON_ARRAY ? at->first : NULL;
             item != NULL; item = item->next)
            DYNO_TRY(add_json(&list, at->key, item, err));
    }
    return DYNO_OK;
}

void dyno_v2_json_put_settings(struct dyno_json_writer *json,
                               const struct dyno_v2_setting *settings, size_t count)
{
    dyno_json_object_begin(json);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_v2_setting *setting = &settings[i];
        dyno_json_key(json, setting->name);
        switch (setting->kind) {
        case DYNO_V2_SETTING_BOOL:
            dyno_json_bool(json, setting->boolean);
            break;
        case DYNO_V2_SETTING_UINT:
            dyno_json_u64(json, setting->number);
            break;
        case DYNO_V2_SETTING_TEXT:
            dyno_json_str(json, setting->text);
            break;
        case DYNO_V2_SETTING_LIST:
            dyno_json_array_begin(json);
            dyno_json_str(json, setting->text);
            dyno_json_array_end(json);
            break;
        case DYNO_V2_SETTING_NONE:
            dyno_json_null(json);
            break;
        }
    }
    dyno_json_object_end(json);
}

/* --- protobuf: map<string, SettingValue> settings = 1; TraceSettingRequest has model_name = 2 ---
 */

/* SettingValue{bool_param = 1 | uint32_param = 2 | string_param = 3} of LogSettings, or
 * SettingValue{repeated string value = 1} of TraceSetting: the wire types tell which. */
static enum dyno_status add_value(struct list *list, const struct dyno_pb_field *field,
                                  struct dyno_v2_setting *setting, struct dyno_err *err)
{
    int64_t value = 0;
    if (field->wire == DYNO_PB_LEN && (field->number == 1 || field->number == 3)) {
        setting->kind = DYNO_V2_SETTING_TEXT;
        DYNO_TRY(dyno_v2_pb_text(field, list->arena, &setting->text, err));
    } else if (field->number == 1 || field->number == 2) {
        DYNO_TRY(dyno_pb_i64(field, &value, err));
        setting->kind = field->number == 1 ? DYNO_V2_SETTING_BOOL : DYNO_V2_SETTING_UINT;
        setting->boolean = value != 0;
        setting->number = (uint32_t)value;
    } else {
        return DYNO_OK;
    }
    return add(list, setting, err);
}

/* An entry of the map: key = 1, value = 2, in whatever order; the value may be missing. */
static enum dyno_status add_entry(struct list *list, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *entry, struct dyno_err *err)
{
    struct dyno_v2_setting setting = {.name = ""};
    struct dyno_pb_field value = {0};
    struct dyno_pb_field field;
    const char *bytes = NULL;
    size_t byte_count = 0;
    bool more = true;
    DYNO_TRY(dyno_pb_bytes(entry, &bytes, &byte_count, err));
    struct dyno_pb_reader reader = dyno_pb_nested(outer, entry);
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            break;
        if (field.number == 1)
            DYNO_TRY(dyno_v2_pb_text(&field, list->arena, &setting.name, err));
        else if (field.number == 2)
            value = field;
    }
    const size_t before = list->count;
    if (value.number != 0) {
        DYNO_TRY(dyno_pb_bytes(&value, &bytes, &byte_count, err));
        reader = dyno_pb_nested(outer, &value);
        for (;;) {
            DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
            if (!more)
                break;
            DYNO_TRY(add_value(list, &field, &setting, err));
        }
    }
    return list->count == before ? add(list, &setting, err) : DYNO_OK;
}

enum dyno_status dyno_v2_pb_settings(const void *body, size_t bytes, struct dyno_arena *arena,
                                     const struct dyno_v2_setting **settings_out,
                                     const char **model_out, struct dyno_err *err)
{
    struct list list = {.arena = arena, .end = settings_out};
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    *settings_out = NULL;
    *model_out = "";
    dyno_pb_init(&reader, body, bytes);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(add_entry(&list, &reader, &field, err));
        else if (field.number == 2)
            DYNO_TRY(dyno_v2_pb_text(&field, arena, model_out, err));
    }
}

void dyno_v2_pb_put_settings(struct dyno_strbuf *out, const struct dyno_v2_setting *settings,
                             size_t count, bool is_trace)
{
    for (size_t i = 0; i < count; i++) {
        const struct dyno_v2_setting *setting = &settings[i];
        struct dyno_strbuf entry = {0};
        struct dyno_strbuf value = {0};
        dyno_pb_put_text(&entry, 1, setting->name);
        if (setting->kind == DYNO_V2_SETTING_BOOL)
            dyno_pb_put_varint(&value, 1, setting->boolean);
        else if (setting->kind == DYNO_V2_SETTING_UINT)
            dyno_pb_put_varint(&value, 2, setting->number);
        else if (setting->kind != DYNO_V2_SETTING_NONE)
            dyno_pb_put_text(&value, is_trace ? 1 : 3, setting->text);
        dyno_v2_pb_put_message(&entry, 2, &value);
        dyno_v2_pb_put_message(out, 1, &entry);
    }
}

/* --- regions --- */

static enum dyno_status take_number(const struct dyno_json *root, const char *key,
                                    uint64_t *value_out, struct dyno_err *err)
{
    const struct dyno_json *value = dyno_json_find(root, key);
    if (value == NULL)
        return DYNO_OK;
    if (value->kind != DYNO_JSON_NUMBER || !value->is_int || value->integer < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s must be a whole number, not negative", key);
    *value_out = (uint64_t)value->integer;
    return DYNO_OK;
}

enum dyno_status dyno_v2_json_region(const struct dyno_json *root,
                                     struct dyno_v2_region *region_out, struct dyno_err *err)
{
    const struct dyno_json *key = dyno_json_find(root, "key");
    if (key == NULL || key->kind != DYNO_JSON_STRING || strlen(key->text) != key->text_bytes ||
        dyno_json_find(root, "byte_size") == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "a region wants a key, which is a string, and a byte_size");
    region_out->key = key->text;
    DYNO_TRY(take_number(root, "offset", &region_out->offset, err));
    return take_number(root, "byte_size", &region_out->bytes, err);
}

enum dyno_status dyno_v2_pb_region(const void *body, size_t bytes, struct dyno_arena *arena,
                                   struct dyno_v2_region *region_out, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    int64_t value = 0;
    *region_out = (struct dyno_v2_region){.name = "", .key = ""};
    dyno_pb_init(&reader, body, bytes);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &region_out->name, err));
        else if (field.number == 2)
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &region_out->key, err));
        else if (field.number == 3 || field.number == 4)
            DYNO_TRY(dyno_pb_i64(&field, &value, err));
        if (field.number == 3)
            region_out->offset = (uint64_t)value;
        else if (field.number == 4)
            region_out->bytes = (uint64_t)value;
    }
}

void dyno_v2_json_put_region(struct dyno_json_writer *json, const struct dyno_v2_region *region)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", region->name);
    dyno_json_put_str(json, "key", region->key);
    dyno_json_put_u64(json, "offset", region->offset);
    dyno_json_put_u64(json, "byte_size", region->bytes);
    dyno_json_object_end(json);
}

/* map<string, RegionStatus> regions = 1. */
void dyno_v2_pb_put_region(struct dyno_strbuf *out, const struct dyno_v2_region *region)
{
    struct dyno_strbuf entry = {0};
    struct dyno_strbuf status = {0};
    dyno_pb_put_text(&status, 1, region->name);
    dyno_pb_put_text(&status, 2, region->key);
    dyno_pb_put_varint(&status, 3, region->offset);
    dyno_pb_put_varint(&status, 4, region->bytes);
    dyno_pb_put_text(&entry, 1, region->name);
    dyno_v2_pb_put_message(&entry, 2, &status);
    dyno_v2_pb_put_message(out, 1, &entry);
}
