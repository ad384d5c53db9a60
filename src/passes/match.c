/* match.c - see match.h. */
#include "passes/match.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- asking --- */

struct dyno_node *dyno_match_any(const struct dyno_node *user, uint32_t idx)
{
    if (user == NULL || idx >= user->in_count || user->ins[idx] == NULL)
        return NULL;
    struct dyno_node *producer = user->ins[idx]->producer;
    if (producer == NULL || producer->graph != user->graph ||
        user->ins[idx]->producer_out_idx != 0 || producer->tail.instr_count != 0)
        return NULL;
    return producer;
}

struct dyno_node *dyno_match_in(const struct dyno_node *user, uint32_t idx, enum dyno_op_id op)
{
    struct dyno_node *producer = dyno_match_any(user, idx);
    return producer != NULL && producer->op == op ? producer : NULL;
}

bool dyno_match_f32(const struct dyno_node *node, enum dyno_op_id op)
{
    if (node == NULL || node->op != op || node->tail.instr_count != 0 || node->out_count == 0 ||
        node->outs[0] == NULL || node->outs[0]->type.dtype != DYNO_F32)
        return false;
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (node->ins[i] != NULL && node->ins[i]->type.dtype != DYNO_F32)
            return false;
    }
    return true;
}

bool dyno_match_scalar(const struct dyno_value *value, double *scalar_out)
{
    const struct dyno_tensor *tensor = dyno_value_constant(value);
    if (tensor == NULL || !dyno_dtype_is_float(tensor->dtype) || dyno_tensor_count(tensor) != 1)
        return false;
    *scalar_out = dyno_elem_load_f64(tensor->dtype, tensor->data, 0);
    return true;
}

struct dyno_value *dyno_match_beside_scalar(const struct dyno_node *node, double *scalar_out)
{
    if (node->in_count != 2 || node->ins[0] == NULL || node->ins[1] == NULL)
        return NULL;
    if (dyno_match_scalar(node->ins[1], scalar_out))
        return node->ins[0];
    const bool commutes = (dyno_ops[node->op]->flags & DYNO_OP_COMMUTES) != 0;
    if (commutes && dyno_match_scalar(node->ins[0], scalar_out))
        return node->ins[1];
    return NULL;
}

struct dyno_value *dyno_match_beside(const struct dyno_node *node, const struct dyno_value *value)
{
    if (node->in_count != 2 || node->ins[0] == NULL || node->ins[1] == NULL)
        return NULL;
    if (node->ins[0] == value)
        return node->ins[1];
    return node->ins[1] == value ? node->ins[0] : NULL;
}

bool dyno_match_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b);
}

bool dyno_match_same_type(const struct dyno_value *a, const struct dyno_value *b)
{
    if (a->type.kind != b->type.kind || a->type.dtype != b->type.dtype ||
        a->type.rank != b->type.rank || a->type.rank < 0)
        return false;
    for (int i = 0; i < a->type.rank; i++) {
        if (a->type.dims[i] != b->type.dims[i] || a->type.dims[i] == DYNO_EXPR_NONE)
            return false;
    }
    return true;
}

bool dyno_match_broadcasts(const struct dyno_graph *graph, const struct dyno_value *value,
                           const struct dyno_value *to)
{
    const int lead = to->type.rank - value->type.rank;
    if (value->type.dtype != DYNO_F32 || value->type.rank < 0 || lead < 0)
        return false;
    for (int i = 0; i < value->type.rank; i++) {
        int64_t size = 0;
        if (value->type.dims[i] != to->type.dims[i + lead] &&
            !(dyno_value_dim(graph, value, i, &size) && size == 1))
            return false;
    }
    return true;
}

bool dyno_match_channel(const struct dyno_graph *graph, const struct dyno_value *value,
                        const struct dyno_value *like, int axis, double *out, int64_t count)
{
    const struct dyno_tensor *tensor = dyno_value_constant(value);
    if (tensor == NULL || tensor->dtype != DYNO_F32 || !dyno_match_broadcasts(graph, value, like))
        return false;
    const int own_axis = axis - (like->type.rank - tensor->rank);
    for (int i = 0; i < tensor->rank; i++) {
        if (i != own_axis && tensor->dims[i] != 1)
            return false;
    }
    const bool varies = own_axis >= 0 && tensor->dims[own_axis] != 1;
    if (varies && tensor->dims[own_axis] != count)
        return false;
    for (int64_t i = 0; i < count; i++)
        out[i] = dyno_elem_load_f64(DYNO_F32, tensor->data, varies ? (size_t)i : 0);
    return true;
}

