/* merge_qkv.c - the projections of one attention that start from one value become one MatMul.
 *
 * MatMul by constants, each with a bias or without, each used by the attention alone: the weights
 * and biases are put side by side, and the attention reads parts of the one result. */
#include <string.h>

#include "base/mem.h"
#include "ops/mha.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_merge_qkv;

/* x * weight [+ bias] that makes one input of an attention. */
struct projection {
    struct dyno_node *mat_mul;
    struct dyno_node *add; /* NULL: no bias */
    struct dyno_value *x;
    const struct dyno_tensor *weight; /* [depth, width] */
    struct dyno_value *bias;
    int64_t width;
};

static bool read_projection(const struct dyno_node *mha, uint32_t idx,
                            struct projection *projection)
{
    struct dyno_node *node = dyno_match_any(mha, idx);
    *projection = (struct projection){.mat_mul = node};
    if (node == NULL || dyno_value_sole_user(node->outs[0]) != mha)
        return false;
    if (dyno_match_f32(node, DYNO_OP_add)) {
        for (uint32_t i = 0; i < 2 && projection->bias == NULL; i++) {
            struct dyno_node *made = dyno_match_in(node, i, DYNO_OP_mat_mul);
            if (made != NULL && dyno_value_sole_user(made->outs[0]) == node &&
                dyno_match_same_type(made->outs[0], node->outs[0])) {
                projection->add = node;
                projection->mat_mul = made;
                projection->bias = node->ins[1 - i];
            }
        }
    }
    const struct dyno_node *mat_mul = projection->mat_mul;
    if (!dyno_match_f32(mat_mul, DYNO_OP_mat_mul))
        return false;
    projection->x = mat_mul->ins[0];
    projection->weight = dyno_value_constant(mat_mul->ins[1]);
    if (projection->weight == NULL || projection->weight->rank != 2)
        return false;
    projection->width = projection->weight->dims[1];
    return projection->bias == NULL || dyno_value_constant(projection->bias) != NULL;
}

/* The weights side by side; NULL when out of memory. */
static struct dyno_value *join_weights(struct dyno_graph *graph, const struct projection *parts,
                                       uint32_t count, int64_t width)
{
    const int64_t dims[2] = {parts[0].weight->dims[0], width};
    void *data = NULL;
    struct dyno_value *made =
        dyno_graph_constant_new(graph, parts[0].mat_mul->ins[1]->name, DYNO_F32, 2, dims, &data);
    if (made == NULL)
        return NULL;
    int64_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        const float *from = parts[i].weight->data;
        for (int64_t row = 0; row < dims[0]; row++)
            memcpy((float *)data + row * width + first, from + row * parts[i].width,
                   (size_t)parts[i].width * sizeof(float));
        first += parts[i].width;
    }
    return dyno_graph_constant_done(graph, made) ? made : NULL;
}

/* The biases side by side, zeros where there is none; *joined_out stays NULL when a bias is not one
 * number a column. */
static enum dyno_status join_biases(struct dyno_graph *graph, const struct projection *parts,
                                    uint32_t count, int64_t width, struct dyno_value **joined_out,
                                    struct dyno_err *err)
{
    double *numbers = dyno_alloc((size_t)width, sizeof(*numbers));
    if (numbers == NULL)
        return DYNO_NOMEM(err);
    int64_t first = 0;
    bool known = true;
    for (uint32_t i = 0; i < count && known; i++) {
        const struct dyno_value *product = parts[i].mat_mul->outs[0];
        if (parts[i].bias != NULL)
            known = dyno_match_channel(graph, parts[i].bias, product, product->type.rank - 1,
                                       numbers + first, parts[i].width);
        first += parts[i].width;
    }
    enum dyno_status status = DYNO_OK;
    if (known) {
        *joined_out = dyno_fuse_constant(graph, NULL, 1, &width, numbers);
        status = *joined_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
    }
    dyno_free(numbers);
    return status;
}

