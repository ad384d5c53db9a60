/* cublaslt_product.c - products of cuBLASLt as kernels: candidates, one bound shape, one run. */
#include "backend/cuda/cublaslt_product.h"

#include <math.h>

#include "backend/cuda/libraries.h"
#include "base/mem.h"
#include "ops/gemm.h"

#define WORKSPACE_ALIGN 256
/* As much as others give it: PyTorch 32 MiB on 9.0 and later. */
#define WORKSPACE_MAX   (UINT64_C(32) << 20)
#define WORKSPACE_OLDER (UINT64_C(4) << 20)

/* cfg[0] */
#define WAY_LAYOUT 0x000FU /* number of a layout */
#define WAY_WIDE   0x0010U /* the result is rows of f32 */
#define WAY_TURNED 0x0020U
#define WAY_FIRST  0x0040U
#define WAY_TF32   0x0080U
#define WAY_PASS   0x0100U
#define WAY_UNUSED 0xFE00U

/* --- the library --- */

static enum dyno_status version_of(uint32_t *version_out, struct dyno_err *err)
{
    const struct dyno_lt *lt = NULL;
    DYNO_TRY(dyno_lt_load(&lt, err));
    *version_out = dyno_lt_version();
    return DYNO_OK;
}

static enum dyno_status open_session(const struct dyno_cuda *cuda, void *stream, void **session_out,
                                     struct dyno_err *err)
{
    struct dyno_lt_session *session = dyno_alloc(1, sizeof(*session));
    (void)cuda;
    (void)stream;
    *session_out = NULL;
    if (session == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_lt_load(&session->lt, err);
    if (status == DYNO_OK)
        status = dyno_lt_check(session->lt, session->lt->create(&session->handle), "to start", err);
    if (status == DYNO_OK)
        *session_out = session;
    else
        dyno_free(session);
    return status;
}

static void close_session(void *handle)
{
    struct dyno_lt_session *session = handle;
    (void)session->lt->destroy(session->handle);
    dyno_free(session);
}

const struct dyno_cuda_library dyno_cuda_library_cublaslt = {
    .name = "cuBLASLt",
    .env = "DYNO_CUBLASLT",
    .version = version_of,
    .open = open_session,
    .close = close_session,
};

static enum dyno_status session_of(const struct dyno_site *site,
                                   const struct dyno_lt_session **session_out, struct dyno_err *err)
{
    void *session = NULL;
    *session_out = NULL;
    if (site->target->libraries == NULL)
        return DYNO_FAIL(err, DYNO_E_TARGET, "no library may be used here");
    DYNO_TRY(
        dyno_cuda_libraries_get(site->target->libraries, DYNO_LIBRARY_cublaslt, &session, err));
    *session_out = session;
    return DYNO_OK;
}

/* --- candidates --- */

static bool fits_op(const struct dyno_site *site, bool conv)
{
    const enum dyno_op_id op = site->step->op;
    return conv ? op == DYNO_OP_conv : op == DYNO_OP_mat_mul || op == DYNO_OP_gemm;
}

static uint32_t write_way(const struct dyno_lt_way *way, uint32_t layout_idx)
{
    const bool wide = !dyno_layout_same(way->out, way->in);
    return layout_idx | (wide ? WAY_WIDE : 0) | (way->turned ? WAY_TURNED : 0) |
           (way->first ? WAY_FIRST : 0) | (way->tf32 ? WAY_TF32 : 0) | (way->pass ? WAY_PASS : 0);
}

static bool read_way(const struct dyno_tactic *tactic, struct dyno_lt_way *way_out)
{
    const uint32_t cfg = tactic->cfg[0];
    if ((cfg & WAY_UNUSED) != 0 || (cfg & WAY_LAYOUT) >= (uint32_t)dyno_cuda_layout_count)
        return false;
    const struct dyno_layout in = dyno_cuda_layouts[cfg & WAY_LAYOUT];
    const bool wide = (cfg & WAY_WIDE) != 0;
    *way_out = (struct dyno_lt_way){.in = in,
                                    .out = wide ? DYNO_ROW : in,
                                    .turned = (cfg & WAY_TURNED) != 0,
                                    .first = (cfg & WAY_FIRST) != 0,
                                    .tf32 = (cfg & WAY_TF32) != 0,
                                    .pass = (cfg & WAY_PASS) != 0};
    if ((way_out->tf32 && in.elem != 0) || (way_out->first && (way_out->tf32 || way_out->pass)))
        return false;
    return !wide || (in.elem != 0 && !dyno_cuda_is_last(in));
}

static void set_layouts(const struct dyno_site *site, const struct dyno_lt_way *way,
                        struct dyno_tactic *tactic)
{
    dyno_cuda_tail_layouts(site, way->out, tactic);
    tactic->in_layouts[0] = way->in;
    if (site->step->own_in_count > 1 && !site->in_is_weight[1])
        tactic->in_layouts[1] = way->in;
    if (site->step->own_in_count > 2 && site->ins[2].rank >= 0 && !site->in_is_weight[2])
        tactic->in_layouts[2] = way->out;
}

/* Arithmetic or memory, whichever takes longer, in whole waves of the card. */
static float estimate(const struct dyno_site *site, const struct dyno_lt_geometry *geometry,
                      float waves, int rank)
{
    const bool narrow = geometry->way.in.elem != 0;
    const double sm_ops = narrow ? 5.0e6 : (geometry->way.tf32 ? 2.5e6 : 0.35e6);
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const double m = (double)geometry->m, n = (double)geometry->n, k = (double)geometry->k;
    const double batch = (double)geometry->batch;
    const double ops_us = 2.0 * batch * m * n * k / (sms * sm_ops);
    const double whole = waves > 0.0F ? ceil((double)waves) / (double)waves : 1.0;
    const double bytes = batch * ((m * k + k * n) * (narrow ? 2.0 : 4.0) +
                                  m * n * (geometry->way.out.elem != 0 ? 2.0 : 4.0));
    const double move_us = dyno_cuda_move_us(site->target, bytes);
    return (float)(fmax(ops_us * fmin(whole, 8.0) + 2.5, move_us) * (1.0 + 0.02 * rank));
}

static uint64_t workspace_max(const struct dyno_target *target)
{
    const uint64_t most = target->gpu.compute >= 90 ? WORKSPACE_MAX : WORKSPACE_OLDER;
    const uint64_t allowed = target->workspace_bytes_max;
    if (allowed >= most + WORKSPACE_ALIGN)
        return most;
    return allowed > WORKSPACE_ALIGN ? allowed - WORKSPACE_ALIGN : 0;
}

/* Does the library still mean the same when it gets the numbers back? */
static bool comes_back(const struct dyno_lt_session *session,
                       const struct dyno_lt_geometry *geometry, struct dyno_lt_call *call,
                       const struct dyno_lt_found *found, const uint32_t *cfg)
{
    struct dyno_lt_algo algo;
    struct dyno_lt_found again;
    return dyno_lt_algo_read(session, geometry, cfg, &algo) &&
           session->lt->algo_check(session->handle, &call->product, &call->a, &call->b, &call->c,
                                   &call->d, &algo, &again) == DYNO_LT_OK &&
           again.workspace_bytes == found->workspace_bytes;
}

/* The step as a product in this way; its tail behind it where the library cannot say it. */
static bool take_way(const struct dyno_site *site, struct dyno_lt_way *way, uint32_t layout_idx,
                     struct dyno_tactic *like_out, struct dyno_lt_geometry *geometry_out)
{
    for (int behind = 0; behind <= (site->step->tail.instr_count != 0 ? 1 : 0); behind++) {
        way->pass = behind != 0;
        *like_out = (struct dyno_tactic){.cfg = {write_way(way, layout_idx)}};
        like_out->cfg[DYNO_CFG_LIBRARY] = dyno_lt_version();
        set_layouts(site, way, like_out);
        if (dyno_lt_geometry_of(site, like_out, way, geometry_out, NULL) == DYNO_OK)
            return true;
    }
    return false;
}

/* The algorithms of one way. */
static int enumerate_way(const struct dyno_site *site, const struct dyno_lt_session *session,
                         const struct dyno_lt_way *asked, uint32_t layout_idx,
                         struct dyno_tactic *out, int max)
{
    struct dyno_lt_way way = *asked;
    struct dyno_tactic like;
    struct dyno_lt_geometry geometry;
    struct dyno_lt_call call;
    struct dyno_lt_found found[DYNO_TACTICS_MAX];
    int count = 0;
    if (!take_way(site, &way, layout_idx, &like, &geometry) || geometry.m < 1 ||
        geometry.batch < 1 || dyno_lt_describe(session->lt, &geometry, &call, NULL) != DYNO_OK)
        return 0;
    const double out_bytes = (double)(geometry.batch * geometry.m * geometry.n) *
                             (geometry.way.out.elem != 0 ? 2.0 : 4.0);
    const double pass_us = way.pass ? dyno_cuda_move_us(site->target, 2.0 * out_bytes) : 0.0;
    const int found_count = dyno_lt_find(session, &call, &geometry, workspace_max(site->target),
                                         found, way.first ? 1 : max);
    for (int i = 0; i < found_count; i++) {
        out[count] = like;
        out[count].est_us = estimate(site, &geometry, found[i].waves, i) + (float)pass_us;
        if (way.first || (dyno_lt_algo_write(session->lt, &found[i].algo, out[count].cfg) &&
                          comes_back(session, &geometry, &call, &found[i], out[count].cfg)))
            count++;
    }
    return count;
}

#define WAYS_MAX  16
#define ALGOS_MAX 10 /* of a way: the library's own order is good, if not perfect */

/* The ways that the build allows; their number. */
static int ways_of(const struct dyno_site *site, bool conv, struct dyno_lt_way ways[WAYS_MAX],
                   uint32_t layouts[WAYS_MAX])
{
    const bool is_constant = site->step->own_in_count > 1 && site->in_is_weight[1];
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout in = dyno_cuda_layouts[i];
        const bool narrow = in.elem != 0;
        if (dyno_cuda_is_last(in) != conv || !dyno_cuda_layout_allowed(in, site->target))
            continue;
        /* Tensor cores like both factors along k; plain arithmetic has no such wish.  A product may
         * leave 16 bits behind: a last layer's output is f32. */
        for (int turned = narrow && is_constant; turned <= (is_constant ? 1 : 0); turned++) {
            for (int wide = 0; wide <= (narrow && !conv ? 1 : 0) && count < WAYS_MAX; wide++) {
                layouts[count] = (uint32_t)i;
                ways[count++] = (struct dyno_lt_way){
                    .in = in, .out = wide != 0 ? DYNO_ROW : in, .turned = turned != 0};
            }
        }
        if (!narrow && (site->target->precisions & DYNO_PRECISION_TF32) != 0 && count < WAYS_MAX) {
            layouts[count] = (uint32_t)i;
            ways[count++] =
                (struct dyno_lt_way){.in = in, .out = in, .turned = is_constant, .tf32 = true};
        }
    }
    return count;
}

