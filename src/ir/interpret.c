/* interpret.c - runs a graph op by op by its reference meaning. */
#include "ir/interpret.h"

#include <string.h>

#include "base/mem.h"
#include "ir/interpret_run.h"

#define NOBODY UINT32_MAX

/* --- tensors --- */

enum dyno_status dyno_tensor_room(struct dyno_arena *arena, struct dyno_tensor *to,
                                  struct dyno_err *err)
{
    int64_t count = 0;
    size_t bytes = 0;
    if (!dyno_dims_count(to->dims, to->rank, &count) ||
        !dyno_dtype_bytes(to->dtype, (uint64_t)count, &bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a tensor of this size does not fit into memory");
    to->data = dyno_arena_alloc(arena, bytes, 1);
    return to->data != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

void dyno_interp_set(struct dyno_interp *run, const struct dyno_value *value,
                     const struct dyno_tensor *tensor)
{
    run->tensors[value->id] = *tensor;
    run->present[value->id] = 1;
}

/* The contents of a host value, computed now: inside a loop they may differ each turn. */
static enum dyno_status make_host(struct dyno_interp *run, const struct dyno_value *value,
                                  struct dyno_arena *arena)
{
    const struct dyno_type *type = &value->type;
    struct dyno_tensor tensor = {.dtype = type->dtype, .rank = type->rank};
    for (int i = 0; i < type->rank; i++) {
        if (!dyno_sizes_eval(&run->sizes, type->dims[i], &tensor.dims[i]))
            return DYNO_FAIL(run->err, DYNO_E_ARG, "the size of '%s' follows from no input",
                             value->name);
    }
    DYNO_TRY(dyno_tensor_room(arena, &tensor, run->err));
    DYNO_ASSERT((uint64_t)dyno_tensor_count(&tensor) == type->elem_count);
    for (uint32_t i = 0; i < type->elem_count; i++) {
        int64_t elem = 0;
        if (!dyno_sizes_eval(&run->sizes, type->elems[i], &elem))
            return DYNO_FAIL(run->err, DYNO_E_ARG, "element %u of '%s' follows from no input", i,
                             value->name);
        dyno_elem_store_i64(tensor.dtype, tensor.data, i, elem);
    }
    dyno_interp_set(run, value, &tensor);
    return DYNO_OK;
}

static enum dyno_status read_value(struct dyno_interp *run, const struct dyno_value *value,
                                   struct dyno_arena *arena, const struct dyno_tensor **tensor_out)
{
    *tensor_out = NULL;
    if (value == NULL)
        return DYNO_OK;
    if (value->type.constant != NULL) {
        *tensor_out = value->type.constant;
        return DYNO_OK;
    }
    if (dyno_value_is_host(value))
        DYNO_TRY(make_host(run, value, arena));
    if (run->present[value->id] == 0)
        return DYNO_FAIL(run->err, DYNO_E_UNSUPPORTED, "'%s' was not made", value->name);
    *tensor_out = &run->tensors[value->id];
    return DYNO_OK;
}

/* --- lifetimes --- */

static void note_reader(struct dyno_interp *run, const struct dyno_graph *graph,
                        const struct dyno_value *value, uint32_t reader)
{
    if (value != NULL && value->producer != NULL && value->producer->graph == graph)
        run->last_users[value->producer->id] = reader;
}

/* What `inner` and its regions read from `graph` is read by node `reader`. */
static void note_reads(struct dyno_interp *run, const struct dyno_graph *graph,
                       const struct dyno_node *inner, uint32_t reader)
{
    for (uint32_t i = 0; i < inner->in_count; i++)
        note_reader(run, graph, inner->ins[i], reader);
    for (uint32_t i = 0; i < inner->region_count; i++) {
        const struct dyno_graph *region = inner->regions[i];
        for (const struct dyno_node *node = region->first; node != NULL; node = node->next)
            note_reads(run, graph, node, reader);
        for (uint32_t j = 0; j < region->output_count; j++)
            note_reader(run, graph, region->outputs[j], reader);
    }
}

static void plan_lifetimes(struct dyno_interp *run, const struct dyno_graph *graph)
{
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        run->last_users[node->id] = node->id;
        run->free_heads[node->id] = NOBODY;
        note_reads(run, graph, node, node->id);
    }
    for (uint32_t i = 0; i < graph->output_count; i++)
        note_reader(run, graph, graph->outputs[i], NOBODY);
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        const uint32_t last = run->last_users[node->id];
        if (last == NOBODY)
            continue;
        run->free_nexts[node->id] = run->free_heads[last];
        run->free_heads[last] = node->id;
    }
}

static void release(struct dyno_interp *run, uint32_t node_id)
{
    dyno_arena_destroy(run->arenas[node_id]);
    run->arenas[node_id] = NULL;
}

static void release_after(struct dyno_interp *run, const struct dyno_node *node)
{
    for (uint32_t id = run->free_heads[node->id]; id != NOBODY; id = run->free_nexts[id])
        release(run, id);
}

/* --- nodes --- */

static enum dyno_status compute_node(struct dyno_interp *run, const struct dyno_node *node,
                                     const struct dyno_tensor **ins, struct dyno_tensor *outs,
                                     struct dyno_arena *arena)
{
    const struct dyno_op *op = dyno_ops[node->op];
    for (uint32_t i = 0; i < node->in_count; i++)
        DYNO_TRY(read_value(run, node->ins[i], arena, &ins[i]));
    if ((op->flags & DYNO_OP_REGIONS) != 0)
        DYNO_TRY(dyno_interp_regions(run, node, ins, outs, arena));
    else
        DYNO_TRY(dyno_op_run_reference(op, node->attrs, ins, node->own_in_count, outs,
                                       node->out_count, arena, run->err));
    if (node->tail.instr_count != 0)
        DYNO_TRY(dyno_tail_run_reference(&node->tail, ins, &outs[0], run->err));
    for (uint32_t i = 0; i < node->out_count; i++) {
        const struct dyno_value *value = node->outs[i];
        if (value == NULL)
            continue;
        run->present[value->id] = 0;
        if (outs[i].data == NULL)
            continue;
        DYNO_TRY(dyno_sizes_match(&run->sizes, value, &outs[i], DYNO_BOUND_NODE, run->err));
        dyno_interp_set(run, value, &outs[i]);
    }
    return DYNO_OK;
}

static enum dyno_status run_node(struct dyno_interp *run, const struct dyno_node *node)
{
    release(run, node->id);
    struct dyno_arena *arena = dyno_arena_create();
    run->arenas[node->id] = arena;
    if (arena == NULL)
        return DYNO_NOMEM(run->err);
    const struct dyno_tensor **ins =
        dyno_arena_alloc(arena, (size_t)node->in_count + 1, sizeof(struct dyno_tensor *));
    struct dyno_tensor *outs = dyno_arena_alloc(arena, (size_t)node->out_count + 1, sizeof(*outs));
    if (ins == NULL || outs == NULL)
        return DYNO_NOMEM(run->err);
    const enum dyno_status status = compute_node(run, node, ins, outs, arena);
    if (status != DYNO_OK) {
        dyno_err_prefix(run->err, "node %s (%s)", node->name, dyno_ops[node->op]->onnx_name);
        return status;
    }
    if (run->each != NULL)
        run->each(run->arg, node, outs);
    release_after(run, node);
    return DYNO_OK;
}

enum dyno_status dyno_interp_graph(struct dyno_interp *run, const struct dyno_graph *graph,
                                   struct dyno_tensor *outputs, struct dyno_arena *arena)
{
    plan_lifetimes(run, graph);
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        DYNO_TRY(run_node(run, node));
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const struct dyno_tensor *tensor = NULL;
        DYNO_TRY(read_value(run, graph->outputs[i], arena, &tensor));
        DYNO_TRY(dyno_tensor_copy(arena, tensor, &outputs[i], run->err));
    }
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        release(run, node->id);
    return DYNO_OK;
}

