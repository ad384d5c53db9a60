/* region.c - the graphs inside If, Loop, Scan and SequenceMap. */
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

static struct dyno_scope inner_scope(struct dyno_draft *draft)
{
    struct dyno_scope *outer = draft->scope;
    return (struct dyno_scope){.imp = outer->imp,
                               .outer = outer,
                               .graph = outer->graph,
                               .opsets = outer->opsets,
                               .opset_count = outer->opset_count,
                               .call = outer->call,
                               .place = outer->place,
                               .prefix = outer->prefix,
                               .depth = outer->depth + 1};
}

/* "then_branch of node 3 If 'x': " */
static const char *place_of(struct dyno_draft *draft, const char *attr)
{
    const char *where = dyno_draft_where(draft);
    const char *place = draft->scope->place;
    const size_t room = strlen(place) + strlen(attr) + strlen(where) + 8;
    char *text = dyno_arena_alloc(draft->scope->imp->scratch, room, 1);
    if (text != NULL)
        (void)snprintf(text, room, "%s%s of %s: ", place, attr, where);
    return text;
}

/* Inputs of a body as declared; what flows in comes from the node's own inference. */
static enum dyno_status add_inputs(struct dyno_scope *scope, const struct dyno_proto_graph *proto,
                                   const struct dyno_draft *draft)
{
    struct dyno_importer *imp = scope->imp;
    const bool loop = strcmp(draft->op, "Loop") == 0;
    for (uint32_t i = 0; i < proto->input_count; i++) {
        const struct dyno_proto_value_info *info = &proto->inputs[i];
        struct dyno_value *value = dyno_graph_add_input(scope->graph, info->name);
        if (value == NULL || !dyno_scope_define(scope, info->name, value))
            return DYNO_NOMEM(imp->err);
        DYNO_TRY(dyno_import_type(scope, &info->type, info->name, &value->type));
        const struct dyno_value *fed = i < draft->in_count ? draft->ins[i] : NULL;
        if (value->type.dtype != DYNO_DTYPE_NONE)
            continue;
        if (loop && i < 2)
            value->type = (struct dyno_type){.kind = DYNO_TYPE_TENSOR,
                                             .dtype = i == 0 ? DYNO_I64 : DYNO_BOOL};
        else if (fed != NULL)
            value->type =
                (struct dyno_type){.kind = fed->type.kind, .dtype = fed->type.dtype, .rank = -1};
    }
    return DYNO_OK;
}

static enum dyno_status add_outputs(struct dyno_draft *draft, struct dyno_scope *scope,
                                    const struct dyno_proto_graph *proto)
{
    for (uint32_t i = 0; i < proto->output_count; i++) {
        const char *name = proto->outputs[i].name;
        struct dyno_value *value = dyno_scope_find(scope, name);
        if (value == NULL || value == &scope->imp->absent) {
            draft->failed = true;
            dyno_problem_add(&scope->imp->problems, DYNO_E_FORMAT, scope->place,
                             "output '%s' is not made by any node, input or initialiser", name);
            continue;
        }
        if (!dyno_graph_add_output(scope->graph, value))
            return DYNO_NOMEM(scope->imp->err);
    }
    return DYNO_OK;
}

static enum dyno_status fill_region(struct dyno_draft *draft, struct dyno_scope *scope,
                                    const struct dyno_proto_graph *proto)
{
    DYNO_TRY(dyno_import_constants(scope, proto));
    DYNO_TRY(add_inputs(scope, proto, draft));
    DYNO_TRY(dyno_import_nodes(scope, proto->nodes, proto->node_count));
    return add_outputs(draft, scope, proto);
}

static enum dyno_status add_region(struct dyno_draft *draft, struct dyno_node *node,
                                   const struct dyno_proto_attr *attr)
{
    struct dyno_importer *imp = draft->scope->imp;
    struct dyno_scope scope = inner_scope(draft);
    const uint32_t problems = imp->problems.count;
    if (scope.depth > DYNO_IMPORT_DEPTH_MAX) {
        dyno_draft_problem(draft, DYNO_E_LIMIT, "graphs are nested more than %d deep",
                           DYNO_IMPORT_DEPTH_MAX);
        return DYNO_OK;
    }
    scope.place = place_of(draft, attr->name);
    scope.graph = dyno_graph_region(draft->scope->graph, attr->g->name);
    if (scope.place == NULL || scope.graph == NULL || !dyno_node_add_region(node, scope.graph))
        return DYNO_NOMEM(imp->err);
    const enum dyno_status status = fill_region(draft, &scope, attr->g);
    dyno_scope_fini(&scope);
    if (imp->problems.count > problems)
        draft->failed = true;
    return status;
}