/* The unoptimised execution takes what the library takes, with B as the model has it. */
static int enumerate_baseline(const struct dyno_site *site, const struct dyno_lt_session *session,
                              struct dyno_tactic *out, int max, bool conv)
{
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    const struct dyno_lt_way way = {.in = DYNO_ROW,
                                    .out = DYNO_ROW,
                                    .turned = site->step->op == DYNO_OP_gemm &&
                                              site->in_is_weight[1] && attrs->trans_b != 0,
                                    .first = true};
    return conv ? 0 : enumerate_way(site, session, &way, 0, out, max < 1 ? max : 1);
}

int dyno_lt_enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max, bool conv)
{
    const struct dyno_lt_session *session = NULL;
    struct dyno_lt_way ways[WAYS_MAX];
    uint32_t layouts[WAYS_MAX];
    int count = 0;
    if (!fits_op(site, conv) || max < 1 || session_of(site, &session, NULL) != DYNO_OK)
        return 0;
    if (site->target->baseline)
        count = enumerate_baseline(site, session, out, max, conv);
    const int way_count = ways_of(site, conv, ways, layouts);
    for (int w = 0; w < way_count && count < max; w++) {
        int share = (max - count) / (way_count - w); /* what others leave is for the rest */
        share = share < 1 ? 1 : (share > ALGOS_MAX ? ALGOS_MAX : share);
        count += enumerate_way(site, session, &ways[w], layouts[w], out + count, share);
    }
    return count;
}

