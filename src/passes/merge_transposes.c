/* merge_transposes.c - a Transpose of a Transpose is one; one that moves nothing goes, one that
 * moves axes of size 1 only is a Reshape. */
#include "passes/clean.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_merge_transposes;

static bool is_identity(const int64_t *perm, int rank)
{
    for (int i = 0; i < rank; i++) {
        if (perm[i] != i)
            return false;
    }
    return true;
}

/* The axes that are larger than 1 stay in their order. */
static bool moves_ones_only(const struct dyno_node *node, const int64_t *perm)
{
    const struct dyno_value *out = node->outs[0];
    int64_t last = -1;
    for (int i = 0; i < out->type.rank; i++) {
        int64_t size = 0;
        if (dyno_value_dim(node->graph, out, i, &size) && size == 1)
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

/* Read what the Transpose before this one reads. */
static enum dyno_status skip_previous(struct dyno_node *node, struct dyno_node *previous,
                                      int64_t *perm, struct dyno_err *err)
{
    int64_t first[DYNO_RANK_MAX];
    const int rank = node->outs[0]->type.rank;
    struct dyno_i64s *attr = dyno_node_attr(node, "perm", DYNO_ATTR_I64S);
    if (attr == NULL || !dyno_clean_perm(previous, first))
        return DYNO_OK;
    for (int i = 0; i < rank; i++)
        perm[i] = first[perm[i]];
    int64_t *kept = dyno_arena_memdup(node->graph->arena, perm, (size_t)rank * sizeof(*perm));
    if (kept == NULL || !dyno_node_add_origins(node, previous))
        return DYNO_NOMEM(err);
    *attr = (struct dyno_i64s){.at = kept, .count = (uint32_t)rank};
    dyno_node_set_in(node, 0, previous->ins[0]);
    return DYNO_OK;
}

static enum dyno_status merge_node(struct dyno_node *node, const struct dyno_bindable *bindable,
                                   bool *changed_out, struct dyno_err *err)
{
    int64_t perm[DYNO_RANK_MAX];
    if (!dyno_clean_perm(node, perm))
        return DYNO_OK;
    const struct dyno_type *type = &node->outs[0]->type;
    struct dyno_node *previous = dyno_match_in(node, 0, DYNO_OP_transpose);
    if (previous != NULL) {
        DYNO_TRY(skip_previous(node, previous, perm, err));
        *changed_out = *changed_out || node->ins[0] != previous->outs[0];
    }
    if (is_identity(perm, type->rank))
        return dyno_clean_bypass(node, node->ins[0], changed_out, err);
    if (moves_ones_only(node, perm) &&
        dyno_bindable_all(bindable, type->dims, (uint32_t)type->rank)) {
        *changed_out = true;
        return dyno_clean_reshape(node, node->ins[0]) ? DYNO_OK : DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static enum dyno_status merge_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                 struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op == DYNO_OP_transpose && node->tail.instr_count == 0 && node->outs[0] != NULL &&
            node->outs[0]->uses != NULL)
            DYNO_TRY(merge_node(node, arg, changed_out, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_merge_transposes(struct dyno_graph *graph, bool *changed_out,
                                            struct dyno_err *err)
{
    return dyno_clean_each_bindable(graph, merge_in, changed_out, err);
}
