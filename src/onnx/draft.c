/* draft.c - one node on its way into the graph: its inputs, its attributes, helpers beside it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

/* --- problems --- */

const char *dyno_draft_where(const struct dyno_draft *draft)
{
    struct dyno_arena *scratch = draft->scope->imp->scratch;
    const struct dyno_proto_node *wire = draft->wire;
    const size_t room = strlen(wire->op) + strlen(wire->name) + 32;
    char *text = dyno_arena_alloc(scratch, room, 1);
    if (text == NULL)
        return "node";
    if (wire->name[0] != '\0')
        (void)snprintf(text, room, "node %u %s '%s'", draft->idx, wire->op, wire->name);
    else
        (void)snprintf(text, room, "node %u %s", draft->idx, wire->op);
    return text;
}

void dyno_draft_problem(struct dyno_draft *draft, enum dyno_status status, const char *fmt, ...)
{
    char text[DYNO_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    draft->failed = true;
    dyno_problem_add(&draft->scope->imp->problems, status, draft->scope->place, "%s: %s",
                     dyno_draft_where(draft), text);
}

enum dyno_status dyno_draft_absorb(struct dyno_draft *draft, enum dyno_status status,
                                   const struct dyno_err *err)
{
    if (status == DYNO_OK)
        return DYNO_OK;
    if (status == DYNO_E_NOMEM)
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_draft_problem(draft, status, "%s", err->text);
    return DYNO_OK;
}

/* --- attributes --- */

const struct dyno_proto_attr *dyno_draft_attr(const struct dyno_draft *draft, const char *name)
{
    for (uint32_t i = 0; i < draft->attr_count; i++) {
        if (strcmp(draft->attrs[i].name, name) == 0)
            return &draft->attrs[i];
    }
    return NULL;
}

void dyno_draft_drop_attr(struct dyno_draft *draft, const char *name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < draft->attr_count; i++) {
        if (strcmp(draft->attrs[i].name, name) != 0)
            draft->attrs[kept++] = draft->attrs[i];
    }
    draft->attr_count = kept;
}

bool dyno_draft_set_attr(struct dyno_draft *draft, const struct dyno_proto_attr *attr)
{
    dyno_draft_drop_attr(draft, attr->name);
    struct dyno_proto_attr *attrs =
        dyno_arena_alloc(draft->scope->imp->scratch, (size_t)draft->attr_count + 1, sizeof(*attrs));
    if (attrs == NULL)
        return false;
    for (uint32_t i = 0; i < draft->attr_count; i++)
        attrs[i] = draft->attrs[i];
    attrs[draft->attr_count++] = *attr;
    draft->attrs = attrs;
    return true;
}

bool dyno_draft_set_int(struct dyno_draft *draft, const char *name, int64_t value)
{
    const struct dyno_proto_attr attr = {
        .name = name, .ref_name = "", .type = DYNO_PROTO_INT, .i = value};
    return dyno_draft_set_attr(draft, &attr);
}

bool dyno_draft_set_str(struct dyno_draft *draft, const char *name, const char *text)
{
    const struct dyno_proto_attr attr = {
        .name = name, .ref_name = "", .type = DYNO_PROTO_STRING, .s = {text, strlen(text)}};
    return dyno_draft_set_attr(draft, &attr);
}

/* --- inputs --- */

bool dyno_draft_set_in(struct dyno_draft *draft, uint32_t idx, struct dyno_value *value)
{
    if (idx >= draft->in_count) {
        struct dyno_value **ins = dyno_arena_alloc(draft->scope->imp->scratch, (size_t)idx + 1,
                                                   sizeof(struct dyno_value *));
        if (ins == NULL)
            return false;
        for (uint32_t i = 0; i < draft->in_count; i++)
            ins[i] = draft->ins[i];
        draft->ins = ins;
        draft->in_count = idx + 1;
    }
    draft->ins[idx] = value;
    return true;
}

/* --- helpers --- */

static const char *helper_name(const struct dyno_draft *draft, const char *suffix)
{
    const struct dyno_scope *scope = draft->scope;
    const char *name = draft->wire->name;
    const size_t room =
        strlen(scope->prefix) + strlen(name) + strlen(draft->wire->op) + strlen(suffix) + 32;
    char *text = dyno_arena_alloc(scope->imp->scratch, room, 1);
    if (text == NULL)
        return NULL;
    if (name[0] != '\0')
        (void)snprintf(text, room, "%s%s/%s", scope->prefix, name, suffix);
    else
        (void)snprintf(text, room, "%s%s_%u/%s", scope->prefix, draft->wire->op, draft->idx,
                       suffix);
    return text;
}

struct dyno_value *dyno_draft_ints(struct dyno_draft *draft, const char *suffix, int rank,
                                   const int64_t *values, uint32_t count)
{
    const char *name = helper_name(draft, suffix);
    const int64_t dims[1] = {count};
    void *data = NULL;
    struct dyno_graph *graph = draft->scope->graph;
    if (name == NULL)
        return NULL;
    struct dyno_value *value = dyno_graph_constant_new(graph, name, DYNO_I64, rank, dims, &data);
    if (value == NULL)
        return NULL;
    if (count > 0)
        memcpy(data, values, count * sizeof(*values));
    return dyno_graph_constant_done(graph, value) ? value : NULL;
}

