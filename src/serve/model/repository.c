/* repository.c - folders read into lists. */
#include "serve/model/repository.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define CONFIG_BYTES_MAX ((size_t)1024 * 1024)

bool dyno_model_name_ok(const char *name)
{
    size_t bytes = 0;
    for (; name[bytes] != 0; bytes++) {
        const char c = name[bytes];
        const bool is_alnum =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && (bytes == 0 || strchr("_.-", c) == NULL))
            return false;
    }
    return bytes > 0 && bytes <= DYNO_MODEL_NAME_BYTES_MAX;
}

uint64_t dyno_model_version_parse(const char *text)
{
    uint64_t value = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 19; digits++)
        value = value * 10 + (uint64_t)(text[digits] - '0');
    return text[digits] == 0 && text[0] != '0' ? value : 0;
}

/* --- folders --- */

char *dyno_repo_path(struct dyno_arena *arena, const char *folder, const char *name)
{
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = dyno_arena_alloc(arena, bytes, 1);
    if (path != NULL)
        (void)snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* What each entry of a folder is given to; E_LIMIT ends the walk. */
typedef enum dyno_status entry_fn(void *arg, const char *folder, const char *name,
                                  struct dyno_err *err);

static enum dyno_status each_entry(const char *folder, entry_fn *fn, void *arg,
                                   struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read the folder '%s': %s", folder,
                         strerror(errno));
    for (struct dirent *entry = readdir(dir); entry != NULL && status == DYNO_OK;
         entry = readdir(dir))
        if (dyno_model_name_ok(entry->d_name))
            status = fn(arg, folder, entry->d_name, err);
    (void)closedir(dir);
    return status;
}

/* --- one model --- */

struct reading {
    struct dyno_arena *arena;
    struct dyno_repo_model *models; /* of a list */
    struct dyno_repo_version *versions;
    struct dyno_repo_version *version;
    size_t count;
};

static enum dyno_status see_file(void *arg, const char *folder, const char *name,
                                 struct dyno_err *err)
{
    static const char ending[] = ".engine";
    struct reading *reading = arg;
    struct dyno_repo_version *version = reading->version;
    const size_t bytes = strlen(name);
    version->has_onnx = version->has_onnx || strcmp(name, "model.onnx") == 0;
    if (bytes <= sizeof(ending) - 1 || strcmp(name + bytes - (sizeof(ending) - 1), ending) != 0)
        return DYNO_OK;
    if (version->variant_count == DYNO_REPO_VARIANTS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' holds more than %d engines", folder,
                         DYNO_REPO_VARIANTS_MAX);
    struct dyno_repo_variant *variant = dyno_arena_alloc(reading->arena, 1, sizeof(*variant));
    if (variant == NULL)
        return DYNO_NOMEM(err);
    variant->name = dyno_arena_strndup(reading->arena, name, bytes - (sizeof(ending) - 1));
    variant->path = dyno_repo_path(reading->arena, folder, name);
    if (variant->name == NULL || variant->path == NULL)
        return DYNO_NOMEM(err);
    struct dyno_repo_variant **at = &version->variants;
    while (*at != NULL && strcmp((*at)->name, variant->name) < 0)
        at = &(*at)->next;
    variant->next = *at;
    *at = variant;
    version->variant_count++;
    return DYNO_OK;
}

static enum dyno_status see_version(void *arg, const char *folder, const char *name,
                                    struct dyno_err *err)
{
    struct reading *reading = arg;
    const uint64_t number = dyno_model_version_parse(name);
    if (number == 0)
        return DYNO_OK;
    if (reading->count++ == DYNO_REPO_VERSIONS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' holds more than %d versions", folder,
                         DYNO_REPO_VERSIONS_MAX);
    struct dyno_repo_version *version = dyno_arena_alloc(reading->arena, 1, sizeof(*version));
    if (version == NULL)
        return DYNO_NOMEM(err);
    version->number = number;
    struct dyno_repo_version **at = &reading->versions;
    while (*at != NULL && (*at)->number > number)
        at = &(*at)->next;
    version->next = *at;
    *at = version;
    return DYNO_OK;
}

static bool is_listed(const struct dyno_model_config *config, uint64_t number)
{
    for (size_t i = 0; i < config->version_count; i++)
        if (config->versions[i] == number)
            return true;
    return false;
}

