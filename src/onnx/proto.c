/* proto.c - attributes, nodes, graphs, functions and the model off the wire: one function a
 * message, fields by number. */
#include "onnx/proto.h"

#include <string.h>

#include "onnx/proto_read.h"

static enum dyno_status read_graph(struct dyno_reading *in, struct dyno_pb_reader reader,
                                   struct dyno_proto_graph *graph);

/* The message-valued fields of an attribute, which are rare. */
static enum dyno_status read_attr_message(struct dyno_reading *in,
                                          const struct dyno_pb_reader *reader,
                                          const struct dyno_pb_field *field,
                                          struct dyno_proto_attr *attr)
{
    struct dyno_pb_reader nested;
    DYNO_TRY(dyno_read_enter(in, reader, field, &nested));
    if (field->number == 5) {
        struct dyno_proto_tensor *t = dyno_arena_alloc(in->arena, 1, sizeof(*t));
        attr->t = t;
        return t != NULL ? dyno_read_tensor(in, nested, t) : DYNO_NOMEM(in->err);
    }
    if (field->number == 6) {
        struct dyno_proto_graph *g = dyno_arena_alloc(in->arena, 1, sizeof(*g));
        attr->g = g;
        if (g == NULL)
            return DYNO_NOMEM(in->err);
        DYNO_TRY(dyno_read_descend(in));
        DYNO_TRY(read_graph(in, nested, g));
        in->depth--;
        return DYNO_OK;
    }
    struct dyno_proto_sparse *sparse = dyno_arena_alloc(in->arena, 1, sizeof(*sparse));
    attr->sparse = sparse;
    return sparse != NULL ? dyno_read_sparse(in, nested, sparse) : DYNO_NOMEM(in->err);
}

struct attr_lists {
    struct dyno_list floats, ints, strings;
};

static enum dyno_status read_attr_field(struct dyno_reading *in,
                                        const struct dyno_pb_reader *reader,
                                        const struct dyno_pb_field *field, struct attr_lists *lists,
                                        struct dyno_proto_attr *attr)
{
    switch (field->number) {
    case 1:
        return dyno_read_name(in, field, &attr->name);
    case 2:
        return dyno_pb_f32(field, &attr->f, in->err);
    case 3:
        return dyno_pb_i64(field, &attr->i, in->err);
    case 4:
        return dyno_read_str(in, field, &attr->s);
    case 5:
    case 6:
    case 22:
        return read_attr_message(in, reader, field, attr);
    case 7:
        return dyno_read_floats(in, field, &lists->floats);
    case 8:
        return dyno_read_ints(in, field, &lists->ints);
    case 9: {
        struct dyno_str *str = dyno_list_extend(in, &lists->strings, sizeof(*str), 1);
        return str != NULL ? dyno_read_str(in, field, str) : DYNO_NOMEM(in->err);
    }
    case 20:
        return dyno_pb_i64(field, &attr->type, in->err);
    case 21:
        return dyno_read_name(in, field, &attr->ref_name);
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

static enum dyno_status read_attr(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *outer_field, struct dyno_list *attrs)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct attr_lists lists = {0};
    int64_t guessed = DYNO_PROTO_UNDEFINED;
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_attr *attr = dyno_list_extend(in, attrs, sizeof(*attr), 1);
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

static enum dyno_status read_node(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                  const struct dyno_pb_field *outer_field, struct dyno_list *nodes)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct dyno_list ins = {0};
    struct dyno_list outs = {0};
    struct dyno_list attrs = {0};
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_node *node = dyno_list_extend(in, nodes, sizeof(*node), 1);
    if (node == NULL)
        return DYNO_NOMEM(in->err);
    node->name = node->op = node->domain = node->overload = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            break;
        if (field.number == 1)
            DYNO_TRY(dyno_read_name_item(in, &field, &ins));
        else if (field.number == 2)
            DYNO_TRY(dyno_read_name_item(in, &field, &outs));
        else if (field.number == 3)
            DYNO_TRY(dyno_read_name(in, &field, &node->name));
        else if (field.number == 4)
            DYNO_TRY(dyno_read_name(in, &field, &node->op));
        else if (field.number == 5)
            DYNO_TRY(read_attr(in, &reader, &field, &attrs));
        else if (field.number == 7)
            DYNO_TRY(dyno_read_name(in, &field, &node->domain));
        else if (field.number == 8)
            DYNO_TRY(dyno_read_name(in, &field, &node->overload));
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
    struct dyno_list nodes, inits, sparse, inputs, outputs, infos;
};

static enum dyno_status read_graph_field(struct dyno_reading *in,
                                         const struct dyno_pb_reader *reader,
                                         const struct dyno_pb_field *field,
                                         struct graph_lists *lists, struct dyno_proto_graph *graph)
{
    struct dyno_pb_reader nested;
    switch (field->number) {
    case 1:
        return read_node(in, reader, field, &lists->nodes);
    case 2:
        return dyno_read_name(in, field, &graph->name);
    case 5: {
        DYNO_TRY(dyno_read_enter(in, reader, field, &nested));
        struct dyno_proto_tensor *tensor = dyno_list_extend(in, &lists->inits, sizeof(*tensor), 1);
        return tensor != NULL ? dyno_read_tensor(in, nested, tensor) : DYNO_NOMEM(in->err);
    }
    case 11:
        return dyno_read_value_info(in, reader, field, &lists->inputs);
    case 12:
        return dyno_read_value_info(in, reader, field, &lists->outputs);
    case 13:
        return dyno_read_value_info(in, reader, field, &lists->infos);
    case 15: {
        DYNO_TRY(dyno_read_enter(in, reader, field, &nested));
        struct dyno_proto_sparse *sparse = dyno_list_extend(in, &lists->sparse, sizeof(*sparse), 1);
        return sparse != NULL ? dyno_read_sparse(in, nested, sparse) : DYNO_NOMEM(in->err);
    }
    default:
        return DYNO_OK;
    }
}

static enum dyno_status read_graph(struct dyno_reading *in, struct dyno_pb_reader reader,
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

static enum dyno_status read_opset(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                   const struct dyno_pb_field *outer_field,
                                   struct dyno_list *opsets)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_opset *opset = dyno_list_extend(in, opsets, sizeof(*opset), 1);
    if (opset == NULL)
        return DYNO_NOMEM(in->err);
    opset->domain = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(dyno_read_name(in, &field, &opset->domain));
        else if (field.number == 2)
            DYNO_TRY(dyno_pb_i64(&field, &opset->version, in->err));
    }
}

