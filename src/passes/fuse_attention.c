/* fuse_attention.c - multi-head attention out of what exporters write:
 *
 *   heads(q), heads(k)^T, heads(v);  softmax(q k^T * scale + mask) v;  Transpose, Reshape
 *
 * becomes dyno.MultiHeadAttention on the 3-D projections.  The heads are followed back from the
 * products through Transpose, Squeeze, Slice, Split, Gather and products with numbers, keeping
 * account of what each axis means, until a Reshape splits the last axis of a [batch, time, width]
 * value.  So q, k and v may be parts of one packed projection, and the scale may sit anywhere. */
#include <string.h>

#include "ops/mha.h"
#include "ops/softmax.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_attention;

/* What an axis means.  PART: one of the parts of a packed projection. */
enum meaning { BATCH, HEAD, TIME, DIM, PART };

struct axes {
    int rank;
    enum meaning of[DYNO_RANK_MAX];
    int64_t part; /* index along PART */
};

/* Where the heads come from. */
struct source {
    struct dyno_value *value; /* [batch, time, width] */
    int64_t offset;           /* into the width */
    double scale;
    dyno_expr batch, time;
    int64_t heads, dim;
    struct dyno_match *match;
};

/* --- one step back; each changes axes and returns the value before, NULL: not understood --- */

static struct dyno_value *back_transpose(const struct dyno_node *node, struct axes *axes)
{
    const struct dyno_i64s *perm = dyno_match_attr(node, "perm", DYNO_ATTR_I64S);
    struct axes before = *axes;
    for (int i = 0; i < axes->rank; i++) {
        const int from = perm != NULL && perm->at != NULL ? (int)perm->at[i] : axes->rank - 1 - i;
        before.of[from] = axes->of[i];
    }
    *axes = before;
    return node->ins[0];
}

static bool insert_part(struct axes *axes, int at)
{
    if (at < 0 || at > axes->rank || axes->rank == DYNO_RANK_MAX)
        return false;
    for (int i = 0; i < axes->rank; i++) {
        if (axes->of[i] == PART)
            return false;
    }
    memmove(&axes->of[at + 1], &axes->of[at], (size_t)(axes->rank - at) * sizeof(axes->of[0]));
    axes->of[at] = PART;
    axes->part = 0;
    axes->rank++;
    return true;
}

/* Squeeze, or a Reshape that does the same: one axis of size 1 goes. */
static struct dyno_value *back_squeeze(const struct dyno_node *node, struct axes *axes)
{
    const struct dyno_type *in = &node->ins[0]->type;
    const struct dyno_type *out = &node->outs[0]->type;
    int64_t size = 0;
    if (in->rank != out->rank + 1)
        return NULL;
    int gone = out->rank; /* from the right: a part is most often the first axis */
    while (gone > 0 && in->dims[gone] == out->dims[gone - 1])
        gone--;
    for (int i = 0; i < gone; i++) {
        if (in->dims[i] != out->dims[i])
            return NULL;
    }
    if (!dyno_value_dim(node->graph, node->ins[0], gone, &size) || size != 1)
        return NULL;
    return insert_part(axes, gone) ? node->ins[0] : NULL;
}

/* Gather of one index along one axis. */
static struct dyno_value *back_gather(const struct dyno_node *node, struct axes *axes)
{
    const int rank = node->ins[0]->type.rank;
    int64_t axis = dyno_match_attr_i64(node, "axis", 0);
    int64_t index = 0;
    int64_t size = 0;
    uint32_t count = 0;
    axis = axis < 0 ? axis + rank : axis;
    if (node->ins[1]->type.rank != 0 ||
        !dyno_match_ints(node->graph, node->ins[1], &index, 1, &count) || count != 1 ||
        !dyno_value_dim(node->graph, node->ins[0], (int)axis, &size) ||
        !insert_part(axes, (int)axis))
        return NULL;
    axes->part = index < 0 ? index + size : index;
    return node->ins[0];
}

/* Where along which axis a Slice or one output of a Split begins; false: more than one axis, a
 * step, or not known. */
