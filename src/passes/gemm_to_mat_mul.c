/* gemm_to_mat_mul.c - Gemm becomes MatMul and Add, so that kernels see one kind of product.
 *
 * Constant operands are transposed and scaled here, once.  A Gemm that would need a transpose or a
 * factor at run time stays. */
#include "ops/gemm.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_gemm_to_mat_mul;

/* factor * B as [K, N]; `value` itself when nothing is to be done; NULL when out of memory. */
static struct dyno_value *plain_weight(struct dyno_graph *graph, struct dyno_value *value,
                                       bool transposed, float factor)
{
    const struct dyno_tensor *from = dyno_value_constant(value);
    if (!transposed && factor == 1.0F)
        return value;
    const int64_t rows = from->dims[transposed ? 1 : 0];
    const int64_t columns = from->dims[transposed ? 0 : 1];
    const int64_t dims[2] = {rows, columns};
    void *data = NULL;
    struct dyno_value *made = dyno_graph_constant_new(graph, value->name, DYNO_F32, 2, dims, &data);
    if (made == NULL)
        return NULL;
    const float *src = from->data;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t column = 0; column < columns; column++) {
            const int64_t at = transposed ? column * rows + row : row * columns + column;
            ((float *)data)[row * columns + column] = factor * src[at];
        }
    }
    return dyno_graph_constant_done(graph, made) ? made : NULL;
}

/* factor * C of C's own shape. */
static struct dyno_value *scaled(struct dyno_graph *graph, struct dyno_value *value, float factor)
{
    const struct dyno_tensor *from = dyno_value_constant(value);
    if (factor == 1.0F)
        return value;
    void *data = NULL;
    struct dyno_value *made =
        dyno_graph_constant_new(graph, value->name, DYNO_F32, from->rank, from->dims, &data);
    if (made == NULL)
        return NULL;
    const int64_t count = dyno_tensor_count(from);
    for (int64_t i = 0; i < count; i++)
        ((float *)data)[i] = factor * ((const float *)from->data)[i];
    return dyno_graph_constant_done(graph, made) ? made : NULL;
}

static bool can_become(const struct dyno_node *node)
{
    const struct dyno_gemm_attrs *attrs = node->attrs;
    if (!dyno_match_f32(node, DYNO_OP_gemm) || attrs->trans_a != 0 ||
        node->ins[0]->type.rank != 2 || node->ins[1]->type.rank != 2)
        return false;
    const bool weight_is_plain = attrs->trans_b == 0 && attrs->alpha == 1.0F;
    if (!weight_is_plain && dyno_value_constant(node->ins[1]) == NULL)
        return false;
    const bool has_c = node->in_count > 2 && node->ins[2] != NULL;
    return !has_c || attrs->beta == 1.0F || dyno_value_constant(node->ins[2]) != NULL;
}

static enum dyno_status convert(struct dyno_node *node, struct dyno_err *err)
{
    struct dyno_graph *graph = node->graph;
    const struct dyno_gemm_attrs attrs = *(const struct dyno_gemm_attrs *)node->attrs;
    struct dyno_value *c = node->in_count > 2 ? node->ins[2] : NULL;
    struct dyno_value *weight = plain_weight(graph, node->ins[1], attrs.trans_b != 0, attrs.alpha);
    if (weight == NULL)
        return DYNO_NOMEM(err);
    struct dyno_value *product[2] = {node->ins[0], weight};
    struct dyno_node *sum = NULL;
    if (c != NULL && attrs.beta != 0.0F) {
        c = scaled(graph, c, attrs.beta);
        if (c == NULL)
            return DYNO_NOMEM(err);
        sum = dyno_fuse_append(node, DYNO_OP_add, c);
        if (sum == NULL)
            return DYNO_NOMEM(err);
    }
    if (!dyno_fuse_become(node, DYNO_OP_mat_mul, product, 2))
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_node_infer(node, err));
    return sum != NULL ? dyno_node_infer(sum, err) : DYNO_OK;
}

enum dyno_status dyno_pass_gemm_to_mat_mul(struct dyno_graph *graph, bool *changed_out,
                                           struct dyno_err *err)
{
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (!can_become(node))
            continue;
        DYNO_TRY(convert(node, err));
        *changed_out = true;
    }
    return DYNO_OK;
}