/* The earliest of the parts' MatMuls: everything it needs is there. */
static struct dyno_node *first_of(const struct projection *parts, uint32_t count)
{
    struct dyno_node *node = parts[0].mat_mul;
    for (struct dyno_node *at = node; at != NULL; at = at->prev) {
        for (uint32_t i = 1; i < count; i++) {
            if (at == parts[i].mat_mul)
                node = at;
        }
    }
    return node;
}

static const char *bias_name(const struct projection *parts, uint32_t count)
{
    const char *name = NULL;
    for (uint32_t i = 0; i < count && name == NULL; i++)
        name = parts[i].add != NULL ? parts[i].add->name : NULL;
    return name;
}

/* Parts `first`.. of the attention (q, k, v) become one. */
static enum dyno_status merge(struct dyno_node *mha, const struct projection *parts, uint32_t first,
                              uint32_t count, bool *changed_out, struct dyno_err *err)
{
    struct dyno_graph *graph = mha->graph;
    struct dyno_value *bias = NULL;
    int64_t width = 0;
    bool has_bias = false;
    for (uint32_t i = 0; i < count; i++) {
        width += parts[i].width;
        has_bias = has_bias || parts[i].bias != NULL;
    }
    if (has_bias)
        DYNO_TRY(join_biases(graph, parts, count, width, &bias, err));
    if (has_bias && bias == NULL)
        return DYNO_OK;
    struct dyno_node *anchor = first_of(parts, count);
    struct dyno_value *ins[2] = {parts[0].x, join_weights(graph, parts, count, width)};
    if (ins[1] == NULL)
        return DYNO_NOMEM(err);
    struct dyno_node *merged = dyno_graph_node(graph, DYNO_OP_mat_mul, parts[0].mat_mul->name, ins,
                                               2, 1, anchor, parts[0].mat_mul);
    if (merged == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_node_infer(merged, err));
    struct dyno_node *last = merged;
    if (has_bias) {
        struct dyno_value *sum[2] = {merged->outs[0], bias};
        last =
            dyno_graph_node(graph, DYNO_OP_add, bias_name(parts, count), sum, 2, 1, anchor, merged);
        if (last == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(dyno_node_infer(last, err));
    }
    struct dyno_mha_attrs *attrs = mha->attrs;
    int64_t *const offsets[3] = {&attrs->q_offset, &attrs->k_offset, &attrs->v_offset};
    struct dyno_match match = {.count = 0};
    int64_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        dyno_node_set_in(mha, first + i, last->outs[0]);
        *offsets[first + i] += offset;
        offset += parts[i].width;
        dyno_match_add(&match, parts[i].mat_mul);
        dyno_match_add(&match, parts[i].add);
    }
    *changed_out = true;
    return dyno_fuse_absorb(last, &match) ? DYNO_OK : DYNO_NOMEM(err);
}

static bool same_start(const struct projection *a, const struct projection *b)
{
    return a->x == b->x && a->weight->dims[0] == b->weight->dims[0];
}

static enum dyno_status try_merge(struct dyno_node *mha, bool *changed_out, struct dyno_err *err)
{
    struct projection parts[3];
    const bool k_and_v = read_projection(mha, 1, &parts[1]) && read_projection(mha, 2, &parts[2]) &&
                         same_start(&parts[1], &parts[2]);
    if (!k_and_v)
        return DYNO_OK;
    if (read_projection(mha, 0, &parts[0]) && same_start(&parts[0], &parts[1]))
        return merge(mha, parts, 0, 3, changed_out, err);
    return merge(mha, parts + 1, 1, 2, changed_out, err);
}

enum dyno_status dyno_pass_merge_qkv(struct dyno_graph *graph, bool *changed_out,
                                     struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op == DYNO_OP_mha)
            DYNO_TRY(try_merge(node, changed_out, err));
    }
    return DYNO_OK;
}
