/* tensor.c - TensorProto to a tensor: in place where the bytes lie as we want them. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/pbwire.h"
#include "onnx/importer.h"

/* Contents made out of nothing are bounded: a sparse tensor may claim any size. */
#define DENSE_BYTES_MAX (UINT64_C(1) << 30)

/* Field of TensorProto that holds typed contents of a dtype. */
static uint32_t typed_field(enum dyno_dtype dtype)
{
    switch (dtype) {
    case DYNO_F32:
    case DYNO_C64:
        return 4;
    case DYNO_STR:
        return 6;
    case DYNO_I64:
        return 7;
    case DYNO_F64:
    case DYNO_C128:
        return 10;
    case DYNO_U32:
    case DYNO_U64:
        return 11;
    case DYNO_U8:
    case DYNO_I8:
    case DYNO_U16:
    case DYNO_I16:
    case DYNO_I32:
    case DYNO_BOOL:
    case DYNO_F16:
    case DYNO_BF16:
    case DYNO_F8E4M3FN:
    case DYNO_F8E4M3FNUZ:
    case DYNO_F8E5M2:
    case DYNO_F8E5M2FNUZ:
    case DYNO_U4:
    case DYNO_I4:
    case DYNO_F4E2M1:
    case DYNO_F8E8M0:
    case DYNO_U2:
    case DYNO_I2:
        return 5;
    case DYNO_DTYPE_NONE:
    case DYNO_DTYPE_COUNT:
        break;
    }
    return 0;
}

/* Bytes of one item of the typed field once stored (two floats make one complex number). */
static size_t typed_item_bytes(enum dyno_dtype dtype)
{
    if (dtype == DYNO_C64)
        return sizeof(float);
    if (dtype == DYNO_C128)
        return sizeof(double);
    const unsigned bits = dyno_dtype_bits(dtype);
    return bits < 8 ? 1 : bits / 8;
}

static bool is_fixed(uint32_t field)
{
    return field == 4 || field == 10;
}

/* How many items of the typed field there are. */
static enum dyno_status count_typed(const struct dyno_proto_tensor *proto, uint32_t wanted,
                                    size_t fixed_bytes, uint64_t *count_out, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = false;
    dyno_pb_init(&reader, proto->body.text, proto->body.bytes);
    *count_out = 0;
    for (;;) {
        size_t count = 1;
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number != wanted)
            continue;
        if (is_fixed(wanted))
            DYNO_TRY(dyno_pb_fixed_count(&field, fixed_bytes, &count, err));
        else if (wanted != 6)
            DYNO_TRY(dyno_pb_varints_count(&field, &count, err));
        *count_out += count;
    }
}

static void store_varints(const uint64_t *from, size_t count, size_t item_bytes, char *to)
{
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * item_bytes, &from[i], item_bytes); /* the low bytes */
}

/* Copy the items of one field; `to` has room. */
static enum dyno_status copy_field(const struct dyno_pb_field *field, enum dyno_dtype dtype,
                                   size_t item_bytes, char *to, size_t *count_out,
                                   struct dyno_err *err)
{
    if (is_fixed(field->number)) {
        DYNO_TRY(dyno_pb_fixed_count(field, item_bytes, count_out, err));
        dyno_pb_fixed_read(field, item_bytes, to);
        return DYNO_OK;
    }
    if (dtype == DYNO_STR) {
        struct dyno_str str = {NULL, 0};
        DYNO_TRY(dyno_pb_bytes(field, &str.text, &str.bytes, err));
        memcpy(to, &str, sizeof(str));
        *count_out = 1;
        return DYNO_OK;
    }
    DYNO_TRY(dyno_pb_varints_count(field, count_out, err));
    uint64_t *values = dyno_alloc_raw(*count_out, sizeof(*values));
    if (values == NULL)
        return DYNO_NOMEM(err);
    dyno_pb_varints_read(field, values);
    store_varints(values, *count_out, item_bytes, to);
    dyno_free(values);
    return DYNO_OK;
}

