/* attrs.c - attributes off the wire into the op's own struct, by the op's table. */
#include <string.h>

#include "onnx/importer.h"

static const char *type_text(int64_t type)
{
    static const char *const texts[DYNO_PROTO_ATTR_TYPE_COUNT] = {
        [DYNO_PROTO_UNDEFINED] = "nothing",
        [DYNO_PROTO_FLOAT] = "a float",
        [DYNO_PROTO_INT] = "an int",
        [DYNO_PROTO_STRING] = "a string",
        [DYNO_PROTO_TENSOR] = "a tensor",
        [DYNO_PROTO_GRAPH] = "a graph",
        [DYNO_PROTO_FLOATS] = "floats",
        [DYNO_PROTO_INTS] = "ints",
        [DYNO_PROTO_STRINGS] = "strings",
        [DYNO_PROTO_TENSORS] = "tensors",
        [DYNO_PROTO_GRAPHS] = "graphs",
        [DYNO_PROTO_SPARSE_TENSOR] = "a sparse tensor",
        [DYNO_PROTO_SPARSE_TENSORS] = "sparse tensors",
        [DYNO_PROTO_TYPE] = "a type",
        [DYNO_PROTO_TYPES] = "types",
    };
    return type >= 0 && type < DYNO_PROTO_ATTR_TYPE_COUNT ? texts[type] : "something unknown";
}

static int64_t wanted_type(enum dyno_attr_kind kind)
{
    switch (kind) {
    case DYNO_ATTR_I64:
        return DYNO_PROTO_INT;
    case DYNO_ATTR_F32:
        return DYNO_PROTO_FLOAT;
    case DYNO_ATTR_ENUM:
    case DYNO_ATTR_STR:
        return DYNO_PROTO_STRING;
    case DYNO_ATTR_I64S:
        return DYNO_PROTO_INTS;
    case DYNO_ATTR_F32S:
        return DYNO_PROTO_FLOATS;
    case DYNO_ATTR_STRS:
        return DYNO_PROTO_STRINGS;
    case DYNO_ATTR_TENSOR:
        return DYNO_PROTO_TENSOR;
    }
    return DYNO_PROTO_UNDEFINED;
}

static enum dyno_status bind_enum(struct dyno_draft *draft, const struct dyno_attr *row,
                                  const struct dyno_str *str, void *to)
{
    char allowed[256] = "";
    size_t at = 0;
    for (int32_t i = 0; row->names[i] != NULL; i++) {
        const size_t bytes = strlen(row->names[i]);
        if (bytes == str->bytes && memcmp(row->names[i], str->text, bytes) == 0) {
            memcpy(to, &i, sizeof(i));
            return DYNO_OK;
        }
        if (at + bytes + 3 < sizeof(allowed)) {
            memcpy(allowed + at, i > 0 ? ", " : "", i > 0 ? 2 : 0);
            at += i > 0 ? 2 : 0;
            memcpy(allowed + at, row->names[i], bytes + 1);
            at += bytes;
        }
    }
    dyno_draft_problem(draft, DYNO_E_UNSUPPORTED, "attribute %s is '%.*s', must be one of %s",
                       row->name, str->bytes < 64 ? (int)str->bytes : 64, str->text, allowed);
    return DYNO_OK;
}

