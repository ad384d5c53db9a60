/* scope.c - names visible while nodes are made, and the opsets they are meant in. */
#include <string.h>

#include "onnx/importer.h"

struct dyno_value *dyno_scope_find(const struct dyno_scope *scope, const char *name)
{
    for (const struct dyno_scope *at = scope; at != NULL; at = at->outer) {
        struct dyno_value *value = dyno_map_find_ptr(&at->values, name, strlen(name));
        if (value != NULL)
            return value;
    }
    return NULL;
}

bool dyno_scope_define(struct dyno_scope *scope, const char *name, struct dyno_value *value)
{
    if (dyno_map_find(&scope->values, name, strlen(name), NULL)) {
        dyno_problem_add(&scope->imp->problems, DYNO_E_FORMAT, scope->place,
                         "the name '%s' is given to two values, names must be unique", name);
        return true;
    }
    return dyno_map_put_ptr(&scope->values, name, strlen(name), value);
}

bool dyno_onnx_domain(const char *domain)
{
    return domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

void dyno_scope_fini(struct dyno_scope *scope)
{
    dyno_map_fini(&scope->values);
    dyno_map_fini(&scope->infos);
    dyno_map_fini(&scope->reserved);
}

int64_t dyno_scope_opset(const struct dyno_scope *scope, const char *domain)
{
    for (uint32_t i = 0; i < scope->opset_count; i++) {
        const char *imported = scope->opsets[i].domain;
        if (strcmp(imported, domain) == 0 ||
            (dyno_onnx_domain(imported) && dyno_onnx_domain(domain)))
            return scope->opsets[i].version;
    }
    return 0;
}
