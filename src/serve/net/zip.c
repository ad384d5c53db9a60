/* zip.c - zlib, with memory from base. */
#include "serve/net/zip.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/mem.h"

#define STEP_BYTES 32768
#define GZIP_BITS  (15 + 16)
#define ZLIB_BITS  15

static voidpf zip_alloc(voidpf arg, uInt count, uInt bytes)
{
    (void)arg;
    return dyno_alloc_raw(count, bytes);
}

static void zip_free(voidpf arg, voidpf ptr)
{
    (void)arg;
    dyno_free(ptr);
}

enum dyno_zip dyno_zip_parse(const char *name)
{
    if (name == NULL || *name == 0 || strcmp(name, "identity") == 0)
        return DYNO_ZIP_NONE;
    if (strcmp(name, "gzip") == 0)
        return DYNO_ZIP_GZIP;
    return strcmp(name, "deflate") == 0 ? DYNO_ZIP_DEFLATE : DYNO_ZIP_UNKNOWN;
}

/* "q=0.8" after a semicolon, in thousandths; what is malformed is 0: not wanted. */
static int parse_weight(const char *text, size_t bytes)
{
    int weight = 0;
    while (bytes > 0 && *text == ' ') {
        text++;
        bytes--;
    }
    if (bytes < 3 || (text[0] != 'q' && text[0] != 'Q') || text[1] != '=')
        return 0;
    for (size_t i = 2, scale = 1000; i < bytes && scale > 0; i++) {
        if (i == 3 && text[i] == '.')
            continue;
        if (text[i] < '0' || text[i] > '9')
            return 0;
        weight += (text[i] - '0') * (int)scale;
        scale /= 10;
    }
    return weight <= 1000 ? weight : 0;
}

enum dyno_zip dyno_zip_choose(const char *accept)
{
    static const char *const names[] = {"identity", "gzip", "deflate", "*"};
    int weights[DYNO_COUNT(names)] = {-1, -1, -1, -1}; /* not named */
    for (const char *at = accept != NULL ? accept : ""; *at != 0;) {
        at += strspn(at, " \t,");
        const size_t bytes = strcspn(at, ",");
        const size_t end = strcspn(at, ";,");
        size_t name_bytes = end;
        while (name_bytes > 0 && (at[name_bytes - 1] == ' ' || at[name_bytes - 1] == '\t'))
            name_bytes--;
        for (size_t i = 0; i < DYNO_COUNT(names); i++)
            if (strlen(names[i]) == name_bytes && strncasecmp(names[i], at, name_bytes) == 0)
                weights[i] = end < bytes ? parse_weight(at + end + 1, bytes - end - 1) : 1000;
        at += bytes;
    }
    for (size_t i = DYNO_ZIP_GZIP; i <= DYNO_ZIP_DEFLATE; i++)
        weights[i] = weights[i] < 0 ? weights[3] : weights[i];
    if (weights[DYNO_ZIP_GZIP] > 0 && weights[DYNO_ZIP_GZIP] >= weights[DYNO_ZIP_DEFLATE] &&
        weights[DYNO_ZIP_GZIP] >= weights[DYNO_ZIP_NONE])
        return DYNO_ZIP_GZIP;
    return weights[DYNO_ZIP_DEFLATE] > 0 && weights[DYNO_ZIP_DEFLATE] >= weights[DYNO_ZIP_NONE]
               ? DYNO_ZIP_DEFLATE
               : DYNO_ZIP_NONE;
}

/* zlib counts in 32 bits. */
static void give_input(z_stream *zip, const char *data, size_t bytes, size_t *given)
{
    if (zip->avail_in != 0 || *given == bytes)
        return;
    const size_t left = bytes - *given;
    const size_t now = left < (size_t)1 << 30 ? left : (size_t)1 << 30;
    zip->next_in = (Bytef *)(uintptr_t)(data + *given);
    zip->avail_in = (uInt)now;
    *given += now;
}

enum dyno_status dyno_zip_unpack(enum dyno_zip kind, const void *data, size_t bytes,
                                 struct dyno_body *out, struct dyno_err *err)
{
    unsigned char step[STEP_BYTES];
    z_stream zip = {.zalloc = zip_alloc, .zfree = zip_free};
    size_t given = 0;
    enum dyno_status status = DYNO_OK;
    if (inflateInit2(&zip, kind == DYNO_ZIP_GZIP ? GZIP_BITS : ZLIB_BITS) != Z_OK)
        return DYNO_NOMEM(err);
    for (int code = Z_OK; status == DYNO_OK && code != Z_STREAM_END;) {
        give_input(&zip, data, bytes, &given);
        zip.next_out = step;
        zip.avail_out = sizeof(step);
        code = inflate(&zip, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            status = DYNO_NOMEM(err);
        else if (code != Z_OK && code != Z_STREAM_END)
            status = DYNO_FAIL(err, DYNO_E_FORMAT, "the compressed body is damaged or cut short");
        else
            status = dyno_body_add(out, step, sizeof(step) - zip.avail_out, err);
    }
    if (status == DYNO_OK && (zip.avail_in != 0 || given != bytes))
        status = DYNO_FAIL(err, DYNO_E_FORMAT, "bytes after the compressed body");
    (void)inflateEnd(&zip);
    return status;
}

enum dyno_status dyno_zip_pack(enum dyno_zip kind, const void *data, size_t bytes,
                               struct dyno_body *out, struct dyno_err *err)
{
    unsigned char step[STEP_BYTES];
    z_stream zip = {.zalloc = zip_alloc, .zfree = zip_free};
    size_t given = 0;
    enum dyno_status status = DYNO_OK;
    if (deflateInit2(&zip, Z_BEST_SPEED, Z_DEFLATED, kind == DYNO_ZIP_GZIP ? GZIP_BITS : ZLIB_BITS,
                     8, Z_DEFAULT_STRATEGY) != Z_OK)
        return DYNO_NOMEM(err);
    for (int code = Z_OK; status == DYNO_OK && code != Z_STREAM_END;) {
        give_input(&zip, data, bytes, &given);
        zip.next_out = step;
        zip.avail_out = sizeof(step);
        code = deflate(&zip, given == bytes ? Z_FINISH : Z_NO_FLUSH);
        if (code == Z_STREAM_ERROR)
            status = DYNO_FAIL(err, DYNO_E_ARG, "the body cannot be compressed");
        else
            status = dyno_body_add(out, step, sizeof(step) - zip.avail_out, err);
    }
    (void)deflateEnd(&zip);
    return status;
}
