/* node.c - one node of the file into the graph. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

/* --- reading the wire's node --- */

static const struct dyno_proto_attr *find_attr(const struct dyno_proto_attr *attrs, uint32_t count,
                                               const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(attrs[i].name, name) == 0)
            return &attrs[i];
    }
    return NULL;
}

/* Attributes, with those that refer to the caller's put in their place; absent ones go. */
static enum dyno_status resolve_attrs(struct dyno_draft *draft)
{
    const struct dyno_proto_node *wire = draft->wire;
    const struct dyno_call *call = draft->scope->call;
    draft->attrs = dyno_arena_alloc(draft->scope->imp->scratch, (size_t)wire->attr_count + 1,
                                    sizeof(*draft->attrs));
    if (draft->attrs == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    for (uint32_t i = 0; i < wire->attr_count; i++) {
        const struct dyno_proto_attr *attr = &wire->attrs[i];
        if (find_attr(draft->attrs, draft->attr_count, attr->name) != NULL) {
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute '%s' is given twice", attr->name);
            continue;
        }
        const struct dyno_proto_attr *real = attr;
        if (attr->ref_name[0] != '\0') {
            if (call == NULL) {
                dyno_draft_problem(draft, DYNO_E_FORMAT,
                                   "attribute '%s' refers to '%s', but only functions have such "
                                   "references",
                                   attr->name, attr->ref_name);
                continue;
            }
            real = find_attr(call->attrs, call->attr_count, attr->ref_name);
            if (real == NULL)
                real = find_attr(call->function->attrs, call->function->attr_count, attr->ref_name);
            if (real == NULL)
                continue;
        }
        draft->attrs[draft->attr_count] = *real;
        draft->attrs[draft->attr_count++].name = attr->name;
    }
    return DYNO_OK;
}

static enum dyno_status resolve_ins(struct dyno_draft *draft)
{
    const struct dyno_proto_node *wire = draft->wire;
    draft->ins = dyno_arena_alloc(draft->scope->imp->scratch, (size_t)wire->in_count + 1,
                                  sizeof(struct dyno_value *));
    if (draft->ins == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    for (uint32_t i = 0; i < wire->in_count; i++) {
        if (wire->ins[i][0] == '\0')
            continue;
        draft->ins[i] = dyno_scope_find(draft->scope, wire->ins[i]);
        if (draft->ins[i] == &draft->scope->imp->absent)
            draft->ins[i] = NULL;
        else if (draft->ins[i] == NULL)
            dyno_draft_problem(draft, DYNO_E_FORMAT,
                               "input %u '%s' is not made by any node, input or initialiser", i,
                               wire->ins[i]);
    }
    draft->in_count = wire->in_count;
    while (draft->in_count > 0 && draft->ins[draft->in_count - 1] == NULL)
        draft->in_count--;
    draft->out_count = wire->out_count;
    while (draft->out_count > 0 && wire->outs[draft->out_count - 1][0] == '\0')
        draft->out_count--;
    return DYNO_OK;
}

/* --- making the node --- */

static const char *prefixed(const struct dyno_scope *scope, const char *name)
{
    if (scope->prefix[0] == '\0')
        return name;
    const size_t room = strlen(scope->prefix) + strlen(name) + 1;
    char *text = dyno_arena_alloc(scope->imp->scratch, room, 1);
    if (text != NULL)
        (void)snprintf(text, room, "%s%s", scope->prefix, name);
    return text;
}

static const char *node_name(const struct dyno_draft *draft)
{
    char made_up[64];
    if (draft->wire->name[0] != '\0')
        return prefixed(draft->scope, draft->wire->name);
    (void)snprintf(made_up, sizeof(made_up), "%.40s_%u", draft->wire->op, draft->idx);
    const char *name = dyno_arena_strdup(draft->scope->imp->scratch, made_up);
    return name != NULL ? prefixed(draft->scope, name) : NULL;
}

/* The value that carries a name of the file: made before when it is the model's output. */
static struct dyno_value *named_value(struct dyno_scope *scope, const char *name)
{
    struct dyno_value *reserved = scope->outer == NULL && scope->call == NULL
                                      ? dyno_map_find_ptr(&scope->reserved, name, strlen(name))
                                      : NULL;
    if (reserved != NULL) {
        (void)dyno_map_remove(&scope->reserved, name, strlen(name));
        return reserved;
    }
    const char *full = prefixed(scope, name);
    return full != NULL ? dyno_graph_value(scope->graph, full) : NULL;
}

static enum dyno_status name_outs(struct dyno_draft *draft, struct dyno_node *node)
{
    struct dyno_importer *imp = draft->scope->imp;
    for (uint32_t i = 0; i < node->out_count; i++) {
        const char *name = draft->wire->outs[i];
        if (name[0] == '\0') {
            dyno_node_set_out(node, i, NULL);
            continue;
        }
        if (dyno_map_find(&draft->scope->values, name, strlen(name), NULL)) {
            dyno_draft_problem(draft, DYNO_E_FORMAT,
                               "output %u '%s' has the name of another value, names must be unique",
                               i, name);
            continue;
        }
        struct dyno_value *value = named_value(draft->scope, name);
        if (value == NULL || !dyno_scope_define(draft->scope, name, value))
            return DYNO_NOMEM(imp->err);
        dyno_node_set_out(node, i, value);
    }
    return DYNO_OK;
}

enum dyno_status dyno_draft_alias_out(struct dyno_draft *draft, uint32_t idx,
                                      struct dyno_value *value)
{
    struct dyno_importer *imp = draft->scope->imp;
    const char *name = draft->wire->outs[idx];
    if (name[0] == '\0')
        return DYNO_OK;
    if (dyno_map_find(&draft->scope->values, name, strlen(name), NULL)) {
        dyno_draft_problem(draft, DYNO_E_FORMAT,
                           "output %u '%s' has the name of another value, names must be unique",
                           idx, name);
        return DYNO_OK;
    }
    if (!dyno_map_find(&draft->scope->reserved, name, strlen(name), NULL))
        return dyno_scope_define(draft->scope, name, value) ? DYNO_OK : DYNO_NOMEM(imp->err);
    /* The model's output keeps its name. */
    struct dyno_node *node = dyno_draft_helper(draft, "Identity", name, &value, 1);
    struct dyno_value *named = named_value(draft->scope, name);
    if (node == NULL || named == NULL || !dyno_scope_define(draft->scope, name, named))
        return DYNO_NOMEM(imp->err);
    dyno_node_set_out(node, 0, named);
    return dyno_draft_infer(draft, node);
}

static enum dyno_status make_node(struct dyno_draft *draft, int op)
{
    struct dyno_importer *imp = draft->scope->imp;
    struct dyno_graph *graph = draft->scope->graph;
    const char *name = node_name(draft);
    if (name == NULL)
        return DYNO_NOMEM(imp->err);
    /* Loop's count and condition may both be absent, but are counted. */
    if ((dyno_ops[op]->flags & DYNO_OP_REGIONS) != 0)
        draft->in_count = draft->wire->in_count;
    struct dyno_node *node = dyno_graph_node(graph, (enum dyno_op_id)op, name, draft->ins,
                                             draft->in_count, draft->out_count, NULL, NULL);
    if (node == NULL)
        return DYNO_NOMEM(imp->err);
    DYNO_TRY(dyno_draft_bind_attrs(draft, node));
    if ((dyno_ops[op]->flags & DYNO_OP_REGIONS) != 0)
        DYNO_TRY(dyno_import_regions(draft, node));
    DYNO_TRY(name_outs(draft, node));
    return dyno_draft_infer(draft, node);
}

/* The domain is imported, in a version we know. */
static void check_opset(struct dyno_draft *draft)
{
    const char *domain = draft->wire->domain;
    draft->opset = dyno_scope_opset(draft->scope, domain);
    if (draft->opset == 0) {
        dyno_draft_problem(draft, DYNO_E_FORMAT, "the model imports no opset of its domain '%s'",
                           domain);
    } else if (dyno_onnx_domain(domain) &&
               (draft->opset < DYNO_ONNX_OPSET_MIN || draft->opset > DYNO_ONNX_OPSET_MAX)) {
        /* Once is enough: it is true of all nodes. */
        if (!draft->scope->imp->opset_refused)
            dyno_draft_problem(draft, DYNO_E_UNSUPPORTED,
                               "is of opset %" PRId64 ", only opsets %d to %d are supported",
                               draft->opset, DYNO_ONNX_OPSET_MIN, DYNO_ONNX_OPSET_MAX);
        draft->scope->imp->opset_refused = true;
        draft->failed = true;
    }
}

static enum dyno_status find_and_make(struct dyno_draft *draft)
{
    const char *domain = draft->wire->domain;
    if (dyno_onnx_domain(domain))
        DYNO_TRY(dyno_draft_adapt(draft));
    if (draft->failed)
        return DYNO_OK;
    const int op = dyno_op_find(domain, draft->op);
    if (op < 0 || strcmp(dyno_ops[op]->domain, "dyno") == 0) {
        dyno_draft_problem(draft, DYNO_E_UNSUPPORTED,
                           "operator %s of domain '%s', opset %" PRId64 ", is not known", draft->op,
                           dyno_onnx_domain(domain) ? "ai.onnx" : domain, draft->opset);
        return DYNO_OK;
    }
    return make_node(draft, op);
}

static enum dyno_status import_constant(struct dyno_draft *draft)
{
    struct dyno_value *value = NULL;
    if (draft->out_count != 1 || draft->in_count != 0) {
        dyno_draft_problem(draft, DYNO_E_FORMAT, "has %u inputs and %u outputs, wants 0 and 1",
                           draft->in_count, draft->out_count);
        return DYNO_OK;
    }
    DYNO_TRY(dyno_draft_constant(draft, &value));
    return value != NULL ? dyno_draft_alias_out(draft, 0, value) : DYNO_OK;
}

enum dyno_status dyno_import_node(struct dyno_scope *scope, const struct dyno_proto_node *wire,
                                  uint32_t idx)
{
    struct dyno_draft draft = {.scope = scope, .wire = wire, .idx = idx, .op = wire->op};
    const struct dyno_proto_function *function = NULL;
    bool done = false;
    if (++scope->imp->node_count > DYNO_IMPORT_NODES_MAX)
        return DYNO_FAIL(scope->imp->err, DYNO_E_LIMIT,
                         "more than %u nodes after functions are put in place",
                         DYNO_IMPORT_NODES_MAX);
    DYNO_TRY(resolve_attrs(&draft));
    DYNO_TRY(resolve_ins(&draft));
    check_opset(&draft);
    DYNO_TRY(dyno_import_function(scope->imp, wire, &function));
    if (draft.failed) {
        /* Only what is left undone is noted below. */
    } else if (function != NULL) {
        DYNO_TRY(dyno_import_call(&draft, function));
    } else if (dyno_onnx_domain(wire->domain) && strcmp(wire->op, "Constant") == 0) {
        DYNO_TRY(import_constant(&draft));
    } else {
        if (dyno_onnx_domain(wire->domain) && strcmp(wire->op, "If") == 0)
            DYNO_TRY(dyno_import_known_if(&draft, &done));
        if (!done && !draft.failed)
            DYNO_TRY(find_and_make(&draft));
    }
    return draft.failed ? dyno_draft_poison_outs(&draft) : DYNO_OK;
}

/* After a cycle nothing can be made; the names exist, so that only the cycle is reported. */
static enum dyno_status give_up(struct dyno_scope *scope, const struct dyno_proto_node *nodes,
                                uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_draft draft = {
            .scope = scope, .wire = &nodes[i], .idx = i, .op = nodes[i].op, .failed = true};
        DYNO_TRY(dyno_draft_poison_outs(&draft));
    }
    return DYNO_OK;
}

enum dyno_status dyno_import_nodes(struct dyno_scope *scope, const struct dyno_proto_node *nodes,
                                   uint32_t count)
{
    uint32_t *order = NULL;
    bool cyclic = false;
    DYNO_TRY(dyno_import_order(scope, nodes, count, &order, &cyclic));
    if (cyclic)
        return give_up(scope, nodes, count);
    for (uint32_t i = 0; i < count; i++)
        DYNO_TRY(dyno_import_node(scope, &nodes[order[i]], order[i]));
    return DYNO_OK;
}
