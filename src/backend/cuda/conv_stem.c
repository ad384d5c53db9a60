/* conv_stem.c - Conv of few channels on tensor cores: an image's first layer, read as the caller
 * gives it.
 *
 * Packed: the bias of every output as stored (f32), then [output][channel][row][tap] in the type
 * that is multiplied: taps of a row rounded up to 4, 8 or 16 (zeros behind, and one before where
 * columns ask for it), k to 16, outputs to a block's.
 */
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/conv_plain.h"
#include "ops/conv.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_stem;

#define CHANNELS_MAX 4
#define TAPS_MAX     16
#define COLUMNS_MAX  64

/* Outputs of a block.  Appended, never changed: engines name them by number. */
static const struct {
    int h, w;
} tiles[] = {{8, 16}, {16, 16}, {4, 32}, {8, 32}, {1, 128}, {1, 256}};
#define TILES ((uint32_t)DYNO_COUNT(tiles))

struct stem {
    struct dyno_cpu_conv conv;
    int64_t taps;    /* of a row of the filter, as stored */
    int64_t lead;    /* of those, before the first: pairs of taps begin at even columns */
    bool is_even;    /* they do */
    int64_t k;       /* as stored */
    int64_t block;   /* channels of a block */
    int64_t columns; /* as packed: whole blocks */
    int64_t stored;  /* channels of the output */
};

static enum dyno_status stem_of(const struct dyno_site *site, struct dyno_layout out,
                                struct stem *stem_out, struct dyno_err *err)
{
    struct stem stem = {.taps = 4};
    struct dyno_cpu_conv *conv = &stem.conv;
    if (site->step->op != DYNO_OP_conv || !dyno_cpu_conv_accepts(site, DYNO_OP_conv) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] || site->ins[0].rank < 3 ||
        site->ins[0].rank > 4 || out.block != 8)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cpu_conv_resolve(site, conv, err));
    if (conv->groups != 1 || conv->c < 1 || conv->c > CHANNELS_MAX || conv->m < 1 || conv->kw < 1 ||
        conv->kw > TAPS_MAX || conv->kh < 1 || conv->kh > TAPS_MAX || conv->dh != 1 ||
        conv->dw != 1 || conv->sh > TAPS_MAX || conv->sw > TAPS_MAX || conv->ph < 0 || conv->pw < 0)
        return dyno_cuda_refuse(site, err);
    while (stem.taps < conv->kw)
        stem.taps *= 2;
    /* Padding that follows from an open width is another at another shape. */
    const struct dyno_conv_attrs *attrs = site->step->attrs;
    const bool is_fixed =
        attrs->auto_pad == DYNO_AUTO_PAD_NOTSET || site->ins[0].open[site->ins[0].rank - 1] == 0;
    stem.lead = is_fixed && conv->sw % 2 == 0 && conv->pw % 2 != 0 && conv->kw < stem.taps ? 1 : 0;
    stem.is_even = is_fixed && conv->sw % 2 == 0 && (conv->pw + stem.lead) % 2 == 0;
    stem.k = dyno_cuda_div_up(conv->c * conv->kh * stem.taps, 16) * 16;
    stem.stored = dyno_cuda_stored(conv->m, out);
    stem.block = dyno_cuda_div_up(stem.stored, 16) * 16;
    stem.block = stem.block < COLUMNS_MAX ? stem.block : COLUMNS_MAX;
    stem.columns = dyno_cuda_div_up(stem.stored, stem.block) * stem.block;
    DYNO_TRY(dyno_cuda_conv_limits(conv, err));
    *stem_out = stem;
    return DYNO_OK;
}

