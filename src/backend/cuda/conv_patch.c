/* conv_patch.c - Conv over small windows on tensor cores, out of parts of the image in shared
 * memory.
 *
 * Packed: the bias of every output as stored (f32), then the weights in the type of x as
 * kernels/patch.cu says; columns up to a whole block and channels past the last are zero.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_patch;

/* Appended, never changed: engines name them by number. */
static const struct {
    int h, w;     /* outputs of a block */
    int rows;     /* of 16 outputs, of a warp */
    int columns;  /* channels of a block */
    int channels; /* of x at a time */
} tiles[] = {
    {8, 16, 2, 64, 16},  {16, 16, 2, 64, 16}, {16, 16, 4, 64, 16}, {8, 16, 2, 32, 32},
    {16, 16, 2, 32, 32}, {8, 8, 2, 64, 16},   {16, 8, 2, 64, 16},  {8, 16, 2, 128, 16},
    {8, 16, 2, 64, 32},  {8, 8, 1, 64, 32},   {8, 8, 1, 32, 64},   {16, 16, 2, 32, 16},
};
#define TILES ((uint32_t)DYNO_COUNT(tiles))

static int64_t stretches_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    return dyno_cuda_div_up(window->in_stored, tiles[tile].channels);
}

static int64_t columns_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    return dyno_cuda_div_up(window->out_stored, tiles[tile].columns) * tiles[tile].columns;
}

static int64_t blocks_of(const struct dyno_cuda_window *window, uint32_t tile)
{
    return dyno_cuda_div_up(window->conv.oh, tiles[tile].h) *
           dyno_cuda_div_up(window->conv.ow, tiles[tile].w);
}

static uint64_t packed_bytes(const struct dyno_cuda_window *window, uint32_t tile)
{
    return (uint64_t)window->out_stored * sizeof(float) +
           2U * (uint64_t)(stretches_of(window, tile) * tiles[tile].channels * window->conv.taps *
                           columns_of(window, tile));
}

/* Of a block: the stages, or the sums of its warps. */
static int64_t shared_bytes(const struct dyno_cuda_window *window, uint32_t tile)
{
    const struct dyno_cpu_conv *conv = &window->conv;
    DYNO_ASSERT(conv->sw > 0);
    const int64_t height = (tiles[tile].h - 1) * conv->sh + conv->kh;
    const int64_t width =
        dyno_cuda_div_up((tiles[tile].w - 1) * conv->sw + conv->kw, conv->sw) * conv->sw;
    const int64_t stage =
        INT64_C(2) * tiles[tile].channels * (height * width + conv->taps * tiles[tile].columns);
    const int64_t operands = stage * (stretches_of(window, tile) > 1 ? 2 : 1);
    const int64_t sums =
        (int64_t)tiles[tile].h * tiles[tile].w / tiles[tile].rows * (tiles[tile].columns + 8) * 4;
    return operands > sums ? operands : sums;
}

/* Blocks come in waves over the multiprocessors, as many at once as shared memory holds. */
static double estimate(const struct dyno_site *site, const struct dyno_cuda_window *window,
                       uint32_t tile)
{
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const int64_t column_blocks = columns_of(window, tile) / tiles[tile].columns;
    const double blocks = (double)(blocks_of(window, tile) * window->conv.batch * column_blocks);
    const double resident = fmin(4.0, fmax(1.0, floor(220e3 / (double)shared_bytes(window, tile))));
    const double k =
        (double)(stretches_of(window, tile) * tiles[tile].channels * window->conv.taps);
    const double ops = 2.0 * tiles[tile].h * tiles[tile].w * tiles[tile].columns * k;
    const double at_once = fmin(resident, ceil(blocks / sms));
    return 2.5 + ceil(blocks / (sms * resident)) *
                     (1.5 + fmax(ops * at_once / 3.5e6, 0.4 * (double)stretches_of(window, tile)));
}

/* Not mostly padding. */
static bool tile_fits(const struct dyno_cuda_window *window, uint32_t tile)
{
    return tiles[tile].columns < 2 * window->out_stored + 16 &&
           tiles[tile].channels < 2 * window->in_stored + 16;
}

/* cfg[0]: number of the layout; cfg[1]: tile. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        struct dyno_cuda_window window = {.in_stored = 0};
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            dyno_cuda_window_of(site, layout, &window, NULL) != DYNO_OK)
            continue;
        for (uint32_t tile = 0; tile < TILES && count < max; tile++) {
            if (!tile_fits(&window, tile) ||
                shared_bytes(&window, tile) > (int64_t)site->target->gpu.shared_bytes)
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, tile}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            out[count].in_layouts[0] = layout;
            out[count++].est_us = (float)estimate(site, &window, tile);
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cuda_window window = {.in_stored = 0};
    DYNO_TRY(dyno_cuda_window_settle(site, asked, 2, tactic, &window, err));
    if (asked->cfg[1] >= TILES || !tile_fits(&window, asked->cfg[1]))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes = packed_bytes(&window, asked->cfg[1]);
    return DYNO_OK;
}

/* Stretches of channels one after the other, in each the taps, in each the columns. */
static int64_t place(const struct dyno_cuda_window *window, uint32_t tile, int64_t m, int64_t c,
                     int64_t tap)
{
    const int64_t at_once = tiles[tile].channels;
    const int64_t row = (c / at_once * window->conv.taps + tap) * columns_of(window, tile) + m;
    return row * at_once + c % at_once;
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
    const uint32_t tile = tactic->cfg[1];
    DYNO_TRY(dyno_cuda_window_of(site, tactic->out_layout, &window, err));
    if (tile >= TILES)
        return dyno_cuda_refuse(site, err);
    state->params = dyno_cuda_conv_params(conv, window.in_stored, window.out_stored);
    state->grid[0] = blocks_of(&window, tile);
    state->grid[1] = columns_of(&window, tile) / tiles[tile].columns;
    state->grid[2] = conv->batch;
    state->threads = tiles[tile].h * tiles[tile].w / (16 * tiles[tile].rows) * 32;
    state->shared_bytes = shared_bytes(&window, tile);
    if (choices == NULL)
        return DYNO_OK;
    dyno_cuda_conv_types(tactic, choices);
    dyno_strbuf_printf(choices,
                       "#define KH %d\n#define KW %d\n#define SH %d\n#define SW %d\n"
                       "#define TH %d\n#define TW %d\n#define MI %d\n#define BN %d\n"
                       "#define CK %d\n",
                       (int)conv->kh, (int)conv->kw, (int)conv->sh, (int)conv->sw, tiles[tile].h,
                       tiles[tile].w, tiles[tile].rows, tiles[tile].columns, tiles[tile].channels);
    return DYNO_OK;
}

DYNO_CUDA_CONV_KERNEL(conv_patch, 1, "patch.cu");
