/* proto_tensor.c - tensors, types and declared values off the wire. */
#include <string.h>

#include "onnx/proto_read.h"

static enum dyno_status read_tensor_field(struct dyno_reading *in,
                                          const struct dyno_pb_reader *reader,
                                          const struct dyno_pb_field *field, struct dyno_list *dims,
                                          struct dyno_list *external,
                                          struct dyno_proto_tensor *tensor)
{
    int64_t location = 0;
    switch (field->number) {
    case 1:
        return dyno_read_ints(in, field, dims);
    case 2:
        return dyno_pb_i64(field, &tensor->dtype, in->err);
    case 3:
        return DYNO_FAIL(in->err, DYNO_E_UNSUPPORTED, "tensors in segments are not supported");
    case 8:
        return dyno_read_name(in, field, &tensor->name);
    case 9:
        tensor->has_raw = true;
        return dyno_read_str(in, field, &tensor->raw);
    case 13:
        return dyno_read_entry_item(in, reader, field, external);
    case 14:
        DYNO_TRY(dyno_pb_i64(field, &location, in->err));
        tensor->is_external = location == 1;
        return DYNO_OK;
    default:
        return DYNO_OK;
    }
}

enum dyno_status dyno_read_tensor(struct dyno_reading *in, struct dyno_pb_reader reader,
                                  struct dyno_proto_tensor *tensor)
{
    struct dyno_pb_field field;
    struct dyno_list dims = {0};
    struct dyno_list external = {0};
    bool more = false;
    tensor->name = "";
    tensor->body.text = (const char *)reader.at;
    tensor->body.bytes = (size_t)(reader.end - reader.at);
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        DYNO_TRY(read_tensor_field(in, &reader, &field, &dims, &external, tensor));
    }
    tensor->dims = dims.at;
    tensor->dim_count = dims.count;
    tensor->external = external.at;
    tensor->external_count = external.count;
    return DYNO_OK;
}

enum dyno_status dyno_read_sparse(struct dyno_reading *in, struct dyno_pb_reader reader,
                                  struct dyno_proto_sparse *sparse)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct dyno_list dims = {0};
    bool more = false;
    sparse->values.name = sparse->indices.name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number == 1 || field.number == 2) {
            DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
            DYNO_TRY(dyno_read_tensor(in, nested,
                                      field.number == 1 ? &sparse->values : &sparse->indices));
        } else if (field.number == 3) {
            DYNO_TRY(dyno_read_ints(in, &field, &dims));
        }
    }
    sparse->dims = dims.at;
    sparse->dim_count = dims.count;
    return DYNO_OK;
}

static enum dyno_status read_dim(struct dyno_reading *in, struct dyno_pb_reader reader,
                                 struct dyno_proto_dim *dim)
{
    struct dyno_pb_field field;
    bool more = false;
    dim->param = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1) {
            DYNO_TRY(dyno_pb_i64(&field, &dim->value, in->err));
            dim->has_value = true;
        } else if (field.number == 2) {
            DYNO_TRY(dyno_read_name(in, &field, &dim->param));
        }
    }
}

static enum dyno_status read_shape(struct dyno_reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct dyno_list dims = {0};
    bool more = false;
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number != 1)
            continue;
        DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
        struct dyno_proto_dim *dim = dyno_list_extend(in, &dims, sizeof(*dim), 1);
        if (dim == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(read_dim(in, nested, dim));
    }
    type->has_shape = true;
    type->dims = dims.at;
    type->dim_count = dims.count;
    return DYNO_OK;
}

static enum dyno_status read_tensor_type(struct dyno_reading *in, struct dyno_pb_reader reader,
                                         struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1) {
            DYNO_TRY(dyno_pb_i64(&field, &type->dtype, in->err));
        } else if (field.number == 2) {
            DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
            DYNO_TRY(read_shape(in, nested, type));
        }
    }
}

/* TypeProto.Sequence and TypeProto.Optional: one field, the element's type. */
static enum dyno_status read_elem_type(struct dyno_reading *in, struct dyno_pb_reader reader,
                                       struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    DYNO_TRY(dyno_read_descend(in));
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number != 1)
            continue;
        DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
        struct dyno_proto_type *elem = dyno_arena_alloc(in->arena, 1, sizeof(*elem));
        if (elem == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(dyno_read_type(in, nested, elem));
        type->elem = elem;
    }
    in->depth--;
    return DYNO_OK;
}

enum dyno_status dyno_read_type(struct dyno_reading *in, struct dyno_pb_reader reader,
                                struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 6) /* denotation */
            continue;
        DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
        switch (field.number) {
        case 1:
            type->kind = DYNO_PROTO_KIND_TENSOR;
            DYNO_TRY(read_tensor_type(in, nested, type));
            break;
        case 4:
            type->kind = DYNO_PROTO_KIND_SEQUENCE;
            DYNO_TRY(read_elem_type(in, nested, type));
            break;
        case 9:
            type->kind = DYNO_PROTO_KIND_OPTIONAL;
            DYNO_TRY(read_elem_type(in, nested, type));
            break;
        default:
            type->kind = DYNO_PROTO_KIND_OTHER;
            break;
        }
    }
}

enum dyno_status dyno_read_value_info(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct dyno_list *infos)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_value_info *info = dyno_list_extend(in, infos, sizeof(*info), 1);
    if (info == NULL)
        return DYNO_NOMEM(in->err);
    info->name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1) {
            DYNO_TRY(dyno_read_name(in, &field, &info->name));
        } else if (field.number == 2) {
            DYNO_TRY(dyno_read_enter(in, &reader, &field, &nested));
            DYNO_TRY(dyno_read_type(in, nested, &info->type));
        }
    }
}

enum dyno_status dyno_proto_read_tensor(const void *data, size_t bytes, struct dyno_arena *arena,
                                        struct dyno_proto_tensor *tensor_out, struct dyno_err *err)
{
    struct dyno_reading in = {.arena = arena, .err = err};
    struct dyno_pb_reader reader;
    memset(tensor_out, 0, sizeof(*tensor_out));
    dyno_pb_init(&reader, data, bytes);
    return dyno_read_tensor(&in, reader, tensor_out);
}
