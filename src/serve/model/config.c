/* config.c - config.json of a model. */
#include <stdio.h>
#include <string.h>

#include "serve/model/config_part.h"

#define BATCH_MAX 1048576

enum dyno_status dyno_config_whole(const struct dyno_json *value, const char *name, int64_t max,
                                   int64_t *out, struct dyno_err *err)
{
    if (value->kind != DYNO_JSON_NUMBER || !value->is_int || value->integer < 0 ||
        value->integer > max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a whole number between 0 and %lld", name,
                         (long long)max);
    *out = value->integer;
    return DYNO_OK;
}

static enum dyno_status take_versions(const struct dyno_json *list, struct dyno_arena *arena,
                                      struct dyno_model_config *config, struct dyno_err *err)
{
    if (list == NULL || list->kind != DYNO_JSON_ARRAY)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "version_policy.specific.versions must be an array");
    uint64_t *versions = dyno_arena_alloc(arena, list->count + 1, sizeof(*versions));
    if (versions == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        int64_t version = 0;
        DYNO_TRY(
            dyno_config_whole(at, "version_policy.specific.versions", INT64_MAX, &version, err));
        versions[config->version_count++] = (uint64_t)version;
    }
    config->versions = versions;
    return DYNO_OK;
}

static enum dyno_status take_policy(const struct dyno_json *policy, struct dyno_arena *arena,
                                    struct dyno_model_config *config, struct dyno_err *err)
{
    const struct dyno_json *latest = dyno_json_find(policy, "latest");
    const struct dyno_json *specific = dyno_json_find(policy, "specific");
    config->all_versions = dyno_json_find(policy, "all") != NULL;
    if (policy->kind != DYNO_JSON_OBJECT || policy->count != 1 ||
        (latest == NULL && specific == NULL && !config->all_versions))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "version_policy must be an object with latest, all or specific");
    if (specific != NULL)
        return take_versions(dyno_json_find(specific, "versions"), arena, config, err);
    const struct dyno_json *count = dyno_json_find(latest, "num_versions");
    int64_t value = 1;
    if (count != NULL)
        DYNO_TRY(
            dyno_config_whole(count, "version_policy.latest.num_versions", INT32_MAX, &value, err));
    config->latest_count = (uint64_t)value;
    return DYNO_OK;
}

/* {"OUTPUT": "FILE", ...} */
static enum dyno_status take_labels(const struct dyno_json *labels, struct dyno_arena *arena,
                                    struct dyno_model_config *config, struct dyno_err *err)
{
    if (labels->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "labels must be an object of file names by output");
    for (const struct dyno_json *at = labels->first; at != NULL; at = at->next) {
        struct dyno_model_labels *one = dyno_arena_alloc(arena, 1, sizeof(*one));
        if (one == NULL)
            return DYNO_NOMEM(err);
        if (at->kind != DYNO_JSON_STRING || strlen(at->text) != at->text_bytes ||
            !dyno_model_name_ok(at->text))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "labels.%.64s must be the name of a file in the model's folder",
                             at->key);
        *one =
            (struct dyno_model_labels){.next = config->labels, .output = at->key, .file = at->text};
        config->labels = one;
    }
    return DYNO_OK;
}