struct function_lists {
    struct dyno_list ins, outs, attr_names, attrs, nodes, opsets;
};

static enum dyno_status read_function_field(struct dyno_reading *in,
                                            const struct dyno_pb_reader *reader,
                                            const struct dyno_pb_field *field,
                                            struct function_lists *lists,
                                            struct dyno_proto_function *function)
{
    switch (field->number) {
    case 1:
        return dyno_read_name(in, field, &function->name);
    case 4:
        return dyno_read_name_item(in, field, &lists->ins);
    case 5:
        return dyno_read_name_item(in, field, &lists->outs);
    case 6:
        return dyno_read_name_item(in, field, &lists->attr_names);
    case 7:
        return read_node(in, reader, field, &lists->nodes);
    case 9:
        return read_opset(in, reader, field, &lists->opsets);
    case 10:
        return dyno_read_name(in, field, &function->domain);
    case 11:
        return read_attr(in, reader, field, &lists->attrs);
    case 13:
        return dyno_read_name(in, field, &function->overload);
    default:
        return DYNO_OK;
    }
}

static enum dyno_status read_function(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct dyno_list *functions)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct function_lists lists = {0};
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_function *function = dyno_list_extend(in, functions, sizeof(*function), 1);
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
    struct dyno_reading in = {.arena = arena, .err = err};
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    struct dyno_pb_reader nested;
    struct dyno_list opsets = {0};
    struct dyno_list functions = {0};
    struct dyno_list metadata = {0};
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
            DYNO_TRY(dyno_read_name(&in, &field, &model_out->producer));
        } else if (field.number == 7) {
            DYNO_TRY(dyno_read_enter(&in, &reader, &field, &nested));
            struct dyno_proto_graph *graph = dyno_arena_alloc(arena, 1, sizeof(*graph));
            if (graph == NULL)
                return DYNO_NOMEM(err);
            DYNO_TRY(read_graph(&in, nested, graph));
            model_out->graph = graph;
        } else if (field.number == 8) {
            DYNO_TRY(read_opset(&in, &reader, &field, &opsets));
        } else if (field.number == 14) {
            DYNO_TRY(dyno_read_entry_item(&in, &reader, &field, &metadata));
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
