/* product.c - matrix products on the GPU: geometry, packing, candidates, launches. */
#include "backend/cuda/product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/conv.h"
#include "ops/gemm.h"

#define COLUMNS_STEP 64
#define K_STEP       64
#define BYTES_MAX    (INT64_C(1) << 40)
#define SPLITS       4    /* 1, 2, 4, 8 blocks a tile */
#define GROUPS_MAX   8191 /* of a convolution: a grid is at most 65535 deep */

/* Tiles of product_mma.cu.  Appended, never changed: engines name them by number. */
static const struct {
    int bm, bn, bk, wm, wn, stages;
    bool wgmma; /* compute capability 9.0 alone */
} mma_tiles[] = {
    {128, 128, 32, 64, 32, 4, false}, {128, 64, 32, 64, 32, 4, false},
    {64, 128, 32, 32, 64, 4, false},  {64, 64, 64, 32, 32, 3, false},
    {64, 32, 64, 32, 16, 4, false},   {32, 64, 64, 16, 32, 4, false},
    {256, 128, 32, 64, 64, 3, false}, {128, 128, 64, 64, 32, 3, false},
    {64, 64, 64, 32, 32, 2, false},   {128, 64, 64, 64, 32, 2, false},
    {128, 128, 64, 16, 128, 3, true}, {128, 256, 64, 16, 256, 3, true},
    {64, 128, 64, 16, 128, 4, true},  {64, 64, 64, 16, 64, 4, true},
    {128, 64, 64, 16, 64, 3, true},   {256, 128, 64, 16, 128, 3, true},
    {64, 256, 64, 16, 256, 4, true},  {128, 64, 64, 16, 64, 2, true},
};

/* Tiles of product_ffma.cu. */
static const struct {
    int bm, bn, tm, tn;
} ffma_tiles[] = {{128, 128, 8, 8}, {64, 64, 4, 4}, {128, 64, 8, 4}, {32, 64, 4, 4}};

#define MMA_TILES  ((int)DYNO_COUNT(mma_tiles))
#define FFMA_TILES ((int)DYNO_COUNT(ffma_tiles))

static bool on_tensor_cores(enum dyno_cuda_unit unit)
{
    return unit != DYNO_CUDA_FFMA;
}

static int64_t round_up(int64_t value, int64_t step)
{
    return dyno_cuda_div_up(value, step) * step;
}

/* --- geometry --- */

static enum dyno_status conv_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                bool is_tensor, struct dyno_cuda_product *product,
                                struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    const struct dyno_layout layout = tactic->out_layout;
    if (!dyno_cuda_is_last(layout) || site->ins[0].rank < 3 || site->ins[0].rank > 4 ||
        !dyno_cuda_is_constant(site, 1) ||
        (!dyno_cuda_is_constant(site, 2) && !dyno_cuda_is_absent(site, 2)))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cpu_conv_resolve(site, &conv, err));
    if (conv.groups < 1 || conv.k < 1 || conv.mg < 1)
        return dyno_cuda_refuse(site, err);
    /* Groups lie beside each other without padding. */
    if (conv.groups != 1 && (!is_tensor || conv.cg % layout.block != 0 ||
                             conv.mg % layout.block != 0 || conv.groups > GROUPS_MAX))
        return dyno_cuda_refuse(site, err);
    const int64_t stored = dyno_cuda_stored(conv.cg, layout);
    product->groups = conv.groups;
    product->channels = conv.cg;
    product->taps = conv.taps;
    product->m = conv.batch * conv.oh * conv.ow;
    product->n = conv.mg;
    product->k = conv.taps * stored;
    product->a_columns = stored;
    product->out_columns = dyno_cuda_stored(conv.mg, layout);
    product->lda = dyno_cuda_ld(&site->ins[0], layout);
    product->ldo = dyno_cuda_ld(&site->outs[0], layout);
    product->windows = conv.taps != 1 || conv.sh != 1 || conv.sw != 1 || conv.ph != 0 ||
                       conv.pw != 0 || conv.ph_end != 0 || conv.pw_end != 0;
    const int64_t pixels = conv.h * conv.w;
    if (conv.batch * conv.oh > INT32_MAX || product->m > INT32_MAX || pixels > INT32_MAX ||
        conv.kh * conv.dh > INT32_MAX / 4 || conv.kw * conv.dw > INT32_MAX / 4)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a Conv of %lld positions is too large for the GPU",
                         (long long)product->m);
    product->params = (struct dyno_gpu_product){
        .c = (int)stored,
        .h = (int)conv.h,
        .w = (int)conv.w,
        .oh = (int)conv.oh,
        .ow = (int)conv.ow,
        .kh = (int)conv.kh,
        .kw = (int)conv.kw,
        .sh = (int)conv.sh,
        .sw = (int)conv.sw,
        .dh = (int)conv.dh,
        .dw = (int)conv.dw,
        .ph = (int)conv.ph,
        .pw = (int)conv.pw,
    };
    return DYNO_OK;
}

