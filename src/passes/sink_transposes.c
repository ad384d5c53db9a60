/* sink_transposes.c - a Transpose behind pointwise nodes whose inputs are transposed the other way
 * round: all of them go. */
#include <string.h>

#include "passes/clean.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_sink_transposes;

#define DEPTH_MAX 24 /* of the pointwise tree; what is larger stays as it is */

/* The sunk Transpose: every value of the tree behind it is to be had in its order. */
struct sink {
    int rank;
    int64_t perm[DYNO_RANK_MAX];
    int saved; /* Transposes that go */
};

/* An element-wise node whose inputs only matter element by element. */
static bool is_pointwise(const struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    const bool is_plain = op->pw >= 0 || op->pw_form != NULL;
    return is_plain && node->tail.instr_count == 0 && node->out_count == 1 && op->in_max <= 2 &&
           node->op != DYNO_OP_pointwise;
}

static bool undoes(const struct sink *sink, const struct dyno_node *transpose)
{
    int64_t perm[DYNO_RANK_MAX];
    if (!dyno_clean_perm(transpose, perm) || transpose->outs[0]->type.rank != sink->rank)
        return false;
    for (int i = 0; i < sink->rank; i++) {
        if (perm[sink->perm[i]] != i)
            return false;
    }
    return true;
}

static bool is_one_element(const struct dyno_value *value)
{
    const struct dyno_tensor *tensor = dyno_value_constant(value);
    return tensor != NULL && dyno_tensor_count(tensor) == 1;
}

/* Whether `value` can be had in the sink's order without a Transpose of data. */
static bool can_absorb(struct sink *sink, const struct dyno_value *value,
                       const struct dyno_node *user, int depth)
{
    const struct dyno_node *node = value->producer;
    if (is_one_element(value))
        return true;
    if (dyno_value_constant(value) != NULL)
        return value->type.rank == sink->rank;
    if (node == NULL || node->graph != user->graph || value->type.rank != sink->rank)
        return false;
    if (node->op == DYNO_OP_transpose && node->tail.instr_count == 0 && undoes(sink, node)) {
        sink->saved++;
        return true;
    }
    if (depth == DEPTH_MAX || !is_pointwise(node) || dyno_value_sole_user(value) != user)
        return false;
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (node->ins[i] != NULL && !can_absorb(sink, node->ins[i], node, depth + 1))
            return false;
    }
    return true;
}

/* A constant in the sink's order: a Transpose of it, which folding removes. */
static struct dyno_value *transposed(const struct sink *sink, struct dyno_value *value,
                                     struct dyno_node *user, struct dyno_err *err)
{
    struct dyno_node *node =
        dyno_graph_node(user->graph, DYNO_OP_transpose, value->name, &value, 1, 1, user, user);
    int64_t *perm =
        dyno_arena_memdup(user->graph->arena, sink->perm, (size_t)sink->rank * sizeof(*perm));
    if (node == NULL || perm == NULL)
        return NULL;
    struct dyno_i64s *attr = dyno_node_attr(node, "perm", DYNO_ATTR_I64S);
    DYNO_ASSERT(attr != NULL);
    *attr = (struct dyno_i64s){.at = perm, .count = (uint32_t)sink->rank};
    return dyno_node_infer(node, err) == DYNO_OK ? node->outs[0] : NULL;
}

/* Put the tree behind input `idx` of `user` into the sink's order. */
static enum dyno_status absorb(const struct sink *sink, struct dyno_node *user, uint32_t idx,
                               struct dyno_node *sunk, struct dyno_err *err)
{
    struct dyno_value *value = user->ins[idx];
    if (is_one_element(value))
        return DYNO_OK;
    if (dyno_value_constant(value) != NULL) {
        struct dyno_value *turned = transposed(sink, value, user, err);
        if (turned == NULL)
            return DYNO_NOMEM(err);
        dyno_node_set_in(user, idx, turned);
        return DYNO_OK;
    }
    struct dyno_node *node = value->producer;
    if (node->op == DYNO_OP_transpose) {
        if (!dyno_node_add_origins(sunk, node))
            return DYNO_NOMEM(err);
        dyno_node_set_in(user, idx, node->ins[0]);
        return DYNO_OK;
    }
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (node->ins[i] != NULL)
            DYNO_TRY(absorb(sink, node, i, sunk, err));
    }
    return dyno_node_infer(node, err);
}

static enum dyno_status sink_node(struct dyno_node *node, bool *changed_out, struct dyno_err *err)
{
    struct sink sink = {.rank = node->outs[0]->type.rank};
    struct dyno_node *last = node->ins[0]->producer;
    if (!dyno_clean_perm(node, sink.perm) || last == NULL || !is_pointwise(last) ||
        !can_absorb(&sink, node->ins[0], node, 0) || sink.saved == 0)
        return DYNO_OK;
    DYNO_TRY(absorb(&sink, node, 0, last, err));
    if (!dyno_node_add_origins(last, node))
        return DYNO_NOMEM(err);
    *changed_out = true;
    return dyno_clean_bypass(node, node->ins[0], changed_out, err);
}

static enum dyno_status sink_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                struct dyno_err *err)
{
    (void)arg;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op == DYNO_OP_transpose && node->tail.instr_count == 0 && node->outs[0] != NULL &&
            node->outs[0]->uses != NULL)
            DYNO_TRY(sink_node(node, changed_out, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_sink_transposes(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    return dyno_clean_each(graph, sink_in, NULL, changed_out, err);
}
