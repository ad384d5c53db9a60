/* values.c - values: making them, constants and host values, their uses. */
#include <stdio.h>
#include <string.h>

#include "ir/internal.h"

/* --- uses --- */

void dyno_use_link(struct dyno_use *use, struct dyno_value *value)
{
    use->prev = NULL;
    use->next = NULL;
    if (value == NULL)
        return;
    use->next = value->uses;
    if (value->uses != NULL)
        value->uses->prev = use;
    value->uses = use;
}

void dyno_use_unlink(struct dyno_use *use, struct dyno_value *value)
{
    if (value == NULL)
        return;
    if (use->prev != NULL)
        use->prev->next = use->next;
    else
        value->uses = use->next;
    if (use->next != NULL)
        use->next->prev = use->prev;
    use->prev = NULL;
    use->next = NULL;
}

void dyno_use_move(struct dyno_use *to, struct dyno_use *from, struct dyno_value *value)
{
    *to = *from;
    if (value == NULL)
        return;
    if (to->prev != NULL)
        to->prev->next = to;
    else
        value->uses = to;
    if (to->next != NULL)
        to->next->prev = to;
}

uint32_t dyno_value_use_count(const struct dyno_value *value)
{
    uint32_t count = 0;
    for (const struct dyno_use *use = value->uses; use != NULL; use = use->next)
        count++;
    return count;
}

struct dyno_node *dyno_value_sole_user(const struct dyno_value *value)
{
    const struct dyno_use *use = value->uses;
    if (use == NULL || use->next != NULL || use->user == NULL)
        return NULL;
    if (value->producer != NULL && value->producer->graph != use->user->graph)
        return NULL;
    return use->user;
}

bool dyno_value_is_output(const struct dyno_value *value)
{
    for (const struct dyno_use *use = value->uses; use != NULL; use = use->next) {
        if (use->user == NULL)
            return true;
    }
    return false;
}

bool dyno_value_dim(const struct dyno_graph *graph, const struct dyno_value *value, int axis,
                    int64_t *size_out)
{
    if (axis < 0 || axis >= value->type.rank)
        return false;
    return dyno_expr_is_const(graph->exprs, value->type.dims[axis], size_out);
}

/* --- making --- */

/* The id that the next value gets, counted once for a graph and all its regions. */
static uint32_t next_id(struct dyno_graph *graph)
{
    struct dyno_graph *top = graph;
    while (top->outer != NULL)
        top = top->outer;
    const uint32_t id = top->value_id_count;
    for (struct dyno_graph *at = graph; at != NULL; at = at->outer)
        at->value_id_count = id + 1;
    return id;
}

struct dyno_value *dyno_graph_value(struct dyno_graph *graph, const char *name)
{
    char made_up[16];
    if (name == NULL) {
        (void)snprintf(made_up, sizeof(made_up), "v%u", dyno_graph_top(graph)->value_id_count);
        name = made_up;
    }
    struct dyno_value *value = dyno_arena_alloc(graph->arena, 1, sizeof(*value));
    if (value == NULL)
        return NULL;
    value->type.rank = -1;
    value->name = dyno_names_add(graph->names, DYNO_NAME_VALUE, name, value, graph);
    if (value->name == NULL)
        return NULL;
    value->id = next_id(graph);
    return value;
}

void dyno_value_forget(struct dyno_graph *graph, struct dyno_value *value)
{
    dyno_names_remove(graph->names, DYNO_NAME_VALUE, value->name, value);
}

/* Contents as expressions, for integer and bool tensors that are not too large. */
static bool derive_elems(struct dyno_graph *graph, struct dyno_type *type)
{
    const struct dyno_tensor *tensor = type->constant;
    const int64_t count = dyno_tensor_count(tensor);
    const bool fits = dyno_dtype_is_int(tensor->dtype) || tensor->dtype == DYNO_BOOL;
    if (!fits || tensor->dtype == DYNO_U64 || count > DYNO_ELEMS_MAX)
        return true;
    dyno_expr *elems = dyno_arena_alloc(graph->arena, (size_t)count, sizeof(*elems));
    if (elems == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        const int64_t elem = dyno_elem_load_i64(tensor->dtype, tensor->data, (size_t)i);
        elems[i] = dyno_expr_const(graph->exprs, elem);
        if (elems[i] == DYNO_EXPR_NONE)
            return false;
    }
    type->elems = elems;
    type->elem_count = (uint32_t)count;
    return true;
}

/* The type of a constant, without its elems. */
static bool constant_type(struct dyno_graph *graph, const struct dyno_tensor *tensor,
                          struct dyno_type *type_out)
{
    DYNO_ASSERT(tensor->rank >= 0 && tensor->rank <= DYNO_RANK_MAX);
    struct dyno_type type = {
        .kind = DYNO_TYPE_TENSOR, .dtype = tensor->dtype, .rank = tensor->rank};
    for (int i = 0; i < tensor->rank; i++) {
        type.dims[i] = dyno_expr_const(graph->exprs, tensor->dims[i]);
        if (type.dims[i] == DYNO_EXPR_NONE)
            return false;
    }
    type.constant = dyno_arena_memdup(graph->arena, tensor, sizeof(*tensor));
    *type_out = type;
    return type.constant != NULL;
}