/* Gemm's C as a bias: one value, or one a column. */
static bool bias_fits(const struct dyno_site *site, int64_t n)
{
    if (dyno_cuda_is_absent(site, 2))
        return true;
    const struct dyno_buf *c = &site->ins[2];
    const int64_t count = dyno_cuda_count(c, 0, c->rank);
    return dyno_cuda_is_constant(site, 2) &&
           (count == 1 || (count == n && c->rank > 0 && c->dims[c->rank - 1] == n));
}

static enum dyno_status matmul_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                  struct dyno_cuda_product *product, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *a = &site->ins[0];
    const struct dyno_buf *b = &site->ins[1];
    const bool is_gemm = step->op == DYNO_OP_gemm;
    const struct dyno_gemm_attrs *attrs = step->attrs;
    if (!dyno_cuda_is_constant(site, 1) || b->rank != 2 || a->rank < 2 ||
        tactic->out_layout.kind != DYNO_LAYOUT_ROW || (is_gemm && attrs->trans_a != 0))
        return dyno_cuda_refuse(site, err);
    const bool turned = is_gemm && attrs->trans_b != 0;
    product->m = dyno_cuda_count(a, 0, a->rank - 1);
    product->k = a->dims[a->rank - 1];
    product->n = b->dims[turned ? 0 : 1];
    product->lda = product->a_columns = product->k;
    product->ldo = product->out_columns = product->n;
    if (product->k < 1 || product->n < 1 || product->k != b->dims[turned ? 1 : 0] ||
        (is_gemm && !bias_fits(site, product->n)))
        return dyno_cuda_refuse(site, err);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_product_of(const struct dyno_site *site,
                                      const struct dyno_tactic *tactic, enum dyno_cuda_unit unit,
                                      struct dyno_cuda_product *product_out, struct dyno_err *err)
{
    struct dyno_cuda_product product = {.groups = 1};
    const struct dyno_layout layout = tactic->in_layouts[0];
    const int64_t elem_bytes = layout.elem != 0 ? 2 : 4;
    if (!dyno_cuda_is_f32(&site->ins[0]) || !dyno_cuda_readable(site, 0) || site->in_is_weight[0] ||
        !dyno_cuda_layout_known(layout) || (unit == DYNO_CUDA_MMA) != (layout.elem != 0) ||
        !dyno_cuda_tail_plan(site, tactic, &product.tail))
        return dyno_cuda_refuse(site, err);
    if (site->step->op == DYNO_OP_conv)
        DYNO_TRY(conv_of(site, tactic, on_tensor_cores(unit), &product, err));
    else
        DYNO_TRY(matmul_of(site, tactic, &product, err));
    /* Rows of a are read 16 bytes at a time. */
    if (product.lda % (16 / elem_bytes) != 0)
        return dyno_cuda_refuse(site, err);
    if (product.m < 0 || product.m > INT32_MAX || product.k > INT32_MAX / 2 ||
        product.n > INT32_MAX / 2)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a product of %lld x %lld x %lld is too large",
                         (long long)product.m, (long long)product.k, (long long)product.n);
    product.k_padded = round_up(product.k, K_STEP);
    product.columns = round_up(product.n, COLUMNS_STEP);
    if (product.k_padded > BYTES_MAX / elem_bytes / product.columns / product.groups)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "weights of %lld x %lld are too large",
                         (long long)product.k, (long long)product.n);
    product.packed_bytes =
        (uint64_t)(product.groups * product.columns * (4 + product.k_padded * elem_bytes));
    *product_out = product;
    return DYNO_OK;
}

