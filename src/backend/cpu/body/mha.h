/* mha.h - Dyno's MultiHeadAttention: for some rows of q of one head at a time, scores against all
 * keys, softmax, product with the values.
 *
 * Keys and values of the head are packed into the panels of gemm.h's tiles first; scores of ROWS
 * queries stay in the second-level cache.
 */
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/body/transpose.h"
#include "backend/cpu/body/vmath.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernel.h"
#include "ops/mha.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(mha);

#define MICRO     DYNO_CPU_FN(dyno_gemm_micro)
#define ROWS      28 /* queries at a time, at most; whole tiles of an instruction set */
#define CHUNK_MIN 56 /* queries worth packing the keys again for */

struct mha_state {
    int64_t batch, heads, tq, tk;
    int64_t dim, v_dim;
    int64_t q_stride, k_stride, v_stride; /* floats a position */
    int64_t q_first, k_first, v_first;    /* floats from a position to head 0 */
    float scale;
    bool has_mask;
    int64_t mask_strides[4]; /* batch, head, query, key */
    int64_t chunk, chunks;   /* queries a unit takes */
    int64_t tk_padded, v_padded;
    int64_t thread_floats; /* workspace of a thread */
    struct dyno_cpu_tail tail;
};

static bool mask_strides(const struct dyno_buf *mask, const int64_t *full, int64_t *strides)
{
    int64_t stride = 1;
    if (mask->rank > 4)
        return false;
    for (int i = 3; i >= 0; i--) {
        const int axis = i - (4 - mask->rank);
        const int64_t dim = axis >= 0 ? mask->dims[axis] : 1;
        if (dim != 1 && dim != full[i])
            return false;
        strides[i] = dim == 1 ? 0 : stride;
        stride *= dim;
    }
    return true;
}

