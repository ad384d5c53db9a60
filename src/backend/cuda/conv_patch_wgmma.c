/* conv_patch_wgmma.c - Conv over small windows by groups of four warps that multiply out of parts
 * of the image in shared memory (compute capability 9.0).
 *
 * Packed: the bias of every output as stored (f32), then the weights in the type of x as
 * kernels/patch_wgmma.cu says; columns up to a whole block and channels past the last are zero.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_patch_wgmma;

#define UNIT       8  /* outputs of a unit, along both axes */
#define UNIT_BYTES 16 /* of its place in shared memory */
#define SPLITS     4
#define SPLIT_MAX  8 /* 1, 2, 4, 8 blocks a tile */
#define STEPS_MIN  3 /* of a slice: its successor's image comes meanwhile */

/* Appended, never changed: engines name them by number. */
static const struct {
    int warpgroups, units; /* of a block, of a group of four warps */
    int columns;           /* channels of a block */
    int channels;          /* of x at a time */
    bool row;              /* a step is a row of taps, not one */
    int stages, resident;
} tiles[] = {
    {2, 2, 64, 64, false, 4, 2},  {2, 1, 128, 64, false, 3, 2}, {4, 1, 128, 64, false, 4, 1},
    {2, 2, 128, 64, false, 4, 1}, {1, 1, 64, 64, false, 4, 3},  {1, 1, 128, 64, false, 4, 2},
    {2, 1, 64, 64, false, 4, 3},  {1, 1, 32, 64, false, 4, 4},  {2, 2, 32, 32, true, 3, 3},
    {2, 1, 64, 32, true, 3, 2},   {2, 2, 64, 32, false, 4, 2},  {2, 1, 128, 32, false, 4, 2},
    {4, 1, 128, 32, false, 4, 1}, {2, 1, 64, 64, false, 3, 2},  {2, 1, 32, 32, true, 3, 4},
    {2, 1, 32, 64, false, 4, 4},  {2, 1, 128, 32, true, 3, 2},  {2, 2, 64, 32, true, 3, 2},
    {1, 1, 64, 32, true, 3, 4},   {4, 1, 128, 32, true, 3, 1},  {2, 1, 64, 64, true, 3, 2},
};
#define TILES ((uint32_t)DYNO_COUNT(tiles))

/* A tile, and how many blocks share its sum over channels. */
struct way {
    uint32_t tile, split;
};

static int64_t slices_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    return dyno_cuda_div_up(window->in_stored, tiles[tile].channels);
}

static int64_t columns_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    return dyno_cuda_div_up(window->out_stored, tiles[tile].columns) * tiles[tile].columns;
}

static int64_t units_of(const struct dyno_cuda_window *window)
{
    return window->conv.batch * dyno_cuda_div_up(window->conv.oh, UNIT) *
           dyno_cuda_div_up(window->conv.ow, UNIT);
}

static int64_t units_a_block(uint32_t tile)
{
    return (int64_t)tiles[tile].warpgroups * tiles[tile].units;
}

static int64_t taps_a_step(const struct dyno_cuda_window *window, uint32_t tile)
{
    return tiles[tile].row ? window->conv.kw : 1;
}

static uint64_t packed_bytes(const struct dyno_cuda_window *window, uint32_t tile)
{
    return (uint64_t)window->out_stored * sizeof(float) +
           2U * (uint64_t)(slices_of(window, tile) * tiles[tile].channels * window->conv.taps *
                           columns_of(window, tile));
}

/* Of the images under a block's units, once. */
static int64_t image_bytes(const struct dyno_cuda_window *window, uint32_t tile)
{
    const struct dyno_cpu_conv *conv = &window->conv;
    DYNO_ASSERT(conv->sw > 0);
    const int64_t height = (UNIT - 1) * conv->sh + conv->kh;
    const int64_t width = dyno_cuda_div_up((UNIT - 1) * conv->sw + conv->kw, conv->sw) * conv->sw;
    return dyno_cuda_div_up(units_a_block(tile) * height * width * 2 * tiles[tile].channels, 1024) *
           1024;
}

static int64_t step_bytes(const struct dyno_cuda_window *window, uint32_t tile)
{
    return taps_a_step(window, tile) * tiles[tile].columns * tiles[tile].channels * 2;
}

