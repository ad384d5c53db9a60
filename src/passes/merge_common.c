/* merge_common.c - what is computed twice is computed once; so are constants kept. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "passes/clean.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_merge_common;

/* A hash table of nodes or values; the pointers are compared by the caller. */
struct table {
    void **at;
    size_t slot_count; /* a power of two */
};

static bool table_init(struct table *table, size_t item_count)
{
    table->slot_count = 16;
    while (table->slot_count < item_count * 2)
        table->slot_count *= 2;
    table->at = dyno_alloc(table->slot_count, sizeof(void *));
    return table->at != NULL;
}

/* The item that equals this one; NULL and entered when it is the first. */
static void *table_meet(struct table *table, uint64_t hash, void *item,
                        bool (*equal)(const void *a, const void *b))
{
    const size_t mask = table->slot_count - 1;
    size_t i = (size_t)hash & mask;
    for (; table->at[i] != NULL; i = (i + 1) & mask) {
        if (table->at[i] == item)
            return NULL;
        if (equal(table->at[i], item))
            return table->at[i];
    }
    table->at[i] = item;
    return NULL;
}

/* --- constants and host values --- */

/* Large constants are told apart by their ends; equal hashes are compared whole. */
#define SAMPLE_BYTES ((size_t)512)

static uint64_t value_hash(const struct dyno_value *value)
{
    const struct dyno_type *type = &value->type;
    const struct dyno_tensor *tensor = type->constant;
    uint64_t hash = (uint64_t)type->dtype * 64 + (uint64_t)type->rank;
    if (tensor == NULL)
        return dyno_hash64(hash, type->elems, type->elem_count * sizeof(*type->elems));
    size_t bytes = 0;
    if (tensor->dtype == DYNO_STR ||
        !dyno_dtype_bytes(tensor->dtype, (uint64_t)dyno_tensor_count(tensor), &bytes))
        return hash;
    hash = dyno_hash64(hash, tensor->dims, (size_t)tensor->rank * sizeof(int64_t));
    const size_t sample = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
    hash = dyno_hash64(hash, tensor->data, sample);
    return dyno_hash64(hash, (const char *)tensor->data + bytes - sample, sample);
}

static bool value_equal(const void *first, const void *second)
{
    const struct dyno_type *a = &((const struct dyno_value *)first)->type;
    const struct dyno_type *b = &((const struct dyno_value *)second)->type;
    if ((a->constant == NULL) != (b->constant == NULL))
        return false;
    if (a->constant != NULL)
        return dyno_tensors_equal(a->constant, b->constant);
    if (a->dtype != b->dtype || a->rank != b->rank || a->elem_count != b->elem_count)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i])
            return false;
    }
    return memcmp(a->elems, b->elems, a->elem_count * sizeof(*a->elems)) == 0;
}

static size_t input_count(const struct dyno_graph *graph)
{
    size_t count = 0;
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        count += node->in_count;
    return count;
}

/* The nodes of this graph read the first of equal constants. */
static enum dyno_status merge_free_values(struct dyno_graph *graph, bool *changed_out,
                                          struct dyno_err *err)
{
    struct table table;
    if (!table_init(&table, input_count(graph)))
        return DYNO_NOMEM(err);
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->in_count; i++) {
            struct dyno_value *value = node->ins[i];
            if (value == NULL || (value->type.constant == NULL && !dyno_value_is_host(value)))
                continue;
            struct dyno_value *same = table_meet(&table, value_hash(value), value, value_equal);
            if (same == NULL)
                continue;
            dyno_node_set_in(node, i, same);
            *changed_out = true;
        }
    }
    dyno_free(table.at);
    return DYNO_OK;
}

/* --- nodes --- */

static bool may_merge(const struct dyno_node *node)
{
    return (dyno_ops[node->op]->flags & (DYNO_OP_RANDOM | DYNO_OP_REGIONS)) == 0 &&
           node->tail.instr_count == 0;
}

static uint32_t id_of(const struct dyno_node *node, uint32_t idx)
{
    return node->ins[idx] != NULL ? node->ins[idx]->id : UINT32_MAX;
}

static bool swaps(const struct dyno_node *node)
{
    return (dyno_ops[node->op]->flags & DYNO_OP_COMMUTES) != 0 && node->in_count >= 2 &&
           id_of(node, 0) > id_of(node, 1);
}

/* Which input stands at place `idx` when the first two are put in order. */
static uint32_t place(bool swapped, uint32_t idx)
{
    return swapped && idx < 2 ? 1 - idx : idx;
}

static uint64_t node_hash(const struct dyno_node *node)
{
    const uint32_t head[3] = {(uint32_t)node->op, node->in_count, node->out_count};
    const bool swapped = swaps(node);
    uint64_t hash = dyno_hash64(dyno_node_attrs_hash(node), head, sizeof(head));
    for (uint32_t i = 0; i < node->in_count; i++) {
        const uint32_t id = id_of(node, place(swapped, i));
        hash = dyno_hash64(hash, &id, sizeof(id));
    }
    return hash;
}

static bool node_equal(const void *first, const void *second)
{
    const struct dyno_node *a = first;
    const struct dyno_node *b = second;
    if (a->op != b->op || a->in_count != b->in_count || a->out_count != b->out_count)
        return false;
    const bool a_swapped = swaps(a);
    const bool b_swapped = swaps(b);
    for (uint32_t i = 0; i < a->in_count; i++) {
        if (a->ins[place(a_swapped, i)] != b->ins[place(b_swapped, i)])
            return false;
    }
    for (uint32_t i = 0; i < a->out_count; i++) {
        const struct dyno_value *x = a->outs[i];
        const struct dyno_value *y = b->outs[i];
        /* Both names would have to stay. */
        if ((x == NULL) != (y == NULL) ||
            (x != NULL && dyno_value_is_output(x) && dyno_value_is_output(y)))
            return false;
    }
    return dyno_node_attrs_equal(a, b);
}

static enum dyno_status merge_nodes(struct dyno_graph *graph, bool *changed_out,
                                    struct dyno_err *err)
{
    struct table table;
    enum dyno_status status = DYNO_OK;
    if (!table_init(&table, graph->node_count))
        return DYNO_NOMEM(err);
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        struct dyno_node *same =
            may_merge(node) ? table_meet(&table, node_hash(node), node, node_equal) : NULL;
        if (same == NULL)
            continue;
        if (!dyno_node_add_origins(same, node)) {
            status = DYNO_NOMEM(err);
            break;
        }
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->outs[i] != NULL)
                (void)dyno_value_forward(node->outs[i], same->outs[i]);
        }
        dyno_node_remove(node);
        *changed_out = true;
    }
    dyno_free(table.at);
    return status;
}

static enum dyno_status merge_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                 struct dyno_err *err)
{
    (void)arg;
    DYNO_TRY(merge_free_values(graph, changed_out, err));
    return merge_nodes(graph, changed_out, err);
}

enum dyno_status dyno_pass_merge_common(struct dyno_graph *graph, bool *changed_out,
                                        struct dyno_err *err)
{
    return dyno_clean_each(graph, merge_in, NULL, changed_out, err);
}
