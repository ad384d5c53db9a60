/* infer_regions.c - types of If, Loop and Scan: from the types inside their regions. */
#include "ir/internal.h"

static dyno_expr open_size(struct dyno_graph *graph)
{
    return dyno_expr_fresh(graph->exprs, 0, INT64_MAX);
}

/* A symbol that some rule made up: "?3". */
static bool is_made_up(const struct dyno_exprs *exprs, dyno_expr e)
{
    int64_t min = 0;
    int64_t max = 0;
    if (e == DYNO_EXPR_NONE)
        return false;
    const struct dyno_expr_node node = dyno_exprs_node(exprs, e);
    return node.op == DYNO_EXPR_SYMBOL &&
           dyno_exprs_symbol(exprs, (size_t)node.value, &min, &max)[0] == '?';
}

/* The shape alone: what flows round a loop has no fixed contents. */
static struct dyno_type shape_of(const struct dyno_type *type)
{
    struct dyno_type shape = *type;
    shape.elems = NULL;
    shape.elem_count = 0;
    shape.constant = NULL;
    return shape;
}

/* --- If --- */

static enum dyno_status infer_if(struct dyno_node *node, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    if (node->region_count != 2 || node->ins[0] == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "wants a condition and two branches, has %u branches",
                         node->region_count);
    const struct dyno_graph *const branches[2] = {node->regions[0], node->regions[1]};
    for (int i = 0; i < 2; i++) {
        DYNO_TRY(dyno_graph_infer(node->regions[i], err));
        if (branches[i]->input_count != 0 || branches[i]->output_count != node->out_count)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "branch %d gives %u values, the node %u", i,
                             branches[i]->output_count, node->out_count);
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        struct dyno_type type = shape_of(&branches[0]->outputs[i]->type);
        const struct dyno_type *other = &branches[1]->outputs[i]->type;
        if (type.dtype != other->dtype || type.kind != other->kind)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "output %u is %s in one branch, %s in the other",
                             i, dyno_dtype_text(type.dtype), dyno_dtype_text(other->dtype));
        const size_t before = dyno_exprs_count(graph->exprs);
        if (type.rank != other->rank)
            type.rank = -1;
        for (int axis = 0; axis < type.rank; axis++) {
            if (type.dims[axis] != other->dims[axis])
                type.dims[axis] = open_size(graph);
        }
        if (node->outs[i] != NULL)
            DYNO_TRY(dyno_value_set_type(graph, node->outs[i], type, before, err));
    }
    return DYNO_OK;
}

/* --- what is carried round Loop and Scan --- */

/* Start: the type of the initial value, but what an earlier inference found open stays open. */
static void start_carried(struct dyno_graph *graph, struct dyno_value *inside,
                          const struct dyno_value *initial)
{
    struct dyno_type type = shape_of(&initial->type);
    const struct dyno_type *old = &inside->type;
    for (int axis = 0; axis < type.rank && old->rank == type.rank; axis++) {
        if (is_made_up(graph->exprs, old->dims[axis]))
            type.dims[axis] = old->dims[axis];
    }
    inside->type = type;
}

/* Open what differs after one turn; *changed_out when the body must be inferred again. */
static enum dyno_status widen(struct dyno_graph *graph, struct dyno_value *inside,
                              const struct dyno_value *after, uint32_t idx, bool *changed_out,
                              struct dyno_err *err)
{
    struct dyno_type *type = &inside->type;
    if (type->dtype != after->type.dtype || type->kind != after->type.kind)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "carried value %u enters as %s and leaves as %s", idx,
                         dyno_dtype_text(type->dtype), dyno_dtype_text(after->type.dtype));
    if (type->rank == -1)
        return DYNO_OK;
    if (type->rank != after->type.rank) {
        type->rank = -1;
        *changed_out = true;
        return DYNO_OK;
    }
    for (int axis = 0; axis < type->rank; axis++) {
        if (type->dims[axis] == after->type.dims[axis] ||
            is_made_up(graph->exprs, type->dims[axis]))
            continue;
        type->dims[axis] = open_size(graph);
        if (type->dims[axis] == DYNO_EXPR_NONE)
            return DYNO_NOMEM(err);
        *changed_out = true;
    }
    return DYNO_OK;
}

