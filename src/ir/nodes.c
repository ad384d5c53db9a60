/* nodes.c - nodes: making, linking, changing, removing. */
#include <stdio.h>

#include "ir/internal.h"

/* Capacity of the arrays of inputs and uses that hold `count`: it follows from the count. */
static uint32_t capacity_of(uint32_t count)
{
    uint32_t capacity = 4;
    while (capacity < count)
        capacity *= 2;
    return capacity;
}

static void link_before(struct dyno_node *node, struct dyno_node *before)
{
    struct dyno_graph *graph = node->graph;
    node->next = before;
    node->prev = before != NULL ? before->prev : graph->last;
    if (node->prev != NULL)
        node->prev->next = node;
    else
        graph->first = node;
    if (node->next != NULL)
        node->next->prev = node;
    else
        graph->last = node;
    graph->node_count++;
}

static void unlink(struct dyno_node *node)
{
    struct dyno_graph *graph = node->graph;
    if (node->prev != NULL)
        node->prev->next = node->next;
    else
        graph->first = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
    else
        graph->last = node->prev;
    node->prev = NULL;
    node->next = NULL;
    graph->node_count--;
}

static uint32_t next_id(struct dyno_graph *graph)
{
    struct dyno_graph *top = graph;
    while (top->outer != NULL)
        top = top->outer;
    const uint32_t id = top->node_id_count;
    for (struct dyno_graph *at = graph; at != NULL; at = at->outer)
        at->node_id_count = id + 1;
    return id;
}

/* The arrays of a node and its output values; nothing is linked yet. */
static bool allocate(struct dyno_node *node, uint32_t in_count, uint32_t out_count)
{
    struct dyno_arena *arena = node->graph->arena;
    const uint32_t capacity = capacity_of(in_count);
    node->ins = dyno_arena_alloc(arena, capacity, sizeof(struct dyno_value *));
    node->in_uses = dyno_arena_alloc(arena, capacity, sizeof(*node->in_uses));
    node->outs = dyno_arena_alloc(arena, out_count, sizeof(struct dyno_value *));
    node->attrs = dyno_op_attrs_create(dyno_ops[node->op], arena);
    if (node->ins == NULL || node->in_uses == NULL || node->outs == NULL || node->attrs == NULL)
        return false;
    for (uint32_t i = 0; i < out_count; i++) {
        node->outs[i] = dyno_graph_value(node->graph, NULL);
        if (node->outs[i] == NULL)
            return false;
    }
    node->in_count = in_count;
    node->own_in_count = in_count;
    node->out_count = out_count;
    return true;
}

static bool set_names(struct dyno_node *node, const char *name, const struct dyno_node *like)
{
    struct dyno_graph *graph = node->graph;
    char made_up[64];
    if (name == NULL || name[0] == '\0') {
        (void)snprintf(made_up, sizeof(made_up), "%s_%u", dyno_ops[node->op]->onnx_name,
                       dyno_graph_top(graph)->node_id_count);
        name = made_up;
    }
    node->name = dyno_names_add(graph->names, DYNO_NAME_NODE, name, node, graph);
    if (node->name == NULL)
        return false;
    if (like != NULL) {
        node->origins = like->origins;
        node->origin_count = like->origin_count;
        return true;
    }
    node->origins = dyno_arena_memdup(graph->arena, &node->name, sizeof(node->name));
    node->origin_count = 1;
    return node->origins != NULL;
}

