/* zip.h - gzip and deflate of bodies, in and out. */
#ifndef DYNO_SERVE_NET_ZIP_H
#define DYNO_SERVE_NET_ZIP_H

#include "serve/net/body.h"

enum dyno_zip {
    DYNO_ZIP_NONE,
    DYNO_ZIP_GZIP,
    DYNO_ZIP_DEFLATE, /* RFC 9110: the zlib format */
    DYNO_ZIP_UNKNOWN,
};

/* The name of a coding as Content-Encoding and grpc-encoding have it; NULL and identity: NONE. */
enum dyno_zip dyno_zip_parse(const char *name);

/* The coding that Accept-Encoding (RFC 9110, 12.5.3) likes best among ours, NULL or nothing of
 * ours: NONE.  Of two that it likes as much, gzip. */
enum dyno_zip dyno_zip_choose(const char *accept);

/* Unpack into `out` (initialised, empty), whose limit and budget bound it.  E_FORMAT, E_LIMIT. */
enum dyno_status dyno_zip_unpack(enum dyno_zip kind, const void *data, size_t bytes,
                                 struct dyno_body *out, struct dyno_err *err);

/* Pack into `out`, the same way. */
enum dyno_status dyno_zip_pack(enum dyno_zip kind, const void *data, size_t bytes,
                               struct dyno_body *out, struct dyno_err *err);

#endif /* DYNO_SERVE_NET_ZIP_H */