enum dyno_status dyno_lt_settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                                struct dyno_tactic *tactic, bool conv, struct dyno_err *err)
{
    struct dyno_lt_way way;
    struct dyno_lt_geometry geometry;
    if (!fits_op(site, conv) || !read_way(asked, &way) || dyno_cuda_is_last(way.in) != conv ||
        asked->cfg[DYNO_CFG_LIBRARY] == 0 || !dyno_layout_same(asked->out_layout, way.out) ||
        (way.first && (asked->cfg[0] >> 16 != 0 || asked->cfg[1] != 0 || asked->cfg[2] != 0 ||
                       asked->cfg[3] != 0 || asked->cfg[4] != 0)))
        return dyno_cuda_refuse(site, err);
    tactic->in_layouts[0] = way.in;
    if (site->step->own_in_count > 1 && !site->in_is_weight[1])
        tactic->in_layouts[1] = way.in;
    if (!conv && site->step->own_in_count > 2 && site->ins[2].rank >= 0 && !site->in_is_weight[2])
        tactic->in_layouts[2] = way.out;
    DYNO_TRY(dyno_lt_geometry_of(site, tactic, &way, &geometry, err));
    tactic->packed_bytes = geometry.packed_bytes;
    tactic->flags = way.first && way.in.elem == 0 && !conv ? DYNO_TACTIC_BASELINE : 0;
    tactic->flags |= (way.tf32 ? DYNO_TACTIC_TF32 : 0U) | (way.pass ? DYNO_TACTIC_PASS : 0U);
    return DYNO_OK;
}

