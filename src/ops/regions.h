/* regions.h - attributes of the operators that hold sub-graphs (which live in the node). */
#ifndef DYNO_OPS_REGIONS_H
#define DYNO_OPS_REGIONS_H

#include "ops/op.h"

struct dyno_scan_attrs {
    int64_t num_scan_inputs;                 /* required: that many last inputs are scanned */
    struct dyno_i64s scan_input_axes;        /* absent: 0 each */
    struct dyno_i64s scan_input_directions;  /* 1: backwards; absent: 0 each */
    struct dyno_i64s scan_output_axes;       /* absent: 0 each */
    struct dyno_i64s scan_output_directions; /* 1: put before; absent: 0 each */
};

/* The rule without the regions: nothing is known of the outputs. */
enum dyno_status dyno_regions_infer(struct dyno_infer *ctx);

#endif /* DYNO_OPS_REGIONS_H */