enum dyno_status dyno_import_regions(struct dyno_draft *draft, struct dyno_node *node)
{
    static const char *const names[] = {"then_branch", "else_branch", "body"};
    const bool branches = strcmp(draft->op, "If") == 0;
    for (size_t i = branches ? 0 : 2; i < (branches ? 2 : DYNO_COUNT(names)); i++) {
        const struct dyno_proto_attr *attr = dyno_draft_attr(draft, names[i]);
        if (attr == NULL || attr->type != DYNO_PROTO_GRAPH || attr->g == NULL)
            dyno_draft_problem(draft, DYNO_E_FORMAT,
                               "the required attribute %s is missing or not a graph", names[i]);
        else
            DYNO_TRY(add_region(draft, node, attr));
    }
    for (uint32_t i = 0; i < draft->attr_count; i++) {
        const struct dyno_proto_attr *attr = &draft->attrs[i];
        bool known = attr->type != DYNO_PROTO_GRAPH;
        for (size_t j = branches ? 0 : 2; j < (branches ? 2 : DYNO_COUNT(names)); j++)
            known = known || strcmp(names[j], attr->name) == 0;
        if (!known)
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute '%s' is not one of %s", attr->name,
                               draft->op);
    }
    return DYNO_OK;
}

/* --- If whose condition is known --- */

static enum dyno_status put_branch(struct dyno_draft *draft, struct dyno_scope *scope,
                                   const struct dyno_proto_graph *branch)
{
    const uint32_t problems = scope->imp->problems.count;
    DYNO_TRY(dyno_import_constants(scope, branch));
    DYNO_TRY(dyno_import_nodes(scope, branch->nodes, branch->node_count));
    if (scope->imp->problems.count > problems) {
        draft->failed = true;
        return DYNO_OK;
    }
    for (uint32_t i = 0; i < draft->out_count; i++) {
        struct dyno_value *value = dyno_scope_find(scope, branch->outputs[i].name);
        if (value == NULL || value == &scope->imp->absent)
            dyno_draft_problem(draft, DYNO_E_FORMAT,
                               "output '%s' of the branch is not made by any node, input or "
                               "initialiser",
                               branch->outputs[i].name);
        else
            DYNO_TRY(dyno_draft_alias_out(draft, i, value));
    }
    return DYNO_OK;
}

enum dyno_status dyno_import_known_if(struct dyno_draft *draft, bool *done_out)
{
    const struct dyno_value *cond = draft->in_count == 1 ? draft->ins[0] : NULL;
    const struct dyno_proto_attr *attrs[2] = {dyno_draft_attr(draft, "else_branch"),
                                              dyno_draft_attr(draft, "then_branch")};
    int64_t taken = 0;
    *done_out = false;
    if (cond == NULL || cond->type.dtype != DYNO_BOOL || cond->type.elem_count != 1 ||
        cond->type.elems == NULL ||
        !dyno_expr_is_const(draft->scope->graph->exprs, cond->type.elems[0], &taken))
        return DYNO_OK;
    const struct dyno_proto_attr *attr = attrs[taken != 0];
    if (attr == NULL || attr->g == NULL || attr->g->input_count != 0 ||
        attr->g->output_count < draft->out_count || draft->scope->depth + 1 > DYNO_IMPORT_DEPTH_MAX)
        return DYNO_OK; /* the general way says what is wrong */
    struct dyno_scope scope = inner_scope(draft);
    scope.place = place_of(draft, attr->name);
    if (scope.place == NULL)
        return DYNO_NOMEM(scope.imp->err);
    *done_out = true;
    const enum dyno_status status = put_branch(draft, &scope, attr->g);
    dyno_scope_fini(&scope);
    return status;
}