struct dyno_node *dyno_graph_node(struct dyno_graph *graph, enum dyno_op_id op, const char *name,
                                  struct dyno_value *const *ins, uint32_t in_count,
                                  uint32_t out_count, struct dyno_node *before,
                                  const struct dyno_node *like)
{
    struct dyno_node *node = dyno_arena_alloc(graph->arena, 1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->graph = graph;
    node->op = op;
    if (!allocate(node, in_count, out_count) || !set_names(node, name, like))
        return NULL;
    node->id = next_id(graph);
    for (uint32_t i = 0; i < in_count; i++) {
        node->ins[i] = ins[i];
        node->in_uses[i] = (struct dyno_use){.user = node, .idx = i};
        dyno_use_link(&node->in_uses[i], ins[i]);
    }
    for (uint32_t i = 0; i < out_count; i++) {
        node->outs[i]->producer = node;
        node->outs[i]->producer_out_idx = i;
    }
    link_before(node, before);
    return node;
}

void dyno_node_set_in(struct dyno_node *node, uint32_t idx, struct dyno_value *value)
{
    DYNO_ASSERT(idx < node->in_count);
    dyno_use_unlink(&node->in_uses[idx], node->ins[idx]);
    node->ins[idx] = value;
    dyno_use_link(&node->in_uses[idx], value);
}

uint32_t dyno_node_add_in(struct dyno_node *node, struct dyno_value *value)
{
    const uint32_t idx = node->in_count;
    if (idx != 0 && idx == capacity_of(idx)) {
        struct dyno_arena *arena = node->graph->arena;
        const uint32_t capacity = capacity_of(idx + 1);
        struct dyno_value **ins = dyno_arena_alloc(arena, capacity, sizeof(struct dyno_value *));
        struct dyno_use *uses = dyno_arena_alloc(arena, capacity, sizeof(*uses));
        if (ins == NULL || uses == NULL)
            return UINT32_MAX;
        for (uint32_t i = 0; i < idx; i++) {
            ins[i] = node->ins[i];
            dyno_use_move(&uses[i], &node->in_uses[i], ins[i]);
        }
        node->ins = ins;
        node->in_uses = uses;
    }
    node->ins[idx] = value;
    node->in_uses[idx] = (struct dyno_use){.user = node, .idx = idx};
    dyno_use_link(&node->in_uses[idx], value);
    node->in_count++;
    return idx;
}

void dyno_node_truncate_ins(struct dyno_node *node, uint32_t count)
{
    while (node->in_count > count) {
        node->in_count--;
        dyno_use_unlink(&node->in_uses[node->in_count], node->ins[node->in_count]);
        node->ins[node->in_count] = NULL;
    }
    if (node->own_in_count > count)
        node->own_in_count = count;
}

void dyno_node_set_out(struct dyno_node *node, uint32_t idx, struct dyno_value *value)
{
    DYNO_ASSERT(idx < node->out_count);
    struct dyno_value *had = node->outs[idx];
    if (had == value)
        return;
    if (had != NULL) {
        DYNO_ASSERT(had->uses == NULL);
        had->producer = NULL;
        dyno_value_forget(node->graph, had);
    }
    node->outs[idx] = value;
    if (value == NULL)
        return;
    if (value->producer != NULL)
        value->producer->outs[value->producer_out_idx] = NULL;
    value->producer = node;
    value->producer_out_idx = idx;
}

bool dyno_node_add_region(struct dyno_node *node, struct dyno_graph *region)
{
    const uint32_t count = node->region_count;
    struct dyno_graph **regions =
        dyno_arena_alloc(node->graph->arena, (size_t)count + 1, sizeof(struct dyno_graph *));
    if (regions == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        regions[i] = node->regions[i];
    regions[count] = region;
    node->regions = regions;
    node->region_count = count + 1;
    return true;
}

bool dyno_node_add_origins(struct dyno_node *node, const struct dyno_node *other)
{
    const size_t room = (size_t)node->origin_count + other->origin_count;
    const char **merged = dyno_arena_alloc(node->graph->arena, room, sizeof(char *));
    if (merged == NULL)
        return false;
    uint32_t count = 0;
    for (; count < node->origin_count; count++)
        merged[count] = node->origins[count];
    for (uint32_t i = 0; i < other->origin_count; i++) {
        bool known = false;
        for (uint32_t j = 0; j < count && !known; j++)
            known = merged[j] == other->origins[i];
        if (!known)
            merged[count++] = other->origins[i];
    }
    node->origins = merged;
    node->origin_count = count;
    return true;
}

/* Nothing in the region uses values around it any more. */
static void release_region(struct dyno_graph *region)
{
    for (uint32_t i = 0; i < region->output_count; i++)
        dyno_use_unlink(&region->output_uses[i], region->outputs[i]);
    region->output_count = 0;
    for (uint32_t i = 0; i < region->input_count; i++)
        dyno_value_forget(region, region->inputs[i]);
    while (region->last != NULL)
        dyno_node_remove(region->last);
}

void dyno_node_remove(struct dyno_node *node)
{
    for (uint32_t i = 0; i < node->out_count; i++) {
        struct dyno_value *out = node->outs[i];
        if (out == NULL)
            continue;
        DYNO_ASSERT(out->uses == NULL);
        out->producer = NULL;
        dyno_value_forget(node->graph, out);
    }
    for (uint32_t i = 0; i < node->region_count; i++)
        release_region(node->regions[i]);
    dyno_node_truncate_ins(node, 0);
    dyno_names_remove(node->graph->names, DYNO_NAME_NODE, node->name, node);
    unlink(node);
}

void dyno_node_move(struct dyno_node *node, struct dyno_node *before)
{
    if (node == before)
        return;
    unlink(node);
    link_before(node, before);
}

/* --- a region in place of its node --- */

/* The nodes of `region` become nodes of `graph`, before `before`. */
static void move_region(struct dyno_graph *region, struct dyno_graph *graph,
                        struct dyno_node *before)
{
    while (region->first != NULL) {
        struct dyno_node *node = region->first;
        unlink(node);
        node->graph = graph;
        for (uint32_t i = 0; i < node->region_count; i++)
            node->regions[i]->outer = graph;
        link_before(node, before);
    }
    struct dyno_names *names = graph->names;
    for (size_t i = 0; i < names->slot_count; i++) {
        if (names->at[i].graph == region)
            names->at[i].graph = graph;
    }
}

bool dyno_node_inline_region(struct dyno_node *node, uint32_t idx)
{
    struct dyno_graph *graph = node->graph;
    struct dyno_graph *region = node->regions[idx];
    DYNO_ASSERT(region->input_count == 0 && region->output_count == node->out_count);
    const int identity = dyno_op_find("", "Identity");
    DYNO_ASSERT(identity >= 0);
    move_region(region, graph, node);
    for (uint32_t i = 0; i < node->out_count; i++) {
        struct dyno_value *out = node->outs[i];
        struct dyno_value *with = region->outputs[i];
        if (out == NULL || out->uses == NULL)
            continue;
        dyno_use_unlink(&region->output_uses[i], with);
        region->outputs[i] = NULL;
        if (dyno_value_forward(out, with))
            continue;
        struct dyno_node *copy =
            dyno_graph_node(graph, (enum dyno_op_id)identity, out->name, &with, 1, 1, node, node);
        if (copy == NULL)
            return false;
        dyno_node_set_out(copy, 0, out);
    }
    dyno_node_remove(node);
    return true;
}

/* --- what is dead --- */

/* Outputs that an op has for those who want them (Dropout's mask) go when nobody does; the count of
 * outputs of the others is part of their meaning. */
static void trim_outputs(struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    if (op->out_max == DYNO_OP_INPUTS_MAX || (op->flags & DYNO_OP_REGIONS) != 0)
        return;
    const uint32_t least = op->out_min > 1 ? op->out_min : 1;
    while (node->out_count > least) {
        struct dyno_value *out = node->outs[node->out_count - 1];
        if (out != NULL && out->uses != NULL)
            return;
        dyno_node_set_out(node, node->out_count - 1, NULL);
        node->out_count--;
    }
}

static uint32_t drop_dead_nodes(struct dyno_graph *graph)
{
    uint32_t count = 0;
    struct dyno_node *before = NULL;
    for (struct dyno_node *node = graph->last; node != NULL; node = before) {
        before = node->prev;
        bool wanted = false;
        for (uint32_t i = 0; i < node->out_count && !wanted; i++)
            wanted = node->outs[i] != NULL && node->outs[i]->uses != NULL;
        if (!wanted) {
            dyno_node_remove(node);
            count++;
            continue;
        }
        trim_outputs(node);
        for (uint32_t i = 0; i < node->region_count; i++)
            count += drop_dead_nodes(node->regions[i]);
    }
    return count;
}

uint32_t dyno_graph_drop_dead(struct dyno_graph *graph)
{
    const uint32_t count = drop_dead_nodes(graph);
    struct dyno_names *names = graph->names;
    for (size_t i = 0; i < names->slot_count; i++) {
        if (names->at[i].kind != DYNO_NAME_VALUE)
            continue;
        const struct dyno_value *value = names->at[i].item;
        const bool is_free = value->type.constant != NULL || dyno_value_is_host(value);
        if (is_free && value->producer == NULL && value->uses == NULL)
            names->at[i].kind = DYNO_NAME_GONE;
    }
    return count;
}