/* Elements that an epilogue stores at once. */
static int vector_of(const struct dyno_cuda_product *product, enum dyno_cuda_unit unit)
{
    int vector = on_tensor_cores(unit) ? 8 : 4;
    while (vector > 1 && product->out_columns % vector != 0)
        vector /= 2;
    return vector;
}

/* --- candidates --- */

static bool tile_at(uint32_t idx, enum dyno_cuda_unit unit, int *bm_out, int *bn_out, int *bk_out)
{
    if (idx >= (uint32_t)(on_tensor_cores(unit) ? MMA_TILES : FFMA_TILES) ||
        (unit == DYNO_CUDA_TF32 && mma_tiles[idx].wgmma))
        return false;
    *bm_out = on_tensor_cores(unit) ? mma_tiles[idx].bm : ffma_tiles[idx].bm;
    *bn_out = on_tensor_cores(unit) ? mma_tiles[idx].bn : ffma_tiles[idx].bn;
    *bk_out = on_tensor_cores(unit) ? mma_tiles[idx].bk : 16;
    if (unit == DYNO_CUDA_TF32)
        *bk_out /= 2; /* as many bytes */
    return true;
}

bool dyno_cuda_ffma_tile(uint32_t idx, int *bm_out, int *bn_out, int *tm_out, int *tn_out)
{
    if (idx >= (uint32_t)FFMA_TILES)
        return false;
    *bm_out = ffma_tiles[idx].bm;
    *bn_out = ffma_tiles[idx].bn;
    *tm_out = ffma_tiles[idx].tm;
    *tn_out = ffma_tiles[idx].tn;
    return true;
}

/* Blocks come in waves over the multiprocessors; a step over k costs its arithmetic or, in a small
 * tile, the wait for memory. */
static double estimate(const struct dyno_site *site, const struct dyno_cuda_product *product,
                       uint32_t tile, int split, enum dyno_cuda_unit unit)
{
    /* Operations of a multiprocessor in a microsecond, multiply and add. */
    double ops_a_us = 0.4e6;
    if (on_tensor_cores(unit))
        ops_a_us = unit == DYNO_CUDA_TF32 ? 2.0e6 : (mma_tiles[tile].wgmma ? 6.0e6 : 4.0e6);
    int bm = 0, bn = 0, bk = 0;
    DYNO_ASSERT(tile_at(tile, unit, &bm, &bn, &bk) && bm > 0 && bn > 0);
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const double blocks =
        (double)(dyno_cuda_div_up(product->m, bm) * dyno_cuda_div_up(product->out_columns, bn) *
                 split * product->groups);
    const double resident = bm * bn >= 16384 ? 1.0 : (bm * bn >= 8192 ? 2.0 : 4.0);
    const double waves = ceil(blocks / (sms * resident));
    const double at_once = blocks < sms * resident ? ceil(blocks / sms) : resident;
    const double tile_us = 2.0 * bm * bn * bk / ops_a_us * at_once;
    const double wait_us = on_tensor_cores(unit) ? 0.12 : 0.25;
    const double steps = ceil((double)product->k_padded / bk / split);
    return 2.5 + (split > 1 ? 1.0 : 0.0) + waves * steps * fmax(tile_us, wait_us);
}

static int by_estimate(const void *a, const void *b)
{
    const struct dyno_tactic *x = a;
    const struct dyno_tactic *y = b;
    if (x->est_us != y->est_us)
        return x->est_us < y->est_us ? -1 : 1;
    return x->cfg[0] != y->cfg[0] ? (x->cfg[0] < y->cfg[0] ? -1 : 1)
                                  : (x->cfg[1] < y->cfg[1] ? -1 : x->cfg[1] > y->cfg[1]);
}

