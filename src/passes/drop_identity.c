/* drop_identity.c - nodes that provably change nothing. */
#include "passes/clean.h"
#include "passes/contents.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_drop_identity;

/* An absent input, or one whose elements are all `wanted`. */
static bool is_all(const struct dyno_value *value, double wanted)
{
    double same = 0;
    return value == NULL || (dyno_contents_same(value, &same) && same == wanted);
}

static const struct dyno_value *in_at(const struct dyno_node *node, uint32_t idx)
{
    return idx < node->own_in_count ? node->ins[idx] : NULL;
}

/* With the shape unchanged, steps of 1 leave only the whole. */
static bool slice_is_whole(const struct dyno_node *node)
{
    return is_all(in_at(node, 4), 1.0);
}

static bool pad_is_none(const struct dyno_node *node)
{
    return in_at(node, 1) != NULL && is_all(in_at(node, 1), 0.0);
}

/* Sizes as they were and scales of exactly 1 take every element from where it is. */
static bool resize_is_none(const struct dyno_node *node)
{
    const struct dyno_value *roi = in_at(node, 1);
    int64_t count = 0;
    const bool no_roi = roi == NULL || (dyno_value_dim(node->graph, roi, 0, &count) && count == 0);
    const struct dyno_value *scales = in_at(node, 2);
    if (in_at(node, 3) != NULL)
        return no_roi;
    return no_roi && scales != NULL && is_all(scales, 1.0);
}

/* Dropout does nothing unless it is told to train. */
static bool dropout_is_none(const struct dyno_node *node)
{
    const struct dyno_value *training = in_at(node, 2);
    if (node->out_count > 1 && node->outs[1] != NULL && node->outs[1]->uses != NULL)
        return false;
    if (training == NULL)
        return true;
    const struct dyno_tensor *tensor = dyno_value_constant(training);
    return tensor != NULL && tensor->dtype == DYNO_BOOL && dyno_tensor_count(tensor) == 1 &&
           dyno_elem_load_i64(DYNO_BOOL, tensor->data, 0) == 0;
}

/* x op c with the neutral c on the right, or on either side when the op commutes. */
static struct dyno_value *beside_neutral(const struct dyno_node *node, double neutral)
{
    double same = 0;
    if (dyno_contents_same(node->ins[1], &same) && same == neutral)
        return node->ins[0];
    const bool commutes = (dyno_ops[node->op]->flags & DYNO_OP_COMMUTES) != 0;
    if (commutes && dyno_contents_same(node->ins[0], &same) && same == neutral)
        return node->ins[1];
    return NULL;
}

/* Where with a condition that is the same everywhere. */
static struct dyno_value *where_way(const struct dyno_node *node)
{
    double same = 0;
    return dyno_contents_same(node->ins[0], &same) ? node->ins[same != 0.0 ? 1 : 2] : NULL;
}

/* The input that output 0 equals, provided that their types are the same; NULL: none. */
static struct dyno_value *same_input(const struct dyno_node *node)
{
    struct dyno_value *first = node->own_in_count != 0 ? node->ins[0] : NULL;
    switch ((int)node->op) {
    case DYNO_OP_identity:
    case DYNO_OP_cast:
    case DYNO_OP_reshape:
    case DYNO_OP_flatten:
    case DYNO_OP_squeeze:
    case DYNO_OP_unsqueeze:
    case DYNO_OP_expand:
    case DYNO_OP_tile:
        return first;
    case DYNO_OP_dropout:
        return dropout_is_none(node) ? first : NULL;
    case DYNO_OP_slice:
        return slice_is_whole(node) ? first : NULL;
    case DYNO_OP_pad:
        return pad_is_none(node) ? first : NULL;
    case DYNO_OP_resize:
        return resize_is_none(node) ? first : NULL;
    case DYNO_OP_clip:
        return in_at(node, 1) == NULL && in_at(node, 2) == NULL ? first : NULL;
    case DYNO_OP_concat:
    case DYNO_OP_sum:
    case DYNO_OP_mean:
    case DYNO_OP_max:
    case DYNO_OP_min:
        return node->own_in_count == 1 ? first : NULL;
    case DYNO_OP_split:
        return node->out_count == 1 ? first : NULL;
    case DYNO_OP_mul:
    case DYNO_OP_div:
    case DYNO_OP_pow:
        return beside_neutral(node, 1.0);
    case DYNO_OP_add:
    case DYNO_OP_sub:
        return beside_neutral(node, 0.0);
    case DYNO_OP_where:
        return where_way(node);
    default:
        return NULL;
    }
}

static enum dyno_status drop_in(struct dyno_graph *graph, void *arg, bool *changed_out,
                                struct dyno_err *err)
{
    (void)arg;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->tail.instr_count != 0 || node->out_count == 0 || node->outs[0] == NULL)
            continue;
        struct dyno_value *with = same_input(node);
        /* Identity promises it whatever is known of the type. */
        if (with == NULL ||
            (node->op != DYNO_OP_identity && !dyno_match_same_type(with, node->outs[0])))
            continue;
        DYNO_TRY(dyno_clean_bypass(node, with, changed_out, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_pass_drop_identity(struct dyno_graph *graph, bool *changed_out,
                                         struct dyno_err *err)
{
    return dyno_clean_each(graph, drop_in, NULL, changed_out, err);
}
