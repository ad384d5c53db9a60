/* config.c - from JSON to flags and back, by the table. */
#include "cli/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

#define CONFIG_BYTES_MAX 1048576
#define INT_EXACT_MAX    9007199254740992.0 /* 2^53 */

/* --- the kinds of flags --- */

/* Into `at`, where a zeroed value of the kind lies; false: it is none. */
typedef bool take_fn(const struct dyno_flag *flag, const struct dyno_json *value, void *at);
typedef void put_fn(struct dyno_json_writer *json, const void *at);

static bool is_text(const struct dyno_json *value)
{
    return value->kind == DYNO_JSON_STRING && value->text_bytes > 0 &&
           strlen(value->text) == value->text_bytes;
}

static bool is_in_range(const struct dyno_flag *flag, const struct dyno_json *value)
{
    return value->kind == DYNO_JSON_NUMBER && value->number >= flag->min &&
           value->number <= flag->max;
}

static bool take_bool(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    (void)flag;
    *(bool *)at = value->boolean;
    return value->kind == DYNO_JSON_BOOL;
}

static bool take_str(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    (void)flag;
    *(const char **)at = value->text;
    return is_text(value);
}

static bool take_int(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    if (!is_in_range(flag, value) || (!value->is_int && (floor(value->number) != value->number ||
                                                         fabs(value->number) > INT_EXACT_MAX)))
        return false;
    *(int64_t *)at = value->is_int ? value->integer : (int64_t)value->number;
    return true;
}

static bool take_f64(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    *(double *)at = value->number;
    return is_in_range(flag, value);
}

static bool take_list(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    struct dyno_cli_list *list = at;
    (void)flag;
    if (value->kind != DYNO_JSON_ARRAY || value->count > DYNO_CLI_LIST_MAX)
        return false;
    for (const struct dyno_json *item = value->first; item != NULL; item = item->next) {
        if (!is_text(item))
            return false;
        list->items[list->count++] = item->text;
    }
    return true;
}

static bool take_tree(const struct dyno_flag *flag, const struct dyno_json *value, void *at)
{
    (void)flag;
    *(const struct dyno_json **)at = value;
    return true;
}

static void put_bool(struct dyno_json_writer *json, const void *at)
{
    dyno_json_bool(json, *(const bool *)at);
}

static void put_str(struct dyno_json_writer *json, const void *at)
{
    dyno_json_str(json, *(const char *const *)at);
}

static void put_int(struct dyno_json_writer *json, const void *at)
{
    dyno_json_i64(json, *(const int64_t *)at);
}

/* A person reads 30, not 3e+01. */
static void put_f64(struct dyno_json_writer *json, const void *at)
{
    const double value = *(const double *)at;
    if (floor(value) == value && fabs(value) <= INT_EXACT_MAX)
        dyno_json_i64(json, (int64_t)value);
    else
        dyno_json_f64(json, value);
}

static void put_list(struct dyno_json_writer *json, const void *at)
{
    const struct dyno_cli_list *list = at;
    dyno_json_array_begin(json);
    for (uint32_t i = 0; i < list->count; i++)
        dyno_json_str(json, list->items[i]);
    dyno_json_array_end(json);
}

static void put_value(struct dyno_json_writer *json, const struct dyno_json *value)
{
    const bool is_object = value->kind == DYNO_JSON_OBJECT;
    switch (value->kind) {
    case DYNO_JSON_NULL:
        dyno_json_null(json);
        return;
    case DYNO_JSON_BOOL:
        dyno_json_bool(json, value->boolean);
        return;
    case DYNO_JSON_NUMBER:
        if (value->is_int)
            dyno_json_i64(json, value->integer);
        else
            dyno_json_f64(json, value->number);
        return;
    case DYNO_JSON_STRING:
        dyno_json_strn(json, value->text, value->text_bytes);
        return;
    case DYNO_JSON_ARRAY:
    case DYNO_JSON_OBJECT:
        break;
    }
    (is_object ? dyno_json_object_begin : dyno_json_array_begin)(json);
    for (const struct dyno_json *item = value->first; item != NULL; item = item->next) {
        if (is_object)
            dyno_json_key(json, item->key);
        put_value(json, item);
    }
    (is_object ? dyno_json_object_end : dyno_json_array_end)(json);
}

static void put_tree(struct dyno_json_writer *json, const void *at)
{
    put_value(json, *(const struct dyno_json *const *)at);
}

