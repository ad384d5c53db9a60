/* adapt_forms.c - changes between opsets that change what an operator means. */
#include <inttypes.h>
#include <string.h>

#include "onnx/adapt.h"

static bool attr_is(const struct dyno_proto_attr *attr, const char *text)
{
    return attr != NULL && attr->s.bytes == strlen(text) &&
           memcmp(attr->s.text, text, attr->s.bytes) == 0;
}

/* --- normalisations --- */

/* Opset 7 could normalise every position by itself. */
enum dyno_status dyno_adapt_batch_norm_spatial(struct dyno_draft *draft)
{
    const struct dyno_proto_attr *spatial = dyno_draft_attr(draft, "spatial");
    if (spatial != NULL && spatial->i == 0)
        dyno_draft_problem(draft, DYNO_E_UNSUPPORTED,
                           "attribute spatial is 0, only statistics per channel are supported");
    dyno_draft_drop_attr(draft, "spatial");
    return DYNO_OK;
}

/* Before opset 14 further outputs meant training; a model for inference does not use them. */
enum dyno_status dyno_adapt_batch_norm(struct dyno_draft *draft)
{
    if (draft->out_count > 1)
        draft->out_count = 1;
    return DYNO_OK;
}

/* Opset 18 had scale and bias a group, opset 21 has them a channel. */
static enum dyno_status per_channel(struct dyno_draft *draft, uint32_t idx,
                                    const char *const *names, int64_t groups, int64_t channels)
{
    const int64_t axis = 1;
    const int64_t spread[2] = {groups, channels / groups};
    struct dyno_value *ins[2] = {draft->ins[idx], dyno_draft_ints(draft, names[0], 1, &axis, 1)};
    struct dyno_node *node =
        ins[1] != NULL ? dyno_draft_helper(draft, "Unsqueeze", names[1], ins, 2) : NULL;
    if (node == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    DYNO_TRY(dyno_draft_infer(draft, node));
    ins[0] = node->outs[0];
    ins[1] = dyno_draft_ints(draft, names[2], 1, spread, 2);
    node = ins[1] != NULL ? dyno_draft_helper(draft, "Expand", names[3], ins, 2) : NULL;
    if (node == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    DYNO_TRY(dyno_draft_infer(draft, node));
    ins[0] = node->outs[0];
    ins[1] = dyno_draft_ints(draft, names[4], 1, &channels, 1);
    node = ins[1] != NULL ? dyno_draft_helper(draft, "Reshape", names[5], ins, 2) : NULL;
    if (node == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    draft->ins[idx] = node->outs[0];
    return dyno_draft_infer(draft, node);
}

enum dyno_status dyno_adapt_group_norm(struct dyno_draft *draft)
{
    static const char *const scale[] = {"scale_axis",   "scale_column", "scale_shape",
                                        "scale_expand", "scale_count",  "scale"};
    static const char *const bias[] = {"bias_axis",   "bias_column", "bias_shape",
                                       "bias_expand", "bias_count",  "bias"};
    const struct dyno_proto_attr *groups = dyno_draft_attr(draft, "num_groups");
    int64_t channels = 0;
    if (groups == NULL || draft->in_count != 3 || draft->ins[0] == NULL || draft->ins[1] == NULL ||
        draft->ins[2] == NULL)
        return DYNO_OK; /* refused by the operator's own rules */
    if (groups->i < 1 || !dyno_value_dim(draft->scope->graph, draft->ins[0], 1, &channels) ||
        channels % groups->i != 0) {
        dyno_draft_problem(draft, DYNO_E_UNSUPPORTED,
                           "of opset %" PRId64
                           " needs a known number of channels that num_groups (%" PRId64
                           ") divides",
                           draft->opset, groups->i);
        return DYNO_OK;
    }
    DYNO_TRY(per_channel(draft, 1, scale, groups->i, channels));
    return per_channel(draft, 2, bias, groups->i, channels);
}

/* --- softmax and its kin: before opset 13 over everything from `axis` on --- */

static enum dyno_status flatten_around(struct dyno_draft *draft, int64_t axis)
{
    struct dyno_value *x = draft->ins[0];
    struct dyno_node *flat = dyno_draft_helper(draft, "Flatten", "flat", &x, 1);
    if (flat == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_node_set_i64(flat, "axis", axis);
    DYNO_TRY(dyno_draft_infer(draft, flat));
    struct dyno_node *rows = dyno_draft_helper(draft, draft->op, "rows", &flat->outs[0], 1);
    if (rows == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_node_set_i64(rows, "axis", -1);
    DYNO_TRY(dyno_draft_infer(draft, rows));
    struct dyno_node *shape = dyno_draft_helper(draft, "Shape", "shape", &x, 1);
    if (shape == NULL)
        return DYNO_NOMEM(draft->scope->imp->err);
    DYNO_TRY(dyno_draft_infer(draft, shape));
    draft->op = "Reshape";
    draft->attr_count = 0;
    if (!dyno_draft_set_in(draft, 0, rows->outs[0]) || !dyno_draft_set_in(draft, 1, shape->outs[0]))
        return DYNO_NOMEM(draft->scope->imp->err);
    return DYNO_OK;
}

enum dyno_status dyno_adapt_softmax(struct dyno_draft *draft)
{
    const struct dyno_proto_attr *attr = dyno_draft_attr(draft, "axis");
    int64_t axis = attr != NULL ? attr->i : 1;
    if (draft->in_count != 1 || draft->ins[0] == NULL)
        return DYNO_OK; /* refused by the operator's own rules */
    const int rank = draft->ins[0]->type.rank;
    if (rank >= 0 && axis < 0)
        axis += rank;
    if (rank >= 0 ? axis == rank - 1 : axis == -1)
        return dyno_draft_set_int(draft, "axis", -1) ? DYNO_OK : DYNO_NOMEM(draft->scope->imp->err);
    return flatten_around(draft, axis);
}

/* --- sampling --- */

/* Opset 10: position x of the output is x / scale of the input, rounded down. */
static enum dyno_status resize_as_10(struct dyno_draft *draft)
{
    struct dyno_value *scales = draft->in_count > 1 ? draft->ins[1] : NULL;
    draft->op = "Resize";
    if (!dyno_draft_set_in(draft, 2, scales) || !dyno_draft_set_in(draft, 1, NULL) ||
        !dyno_draft_set_str(draft, "coordinate_transformation_mode", "asymmetric") ||
        !dyno_draft_set_str(draft, "nearest_mode", "floor"))
        return DYNO_NOMEM(draft->scope->imp->err);
    return DYNO_OK;
}

enum dyno_status dyno_adapt_resize_10(struct dyno_draft *draft)
{
    return resize_as_10(draft);
}

/* Opset 7 has the scales in an attribute, opset 9 in an input. */
enum dyno_status dyno_adapt_upsample(struct dyno_draft *draft)
{
    const struct dyno_proto_attr *attr = dyno_draft_attr(draft, "scales");
    if (attr != NULL) {
        const int64_t dims[1] = {attr->floats.count};
        void *data = NULL;
        struct dyno_graph *graph = draft->scope->graph;
        struct dyno_value *scales = dyno_graph_constant_new(graph, NULL, DYNO_F32, 1, dims, &data);
        if (scales == NULL)
            return DYNO_NOMEM(draft->scope->imp->err);
        if (attr->floats.count > 0)
            memcpy(data, attr->floats.at, attr->floats.count * sizeof(float));
        if (!dyno_graph_constant_done(graph, scales) || !dyno_draft_set_in(draft, 1, scales))
            return DYNO_NOMEM(draft->scope->imp->err);
        dyno_draft_drop_attr(draft, "scales");
    }
    if (attr_is(dyno_draft_attr(draft, "mode"), "bilinear") &&
        !dyno_draft_set_str(draft, "mode", "linear"))
        return DYNO_NOMEM(draft->scope->imp->err);
    return resize_as_10(draft);
}

/* An empty roi or empty scales is how opset 11 said "absent". */
enum dyno_status dyno_adapt_resize_empty(struct dyno_draft *draft)
{
    for (uint32_t i = 1; i < draft->in_count && i < 3; i++) {
        const struct dyno_value *value = draft->ins[i];
        int64_t count = -1;
        if (value != NULL && value->type.rank == 1 &&
            dyno_expr_is_const(draft->scope->graph->exprs, value->type.dims[0], &count) &&
            count == 0)
            draft->ins[i] = NULL;
    }
    while (draft->in_count > 1 && draft->ins[draft->in_count - 1] == NULL)
        draft->in_count--;
    return DYNO_OK;
}

/* Opset 20 renamed the modes. */
enum dyno_status dyno_adapt_grid_sample(struct dyno_draft *draft)
{
    const struct dyno_proto_attr *mode = dyno_draft_attr(draft, "mode");
    bool ok = true;
    if (attr_is(mode, "bilinear"))
        ok = dyno_draft_set_str(draft, "mode", "linear");
    else if (attr_is(mode, "bicubic"))
        ok = dyno_draft_set_str(draft, "mode", "cubic");
    return ok ? DYNO_OK : DYNO_NOMEM(draft->scope->imp->err);
}

/* Opset 16 shifted the default by half a pixel. */
enum dyno_status dyno_adapt_roi_align(struct dyno_draft *draft)
{
    return dyno_draft_set_str(draft, "coordinate_transformation_mode", "output_half_pixel")
               ? DYNO_OK
               : DYNO_NOMEM(draft->scope->imp->err);
}

/* --- control flow --- */

/* Opset 8 scanned each item of a batch by itself. */
enum dyno_status dyno_adapt_scan_8(struct dyno_draft *draft)
{
    dyno_draft_problem(draft, DYNO_E_UNSUPPORTED,
                       "of opset %" PRId64 " has a batch axis, only opset 9 and later is supported",
                       draft->opset);
    return DYNO_OK;
}
