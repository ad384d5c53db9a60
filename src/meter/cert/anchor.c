/* anchor.c - a second anchor: read, held against the certificate that it is beside, kept. */
#include "meter/cert/anchor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "meter/cert/internal.h"

#define BYTES_MAX ((size_t)4 << 20)

/* --- members --- */

static enum dyno_status take_text(const struct dyno_json *object, const char *key, const char **out,
                                  struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    bool is_good = member != NULL && member->kind == DYNO_JSON_STRING && member->text_bytes >= 1 &&
                   member->text_bytes <= 255 && strlen(member->text) == member->text_bytes;
    for (size_t i = 0; is_good && i < member->text_bytes; i++)
        is_good = (unsigned char)member->text[i] >= 0x20 && member->text[i] != 0x7f;
    if (!is_good)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "%s must be a text of 1 to 255 bytes without control characters", key);
    *out = member->text;
    return DYNO_OK;
}

static enum dyno_status take_number(const struct dyno_json *member, const char *what, int64_t max,
                                    uint64_t *out, struct dyno_err *err)
{
    if (member == NULL || member->kind != DYNO_JSON_NUMBER || !member->is_int ||
        member->integer < 1 || member->integer > max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a whole number from 1 to %" PRId64, what,
                         max);
    *out = (uint64_t)member->integer;
    return DYNO_OK;
}

static enum dyno_status take_list(const struct dyno_json *object, const char *key, uint32_t min,
                                  uint32_t max, const struct dyno_json **out, struct dyno_err *err)
{
    *out = dyno_json_find(object, key);
    return *out != NULL && (*out)->kind == DYNO_JSON_ARRAY && (*out)->count >= min &&
                   (*out)->count <= max
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be an array of %" PRIu32 " to %" PRIu32,
                           key, min, max);
}

/* --- is it of this certificate --- */

static enum dyno_status differs(const char *what, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_MISMATCH, "the anchor is of another %s than the certificate",
                     what);
}

static enum dyno_status check_subject(const struct dyno_json *root, const struct dyno_cert *cert,
                                      struct dyno_err *err)
{
    const struct dyno_json *device = dyno_json_find(root, "device");
    struct dyno_cert_hash model;
    const char *hex = NULL;
    const char *name = NULL;
    uint64_t threads = 0;
    uint64_t batch = 0;
    DYNO_TRY(take_text(root, "model_sha256", &hex, err));
    if (!dyno_cert_unhex(hex, strlen(hex), &model))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "model_sha256 must have 64 hexadecimal digits");
    if (device == NULL || device->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "device must be an object with class and threads");
    DYNO_TRY(take_text(device, "class", &name, err));
    DYNO_TRY(take_number(dyno_json_find(device, "threads"), "threads", 65536, &threads, err));
    DYNO_TRY(take_number(dyno_json_find(root, "batch"), "batch", INT64_C(1) << 40, &batch, err));
    if (!dyno_cert_same(&model, &cert->model))
        return differs("model", err);
    if (strcmp(name, cert->device_class) != 0)
        return differs("class of device", err);
    if (threads != cert->threads)
        return differs("number of threads", err);
    return batch == cert->batch ? DYNO_OK : differs("batch", err);
}

static enum dyno_status find_point(const struct dyno_json *root, const struct dyno_cert *cert,
                                   uint32_t *idx_out, struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    uint64_t at[DYNO_CERT_AXES_MAX] = {0};
    uint32_t count = 0;
    DYNO_TRY(take_list(root, "at", cert->axis_count, cert->axis_count, &list, err));
    for (const struct dyno_json *item = list->first; item != NULL; item = item->next)
        DYNO_TRY(take_number(item, "a size of at", INT64_C(1) << 40, &at[count++], err));
    for (uint32_t i = 0; i < cert->point_count; i++) {
        const struct dyno_cert_point *point = &dyno_cert_points(cert)[i];
        uint32_t same = 0;
        while (same < cert->axis_count && (uint64_t)point->at[same] == at[same])
            same++;
        *idx_out = i;
        if (same == cert->axis_count)
            return DYNO_OK;
    }
    return differs("shape", err);
}