const void *dyno_match_attr(const struct dyno_node *node, const char *name,
                            enum dyno_attr_kind kind)
{
    const struct dyno_op *op = dyno_ops[node->op];
    for (size_t i = 0; i < op->attr_count; i++) {
        if (op->attrs[i].kind == kind && strcmp(op->attrs[i].name, name) == 0)
            return (const char *)node->attrs + op->attrs[i].offset_bytes;
    }
    return NULL;
}

int64_t dyno_match_attr_i64(const struct dyno_node *node, const char *name, int64_t otherwise)
{
    const int64_t *value = dyno_match_attr(node, name, DYNO_ATTR_I64);
    return value != NULL ? *value : otherwise;
}

bool dyno_match_attr_is(const struct dyno_node *node, const char *name, const char *text)
{
    const struct dyno_op *op = dyno_ops[node->op];
    const int32_t *value = dyno_match_attr(node, name, DYNO_ATTR_ENUM);
    for (size_t i = 0; i < op->attr_count && value != NULL; i++) {
        if (op->attrs[i].kind == DYNO_ATTR_ENUM && strcmp(op->attrs[i].name, name) == 0)
            return strcmp(op->attrs[i].names[*value], text) == 0;
    }
    return false;
}

bool dyno_match_perm(const struct dyno_node *node, const int64_t *perm, uint32_t rank)
{
    if (node == NULL || node->op != DYNO_OP_transpose)
        return false;
    const struct dyno_i64s *own = dyno_match_attr(node, "perm", DYNO_ATTR_I64S);
    return own != NULL && own->at != NULL && own->count == rank &&
           memcmp(own->at, perm, rank * sizeof(*perm)) == 0;
}

bool dyno_match_ints(const struct dyno_graph *graph, const struct dyno_value *value,
                     int64_t *values_out, uint32_t max, uint32_t *count_out)
{
    *count_out = 0;
    if (value == NULL)
        return true;
    if (value->type.elems == NULL || value->type.elem_count > max)
        return false;
    for (uint32_t i = 0; i < value->type.elem_count; i++) {
        if (!dyno_expr_is_const(graph->exprs, value->type.elems[i], &values_out[i]))
            return false;
    }
    *count_out = value->type.elem_count;
    return true;
}

/* --- changing --- */

void dyno_match_add(struct dyno_match *match, struct dyno_node *node)
{
    if (node == NULL || match->count == DYNO_MATCH_NODES_MAX)
        return;
    for (uint32_t i = 0; i < match->count; i++) {
        if (match->at[i] == node)
            return;
    }
    match->at[match->count++] = node;
}

struct dyno_node *dyno_match_next(const struct dyno_node *node, const struct dyno_match *match)
{
    struct dyno_node *next = node->next;
    for (uint32_t i = 0; i < match->count && next != NULL; i++) {
        if (match->at[i] == next) {
            next = next->next;
            i = UINT32_MAX; /* from the start again */
        }
    }
    return next;
}

bool dyno_fuse_become(struct dyno_node *node, enum dyno_op_id op, struct dyno_value *const *ins,
                      uint32_t in_count)
{
    void *attrs = dyno_op_attrs_create(dyno_ops[op], node->graph->arena);
    if (attrs == NULL)
        return false;
    /* The new inputs come before the old ones go: a failure leaves a node that verifies. */
    const uint32_t old_count = node->in_count;
    for (uint32_t i = old_count; i < in_count; i++) {
        if (dyno_node_add_in(node, ins[i]) == UINT32_MAX)
            return false;
    }
    for (uint32_t i = 0; i < in_count && i < old_count; i++)
        dyno_node_set_in(node, i, ins[i]);
    dyno_node_truncate_ins(node, in_count);
    node->own_in_count = in_count;
    node->op = op;
    node->attrs = attrs;
    node->tail.instr_count = 0;
    return true;
}