/* Of a block: weights and images, or the sums of its warps. */
static int64_t shared_bytes(const struct dyno_cuda_window *window, struct way way)
{
    const uint32_t tile = way.tile;
    const int64_t units = units_a_block(tile);
    const int64_t operands =
        tiles[tile].stages * step_bytes(window, tile) +
        image_bytes(window, tile) * (slices_of(window, tile) > way.split ? 2 : 1) +
        UNIT_BYTES * units + INT64_C(8) * tiles[tile].stages;
    const int64_t rows = INT64_C(64) * (way.split > 1 ? units : tiles[tile].warpgroups);
    const int64_t sums = rows * (tiles[tile].columns + 8) * 4;
    return operands > sums ? operands : sums;
}

static double blocks_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    const int64_t column_blocks = columns_of(window, tile) / tiles[tile].columns;
    return (double)(dyno_cuda_div_up(units_of(window), units_a_block(tile)) * column_blocks);
}

/* In cycles: tensor cores read both operands of 64 x columns x 16 at 128 bytes a cycle; images and
 * weights come at some 24 bytes a cycle; SiLU takes a quarter of a cycle an output.  Blocks beside
 * each other on a multiprocessor hide what is not arithmetic. */
static double estimate(const struct dyno_site *site, const struct dyno_cuda_window *window,
                       struct way way)
{
    const uint32_t tile = way.tile;
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const double units = (double)units_a_block(tile);
    const double columns = tiles[tile].columns;
    const double blocks = blocks_of(window, tile) * way.split;
    const double held = floor(226e3 / (double)(shared_bytes(window, way) + 1024));
    const double resident = fmin(tiles[tile].resident, fmax(1.0, held));
    const double slices = ceil((double)slices_of(window, tile) / way.split);
    const double taps = (double)window->conv.taps;
    const double steps = slices * taps / (double)taps_a_step(window, tile);
    const double products = slices * tiles[tile].channels / 16.0 * taps * units;
    const double busy = products * fmax(columns / 2.0, 16.0 + columns / 4.0) * 1.15;
    const double bytes =
        (double)image_bytes(window, tile) * slices + steps * (double)step_bytes(window, tile);
    const double last = units * 64.0 * columns / 4.0 / way.split;
    const double alone = fmax(busy, steps * 350.0) + 2500.0 + last + (way.split > 1 ? 1700.0 : 0.0);
    const double at_once = fmin(resident, ceil(blocks / sms));
    return 2.5 + ceil(blocks / (sms * resident)) *
                     fmax(alone, at_once * (fmax(busy, bytes / 24.0) + 0.3 * last)) / 1700.0;
}

/* Not mostly padding; the next channels come while these are multiplied; whole channels to each
 * block, and no more blocks than it takes to fill the GPU. */
static bool way_fits(const struct dyno_cuda_window *window, struct way way)
{
    const struct dyno_cpu_conv *conv = &window->conv;
    const uint32_t tile = way.tile;
    return tile < TILES && way.split >= 1 && way.split <= SPLIT_MAX &&
           (way.split & (way.split - 1)) == 0 &&
           tiles[tile].columns < 2 * window->out_stored + 16 &&
           tiles[tile].channels < 2 * window->in_stored + 16 &&
           (tiles[tile].row ? conv->kh : conv->taps) >= STEPS_MIN &&
           slices_of(window, tile) >= way.split;
}

static int by_estimate(const void *a, const void *b)
{
    const struct dyno_tactic *x = a;
    const struct dyno_tactic *y = b;
    if (x->est_us != y->est_us)
        return x->est_us < y->est_us ? -1 : 1;
    return x->cfg[1] != y->cfg[1] ? (x->cfg[1] < y->cfg[1] ? -1 : 1)
                                  : (x->cfg[2] < y->cfg[2] ? -1 : x->cfg[2] > y->cfg[2]);
}

/* The most promising ways in one layout. */
static int enumerate_layout(const struct dyno_site *site, int number, struct dyno_tactic *out,
                            int max)
{
    enum { BEST = 24 };
    struct dyno_tactic all[TILES * SPLITS];
    struct dyno_cuda_window window = {.in_stored = 0};
    const struct dyno_layout layout = dyno_cuda_layouts[number];
    const double sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    int count = 0;
    if (dyno_cuda_window_of(site, layout, &window, NULL) != DYNO_OK)
        return 0;
    for (uint32_t i = 0; i < TILES * SPLITS; i++) {
        const struct way way = {.tile = i / SPLITS, .split = 1U << i % SPLITS};
        if (!way_fits(&window, way) ||
            shared_bytes(&window, way) > (int64_t)site->target->gpu.shared_bytes ||
            (way.split > 1 && blocks_of(&window, way.tile) * way.split > 3.0 * sms))
            continue;
        all[count] = (struct dyno_tactic){.cfg = {(uint32_t)number, way.tile, way.split}};
        dyno_cuda_tail_layouts(site, layout, &all[count]);
        all[count].in_layouts[0] = layout;
        all[count++].est_us = (float)estimate(site, &window, way);
    }
    qsort(all, (size_t)count, sizeof(all[0]), by_estimate);
    count = count < BEST ? count : BEST;
    count = count < max ? count : max;
    memcpy(out, all, (size_t)count * sizeof(*out));
    return count;
}