struct dyno_value *dyno_graph_constant(struct dyno_graph *graph, const char *name,
                                       const struct dyno_tensor *tensor)
{
    struct dyno_type type;
    if (!constant_type(graph, tensor, &type) || !derive_elems(graph, &type))
        return NULL;
    struct dyno_value *value = dyno_graph_value(graph, name);
    if (value != NULL)
        value->type = type;
    return value;
}

struct dyno_value *dyno_graph_constant_new(struct dyno_graph *graph, const char *name,
                                           enum dyno_dtype dtype, int rank, const int64_t *dims,
                                           void **data_out)
{
    struct dyno_tensor tensor = {.dtype = dtype, .rank = rank};
    int64_t count = 0;
    size_t bytes = 0;
    *data_out = NULL;
    if (rank < 0 || rank > DYNO_RANK_MAX || !dyno_dims_count(dims, rank, &count) ||
        !dyno_dtype_bytes(dtype, (uint64_t)count, &bytes))
        return NULL;
    for (int i = 0; i < rank; i++)
        tensor.dims[i] = dims[i];
    tensor.data = dyno_arena_alloc(graph->arena, bytes, 1);
    struct dyno_type type;
    if (tensor.data == NULL || !constant_type(graph, &tensor, &type))
        return NULL;
    struct dyno_value *value = dyno_graph_value(graph, name);
    if (value == NULL)
        return NULL;
    value->type = type;
    *data_out = tensor.data;
    return value;
}

bool dyno_graph_constant_done(struct dyno_graph *graph, struct dyno_value *value)
{
    DYNO_ASSERT(value->type.constant != NULL);
    return derive_elems(graph, &value->type);
}

struct dyno_value *dyno_graph_host(struct dyno_graph *graph, const char *name,
                                   const dyno_expr *elems, uint32_t count, bool rank_is_0)
{
    DYNO_ASSERT(count <= DYNO_ELEMS_MAX && (!rank_is_0 || count == 1));
    struct dyno_type type = {.kind = DYNO_TYPE_TENSOR,
                             .dtype = DYNO_I64,
                             .rank = rank_is_0 ? 0 : 1,
                             .elem_count = count};
    type.dims[0] = dyno_expr_const(graph->exprs, count);
    dyno_expr *copy = dyno_arena_memdup(graph->arena, elems, count * sizeof(*elems));
    type.elems = copy;
    struct dyno_value *value = dyno_graph_value(graph, name);
    if (copy == NULL || type.dims[0] == DYNO_EXPR_NONE || value == NULL)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        DYNO_ASSERT(elems[i] != DYNO_EXPR_NONE);
    value->type = type;
    return value;
}

/* --- surgery --- */

static void lose_producer(struct dyno_value *value)
{
    if (value->producer != NULL)
        value->producer->outs[value->producer_out_idx] = NULL;
    value->producer = NULL;
    value->producer_out_idx = 0;
}

bool dyno_value_make_constant(struct dyno_graph *graph, struct dyno_value *value,
                              const struct dyno_tensor *tensor)
{
    DYNO_ASSERT(!dyno_value_is_output(value));
    struct dyno_type type;
    if (!constant_type(graph, tensor, &type) || !derive_elems(graph, &type))
        return false;
    lose_producer(value);
    value->type = type;
    return true;
}

void dyno_value_make_host(struct dyno_value *value)
{
    DYNO_ASSERT(!dyno_value_is_output(value) && value->type.elems != NULL);
    lose_producer(value);
}

/* Make the use read `with`. */
static void redirect(struct dyno_use *use, struct dyno_value *with)
{
    if (use->user != NULL)
        dyno_node_set_in(use->user, use->idx, with);
    else
        dyno_graph_set_output(use->graph, use->idx, with);
}

void dyno_value_replace(struct dyno_value *old, struct dyno_value *with)
{
    if (old == with)
        return;
    while (old->uses != NULL)
        redirect(old->uses, with);
}

bool dyno_value_forward(struct dyno_value *old, struct dyno_value *with)
{
    DYNO_ASSERT(old != with);
    if (!dyno_value_is_output(old)) {
        dyno_value_replace(old, with);
        return true;
    }
    struct dyno_node *producer = with->producer;
    if (producer == NULL || dyno_value_is_output(with) || old->producer == NULL ||
        producer->graph != old->producer->graph)
        return false;
    const uint32_t idx = with->producer_out_idx;
    /* Its old producer may come later than users of `with`; it keeps reading `with` itself. */
    struct dyno_type type = with->type;
    lose_producer(old);
    producer->outs[idx] = NULL;
    with->producer = NULL;
    dyno_value_replace(with, old);
    old->producer = producer;
    old->producer_out_idx = idx;
    old->type = type;
    producer->outs[idx] = old;
    dyno_value_forget(producer->graph, with);
    return true;
}