/* The most promising ways in one pair of layouts. */
static int enumerate_layout(const struct dyno_site *site, const struct dyno_tactic *like,
                            struct dyno_tactic *out, int max, enum dyno_cuda_unit unit)
{
    enum { BEST = 24 };
    struct dyno_tactic all[MMA_TILES * SPLITS];
    struct dyno_cuda_product product = {.windows = false};
    int count = 0;
    if (dyno_cuda_product_of(site, like, unit, &product, NULL) != DYNO_OK)
        return 0;
    for (uint32_t tile = 0; tile < (uint32_t)(on_tensor_cores(unit) ? MMA_TILES : FFMA_TILES);
         tile++) {
        for (int split = 1;
             split <= (on_tensor_cores(unit) && site->target->gpu.compute >= 90 ? 8 : 1);
             split *= 2) {
            int bm = 0, bn = 0, bk = 0;
            if (!tile_at(tile, unit, &bm, &bn, &bk) ||
                (split > 1 && product.k_padded / bk < 2LL * split) || bn > 2 * product.columns ||
                (on_tensor_cores(unit) && mma_tiles[tile].wgmma && site->target->gpu.compute != 90))
                continue;
            all[count] = *like;
            all[count].cfg[0] = tile;
            all[count].cfg[1] = (uint32_t)split;
            all[count++].est_us = (float)estimate(site, &product, tile, split, unit);
        }
    }
    qsort(all, (size_t)count, sizeof(all[0]), by_estimate);
    count = count < BEST ? count : BEST;
    count = count < max ? count : max;
    memcpy(out, all, (size_t)count * sizeof(*out));
    return count;
}

int dyno_cuda_product_enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max,
                                enum dyno_cuda_unit unit, bool conv)
{
    const enum dyno_op_id op = site->step->op;
    const bool fits = conv ? op == DYNO_OP_conv : op == DYNO_OP_mat_mul || op == DYNO_OP_gemm;
    int count = 0;
    if (unit == DYNO_CUDA_TF32 && (site->target->precisions & DYNO_PRECISION_TF32) == 0)
        return 0;
    for (int i = 0; fits && i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout in = dyno_cuda_layouts[i];
        if (dyno_cuda_is_last(in) != conv || (in.elem != 0) != (unit == DYNO_CUDA_MMA) ||
            !dyno_cuda_layout_allowed(in, site->target))
            continue;
        /* A product may leave 16 bits behind: a last layer's output is f32. */
        for (int wide = 0; wide < (unit == DYNO_CUDA_MMA && !conv ? 2 : 1); wide++) {
            struct dyno_tactic like = {.cfg = {0, 1}};
            like.in_layouts[0] = in;
            dyno_cuda_tail_layouts(site, wide != 0 ? DYNO_ROW : in, &like);
            like.cfg[2] = (uint32_t)i;
            count += enumerate_layout(site, &like, out + count, max - count, unit);
        }
    }
    return count;
}

enum dyno_status dyno_cuda_product_settle(const struct dyno_site *site, struct dyno_tactic *tactic,
                                          enum dyno_cuda_unit unit, bool conv, struct dyno_err *err)
{
    const enum dyno_op_id op = site->step->op;
    const bool fits = conv ? op == DYNO_OP_conv : op == DYNO_OP_mat_mul || op == DYNO_OP_gemm;
    struct dyno_cuda_product product = {.windows = false};
    int bm = 0, bn = 0, bk = 0;
    const uint32_t split = tactic->cfg[1];
    if (!fits || !dyno_cuda_rest_is_zero(tactic, 3) ||
        !tile_at(tactic->cfg[0], unit, &bm, &bn, &bk) ||
        tactic->cfg[2] >= (uint32_t)dyno_cuda_layout_count || split == 0 || split > 8 ||
        (split & (split - 1)) != 0 || (!on_tensor_cores(unit) && split != 1))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout in = dyno_cuda_layouts[tactic->cfg[2]];
    const bool out_fits =
        dyno_layout_same(tactic->out_layout, in) ||
        (unit == DYNO_CUDA_MMA && !conv && dyno_layout_same(tactic->out_layout, DYNO_ROW));
    if (dyno_cuda_is_last(in) != conv || !out_fits)
        return dyno_cuda_refuse(site, err);
    tactic->in_layouts[0] = in;
    DYNO_TRY(dyno_cuda_product_of(site, tactic, unit, &product, err));
    tactic->packed_bytes = product.packed_bytes;
    tactic->flags = on_tensor_cores(unit) || conv ? 0 : DYNO_TACTIC_BASELINE;
    tactic->flags |= unit == DYNO_CUDA_TF32 ? DYNO_TACTIC_TF32 : 0;
    return DYNO_OK;
}

