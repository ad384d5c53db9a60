/* fold_constants.c - what follows from constants alone is computed once, here. */
#include <string.h>

#include "passes/clean.h"
#include "passes/match.h"
#include "passes/pass.h"

/* A result may be larger than what it is made from, by as much as a Cast or DequantizeLinear of
 * weights needs and some more: an engine should not carry what a kernel can expand. */
#define GROWTH_FACTOR_MAX 4
#define GROWTH_BYTES_MAX  ((size_t)4 << 20)

dyno_pass_fn dyno_pass_fold_constants;

static size_t constant_bytes(const struct dyno_tensor *tensor)
{
    size_t bytes = 0;
    return dyno_dtype_bytes(tensor->dtype, (uint64_t)dyno_tensor_count(tensor), &bytes) ? bytes : 0;
}

/* Sizes as numbers; false when one is open. */
static bool known_dims(const struct dyno_graph *graph, const struct dyno_type *type, int64_t *dims)
{
    for (int i = 0; i < type->rank; i++) {
        if (!dyno_expr_is_const(graph->exprs, type->dims[i], &dims[i]))
            return false;
    }
    return type->rank >= 0;
}

/* Graph outputs keep a node that makes them. */
static enum dyno_status set_constant(struct dyno_node *node, uint32_t idx,
                                     const struct dyno_tensor *tensor, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    struct dyno_value *out = node->outs[idx];
    if (!dyno_value_is_output(out)) {
        return dyno_value_make_constant(graph, out, tensor) ? DYNO_OK : DYNO_NOMEM(err);
    }
    struct dyno_value *value = dyno_graph_constant(graph, out->name, tensor);
    if (value == NULL || !dyno_fuse_become(node, DYNO_OP_identity, &value, 1))
        return DYNO_NOMEM(err);
    return DYNO_OK;
}

/* --- contents that shape arithmetic has found --- */

static bool known_elems(const struct dyno_graph *graph, const struct dyno_value *value)
{
    int64_t dims[DYNO_RANK_MAX];
    const struct dyno_type *type = &value->type;
    if (type->elems == NULL || !known_dims(graph, type, dims))
        return false;
    for (uint32_t i = 0; i < type->elem_count; i++) {
        int64_t elem = 0;
        if (!dyno_expr_is_const(graph->exprs, type->elems[i], &elem))
            return false;
    }
    return true;
}

static enum dyno_status fold_elems(struct dyno_node *node, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    const struct dyno_type *type = &node->outs[0]->type;
    struct dyno_tensor tensor = {.dtype = type->dtype, .rank = type->rank};
    size_t bytes = 0;
    if (!known_dims(graph, type, tensor.dims) ||
        !dyno_dtype_bytes(type->dtype, type->elem_count, &bytes))
        return DYNO_OK;
    tensor.data = dyno_arena_alloc(graph->arena, bytes, 1);
    if (tensor.data == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < type->elem_count; i++) {
        int64_t elem = 0;
        (void)dyno_expr_is_const(graph->exprs, type->elems[i], &elem);
        dyno_elem_store_i64(type->dtype, tensor.data, i, elem);
    }
    return set_constant(node, 0, &tensor, err);
}

/* --- Transpose: weights are large, and its reference goes element by element --- */

#define TILE 32

/* `count` elements, `apart` elements from each other, to where they are dense. */
static void gather(const char *in, int64_t apart, char *out, int64_t count, size_t elem_bytes)
{
    const size_t step = (size_t)apart * elem_bytes;
    for (int64_t i = 0; i < count; i++, in += step, out += elem_bytes) {
        if (elem_bytes == 4)
            memcpy(out, in, 4);
        else
            memcpy(out, in, elem_bytes);
    }
}

