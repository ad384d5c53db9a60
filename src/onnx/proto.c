/* proto.c - ONNX's messages off the wire: one function a message, fields by number. */
#include "onnx/proto.h"

#include <string.h>

#include "base/pbwire.h"

#define DEPTH_MAX 32 /* graphs inside attributes inside graphs, types inside types */

struct reading {
    struct dyno_arena *arena;
    struct dyno_err *err;
    int depth;
};

/* An array that grows in the arena. */
struct list {
    void *at;
    uint32_t count;
    uint32_t capacity;
};

static void *list_extend(struct reading *in, struct list *list, size_t item_bytes, size_t more)
{
    if (more > UINT32_MAX - list->count)
        return NULL;
    if (list->at == NULL || list->count + more > list->capacity) {
        uint64_t capacity = list->capacity < 4 ? 4 : (uint64_t)list->capacity * 2;
        if (capacity < list->count + more)
            capacity = list->count + more;
        if (capacity > UINT32_MAX)
            capacity = UINT32_MAX;
        void *grown = dyno_arena_alloc(in->arena, capacity, item_bytes);
        if (grown == NULL)
            return NULL;
        if (list->count > 0)
            memcpy(grown, list->at, list->count * item_bytes);
        list->at = grown;
        list->capacity = (uint32_t)capacity;
    }
    void *added = (char *)list->at + list->count * item_bytes;
    list->count += (uint32_t)more;
    return added;
}

static enum dyno_status read_str(struct reading *in, const struct dyno_pb_field *field,
                                 struct dyno_str *str_out)
{
    return dyno_pb_bytes(field, &str_out->text, &str_out->bytes, in->err);
}

static enum dyno_status read_name(struct reading *in, const struct dyno_pb_field *field,
                                  const char **name_out)
{
    struct dyno_str str;
    DYNO_TRY(read_str(in, field, &str));
    if (str.bytes > 0 && memchr(str.text, '\0', str.bytes) != NULL)
        return DYNO_FAIL(in->err, DYNO_E_FORMAT, "a name holds a NUL byte (field %u)",
                         field->number);
    *name_out = str.bytes == 0 ? "" : dyno_arena_strndup(in->arena, str.text, str.bytes);
    return *name_out != NULL ? DYNO_OK : DYNO_NOMEM(in->err);
}

static enum dyno_status read_name_item(struct reading *in, const struct dyno_pb_field *field,
                                       struct list *names)
{
    const char **name = list_extend(in, names, sizeof(*name), 1);
    if (name == NULL)
        return DYNO_NOMEM(in->err);
    return read_name(in, field, name);
}

static enum dyno_status read_ints(struct reading *in, const struct dyno_pb_field *field,
                                  struct list *ints)
{
    size_t count = 0;
    DYNO_TRY(dyno_pb_varints_count(field, &count, in->err));
    uint64_t *at = list_extend(in, ints, sizeof(*at), count);
    if (at == NULL)
        return DYNO_NOMEM(in->err);
    dyno_pb_varints_read(field, at);
    return DYNO_OK;
}

static enum dyno_status read_floats(struct reading *in, const struct dyno_pb_field *field,
                                    struct list *floats)
{
    size_t count = 0;
    DYNO_TRY(dyno_pb_fixed_count(field, sizeof(float), &count, in->err));
    float *at = list_extend(in, floats, sizeof(*at), count);
    if (at == NULL)
        return DYNO_NOMEM(in->err);
    dyno_pb_fixed_read(field, sizeof(float), at);
    return DYNO_OK;
}

/* A nested message; the caller has checked nothing. */
static enum dyno_status enter(struct reading *in, const struct dyno_pb_reader *reader,
                              const struct dyno_pb_field *field, struct dyno_pb_reader *nested_out)
{
    if (field->wire != DYNO_PB_LEN)
        return DYNO_FAIL(in->err, DYNO_E_FORMAT, "field %u has wire type %d, wants a message",
                         field->number, (int)field->wire);
    *nested_out = dyno_pb_nested(reader, field);
    return DYNO_OK;
}

static enum dyno_status descend(struct reading *in)
{
    if (in->depth >= DEPTH_MAX)
        return DYNO_FAIL(in->err, DYNO_E_LIMIT, "messages are nested more than %d deep", DEPTH_MAX);
    in->depth++;
    return DYNO_OK;
}