enum dyno_status dyno_lt_kernel_pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                     void *dst, struct dyno_err *err)
{
    struct dyno_lt_way way;
    struct dyno_lt_geometry geometry;
    if (!read_way(tactic, &way))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_lt_geometry_of(site, tactic, &way, &geometry, err));
    dyno_lt_pack(site, &geometry, dst);
    return DYNO_OK;
}

/* --- one bound shape --- */

/* The tactic's algorithm where it does these shapes, with what the library takes first as a
 * stand-in: an algorithm was chosen at one shape of a profile. */
static enum dyno_status choose_algo(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                    const struct dyno_lt_geometry *geometry,
                                    struct dyno_lt_state *state, struct dyno_err *err)
{
    const struct dyno_lt_session *session = state->session;
    struct dyno_lt_call *call = &state->call;
    const uint64_t most = workspace_max(site->target);
    struct dyno_lt_found found = {.state = DYNO_LT_OK};
    if (!geometry->way.first) {
        if (!dyno_lt_algo_read(session, geometry, tactic->cfg, &state->algo))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "cuBLASLt has no such algorithm as its number %u",
                             tactic->cfg[0] >> 16);
        const int code =
            session->lt->algo_check(session->handle, &call->product, &call->a, &call->b, &call->c,
                                    &call->d, &state->algo, &found);
        state->workspace_bytes = found.workspace_bytes;
        if (code == DYNO_LT_OK && found.workspace_bytes <= most)
            return DYNO_OK;
    }
    if (dyno_lt_find(session, call, geometry, most, &found, 1) < 1)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "cuBLASLt has no algorithm for %lld products of %lld x %lld x %lld",
                         (long long)geometry->batch, (long long)geometry->m, (long long)geometry->k,
                         (long long)geometry->n);
    state->algo = found.algo;
    state->workspace_bytes = found.workspace_bytes;
    return DYNO_OK;
}

