/* conv_depthwise.h - Conv with one filter a channel, in BLOCK layout.
 *
 * A line of output at a time, up to eight pixels with their sums in registers.  cfg[0]:
 *   IN_PLACE  pixels whose taps leave the image at the left or right are done one by one;
 *   PADDED    a chunk of lines is copied with its zeros first, so that all pixels are alike.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

#include "backend/cpu/body/fma.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_depthwise);

#define INLINE static inline __attribute__((always_inline))
#define PIXELS 8 /* a tile */

enum mode { IN_PLACE, PADDED };

struct conv_depthwise_state {
    struct dyno_cpu_conv conv;
    struct dyno_cpu_tail tail;
    int64_t blocks;      /* channel blocks */
    int64_t first, last; /* output columns [first, last) see no border */
    int64_t chunk_lines;
    int64_t chunks; /* of an image */
    enum mode mode;
    int64_t pad_lines, pad_cols; /* PADDED: of a chunk's copy */
    int64_t thread_floats;       /* of workspace */
};

/* One line's work for one channel block.  The taps are ky [0, lines) of the lines given. */
struct line {
    const float *x;   /* first input line, column 0 */
    ptrdiff_t x_line; /* floats between the lines of taps */
    const float *w;   /* its first tap: [ky][kx][16] */
    const float *bias;
    const float *res; /* column 0; NULL: none */
    float *y;         /* column 0 */
    int64_t lines;
    int kw, sw, dw;
    bool clip;
    float lo, hi;
};

/* The sums of `count` pixels, 16 floats apart from `at` on, into y. */
INLINE void finish(const struct line *l, ptrdiff_t at, const int count, vf sum[PIXELS])
{
    if (l->res) {
        const float *res = l->res + at;
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            sum[i] = vf_add(sum[i], vf_load(res + (ptrdiff_t)i * DYNO_CPU_BLOCK));
    }
    if (l->clip) {
        const vf lo = vf_set1(l->lo);
        const vf hi = vf_set1(l->hi);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            sum[i] = vf_clip(sum[i], lo, hi);
    }
    float *y = l->y + at;
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
        vf_store(y + (ptrdiff_t)i * DYNO_CPU_BLOCK, sum[i]);
}

/* Pixels ox.. of known kernel width and stride: each input vector is loaded once a line. */
INLINE void tile_known(const struct line *l, int64_t ox, int64_t ix, const int count, const int kw,
                       const int sw)
{
    for (int half = 0; half < DYNO_CPU_BLOCK; half += LANES) {
        vf sum[PIXELS];
        const float *x = l->x + ix * DYNO_CPU_BLOCK + half;
        const float *w = l->w + half;
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            sum[i] = vf_load(l->bias + half);
        for (int64_t ky = 0; ky < l->lines; ky++) {
            vf taps[5];
#pragma GCC unroll 8
            for (int kx = 0; kx < kw; kx++)
                taps[kx] = vf_load(w + (ptrdiff_t)kx * DYNO_CPU_BLOCK);
#pragma GCC unroll 32
            for (int c = 0; c < (count - 1) * sw + kw; c++) {
                const vf in = vf_load(x + (ptrdiff_t)c * DYNO_CPU_BLOCK);
#pragma GCC unroll 8
                for (int kx = 0; kx < kw; kx++) {
                    const int i = (c - kx) / sw;
                    if (c >= kx && (c - kx) % sw == 0 && i < count)
                        FMA(sum[i], in, taps[kx]);
                }
            }
            x += l->x_line;
            w += (ptrdiff_t)kw * DYNO_CPU_BLOCK;
        }
        finish(l, ox * DYNO_CPU_BLOCK + half, count, sum);
    }
}

INLINE void tile_any(const struct line *l, int64_t ox, int64_t ix, const int count)
{
    const ptrdiff_t step = (ptrdiff_t)l->sw * DYNO_CPU_BLOCK;
    for (int half = 0; half < DYNO_CPU_BLOCK; half += LANES) {
        vf sum[PIXELS];
        const float *w = l->w + half;
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
            sum[i] = vf_load(l->bias + half);
        for (int64_t ky = 0; ky < l->lines; ky++) {
            const float *x = l->x + ky * l->x_line + ix * DYNO_CPU_BLOCK + half;
            for (int kx = 0; kx < l->kw; kx++, w += DYNO_CPU_BLOCK) {
                const vf tap = vf_load(w);
#pragma GCC unroll 8
                for (int i = 0; i < count; i++)
                    FMA(sum[i], vf_load(x + i * step), tap);
                x += (ptrdiff_t)l->dw * DYNO_CPU_BLOCK;
            }
        }
        finish(l, ox * DYNO_CPU_BLOCK + half, count, sum);
    }
}

