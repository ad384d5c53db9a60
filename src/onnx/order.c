/* order.c - nodes in an order in which values come before their uses, whatever the file's order.
 *
 * ONNX asks for sorted nodes; files that are not are put right, and only a real cycle is refused.
 * A node depends on what its graphs use of the outside, too.
 */
#include <string.h>

#include "base/mem.h"
#include "onnx/importer.h"

struct ordering {
    const struct dyno_proto_node *nodes;
    uint32_t count;
    struct dyno_map makers; /* value name -> node index */
    uint32_t *order;        /* filled from the front */
    uint32_t order_count;
    uint8_t *state; /* 0 new, 1 open, 2 done */
    struct frame {
        uint32_t node;
        uint32_t next; /* dependency to look at */
    } * stack;
    uint32_t *deps; /* of all nodes, one after the other */
    size_t dep_count, dep_capacity;
    size_t *first_dep; /* count + 1 */
};

static bool add_dep(struct ordering *ordering, const char *name)
{
    uint64_t maker = 0;
    if (!dyno_map_find(&ordering->makers, name, strlen(name), &maker))
        return true;
    if (ordering->dep_count == ordering->dep_capacity) {
        const size_t capacity = ordering->dep_capacity == 0 ? 64 : ordering->dep_capacity * 2;
        uint32_t *deps = dyno_realloc(ordering->deps, ordering->dep_count * sizeof(*deps), capacity,
                                      sizeof(*deps));
        if (deps == NULL)
            return false;
        ordering->deps = deps;
        ordering->dep_capacity = capacity;
    }
    ordering->deps[ordering->dep_count++] = (uint32_t)maker;
    return true;
}

/* Names that a graph uses and does not make, which some node out here may make. */
static bool add_outside_names(struct ordering *ordering, const struct dyno_proto_graph *graph);

static bool add_nested(struct ordering *ordering, const struct dyno_proto_node *node)
{
    for (uint32_t i = 0; i < node->attr_count; i++) {
        if (node->attrs[i].g != NULL && !add_outside_names(ordering, node->attrs[i].g))
            return false;
    }
    return true;
}

static bool collect_made(const struct dyno_proto_graph *graph, struct dyno_map *made)
{
    bool ok = true;
    for (uint32_t i = 0; i < graph->input_count && ok; i++)
        ok = dyno_map_put(made, graph->inputs[i].name, strlen(graph->inputs[i].name), 1);
    for (uint32_t i = 0; i < graph->init_count && ok; i++)
        ok = dyno_map_put(made, graph->inits[i].name, strlen(graph->inits[i].name), 1);
    for (uint32_t i = 0; i < graph->node_count && ok; i++) {
        const struct dyno_proto_node *node = &graph->nodes[i];
        for (uint32_t j = 0; j < node->out_count && ok; j++)
            ok = dyno_map_put(made, node->outs[j], strlen(node->outs[j]), 1);
    }
    return ok;
}

static bool add_outside_names(struct ordering *ordering, const struct dyno_proto_graph *graph)
{
    struct dyno_map made = {0};
    bool ok = collect_made(graph, &made);
    for (uint32_t i = 0; i < graph->node_count && ok; i++) {
        const struct dyno_proto_node *node = &graph->nodes[i];
        for (uint32_t j = 0; j < node->in_count && ok; j++) {
            if (!dyno_map_find(&made, node->ins[j], strlen(node->ins[j]), NULL))
                ok = add_dep(ordering, node->ins[j]);
        }
        ok = ok && add_nested(ordering, node);
    }
    for (uint32_t i = 0; i < graph->output_count && ok; i++) {
        const char *name = graph->outputs[i].name;
        if (!dyno_map_find(&made, name, strlen(name), NULL))
            ok = add_dep(ordering, name);
    }
    dyno_map_fini(&made);
    return ok;
}

static bool collect_deps(struct ordering *ordering)
{
    for (uint32_t i = 0; i < ordering->count; i++) {
        const struct dyno_proto_node *node = &ordering->nodes[i];
        for (uint32_t j = 0; j < node->out_count; j++) {
            const char *name = node->outs[j];
            if (name[0] != '\0' && !dyno_map_find(&ordering->makers, name, strlen(name), NULL) &&
                !dyno_map_put(&ordering->makers, name, strlen(name), i))
                return false;
        }
    }
    for (uint32_t i = 0; i < ordering->count; i++) {
        const struct dyno_proto_node *node = &ordering->nodes[i];
        ordering->first_dep[i] = ordering->dep_count;
        for (uint32_t j = 0; j < node->in_count; j++) {
            if (!add_dep(ordering, node->ins[j]))
                return false;
        }
        if (!add_nested(ordering, node))
            return false;
    }
    ordering->first_dep[ordering->count] = ordering->dep_count;
    return true;
}

/* Depth first from `root`.  An edge to an open node closes a cycle: noted once, then ignored. */
static void visit(struct ordering *ordering, struct dyno_scope *scope, uint32_t root, bool *cyclic)
{
    uint32_t depth = 0;
    ordering->stack[depth++] = (struct frame){root, 0};
    ordering->state[root] = 1;
    while (depth > 0) {
        struct frame *top = &ordering->stack[depth - 1];
        const size_t at = ordering->first_dep[top->node] + top->next;
        if (at == ordering->first_dep[top->node + 1]) {
            ordering->state[top->node] = 2;
            ordering->order[ordering->order_count++] = top->node;
            depth--;
            continue;
        }
        top->next++;
        DYNO_ASSERT(ordering->deps != NULL);
        const uint32_t dep = ordering->deps[at];
        if (ordering->state[dep] == 0) {
            ordering->state[dep] = 1;
            ordering->stack[depth++] = (struct frame){dep, 0};
        } else if (ordering->state[dep] == 1 && !*cyclic) {
            *cyclic = true;
            const struct dyno_proto_node *node = &ordering->nodes[dep];
            dyno_problem_add(&scope->imp->problems, DYNO_E_FORMAT, scope->place,
                             "node %u %s '%s' needs its own output: the graph has a cycle", dep,
                             node->op, node->name);
        }
    }
}

enum dyno_status dyno_import_order(struct dyno_scope *scope, const struct dyno_proto_node *nodes,
                                   uint32_t count, uint32_t **order_out, bool *cyclic_out)
{
    struct ordering ordering = {.nodes = nodes, .count = count};
    const size_t room = (size_t)count + 1;
    *cyclic_out = false;
    ordering.order = dyno_arena_alloc(scope->imp->scratch, room, sizeof(*ordering.order));
    ordering.state = dyno_alloc(room, sizeof(*ordering.state));
    ordering.stack = dyno_alloc(room, sizeof(*ordering.stack));
    ordering.first_dep = dyno_alloc(room, sizeof(*ordering.first_dep));
    const bool ok = ordering.order != NULL && ordering.state != NULL && ordering.stack != NULL &&
                    ordering.first_dep != NULL && collect_deps(&ordering);
    for (uint32_t i = 0; ok && i < count; i++) {
        if (ordering.state[i] == 0)
            visit(&ordering, scope, i, cyclic_out);
    }
    *order_out = ok ? ordering.order : NULL;
    dyno_map_fini(&ordering.makers);
    dyno_free(ordering.deps);
    dyno_free(ordering.first_dep);
    dyno_free(ordering.stack);
    dyno_free(ordering.state);
    return ok ? DYNO_OK : DYNO_NOMEM(scope->imp->err);
}
