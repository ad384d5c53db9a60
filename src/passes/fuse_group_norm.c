/* fuse_group_norm.c - torch's group norm as exporters write it:
 *
 *   Reshape to [N, groups, rest], InstanceNormalization, Reshape back [, * scale[c]] [, + bias[c]]
 *
 * becomes GroupNormalization, or InstanceNormalization when every channel is a group. */
#include "base/mem.h"
#include "ops/norm.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_group_norm;

struct group_norm {
    struct dyno_node *root; /* the last node of the pattern */
    struct dyno_value *x;
    int64_t channels, groups;
    double *scale, *bias; /* [channels] */
    float epsilon;
    struct dyno_match match;
};

/* The node that makes `x` into [N, groups, rest] and the norm behind it; false: not the pattern. */
static bool match_core(struct dyno_node *back, struct group_norm *found)
{
    const struct dyno_graph *graph = back->graph;
    struct dyno_node *norm = dyno_match_in(back, 0, DYNO_OP_instance_normalization);
    struct dyno_node *split = norm != NULL ? dyno_match_in(norm, 0, DYNO_OP_reshape) : NULL;
    if (split == NULL)
        return false;
    struct dyno_value *x = split->ins[0];
    const struct dyno_value *grouped = split->outs[0];
    if (x->type.dtype != DYNO_F32 || x->type.rank < 3 || grouped->type.rank != 3 ||
        !dyno_match_same_type(x, back->outs[0]) || x->type.dims[0] != grouped->type.dims[0] ||
        !dyno_value_dim(graph, x, 1, &found->channels) ||
        !dyno_value_dim(graph, grouped, 1, &found->groups) || found->groups < 1 ||
        found->channels % found->groups != 0)
        return false;
    found->x = x;
    found->root = back;
    found->epsilon = ((const struct dyno_instance_norm_attrs *)norm->attrs)->epsilon;
    dyno_match_add(&found->match, norm);
    dyno_match_add(&found->match, split);
    return true;
}

/* What the norm itself scales by, spread over the channels of each group. */
static bool read_groups(const struct dyno_node *norm, struct group_norm *found)
{
    const struct dyno_tensor *scale = dyno_value_constant(norm->ins[1]);
    const struct dyno_tensor *bias = dyno_value_constant(norm->ins[2]);
    if (scale == NULL || bias == NULL || scale->dtype != DYNO_F32 || bias->dtype != DYNO_F32 ||
        dyno_tensor_count(scale) != found->groups || dyno_tensor_count(bias) != found->groups)
        return false;
    const int64_t each = found->channels / found->groups;
    for (int64_t c = 0; c < found->channels; c++) {
        found->scale[c] = dyno_elem_load_f64(DYNO_F32, scale->data, (size_t)(c / each));
        found->bias[c] = dyno_elem_load_f64(DYNO_F32, bias->data, (size_t)(c / each));
    }
    return true;
}

/* A product or sum with channel constants behind the pattern goes into scale and bias. */
static bool take_behind(struct group_norm *found, enum dyno_op_id op, double *numbers)
{
    struct dyno_node *user = dyno_value_sole_user(found->root->outs[0]);
    if (user == NULL || !dyno_match_f32(user, op) ||
        !dyno_match_same_type(user->outs[0], found->root->outs[0]))
        return false;
    const struct dyno_value *other = dyno_match_beside(user, found->root->outs[0]);
    if (other == NULL ||
        !dyno_match_channel(user->graph, other, found->root->outs[0], 1, numbers, found->channels))
        return false;
    for (int64_t c = 0; c < found->channels; c++) {
        if (op == DYNO_OP_mul) {
            found->scale[c] *= numbers[c];
            found->bias[c] *= numbers[c];
        } else {
            found->bias[c] += numbers[c];
        }
    }
    dyno_match_add(&found->match, found->root);
    found->root = user;
    return true;
}

static enum dyno_status rewrite(struct group_norm *found, struct dyno_err *err)
{
    struct dyno_graph *graph = found->root->graph;
    struct dyno_node *root = found->root;
    struct dyno_value *ins[3] = {found->x};
    ins[1] = dyno_fuse_constant(graph, NULL, 1, &found->channels, found->scale);
    ins[2] = dyno_fuse_constant(graph, NULL, 1, &found->channels, found->bias);
    const bool each_alone = found->groups == found->channels;
    const enum dyno_op_id op =
        each_alone ? DYNO_OP_instance_normalization : DYNO_OP_group_normalization;
    if (ins[1] == NULL || ins[2] == NULL || !dyno_fuse_become(root, op, ins, 3))
        return DYNO_NOMEM(err);
    if (each_alone) {
        ((struct dyno_instance_norm_attrs *)root->attrs)->epsilon = found->epsilon;
    } else {
        ((struct dyno_group_norm_attrs *)root->attrs)->epsilon = found->epsilon;
        ((struct dyno_group_norm_attrs *)root->attrs)->num_groups = found->groups;
    }
    return dyno_fuse_absorb(root, &found->match) ? DYNO_OK : DYNO_NOMEM(err);
}

/* *next_io: where the walk goes on. */
static enum dyno_status fuse(struct dyno_node *back, struct dyno_node **next_io, bool *changed_out,
                             struct dyno_err *err)
{
    struct group_norm found = {.root = NULL};
    if (!match_core(back, &found))
        return DYNO_OK;
    const struct dyno_node *norm = found.match.at[0];
    double *numbers = dyno_alloc((size_t)found.channels, 3 * sizeof(*numbers));
    if (numbers == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = DYNO_OK;
    found.scale = numbers;
    found.bias = numbers + found.channels;
    if (read_groups(norm, &found)) {
        (void)take_behind(&found, DYNO_OP_mul, numbers + 2 * found.channels);
        (void)take_behind(&found, DYNO_OP_add, numbers + 2 * found.channels);
        *next_io = dyno_match_next(back, &found.match);
        status = rewrite(&found, err);
        *changed_out = true;
    }
    dyno_free(numbers);
    return status;
}

enum dyno_status dyno_pass_fuse_group_norm(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    struct dyno_node *next = NULL;
    for (struct dyno_node *node = graph->first; node != NULL; node = next) {
        next = node->next;
        if (node->op == DYNO_OP_reshape)
            DYNO_TRY(fuse(node, &next, changed_out, err));
    }
    return DYNO_OK;
}