typedef void tile_fn(const struct line *l, int64_t ox, int64_t ix);

#define TILE(name, count, call)                                                            \
    static __attribute__((noinline)) void name##_##count(const struct line *l, int64_t ox, \
                                                         int64_t ix)                       \
    {                                                                                      \
        call;                                                                              \
    }
/* The formatter does not settle on this one. */
/* clang-format off */
#define TILES(name, call)                                                                       \
    TILE(name, 1, call(1)) TILE(name, 2, call(2)) TILE(name, 3, call(3)) TILE(name, 4, call(4)) \
    TILE(name, 5, call(5)) TILE(name, 6, call(6)) TILE(name, 7, call(7)) TILE(name, 8, call(8)) \
    static tile_fn *const name[PIXELS + 1] = {NULL,     name##_1, name##_2, name##_3, name##_4, \
                                              name##_5, name##_6, name##_7, name##_8};
/* clang-format on */

#define K3S1(count) tile_known(l, ox, ix, count, 3, 1)
#define K3S2(count) tile_known(l, ox, ix, count, 3, 2)
#define K5S1(count) tile_known(l, ox, ix, count, 5, 1)
#define K5S2(count) tile_known(l, ox, ix, count, 5, 2)
#define ANY(count)  tile_any(l, ox, ix, count)
TILES(k3s1, K3S1)
TILES(k3s2, K3S2)
TILES(k5s1, K5S1)
TILES(k5s2, K5S2)
TILES(any, ANY)

static tile_fn *const *choose(const struct line *l)
{
    if (l->dw == 1 && l->kw == 3 && l->sw == 1)
        return k3s1;
    if (l->dw == 1 && l->kw == 3 && l->sw == 2)
        return k3s2;
    if (l->dw == 1 && l->kw == 5 && l->sw == 1)
        return k5s1;
    if (l->dw == 1 && l->kw == 5 && l->sw == 2)
        return k5s2;
    return any;
}

/* A pixel whose taps partly lie outside: those of columns [0, w) count. */
static void border(const struct line *l, int64_t ox, int64_t ix, int64_t w)
{
    for (int half = 0; half < DYNO_CPU_BLOCK; half += LANES) {
        vf sum[PIXELS] = {vf_load(l->bias + half)};
        for (int64_t ky = 0; ky < l->lines; ky++) {
            for (int64_t kx = 0; kx < l->kw; kx++) {
                const int64_t at = ix + kx * l->dw;
                if (at < 0 || at >= w)
                    continue;
                sum[0] = vf_fma(vf_load(l->x + ky * l->x_line + at * DYNO_CPU_BLOCK + half),
                                vf_load(l->w + (ky * l->kw + kx) * DYNO_CPU_BLOCK + half), sum[0]);
            }
        }
        finish(l, ox * DYNO_CPU_BLOCK + half, 1, sum);
    }
}

static void run_line(const struct conv_depthwise_state *state, const struct line *l)
{
    const struct dyno_cpu_conv *g = &state->conv;
    tile_fn *const *tiles = choose(l);
    const int64_t pad = state->mode == PADDED ? 0 : g->pw;
    const int64_t inner = state->last - state->first;
    const int tile_count = (int)dyno_cpu_div_up(inner, PIXELS);
    for (int64_t ox = 0; ox < state->first; ox++)
        border(l, ox, ox * g->sw - pad, g->w);
    for (int i = 0; i < tile_count; i++) {
        int64_t first, last;
        dyno_cpu_share(inner, tile_count, i, &first, &last);
        const int64_t ox = state->first + first;
        tiles[last - first](l, ox, ox * g->sw - pad);
    }
    for (int64_t ox = state->last; ox < g->ow; ox++)
        border(l, ox, ox * g->sw - pad, g->w);
}

/* Lines from `iy` and columns from -pw of an image, zeros outside. */
static void copy_padded(const struct conv_depthwise_state *state, const float *x, int64_t iy,
                        int64_t lines, float *dst)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t left = dyno_cpu_min(g->pw, state->pad_cols);
    const int64_t inside = dyno_cpu_min(g->w, state->pad_cols - left);
    const int64_t right = state->pad_cols - left - inside;
    const size_t pixel_bytes = DYNO_CPU_BLOCK * sizeof(float);
    for (int64_t i = 0; i < lines; i++, iy++, dst += state->pad_cols * DYNO_CPU_BLOCK) {
        if (iy < 0 || iy >= g->h) {
            memset(dst, 0, (size_t)state->pad_cols * pixel_bytes);
            continue;
        }
        memset(dst, 0, (size_t)left * pixel_bytes);
        memcpy(dst + left * DYNO_CPU_BLOCK, x + iy * g->w * DYNO_CPU_BLOCK,
               (size_t)inside * pixel_bytes);
        memset(dst + (left + inside) * DYNO_CPU_BLOCK, 0, (size_t)right * pixel_bytes);
    }
}

