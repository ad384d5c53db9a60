/* adapt.h - old forms of operators become the newest: one row a change of an operator. */
#ifndef DYNO_ONNX_ADAPT_H
#define DYNO_ONNX_ADAPT_H

#include "onnx/importer.h"

/* Rewrites a draft whose opset is below `before`; several rows of one operator apply in order. */
struct dyno_adapter {
    const char *op;
    int64_t before;
    enum dyno_status (*adapt)(struct dyno_draft *draft);
};

#define DYNO_ANY_OPSET INT64_MAX

/* Attribute `attr` (ints, an int) becomes input idx; nothing when the attribute is absent. */
enum dyno_status dyno_adapt_ints_to_input(struct dyno_draft *draft, const char *attr, uint32_t idx);

enum dyno_status dyno_adapt_batch_norm(struct dyno_draft *draft);
enum dyno_status dyno_adapt_batch_norm_spatial(struct dyno_draft *draft);
enum dyno_status dyno_adapt_clip(struct dyno_draft *draft);
enum dyno_status dyno_adapt_dft(struct dyno_draft *draft);
enum dyno_status dyno_adapt_dropout(struct dyno_draft *draft);
enum dyno_status dyno_adapt_grid_sample(struct dyno_draft *draft);
enum dyno_status dyno_adapt_group_norm(struct dyno_draft *draft);
enum dyno_status dyno_adapt_pad(struct dyno_draft *draft);
enum dyno_status dyno_adapt_reduce(struct dyno_draft *draft);
enum dyno_status dyno_adapt_resize_10(struct dyno_draft *draft);
enum dyno_status dyno_adapt_resize_empty(struct dyno_draft *draft);
enum dyno_status dyno_adapt_roi_align(struct dyno_draft *draft);
enum dyno_status dyno_adapt_scan_8(struct dyno_draft *draft);
enum dyno_status dyno_adapt_scatter(struct dyno_draft *draft);
enum dyno_status dyno_adapt_slice(struct dyno_draft *draft);
enum dyno_status dyno_adapt_softmax(struct dyno_draft *draft);
enum dyno_status dyno_adapt_split(struct dyno_draft *draft);
enum dyno_status dyno_adapt_squeeze(struct dyno_draft *draft);
enum dyno_status dyno_adapt_top_k(struct dyno_draft *draft);
enum dyno_status dyno_adapt_upsample(struct dyno_draft *draft);

#endif /* DYNO_ONNX_ADAPT_H */
