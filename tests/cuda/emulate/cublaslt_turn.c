/* cublaslt_turn.c - a product of the emulated cuBLASLt, by loops. */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "cublaslt.h"

static __typeof__(emulate_library_memory) *is_memory;

void emulate_product_memory(__typeof__(emulate_library_memory) *memory)
{
    is_memory = memory;
}

static enum dyno_dtype dtype_of(int type)
{
    return type == DYNO_LT_F16 ? DYNO_F16 : type == DYNO_LT_BF16 ? DYNO_BF16 : DYNO_F32;
}

static double load(const struct work *work, int which, int64_t item, uint64_t row, uint64_t column)
{
    const struct layout *layout = &work->layouts[which];
    const size_t at = (size_t)(item * layout->step + (int64_t)column * layout->ld + (int64_t)row);
    return dyno_elem_load_f64(dtype_of(layout->type), work->at[which], at);
}

/* To the ten bits of TF32, as the tensor cores read it. */
static float as_tf32(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7F800000U) != 0x7F800000U)
        bits = (bits + 0x1000U) & ~0x1FFFU;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float sum_of(const struct work *work, int64_t item, uint64_t row, uint64_t column,
                    uint64_t from, uint64_t to)
{
    const struct product *product = &work->product;
    float sum = 0.0F;
    for (uint64_t k = from; k < to; k++) {
        float a = (float)(product->turn_a != 0 ? load(work, 0, item, k, row)
                                               : load(work, 0, item, row, k));
        float b = (float)(product->turn_b != 0 ? load(work, 1, item, column, k)
                                               : load(work, 1, item, k, column));
        if (product->compute == DYNO_LT_COMPUTE_TF32) {
            a = as_tf32(a);
            b = as_tf32(b);
        }
        sum += a * b;
    }
    return sum;
}

/* In parts, which the workspace holds until all are there. */
static float product_of(const struct work *work, int64_t item, uint64_t row, uint64_t column)
{
    const struct layout *d = &work->layouts[3];
    const uint64_t all = work_depth(work), split = work->algo.split;
    const uint64_t place = ((uint64_t)item * d->columns + column) * d->rows + row;
    float *parts = (float *)(void *)work->workspace + place * split;
    float sum = 0.0F;
    if (split == 1)
        return sum_of(work, item, row, column, 0, all);
    for (uint64_t i = 0; i < split; i++)
        parts[i] = sum_of(work, item, row, column, all * i / split, all * (i + 1) / split);
    for (uint64_t i = 0; i < split; i++)
        sum += parts[i];
    return sum;
}

static double finish(const struct work *work, int64_t item, uint64_t row, uint64_t column)
{
    const struct product *product = &work->product;
    double value = (double)work->alpha * (double)product_of(work, item, row, column);
    if (work->beta != 0.0F)
        value += (double)work->beta * load(work, 2, item, row, column);
    if ((product->epilogue & DYNO_LT_WITH_BIAS) != 0)
        value += dyno_elem_load_f64(dtype_of(work->layouts[3].type), product->bias, (size_t)row);
    if ((product->epilogue & DYNO_LT_WITH_RELU) != 0)
        value = value < 0.0 ? 0.0 : value;
    if ((product->epilogue & DYNO_LT_WITH_GELU) != 0)
        value = 0.5 * value *
                (1.0 + tanh(0.79788456080286536 * (value + 0.044715 * value * value * value)));
    return value;
}

static bool in_memory(const struct work *work, int which)
{
    const struct layout *layout = &work->layouts[which];
    const int64_t elements = (layout->batch - 1) * layout->step +
                             (int64_t)(layout->columns - 1) * layout->ld + (int64_t)layout->rows;
    return is_memory(work->at[which], (size_t)elements * elem_bytes(layout->type));
}

int emulate_product_turn(const void *data)
{
    struct work work;
    memcpy(&work, data, sizeof(work));
    const struct layout *d = &work.layouts[3];
    const size_t bias_bytes = (size_t)d->rows * elem_bytes(d->type);
    if (!in_memory(&work, 0) || !in_memory(&work, 1) || !in_memory(&work, 3) ||
        (work.beta != 0.0F && !in_memory(&work, 2)) ||
        ((work.product.epilogue & DYNO_LT_WITH_BIAS) != 0 &&
         !is_memory(work.product.bias, bias_bytes)) ||
        (work.workspace_bytes != 0 && !is_memory(work.workspace, work.workspace_bytes)))
        return EMULATE_BAD_ADDRESS;
    for (int32_t item = 0; item < d->batch; item++) {
        for (uint64_t column = 0; column < d->columns; column++) {
            for (uint64_t row = 0; row < d->rows; row++) {
                const size_t at = (size_t)(item * d->step + (int64_t)column * d->ld + (int64_t)row);
                dyno_elem_store_f64(dtype_of(d->type), (void *)(uintptr_t)work.at[3], at,
                                    finish(&work, item, row, column));
            }
        }
    }
    return EMULATE_OK;
}