struct job {
    const struct conv_depthwise_state *state;
    struct dyno_run_args *args;
};

/* Where output line oy reads: `pad` holds the chunk from input line pad_iy on in PADDED mode. */
static void set_line(const struct conv_depthwise_state *state, const float *x, const float *pad,
                     int64_t pad_iy, const float *w, int64_t oy, struct line *line)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t iy = oy * g->sh - g->ph;
    if (state->mode == PADDED) {
        line->lines = g->kh;
        line->x = pad + (iy - pad_iy) * state->pad_cols * DYNO_CPU_BLOCK;
        line->w = w;
        return;
    }
    const int64_t k0 = iy < 0 ? dyno_cpu_min(dyno_cpu_div_up(-iy, g->dh), g->kh) : 0;
    const int64_t below = iy >= g->h ? 0 : dyno_cpu_div_up(g->h - iy, g->dh);
    const int64_t k1 = dyno_cpu_min(below, g->kh);
    line->lines = k1 > k0 ? k1 - k0 : 0;
    line->x = x + (line->lines > 0 ? (iy + k0 * g->dh) * g->w * DYNO_CPU_BLOCK : 0);
    line->w = w + k0 * g->kw * DYNO_CPU_BLOCK;
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_depthwise_state *state = job->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_run_args *args = job->args;
    const int64_t chunk = idx % state->chunks;
    const int64_t cb = idx / state->chunks % state->blocks;
    const int64_t n = idx / state->chunks / state->blocks;
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const float *weights = args->packed;
    const float *x =
        (const float *)in->data + n * in->batch_stride + cb * g->h * g->w * DYNO_CPU_BLOCK;
    const int64_t y_off = cb * g->oh * g->ow * DYNO_CPU_BLOCK;
    float *y = (float *)out->data + n * out->batch_stride + y_off;
    const float *w = weights + (state->blocks + cb * g->taps) * DYNO_CPU_BLOCK;
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, n);
    const int64_t oy0 = chunk * state->chunk_lines;
    const int64_t oy1 = dyno_cpu_min(oy0 + state->chunk_lines, g->oh);
    float *pad = (float *)args->workspace + thread * state->thread_floats;
    const int64_t iy0 = oy0 * g->sh - g->ph;
    if (state->mode == PADDED)
        copy_padded(state, x, iy0, (oy1 - oy0 - 1) * g->sh + (g->kh - 1) * g->dh + 1, pad);
    struct line line = {
        .x_line = g->dh * (state->mode == PADDED ? state->pad_cols : g->w) * DYNO_CPU_BLOCK,
        .bias = weights + cb * DYNO_CPU_BLOCK,
        .kw = (int)g->kw,
        .sw = (int)g->sw,
        .dw = (int)g->dw,
        .clip = ep.clip,
        .lo = ep.lo,
        .hi = ep.hi,
    };
    for (int64_t oy = oy0; oy < oy1; oy++) {
        set_line(state, x, pad, iy0, w, oy, &line);
        line.y = y + oy * g->ow * DYNO_CPU_BLOCK;
        line.res = ep.res ? ep.res + y_off + oy * g->ow * DYNO_CPU_BLOCK : NULL;
        run_line(state, &line);
    }
    if (ep.in_memory) {
        float *done = y + oy0 * g->ow * DYNO_CPU_BLOCK;
        tail_block(&state->tail, args->ins, done, done, n, cb, oy0 * g->ow, (oy1 - oy0) * g->ow);
    }
}

/* --- the kernel --- */

static enum dyno_status check(const struct dyno_site *site, struct dyno_cpu_conv *g,
                              struct dyno_err *err)
{
    DYNO_TRY(dyno_cpu_conv_check(site, g, err));
    return g->groups > 1 && g->cg == 1 && g->mg == 1 ? DYNO_OK : dyno_cpu_refuse(site, err);
}

