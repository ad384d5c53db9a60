/* function.c - functions of the model are put in place of their calls. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

/* "domain:name:overload"; domain "" and "ai.onnx" are one. */
static const char *key_of(const struct dyno_importer *imp, const char *domain, const char *name,
                          const char *overload, size_t *bytes_out)
{
    if (dyno_onnx_domain(domain))
        domain = "";
    const size_t room = strlen(domain) + strlen(name) + strlen(overload) + 3;
    char *key = dyno_arena_alloc(imp->scratch, room, 1);
    *bytes_out = room - 1;
    if (key != NULL)
        (void)snprintf(key, room, "%s:%s:%s", domain, name, overload);
    return key;
}

enum dyno_status dyno_import_index_functions(struct dyno_importer *imp)
{
    for (uint32_t i = 0; i < imp->proto.function_count; i++) {
        const struct dyno_proto_function *function = &imp->proto.functions[i];
        size_t bytes = 0;
        const char *key = key_of(imp, function->domain, function->name, function->overload, &bytes);
        if (key == NULL)
            return DYNO_NOMEM(imp->err);
        if (dyno_map_find(&imp->functions, key, bytes, NULL)) {
            dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "",
                             "function '%s' of domain '%s' is defined twice", function->name,
                             function->domain);
            continue;
        }
        if (!dyno_map_put(&imp->functions, key, bytes, (uint64_t)i))
            return DYNO_NOMEM(imp->err);
    }
    return DYNO_OK;
}

enum dyno_status dyno_import_function(const struct dyno_importer *imp,
                                      const struct dyno_proto_node *wire,
                                      const struct dyno_proto_function **function_out)
{
    size_t bytes = 0;
    uint64_t idx = 0;
    *function_out = NULL;
    if (imp->proto.function_count == 0)
        return DYNO_OK;
    const char *key = key_of(imp, wire->domain, wire->op, wire->overload, &bytes);
    if (key == NULL)
        return DYNO_NOMEM(imp->err);
    if (dyno_map_find(&imp->functions, key, bytes, &idx))
        *function_out = &imp->proto.functions[idx];
    return DYNO_OK;
}

static bool has_name(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* The call fits the function's signature. */
static void check_call(struct dyno_draft *draft, const struct dyno_proto_function *function)
{
    if (draft->in_count > function->in_count)
        dyno_draft_problem(draft, DYNO_E_FORMAT, "has %u inputs, the function takes at most %u",
                           draft->in_count, function->in_count);
    if (draft->out_count > function->out_count)
        dyno_draft_problem(draft, DYNO_E_FORMAT, "has %u outputs, the function gives at most %u",
                           draft->out_count, function->out_count);
    for (uint32_t i = 0; i < draft->attr_count; i++) {
        const char *name = draft->attrs[i].name;
        bool known = has_name(function->attr_names, function->attr_name_count, name);
        for (uint32_t j = 0; j < function->attr_count && !known; j++)
            known = strcmp(function->attrs[j].name, name) == 0;
        if (!known)
            dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute '%s' is not one of the function",
                               name);
    }
    for (uint32_t i = 0; i < function->attr_name_count; i++) {
        if (dyno_draft_attr(draft, function->attr_names[i]) == NULL)
            dyno_draft_problem(draft, DYNO_E_FORMAT, "the required attribute %s is missing",
                               function->attr_names[i]);
    }
    for (const struct dyno_call *at = draft->scope->call; at != NULL; at = at->outer) {
        if (at->function == function) {
            dyno_draft_problem(draft, DYNO_E_FORMAT, "calls function '%s' inside itself",
                               function->name);
            return;
        }
    }
    if (draft->scope->depth + 1 > DYNO_IMPORT_DEPTH_MAX)
        dyno_draft_problem(draft, DYNO_E_LIMIT, "functions call functions more than %d deep",
                           DYNO_IMPORT_DEPTH_MAX);
}

/* Where the body is, in sentences and in names. */
static bool name_scope(struct dyno_draft *draft, struct dyno_scope *scope)
{
    struct dyno_arena *scratch = scope->imp->scratch;
    const struct dyno_proto_node *wire = draft->wire;
    const char *where = dyno_draft_where(draft);
    const size_t place_room = strlen(draft->scope->place) + strlen(where) + 32;
    const size_t prefix_room =
        strlen(draft->scope->prefix) + strlen(wire->name) + strlen(wire->op) + 32;
    char *place = dyno_arena_alloc(scratch, place_room, 1);
    char *prefix = dyno_arena_alloc(scratch, prefix_room, 1);
    if (place == NULL || prefix == NULL)
        return false;
    (void)snprintf(place, place_room, "%sfunction called by %s: ", draft->scope->place, where);
    if (wire->name[0] != '\0')
        (void)snprintf(prefix, prefix_room, "%s%s/", draft->scope->prefix, wire->name);
    else
        (void)snprintf(prefix, prefix_room, "%s%s_%u/", draft->scope->prefix, wire->op, draft->idx);
    scope->place = place;
    scope->prefix = prefix;
    return true;
}

static enum dyno_status put_body(struct dyno_draft *draft, struct dyno_scope *scope,
                                 const struct dyno_proto_function *function)
{
    struct dyno_importer *imp = scope->imp;
    const uint32_t problems = imp->problems.count;
    for (uint32_t i = 0; i < function->in_count; i++) {
        struct dyno_value *given = i < draft->in_count ? draft->ins[i] : NULL;
        if (!dyno_scope_define(scope, function->ins[i], given != NULL ? given : &imp->absent))
            return DYNO_NOMEM(imp->err);
    }
    DYNO_TRY(dyno_import_nodes(scope, function->nodes, function->node_count));
    if (imp->problems.count > problems) {
        draft->failed = true;
        return DYNO_OK;
    }
    for (uint32_t i = 0; i < draft->out_count; i++) {
        struct dyno_value *value = dyno_scope_find(scope, function->outs[i]);
        if (value == NULL || value == &imp->absent)
            dyno_draft_problem(draft, DYNO_E_FORMAT,
                               "output '%s' of the function is not made by its body",
                               function->outs[i]);
        else
            DYNO_TRY(dyno_draft_alias_out(draft, i, value));
    }
    return DYNO_OK;
}

enum dyno_status dyno_import_call(struct dyno_draft *draft,
                                  const struct dyno_proto_function *function)
{
    const struct dyno_call call = {.outer = draft->scope->call,
                                   .function = function,
                                   .attrs = draft->attrs,
                                   .attr_count = draft->attr_count};
    struct dyno_scope scope = {.imp = draft->scope->imp,
                               .graph = draft->scope->graph,
                               .opsets = function->opsets,
                               .opset_count = function->opset_count,
                               .call = &call,
                               .depth = draft->scope->depth + 1};
    check_call(draft, function);
    if (draft->failed)
        return DYNO_OK;
    if (!name_scope(draft, &scope))
        return DYNO_NOMEM(scope.imp->err);
    const enum dyno_status status = put_body(draft, &scope, function);
    dyno_scope_fini(&scope);
    return status;
}
