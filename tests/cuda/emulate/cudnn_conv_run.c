/* cudnn_conv_run.c - a convolution in f32, element by element. */
#include "cudnn_conv_run.h"

#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "emulate.h"

static enum dyno_dtype dtype_of(int64_t type)
{
    if (type == DYNO_CUDNN_HALF)
        return DYNO_F16;
    return type == DYNO_CUDNN_FLOAT ? DYNO_F32 : DYNO_BF16;
}

static float load(int64_t type, const void *data, int64_t at)
{
    return (float)dyno_elem_load_f64(dtype_of(type), data, (size_t)at);
}

static void store(int64_t type, void *data, int64_t at, float value)
{
    dyno_elem_store_f64(dtype_of(type), data, (size_t)at, (double)value);
}

static int64_t place(const struct emulate_conv *conv, int id, int64_t n, int64_t c, int64_t h,
                     int64_t w)
{
    const int64_t *strides = conv->strides[id];
    return n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3];
}

bool emulate_conv_is_sound(const struct emulate_conv *conv)
{
    const int64_t *x = conv->dims[DYNO_CUDNN_X], *w = conv->dims[DYNO_CUDNN_W];
    const int64_t *y = conv->dims[DYNO_CUDNN_Y];
    for (int id = 1; id < DYNO_CUDNN_ID_END; id++) {
        for (int i = 0; i < 4; i++) {
            if (conv->has[id] != 0 && (conv->dims[id][i] < 1 || conv->dims[id][i] > 1 << 20 ||
                                       conv->strides[id][i] < 1 || conv->strides[id][i] > 1 << 28))
                return false;
        }
    }
    return conv->has[DYNO_CUDNN_X] == 1 && conv->has[DYNO_CUDNN_W] == 1 &&
           conv->has[DYNO_CUDNN_Y] == 1 && w[1] > 0 && x[1] % w[1] == 0 && y[0] == x[0] &&
           y[1] == w[0] && w[0] % (x[1] / w[1]) == 0;
}

unsigned emulate_conv_threads(const struct emulate_conv_run *run)
{
    const int64_t *y = run->conv.dims[DYNO_CUDNN_Y];
    return (unsigned)(y[0] * y[1] * y[2] * y[3] / 16 + 1);
}

/* A factor, as the engine multiplies it. */
static float factor(const struct emulate_conv_run *run, int id, int64_t at)
{
    const float value = load(run->conv.type, run->data[id], at);
    uint32_t bits = 0;
    if (!run->rounds || run->conv.type != DYNO_CUDNN_FLOAT)
        return value;
    memcpy(&bits, &value, sizeof(bits));
    bits = (bits & 0x7F800000U) != 0x7F800000U ? (bits + 0x1000U) & ~0x1FFFU : bits;
    float rounded = 0.0F;
    memcpy(&rounded, &bits, sizeof(rounded));
    return rounded;
}

static float sum_of(const struct emulate_conv_run *run, int64_t n, int64_t m, int64_t oh,
                    int64_t ow)
{
    const struct emulate_conv *conv = &run->conv;
    const int64_t *x = conv->dims[DYNO_CUDNN_X], *w = conv->dims[DYNO_CUDNN_W];
    const int64_t first = m / (w[0] / (x[1] / w[1])) * w[1]; /* channel of the group */
    float sum = 0.0F;
    for (int64_t kh = 0; kh < w[2]; kh++) {
        const int64_t h = oh * conv->steps[0] - conv->pads[0] + kh * conv->dilations[0];
        for (int64_t kw = 0; kw < w[3] && h >= 0 && h < x[2]; kw++) {
            const int64_t at = ow * conv->steps[1] - conv->pads[1] + kw * conv->dilations[1];
            for (int64_t c = 0; c < w[1] && at >= 0 && at < x[3]; c++)
                sum += factor(run, DYNO_CUDNN_X, place(conv, DYNO_CUDNN_X, n, first + c, h, at)) *
                       factor(run, DYNO_CUDNN_W, place(conv, DYNO_CUDNN_W, m, c, kh, kw));
        }
    }
    return sum;
}

static void make_element(const struct emulate_conv_run *run, int64_t n, int64_t m, int64_t oh,
                         int64_t ow)
{
    const struct emulate_conv *conv = &run->conv;
    const int64_t at = place(conv, DYNO_CUDNN_Y, n, m, oh, ow);
    float value = sum_of(run, n, m, oh, ow);
    if (conv->has[DYNO_CUDNN_Z] != 0)
        value += load(conv->type, run->data[DYNO_CUDNN_Z], place(conv, DYNO_CUDNN_Z, n, m, oh, ow));
    if (conv->has[DYNO_CUDNN_BIAS] != 0)
        value += load(conv->type, run->data[DYNO_CUDNN_BIAS], m);
    if (conv->relu != 0 && value < 0.0F)
        value = 0.0F;
    store(conv->type, run->data[DYNO_CUDNN_Y], at, value);
}

/* All that a tensor's places reach is there. */
static bool is_there(const struct emulate_conv_run *run, int id)
{
    const struct emulate_conv *conv = &run->conv;
    const int64_t *d = conv->dims[id];
    const int64_t last = place(conv, id, d[0] - 1, d[1] - 1, d[2] - 1, d[3] - 1);
    return run->memory(run->data[id],
                       (size_t)(last + 1) * (conv->type == DYNO_CUDNN_FLOAT ? 4 : 2));
}

static int add_bias(const struct emulate_conv_run *run)
{
    const int64_t *d = run->conv.dims[DYNO_CUDNN_Y];
    float *y = run->data[DYNO_CUDNN_Y];
    const float *bias = run->data[DYNO_CUDNN_BIAS];
    const int64_t count = d[0] * d[1] * d[2] * d[3];
    if (!run->memory(y, (size_t)count * sizeof(*y)) ||
        !run->memory(bias, (size_t)d[1] * sizeof(*bias)))
        return EMULATE_BAD_ADDRESS;
    for (int64_t i = 0; i < count; i++)
        y[i] += bias[i / (d[2] * d[3]) % d[1]];
    return EMULATE_OK;
}

int emulate_conv_call(const void *data)
{
    const struct emulate_conv_run *run = data;
    const int64_t *y = run->conv.dims[DYNO_CUDNN_Y];
    if (run->is_sum)
        return add_bias(run);
    for (int id = 1; id < DYNO_CUDNN_ID_END; id++) {
        if (run->conv.has[id] != 0 && !is_there(run, id)) {
            (void)fprintf(stderr, "emulated cuDNN: tensor %d is not all in the GPU's memory\n", id);
            return EMULATE_BAD_ADDRESS;
        }
    }
    if (run->workspace_bytes != 0 && ((uintptr_t)run->workspace % 256 != 0 ||
                                      !run->memory(run->workspace, run->workspace_bytes))) {
        (void)fprintf(stderr, "emulated cuDNN: the workspace is not all in the GPU's memory\n");
        return EMULATE_BAD_ADDRESS;
    }
    if (run->workspace_bytes != 0)
        memset(run->workspace, 0xFF, run->workspace_bytes);
    for (int64_t n = 0; n < y[0]; n++) {
        for (int64_t m = 0; m < y[1]; m++) {
            for (int64_t i = 0; i < y[2] * y[3]; i++)
                make_element(run, n, m, i / y[3], i % y[3]);
        }
    }
    return EMULATE_OK;
}
