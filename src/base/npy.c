/* npy.c - .npy files (numpy.lib.format in NumPy's documentation). */
#include "base/npy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define MAGIC        "\x93NUMPY"
#define MAGIC_BYTES  6
#define HEADER_ALIGN 64

static const char *numpy_descr(enum dyno_dtype dtype)
{
    static const char *const descrs[DYNO_DTYPE_COUNT] = {
#define X(sym, value, bits, text, numpy) [value] = (numpy),
        DYNO_DTYPE_MAP(X)
#undef X
    };
    if (dtype == DYNO_BF16)
        return "<V2";
    return (unsigned)dtype < DYNO_DTYPE_COUNT ? descrs[dtype] : NULL;
}

/* --- the header: a Python dictionary --- */

struct header {
    const char *at;
    const char *end;
    const char *descr;
    size_t descr_bytes;
    bool has_order, is_fortran, has_shape;
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    struct dyno_err *err;
};

static enum dyno_status malformed(const struct header *header, const char *what)
{
    return DYNO_FAIL(header->err, DYNO_E_FORMAT, "npy header: %s", what);
}

static bool accept(struct header *header, const char *token)
{
    while (header->at < header->end && isspace((unsigned char)*header->at))
        header->at++;
    const size_t bytes = strlen(token);
    if ((size_t)(header->end - header->at) < bytes || memcmp(header->at, token, bytes) != 0)
        return false;
    header->at += bytes;
    return true;
}

static enum dyno_status parse_quoted(struct header *header, const char **text_out,
                                     size_t *bytes_out)
{
    const bool is_single = accept(header, "'");
    if (!is_single && !accept(header, "\""))
        return malformed(header, "a quoted string expected");
    const char *close =
        memchr(header->at, is_single ? '\'' : '"', (size_t)(header->end - header->at));
    if (close == NULL)
        return malformed(header, "string without end");
    *text_out = header->at;
    *bytes_out = (size_t)(close - header->at);
    header->at = close + 1;
    return DYNO_OK;
}

static enum dyno_status parse_dim(struct header *header, int64_t *dim_out)
{
    int64_t dim = 0;
    size_t digits = 0;
    for (; header->at < header->end && isdigit((unsigned char)*header->at); header->at++, digits++)
        if (__builtin_mul_overflow(dim, 10, &dim) ||
            __builtin_add_overflow(dim, *header->at - '0', &dim))
            return malformed(header, "a dimension does not fit 63 bits");
    if (digits == 0)
        return malformed(header, "a dimension expected in 'shape'");
    (void)accept(header, "L"); /* Python 2 wrote 3L */
    *dim_out = dim;
    return DYNO_OK;
}

static enum dyno_status parse_shape(struct header *header)
{
    if (header->has_shape || !accept(header, "("))
        return malformed(header, "'shape' is no tuple");
    header->has_shape = true;
    bool needs_comma = false;
    while (!accept(header, ")")) {
        if (needs_comma)
            return malformed(header, "',' expected in 'shape'");
        if (header->rank == DYNO_RANK_MAX)
            return DYNO_FAIL(header->err, DYNO_E_LIMIT, "npy header: more than %d dimensions",
                             DYNO_RANK_MAX);
        DYNO_TRY(parse_dim(header, &header->dims[header->rank++]));
        needs_comma = !accept(header, ",");
    }
    if (needs_comma && header->rank == 1)
        return malformed(header, "'shape' is no tuple");
    return DYNO_OK;
}

static enum dyno_status parse_member(struct header *header)
{
    const char *key = NULL;
    size_t key_bytes = 0;
    DYNO_TRY(parse_quoted(header, &key, &key_bytes));
    if (!accept(header, ":"))
        return malformed(header, "':' expected");
    if (key_bytes == 5 && memcmp(key, "shape", 5) == 0)
        return parse_shape(header);
    if (key_bytes == 5 && memcmp(key, "descr", 5) == 0 && header->descr == NULL) {
        if (accept(header, "["))
            return DYNO_FAIL(header->err, DYNO_E_UNSUPPORTED,
                             "npy header: structured arrays are not supported");
        return parse_quoted(header, &header->descr, &header->descr_bytes);
    }
    if (key_bytes == 13 && memcmp(key, "fortran_order", 13) == 0 && !header->has_order) {
        header->has_order = true;
        header->is_fortran = accept(header, "True");
        if (!header->is_fortran && !accept(header, "False"))
            return malformed(header, "'fortran_order' is neither True nor False");
        return DYNO_OK;
    }
    return malformed(header, "unknown or repeated key");
}

