/* constant.c - Constant nodes, and initialisers: contents known in the file. */
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

static enum dyno_status keep(struct dyno_draft *draft, const struct dyno_tensor *tensor,
                             struct dyno_value **value_out)
{
    const char *name = draft->wire->outs[0];
    const size_t room = strlen(draft->scope->prefix) + strlen(name) + 1;
    char *full = dyno_arena_alloc(draft->scope->imp->scratch, room, 1);
    if (full == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    (void)snprintf(full, room, "%s%s", draft->scope->prefix, name);
    *value_out = dyno_graph_constant(draft->scope->graph, full, tensor);
    return *value_out != NULL ? DYNO_OK : DYNO_NOMEM(draft->scope->imp->err);
}

static enum dyno_status keep_copy(struct dyno_draft *draft, enum dyno_dtype dtype, int rank,
                                  const void *data, uint32_t count, size_t item_bytes,
                                  struct dyno_value **value_out)
{
    struct dyno_tensor tensor = {.dtype = dtype, .rank = rank, .dims = {count}};
    tensor.data = dyno_arena_alloc(draft->scope->graph->arena, (size_t)count + 1, item_bytes);
    if (tensor.data == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    if (count > 0)
        memcpy(tensor.data, data, count * item_bytes);
    return keep(draft, &tensor, value_out);
}

static enum dyno_status keep_tensor(struct dyno_draft *draft, const struct dyno_proto_attr *attr,
                                    struct dyno_value **value_out)
{
    const struct dyno_tensor_source *source = &draft->scope->imp->source;
    struct dyno_tensor tensor;
    struct dyno_err err = {0};
    enum dyno_status status = DYNO_E_FORMAT;
    if (attr->t != NULL)
        status = dyno_tensor_of_proto(source, attr->t, &tensor, &err);
    else if (attr->sparse != NULL)
        status = dyno_tensor_of_sparse(source, attr->sparse, &tensor, &err);
    else
        (void)DYNO_FAIL(&err, status, "attribute %s holds no tensor", attr->name);
    if (status != DYNO_OK)
        return dyno_draft_absorb(draft, status, &err);
    return keep(draft, &tensor, value_out);
}

enum dyno_status dyno_draft_constant(struct dyno_draft *draft, struct dyno_value **value_out)
{
    static const struct {
        const char *name;
        int64_t type;
    } forms[] = {
        {"value", DYNO_PROTO_TENSOR},        {"sparse_value", DYNO_PROTO_SPARSE_TENSOR},
        {"value_float", DYNO_PROTO_FLOAT},   {"value_floats", DYNO_PROTO_FLOATS},
        {"value_int", DYNO_PROTO_INT},       {"value_ints", DYNO_PROTO_INTS},
        {"value_string", DYNO_PROTO_STRING}, {"value_strings", DYNO_PROTO_STRINGS},
    };
    *value_out = NULL;
    const struct dyno_proto_attr *attr = draft->attr_count == 1 ? &draft->attrs[0] : NULL;
    int64_t wanted = DYNO_PROTO_UNDEFINED;
    for (size_t i = 0; attr != NULL && i < DYNO_COUNT(forms); i++) {
        if (strcmp(forms[i].name, attr->name) == 0)
            wanted = forms[i].type;
    }
    if (attr == NULL || wanted == DYNO_PROTO_UNDEFINED || attr->type != wanted) {
        dyno_draft_problem(draft, DYNO_E_FORMAT,
                           "wants exactly one attribute: value, sparse_value, value_float(s), "
                           "value_int(s) or value_string(s), of that type");
        return DYNO_OK;
    }
    if (wanted == DYNO_PROTO_TENSOR || wanted == DYNO_PROTO_SPARSE_TENSOR)
        return keep_tensor(draft, attr, value_out);
    if (wanted == DYNO_PROTO_FLOAT)
        return keep_copy(draft, DYNO_F32, 0, &attr->f, 1, sizeof(float), value_out);
    if (wanted == DYNO_PROTO_FLOATS)
        return keep_copy(draft, DYNO_F32, 1, attr->floats.at, attr->floats.count, sizeof(float),
                         value_out);
    if (wanted == DYNO_PROTO_INT)
        return keep_copy(draft, DYNO_I64, 0, &attr->i, 1, sizeof(int64_t), value_out);
    if (wanted == DYNO_PROTO_INTS)
        return keep_copy(draft, DYNO_I64, 1, attr->ints.at, attr->ints.count, sizeof(int64_t),
                         value_out);
    if (wanted == DYNO_PROTO_STRING)
        return keep_copy(draft, DYNO_STR, 0, &attr->s, 1, sizeof(struct dyno_str), value_out);
    return keep_copy(draft, DYNO_STR, 1, attr->strings.at, attr->strings.count,
                     sizeof(struct dyno_str), value_out);
}

/* One initialiser; what is wrong with it is a problem, and it stays without a value. */
static enum dyno_status add_initialiser(struct dyno_scope *scope, const char *name,
                                        enum dyno_status status, const struct dyno_err *err,
                                        const struct dyno_tensor *tensor)
{
    struct dyno_importer *imp = scope->imp;
    if (status == DYNO_E_NOMEM)
        return DYNO_NOMEM(imp->err);
    struct dyno_value *value = NULL;
    if (status != DYNO_OK) {
        dyno_problem_add(&imp->problems, status, scope->place, "initialiser: %s", err->text);
        /* Its users are not to be blamed. */
        value = dyno_graph_value(scope->graph, name);
        if (value != NULL &&
            !dyno_map_put(&imp->poisoned, (const char *)&value->id, sizeof(value->id), 1))
            value = NULL;
    } else {
        value = dyno_graph_constant(scope->graph, name, tensor);
    }
    if (value == NULL || !dyno_scope_define(scope, name, value))
        return DYNO_NOMEM(imp->err);
    return DYNO_OK;
}

enum dyno_status dyno_import_constants(struct dyno_scope *scope,
                                       const struct dyno_proto_graph *proto)
{
    struct dyno_importer *imp = scope->imp;
    struct dyno_tensor tensor;
    for (uint32_t i = 0; i < proto->init_count; i++) {
        struct dyno_err err = {0};
        const struct dyno_proto_tensor *init = &proto->inits[i];
        const enum dyno_status status = dyno_tensor_of_proto(&imp->source, init, &tensor, &err);
        DYNO_TRY(add_initialiser(scope, init->name, status, &err, &tensor));
    }
    for (uint32_t i = 0; i < proto->sparse_init_count; i++) {
        struct dyno_err err = {0};
        const struct dyno_proto_sparse *init = &proto->sparse_inits[i];
        const enum dyno_status status = dyno_tensor_of_sparse(&imp->source, init, &tensor, &err);
        DYNO_TRY(add_initialiser(scope, init->values.name, status, &err, &tensor));
    }
    for (uint32_t i = 0; i < proto->info_count; i++) {
        const struct dyno_proto_value_info *info = &proto->infos[i];
        /* The map's values are pointers to what nobody writes. */
        if (!dyno_map_put(&scope->infos, info->name, strlen(info->name),
                          (uint64_t)(uintptr_t)&info->type))
            return DYNO_NOMEM(imp->err);
    }
    return DYNO_OK;
}
