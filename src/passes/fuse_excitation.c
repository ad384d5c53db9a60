/* fuse_excitation.c - the mean of a map through two convolutions of one tap with Relu or SiLU
 * between them becomes Excitation: three or four launches on a GPU, each of next to no work.
 */
#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/excitation.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_excitation;

static bool is_ones(const struct dyno_i64s *list, int64_t wanted)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i] != wanted)
            return false;
    }
    return true;
}

/* A convolution of constants with one tap, which on a map of one position is a product. */
static bool is_product(const struct dyno_node *node)
{
    const struct dyno_conv_attrs *attrs = node->attrs;
    const struct dyno_value *weights = node->in_count > 1 ? node->ins[1] : NULL;
    const struct dyno_value *bias = node->in_count > 2 ? node->ins[2] : NULL;
    if (!dyno_match_f32(node, DYNO_OP_conv) || weights == NULL ||
        dyno_value_constant(weights) == NULL || weights->type.rank < 3 || attrs->group != 1 ||
        !is_ones(&attrs->pads, 0) || attrs->auto_pad != DYNO_AUTO_PAD_NOTSET ||
        (bias != NULL && dyno_value_constant(bias) == NULL))
        return false;
    for (int i = 0; i < weights->type.rank; i++) {
        int64_t size = 0;
        if (!dyno_value_dim(node->graph, weights, i, &size) || size < 1 ||
            size > (i < 2 ? DYNO_EXCITATION_MAX : 1))
            return false;
    }
    return true;
}

/* The activation before `node`, and what it is; NULL: another one, or none. */
static struct dyno_node *activation(const struct dyno_node *node, int64_t *act_out)
{
    struct dyno_node *relu = dyno_match_in(node, 0, DYNO_OP_relu);
    struct dyno_node *swish = dyno_match_in(node, 0, DYNO_OP_swish);
    *act_out = relu != NULL ? DYNO_EXCITATION_RELU : DYNO_EXCITATION_SILU;
    if (swish != NULL && ((const struct dyno_alpha_attrs *)swish->attrs)->alpha != 1.0F)
        return NULL;
    return relu != NULL ? relu : swish;
}

static bool is_used_once(const struct dyno_node *node)
{
    return node->outs[0]->uses != NULL && node->outs[0]->uses->next == NULL;
}

static enum dyno_status fuse(struct dyno_node *second, bool *changed_out, struct dyno_err *err)
{
    int64_t act = 0;
    struct dyno_node *middle = activation(second, &act);
    struct dyno_node *first = middle != NULL ? dyno_match_in(middle, 0, DYNO_OP_conv) : NULL;
    struct dyno_node *pool =
        first != NULL ? dyno_match_in(first, 0, DYNO_OP_global_average_pool) : NULL;
    if (pool == NULL || !is_product(first) || !is_product(second) || !is_used_once(middle) ||
        !is_used_once(first) || !is_used_once(pool) || pool->ins[0]->type.rank < 3)
        return DYNO_OK;
    struct dyno_value *ins[5] = {pool->ins[0], first->ins[1], second->ins[1],
                                 first->in_count > 2 ? first->ins[2] : NULL,
                                 second->in_count > 2 ? second->ins[2] : NULL};
    const uint32_t count = ins[4] != NULL ? 5 : ins[3] != NULL ? 4 : 3;
    struct dyno_match match = {.count = 0};
    dyno_match_add(&match, pool);
    dyno_match_add(&match, first);
    dyno_match_add(&match, middle);
    *changed_out = true;
    if (!dyno_fuse_become(second, DYNO_OP_excitation, ins, count) ||
        !dyno_fuse_absorb(second, &match))
        return DYNO_NOMEM(err);
    ((struct dyno_excitation_attrs *)second->attrs)->act = act;
    return dyno_node_infer(second, err);
}

enum dyno_status dyno_pass_fuse_excitation(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op == DYNO_OP_conv && node->tail.instr_count == 0)
            DYNO_TRY(fuse(node, changed_out, err));
    }
    return DYNO_OK;
}