/* Copies into the graph's arena: the wire's arrays die with the import. */
static enum dyno_status bind_value(struct dyno_draft *draft, const struct dyno_attr *row,
                                   const struct dyno_proto_attr *attr, void *to)
{
    struct dyno_importer *imp = draft->scope->imp;
    struct dyno_arena *arena = draft->scope->graph->arena;
    struct dyno_err err = {0};
    switch (row->kind) {
    case DYNO_ATTR_I64:
        memcpy(to, &attr->i, sizeof(attr->i));
        return DYNO_OK;
    case DYNO_ATTR_F32:
        memcpy(to, &attr->f, sizeof(attr->f));
        return DYNO_OK;
    case DYNO_ATTR_ENUM:
        return bind_enum(draft, row, &attr->s, to);
    case DYNO_ATTR_STR: {
        struct dyno_str str = {
            dyno_arena_strndup(arena, attr->s.bytes > 0 ? attr->s.text : "", attr->s.bytes),
            attr->s.bytes};
        memcpy(to, &str, sizeof(str));
        return str.text != NULL ? DYNO_OK : DYNO_NOMEM(imp->err);
    }
    case DYNO_ATTR_I64S: {
        /* One more: an empty list is present, which only its pointer tells. */
        int64_t *at = dyno_arena_alloc(arena, (size_t)attr->ints.count + 1, sizeof(*at));
        struct dyno_i64s ints = {at, attr->ints.count};
        if (at == NULL)
            return DYNO_NOMEM(imp->err);
        if (ints.count > 0)
            memcpy(at, attr->ints.at, ints.count * sizeof(*at));
        memcpy(to, &ints, sizeof(ints));
        return DYNO_OK;
    }
    case DYNO_ATTR_F32S: {
        float *at = dyno_arena_alloc(arena, (size_t)attr->floats.count + 1, sizeof(*at));
        struct dyno_f32s floats = {at, attr->floats.count};
        if (at == NULL)
            return DYNO_NOMEM(imp->err);
        if (floats.count > 0)
            memcpy(at, attr->floats.at, floats.count * sizeof(*at));
        memcpy(to, &floats, sizeof(floats));
        return DYNO_OK;
    }
    case DYNO_ATTR_STRS: {
        struct dyno_str *at = dyno_arena_alloc(arena, (size_t)attr->strings.count + 1, sizeof(*at));
        struct dyno_strs strs = {at, attr->strings.count};
        if (at == NULL)
            return DYNO_NOMEM(imp->err);
        if (strs.count > 0)
            memcpy(at, attr->strings.at, strs.count * sizeof(*at));
        memcpy(to, &strs, sizeof(strs));
        return DYNO_OK;
    }
    case DYNO_ATTR_TENSOR: {
        struct dyno_tensor *tensor = dyno_arena_alloc(arena, 1, sizeof(*tensor));
        if (tensor == NULL)
            return DYNO_NOMEM(imp->err);
        if (attr->t == NULL) {
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute %s holds no tensor", row->name);
            return DYNO_OK;
        }
        memcpy(to, &tensor, sizeof(struct dyno_tensor *));
        const enum dyno_status status = dyno_tensor_of_proto(&imp->source, attr->t, tensor, &err);
        return dyno_draft_absorb(draft, status, &err);
    }
    }
    return DYNO_OK;
}

static bool is_graph_attr(const struct dyno_op *op, const struct dyno_proto_attr *attr)
{
    return (op->flags & DYNO_OP_REGIONS) != 0 && attr->type == DYNO_PROTO_GRAPH;
}

enum dyno_status dyno_draft_bind_attrs(struct dyno_draft *draft, struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    for (uint32_t i = 0; i < draft->attr_count; i++) {
        const struct dyno_proto_attr *attr = &draft->attrs[i];
        const struct dyno_attr *row = NULL;
        for (size_t j = 0; j < op->attr_count && row == NULL; j++) {
            if (strcmp(op->attrs[j].name, attr->name) == 0)
                row = &op->attrs[j];
        }
        if (row == NULL && is_graph_attr(op, attr))
            continue;
        if (row == NULL)
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute '%s' is not one of %s-%d",
                               attr->name, op->onnx_name, op->since);
        else if (attr->type != wanted_type(row->kind))
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute %s is %s, must be %s", attr->name,
                               type_text(attr->type), type_text(wanted_type(row->kind)));
        else
            DYNO_TRY(bind_value(draft, row, attr, (char *)node->attrs + row->offset_bytes));
    }
    for (size_t j = 0; j < op->attr_count; j++) {
        if (op->attrs[j].required && dyno_draft_attr(draft, op->attrs[j].name) == NULL)
            dyno_draft_problem(draft, DYNO_E_FORMAT, "the required attribute %s is missing",
                               op->attrs[j].name);
    }
    return DYNO_OK;
}