/* cfg[0]: number of the layout; cfg[1]: tile; cfg[2]: blocks that share a sum. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; site->target->gpu.compute == 90 && i < dyno_cuda_layout_count; i++) {
        if (dyno_cuda_is_last(dyno_cuda_layouts[i]) &&
            dyno_cuda_layout_allowed(dyno_cuda_layouts[i], site->target))
            count += enumerate_layout(site, i, out + count, max - count);
    }
    return count;
}

static struct way way_of(const struct dyno_tactic *tactic)
{
    return (struct way){.tile = tactic->cfg[1], .split = tactic->cfg[2]};
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cuda_window window = {.in_stored = 0};
    DYNO_TRY(dyno_cuda_window_settle(site, asked, 3, tactic, &window, err));
    if (!way_fits(&window, way_of(asked)))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes = packed_bytes(&window, asked->cfg[1]);
    return DYNO_OK;
}

/* Element of a column's channels: chunks of eight are permuted as the tensor cores read them. */
static int64_t permuted(int64_t column, int64_t channel, int64_t at_once)
{
    const int64_t turn = at_once == 64 ? column & 7 : column >> 1 & 3;
    return ((channel / 8) ^ turn) * 8 + channel % 8;
}

/* Blocks of columns one after the other, in each the slices of channels, in each the taps. */
static int64_t place(const struct dyno_cuda_window *window, uint32_t tile, int64_t m, int64_t c,
                     int64_t tap)
{
    const int64_t at_once = tiles[tile].channels, columns = tiles[tile].columns;
    const int64_t slice = m / columns * slices_of(window, tile) + c / at_once;
    const int64_t row = (slice * window->conv.taps + tap) * columns + m % columns;
    return row * at_once + permuted(m % columns, c % at_once, at_once);
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    return dyno_cuda_window_pack(site, tactic, place, dst, err);
}

static enum dyno_status describe(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_cuda_conv_state *state, struct dyno_strbuf *choices,
                                 struct dyno_err *err)
{
    struct dyno_cuda_window window = {.in_stored = 0};
    const struct dyno_cpu_conv *conv = &window.conv;
    const struct way way = way_of(tactic);
    const uint32_t tile = way.tile;
    DYNO_TRY(dyno_cuda_window_of(site, tactic->out_layout, &window, err));
    if (!way_fits(&window, way))
        return dyno_cuda_refuse(site, err);
    state->params = dyno_cuda_conv_params(conv, window.in_stored, window.out_stored);
    state->grid[0] = dyno_cuda_div_up(units_of(&window), units_a_block(tile));
    state->grid[1] = columns_of(&window, tile) / tiles[tile].columns;
    state->grid[2] = way.split;
    state->threads = tiles[tile].warpgroups * 128;
    state->shared_bytes = shared_bytes(&window, way);
    if (choices == NULL)
        return DYNO_OK;
    dyno_cuda_conv_types(tactic, choices);
    dyno_strbuf_printf(choices,
                       "#define KH %d\n#define KW %d\n#define SH %d\n#define SW %d\n"
                       "#define WARPGROUPS %d\n#define MI %d\n#define BN %d\n#define CK %d\n"
                       "#define TAPS_A_STEP %d\n#define STAGES %d\n#define RESIDENT %d\n"
                       "#define SPLIT %u\n",
                       (int)conv->kh, (int)conv->kw, (int)conv->sh, (int)conv->sw,
                       tiles[tile].warpgroups, tiles[tile].units, tiles[tile].columns,
                       tiles[tile].channels, (int)taps_a_step(&window, tile), tiles[tile].stages,
                       tiles[tile].resident, way.split);
    return DYNO_OK;
}

DYNO_CUDA_CONV_KERNEL(conv_patch_wgmma, 1, "patch_wgmma.cu");