static enum dyno_status read_entry(struct reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_entry *entry)
{
    struct dyno_pb_field field;
    bool more = false;
    entry->key = entry->value = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(read_name(in, &field, &entry->key));
        else if (field.number == 2)
            DYNO_TRY(read_name(in, &field, &entry->value));
    }
}

static enum dyno_status read_tensor_field(struct reading *in, const struct dyno_pb_reader *reader,
                                          const struct dyno_pb_field *field, struct list *dims,
                                          struct list *external, struct dyno_proto_tensor *tensor)
{
    struct dyno_pb_reader nested;
    int64_t location = 0;
    switch (field->number) {
    case 1:
        return read_ints(in, field, dims);
    case 2:
        return dyno_pb_i64(field, &tensor->dtype, in->err);
    case 3:
        return DYNO_FAIL(in->err, DYNO_E_UNSUPPORTED, "tensors in segments are not supported");
    case 8:
        return read_name(in, field, &tensor->name);
    case 9:
        tensor->has_raw = true;
        return read_str(in, field, &tensor->raw);
    case 13: {
        DYNO_TRY(enter(in, reader, field, &nested));
        struct dyno_proto_entry *entry = list_extend(in, external, sizeof(*entry), 1);
        if (entry == NULL)
            return DYNO_NOMEM(in->err);
        return read_entry(in, nested, entry);
    }
    case 14:
        DYNO_TRY(dyno_pb_i64(field, &location, in->err));
        tensor->is_external = location == 1;
        return DYNO_OK;
    default:
        return DYNO_OK;
    }
}

static enum dyno_status read_tensor(struct reading *in, struct dyno_pb_reader reader,
                                    struct dyno_proto_tensor *tensor)
{
    struct dyno_pb_field field;
    struct list dims = {0};
    struct list external = {0};
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

static enum dyno_status read_sparse(struct reading *in, struct dyno_pb_reader reader,
                                    struct dyno_proto_sparse *sparse)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct list dims = {0};
    bool more = false;
    sparse->values.name = sparse->indices.name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number == 1 || field.number == 2) {
            DYNO_TRY(enter(in, &reader, &field, &nested));
            DYNO_TRY(
                read_tensor(in, nested, field.number == 1 ? &sparse->values : &sparse->indices));
        } else if (field.number == 3) {
            DYNO_TRY(read_ints(in, &field, &dims));
        }
    }
    sparse->dims = dims.at;
    sparse->dim_count = dims.count;
    return DYNO_OK;
}

static enum dyno_status read_dim(struct reading *in, struct dyno_pb_reader reader,
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
            DYNO_TRY(read_name(in, &field, &dim->param));
        }
    }
}

static enum dyno_status read_shape(struct reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct list dims = {0};
    bool more = false;
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number != 1)
            continue;
        DYNO_TRY(enter(in, &reader, &field, &nested));
        struct dyno_proto_dim *dim = list_extend(in, &dims, sizeof(*dim), 1);
        if (dim == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(read_dim(in, nested, dim));
    }
    type->has_shape = true;
    type->dims = dims.at;
    type->dim_count = dims.count;
    return DYNO_OK;
}

static enum dyno_status read_tensor_type(struct reading *in, struct dyno_pb_reader reader,
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
            DYNO_TRY(enter(in, &reader, &field, &nested));
            DYNO_TRY(read_shape(in, nested, type));
        }
    }
}

static enum dyno_status read_type(struct reading *in, struct dyno_pb_reader reader,
                                  struct dyno_proto_type *type);

/* TypeProto.Sequence and TypeProto.Optional: one field, the element's type. */
static enum dyno_status read_elem_type(struct reading *in, struct dyno_pb_reader reader,
                                       struct dyno_proto_type *type)
{
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    DYNO_TRY(descend(in));
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number != 1)
            continue;
        DYNO_TRY(enter(in, &reader, &field, &nested));
        struct dyno_proto_type *elem = dyno_arena_alloc(in->arena, 1, sizeof(*elem));
        if (elem == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(read_type(in, nested, elem));
        type->elem = elem;
    }
    in->depth--;
    return DYNO_OK;
}

static enum dyno_status read_type(struct reading *in, struct dyno_pb_reader reader,
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
        DYNO_TRY(enter(in, &reader, &field, &nested));
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

static enum dyno_status read_value_info(struct reading *in, const struct dyno_pb_reader *outer,
                                        const struct dyno_pb_field *outer_field, struct list *infos)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_value_info *info = list_extend(in, infos, sizeof(*info), 1);
    if (info == NULL)
        return DYNO_NOMEM(in->err);
    info->name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1) {
            DYNO_TRY(read_name(in, &field, &info->name));
        } else if (field.number == 2) {
            DYNO_TRY(enter(in, &reader, &field, &nested));
            DYNO_TRY(read_type(in, nested, &info->type));
        }
    }
}