static enum dyno_status parse_dictionary(struct header *header)
{
    if (!accept(header, "{"))
        return malformed(header, "no dictionary");
    bool needs_comma = false;
    while (!accept(header, "}")) {
        if (needs_comma)
            return malformed(header, "',' expected");
        DYNO_TRY(parse_member(header));
        needs_comma = !accept(header, ",");
    }
    (void)accept(header, "");
    if (header->at != header->end)
        return malformed(header, "text after the dictionary");
    if (header->descr == NULL || !header->has_order || !header->has_shape)
        return malformed(header, "needs descr, fortran_order and shape");
    return DYNO_OK;
}

static enum dyno_status dtype_of(const struct header *header, enum dyno_dtype *dtype_out)
{
    const char *descr = header->descr;
    const size_t bytes = header->descr_bytes;
    for (unsigned i = 1; i < DYNO_DTYPE_COUNT; i++) {
        const char *own = numpy_descr((enum dyno_dtype)i);
        if (own == NULL || bytes != strlen(own) || memcmp(own + 1, descr + 1, bytes - 1) != 0)
            continue;
        const bool order_matters = dyno_dtype_bits((enum dyno_dtype)i) > 8;
        if (strchr("<=|", descr[0]) == NULL && (order_matters || descr[0] != '>'))
            break;
        *dtype_out = (enum dyno_dtype)i;
        return DYNO_OK;
    }
    return DYNO_FAIL(header->err, DYNO_E_UNSUPPORTED,
                     "npy type '%.*s' is not supported: little-endian numbers and bool are",
                     (int)(bytes > 64 ? 64 : bytes), descr);
}

/* --- reading --- */

/* Column-major `from` to row-major `to`. */
static void copy_transposed(const struct dyno_tensor *tensor, int64_t count, size_t item_bytes,
                            const uint8_t *from, uint8_t *to)
{
    int64_t idx[DYNO_RANK_MAX] = {0};
    int64_t strides[DYNO_RANK_MAX];
    int64_t stride = 1;
    for (int axis = 0; axis < tensor->rank; axis++) {
        strides[axis] = stride;
        stride *= tensor->dims[axis];
    }
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + (size_t)i * item_bytes, from + (size_t)at * item_bytes, item_bytes);
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            at += strides[axis];
            if (++idx[axis] < tensor->dims[axis])
                break;
            at -= strides[axis] * tensor->dims[axis];
            idx[axis] = 0;
        }
    }
}

/* Where the dictionary and the data begin. */
static enum dyno_status find_header(const uint8_t *data, size_t bytes, struct header *header)
{
    if (bytes < MAGIC_BYTES + 4 || memcmp(data, MAGIC, MAGIC_BYTES) != 0)
        return DYNO_FAIL(header->err, DYNO_E_FORMAT, "not an npy file: no \\x93NUMPY at its start");
    const unsigned major = data[MAGIC_BYTES];
    if (major < 1 || major > 3)
        return DYNO_FAIL(header->err, DYNO_E_UNSUPPORTED,
                         "npy format version %u is not supported: 1 to 3 are", major);
    const size_t length_bytes = major == 1 ? 2 : 4;
    const size_t start = MAGIC_BYTES + 2 + length_bytes;
    size_t length = 0;
    if (bytes >= start)
        memcpy(&length, data + MAGIC_BYTES + 2, length_bytes);
    if (bytes < start || length > bytes - start)
        return DYNO_FAIL(header->err, DYNO_E_FORMAT,
                         "npy file is cut short: %zu bytes do not hold the header", bytes);
    header->at = (const char *)data + start;
    header->end = header->at + length;
    return DYNO_OK;
}