static enum dyno_status prepare_pass(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                     struct dyno_cuda_pass *pass, struct dyno_err *err)
{
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    return dyno_cuda_pass_prepare(site, tactic, &site->outs[0], &tail, false, pass, err);
}

enum dyno_status dyno_lt_program(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 const char **source_out, struct dyno_strbuf *choices,
                                 struct dyno_err *err)
{
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    dyno_cuda_pass_text(site, tactic, &site->step->tail, &tail, true, false, source_out, choices);
    return DYNO_OK;
}

enum dyno_status dyno_lt_prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 const void *packed, void *state_bytes,
                                 uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    struct dyno_lt_state *state = state_bytes;
    struct dyno_lt_way way;
    struct dyno_lt_geometry geometry;
    (void)packed;
    *workspace_bytes_out = 0;
    if (!read_way(tactic, &way))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_lt_geometry_of(site, tactic, &way, &geometry, err));
    *state = (struct dyno_lt_state){.alpha = geometry.alpha,
                                    .beta = geometry.beta,
                                    .b_at = geometry.b_at,
                                    .c = geometry.c,
                                    .b_packed = geometry.b_packed,
                                    .has_bias = (geometry.epilogue & DYNO_LT_WITH_BIAS) != 0,
                                    .is_empty = geometry.m == 0 || geometry.batch == 0,
                                    .has_pass = way.pass};
    if (state->is_empty)
        return DYNO_OK;
    if (way.pass)
        DYNO_TRY(prepare_pass(site, tactic, &state->pass, err));
    DYNO_TRY(session_of(site, &state->session, err));
    DYNO_TRY(dyno_lt_describe(state->session->lt, &geometry, &state->call, err));
    DYNO_TRY(choose_algo(site, tactic, &geometry, state, err));
    if (state->workspace_bytes != 0)
        *workspace_bytes_out = state->workspace_bytes + WORKSPACE_ALIGN;
    return DYNO_OK;
}

/* --- one run --- */

enum dyno_status dyno_lt_run(struct dyno_run_args *args)
{
    struct dyno_lt_state *state = args->state;
    if (state->is_empty)
        return DYNO_OK;
    const struct dyno_lt *lt = state->session->lt;
    struct dyno_lt_call *call = &state->call;
    const char *packed = args->packed;
    const void *bias = packed;
    const void *b = state->b_packed ? packed + state->b_at : args->ins[1].data;
    void *d = args->outs[0].data;
    const void *c = state->c != DYNO_LT_NONE ? args->ins[state->c].data : d;
    const uint64_t at = (dyno_cuda_address(args->workspace) + WORKSPACE_ALIGN - 1) /
                        WORKSPACE_ALIGN * WORKSPACE_ALIGN;
    void *workspace = state->workspace_bytes != 0 ? (void *)(uintptr_t)at : NULL;
    int code = DYNO_LT_OK;
    if (state->has_bias)
        code = lt->product_set(&call->product, DYNO_LT_BIAS, &bias, sizeof(bias));
    if (code == DYNO_LT_OK)
        code = lt->multiply(state->session->handle, &call->product, &state->alpha, b, &call->a,
                            args->ins[0].data, &call->b, &state->beta, c, &call->c, d, &call->d,
                            &state->algo, workspace, state->workspace_bytes, args->gpu->stream);
    DYNO_TRY(dyno_lt_check(lt, code, "to multiply", args->err));
    return state->has_pass ? dyno_cuda_pass_run(args, &state->pass, d) : DYNO_OK;
}