/* What a turn with too narrow types found must not be kept for the next. */
static void forget_types(struct dyno_graph *body)
{
    for (struct dyno_node *node = body->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->outs[i] != NULL)
                node->outs[i]->type = (struct dyno_type){.rank = -1};
        }
        for (uint32_t i = 0; i < node->region_count; i++)
            forget_types(node->regions[i]);
    }
}

/* Infer the body until the carried values enter and leave alike.  Each turn opens at least one size
 * or rank for good, so that it ends. */
static enum dyno_status settle(struct dyno_graph *body, uint32_t first_in, uint32_t first_out,
                               uint32_t count, struct dyno_err *err)
{
    bool changed = true;
    while (changed) {
        changed = false;
        DYNO_TRY(dyno_graph_infer(body, err));
        for (uint32_t i = 0; i < count; i++)
            DYNO_TRY(widen(body, body->inputs[first_in + i], body->outputs[first_out + i], i,
                           &changed, err));
        if (changed)
            forget_types(body);
    }
    return DYNO_OK;
}

/* The last value of a carried one: as it entered, but an open size is another open size. */
static enum dyno_status set_carried(struct dyno_node *node, uint32_t idx,
                                    const struct dyno_value *inside,
                                    const struct dyno_value *initial, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    struct dyno_type type = shape_of(&inside->type);
    const size_t before = dyno_exprs_count(graph->exprs);
    for (int axis = 0; axis < type.rank; axis++) {
        if (initial->type.rank != type.rank || type.dims[axis] != initial->type.dims[axis])
            type.dims[axis] = open_size(graph);
    }
    return node->outs[idx] != NULL ? dyno_value_set_type(graph, node->outs[idx], type, before, err)
                                   : DYNO_OK;
}

/* Stacked values: `length` put at `axis` (of the result); other open sizes may differ a turn. */
static enum dyno_status set_stacked(struct dyno_node *node, uint32_t idx,
                                    const struct dyno_value *item, int64_t axis, dyno_expr length,
                                    struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    const size_t before = dyno_exprs_count(graph->exprs);
    struct dyno_type type = shape_of(&item->type);
    if (length == DYNO_EXPR_NONE)
        length = open_size(graph);
    if (type.rank >= 0) {
        const int rank = type.rank + 1;
        if (rank > DYNO_RANK_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "output %u has rank %d, at most %d is supported",
                             idx, rank, DYNO_RANK_MAX);
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "scan axis of output %u is outside its rank %d",
                             idx, rank);
        type.rank = rank;
        for (int i = 0, from = 0; i < rank; i++) {
            int64_t size = 0;
            if (i == axis)
                type.dims[i] = length;
            else if (dyno_expr_is_const(graph->exprs, item->type.dims[from++], &size))
                type.dims[i] = item->type.dims[from - 1];
            else
                type.dims[i] = open_size(graph);
        }
    }
    return node->outs[idx] != NULL ? dyno_value_set_type(graph, node->outs[idx], type, before, err)
                                   : DYNO_OK;
}

/* --- Loop --- */

static enum dyno_status infer_loop(struct dyno_node *node, struct dyno_err *err)
{
    if (node->region_count != 1 || node->own_in_count < 2)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "wants a body, a count and a condition");
    struct dyno_graph *body = node->regions[0];
    const uint32_t carried = node->own_in_count - 2;
    if (body->input_count != carried + 2 || body->output_count < carried + 1 ||
        node->out_count != body->output_count - 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "carries %u values, but its body has %u inputs and %u outputs", carried,
                         body->input_count, body->output_count);
    body->inputs[0]->type = (struct dyno_type){.kind = DYNO_TYPE_TENSOR, .dtype = DYNO_I64};
    body->inputs[1]->type = (struct dyno_type){.kind = DYNO_TYPE_TENSOR, .dtype = DYNO_BOOL};
    for (uint32_t i = 0; i < carried; i++) {
        if (node->ins[2 + i] == NULL)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "carried value %u has no start", i);
        start_carried(node->graph, body->inputs[2 + i], node->ins[2 + i]);
    }
    DYNO_TRY(settle(body, 2, 1, carried, err));
    for (uint32_t i = 0; i < carried; i++)
        DYNO_TRY(set_carried(node, i, body->inputs[2 + i], node->ins[2 + i], err));
    for (uint32_t i = carried; i < node->out_count; i++)
        DYNO_TRY(set_stacked(node, i, body->outputs[1 + i], 0, DYNO_EXPR_NONE, err));
    return DYNO_OK;
}