/* --- packing --- */

static float weight_at(const struct dyno_site *site, const struct dyno_cuda_product *product,
                       int64_t k, int64_t n)
{
    const float *w = site->ins[1].data;
    if (site->step->op == DYNO_OP_conv) {
        const int64_t stored = product->a_columns;
        const int64_t channel = k % stored;
        return channel < product->channels
                   ? w[(n * product->channels + channel) * product->taps + k / stored]
                   : 0.0F;
    }
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    const bool is_gemm = site->step->op == DYNO_OP_gemm;
    const float value =
        is_gemm && attrs->trans_b != 0 ? w[n * product->k + k] : w[k * product->n + n];
    return is_gemm ? value * attrs->alpha : value;
}

static float bias_at(const struct dyno_site *site, int64_t n)
{
    if (dyno_cuda_is_absent(site, 2) || site->step->op == DYNO_OP_mat_mul)
        return 0.0F;
    const struct dyno_buf *c = &site->ins[2];
    const float *bias = c->data;
    const float value = dyno_cuda_count(c, 0, c->rank) == 1 ? bias[0] : bias[n];
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    return site->step->op == DYNO_OP_gemm ? value * attrs->beta : value;
}

/* To ten bits behind the point, as the program rounds A: to the nearest. */
static float to_tf32(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7F800000U) != 0x7F800000U)
        bits = (bits + 0x1000U) & ~0x1FFFU;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

enum dyno_status dyno_cuda_product_pack(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic, void *dst,
                                        enum dyno_cuda_unit unit, struct dyno_err *err)
{
    struct dyno_cuda_product product = {.windows = false};
    DYNO_TRY(dyno_cuda_product_of(site, tactic, unit, &product, err));
    memset(dst, 0, product.packed_bytes);
    float *bias = dst;
    float *wide = bias + product.groups * product.columns;
    uint16_t *narrow = (uint16_t *)(void *)wide;
    for (int64_t n = 0; n < product.groups * product.n; n++) {
        const int64_t column = n / product.n * product.columns + n % product.n;
        bias[column] = bias_at(site, n);
        for (int64_t k = 0; k < product.k; k++) {
            const float value = weight_at(site, &product, k, n);
            const size_t at = (size_t)(column * product.k_padded + k);
            if (unit == DYNO_CUDA_MMA)
                dyno_elem_store_f64((enum dyno_dtype)tactic->in_layouts[0].elem, narrow, at,
                                    (double)value);
            else if (unit == DYNO_CUDA_TF32)
                wide[at] = to_tf32(value);
            else /* one group */
                wide[k * product.columns + n] = value;
        }
    }
    return DYNO_OK;
}

/* --- one bound shape, one run --- */

enum dyno_status dyno_cuda_product_program(const struct dyno_site *site,
                                           const struct dyno_tactic *tactic,
                                           const char **source_out, struct dyno_strbuf *choices,
                                           enum dyno_cuda_unit unit, struct dyno_err *err)
{
    struct dyno_cuda_product product = {.windows = false};
    DYNO_TRY(dyno_cuda_product_of(site, tactic, unit, &product, err));
    const char *type = dyno_cuda_type(tactic->in_layouts[0]);
    const uint32_t tile = tactic->cfg[0];
    int bm = 0, bn = 0, bk = 0;
    if (!tile_at(tile, unit, &bm, &bn, &bk))
        return dyno_cuda_refuse(site, err);
    *source_out = on_tensor_cores(unit) ? "product_mma.cu" : "product_ffma.cu";
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define WINDOWS %d\n#define VEC %d\n",
                       type, dyno_cuda_type(tactic->out_layout), product.windows,
                       vector_of(&product, unit));
    if (on_tensor_cores(unit))
        dyno_strbuf_printf(
            choices,
            "#define BM %d\n#define BN %d\n#define BK %d\n"
            "#define WM %d\n#define WN %d\n#define STAGES %d\n#define SPLIT %u\n#define WGMMA %d\n",
            bm, bn, bk, mma_tiles[tile].wm, mma_tiles[tile].wn, mma_tiles[tile].stages,
            tactic->cfg[1], mma_tiles[tile].wgmma);
    else
        dyno_strbuf_printf(choices,
                           "#define TB float\n#define BM %d\n#define BN %d\n#define TM %d\n"
                           "#define TN %d\n#define AV 4\n#define BV 4\n",
                           bm, bn, ffma_tiles[tile].tm, ffma_tiles[tile].tn);
    dyno_cuda_tail_text(&site->step->tail, &product.tail, choices);
    return DYNO_OK;
}