static enum dyno_status read_typed(const struct dyno_tensor_source *source,
                                   const struct dyno_proto_tensor *proto, size_t bytes,
                                   struct dyno_tensor *tensor, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    const uint32_t wanted = typed_field(tensor->dtype);
    const size_t item_bytes = typed_item_bytes(tensor->dtype);
    uint64_t count = 0;
    bool more = false;
    DYNO_TRY(count_typed(proto, wanted, item_bytes, &count, err));
    if (count != bytes / item_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s' holds %" PRIu64 " items of %s data, its shape needs %zu",
                         proto->name, count, dyno_dtype_text(tensor->dtype), bytes / item_bytes);
    char *to = dyno_arena_alloc(source->arena, bytes + 1, 1);
    if (to == NULL)
        return DYNO_NOMEM(err);
    tensor->data = to;
    dyno_pb_init(&reader, proto->body.text, proto->body.bytes);
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number != wanted)
            continue;
        size_t copied = 0;
        DYNO_TRY(copy_field(&field, tensor->dtype, item_bytes, to, &copied, err));
        to += copied * item_bytes;
    }
}

/* Use bytes of the file: in place when aligned for the element. */
static enum dyno_status read_raw(const struct dyno_tensor_source *source,
                                 const struct dyno_proto_tensor *proto, struct dyno_str raw,
                                 size_t bytes, struct dyno_tensor *tensor, struct dyno_err *err)
{
    if (tensor->dtype == DYNO_STR)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s' of strings may not use raw data",
                         proto->name);
    if (raw.bytes != bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s' has %zu bytes of raw data, its shape and type (%s) need %zu",
                         proto->name, raw.bytes, dyno_dtype_text(tensor->dtype), bytes);
    const unsigned bits = dyno_dtype_bits(tensor->dtype);
    const size_t align = bits <= 8 ? 1 : bits >= 64 ? 8 : bits / 8;
    if (bytes > 0 && (uintptr_t)raw.text % align == 0) {
        /* Constants are never written through; the map is read-only. */
        tensor->data = (void *)(uintptr_t)raw.text;
        return DYNO_OK;
    }
    tensor->data = dyno_arena_alloc(source->arena, bytes + 1, 1);
    if (tensor->data == NULL)
        return DYNO_NOMEM(err);
    if (bytes > 0)
        memcpy(tensor->data, raw.text, bytes);
    return DYNO_OK;
}

/* dtype, rank and dims, checked; the bytes they need. */
static enum dyno_status read_header(const char *name, int64_t dtype, const int64_t *dims,
                                    uint32_t dim_count, struct dyno_tensor *tensor,
                                    size_t *bytes_out, struct dyno_err *err)
{
    int64_t count = 0;
    if (dtype <= DYNO_DTYPE_NONE || dtype >= DYNO_DTYPE_COUNT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "tensor '%s' has the unknown data type %" PRId64, name,
                         dtype);
    if (dim_count > DYNO_RANK_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "tensor '%s' has %u dimensions, at most %d are held",
                         name, dim_count, DYNO_RANK_MAX);
    memset(tensor, 0, sizeof(*tensor));
    tensor->dtype = (enum dyno_dtype)dtype;
    tensor->rank = (int)dim_count;
    for (uint32_t i = 0; i < dim_count; i++) {
        tensor->dims[i] = dims[i];
        if (dims[i] < 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "tensor '%s': dimension %u is %" PRId64 ", may not be negative", name,
                             i, dims[i]);
    }
    if (!dyno_dims_count(tensor->dims, tensor->rank, &count) ||
        !dyno_dtype_bytes(tensor->dtype, (uint64_t)count, bytes_out))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "tensor '%s': the product of its dimensions does not fit 63 bits", name);
    return DYNO_OK;
}

enum dyno_status dyno_tensor_of_proto(const struct dyno_tensor_source *source,
                                      const struct dyno_proto_tensor *proto,
                                      struct dyno_tensor *tensor_out, struct dyno_err *err)
{
    size_t bytes = 0;
    struct dyno_str external = {NULL, 0};
    DYNO_TRY(read_header(proto->name, proto->dtype, proto->dims, proto->dim_count, tensor_out,
                         &bytes, err));
    if (proto->is_external) {
        DYNO_TRY(dyno_external_find(source, proto, bytes, &external, err));
        return read_raw(source, proto, external, bytes, tensor_out, err);
    }
    if (proto->has_raw)
        return read_raw(source, proto, proto->raw, bytes, tensor_out, err);
    return read_typed(source, proto, bytes, tensor_out, err);
}