static bool slice_start(const struct dyno_value *value, int *axis_out, int64_t *start_out)
{
    const struct dyno_node *node = value->producer;
    const struct dyno_graph *graph = node->graph;
    int64_t numbers[4] = {0, 0, 0, 1}; /* start, -, axis, step */
    const int rank = node->ins[0]->type.rank;
    for (uint32_t i = 1; i < 5; i++) {
        uint32_t count = 0;
        if (i == 2 || i >= node->in_count || node->ins[i] == NULL)
            continue;
        if (!dyno_match_ints(graph, node->ins[i], &numbers[i - 1], 1, &count) || count != 1)
            return false;
    }
    const int axis = (int)(numbers[2] < 0 ? numbers[2] + rank : numbers[2]);
    int64_t size = 0;
    if (numbers[3] != 1 || !dyno_value_dim(graph, node->ins[0], axis, &size))
        return false;
    *axis_out = axis;
    *start_out = numbers[0] < 0 ? numbers[0] + size : numbers[0];
    return *start_out >= 0 && *start_out < size;
}

static bool split_start(const struct dyno_value *value, int *axis_out, int64_t *start_out)
{
    const struct dyno_node *node = value->producer;
    const int rank = node->ins[0]->type.rank;
    int64_t axis = dyno_match_attr_i64(node, "axis", 0);
    int64_t sizes[DYNO_RANK_MAX];
    int64_t size = 0;
    uint32_t count = 0;
    axis = axis < 0 ? axis + rank : axis;
    *axis_out = (int)axis;
    *start_out = 0;
    if (node->in_count > 1 && node->ins[1] != NULL) {
        if (!dyno_match_ints(node->graph, node->ins[1], sizes, DYNO_RANK_MAX, &count) ||
            value->producer_out_idx >= count)
            return false;
        for (uint32_t i = 0; i < value->producer_out_idx; i++)
            *start_out += sizes[i];
        return true;
    }
    const int64_t parts = dyno_match_attr_i64(node, "num_outputs", 0);
    if (parts <= 0 || !dyno_value_dim(node->graph, node->ins[0], (int)axis, &size))
        return false;
    *start_out = (size + parts - 1) / parts * value->producer_out_idx;
    return true;
}

static bool start_of(const struct dyno_value *value, int *axis_out, int64_t *start_out)
{
    if (value->producer->op == DYNO_OP_slice)
        return slice_start(value, axis_out, start_out);
    return value->producer->op == DYNO_OP_split && split_start(value, axis_out, start_out);
}

/* Slice or Split along the axis of the parts. */
static struct dyno_value *back_slice(const struct dyno_value *value, struct axes *axes)
{
    int axis = 0;
    int64_t start = 0;
    if (!start_of(value, &axis, &start) || axis >= axes->rank || axes->of[axis] != PART)
        return NULL;
    axes->part += start;
    return value->producer->ins[0];
}

static struct dyno_value *back_scale(const struct dyno_node *node, double *scale)
{
    double number = 1.0;
    struct dyno_value *value = dyno_match_beside_scalar(node, &number);
    if (value == NULL || !dyno_match_same_type(value, node->outs[0]))
        return NULL;
    *scale *= node->op == DYNO_OP_div ? 1.0 / number : number;
    return value;
}

/* --- the whole way --- */

/* The Reshape that splits the width: [batch, time, width] to [batch, time, (part,) head, dim]. */
static bool is_head_split(const struct dyno_node *node, const struct axes *axes,
                          const struct source *source)
{
    static const enum meaning packed[] = {BATCH, TIME, PART, HEAD, DIM};
    static const enum meaning single[] = {BATCH, TIME, HEAD, DIM};
    const struct dyno_type *in = &node->ins[0]->type;
    const enum meaning *want = axes->rank == 5 ? packed : single;
    int64_t width = 0;
    int64_t parts = 1;
    if ((axes->rank != 4 && axes->rank != 5) || in->rank != 3 || in->dtype != DYNO_F32 ||
        memcmp(axes->of, want, (size_t)axes->rank * sizeof(*want)) != 0)
        return false;
    if (axes->rank == 5 && !dyno_value_dim(node->graph, node->outs[0], 2, &parts))
        return false;
    return in->dims[0] == source->batch && in->dims[1] == source->time &&
           dyno_value_dim(node->graph, node->ins[0], 2, &width) &&
           width == parts * source->heads * source->dim;
}

static bool is_plain_node(const struct dyno_node *node, const struct dyno_node *user)
{
    return node != NULL && node->graph == user->graph && node->tail.instr_count == 0;
}

