/* adapt.c - the table of changes between opsets, and the changes that only move attributes. */
#include "onnx/adapt.h"

#include <string.h>

/* Sorted by name, then by opset.  Changes that only add attributes or types need no row. */
static const struct dyno_adapter adapters[] = {
    {"BatchNormalization", 9, dyno_adapt_batch_norm_spatial},
    {"BatchNormalization", 14, dyno_adapt_batch_norm},
    {"Clip", 11, dyno_adapt_clip},
    {"DFT", 20, dyno_adapt_dft},
    {"Dropout", 12, dyno_adapt_dropout},
    {"GridSample", 20, dyno_adapt_grid_sample},
    {"GroupNormalization", 21, dyno_adapt_group_norm},
    {"Hardmax", 13, dyno_adapt_softmax},
    {"LogSoftmax", 13, dyno_adapt_softmax},
    {"Pad", 11, dyno_adapt_pad},
    {"ReduceL1", 18, dyno_adapt_reduce},
    {"ReduceL2", 18, dyno_adapt_reduce},
    {"ReduceLogSum", 18, dyno_adapt_reduce},
    {"ReduceLogSumExp", 18, dyno_adapt_reduce},
    {"ReduceMax", 18, dyno_adapt_reduce},
    {"ReduceMean", 18, dyno_adapt_reduce},
    {"ReduceMin", 18, dyno_adapt_reduce},
    {"ReduceProd", 18, dyno_adapt_reduce},
    {"ReduceSum", 13, dyno_adapt_reduce},
    {"ReduceSumSquare", 18, dyno_adapt_reduce},
    {"Resize", 11, dyno_adapt_resize_10},
    {"Resize", DYNO_ANY_OPSET, dyno_adapt_resize_empty},
    {"RoiAlign", 16, dyno_adapt_roi_align},
    {"Scan", 9, dyno_adapt_scan_8},
    {"Scatter", 11, dyno_adapt_scatter},
    {"Slice", 10, dyno_adapt_slice},
    {"Softmax", 13, dyno_adapt_softmax},
    {"Split", 13, dyno_adapt_split},
    {"Squeeze", 13, dyno_adapt_squeeze},
    {"TopK", 10, dyno_adapt_top_k},
    {"Unsqueeze", 13, dyno_adapt_squeeze},
    {"Upsample", 10, dyno_adapt_upsample},
};

enum dyno_status dyno_draft_adapt(struct dyno_draft *draft)
{
    for (size_t i = 0; i < DYNO_COUNT(adapters); i++) {
        if (draft->opset < adapters[i].before && strcmp(draft->op, adapters[i].op) == 0)
            DYNO_TRY(adapters[i].adapt(draft));
        if (draft->failed)
            return DYNO_OK;
    }
    return DYNO_OK;
}

enum dyno_status dyno_adapt_ints_to_input(struct dyno_draft *draft, const char *attr, uint32_t idx)
{
    const struct dyno_proto_attr *found = dyno_draft_attr(draft, attr);
    if (found == NULL)
        return DYNO_OK;
    struct dyno_value *value = NULL;
    if (found->type == DYNO_PROTO_INTS) {
        value = dyno_draft_ints(draft, attr, 1, found->ints.at, found->ints.count);
    } else if (found->type == DYNO_PROTO_INT) {
        value = dyno_draft_ints(draft, attr, 1, &found->i, 1);
    } else {
        dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute %s must be ints", attr);
        return DYNO_OK;
    }
    if (value == NULL || !dyno_draft_set_in(draft, idx, value))
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_draft_drop_attr(draft, attr);
    return DYNO_OK;
}

enum dyno_status dyno_adapt_reduce(struct dyno_draft *draft)
{
    return dyno_adapt_ints_to_input(draft, "axes", 1);
}

enum dyno_status dyno_adapt_squeeze(struct dyno_draft *draft)
{
    return dyno_adapt_ints_to_input(draft, "axes", 1);
}

enum dyno_status dyno_adapt_split(struct dyno_draft *draft)
{
    return dyno_adapt_ints_to_input(draft, "split", 1);
}

enum dyno_status dyno_adapt_top_k(struct dyno_draft *draft)
{
    return dyno_adapt_ints_to_input(draft, "k", 1);
}

enum dyno_status dyno_adapt_slice(struct dyno_draft *draft)
{
    DYNO_TRY(dyno_adapt_ints_to_input(draft, "starts", 1));
    DYNO_TRY(dyno_adapt_ints_to_input(draft, "ends", 2));
    return dyno_adapt_ints_to_input(draft, "axes", 3);
}

/* Attribute `attr` (a float) becomes input idx, a scalar of input 0's type. */
static enum dyno_status float_to_input(struct dyno_draft *draft, const char *attr, uint32_t idx)
{
    const struct dyno_proto_attr *found = dyno_draft_attr(draft, attr);
    if (found == NULL)
        return DYNO_OK;
    if (found->type != DYNO_PROTO_FLOAT) {
        dyno_draft_problem(draft, DYNO_E_FORMAT, "attribute %s must be a float", attr);
        return DYNO_OK;
    }
    enum dyno_dtype dtype = DYNO_F32;
    if (draft->in_count > 0 && draft->ins[0] != NULL &&
        dyno_dtype_is_float(draft->ins[0]->type.dtype))
        dtype = draft->ins[0]->type.dtype;
    struct dyno_value *value = dyno_draft_scalar(draft, attr, dtype, (double)found->f);
    if (value == NULL || !dyno_draft_set_in(draft, idx, value))
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_draft_drop_attr(draft, attr);
    return DYNO_OK;
}

enum dyno_status dyno_adapt_clip(struct dyno_draft *draft)
{
    DYNO_TRY(float_to_input(draft, "min", 1));
    return float_to_input(draft, "max", 2);
}

enum dyno_status dyno_adapt_pad(struct dyno_draft *draft)
{
    DYNO_TRY(dyno_adapt_ints_to_input(draft, "pads", 1));
    return float_to_input(draft, "value", 2);
}

enum dyno_status dyno_adapt_dropout(struct dyno_draft *draft)
{
    return float_to_input(draft, "ratio", 1);
}

/* Opset 17 names the axis (default 1) in an attribute, opset 20 in an input (default -2). */
enum dyno_status dyno_adapt_dft(struct dyno_draft *draft)
{
    const struct dyno_proto_attr *found = dyno_draft_attr(draft, "axis");
    const int64_t axis = found != NULL ? found->i : 1;
    struct dyno_value *value = dyno_draft_ints(draft, "axis", 0, &axis, 1);
    if (value == NULL || !dyno_draft_set_in(draft, 2, value))
        return DYNO_NOMEM(draft->scope->imp->err);
    dyno_draft_drop_attr(draft, "axis");
    return DYNO_OK;
}

/* ScatterElements had that name first. */
enum dyno_status dyno_adapt_scatter(struct dyno_draft *draft)
{
    draft->op = "ScatterElements";
    return DYNO_OK;
}