/* out[i * rows_apart + j] = in[i + j * columns_apart], by tiles that stay in the cache. */
static void turn_plane(const char *in, int64_t columns_apart, char *out, int64_t rows_apart,
                       int64_t rows, int64_t columns, size_t elem_bytes)
{
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        for (int64_t j0 = 0; j0 < columns; j0 += TILE) {
            const int64_t i1 = i0 + TILE < rows ? i0 + TILE : rows;
            const int64_t j1 = j0 + TILE < columns ? j0 + TILE : columns;
            for (int64_t i = i0; i < i1; i++)
                gather(in + (size_t)(i + j0 * columns_apart) * elem_bytes, columns_apart,
                       out + (size_t)(i * rows_apart + j0) * elem_bytes, j1 - j0, elem_bytes);
        }
    }
}

/* Fill out, whose axis i is axis perm[i] of in: planes of the two axes that are dense in the input
 * and in the output.  rank >= 2, no axis of size 0. */
static void turn(const struct dyno_tensor *in, const int64_t *perm, struct dyno_tensor *out,
                 size_t elem_bytes)
{
    int64_t in_strides[DYNO_RANK_MAX] = {0};
    int64_t out_strides[DYNO_RANK_MAX] = {0};
    int64_t idx[DYNO_RANK_MAX] = {0};
    const int last = in->rank - 1;
    int dense = 0; /* the output's axis that is dense in the input */
    for (int i = last; i >= 0; i--) {
        in_strides[i] = i == last ? 1 : in_strides[i + 1] * in->dims[i + 1];
        out_strides[i] = i == last ? 1 : out_strides[i + 1] * out->dims[i + 1];
        if (perm[i] == last)
            dense = i;
    }
    const bool same = dense == last;
    for (;;) {
        int64_t from = 0;
        int64_t to = 0;
        for (int i = 0; i <= last; i++) {
            from += idx[i] * in_strides[perm[i]];
            to += idx[i] * out_strides[i];
        }
        const char *in_at = (const char *)in->data + (size_t)from * elem_bytes;
        char *out_at = (char *)out->data + (size_t)to * elem_bytes;
        if (same)
            memcpy(out_at, in_at, (size_t)out->dims[last] * elem_bytes);
        else
            turn_plane(in_at, in_strides[perm[last]], out_at, out_strides[dense], out->dims[dense],
                       out->dims[last], elem_bytes);
        int axis = last;
        while (axis >= 0 && (axis == last || axis == dense || ++idx[axis] == out->dims[axis])) {
            idx[axis] = 0;
            axis--;
        }
        if (axis < 0)
            return;
    }
}

/* False: not one for here. */
static bool may_turn(const struct dyno_node *node, int64_t *perm)
{
    const struct dyno_tensor *in = dyno_value_constant(node->ins[0]);
    return node->op == DYNO_OP_transpose && node->tail.instr_count == 0 && in != NULL &&
           in->rank >= 2 && dyno_tensor_count(in) != 0 && dyno_dtype_bits(in->dtype) >= 8 &&
           node->outs[0] != NULL && dyno_clean_perm(node, perm);
}

static enum dyno_status fold_transpose(struct dyno_node *node, const int64_t *perm,
                                       struct dyno_err *err)
{
    const struct dyno_tensor *in = dyno_value_constant(node->ins[0]);
    struct dyno_tensor out = {.dtype = in->dtype, .rank = in->rank};
    const size_t elem_bytes = dyno_dtype_bits(in->dtype) / 8;
    for (int i = 0; i < in->rank; i++)
        out.dims[i] = in->dims[perm[i]];
    out.data = dyno_arena_alloc(node->graph->arena, (size_t)dyno_tensor_count(in), elem_bytes);
    if (out.data == NULL)
        return DYNO_NOMEM(err);
    turn(in, perm, &out, elem_bytes);
    return set_constant(node, 0, &out, err);
}

/* --- running the reference --- */