/* --- samples --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static enum dyno_status take_segments(const struct dyno_json *root, const struct dyno_cert *cert,
                                      struct dyno_arena *arena, struct dyno_anchor *out,
                                      struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(take_list(root, "segments", DYNO_ANCHOR_SEGMENTS_MIN, DYNO_ANCHOR_SEGMENTS_MAX, &list,
                       err));
    double *item_ns = dyno_arena_alloc(arena, list->count, sizeof(*item_ns));
    if (item_ns == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *pair = list->first; pair != NULL; pair = pair->next) {
        uint64_t items = 0;
        uint64_t ns = 0;
        if (pair->kind != DYNO_JSON_ARRAY || pair->count != 2)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "each of segments must be [items, ns]");
        DYNO_TRY(take_number(pair->first, "items", INT64_C(1) << 53, &items, err));
        DYNO_TRY(take_number(pair->first->next, "ns", INT64_C(1) << 53, &ns, err));
        if (ns < cert->segment_ns || items % cert->batch != 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "segment %" PRIu32 " has %" PRIu64 " items in %" PRIu64
                             " ns, wants whole batches of %" PRIu64 " and at least %" PRIu64 " ns",
                             out->segment_count + 1, items, ns, cert->batch, cert->segment_ns);
        item_ns[out->segment_count++] = (double)ns / (double)items;
    }
    qsort(item_ns, out->segment_count, sizeof(*item_ns), by_value);
    out->least_ns = item_ns[0];
    out->median_ns = item_ns[out->segment_count / 2];
    out->most_ns = item_ns[out->segment_count - 1];
    out->ratio = dyno_cert_points(cert)[out->point_idx].item_ns.value / out->median_ns;
    return DYNO_OK;
}

enum dyno_status dyno_anchor_parse(const char *text, size_t bytes, const struct dyno_cert *cert,
                                   struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                   struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    const char *made = NULL;
    *anchor_out = (struct dyno_anchor){0};
    if (cert->kind != DYNO_CERT_REFERENCE)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "an anchor stands beside a reference certificate, and this is of an "
                         "engine");
    if (bytes > BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an anchor has at most %zu bytes", BYTES_MAX);
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    const struct dyno_json *version = dyno_json_find(root, "dyno_anchor");
    if (version == NULL || version->kind != DYNO_JSON_NUMBER || !version->is_int ||
        version->integer != 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no anchor, version 1");
    DYNO_TRY(take_text(root, "framework", &anchor_out->framework, err));
    DYNO_TRY(take_text(root, "by", &anchor_out->by, err));
    DYNO_TRY(take_text(root, "made", &made, err));
    if (!dyno_cert_time(made, &anchor_out->made_s))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "made must be a time like 2026-01-31T12:00:00Z");
    DYNO_TRY(check_subject(root, cert, err));
    DYNO_TRY(find_point(root, cert, &anchor_out->point_idx, err));
    return take_segments(root, cert, arena, anchor_out, err);
}

/* --- beside the certificate --- */

static enum dyno_status path_of(const struct dyno_cert *cert, const char *folder,
                                struct dyno_strbuf *path, struct dyno_err *err)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(&cert->address, hex);
    dyno_strbuf_printf(path, "%s/%s.anchor.json", folder, hex);
    return dyno_strbuf_ok(path) ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status parse_file(const struct dyno_cert *cert, const char *path,
                                   struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                   struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    DYNO_TRY(dyno_file_map(path, &map, err));
    const enum dyno_status status =
        dyno_anchor_parse(map.data, map.bytes, cert, arena, anchor_out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    dyno_file_unmap(&map);
    return status;
}

enum dyno_status dyno_anchor_read(const struct dyno_cert *cert, const char *folder,
                                  struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                  bool *found_out, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    enum dyno_status status = path_of(cert, folder, &path, err);
    *found_out = status == DYNO_OK && access(dyno_strbuf_text(&path), F_OK) == 0;
    if (*found_out)
        status = parse_file(cert, dyno_strbuf_text(&path), arena, anchor_out, err);
    dyno_strbuf_fini(&path);
    return status;
}

/* Once: what is there must be the same. */
static enum dyno_status put(const char *path, const struct dyno_file_map *text,
                            struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    if (access(path, F_OK) != 0)
        return dyno_file_write_atomic(path, text->data, text->bytes, err);
    DYNO_TRY(dyno_file_map(path, &map, err));
    const bool same = map.bytes == text->bytes && memcmp(map.data, text->data, map.bytes) == 0;
    dyno_file_unmap(&map);
    return same ? DYNO_OK
                : DYNO_FAIL(err, DYNO_E_EXISTS,
                            "\"%s\" is another anchor of this certificate, which has one for good",
                            path);
}

enum dyno_status dyno_anchor_keep(const struct dyno_cert *cert, const char *path,
                                  const char *folder, struct dyno_err *err)
{
    struct dyno_anchor anchor;
    struct dyno_file_map map = {0};
    struct dyno_strbuf to = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status = arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = parse_file(cert, path, arena, &anchor, err);
    if (status == DYNO_OK)
        status = path_of(cert, folder, &to, err);
    if (status == DYNO_OK)
        status = dyno_file_map(path, &map, err);
    if (status == DYNO_OK)
        status = put(dyno_strbuf_text(&to), &map, err);
    dyno_file_unmap(&map);
    dyno_strbuf_fini(&to);
    dyno_arena_destroy(arena);
    return status;
}