enum dyno_status dyno_npy_parse(const void *data, size_t bytes, struct dyno_arena *arena,
                                struct dyno_tensor *tensor_out, struct dyno_err *err)
{
    struct header header = {.err = err};
    *tensor_out = (struct dyno_tensor){0};
    DYNO_TRY(find_header(data, bytes, &header));
    const uint8_t *items = (const uint8_t *)header.end;
    DYNO_TRY(parse_dictionary(&header));
    struct dyno_tensor tensor = {.rank = header.rank};
    DYNO_TRY(dtype_of(&header, &tensor.dtype));
    memcpy(tensor.dims, header.dims, sizeof(tensor.dims));
    int64_t count = 0;
    size_t item_bytes = 0;
    size_t data_bytes = 0;
    if (!dyno_dims_count(tensor.dims, tensor.rank, &count) ||
        !dyno_dtype_bytes(tensor.dtype, 1, &item_bytes) ||
        !dyno_dtype_bytes(tensor.dtype, (uint64_t)count, &data_bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "npy header: the shape has too many elements");
    const size_t have = bytes - (size_t)(items - (const uint8_t *)data);
    if (have != data_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "npy file holds %zu bytes of data, its header asks for %zu", have,
                         data_bytes);
    /* At least 64 bytes, so that the arena aligns it to 64. */
    tensor.data = dyno_arena_alloc(arena, data_bytes > 64 ? data_bytes : 64, 1);
    if (tensor.data == NULL)
        return DYNO_NOMEM(err);
    if (header.is_fortran && tensor.rank > 1)
        copy_transposed(&tensor, count, item_bytes, items, tensor.data);
    else if (data_bytes != 0)
        memcpy(tensor.data, items, data_bytes);
    *tensor_out = tensor;
    return DYNO_OK;
}

enum dyno_status dyno_npy_load(const char *path, struct dyno_arena *arena,
                               struct dyno_tensor *tensor_out, struct dyno_err *err)
{
    struct dyno_file_map map;
    *tensor_out = (struct dyno_tensor){0};
    DYNO_TRY(dyno_file_map(path, &map, err));
    const enum dyno_status status = dyno_npy_parse(map.data, map.bytes, arena, tensor_out, err);
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

/* --- writing --- */

enum dyno_status dyno_npy_header(const struct dyno_tensor *tensor, struct dyno_strbuf *out,
                                 struct dyno_err *err)
{
    const char *descr = numpy_descr(tensor->dtype);
    if (descr == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "NumPy has no type for %s",
                         dyno_dtype_text(tensor->dtype));
    struct dyno_strbuf text = {0};
    dyno_strbuf_printf(&text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < tensor->rank; i++)
        dyno_strbuf_printf(&text, "%lld%s", (long long)tensor->dims[i],
                           i + 1 < tensor->rank ? ", "
                           : tensor->rank == 1  ? ","
                                                : "");
    dyno_strbuf_puts(&text, "), }");
    const size_t start = MAGIC_BYTES + 4;
    while ((start + text.bytes + 1) % HEADER_ALIGN != 0 && dyno_strbuf_ok(&text))
        dyno_strbuf_puts(&text, " ");
    dyno_strbuf_puts(&text, "\n");
    const char length[2] = {(char)(text.bytes & 0xff), (char)(text.bytes >> 8)};
    dyno_strbuf_add(out, MAGIC "\x01", MAGIC_BYTES + 1);
    dyno_strbuf_add(out, "\0", 1);
    dyno_strbuf_add(out, length, sizeof(length));
    dyno_strbuf_add(out, dyno_strbuf_text(&text), text.bytes);
    const bool ok = dyno_strbuf_ok(&text) && dyno_strbuf_ok(out);
    dyno_strbuf_fini(&text);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_npy_save(const char *path, const struct dyno_tensor *tensor,
                               struct dyno_err *err)
{
    struct dyno_strbuf header = {0};
    struct dyno_file_writer writer = {0};
    int64_t count = 0;
    size_t bytes = 0;
    enum dyno_status status = dyno_npy_header(tensor, &header, err);
    if (status == DYNO_OK && (!dyno_dims_count(tensor->dims, tensor->rank, &count) ||
                              !dyno_dtype_bytes(tensor->dtype, (uint64_t)count, &bytes)))
        status = DYNO_FAIL(err, DYNO_E_ARG, "tensor for \"%s\" has too many elements", path);
    if (status == DYNO_OK)
        status = dyno_file_write_begin(&writer, path, err);
    if (status == DYNO_OK)
        status = dyno_file_write(&writer, header.text, header.bytes, err);
    if (status == DYNO_OK)
        status = dyno_file_write(&writer, tensor->data, bytes, err);
    if (status == DYNO_OK)
        status = dyno_file_write_commit(&writer, err);
    dyno_file_write_abort(&writer);
    dyno_strbuf_fini(&header);
    return status;
}
