/* cudnn_conv_run.h - a convolution that the emulated cuDNN puts on a stream. */
#ifndef DYNO_TESTS_EMULATE_CUDNN_CONV_RUN_H
#define DYNO_TESTS_EMULATE_CUDNN_CONV_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/cudnn_conv.h"

/* Numbers alone: a plan's text holds them.  By enum dyno_cudnn_id: which tensors, their dimensions
 * [n][c][h][w] and the strides of these, in elements. */
struct emulate_conv {
    int64_t type, relu;
    int64_t has[DYNO_CUDNN_ID_END];
    int64_t dims[DYNO_CUDNN_ID_END][4], strides[DYNO_CUDNN_ID_END][4];
    int64_t pads[2], ends[2], steps[2], dilations[2]; /* pads before and after */
};

struct emulate_conv_run {
    struct emulate_conv conv;
    bool rounds; /* factors of f32 to TF32 */
    bool is_sum; /* of y and a bias, in rows: nothing else */
    void *data[DYNO_CUDNN_ID_END];
    void *workspace;
    size_t workspace_bytes;
    bool (*memory)(const void *at, size_t bytes); /* emulate_library_memory */
};

/* Are its numbers those of a convolution that can be done? */
bool emulate_conv_is_sound(const struct emulate_conv *conv);
unsigned emulate_conv_threads(const struct emulate_conv_run *run);
/* An emulate_call_fn. */
int emulate_conv_call(const void *data);

#endif /* DYNO_TESTS_EMULATE_CUDNN_CONV_RUN_H */