static bool is_unused(const struct dyno_node *node)
{
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->outs[i] != NULL && node->outs[i]->uses != NULL)
            return false;
    }
    return true;
}

bool dyno_fuse_absorb(struct dyno_node *node, const struct dyno_match *match)
{
    bool gone[DYNO_MATCH_NODES_MAX] = {false};
    bool again = true;
    while (again) {
        again = false;
        for (uint32_t i = 0; i < match->count; i++) {
            if (gone[i] || !is_unused(match->at[i]))
                continue;
            if (!dyno_node_add_origins(node, match->at[i]))
                return false;
            dyno_node_remove(match->at[i]);
            gone[i] = true;
            again = true;
        }
    }
    return true;
}

bool dyno_fuse_take_over(struct dyno_node *node, struct dyno_node *from)
{
    struct dyno_value *value = from->outs[0];
    if (!dyno_node_add_origins(node, from))
        return false;
    from->outs[0] = NULL;
    value->producer = NULL;
    dyno_node_remove(from);
    dyno_node_set_out(node, 0, value);
    return true;
}

struct dyno_node *dyno_fuse_append(struct dyno_node *node, enum dyno_op_id op,
                                   struct dyno_value *second)
{
    struct dyno_value *value = node->outs[0];
    struct dyno_value *fresh = dyno_graph_value(node->graph, NULL);
    if (fresh == NULL)
        return NULL;
    struct dyno_value *ins[2] = {fresh, second};
    struct dyno_node *behind =
        dyno_graph_node(node->graph, op, node->name, ins, 2, 1, node->next, node);
    if (behind == NULL)
        return NULL;
    dyno_node_set_out(behind, 0, value);
    dyno_node_set_out(node, 0, fresh);
    return behind;
}

void dyno_tail_instr_order(struct dyno_tail_instr *instr)
{
    const struct dyno_operand first = instr->operands[0];
    if ((instr->op != DYNO_PW_add && instr->op != DYNO_PW_mul) || first.kind == DYNO_OPERAND_REG ||
        instr->operands[1].kind != DYNO_OPERAND_REG)
        return;
    instr->operands[0] = instr->operands[1];
    instr->operands[1] = first;
}

struct dyno_value *dyno_fuse_constant(struct dyno_graph *graph, const char *name, int rank,
                                      const int64_t *dims, const double *values)
{
    void *data = NULL;
    struct dyno_value *value = dyno_graph_constant_new(graph, name, DYNO_F32, rank, dims, &data);
    if (value == NULL)
        return NULL;
    const int64_t count = dyno_tensor_count(value->type.constant);
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = (float)values[i];
    return dyno_graph_constant_done(graph, value) ? value : NULL;
}

/* A constant of one number, named after the part that it is for. */
static struct dyno_value *number(struct dyno_graph *graph, const struct dyno_value *part,
                                 const char *what, int64_t value)
{
    char name[256];
    void *data = NULL;
    const int64_t one = 1;
    (void)snprintf(name, sizeof(name), "%s.%s", part->name == NULL ? "" : part->name, what);
    struct dyno_value *constant =
        dyno_graph_constant_new(graph, part->name == NULL ? NULL : name, DYNO_I64, 1, &one, &data);
    if (constant == NULL)
        return NULL;
    *(int64_t *)data = value;
    return dyno_graph_constant_done(graph, constant) ? constant : NULL;
}

bool dyno_fuse_channels(struct dyno_value *whole, int64_t start, int64_t count,
                        struct dyno_value *part, struct dyno_node *before,
                        const struct dyno_node *like)
{
    struct dyno_graph *graph = like->graph;
    struct dyno_value *const ins[] = {whole, number(graph, part, "start", start),
                                      number(graph, part, "end", start + count),
                                      number(graph, part, "axis", 1)};
    struct dyno_node *slice = NULL;
    if (ins[1] != NULL && ins[2] != NULL && ins[3] != NULL)
        slice = dyno_graph_node(graph, DYNO_OP_slice, like->name, ins, 4, 1, before, like);
    if (slice == NULL)
        return false;
    dyno_node_set_out(slice, 0, part);
    return true;
}