/* --- the whole --- */

static bool init(struct dyno_interp *run, const struct dyno_graph *graph)
{
    const size_t value_count = (size_t)graph->value_id_count + 1;
    const size_t node_count = (size_t)graph->node_id_count + 1;
    run->top = graph;
    run->tensors = dyno_alloc(value_count, sizeof(*run->tensors));
    run->present = dyno_alloc(value_count, 1);
    run->arenas = dyno_alloc(node_count, sizeof(struct dyno_arena *));
    run->last_users = dyno_alloc(node_count, sizeof(uint32_t));
    run->free_heads = dyno_alloc(node_count, sizeof(uint32_t));
    run->free_nexts = dyno_alloc(node_count, sizeof(uint32_t));
    return dyno_sizes_init(&run->sizes, graph->exprs) && run->tensors != NULL &&
           run->present != NULL && run->arenas != NULL && run->last_users != NULL &&
           run->free_heads != NULL && run->free_nexts != NULL;
}

static void fini(struct dyno_interp *run, const struct dyno_graph *graph)
{
    for (uint32_t i = 0; run->arenas != NULL && i < graph->node_id_count; i++)
        dyno_arena_destroy(run->arenas[i]);
    dyno_sizes_fini(&run->sizes);
    dyno_free(run->tensors);
    dyno_free(run->present);
    dyno_free(run->arenas);
    dyno_free(run->last_users);
    dyno_free(run->free_heads);
    dyno_free(run->free_nexts);
}

enum dyno_status dyno_graph_interpret(const struct dyno_graph *graph,
                                      const struct dyno_tensor *const *inputs,
                                      struct dyno_tensor *outputs, struct dyno_arena *arena,
                                      dyno_interpret_each_fn *each, void *arg, struct dyno_err *err)
{
    struct dyno_interp run = {.each = each, .arg = arg, .err = err};
    enum dyno_status status = DYNO_OK;
    DYNO_ASSERT(graph->outer == NULL);
    if (!init(&run, graph)) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    for (uint32_t i = 0; i < graph->input_count && status == DYNO_OK; i++) {
        dyno_interp_set(&run, graph->inputs[i], inputs[i]);
        status = dyno_sizes_match(&run.sizes, graph->inputs[i], inputs[i], DYNO_BOUND_INPUT, err);
    }
    if (status == DYNO_OK)
        status = dyno_interp_graph(&run, graph, outputs, arena);
out:
    fini(&run, graph);
    return status;
}