enum dyno_status dyno_config_flag(const struct dyno_json *value, const char *name, bool *out,
                                  struct dyno_err *err)
{
    if (value->kind != DYNO_JSON_BOOL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be true or false", name);
    *out = value->boolean;
    return DYNO_OK;
}

enum dyno_status dyno_config_device(const struct dyno_json *value, const char *name,
                                    bool may_be_cpu, const char **out, struct dyno_err *err)
{
    const char *text = value->kind == DYNO_JSON_STRING ? value->text : "";
    const char *number = strncmp(text, "cuda:", 5) == 0 ? text + 5 : "";
    const size_t digits = strspn(number, "0123456789");
    const bool is_number = digits > 0 && digits <= 3 && number[digits] == 0 &&
                           (number[0] != '0' || digits == 1) && strlen(text) == value->text_bytes;
    const bool is_cpu = may_be_cpu && strcmp(text, "cpu") == 0;
    if (!is_number && !is_cpu && strcmp(text, "cuda") != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be %scuda or cuda:N", name,
                         may_be_cpu ? "cpu, " : "");
    *out = is_number || is_cpu ? text : "cuda:0";
    return DYNO_OK;
}

/* {"accuracy": 0.98, "pinned": true, "device": "cuda:1"} */
static enum dyno_status take_variant(const struct dyno_json *from, struct dyno_model_variant *one,
                                     struct dyno_err *err)
{
    char name[DYNO_MODEL_NAME_BYTES_MAX + 32];
    one->name = from->key;
    one->accuracy = 1.0;
    if (!dyno_model_name_ok(from->key))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "variants.%.64s: that is not the name of a variant",
                         from->key);
    if (from->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "variants.%s must be an object", from->key);
    for (const struct dyno_json *at = from->first; at != NULL; at = at->next) {
        (void)snprintf(name, sizeof(name), "variants.%s.%.16s", from->key, at->key);
        if (strcmp(at->key, "pinned") == 0) {
            DYNO_TRY(dyno_config_flag(at, name, &one->is_pinned, err));
        } else if (strcmp(at->key, "device") == 0) {
            DYNO_TRY(dyno_config_device(at, name, false, &one->device, err));
        } else if (strcmp(at->key, "accuracy") != 0) {
            return DYNO_FAIL(err, DYNO_E_FORMAT, "%s: a variant has accuracy, pinned and device",
                             name);
        } else {
            if (at->kind != DYNO_JSON_NUMBER || !(at->number >= 0.0 && at->number <= 1.0))
                return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a number between 0 and 1", name);
            one->accuracy = at->number;
        }
    }
    return DYNO_OK;
}

/* {"NAME": {...}, ...} */
static enum dyno_status take_variants(const struct dyno_json *variants, struct dyno_arena *arena,
                                      struct dyno_model_config *config, struct dyno_err *err)
{
    if (variants->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "variants must be an object of variants by name");
    for (const struct dyno_json *at = variants->first; at != NULL; at = at->next) {
        struct dyno_model_variant *one = dyno_arena_alloc(arena, 1, sizeof(*one));
        if (one == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(take_variant(at, one, err));
        one->next = config->variants;
        config->variants = one;
    }
    return DYNO_OK;
}

struct dyno_model_variant dyno_model_variant_of(const struct dyno_model_config *config,
                                                const char *name)
{
    struct dyno_model_variant found = {.name = name, .accuracy = 1.0};
    for (const struct dyno_model_variant *at = config->variants; at != NULL; at = at->next)
        if (strcmp(at->name, name) == 0)
            found = *at;
    found.is_pinned = found.is_pinned || config->is_pinned;
    return found;
}

bool dyno_model_builds_on_gpu(const struct dyno_model_config *config)
{
    return config->build.device != NULL && strcmp(config->build.device, "cpu") != 0;
}

enum dyno_status dyno_model_config_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                         struct dyno_model_config *config, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    config->latest_count = 1;
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    if (root->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a configuration must be an object");
    const struct dyno_json *max_batch = dyno_json_find(root, "max_batch_size");
    const struct dyno_json *instances = dyno_json_find(root, "instance_count");
    const struct dyno_json *policy = dyno_json_find(root, "version_policy");
    const struct dyno_json *labels = dyno_json_find(root, "labels");
    const struct dyno_json *pinned = dyno_json_find(root, "pinned");
    const struct dyno_json *variants = dyno_json_find(root, "variants");
    const struct dyno_json *build = dyno_json_find(root, "build");
    config->has_max_batch = max_batch != NULL;
    if (max_batch != NULL)
        DYNO_TRY(
            dyno_config_whole(max_batch, "max_batch_size", INT32_MAX, &config->max_batch, err));
    if (instances != NULL)
        DYNO_TRY(dyno_config_whole(instances, "instance_count", 64, &config->instances, err));
    if (labels != NULL)
        DYNO_TRY(take_labels(labels, arena, config, err));
    if (pinned != NULL)
        DYNO_TRY(dyno_config_flag(pinned, "pinned", &config->is_pinned, err));
    if (variants != NULL)
        DYNO_TRY(take_variants(variants, arena, config, err));
    if (build != NULL)
        DYNO_TRY(dyno_config_build(build, arena, &config->build, err));
    if (config->build.max_batch == 0 && config->build.min_shapes == NULL)
        config->build.max_batch = config->max_batch < BATCH_MAX ? config->max_batch : BATCH_MAX;
    if (config->build.opt_batch > config->build.max_batch)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "build.opt_batch is more than build.max_batch");
    return policy != NULL ? take_policy(policy, arena, config, err) : DYNO_OK;
}