/* Behind the split: the value may be a part of a wider one, or scaled. */
static void follow_width(struct source *source, const struct dyno_node *user, bool may_scale)
{
    for (;;) {
        struct dyno_node *node = source->value->producer;
        int axis = 0;
        int64_t start = 0;
        struct dyno_value *before = NULL;
        if (!is_plain_node(node, user))
            return;
        if (may_scale && (dyno_match_f32(node, DYNO_OP_mul) || dyno_match_f32(node, DYNO_OP_div)))
            before = back_scale(node, &source->scale);
        else if (start_of(source->value, &axis, &start) && axis == 2)
            before = node->ins[0];
        if (before == NULL || before->type.rank != 3)
            return;
        source->offset += start;
        source->value = before;
        dyno_match_add(source->match, node);
    }
}

/* From the heads `value`, whose axes mean `axes`, to their source. */
static bool find_source(struct dyno_value *value, struct axes axes, const struct dyno_node *user,
                        bool may_scale, struct source *source)
{
    source->scale = 1.0;
    for (int i = 0; i < axes.rank; i++) {
        if (axes.of[i] == BATCH)
            source->batch = value->type.dims[i];
        else if (axes.of[i] == TIME)
            source->time = value->type.dims[i];
        else if (!dyno_value_dim(user->graph, value, i,
                                 axes.of[i] == HEAD ? &source->heads : &source->dim))
            return false;
    }
    for (;;) {
        struct dyno_node *node = value->producer;
        struct dyno_value *before = NULL;
        if (!is_plain_node(node, user))
            return false;
        dyno_match_add(source->match, node);
        if (node->op == DYNO_OP_reshape && is_head_split(node, &axes, source)) {
            source->value = node->ins[0];
            source->offset = axes.rank == 5 ? axes.part * source->heads * source->dim : 0;
            follow_width(source, user, may_scale);
            return true;
        }
        if (node->op == DYNO_OP_transpose)
            before = back_transpose(node, &axes);
        else if (node->op == DYNO_OP_squeeze || node->op == DYNO_OP_reshape)
            before = back_squeeze(node, &axes);
        else if (node->op == DYNO_OP_gather)
            before = back_gather(node, &axes);
        else if (node->op == DYNO_OP_slice || node->op == DYNO_OP_split)
            before = back_slice(value, &axes);
        else if (may_scale &&
                 (dyno_match_f32(node, DYNO_OP_mul) || dyno_match_f32(node, DYNO_OP_div)))
            before = back_scale(node, &source->scale);
        if (before == NULL || before->type.rank != axes.rank)
            return false;
        value = before;
    }
}

/* --- the pattern --- */

struct attention {
    struct source q, k, v;
    struct dyno_value *mask; /* NULL: none */
    double scale;
    struct dyno_match match;
};

static bool is_all_zero(const struct dyno_value *value)
{
    const struct dyno_tensor *tensor = dyno_value_constant(value);
    if (tensor == NULL)
        return false;
    const int64_t count = dyno_tensor_count(tensor);
    for (int64_t i = 0; i < count; i++) {
        if (((const float *)tensor->data)[i] != 0.0F)
            return false;
    }
    return true;
}

/* The mask's addition: which input of `add` is the scores; 2: not a mask. */
static uint32_t scores_side(const struct dyno_node *add)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct dyno_node *made = dyno_match_any(add, i);
        if (made != NULL &&
            (made->op == DYNO_OP_mat_mul || made->op == DYNO_OP_mul || made->op == DYNO_OP_div) &&
            dyno_match_same_type(add->ins[i], add->outs[0]) &&
            dyno_match_broadcasts(add->graph, add->ins[1 - i], add->outs[0]))
            return i;
    }
    return 2;
}

/* The product q k^T behind the scores that `softmax` takes. */
static struct dyno_node *find_scores(const struct dyno_node *softmax, struct attention *found)
{
    struct dyno_value *value = softmax->ins[0];
    struct dyno_node *add = dyno_match_in(softmax, 0, DYNO_OP_add);
    if (add != NULL) {
        const uint32_t side = scores_side(add);
        if (side == 2)
            return NULL;
        found->mask = add->ins[1 - side];
        value = add->ins[side];
        dyno_match_add(&found->match, add);
    }
    while (value != NULL && is_plain_node(value->producer, softmax)) {
        struct dyno_node *node = value->producer;
        dyno_match_add(&found->match, node);
        if (dyno_match_f32(node, DYNO_OP_mat_mul))
            return node;
        value = NULL;
        if (dyno_match_f32(node, DYNO_OP_mul) || dyno_match_f32(node, DYNO_OP_div))
            value = back_scale(node, &found->scale);
    }
    return NULL;
}