/* [blocks][16] biases, [blocks][taps][16] weights. */
static uint64_t packed_floats(const struct dyno_cpu_conv *g)
{
    const uint64_t blocks = (uint64_t)dyno_cpu_div_up(g->c, DYNO_CPU_BLOCK);
    return dyno_cpu_size(blocks * DYNO_CPU_BLOCK, (uint64_t)g->taps + 1, 0);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct dyno_cpu_conv g;
    if (max < 2 || check(site, &g, NULL) != DYNO_OK)
        return 0;
    const double pixels = (double)g.batch * (double)g.c * (double)g.oh * (double)g.ow;
    const double flops = 2.0 * pixels * (double)g.taps;
    const double bytes = 4.0 * (pixels + (double)g.batch * (double)g.c * (double)g.h * (double)g.w);
    const double share = dyno_gemm_peak_share(site->target, &DYNO_CPU_FN(dyno_gemm_micro)) * 0.7;
    const double compute_us = flops / ((double)site->target->peak_gflops * share * 1e3);
    const double memory_us = dyno_cpu_move_us(site->target, bytes * 0.5);
    const double us = compute_us > memory_us ? compute_us : memory_us;
    for (uint32_t mode = IN_PLACE; mode <= PADDED; mode++) {
        /* Border pixels take four times as long; a copy about two taps. */
        const double edge = (double)(g.pw + g.pw_end) / (double)(g.ow > 0 ? g.ow : 1);
        const double extra = mode == IN_PLACE ? 3.0 * edge : 2.0 / (double)g.taps;
        dyno_cpu_tactic_block(&out[mode], site, us * (1.0 + extra));
        out[mode].cfg[0] = mode;
    }
    return 2;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cpu_conv g;
    DYNO_TRY(check(site, &g, err));
    if (packed_floats(&g) > UINT32_MAX || asked->cfg[0] > PADDED ||
        !dyno_cpu_settle_block(site, 1, 1, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->packed_bytes = packed_floats(&g) * sizeof(float);
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    (void)tactic;
    struct dyno_cpu_conv g;
    DYNO_TRY(dyno_cpu_conv_resolve(site, &g, err));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    const int64_t blocks = dyno_cpu_div_up(g.c, DYNO_CPU_BLOCK);
    float *to = dst;
    for (int64_t c = 0; c < blocks * DYNO_CPU_BLOCK; c++)
        *to++ = bias && c < g.c ? bias[c] : 0.0F;
    for (int64_t cb = 0; cb < blocks; cb++) {
        for (int64_t tap = 0; tap < g.taps; tap++) {
            for (int64_t c = cb * DYNO_CPU_BLOCK; c < (cb + 1) * DYNO_CPU_BLOCK; c++)
                *to++ = c < g.c ? w[c * g.taps + tap] : 0.0F;
        }
    }
    return DYNO_OK;
}

static void plan_chunks(struct conv_depthwise_state *state)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t pixels = state->mode == PADDED ? 768 : 256;
    const int64_t reach = g->w - 1 - (g->kw - 1) * g->dw + g->pw; /* of the last whole window */
    state->first = dyno_cpu_min(dyno_cpu_div_up(g->pw, g->sw), g->ow);
    state->last = reach < 0 ? state->first : dyno_cpu_min(reach / g->sw + 1, g->ow);
    if (state->last < state->first)
        state->last = state->first;
    state->chunk_lines = dyno_cpu_div_up(pixels, g->ow > 0 ? g->ow : 1);
    if (state->mode == PADDED) {
        state->first = 0;
        state->last = g->ow;
        state->chunk_lines = dyno_cpu_min(state->chunk_lines, g->oh > 0 ? g->oh : 1);
        state->pad_lines = (state->chunk_lines - 1) * g->sh + (g->kh - 1) * g->dh + 1;
        state->pad_cols = (g->ow - 1) * g->sw + (g->kw - 1) * g->dw + 1;
        state->thread_floats = state->pad_lines * state->pad_cols * DYNO_CPU_BLOCK;
    }
    state->chunks = dyno_cpu_div_up(g->oh, state->chunk_lines);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct conv_depthwise_state *state = state_bytes;
    const struct dyno_cpu_conv *g = &state->conv;
    *state = (struct conv_depthwise_state){0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_AXES, &state->tail, err));
    state->blocks = dyno_cpu_div_up(g->c, DYNO_CPU_BLOCK);
    state->mode = tactic->cfg[0] == PADDED && g->ow > 0 ? PADDED : IN_PLACE;
    if (g->sw > UINT16_MAX || g->dw > UINT16_MAX || g->kw > UINT16_MAX || g->w > (1 << 26))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has a window or line too long", site->step->name);
    plan_chunks(state);
    if (dyno_cpu_size((uint64_t)g->batch * (uint64_t)state->blocks, (uint64_t)state->chunks, 0) >
            INT32_MAX ||
        dyno_cpu_size((uint64_t)state->pad_lines, (uint64_t)state->pad_cols, 0) > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has too many or too large pieces",
                         site->step->name);
    *workspace_bytes_out =
        (uint64_t)state->thread_floats * sizeof(float) * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_depthwise_state *state = args->state;
    struct job job = {.state = state, .args = args};
    const int64_t tasks = state->conv.batch * state->blocks * state->chunks;
    if (state->conv.ow > 0)
        dyno_pool_run(args->pool, task, &job, (int)tasks);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_depthwise) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_depthwise"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct conv_depthwise_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
