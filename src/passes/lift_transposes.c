/* lift_transposes.c - a Transpose on the side of a Reshape where there are more axes.
 *
 * Frameworks merge the positions of an image before they turn it, and turn rows before they make an
 * image of them.  Where the axes are still apart, or are already, channels last are what a
 * convolution makes or takes, and the Transpose moves nothing there (plan/same_bytes.c). */
#include "passes/clean.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_lift_transposes;

/* Axes of a wide shape, in runs whose products are the axes of a narrow one. */
struct runs {
    int rank; /* of the wide shape */
    dyno_expr dims[DYNO_RANK_MAX];
    int narrow_rank;
    int run_of[DYNO_RANK_MAX]; /* by wide axis: the narrow one */
};

static bool find_runs(const struct dyno_graph *graph, const struct dyno_type *wide,
                      const struct dyno_type *narrow, struct runs *runs)
{
    const dyno_expr one = dyno_expr_const(graph->exprs, 1);
    int at = 0;
    if (wide->rank <= narrow->rank || narrow->rank < 1)
        return false;
    *runs = (struct runs){.rank = wide->rank, .narrow_rank = narrow->rank};
    for (int i = 0; i < narrow->rank; i++) {
        dyno_expr product = one;
        while (at < wide->rank && product != narrow->dims[i]) {
            product = dyno_expr_mul(graph->exprs, product, wide->dims[at]);
            if (product == DYNO_EXPR_NONE)
                return false;
            runs->run_of[at++] = i;
        }
        if (product != narrow->dims[i])
            return false;
    }
    for (; at < wide->rank; at++) {
        if (wide->dims[at] != one)
            return false;
        runs->run_of[at] = narrow->rank - 1;
    }
    for (int i = 0; i < wide->rank; i++)
        runs->dims[i] = wide->dims[i];
    return true;
}

/* The wide axes in the order of the narrow ones that `order` lists. */
static void spread(const struct runs *runs, const int64_t *order, int64_t *perm_out)
{
    int count = 0;
    for (int i = 0; i < runs->narrow_rank; i++) {
        for (int k = 0; k < runs->rank; k++) {
            if (runs->run_of[k] == order[i])
                perm_out[count++] = k;
        }
    }
}

static bool set_perm(struct dyno_node *node, const int64_t *perm, int rank)
{
    struct dyno_i64s *attr = dyno_node_attr(node, "perm", DYNO_ATTR_I64S);
    const int64_t *kept = dyno_arena_memdup(node->graph->arena, perm, (size_t)rank * sizeof(*perm));
    DYNO_ASSERT(attr != NULL);
    *attr = (struct dyno_i64s){.at = kept, .count = (uint32_t)rank};
    return kept != NULL;
}

/* Reshape, Transpose: the Transpose comes first. */
static enum dyno_status lift_over(struct dyno_node *transpose, struct dyno_node *reshape,
                                  bool *changed_out, struct dyno_err *err)
{
    struct dyno_graph *graph = transpose->graph;
    struct dyno_value *data = reshape->ins[0];
    int64_t perm[DYNO_RANK_MAX] = {0}, wide[DYNO_RANK_MAX] = {0};
    struct runs runs;
    if (!dyno_clean_perm(transpose, perm) ||
        !find_runs(graph, &data->type, &reshape->outs[0]->type, &runs))
        return DYNO_OK;
    spread(&runs, perm, wide);
    struct dyno_node *first = dyno_graph_node(graph, DYNO_OP_transpose, transpose->name, &data, 1,
                                              1, transpose, transpose);
    if (first == NULL || !set_perm(first, wide, runs.rank) ||
        !dyno_node_add_origins(transpose, reshape))
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_node_infer(first, err));
    *changed_out = true;
    return dyno_clean_reshape(transpose, first->outs[0]) ? DYNO_OK : DYNO_NOMEM(err);
}

/* Transpose, Reshape: the Reshape comes first. */
static enum dyno_status lift_behind(struct dyno_node *reshape, struct dyno_node *transpose,
                                    bool *changed_out, struct dyno_err *err)
{
    struct dyno_graph *graph = reshape->graph;
    int64_t perm[DYNO_RANK_MAX] = {0}, inverse[DYNO_RANK_MAX] = {0}, wide[DYNO_RANK_MAX] = {0};
    dyno_expr dims[DYNO_RANK_MAX];
    struct runs runs;
    if (!dyno_clean_perm(transpose, perm) ||
        !find_runs(graph, &reshape->outs[0]->type, &transpose->outs[0]->type, &runs))
        return DYNO_OK;
    for (int i = 0; i < runs.narrow_rank; i++)
        inverse[perm[i]] = i;
    spread(&runs, inverse, wide); /* the axes of the result, in the order of what is turned */
    for (int i = 0; i < runs.rank; i++) {
        dims[i] = runs.dims[wide[i]];
        perm[wide[i]] = i;
    }
    struct dyno_value *const ins[2] = {transpose->ins[0],
                                       dyno_clean_sizes(graph, dims, (uint32_t)runs.rank)};
    struct dyno_node *first = NULL;
    if (ins[1] != NULL)
        first =
            dyno_graph_node(graph, DYNO_OP_reshape, transpose->name, ins, 2, 1, reshape, transpose);
    if (first == NULL || !dyno_node_add_origins(reshape, transpose))
        return DYNO_NOMEM(err);
    int64_t *allow_zero = dyno_node_attr(first, "allowzero", DYNO_ATTR_I64);
    const int64_t *old = dyno_node_attr(reshape, "allowzero", DYNO_ATTR_I64);
    DYNO_ASSERT(allow_zero != NULL && old != NULL);
    *allow_zero = *old;
    DYNO_TRY(dyno_node_infer(first, err));
    if (!dyno_fuse_become(reshape, DYNO_OP_transpose, &first->outs[0], 1) ||
        !set_perm(reshape, perm, runs.rank))
        return DYNO_NOMEM(err);
    *changed_out = true;
    return DYNO_OK;
}

static bool can_say(const struct dyno_bindable *bindable, const struct dyno_value *value)
{
    return value->type.rank >= 0 &&
           dyno_bindable_all(bindable, value->type.dims, (uint32_t)value->type.rank);
}

static enum dyno_status lift_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        const bool is_reshape = node->op == DYNO_OP_reshape;
        if ((!is_reshape && node->op != DYNO_OP_transpose) || node->tail.instr_count != 0 ||
            node->outs[0] == NULL || node->outs[0]->uses == NULL || !can_say(arg, node->outs[0]))
            continue;
        struct dyno_node *before =
            dyno_match_in(node, 0, is_reshape ? DYNO_OP_transpose : DYNO_OP_reshape);
        if (before == NULL || before->outs[0]->type.rank < 0 || before->ins[0]->type.rank < 0)
            continue;
        if (!is_reshape)
            DYNO_TRY(lift_over(node, before, changed_out, err));
        else if (dyno_value_sole_user(before->outs[0]) == node)
            DYNO_TRY(lift_behind(node, before, changed_out, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_lift_transposes(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    return dyno_clean_each_bindable(graph, lift_in, changed_out, err);
}
