/* graph.c - graphs and regions: making, destroying, inputs and outputs. */
#include "ir/graph.h"

#include "ir/internal.h"

struct dyno_graph *dyno_graph_create(const char *name)
{
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_exprs *exprs = dyno_exprs_create();
    struct dyno_graph *graph = NULL;
    if (arena == NULL || exprs == NULL)
        goto out;
    struct dyno_graph *made = dyno_arena_alloc(arena, 1, sizeof(*made));
    if (made == NULL)
        goto out;
    made->arena = arena;
    made->exprs = exprs;
    made->name = dyno_arena_strdup(arena, name != NULL ? name : "");
    made->names = dyno_names_create(arena);
    if (made->name == NULL || made->names == NULL)
        goto out;
    graph = made;
    arena = NULL;
    exprs = NULL;
out:
    dyno_exprs_destroy(exprs);
    dyno_arena_destroy(arena);
    return graph;
}

void dyno_graph_destroy(struct dyno_graph *graph)
{
    if (graph == NULL)
        return;
    DYNO_ASSERT(graph->outer == NULL);
    /* The graph itself lies in its arena. */
    struct dyno_arena *arena = graph->arena;
    dyno_exprs_destroy(graph->exprs);
    dyno_arena_destroy(arena);
}

struct dyno_graph *dyno_graph_region(struct dyno_graph *outer, const char *name)
{
    struct dyno_graph *graph = dyno_arena_alloc(outer->arena, 1, sizeof(*graph));
    if (graph == NULL)
        return NULL;
    graph->arena = outer->arena;
    graph->exprs = outer->exprs;
    graph->names = outer->names;
    graph->outer = outer;
    graph->name = dyno_arena_strdup(outer->arena, name != NULL ? name : "");
    return graph->name != NULL ? graph : NULL;
}

/* Capacity of an array that holds `count`: no field keeps it, so that it must follow from it. */
static uint32_t capacity_of(uint32_t count)
{
    uint32_t capacity = 4;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

struct dyno_value *dyno_graph_add_input(struct dyno_graph *graph, const char *name)
{
    const uint32_t count = graph->input_count;
    if (count == 0 || count == capacity_of(count)) {
        struct dyno_value **larger =
            dyno_arena_alloc(graph->arena, capacity_of(count + 1), sizeof(struct dyno_value *));
        if (larger == NULL)
            return NULL;
        for (uint32_t i = 0; i < count; i++)
            larger[i] = graph->inputs[i];
        graph->inputs = larger;
    }
    struct dyno_value *value = dyno_graph_value(graph, name);
    if (value == NULL)
        return NULL;
    graph->inputs[count] = value;
    graph->input_count++;
    return value;
}

bool dyno_graph_add_output(struct dyno_graph *graph, struct dyno_value *value)
{
    const uint32_t count = graph->output_count;
    if (count == 0 || count == capacity_of(count)) {
        const uint32_t capacity = capacity_of(count + 1);
        struct dyno_value **values =
            dyno_arena_alloc(graph->arena, capacity, sizeof(struct dyno_value *));
        struct dyno_use *uses = dyno_arena_alloc(graph->arena, capacity, sizeof(*uses));
        if (values == NULL || uses == NULL)
            return false;
        for (uint32_t i = 0; i < count; i++) {
            values[i] = graph->outputs[i];
            dyno_use_move(&uses[i], &graph->output_uses[i], values[i]);
        }
        graph->outputs = values;
        graph->output_uses = uses;
    }
    graph->outputs[count] = value;
    graph->output_uses[count] = (struct dyno_use){.graph = graph, .idx = count};
    dyno_use_link(&graph->output_uses[count], value);
    graph->output_count++;
    return true;
}

void dyno_graph_set_output(struct dyno_graph *graph, uint32_t idx, struct dyno_value *value)
{
    DYNO_ASSERT(idx < graph->output_count && value != NULL);
    dyno_use_unlink(&graph->output_uses[idx], graph->outputs[idx]);
    graph->outputs[idx] = value;
    dyno_use_link(&graph->output_uses[idx], value);
}

struct dyno_value *dyno_graph_find_value(const struct dyno_graph *graph, const char *name)
{
    const struct dyno_name *found = dyno_names_find(graph->names, DYNO_NAME_VALUE, name);
    if (found == NULL)
        return NULL;
    for (const struct dyno_graph *at = graph; at != NULL; at = at->outer) {
        if (found->graph == at)
            return found->item;
    }
    return NULL;
}
