/* zip.c - zlib, with memory from base. */
#include "serve/net/zip.h"

#include <string.h>
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