static enum dyno_status read_graph(struct reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_graph *graph);

/* The message-valued fields of an attribute, which are rare. */
static enum dyno_status read_attr_message(struct reading *in, const struct dyno_pb_reader *reader,
                                          const struct dyno_pb_field *field,
                                          struct dyno_proto_attr *attr)
{
    struct dyno_pb_reader nested;
    DYNO_TRY(enter(in, reader, field, &nested));
    if (field->number == 5) {
        struct dyno_proto_tensor *t = dyno_arena_alloc(in->arena, 1, sizeof(*t));
        attr->t = t;
        return t != NULL ? read_tensor(in, nested, t) : DYNO_NOMEM(in->err);
    }
    if (field->number == 6) {
        struct dyno_proto_graph *g = dyno_arena_alloc(in->arena, 1, sizeof(*g));
        attr->g = g;
        if (g == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(descend(in));
        DYNO_TRY(read_graph(in, nested, g));
        in->depth--;
        return DYNO_OK;
    }
    struct dyno_proto_sparse *sparse = dyno_arena_alloc(in->arena, 1, sizeof(*sparse));
    attr->sparse = sparse;
    return sparse != NULL ? read_sparse(in, nested, sparse) : DYNO_NOMEM(in->err);
}

struct attr_lists {
    struct list floats, ints, strings;
};

static enum dyno_status read_attr_field(struct reading *in, const struct dyno_pb_reader *reader,
                                        const struct dyno_pb_field *field, struct attr_lists *lists,
                                        struct dyno_proto_attr *attr)
{
    switch (field->number) {
    case 1:
        return read_name(in, field, &attr->name);
    case 2:
        return dyno_pb_f32(field, &attr->f, in->err);
    case 3:
        return dyno_pb_i64(field, &attr->i, in->err);
    case 4:
        return read_str(in, field, &attr->s);
    case 5:
    case 6:
    case 22:
        return read_attr_message(in, reader, field, attr);
    case 7:
        return read_floats(in, field, &lists->floats);
    case 8:
        return read_ints(in, field, &lists->ints);
    case 9: {
        struct dyno_str *str = list_extend(in, &lists->strings, sizeof(*str), 1);
        return str != NULL ? read_str(in, field, str) : DYNO_NOMEM(in->err);
    }
    case 20:
        return dyno_pb_i64(field, &attr->type, in->err);
    case 21:
        return read_name(in, field, &attr->ref_name);
    default:
        return DYNO_OK;
    }
}

/* Type of an attribute by its field's number, for files that do not write the type. */
static int64_t type_of_field(uint32_t number)
{
    static const uint8_t types[] = {
        [2] = DYNO_PROTO_FLOAT,          [3] = DYNO_PROTO_INT,     [4] = DYNO_PROTO_STRING,
        [5] = DYNO_PROTO_TENSOR,         [6] = DYNO_PROTO_GRAPH,   [7] = DYNO_PROTO_FLOATS,
        [8] = DYNO_PROTO_INTS,           [9] = DYNO_PROTO_STRINGS, [10] = DYNO_PROTO_TENSORS,
        [11] = DYNO_PROTO_GRAPHS,        [14] = DYNO_PROTO_TYPE,   [15] = DYNO_PROTO_TYPES,
        [22] = DYNO_PROTO_SPARSE_TENSOR,
    };
    return number < DYNO_COUNT(types) ? types[number] : DYNO_PROTO_UNDEFINED;
}

static enum dyno_status read_attr(struct reading *in, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *outer_field, struct list *attrs)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct attr_lists lists = {0};
    int64_t guessed = DYNO_PROTO_UNDEFINED;
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_attr *attr = list_extend(in, attrs, sizeof(*attr), 1);
    if (attr == NULL)
        return DYNO_NOMEM(in->err);
    attr->name = attr->ref_name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (type_of_field(field.number) != DYNO_PROTO_UNDEFINED)
            guessed = type_of_field(field.number);
        DYNO_TRY(read_attr_field(in, &reader, &field, &lists, attr));
    }
    if (attr->type == DYNO_PROTO_UNDEFINED)
        attr->type = guessed;
    attr->floats.at = lists.floats.at;
    attr->floats.count = lists.floats.count;
    attr->ints.at = lists.ints.at;
    attr->ints.count = lists.ints.count;
    attr->strings.at = lists.strings.at;
    attr->strings.count = lists.strings.count;
    return DYNO_OK;
}