/* Row-major index of sparse entry `idx`; false when outside the shape. */
static bool dense_index(const struct dyno_tensor *dense, const struct dyno_tensor *indices,
                        int64_t idx, int64_t count, size_t *index_out)
{
    int64_t flat = 0;
    if (indices->rank == 1) {
        flat = dyno_elem_load_i64(DYNO_I64, indices->data, (size_t)idx);
        *index_out = (size_t)flat;
        return flat >= 0 && flat < count;
    }
    for (int axis = 0; axis < dense->rank; axis++) {
        const size_t at = (size_t)(idx * dense->rank + axis);
        const int64_t coordinate = dyno_elem_load_i64(DYNO_I64, indices->data, at);
        if (coordinate < 0 || coordinate >= dense->dims[axis])
            return false;
        flat = flat * dense->dims[axis] + coordinate;
    }
    *index_out = (size_t)flat;
    return true;
}

static enum dyno_status check_sparse(const char *name, const struct dyno_tensor *dense,
                                     const struct dyno_tensor *values,
                                     const struct dyno_tensor *indices, struct dyno_err *err)
{
    const bool flat = indices->rank == 1;
    const bool coordinates = indices->rank == 2 && indices->dims[1] == dense->rank;
    if (values->rank != 1 || indices->dtype != DYNO_I64 || !(flat || coordinates) ||
        indices->dims[0] != values->dims[0])
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "sparse tensor '%s': values must be [n], indices i64 [n] or [n, rank]",
                         name);
    if (dyno_dtype_bits(values->dtype) < 8 || values->dtype == DYNO_STR)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "sparse tensor '%s' of type %s is not supported",
                         name, dyno_dtype_text(values->dtype));
    return DYNO_OK;
}

enum dyno_status dyno_tensor_of_sparse(const struct dyno_tensor_source *source,
                                       const struct dyno_proto_sparse *proto,
                                       struct dyno_tensor *tensor_out, struct dyno_err *err)
{
    const char *name = proto->values.name;
    struct dyno_tensor values;
    struct dyno_tensor indices;
    size_t bytes = 0;
    DYNO_TRY(dyno_tensor_of_proto(source, &proto->values, &values, err));
    DYNO_TRY(dyno_tensor_of_proto(source, &proto->indices, &indices, err));
    DYNO_TRY(read_header(name, (int64_t)values.dtype, proto->dims, proto->dim_count, tensor_out,
                         &bytes, err));
    DYNO_TRY(check_sparse(name, tensor_out, &values, &indices, err));
    if (bytes > DENSE_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "sparse tensor '%s' takes %zu bytes when dense, at most %" PRIu64
                         " are made",
                         name, bytes, DENSE_BYTES_MAX);
    tensor_out->data = dyno_arena_alloc(source->arena, bytes + 1, 1);
    if (tensor_out->data == NULL)
        return DYNO_NOMEM(err);
    const int64_t count = dyno_tensor_count(tensor_out);
    const size_t elem_bytes = dyno_dtype_bits(values.dtype) / 8;
    for (int64_t i = 0; i < values.dims[0]; i++) {
        size_t index = 0;
        if (!dense_index(tensor_out, &indices, i, count, &index))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "sparse tensor '%s': index %" PRId64 " lies outside its shape", name,
                             i);
        memcpy((char *)tensor_out->data + index * elem_bytes,
               (const char *)values.data + (size_t)i * elem_bytes, elem_bytes);
    }
    return DYNO_OK;
}

enum dyno_status dyno_onnx_tensor_read(const void *data, size_t bytes, struct dyno_arena *arena,
                                       struct dyno_tensor *tensor_out, struct dyno_err *err)
{
    const struct dyno_tensor_source source = {.arena = arena};
    struct dyno_proto_tensor proto;
    DYNO_TRY(dyno_proto_read_tensor(data, bytes, arena, &proto, err));
    return dyno_tensor_of_proto(&source, &proto, tensor_out, err);
}