/* Keep what is asked for, or what the policy wants, newest first. */
static void choose(struct dyno_repo_model *model, struct dyno_repo_version *versions,
                   uint64_t version)
{
    struct dyno_repo_version **link = &model->versions;
    uint64_t kept = 0;
    for (; versions != NULL; versions = versions->next) {
        const bool wanted = version != 0                 ? versions->number == version
                            : model->config.all_versions ? true
                            : model->config.versions != NULL
                                ? is_listed(&model->config, versions->number)
                                : kept < model->config.latest_count;
        if (!wanted)
            continue;
        kept++;
        *link = versions;
        link = &versions->next;
    }
    *link = NULL;
}

static enum dyno_status read_config(const char *folder, struct dyno_arena *arena,
                                    struct dyno_model_config *config, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    struct stat info;
    const char *path = dyno_repo_path(arena, folder, "config.json");
    config->latest_count = 1;
    if (path == NULL)
        return DYNO_NOMEM(err);
    if (stat(path, &info) != 0 && errno == ENOENT)
        return DYNO_OK;
    DYNO_TRY(dyno_file_map(path, &map, err));
    enum dyno_status status =
        map.bytes <= CONFIG_BYTES_MAX
            ? dyno_model_config_parse(map.data, map.bytes, arena, config, err)
            : DYNO_FAIL(err, DYNO_E_LIMIT, "a configuration of %zu bytes, at most %zu are read",
                        map.bytes, CONFIG_BYTES_MAX);
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "'%s'", path);
    return status;
}

static enum dyno_status read_model(const char *folder, uint64_t version, struct dyno_arena *arena,
                                   struct dyno_repo_model *model, struct dyno_err *err)
{
    struct reading reading = {.arena = arena};
    DYNO_TRY(read_config(folder, arena, &model->config, err));
    DYNO_TRY(each_entry(folder, see_version, &reading, err));
    choose(model, reading.versions, version);
    for (struct dyno_repo_version *at = model->versions; at != NULL; at = at->next) {
        char name[24];
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)at->number);
        at->folder = dyno_repo_path(arena, folder, name);
        reading.version = at;
        if (at->folder == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(each_entry(at->folder, see_file, &reading, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_repo_read(const char *const *folders, size_t folder_count, const char *name,
                                uint64_t version, struct dyno_arena *arena,
                                struct dyno_repo_model **model_out, struct dyno_err *err)
{
    *model_out = NULL;
    if (!dyno_model_name_ok(name))
        return DYNO_FAIL(err, DYNO_E_ARG, "that is not the name of a model");
    struct dyno_repo_model *model = dyno_arena_alloc(arena, 1, sizeof(*model));
    if (model == NULL)
        return DYNO_NOMEM(err);
    model->name = dyno_arena_strdup(arena, name);
    for (size_t i = 0; i < folder_count; i++) {
        const char *folder = dyno_repo_path(arena, folders[i], name);
        if (folder == NULL || model->name == NULL)
            return DYNO_NOMEM(err);
        if (!is_folder(folder))
            continue;
        model->folder = folder;
        DYNO_TRY(read_model(folder, version, arena, model, err));
        *model_out = model;
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no model '%s' in the repository", name);
}

/* --- all models --- */

static enum dyno_status see_model(void *arg, const char *folder, const char *name,
                                  struct dyno_err *err)
{
    struct reading *reading = arg;
    const char *path = dyno_repo_path(reading->arena, folder, name);
    struct dyno_repo_model *model = dyno_arena_alloc(reading->arena, 1, sizeof(*model));
    if (path == NULL || model == NULL)
        return DYNO_NOMEM(err);
    if (!is_folder(path))
        return DYNO_OK;
    struct dyno_repo_model **at = &reading->models;
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    if (*at != NULL && strcmp((*at)->name, name) == 0)
        return DYNO_OK;
    if (reading->count++ == DYNO_REPO_MODELS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d models", DYNO_REPO_MODELS_MAX);
    model->name = dyno_arena_strdup(reading->arena, name);
    model->next = *at;
    *at = model;
    return model->name != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_repo_list(const char *const *folders, size_t folder_count,
                                struct dyno_arena *arena, struct dyno_repo_model **models_out,
                                struct dyno_err *err)
{
    struct reading reading = {.arena = arena};
    *models_out = NULL;
    for (size_t i = 0; i < folder_count; i++)
        DYNO_TRY(each_entry(folders[i], see_model, &reading, err));
    *models_out = reading.models;
    return DYNO_OK;
}