static bool find_sources(struct dyno_node *scores, struct dyno_node *product,
                         struct attention *found)
{
    static const struct axes plain = {.rank = 4, .of = {BATCH, HEAD, TIME, DIM}};
    static const struct axes transposed = {.rank = 4, .of = {BATCH, HEAD, DIM, TIME}};
    found->q.match = &found->match;
    found->k.match = &found->match;
    found->v.match = &found->match;
    return scores->outs[0]->type.rank == 4 && product->outs[0]->type.rank == 4 &&
           scores->ins[0]->type.rank == 4 && scores->ins[1]->type.rank == 4 &&
           product->ins[1]->type.rank == 4 &&
           find_source(scores->ins[0], plain, scores, true, &found->q) &&
           find_source(scores->ins[1], transposed, scores, true, &found->k) &&
           find_source(product->ins[1], plain, product, false, &found->v) &&
           found->q.batch == found->k.batch && found->q.batch == found->v.batch &&
           found->k.time == found->v.time && found->q.heads == found->k.heads &&
           found->q.heads == found->v.heads && found->q.dim == found->k.dim;
}

/* Softmax along the last axis of a rank-4 value. */
static bool is_row_softmax(const struct dyno_node *softmax)
{
    const struct dyno_softmax_attrs *attrs = softmax->attrs;
    return dyno_match_f32(softmax, DYNO_OP_softmax) && softmax->ins[0]->type.rank == 4 &&
           (attrs->axis == -1 || attrs->axis == 3);
}

/* The pattern whose last node is the Reshape `root`. */
static bool match_attention(struct dyno_node *root, struct attention *found)
{
    static const int64_t perm[] = {0, 2, 1, 3};
    struct dyno_node *back = dyno_match_in(root, 0, DYNO_OP_transpose);
    if (!dyno_match_perm(back, perm, 4))
        return false;
    struct dyno_node *product = dyno_match_in(back, 0, DYNO_OP_mat_mul);
    struct dyno_node *softmax = product != NULL ? dyno_match_in(product, 0, DYNO_OP_softmax) : NULL;
    if (softmax == NULL || !is_row_softmax(softmax) ||
        dyno_value_sole_user(softmax->outs[0]) != product)
        return false;
    *found = (struct attention){.scale = 1.0};
    dyno_match_add(&found->match, back);
    dyno_match_add(&found->match, product);
    dyno_match_add(&found->match, softmax);
    struct dyno_node *scores = find_scores(softmax, found);
    if (scores == NULL || !find_sources(scores, product, found))
        return false;
    const struct dyno_type *out = &root->outs[0]->type;
    int64_t width = 0;
    return out->rank == 3 && out->dims[0] == found->q.batch && out->dims[1] == found->q.time &&
           dyno_value_dim(root->graph, root->outs[0], 2, &width) &&
           width == found->v.heads * found->v.dim;
}

static enum dyno_status rewrite(struct dyno_node *root, struct attention *found,
                                struct dyno_err *err)
{
    struct dyno_value *ins[4] = {found->q.value, found->k.value, found->v.value, found->mask};
    const bool has_mask = found->mask != NULL && !is_all_zero(found->mask);
    if (!dyno_fuse_become(root, DYNO_OP_mha, ins, has_mask ? 4 : 3))
        return DYNO_NOMEM(err);
    struct dyno_mha_attrs *attrs = root->attrs;
    *attrs = (struct dyno_mha_attrs){
        .heads = found->q.heads,
        .head_dim = found->q.dim,
        .v_head_dim = found->v.dim != found->q.dim ? found->v.dim : 0,
        .scale = (float)(found->scale * found->q.scale * found->k.scale),
        .q_offset = found->q.offset,
        .k_offset = found->k.offset,
        .v_offset = found->v.offset,
    };
    return dyno_fuse_absorb(root, &found->match) ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_pass_fuse_attention(struct dyno_graph *graph, bool *changed_out,
                                          struct dyno_err *err)
{
    struct attention found;
    for (struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (node->op != DYNO_OP_reshape || !match_attention(node, &found))
            continue;
        DYNO_TRY(rewrite(node, &found, err));
        *changed_out = true;
    }
    return DYNO_OK;
}