static enum dyno_status read_node(struct reading *in, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *outer_field, struct list *nodes)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct list ins = {0};
    struct list outs = {0};
    struct list attrs = {0};
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_node *node = list_extend(in, nodes, sizeof(*node), 1);
    if (node == NULL)
        return DYNO_NOMEM(in->err);
    node->name = node->op = node->domain = node->overload = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number == 1)
            DYNO_TRY(read_name_item(in, &field, &ins));
        else if (field.number == 2)
            DYNO_TRY(read_name_item(in, &field, &outs));
        else if (field.number == 3)
            DYNO_TRY(read_name(in, &field, &node->name));
        else if (field.number == 4)
            DYNO_TRY(read_name(in, &field, &node->op));
        else if (field.number == 5)
            DYNO_TRY(read_attr(in, &reader, &field, &attrs));
        else if (field.number == 7)
            DYNO_TRY(read_name(in, &field, &node->domain));
        else if (field.number == 8)
            DYNO_TRY(read_name(in, &field, &node->overload));
    }
    node->ins = ins.at;
    node->in_count = ins.count;
    node->outs = outs.at;
    node->out_count = outs.count;
    node->attrs = attrs.at;
    node->attr_count = attrs.count;
    return DYNO_OK;
}

struct graph_lists {
    struct list nodes, inits, sparse, inputs, outputs, infos;
};

static enum dyno_status read_graph_field(struct reading *in, const struct dyno_pb_reader *reader,
                                         const struct dyno_pb_field *field,
                                         struct graph_lists *lists, struct dyno_proto_graph *graph)
{
    struct dyno_pb_reader nested;
    switch (field->number) {
    case 1:
        return read_node(in, reader, field, &lists->nodes);
    case 2:
        return read_name(in, field, &graph->name);
    case 5: {
        DYNO_TRY(enter(in, reader, field, &nested));
        struct dyno_proto_tensor *tensor = list_extend(in, &lists->inits, sizeof(*tensor), 1);
        return tensor != NULL ? read_tensor(in, nested, tensor) : DYNO_NOMEM(in->err);
    }
    case 11:
        return read_value_info(in, reader, field, &lists->inputs);
    case 12:
        return read_value_info(in, reader, field, &lists->outputs);
    case 13:
        return read_value_info(in, reader, field, &lists->infos);
    case 15: {
        DYNO_TRY(enter(in, reader, field, &nested));
        struct dyno_proto_sparse *sparse = list_extend(in, &lists->sparse, sizeof(*sparse), 1);
        return sparse != NULL ? read_sparse(in, nested, sparse) : DYNO_NOMEM(in->err);
    }
    default:
        return DYNO_OK;
    }
}

static enum dyno_status read_graph(struct reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_graph *graph)
{
    struct dyno_pb_field field;
    struct graph_lists lists = {0};
    bool more = false;
    graph->name = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        DYNO_TRY(read_graph_field(in, &reader, &field, &lists, graph));
    }
    graph->nodes = lists.nodes.at;
    graph->node_count = lists.nodes.count;
    graph->inits = lists.inits.at;
    graph->init_count = lists.inits.count;
    graph->sparse_inits = lists.sparse.at;
    graph->sparse_init_count = lists.sparse.count;
    graph->inputs = lists.inputs.at;
    graph->input_count = lists.inputs.count;
    graph->outputs = lists.outputs.at;
    graph->output_count = lists.outputs.count;
    graph->infos = lists.infos.at;
    graph->info_count = lists.infos.count;
    return DYNO_OK;
}

static enum dyno_status read_opset(struct reading *in, const struct dyno_pb_reader *outer,
                                   const struct dyno_pb_field *outer_field, struct list *opsets)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_opset *opset = list_extend(in, opsets, sizeof(*opset), 1);
    if (opset == NULL)
        return DYNO_NOMEM(in->err);
    opset->domain = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(read_name(in, &field, &opset->domain));
        else if (field.number == 2)
            DYNO_TRY(dyno_pb_i64(&field, &opset->version, in->err));
    }
}