/* --- Scan --- */

int64_t dyno_scan_axis(const struct dyno_node *node, const char *attr, uint32_t idx)
{
    const struct dyno_i64s *axes = dyno_node_attr(node, attr, DYNO_ATTR_I64S);
    return axes != NULL && idx < axes->count ? axes->at[idx] : 0;
}

uint32_t dyno_scan_state_count(const struct dyno_node *node)
{
    const int64_t *scanned = dyno_node_attr(node, "num_scan_inputs", DYNO_ATTR_I64);
    if (scanned == NULL || *scanned < 1 || *scanned > node->own_in_count)
        return UINT32_MAX;
    return node->own_in_count - (uint32_t)*scanned;
}

/* The slices of a scanned input; *length_out is the number of turns. */
static enum dyno_status set_slice(struct dyno_node *node, uint32_t idx, struct dyno_value *inside,
                                  dyno_expr *length_out, struct dyno_err *err)
{
    const struct dyno_value *whole = node->ins[idx];
    int64_t axis = dyno_scan_axis(node, "scan_input_axes", idx - dyno_scan_state_count(node));
    struct dyno_type type = shape_of(&whole->type);
    if (type.rank >= 0) {
        axis += axis < 0 ? type.rank : 0;
        if (axis < 0 || axis >= type.rank)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "scan axis of input %u is outside its rank %d",
                             idx, type.rank);
        *length_out = type.dims[axis];
        for (int64_t i = axis; i + 1 < type.rank; i++)
            type.dims[i] = type.dims[i + 1];
        type.rank--;
    }
    inside->type = type;
    return DYNO_OK;
}

static enum dyno_status infer_scan(struct dyno_node *node, struct dyno_err *err)
{
    const uint32_t states = dyno_scan_state_count(node);
    if (node->region_count != 1 || states == UINT32_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "wants a body and 1 to %u scanned inputs",
                         node->own_in_count);
    struct dyno_graph *body = node->regions[0];
    if (body->input_count != node->own_in_count || body->output_count != node->out_count ||
        body->output_count < states)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "has %u inputs and %u outputs, but its body %u and %u",
                         node->own_in_count, node->out_count, body->input_count,
                         body->output_count);
    dyno_expr length = DYNO_EXPR_NONE;
    for (uint32_t i = 0; i < node->own_in_count; i++) {
        if (node->ins[i] == NULL)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "input %u is absent, but not optional", i);
        if (i < states)
            start_carried(node->graph, body->inputs[i], node->ins[i]);
        else
            DYNO_TRY(set_slice(node, i, body->inputs[i], &length, err));
    }
    DYNO_TRY(settle(body, 0, 0, states, err));
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (i < states)
            DYNO_TRY(set_carried(node, i, body->inputs[i], node->ins[i], err));
        else
            DYNO_TRY(set_stacked(node, i, body->outputs[i],
                                 dyno_scan_axis(node, "scan_output_axes", i - states), length,
                                 err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_infer_regions(struct dyno_node *node, struct dyno_err *err)
{
    if (dyno_op_is(node, "If"))
        return infer_if(node, err);
    if (dyno_op_is(node, "Loop"))
        return infer_loop(node, err);
    if (dyno_op_is(node, "Scan"))
        return infer_scan(node, err);
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "no type rule for the regions of this op");
}
