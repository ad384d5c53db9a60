/* scan.c - a region runs over the slices of its last inputs, values carried along.
 * (ONNX Scan-25) */
#include "ops/regions.h"

#define I64S(name)                                                                \
    {                                                                             \
#name, DYNO_ATTR_I64S, offsetof(struct dyno_scan_attrs, name), 0, NULL, 0 \
    }

static const struct dyno_attr attrs[] = {
    {"num_scan_inputs", DYNO_ATTR_I64, offsetof(struct dyno_scan_attrs, num_scan_inputs), 0, NULL,
     1},
    I64S(scan_input_axes),
    I64S(scan_input_directions),
    I64S(scan_output_axes),
    I64S(scan_output_directions),
};

const struct dyno_op dyno_op_scan = {
    .onnx_name = "Scan",
    .domain = "",
    .since = 25,
    .in_min = 1,
    .in_max = DYNO_OP_INPUTS_MAX,
    .out_min = 1,
    .out_max = DYNO_OP_INPUTS_MAX,
    .flags = DYNO_OP_REGIONS,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_scan_attrs),
    .infer = dyno_regions_infer,
};