static bool has_mask(const struct dyno_site *site)
{
    return site->step->own_in_count > 3 && site->ins[3].rank >= 0;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (site->step->op != DYNO_OP_mha || max < 1)
        return 0;
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const double scores = (double)site->ins[0].dims[0] * (double)attrs->heads *
                          (double)site->ins[0].dims[1] * (double)site->ins[1].dims[1];
    const double flops = 2.0 * scores * (double)(attrs->head_dim + dyno_mha_v_head_dim(attrs));
    const double us = flops / ((double)site->target->peak_gflops * 0.7e3) + scores * 1e-3;
    out[0].est_us = (float)(us * DYNO_CPU_ISA_COST + 0.5);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    if (site->step->op != DYNO_OP_mha || !dyno_cpu_tail_accepts(site) ||
        !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    for (int i = 0; i < 3 + has_mask(site); i++)
        if (!dyno_cpu_is_f32(&site->ins[i]) || (i < 3 && site->ins[i].rank != 3))
            return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static bool heads_fit(const struct dyno_buf *buf, int64_t first, int64_t heads, int64_t dim)
{
    int64_t last = 0;
    return first >= 0 && !__builtin_mul_overflow(heads, dim, &last) &&
           !__builtin_add_overflow(last, first, &last) && last <= buf->dims[2];
}

static void choose_chunks(struct mha_state *state, int threads)
{
    const int64_t units = state->batch * state->heads;
    state->chunks = 1;
    while (threads > 1 && units * state->chunks < (int64_t)threads * 2 &&
           dyno_cpu_div_up(state->tq, state->chunks + 1) >= CHUNK_MIN)
        state->chunks++;
    state->chunk = dyno_cpu_div_up(state->tq, state->chunks);
    if (state->chunk > 0)
        state->chunks = dyno_cpu_div_up(state->tq, state->chunk);
}

static int64_t round_up(int64_t value, int64_t to)
{
    return dyno_cpu_div_up(value, to) * to;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct mha_state *state = state_bytes;
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const struct dyno_buf *q = &site->ins[0], *k = &site->ins[1], *v = &site->ins[2];
    *state = (struct mha_state){.batch = q->dims[0],
                                .heads = attrs->heads,
                                .tq = q->dims[1],
                                .tk = k->dims[1],
                                .dim = attrs->head_dim,
                                .v_dim = dyno_mha_v_head_dim(attrs),
                                .q_stride = q->dims[2],
                                .k_stride = k->dims[2],
                                .v_stride = v->dims[2],
                                .q_first = attrs->q_offset,
                                .k_first = attrs->k_offset,
                                .v_first = attrs->v_offset,
                                .scale = attrs->scale,
                                .has_mask = has_mask(site)};
    const int64_t full[4] = {state->batch, state->heads, state->tq, state->tk};
    if (!heads_fit(q, state->q_first, state->heads, state->dim) ||
        !heads_fit(k, state->k_first, state->heads, state->dim) ||
        !heads_fit(v, state->v_first, state->heads, state->v_dim) || v->dims[1] != state->tk ||
        k->dims[0] != state->batch || v->dims[0] != state->batch ||
        (state->has_mask && !mask_strides(&site->ins[3], full, state->mask_strides)))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the shapes of q, k, v and mask of '%s' do not agree",
                         site->step->name);
    const int threads = site->target->thread_count;
    choose_chunks(state, threads);
    state->tk_padded = round_up(state->tk, MICRO.panel);
    state->v_padded = round_up(state->v_dim, MICRO.panel);
    state->thread_floats = round_up(state->tk_padded * state->dim + state->tk * state->v_padded +
                                        ROWS * (state->tk_padded + state->v_padded),
                                    16);
    *workspace_bytes_out = (uint64_t)state->thread_floats * sizeof(float) * (uint64_t)threads;
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* --- packing --- */

/* Keys [tk][dim] into panels [tk_padded / panel][dim][panel]; keys past the last are 0. */
static void pack_keys(const struct mha_state *state, const float *k, float *dst)
{
    const int64_t panel = MICRO.panel;
    for (int64_t t0 = 0; t0 < state->tk_padded; t0 += LANES) {
        float *to = dst + t0 / panel * panel * state->dim + t0 % panel;
        const int have = (int)dyno_cpu_min(LANES, state->tk - t0);
        int64_t d = 0;
        for (; d + LANES <= state->dim; d += LANES) {
            vf r[LANES];
            for (int i = 0; i < LANES; i++)
                r[i] = i < have ? vf_load(k + (t0 + i) * state->k_stride + d) : vf_zero();
            vf_transpose(r);
            for (int i = 0; i < LANES; i++)
                vf_store(to + (d + i) * panel, r[i]);
        }
        for (; d < state->dim; d++)
            for (int i = 0; i < LANES; i++)
                to[d * panel + i] = i < have ? k[(t0 + i) * state->k_stride + d] : 0.0F;
    }
}

/* Values [tk][v_dim] into panels [v_padded / panel][tk][panel]. */
static void pack_values(const struct mha_state *state, const float *v, float *dst)
{
    const int64_t panel = MICRO.panel;
    for (int64_t c0 = 0; c0 < state->v_padded; c0 += panel) {
        const int64_t have = dyno_cpu_min(panel, state->v_dim - c0);
        for (int64_t t = 0; t < state->tk; t++, dst += panel) {
            const float *src = v + t * state->v_stride + c0;
            int64_t i = 0;
            for (; i + LANES <= have; i += LANES)
                vf_store(dst + i, vf_load(src + i));
            for (; i < panel; i++)
                dst[i] = i < have ? src[i] : 0.0F;
        }
    }
}

/* --- products and softmax --- */

/* c [rows][cols] = a [rows][depth] * panels; cols is whole panels. */
static void product(const float *a, int64_t a_row, const float *panels, int64_t depth, float *c,
                    int64_t cols, int64_t rows)
{
    struct dyno_gemm_tile tile = {.a_row = (ptrdiff_t)a_row,
                                  .a_blk = 16,
                                  .segs = 1,
                                  .blks = (int)(depth / 16),
                                  .rem = (int)(depth % 16),
                                  .c_row = (ptrdiff_t)cols,
                                  .c_blk = 16};
    for (int64_t col = 0; col < cols; col += MICRO.panel)
        for (int64_t row = 0; row < rows; row += MICRO.rows_max) {
            const int64_t count = dyno_cpu_min(MICRO.rows_max, rows - row);
            tile.a = a + row * a_row;
            tile.b = panels + col * depth;
            tile.c = c + row * cols + col;
            MICRO.fn[DYNO_GEMM_STRIDED][0][count](&tile);
        }
}

/* Scores of one query to e^(score - greatest), in place; returns their sum. */
static float exponents(const struct mha_state *state, float *s, const float *mask)
{
    const vf scale = vf_set1(state->scale);
    const bool along = state->mask_strides[3] != 0;
    const vf same = vf_set1(mask != NULL && !along ? mask[0] : 0.0F);
    const int64_t count = state->tk;
    vf most = vf_set1(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const vf m = mask != NULL && along ? vf_load(mask + i) : same;
        const vf x = vf_fma(vf_load(s + i), scale, m);
        vf_store(s + i, x);
        most = vf_max(x, most);
    }
    float greatest = vf_hmax(most);
    for (; i < count; i++) {
        s[i] = s[i] * state->scale + (mask == NULL ? 0.0F : along ? mask[i] : mask[0]);
        greatest = s[i] > greatest ? s[i] : greatest;
    }
    for (; i < state->tk_padded; i++)
        s[i] = -INFINITY; /* keys that are not there */
    const vf shift = vf_set1(greatest);
    vf sum = vf_zero();
    for (i = 0; i < state->tk_padded; i += LANES) {
        const vf e = vexp(vf_sub(vf_load(s + i), shift));
        vf_store(s + i, e);
        sum = vf_add(sum, e);
    }
    return vf_hsum(sum);
}

/* --- units --- */

struct place {
    int64_t b, h;
    float *keys, *values, *scores, *mixed;
};

static void do_rows(const struct dyno_run_args *args, const struct place *place, int64_t t0,
                    int64_t rows)
{
    const struct mha_state *state = args->state;
    const float *q = (const float *)args->ins[0].data +
                     (place->b * state->tq + t0) * state->q_stride + state->q_first +
                     place->h * state->dim;
    float factors[ROWS];
    product(q, state->q_stride, place->keys, state->dim, place->scores, state->tk_padded, rows);
    for (int64_t r = 0; r < rows; r++) {
        const float *mask = NULL;
        if (state->has_mask)
            mask = (const float *)args->ins[3].data + place->b * state->mask_strides[0] +
                   place->h * state->mask_strides[1] + (t0 + r) * state->mask_strides[2];
        factors[r] = 1.0F / exponents(state, place->scores + r * state->tk_padded, mask);
    }
    product(place->scores, state->tk_padded, place->values, state->tk, place->mixed,
            state->v_padded, rows);
    float *out = args->outs[0].data;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t first =
            (place->b * state->tq + t0 + r) * state->heads * state->v_dim + place->h * state->v_dim;
        const float *from = place->mixed + r * state->v_padded;
        const vf factor = vf_set1(factors[r]);
        int64_t i = 0;
        for (; i + LANES <= state->v_dim; i += LANES)
            vf_store(out + first + i, vf_mul(vf_load(from + i), factor));
        for (; i < state->v_dim; i++)
            out[first + i] = from[i] * factors[r];
        tail_range(&state->tail, args->ins, out, first, state->v_dim);
    }
}

static void do_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    const struct mha_state *state = args->state;
    const int64_t head = unit / state->chunks;
    struct place place = {.b = head / state->heads, .h = head % state->heads};
    place.keys = (float *)args->workspace + thread * state->thread_floats;
    place.values = place.keys + state->tk_padded * state->dim;
    place.scores = place.values + state->tk * state->v_padded;
    place.mixed = place.scores + ROWS * state->tk_padded;
    const float *k = args->ins[1].data;
    const float *v = args->ins[2].data;
    pack_keys(state,
              k + place.b * state->tk * state->k_stride + state->k_first + place.h * state->dim,
              place.keys);
    pack_values(state,
                v + place.b * state->tk * state->v_stride + state->v_first + place.h * state->v_dim,
                place.values);
    const int64_t first = unit % state->chunks * state->chunk;
    const int64_t last = dyno_cpu_min(first + state->chunk, state->tq);
    const int64_t step = ROWS - ROWS % MICRO.rows_max;
    for (int64_t t = first; t < last; t += step)
        do_rows(args, &place, t, dyno_cpu_min(step, last - t));
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct mha_state *state = args->state;
    dyno_cpu_units(args, state->batch * state->heads * state->chunks,
                   state->chunk * state->tk * state->dim / 4, do_unit);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(mha) = {
    .name = DYNO_CPU_KERNEL_NAME("mha"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct mha_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