static enum dyno_status read_pair(struct reading *in, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *outer_field, struct list *pairs)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_pair *pair = list_extend(in, pairs, sizeof(*pair), 1);
    if (pair == NULL)
        return DYNO_NOMEM(in->err);
    pair->key = pair->value = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(read_name(in, &field, &pair->key));
        else if (field.number == 2)
            DYNO_TRY(read_name(in, &field, &pair->value));
    }
}

struct function_lists {
    struct list ins, outs, attr_names, attrs, nodes, opsets;
};

static enum dyno_status read_function_field(struct reading *in, const struct dyno_pb_reader *reader,
                                            const struct dyno_pb_field *field,
                                            struct function_lists *lists,
                                            struct dyno_proto_function *function)
{
    switch (field->number) {
    case 1:
        return read_name(in, field, &function->name);
    case 4:
        return read_name_item(in, field, &lists->ins);
    case 5:
        return read_name_item(in, field, &lists->outs);
    case 6:
        return read_name_item(in, field, &lists->attr_names);
    case 7:
        return read_node(in, reader, field, &lists->nodes);
    case 9:
        return read_opset(in, reader, field, &lists->opsets);
    case 10:
        return read_name(in, field, &function->domain);
    case 11:
        return read_attr(in, reader, field, &lists->attrs);
    case 13:
        return read_name(in, field, &function->overload);
    default:
        return DYNO_OK;
    }
}

static enum dyno_status read_function(struct reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct list *functions)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct function_lists lists = {0};
    bool more = false;
    DYNO_TRY(enter(in, outer, outer_field, &reader));
    struct dyno_proto_function *function = list_extend(in, functions, sizeof(*function), 1);
    if (function == NULL)
        return DYNO_NOMEM(in->err);
    function->name = function->domain = function->overload = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        DYNO_TRY(read_function_field(in, &reader, &field, &lists, function));
    }
    function->ins = lists.ins.at;
    function->in_count = lists.ins.count;
    function->outs = lists.outs.at;
    function->out_count = lists.outs.count;
    function->attr_names = lists.attr_names.at;
    function->attr_name_count = lists.attr_names.count;
    function->attrs = lists.attrs.at;
    function->attr_count = lists.attrs.count;
    function->nodes = lists.nodes.at;
    function->node_count = lists.nodes.count;
    function->opsets = lists.opsets.at;
    function->opset_count = lists.opsets.count;
    return DYNO_OK;
}

enum dyno_status dyno_proto_read_model(const void *data, size_t bytes, struct dyno_arena *arena,
                                       struct dyno_proto_model *model_out, struct dyno_err *err)
{
    struct reading in = {.arena = arena, .err = err};
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct list opsets = {0};
    struct list functions = {0};
    struct list metadata = {0};
    bool more = false;
    memset(model_out, 0, sizeof(*model_out));
    model_out->producer = "";
    dyno_pb_init(&reader, data, bytes);
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            break;
        if (field.number == 1) {
            DYNO_TRY(dyno_pb_i64(&field, &model_out->ir_version, err));
        } else if (field.number == 2) {
            DYNO_TRY(read_name(&in, &field, &model_out->producer));
        } else if (field.number == 7) {
            DYNO_TRY(enter(&in, &reader, &field, &nested));
            struct dyno_proto_graph *graph = dyno_arena_alloc(arena, 1, sizeof(*graph));
            if (graph == NULL)
                return DYNO_NOMEM(err);
            DYNO_TRY(read_graph(&in, nested, graph));
            model_out->graph = graph;
        } else if (field.number == 8) {
            DYNO_TRY(read_opset(&in, &reader, &field, &opsets));
        } else if (field.number == 14) {
            DYNO_TRY(read_pair(&in, &reader, &field, &metadata));
        } else if (field.number == 25) {
            DYNO_TRY(read_function(&in, &reader, &field, &functions));
        }
    }
    model_out->opsets = opsets.at;
    model_out->opset_count = opsets.count;
    model_out->functions = functions.at;
    model_out->function_count = functions.count;
    model_out->metadata = metadata.at;
    model_out->metadata_count = metadata.count;
    return DYNO_OK;
}

enum dyno_status dyno_proto_read_tensor(const void *data, size_t bytes, struct dyno_arena *arena,
                                        struct dyno_proto_tensor *tensor_out, struct dyno_err *err)
{
    struct reading in = {.arena = arena, .err = err};
    struct dyno_pb_reader reader;
    memset(tensor_out, 0, sizeof(*tensor_out));
    dyno_pb_init(&reader, data, bytes);
    return read_tensor(&in, reader, tensor_out);
}