static void set_shared(struct dyno_cuda_product_state *state, const struct dyno_tactic *tactic,
                       enum dyno_cuda_unit unit)
{
    const uint32_t tile = tactic->cfg[0];
    if (!on_tensor_cores(unit)) {
        state->threads =
            ffma_tiles[tile].bm / ffma_tiles[tile].tm * (ffma_tiles[tile].bn / ffma_tiles[tile].tn);
        return;
    }
    const int bm = mma_tiles[tile].bm, bn = mma_tiles[tile].bn;
    const int copies = (bm + bn) * mma_tiles[tile].bk * 2 * mma_tiles[tile].stages;
    const int sums = bm * (bn + 8) * 4;
    state->threads = 32 * (bm / mma_tiles[tile].wm) * (bn / mma_tiles[tile].wn);
    state->shared_bytes = (uint32_t)(copies > sums ? copies : sums);
}

enum dyno_status dyno_cuda_product_prepare(const struct dyno_site *site,
                                           const struct dyno_tactic *tactic, void *state_bytes,
                                           enum dyno_cuda_unit unit, struct dyno_err *err)
{
    struct dyno_cuda_product product = {.windows = false};
    struct dyno_cuda_product_state *state = state_bytes;
    int bm = 0, bn = 0, bk = 0;
    DYNO_TRY(dyno_cuda_product_of(site, tactic, unit, &product, err));
    if (!tile_at(tactic->cfg[0], unit, &bm, &bn, &bk))
        return dyno_cuda_refuse(site, err);
    *state = (struct dyno_cuda_product_state){.params = product.params, .tail = product.tail};
    struct dyno_gpu_product *params = &state->params;
    params->m = (int)product.m;
    params->n = (int)product.n;
    params->k = (int)product.k_padded;
    params->depth = (int)product.k_padded;
    params->lda = (int)product.lda;
    params->ldb = (int)(on_tensor_cores(unit) ? product.k_padded : product.columns);
    params->ldo = (int)product.ldo;
    params->a_columns = (int)product.a_columns;
    params->out_columns = (int)product.out_columns;
    params->columns = (int)product.columns;
    if (!dyno_cuda_tail_sizes(site, tactic, &product.tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an operand of the tail is too large");
    state->grid[0] = dyno_cuda_div_up(product.m, bm);
    state->grid[1] = dyno_cuda_div_up(product.out_columns, bn);
    state->grid[2] = tactic->cfg[1] * product.groups;
    state->b_at = (uint64_t)(product.groups * product.columns) * sizeof(float);
    if (product.groups != 1) {
        params->a_batch = product.a_columns;
        params->b_batch = product.columns * product.k_padded;
        params->out_batch = params->column_batch = (int)product.n;
        params->bias_batch = (int)product.columns;
    }
    set_shared(state, tactic, unit);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_product_run(struct dyno_run_args *args)
{
    const struct dyno_cuda_product_state *state = args->state;
    struct dyno_gpu_product params = state->params;
    params.a = dyno_cuda_address(args->ins[0].data);
    params.bias = dyno_cuda_address(args->packed);
    params.b = params.bias + state->b_at;
    params.out = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, state->threads, state->shared_bytes, &params,
                            sizeof(params));
}
