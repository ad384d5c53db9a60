/* npy.h - NumPy's .npy files (format versions 1, 2 and 3).
 *
 * Reads little-endian and byte-sized types of dtype.h that NumPy knows, in C or Fortran order
 * (converted to C order); a '|V2' or '<V2' array is read and written as bf16.
 */
#ifndef DYNO_BASE_NPY_H
#define DYNO_BASE_NPY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "base/tensor.h"

/* The array in data[bytes].  tensor_out->data is a copy in `arena`, 64-byte aligned.  Fails with
 * E_FORMAT (malformed, truncated, trailing bytes), E_UNSUPPORTED (type, byte order), E_LIMIT
 * (rank), E_NOMEM. */
enum dyno_status dyno_npy_parse(const void *data, size_t bytes, struct dyno_arena *arena,
                                struct dyno_tensor *tensor_out, struct dyno_err *err);
/* The same from a file; errors begin with the path. */
enum dyno_status dyno_npy_load(const char *path, struct dyno_arena *arena,
                               struct dyno_tensor *tensor_out, struct dyno_err *err);

/* Append the header for such an array (version 1.0; the data must follow).  E_UNSUPPORTED when
 * NumPy has no such type. */
enum dyno_status dyno_npy_header(const struct dyno_tensor *tensor, struct dyno_strbuf *out,
                                 struct dyno_err *err);
/* Write header and data to `path`, atomically. */
enum dyno_status dyno_npy_save(const char *path, const struct dyno_tensor *tensor,
                               struct dyno_err *err);

#endif /* DYNO_BASE_NPY_H */