static bool may_run(const struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    size_t have_bytes = GROWTH_BYTES_MAX;
    if (op->reference == NULL || (op->flags & (DYNO_OP_RANDOM | DYNO_OP_REGIONS)) != 0 ||
        node->tail.instr_count != 0 || node->in_count > DYNO_MATCH_NODES_MAX)
        return false;
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (node->ins[i] == NULL)
            continue;
        if (dyno_value_constant(node->ins[i]) == NULL)
            return false;
        have_bytes += GROWTH_FACTOR_MAX * constant_bytes(node->ins[i]->type.constant);
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        const struct dyno_value *out = node->outs[i];
        struct dyno_tensor tensor = {0};
        size_t bytes = 0;
        int64_t count = 0;
        if (out == NULL || out->type.rank < 0)
            continue;
        if (out->type.kind != DYNO_TYPE_TENSOR ||
            (dyno_value_is_output(out) && node->out_count != 1))
            return false;
        /* A size that follows from data is found by running. */
        if (!known_dims(node->graph, &out->type, tensor.dims))
            continue;
        if (!dyno_dims_count(tensor.dims, out->type.rank, &count) ||
            !dyno_dtype_bytes(out->type.dtype, (uint64_t)count, &bytes) || bytes > have_bytes)
            return false;
    }
    return true;
}

/* Results go into the graph; what the reference needs besides is given back. */
static enum dyno_status run(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    const struct dyno_tensor *ins[DYNO_MATCH_NODES_MAX] = {NULL};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor *outs = NULL;
    enum dyno_status status = DYNO_OK;
    if (arena != NULL)
        outs = dyno_arena_alloc(arena, (size_t)node->out_count + 1, sizeof(*outs));
    if (outs == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    for (uint32_t i = 0; i < node->in_count; i++)
        ins[i] = dyno_value_constant(node->ins[i]);
    status = dyno_op_run_reference(dyno_ops[node->op], node->attrs, ins, node->in_count, outs,
                                   node->out_count, arena, NULL);
    if (status != DYNO_OK) {
        /* A node that cannot be run is the run time's business, if it ever gets there. */
        status = status == DYNO_E_NOMEM ? DYNO_NOMEM(err) : DYNO_OK;
        goto out;
    }
    const uint32_t out_count = node->out_count;
    for (uint32_t i = 0; i < out_count && status == DYNO_OK; i++) {
        struct dyno_tensor kept;
        if (node->outs[i] == NULL || outs[i].data == NULL)
            continue;
        status = dyno_tensor_copy(node->graph->arena, &outs[i], &kept, err);
        if (status == DYNO_OK)
            status = set_constant(node, i, &kept, err);
        *changed_out = true;
    }
out:
    dyno_arena_destroy(arena);
    return status;
}

/* --- the pass --- */

static bool is_done(const struct dyno_node *node)
{
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->outs[i] != NULL)
            return false;
    }
    return true;
}

static enum dyno_status fold_node(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    const struct dyno_value *out = node->out_count != 0 ? node->outs[0] : NULL;
    int64_t perm[DYNO_RANK_MAX];
    if (node->op == DYNO_OP_identity && out != NULL && dyno_value_is_output(out))
        return DYNO_OK;
    if (node->out_count == 1 && out != NULL && known_elems(node->graph, out)) {
        DYNO_TRY(fold_elems(node, err));
        *changed_out = true;
    } else if (may_turn(node, perm)) {
        DYNO_TRY(fold_transpose(node, perm, err));
        *changed_out = true;
    } else if (may_run(node)) {
        DYNO_TRY(run(node, changed_out, err));
    }
    return DYNO_OK;
}

static enum dyno_status fold_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                struct dyno_err *err)
{
    (void)arg;
    bool changed = false;
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        /* A constant says more than a type: rules may find contents and sizes now. */
        if (changed)
            DYNO_TRY(dyno_node_infer(node, err));
        DYNO_TRY(fold_node(node, &changed, err));
        if (is_done(node))
            dyno_node_remove(node);
    }
    *changed_out = *changed_out || changed;
    return DYNO_OK;
}

enum dyno_status dyno_pass_fold_constants(struct dyno_graph *graph, bool *changed_out,
                                          struct dyno_err *err)
{
    return dyno_clean_each(graph, fold_in, NULL, changed_out, err);
}
