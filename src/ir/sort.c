/* sort.c - topological order, stable: a node moves only when something it needs stands behind it.
 */
#include <string.h>

#include "base/mem.h"
#include "ir/internal.h"

struct sorter {
    const struct dyno_graph *graph;
    uint32_t *dep_starts; /* by node number; node_count + 1 entries */
    uint32_t *deps;       /* node numbers */
    uint32_t dep_count;
    uint32_t *numbers; /* by node id: place in the list before sorting */
    struct dyno_node **nodes;
    struct dyno_node **order;
    uint32_t *stack;
    uint32_t *cursors; /* by node number: next dependency to look at */
    uint8_t *states;   /* by node number */
};
enum { STATE_NEW, STATE_OPEN, STATE_DONE };

static void add_dep(struct sorter *sorter, const struct dyno_value *value)
{
    if (value == NULL || value->producer == NULL || value->producer->graph != sorter->graph)
        return;
    if (sorter->deps != NULL)
        sorter->deps[sorter->dep_count] = sorter->numbers[value->producer->id];
    sorter->dep_count++;
}

/* What the node and everything inside its regions read from this graph. */
static void add_deps(struct sorter *sorter, const struct dyno_node *node)
{
    for (uint32_t i = 0; i < node->in_count; i++)
        add_dep(sorter, node->ins[i]);
    for (uint32_t i = 0; i < node->region_count; i++) {
        const struct dyno_graph *region = node->regions[i];
        for (const struct dyno_node *in = region->first; in != NULL; in = in->next)
            add_deps(sorter, in);
        for (uint32_t j = 0; j < region->output_count; j++)
            add_dep(sorter, region->outputs[j]);
    }
}

static bool collect(struct sorter *sorter)
{
    const struct dyno_graph *graph = sorter->graph;
    const size_t count = graph->node_count;
    sorter->dep_starts = dyno_alloc(count + 1, sizeof(uint32_t));
    sorter->numbers =
        dyno_alloc((size_t)dyno_graph_top(graph)->node_id_count + 1, sizeof(uint32_t));
    sorter->nodes = dyno_alloc(count + 1, sizeof(struct dyno_node *));
    sorter->order = dyno_alloc(count + 1, sizeof(struct dyno_node *));
    sorter->stack = dyno_alloc(count + 1, sizeof(uint32_t));
    sorter->cursors = dyno_alloc(count + 1, sizeof(uint32_t));
    sorter->states = dyno_alloc(count + 1, 1);
    if (sorter->dep_starts == NULL || sorter->numbers == NULL || sorter->nodes == NULL ||
        sorter->order == NULL || sorter->stack == NULL || sorter->cursors == NULL ||
        sorter->states == NULL)
        return false;
    uint32_t number = 0;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        sorter->nodes[number] = node;
        sorter->numbers[node->id] = number++;
    }
    for (uint32_t i = 0; i < number; i++)
        add_deps(sorter, sorter->nodes[i]);
    sorter->deps = dyno_alloc((size_t)sorter->dep_count + 1, sizeof(uint32_t));
    if (sorter->deps == NULL)
        return false;
    sorter->dep_count = 0;
    for (uint32_t i = 0; i < number; i++) {
        sorter->dep_starts[i] = sorter->dep_count;
        add_deps(sorter, sorter->nodes[i]);
    }
    sorter->dep_starts[number] = sorter->dep_count;
    return true;
}

/* Depth first from `root`: everything it needs goes into the order before it. */
static enum dyno_status place(struct sorter *sorter, uint32_t root, uint32_t *placed,
                              struct dyno_err *err)
{
    uint32_t depth = 0;
    sorter->stack[depth++] = root;
    sorter->states[root] = STATE_OPEN;
    sorter->cursors[root] = sorter->dep_starts[root];
    while (depth > 0) {
        const uint32_t at = sorter->stack[depth - 1];
        if (sorter->cursors[at] == sorter->dep_starts[at + 1]) {
            sorter->states[at] = STATE_DONE;
            sorter->order[(*placed)++] = sorter->nodes[at];
            depth--;
            continue;
        }
        const uint32_t need = sorter->deps[sorter->cursors[at]++];
        if (sorter->states[need] == STATE_OPEN)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "node %s (%s) needs its own result: a cycle",
                             sorter->nodes[need]->name,
                             dyno_ops[sorter->nodes[need]->op]->onnx_name);
        if (sorter->states[need] == STATE_NEW) {
            sorter->states[need] = STATE_OPEN;
            sorter->cursors[need] = sorter->dep_starts[need];
            sorter->stack[depth++] = need;
        }
    }
    return DYNO_OK;
}

static void relink(struct dyno_graph *graph, struct dyno_node *const *order, uint32_t count)
{
    graph->first = count != 0 ? order[0] : NULL;
    graph->last = count != 0 ? order[count - 1] : NULL;
    for (uint32_t i = 0; i < count; i++) {
        order[i]->prev = i != 0 ? order[i - 1] : NULL;
        order[i]->next = i + 1 < count ? order[i + 1] : NULL;
    }
}

enum dyno_status dyno_graph_sort(struct dyno_graph *graph, struct dyno_err *err)
{
    struct sorter sorter = {.graph = graph};
    enum dyno_status status = DYNO_OK;
    uint32_t placed = 0;
    if (!collect(&sorter)) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    for (uint32_t i = 0; i < graph->node_count && status == DYNO_OK; i++) {
        if (sorter.states[i] == STATE_NEW)
            status = place(&sorter, i, &placed, err);
    }
    if (status != DYNO_OK)
        goto out;
    relink(graph, sorter.order, placed);
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->region_count && status == DYNO_OK; i++)
            status = dyno_graph_sort(node->regions[i], err);
    }
out:
    dyno_free(sorter.dep_starts);
    dyno_free(sorter.deps);
    dyno_free(sorter.numbers);
    dyno_free(sorter.nodes);
    dyno_free(sorter.order);
    dyno_free(sorter.stack);
    dyno_free(sorter.cursors);
    dyno_free(sorter.states);
    return status;
}