struct dyno_value *dyno_draft_scalar(struct dyno_draft *draft, const char *suffix,
                                     enum dyno_dtype dtype, double number)
{
    const char *name = helper_name(draft, suffix);
    void *data = NULL;
    struct dyno_graph *graph = draft->scope->graph;
    if (name == NULL)
        return NULL;
    struct dyno_value *value = dyno_graph_constant_new(graph, name, dtype, 0, NULL, &data);
    if (value == NULL)
        return NULL;
    dyno_elem_store_f64(dtype, data, 0, number);
    return dyno_graph_constant_done(graph, value) ? value : NULL;
}

struct dyno_node *dyno_draft_helper(struct dyno_draft *draft, const char *onnx_name,
                                    const char *suffix, struct dyno_value *const *ins,
                                    uint32_t in_count)
{
    const int op = dyno_op_find("", onnx_name);
    DYNO_ASSERT(op >= 0);
    const char *name = helper_name(draft, suffix);
    const char *origin = draft->wire->name[0] != '\0' ? draft->wire->name : helper_name(draft, "");
    if (name == NULL || origin == NULL)
        return NULL;
    struct dyno_graph *graph = draft->scope->graph;
    struct dyno_node *node =
        dyno_graph_node(graph, (enum dyno_op_id)op, name, ins, in_count, 1, NULL, NULL);
    if (node == NULL)
        return NULL;
    const char *kept = dyno_arena_strdup(graph->arena, origin);
    node->origins = kept != NULL ? dyno_arena_memdup(graph->arena, &kept, sizeof(kept)) : NULL;
    return node->origins != NULL ? node : NULL;
}

void dyno_node_set_i64(struct dyno_node *node, const char *attr, int64_t value)
{
    const struct dyno_op *op = dyno_ops[node->op];
    size_t i = 0;
    while (i < op->attr_count && strcmp(op->attrs[i].name, attr) != 0)
        i++;
    DYNO_ASSERT(i < op->attr_count && op->attrs[i].kind == DYNO_ATTR_I64);
    memcpy((char *)node->attrs + op->attrs[i].offset_bytes, &value, sizeof(value));
}

/* --- inference --- */

static bool is_poisoned(const struct dyno_importer *imp, const struct dyno_value *value)
{
    return dyno_map_find(&imp->poisoned, (const char *)&value->id, sizeof(value->id), NULL);
}

static bool poison(struct dyno_importer *imp, const struct dyno_value *value)
{
    return dyno_map_put(&imp->poisoned, (const char *)&value->id, sizeof(value->id), 1);
}

/* What dyno_node_infer puts before its sentence is said better by the draft. */
static const char *without_prefix(const struct dyno_node *node, const char *text)
{
    char prefix[DYNO_ERR_TEXT_BYTES];
    const int length = snprintf(prefix, sizeof(prefix), "node %s (%s): ", node->name,
                                dyno_ops[node->op]->onnx_name);
    if (length > 0 && (size_t)length < sizeof(prefix) && strncmp(text, prefix, length) == 0)
        return text + length;
    return text;
}

/* A declared type stands in where the rule cannot tell the rank. */
static enum dyno_status use_declared(struct dyno_scope *scope, const char *name,
                                     struct dyno_value *value)
{
    const struct dyno_proto_type *declared = dyno_map_find_ptr(&scope->infos, name, strlen(name));
    struct dyno_type type;
    if (declared == NULL || declared->kind != DYNO_PROTO_KIND_TENSOR || !declared->has_shape ||
        value->type.rank >= 0 || value->type.kind != DYNO_TYPE_TENSOR)
        return DYNO_OK;
    DYNO_TRY(dyno_import_type(scope, declared, name, &type));
    if (type.rank >= 0 && (value->type.dtype == DYNO_DTYPE_NONE || value->type.dtype == type.dtype))
        value->type = type;
    return DYNO_OK;
}

enum dyno_status dyno_draft_infer(struct dyno_draft *draft, struct dyno_node *node)
{
    struct dyno_importer *imp = draft->scope->imp;
    struct dyno_err err = {0};
    bool bad = draft->failed;
    for (uint32_t i = 0; i < node->in_count && !bad; i++)
        bad = node->ins[i] != NULL && is_poisoned(imp, node->ins[i]);
    if (!bad) {
        const enum dyno_status status = dyno_node_infer(node, &err);
        if (status == DYNO_E_NOMEM)
            return DYNO_NOMEM(imp->err);
        if (status != DYNO_OK) {
            dyno_draft_problem(draft, status, "%s", without_prefix(node, err.text));
            bad = true;
        }
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->outs[i] == NULL)
            continue;
        if (!bad && !dyno_import_type_fits(draft->scope, &node->outs[i]->type)) {
            dyno_draft_problem(draft, DYNO_E_LIMIT, "output %u does not fit 63 bits of bytes", i);
            bad = true;
        }
        if (bad && !poison(imp, node->outs[i]))
            return DYNO_NOMEM(imp->err);
        if (!bad && i < draft->wire->out_count)
            DYNO_TRY(use_declared(draft->scope, draft->wire->outs[i], node->outs[i]));
    }
    return DYNO_OK;
}

/* --- outputs without a node --- */

enum dyno_status dyno_draft_poison_outs(struct dyno_draft *draft)
{
    struct dyno_importer *imp = draft->scope->imp;
    for (uint32_t i = 0; i < draft->wire->out_count; i++) {
        const char *name = draft->wire->outs[i];
        if (name[0] == '\0' || dyno_map_find(&draft->scope->values, name, strlen(name), NULL))
            continue;
        struct dyno_value *value = dyno_graph_value(draft->scope->graph, name);
        if (value == NULL || !poison(imp, value) || !dyno_scope_define(draft->scope, name, value))
            return DYNO_NOMEM(imp->err);
    }
    return DYNO_OK;
}
