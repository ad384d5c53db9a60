/* reorder.c - y = x in another memory layout, which only the plan sees.  (Dyno) */
#include "ops/infer.h"
#include "ops/ref.h"

const struct dyno_op dyno_op_reorder = {
    .onnx_name = "Reorder",
    .domain = "dyno",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = dyno_infer_same_as_input,
    .reference = dyno_ref_view,
};
