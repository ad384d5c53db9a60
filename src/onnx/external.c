/* external.c - contents of tensors in files beside the model, and nowhere else. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "onnx/importer.h"

/* No absolute path, no "..": what remains may still be a link, which real_path checks. */
static bool location_is_plain(const char *location)
{
    if (location[0] == '\0' || location[0] == '/')
        return false;
    for (const char *at = location; at != NULL; at = strchr(at, '/')) {
        at += at[0] == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return false;
    }
    return true;
}

static enum dyno_status real_path(const char *folder, const char *location, const char *name,
                                  char path_out[PATH_MAX], struct dyno_err *err)
{
    char root[PATH_MAX];
    char joined[PATH_MAX];
    if (!location_is_plain(location))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s': external location '%s' must be a relative path inside the "
                         "model's folder",
                         name, location);
    const int length = snprintf(joined, sizeof(joined), "%s/%s", folder, location);
    if (length < 0 || (size_t)length >= sizeof(joined))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "tensor '%s': external path is too long", name);
    if (realpath(folder, root) == NULL || realpath(joined, path_out) == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno),
                         "tensor '%s': cannot open external file '%s': %s", name, joined,
                         strerror(errno));
    const size_t root_bytes = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path_out, root, root_bytes) != 0 || path_out[root_bytes] != '/')
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s': external location '%s' leads out of the model's folder",
                         name, location);
    return DYNO_OK;
}

static enum dyno_status open_external(const struct dyno_tensor_source *source, const char *path,
                                      const struct dyno_file_map **map_out, struct dyno_err *err)
{
    for (struct dyno_external *at = *source->externals; at != NULL; at = at->next) {
        if (strcmp(at->path, path) == 0) {
            *map_out = &at->map;
            return DYNO_OK;
        }
    }
    const size_t path_bytes = strlen(path) + 1;
    struct dyno_external *external = dyno_alloc(1, sizeof(*external) + path_bytes);
    if (external == NULL)
        return DYNO_NOMEM(err);
    external->path = (char *)(external + 1);
    memcpy(external->path, path, path_bytes);
    const enum dyno_status status = dyno_file_map(path, &external->map, err);
    if (status != DYNO_OK) {
        dyno_free(external);
        return status;
    }
    external->next = *source->externals;
    *source->externals = external;
    *map_out = &external->map;
    return DYNO_OK;
}

static enum dyno_status parse_number(const char *name, const struct dyno_proto_entry *entry,
                                     uint64_t *value_out, struct dyno_err *err)
{
    char *end = NULL;
    errno = 0;
    *value_out = strtoull(entry->value, &end, 10);
    if (entry->value[0] < '0' || entry->value[0] > '9' || *end != '\0' || errno != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s': external %s '%s' is not a number", name,
                         entry->key, entry->value);
    return DYNO_OK;
}

enum dyno_status dyno_external_find(const struct dyno_tensor_source *source,
                                    const struct dyno_proto_tensor *tensor, size_t wanted_bytes,
                                    struct dyno_str *data_out, struct dyno_err *err)
{
    char path[PATH_MAX];
    const char *location = "";
    const struct dyno_file_map *map = NULL;
    uint64_t offset = 0;
    uint64_t bytes = wanted_bytes;
    if (source->folder == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "tensor '%s' lies in an external file, but the model has no folder",
                         tensor->name);
    for (uint32_t i = 0; i < tensor->external_count; i++) {
        const struct dyno_proto_entry *entry = &tensor->external[i];
        if (strcmp(entry->key, "location") == 0)
            location = entry->value;
        else if (strcmp(entry->key, "offset") == 0)
            DYNO_TRY(parse_number(tensor->name, entry, &offset, err));
        else if (strcmp(entry->key, "length") == 0)
            DYNO_TRY(parse_number(tensor->name, entry, &bytes, err));
    }
    DYNO_TRY(real_path(source->folder, location, tensor->name, path, err));
    DYNO_TRY(open_external(source, path, &map, err));
    if (offset > map->bytes || bytes > map->bytes - offset)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s': bytes %" PRIu64 " to %" PRIu64
                         " are outside external file '%s' of %zu bytes",
                         tensor->name, offset, offset + bytes, location, map->bytes);
    data_out->text = (const char *)map->data + offset;
    data_out->bytes = (size_t)bytes;
    return DYNO_OK;
}

void dyno_externals_destroy(struct dyno_external *externals)
{
    while (externals != NULL) {
        struct dyno_external *next = externals->next;
        dyno_file_unmap(&externals->map);
        dyno_free(externals);
        externals = next;
    }
}