/* A kind without a row is for the command line only. */
static const struct {
    const char *rule; /* NULL: the range of the flag */
    take_fn *take;
    put_fn *put;
    size_t bytes;
    bool is_pointer; /* NULL: not set */
} kinds[DYNO_FLAG_KIND_COUNT] = {
    [DYNO_FLAG_BOOL] = {"true or false", take_bool, put_bool, sizeof(bool), false},
    [DYNO_FLAG_STR] = {"a string that is not empty", take_str, put_str, sizeof(char *), true},
    [DYNO_FLAG_INT] = {NULL, take_int, put_int, sizeof(int64_t), false},
    [DYNO_FLAG_F64] = {NULL, take_f64, put_f64, sizeof(double), false},
    [DYNO_FLAG_LIST] = {"a list of at most 64 strings that are not empty", take_list, put_list,
                        sizeof(struct dyno_cli_list), false},
    [DYNO_FLAG_TREE] = {"any value", take_tree, put_tree, sizeof(struct dyno_json *), true},
};
_Static_assert(DYNO_CLI_LIST_MAX == 64, "the rule says so");

/* --- reading --- */

static enum dyno_status refuse(const struct dyno_flag *flag, const struct dyno_json *value,
                               struct dyno_err *err)
{
    static const char *const names[] = {
        [DYNO_JSON_NULL] = "null",       [DYNO_JSON_BOOL] = "true or false",
        [DYNO_JSON_NUMBER] = "a number", [DYNO_JSON_STRING] = "a string",
        [DYNO_JSON_ARRAY] = "a list",    [DYNO_JSON_OBJECT] = "an object"};
    char range[96];
    char is[64];
    (void)snprintf(range, sizeof(range), "a%s between %.10g and %.10g",
                   flag->kind == DYNO_FLAG_INT ? " whole number" : " number", flag->min, flag->max);
    if (value->kind == DYNO_JSON_NUMBER)
        (void)snprintf(is, sizeof(is), "%.17g", value->number);
    else if (value->kind == DYNO_JSON_ARRAY)
        (void)snprintf(is, sizeof(is), "a list of %zu", value->count);
    else if (value->kind == DYNO_JSON_STRING && !is_text(value))
        (void)snprintf(is, sizeof(is), "%s",
                       value->text_bytes == 0 ? "an empty one" : "one with a zero byte");
    else
        (void)snprintf(is, sizeof(is), "%s", names[value->kind]);
    const char *rule = kinds[flag->kind].rule;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "\"%s\" wants %s, not %s", flag->name + 2,
                     rule != NULL ? rule : range, is);
}

static enum dyno_status take_member(const struct dyno_command *command,
                                    const struct dyno_json *member, const bool *given,
                                    char *options, struct dyno_err *err)
{
    union {
        struct dyno_cli_list list; /* the largest */
        int64_t integer;
        double number;
        const void *pointer;
        bool boolean;
    } value = {.list = {.count = 0}};
    size_t i = 0;
    while (i < command->flag_count && strcmp(command->flags[i].name + 2, member->key) != 0)
        i++;
    if (i == command->flag_count || strlen(member->key) != member->key_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "there is no key \"%.64s\": keys are the flags of dyno %s --help without "
                         "their dashes",
                         member->key, command->name);
    const struct dyno_flag *flag = &command->flags[i];
    if (kinds[flag->kind].take == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "\"%s\" is for the command line only", flag->name + 2);
    if (!kinds[flag->kind].take(flag, member, &value))
        return refuse(flag, member, err);
    if (!given[i])
        memcpy(options + flag->offset_bytes, &value, kinds[flag->kind].bytes);
    return DYNO_OK;
}

static enum dyno_status read_text(const struct dyno_command *command,
                                  const struct dyno_file_map *file, const bool *given,
                                  struct dyno_arena *arena, void *options, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    if (file->bytes > CONFIG_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a configuration has at most %d bytes, this one %zu",
                         CONFIG_BYTES_MAX, file->bytes);
    DYNO_TRY(dyno_json_parse(file->bytes != 0 ? file->data : "", file->bytes, arena, &root, err));
    if (root->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a configuration is one object");
    for (const struct dyno_json *at = root->first; at != NULL; at = at->next)
        DYNO_TRY(take_member(command, at, given, options, err));
    return DYNO_OK;
}

enum dyno_status dyno_cli_config_read(const struct dyno_command *command, const char *path,
                                      const bool *given, struct dyno_arena *arena, void *options,
                                      struct dyno_err *err)
{
    struct dyno_file_map file;
    DYNO_TRY(dyno_file_map(path, &file, err));
    const enum dyno_status status = read_text(command, &file, given, arena, options, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    dyno_file_unmap(&file);
    return status;
}

/* --- writing --- */

static void put_flag(struct dyno_json_writer *json, const struct dyno_flag *flag,
                     const char *options)
{
    const void *at = options + flag->offset_bytes;
    if (kinds[flag->kind].put == NULL ||
        (kinds[flag->kind].is_pointer && *(const void *const *)at == NULL))
        return;
    dyno_json_key(json, flag->name + 2);
    kinds[flag->kind].put(json, at);
}

enum dyno_status dyno_cli_config_print(const struct dyno_command *command, const void *options,
                                       struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    for (size_t i = 0; i < command->flag_count; i++)
        put_flag(&json, &command->flags[i], options);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}
