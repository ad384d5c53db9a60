/* gemm.c - packing and planning of matrix products. */
#include "backend/cpu/gemm.h"

#include <math.h>

#include "backend/cpu/kernel.h"

/* The narrowest part of a panel that has room for `left` columns, left > 0. */
static int part_width(int panel, int64_t left)
{
    if (left <= panel / 2)
        return panel / 2;
    return panel == 32 && left <= 24 ? 24 : panel;
}

int64_t dyno_gemm_columns(int panel, int64_t n)
{
    const int64_t whole = n / panel * panel;
    return n == whole ? whole : whole + part_width(panel, n - whole);
}

int64_t dyno_gemm_panels(int panel, int64_t n)
{
    return (n + panel - 1) / panel;
}

int dyno_gemm_width(int panel, int64_t n, int64_t p)
{
    return part_width(panel, n - p * panel);
}

/* One panel whose columns are next to one another in b. */
static void pack_rows(int width, int64_t cols, int64_t k, const float *b, ptrdiff_t row,
                      float scale, float *dst)
{
    for (int64_t i = 0; i < k; i++, dst += width, b += row) {
        int j = 0;
        for (; j < cols; j++)
            dst[j] = b[j] * scale;
        for (; j < width; j++)
            dst[j] = 0.0F;
    }
}

/* One panel of any strides, a column after another in stretches that stay in L1. */
static void pack_columns(int width, int64_t cols, int64_t k, const float *b, ptrdiff_t row,
                         ptrdiff_t col, float scale, float *dst)
{
    enum { STRETCH = 128 };
    for (int64_t i0 = 0; i0 < k; i0 += STRETCH) {
        const int64_t i1 = i0 + STRETCH < k ? i0 + STRETCH : k;
        for (int64_t j = 0; j < width; j++) {
            for (int64_t i = i0; i < i1; i++)
                dst[i * width + j] = j < cols ? b[i * row + j * col] * scale : 0.0F;
        }
    }
}

void dyno_gemm_pack_panel(int width, int64_t cols, int64_t k, const float *b, ptrdiff_t row,
                          ptrdiff_t col, float scale, float *dst)
{
    if (col == 1)
        pack_rows(width, cols, k, b, row, scale, dst);
    else
        pack_columns(width, cols, k, b, row, col, scale, dst);
}

void dyno_gemm_pack(int panel, int64_t k, int64_t n, const float *b, ptrdiff_t row, ptrdiff_t col,
                    float scale, float *dst)
{
    for (int64_t p = 0; p < dyno_gemm_panels(panel, n); p++) {
        const int width = dyno_gemm_width(panel, n, p);
        const int64_t cols = dyno_cpu_min(n - p * panel, width);
        dyno_gemm_pack_panel(width, cols, k, b + p * panel * col, row, col, scale, dst);
        dst += width * k;
    }
}

struct dyno_gemm_split dyno_gemm_split_choose(int64_t outer, int64_t tiles, int64_t panels,
                                              int64_t tiles_max, double gather, int threads)
{
    const int64_t parts_min = tiles <= tiles_max ? 1 : dyno_cpu_div_up(tiles, tiles_max);
    struct dyno_gemm_split best = {parts_min, 1};
    if (threads <= 1 || outer <= 0 || tiles <= 0 || panels <= 0)
        return best;
    double best_cost = 0.0;
    const int64_t parts_max = parts_min + 4 * (int64_t)threads;
    for (int64_t t = parts_min; t <= parts_max && t <= tiles; t++) {
        for (int64_t p = 1; p <= 2 * (int64_t)threads && p <= panels; p++) {
            const double tasks = (double)outer * (double)t * (double)p;
            const double rounds = (double)(int64_t)((tasks + threads - 1) / threads);
            const double work =
                (double)dyno_cpu_div_up(tiles, t) * ((double)dyno_cpu_div_up(panels, p) + gather) +
                0.5;
            const double cost = rounds * work;
            if (best_cost == 0.0 || cost < best_cost) {
                best_cost = cost;
                best = (struct dyno_gemm_split){t, p};
            }
        }
    }
    return best;
}

double dyno_gemm_peak_share(const struct dyno_target *target, const struct dyno_gemm_micro *micro)
{
    const bool wide = (target->isa_mask & DYNO_ISA_AVX512) != 0;
    if (micro->rows_max == 14)
        return 0.95;
    if (micro->rows_max == 6)
        return wide ? 0.6 : 0.93;
    return 0.2;
}

float dyno_gemm_estimate_us(const struct dyno_target *target, const struct dyno_gemm_micro *micro,
                            double outer, double rows, double k, double n, double bytes)
{
    const double gflops = target->peak_gflops > 0.0F ? (double)target->peak_gflops : 50.0;
    const double gbps = target->mem_gbps > 0.0F ? (double)target->mem_gbps : 10.0;
    const double columns = (double)dyno_gemm_columns(micro->panel, (int64_t)n);
    /* Fewer than four rows leave the multipliers waiting for loads. */
    const double paid_rows = rows < 4.0 ? rows * 0.5 + 2.0 : rows;
    const double flops = 2.0 * outer * paid_rows * k * columns;
    const double compute_us = flops / (gflops * dyno_gemm_peak_share(target, micro)) * 1e-3;
    const double memory_us = bytes / gbps * 1e-3;
    return (float)((compute_us > memory_us ? compute_us : memory_us) + 0.5);
}

uint64_t dyno_cpu_size(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t product;
    uint64_t sum;
    if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum))
        return UINT64_MAX;
    return sum;
}

struct dyno_cpu_epilogue dyno_cpu_epilogue(const struct dyno_cpu_tail *tail,
                                           const struct dyno_buf *ins, int64_t n)
{
    const struct dyno_cpu_simple *simple = &tail->simple;
    struct dyno_cpu_epilogue ep = {.lo = 0.0F, .hi = INFINITY};
    switch ((enum dyno_cpu_simple_kind)simple->kind) {
    case DYNO_CPU_SIMPLE_NONE:
        ep.in_memory = tail->instr_count > 0;
        return ep;
    case DYNO_CPU_SIMPLE_CLIP:
    case DYNO_CPU_SIMPLE_ADD_CLIP:
        ep.lo = simple->p;
        ep.hi = simple->q;
        break;
    case DYNO_CPU_SIMPLE_RELU:
    case DYNO_CPU_SIMPLE_ADD:
    case DYNO_CPU_SIMPLE_ADD_RELU:
        break;
    }
    ep.clip = simple->kind != DYNO_CPU_SIMPLE_ADD;
    if (simple->kind >= DYNO_CPU_SIMPLE_ADD)
        ep.res = (const float *)ins[simple->idx].data + n * simple->batch_stride;
    return ep;
}