/* Of a block: weights, image, and what its warps store. */
static uint32_t shared_bytes(const struct stem *stem, uint32_t tile)
{
    const struct dyno_cpu_conv *conv = &stem->conv;
    const int64_t rows = (tiles[tile].h - 1) * conv->sh + conv->kh;
    const int64_t width = dyno_cuda_div_up((tiles[tile].w - 1) * conv->sw + stem->taps + 3, 4) * 4;
    const int64_t image = dyno_cuda_div_up(conv->c * rows * width, 8) * 8;
    const int64_t outputs = (int64_t)tiles[tile].h * tiles[tile].w / 2;
    const int64_t most = 2 * (stem->block * (stem->k + 8) + image + outputs * (stem->block + 8));
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

static int64_t tiles_of(const struct stem *stem, uint32_t tile)
{
    return dyno_cuda_div_up(stem->conv.oh, tiles[tile].h) *
           dyno_cuda_div_up(stem->conv.ow, tiles[tile].w);
}

/* cfg[0]: number of the output's layout; cfg[1]: tile. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        struct stem stem = {.taps = 0};
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            stem_of(site, layout, &stem, NULL) != DYNO_OK)
            continue;
        for (uint32_t tile = 0; tile < TILES && count < max; tile++) {
            if (shared_bytes(&stem, tile) > site->target->gpu.shared_bytes)
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, tile}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            out[count].in_layouts[0] = DYNO_ROW;
            const double outputs = (double)(tiles_of(&stem, tile) * stem.conv.batch) *
                                   tiles[tile].h * tiles[tile].w * (double)stem.columns;
            out[count++].est_us = (float)(dyno_cuda_move_us(site->target, 2.0 * outputs) +
                                          2.0 * outputs * (double)stem.k / 3e8);
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct stem stem = {.taps = 0};
    struct dyno_cuda_tail tail;
    if (asked->cfg[1] >= TILES || !dyno_cuda_rest_is_zero(asked, 2) ||
        !dyno_cuda_asks_layout(asked, true))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(stem_of(site, asked->out_layout, &stem, err));
    tactic->in_layouts[0] = DYNO_ROW;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes = (uint64_t)stem.stored * sizeof(float) + 2U * stem.columns * stem.k;
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct stem stem = {.taps = 0};
    DYNO_TRY(stem_of(site, tactic->out_layout, &stem, err));
    const struct dyno_cpu_conv *conv = &stem.conv;
    const float *w = site->ins[1].data;
    float *bias = dst;
    void *weights = bias + stem.stored;
    memset(dst, 0, tactic->packed_bytes);
    for (int64_t m = 0; m < conv->m; m++) {
        bias[m] = dyno_cuda_conv_bias(site, m);
        for (int64_t row = 0; row < conv->c * conv->kh; row++) {
            for (int64_t tap = 0; tap < conv->kw; tap++)
                dyno_elem_store_f64((enum dyno_dtype)tactic->out_layout.elem, weights,
                                    (size_t)(m * stem.k + row * stem.taps + stem.lead + tap),
                                    (double)w[(m * conv->c * conv->kh + row) * conv->kw + tap]);
        }
    }
    return DYNO_OK;
}

static enum dyno_status describe(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_cuda_conv_state *state, struct dyno_strbuf *choices,
                                 struct dyno_err *err)
{
    struct stem stem = {.taps = 0};
    const struct dyno_cpu_conv *conv = &stem.conv;
    const uint32_t tile = tactic->cfg[1];
    DYNO_TRY(stem_of(site, tactic->out_layout, &stem, err));
    if (tile >= TILES)
        return dyno_cuda_refuse(site, err);
    DYNO_ASSERT(stem.block > 0);
    state->params = dyno_cuda_conv_params(conv, conv->c, stem.stored);
    state->grid[0] = tiles_of(&stem, tile);
    state->grid[1] = stem.columns / stem.block;
    state->grid[2] = conv->batch;
    state->threads = tiles[tile].h * tiles[tile].w;
    state->shared_bytes = shared_bytes(&stem, tile);
    if (choices == NULL)
        return DYNO_OK;
    dyno_strbuf_printf(choices,
                       "#define T %s\n#define VEC 8\n#define C %d\n#define KH %d\n"
                       "#define KW %d\n#define SH %d\n#define SW %d\n#define KP %d\n"
                       "#define LEAD %d\n#define EVEN %d\n"
                       "#define TH %d\n#define TW %d\n#define BN %d\n",
                       dyno_cuda_type(tactic->out_layout), (int)conv->c, (int)conv->kh,
                       (int)conv->kw, (int)conv->sh, (int)conv->sw, (int)stem.taps, (int)stem.lead,
                       stem.is_even, tiles[tile].h, tiles[tile].w, (int)stem.block);
    return DYNO_OK;
}

DYNO_CUDA_CONV_KERNEL(conv_stem, 2, "stem.cu");
