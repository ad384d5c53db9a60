/* test_extremes.c - test_extremes [COUNT]: kernels of a GPU asked for steps of sizes that no card
 * holds, by tactics that nobody would write: each answer is a tactic or a sentence, and (under
 * UBSan) nothing overflows on the way.  Needs no GPU: nothing is launched.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/gemm.h"
#include "ops/norm.h"
#include "test.h"

#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_depthwise, dyno_kernel_cuda_conv_direct;

#define INS_MAX     3
#define STATE_BYTES 16384

static uint32_t random_state, taken_count, refused_count, asked_count;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (uint32_t)(((uint64_t)(random_state >> 8) * below) >> 24);
}

/* Mostly small; sometimes at the end of a type, or at a kernel's own limit. */
static int64_t draw_size(void)
{
    static const int64_t small[] = {1, 1, 2, 3, 4, 7, 8, 16, 24, 64};
    static const int64_t large[] = {0,
                                    255,
                                    8191,
                                    8192,
                                    65535,
                                    65536,
                                    INT32_MAX / 64,
                                    INT32_MAX / 64 + 1,
                                    INT32_MAX / 16,
                                    INT32_MAX / 2 + 1,
                                    INT32_MAX - 7,
                                    INT32_MAX,
                                    INT64_C(1) << 31,
                                    INT64_C(1) << 33,
                                    INT64_C(1) << 40,
                                    INT64_C(1) << 50,
                                    INT64_MAX / 64};
    return draw(4) != 0 ? small[draw(DYNO_COUNT(small))] : large[draw(DYNO_COUNT(large))];
}

/* A step and what it stands on. */
struct trial {
    struct dyno_step step;
    struct dyno_buf ins[INS_MAX], out;
    bool in_is_weight[INS_MAX];
    int64_t strides[2], dilations[2], pads[4];
    union {
        struct dyno_conv_attrs conv;
        struct dyno_conv_transpose_attrs transpose;
        struct dyno_gemm_attrs gemm;
        struct dyno_layer_norm_attrs norm;
    } attrs;
    struct dyno_target target;
};

static void set(struct dyno_buf *buf, int rank, const int64_t *dims)
{
    *buf = (struct dyno_buf){.dtype = DYNO_F32, .rank = rank};
    for (int i = 0; i < rank; i++)
        buf->dims[i] = dims[i];
}

static void draw_window(struct trial *trial, int axes)
{
    for (int i = 0; i < axes; i++) {
        trial->strides[i] = draw(3) != 0 ? 1 + draw(4) : draw_size();
        trial->dilations[i] = draw(6) != 0 ? 1 : draw_size();
        trial->pads[i] = draw(4) != 0 ? draw(4) : draw_size();
        trial->pads[axes + i] = draw(4) != 0 ? draw(4) : draw_size();
    }
}

static void draw_conv(struct trial *trial, bool is_transposed)
{
    const int axes = 1 + (int)draw(2);
    const int64_t kernel = draw(3) != 0 ? 1 + draw(7) : draw_size();
    const int64_t group = draw(3) != 0 ? 1 : (draw(2) != 0 ? 2 : draw_size());
    const int64_t x[] = {draw_size(), draw_size(), draw_size(), draw_size()};
    const int64_t m = draw_size();
    const int64_t inner = group > 0 ? (is_transposed ? m : x[1]) / group : 1;
    const int64_t w[] = {is_transposed ? x[1] : m, inner, kernel, draw(3) != 0 ? kernel : 1};
    const int64_t bias[] = {is_transposed ? inner * (group < 8192 ? group : 1) : m};
    set(&trial->ins[0], axes + 2, x);
    set(&trial->ins[1], axes + 2, w);
    set(&trial->ins[2], 1, bias);
    draw_window(trial, axes);
    const struct dyno_i64s strides = {trial->strides, (uint32_t)axes};
    const struct dyno_i64s dilations = {trial->dilations, (uint32_t)axes};
    const struct dyno_i64s pads = {trial->pads, 2U * (uint32_t)axes};
    const int32_t auto_pad = draw(5) == 0 ? DYNO_AUTO_PAD_SAME_UPPER : DYNO_AUTO_PAD_NOTSET;
    trial->step.op = is_transposed ? DYNO_OP_conv_transpose : DYNO_OP_conv;
    if (is_transposed)
        trial->attrs.transpose = (struct dyno_conv_transpose_attrs){.auto_pad = auto_pad,
                                                                    .group = group,
                                                                    .dilations = dilations,
                                                                    .strides = strides,
                                                                    .pads = pads};
    else
        trial->attrs.conv = (struct dyno_conv_attrs){.auto_pad = auto_pad,
                                                     .group = group,
                                                     .dilations = dilations,
                                                     .strides = strides,
                                                     .pads = pads};
    trial->step.own_in_count = 2 + draw(2);
}

static void draw_product(struct trial *trial)
{
    const int64_t k = draw_size(), n = draw_size();
    const int64_t a[] = {draw_size(), draw_size(), draw_size(), k};
    const int64_t b[] = {draw(2) != 0 ? a[0] : 1, draw(2) != 0 ? a[1] : 1, k, n};
    const bool is_gemm = draw(2) != 0;
    const int rank = is_gemm ? 2 : 1 + (int)draw(4);
    const int b_rank = is_gemm ? 2 : 1 + (int)draw(4);
    set(&trial->ins[0], rank, a + 4 - rank);
    set(&trial->ins[1], b_rank, b_rank == 1 ? b + 2 : b + 4 - b_rank);
    set(&trial->ins[2], 1, &n);
    trial->step.op = is_gemm ? DYNO_OP_gemm : DYNO_OP_mat_mul;
    trial->step.own_in_count = is_gemm ? 2 + draw(2) : 2;
    trial->attrs.gemm = (struct dyno_gemm_attrs){.alpha = 1.0F, .beta = 1.0F};
    trial->in_is_weight[1] = draw(3) != 0;
}

static void draw_norm(struct trial *trial)
{
    const int64_t x[] = {draw_size(), draw_size(), draw_size()};
    set(&trial->ins[0], 3, x);
    set(&trial->ins[1], 1, x + 2);
    set(&trial->ins[2], 1, x + 2);
    trial->step.op = DYNO_OP_layer_normalization;
    trial->step.own_in_count = 2 + draw(2);
    trial->attrs.norm = (struct dyno_layer_norm_attrs){.axis = -1, .epsilon = 1e-5F};
}

/* False: no such step can be. */
static bool make(struct trial *trial)
{
    static const int capabilities[] = {80, 90, 120};
    struct dyno_tensor ins[INS_MAX] = {{0}}, out = {0};
    const struct dyno_tensor *in_ptrs[INS_MAX];
    *trial = (struct trial){.step = {.name = "s", .out_count = 1}};
    trial->in_is_weight[1] = trial->in_is_weight[2] = true;
    trial->target = (struct dyno_target){
        .precisions = DYNO_PRECISION_F16 | DYNO_PRECISION_BF16 | DYNO_PRECISION_TF32,
        .workspace_bytes_max = UINT64_MAX,
        .baseline = draw(4) == 0,
        .gpu = {.compute = capabilities[draw(3)], .sm_count = 132, .shared_bytes = 232448}};
    const uint32_t kind = draw(8);
    if (kind < 5)
        draw_conv(trial, kind == 4);
    else if (kind < 7)
        draw_product(trial);
    else
        draw_norm(trial);
    trial->step.attrs = &trial->attrs;
    trial->step.in_count = trial->step.own_in_count;
    for (uint32_t i = 0; i < trial->step.in_count; i++) {
        uint64_t bytes = 0;
        ins[i] = (struct dyno_tensor){.dtype = DYNO_F32, .rank = trial->ins[i].rank};
        memcpy(ins[i].dims, trial->ins[i].dims, sizeof(ins[i].dims));
        in_ptrs[i] = &ins[i];
        if (!dyno_layout_bytes(DYNO_ROW, DYNO_F32, ins[i].rank, ins[i].dims, &bytes) ||
            bytes > INT64_MAX / 4)
            return false;
    }
    if (dyno_op_infer_concrete(dyno_ops[trial->step.op], trial->step.attrs, in_ptrs,
                               trial->step.in_count, &out, 1, NULL) != DYNO_OK ||
        out.rank < 0)
        return false;
    set(&trial->out, out.rank, out.dims);
    return true;
}

/* As a binding lays it; false where it would refuse the size. */
static bool lay(struct dyno_buf *buf, struct dyno_layout layout, bool is_view)
{
    uint64_t bytes = 0;
    buf->layout = layout;
    if (!dyno_layout_bytes(layout, buf->dtype, buf->rank, buf->dims, &bytes) ||
        bytes > INT64_MAX / 4)
        return false;
    if (layout.kind == DYNO_LAYOUT_LAST) {
        buf->ld = dyno_layout_stored(layout, buf->dims[1]);
        if (is_view && buf->ld < INT32_MAX / 16 - 64)
            buf->ld += 64;
    }
    return true;
}

/* Its threads have numbers of 32 bits. */
static bool numbers_threads(const struct dyno_kernel *kernel)
{
    return kernel == &dyno_kernel_cuda_conv_depthwise || kernel == &dyno_kernel_cuda_conv_direct;
}

/* That have something to do, but for those that fill up the last block. */
static int64_t threads_of(const void *state)
{
    const struct dyno_cuda_conv_state *conv = state;
    return (conv->grid[0] - 1) * conv->threads;
}

static void take(const struct dyno_kernel *kernel, struct trial *trial,
                 const struct dyno_site *asked, const struct dyno_tactic *tactic)
{
    static _Alignas(64) char state[STATE_BYTES];
    struct dyno_err err = {0};
    struct dyno_strbuf choices = {0};
    struct dyno_buf ins[INS_MAX], out = trial->out;
    const char *source = NULL;
    uint64_t workspace = 0;
    struct dyno_site site = *asked;
    memcpy(ins, trial->ins, sizeof(ins));
    site.ins = ins;
    site.outs = &out;
    bool is_laid = lay(&out, tactic->out_layout, kernel->strided && draw(2) != 0);
    for (uint32_t i = 0; i < trial->step.in_count; i++)
        is_laid = is_laid && lay(&ins[i], tactic->in_layouts[i], kernel->strided && draw(2) != 0);
    REQUIRE(kernel->state_bytes <= sizeof(state));
    CHECK_MSG(tactic->packed_bytes <= UINT64_C(1) << 60, "%s packs into %llu bytes", kernel->name,
              (unsigned long long)tactic->packed_bytes);
    if (!is_laid)
        return;
    trial->step.tactic = *tactic;
    if (dyno_kernel_has_program(kernel, tactic))
        CHECK_MSG(kernel->program(&site, tactic, &source, &choices, &err) == DYNO_OK, "%s: %s",
                  kernel->name, err.text);
    const enum dyno_status status = kernel->prepare(&site, tactic, NULL, state, &workspace, &err);
    CHECK_MSG(status == DYNO_OK || err.text[0] != 0, "%s: no sentence", kernel->name);
    taken_count += status == DYNO_OK;
    if (status == DYNO_OK && numbers_threads(kernel))
        CHECK_MSG(threads_of(state) < INT64_C(1) << 31, "%s: %lld threads", kernel->name,
                  (long long)threads_of(state));
    if (status == DYNO_OK && kernel->release != NULL)
        kernel->release(state);
    dyno_strbuf_fini(&choices);
}

/* Its own candidates, and one that nobody would write. */
static void ask(const struct dyno_kernel *kernel, struct trial *trial)
{
    struct dyno_tactic tactics[DYNO_TACTICS_MAX], settled;
    struct dyno_err err = {0};
    const struct dyno_site site = {.step = &trial->step,
                                   .ins = trial->ins,
                                   .outs = &trial->out,
                                   .in_is_weight = trial->in_is_weight,
                                   .target = &trial->target};
    const int count = dyno_kernel_candidates(kernel, &site, tactics, DYNO_TACTICS_MAX);
    if (count > 0) {
        const int first = (int)draw((uint32_t)count);
        take(kernel, trial, &site, &tactics[first]);
    }
    struct dyno_tactic asked = {.out_layout = dyno_cuda_layouts[draw(6)]};
    for (int i = 0; i < DYNO_TACTIC_CFGS; i++)
        asked.cfg[i] = draw(2) != 0 ? draw(8) : (draw(8) != 0 ? 0 : random_state);
    asked.cfg[DYNO_CFG_LIBRARY] = kernel->library != DYNO_LIBRARY_NONE ? 1 : 0;
    asked_count++;
    if (dyno_kernel_settle(kernel, &site, &asked, &settled, &err) == DYNO_OK) {
        take(kernel, trial, &site, &settled);
        return;
    }
    refused_count++;
    CHECK_MSG(err.text[0] != 0, "%s: no sentence", kernel->name);
}

/* --- the last size that is taken, and the first that is not --- */

struct edge {
    const struct dyno_kernel *kernel;
    bool is_transposed;
    int64_t channels, group, h, stride;
    int64_t w; /* the last one that is taken; of the transposed: h instead */
};

static const struct edge edges[] = {
    {&dyno_kernel_cuda_conv_depthwise, false, 8, 8, 4, 1, 89478485},
    {&dyno_kernel_cuda_conv_direct, false, 16, 2, 16, 1, 13421772},
    {&dyno_kernel_cuda_conv_direct, true, 8, 1, 16383, 65536,
     1}, /* threads for each phase of the stride */
};

/* Candidates of the kernel in f32 for a window of one tap. */
static int ask_edge(const struct edge *edge, int64_t h, int64_t w, struct dyno_tactic *tactics,
                    struct dyno_err *err)
{
    struct trial trial = {.step = {.name = "s", .out_count = 1, .own_in_count = 2, .in_count = 2}};
    const int64_t x[] = {1, edge->channels, h, w};
    const int64_t filter[] = {edge->channels, edge->channels / edge->group, 1, 1};
    const int64_t y[] = {1, edge->channels, h,
                         edge->is_transposed ? (w - 1) * edge->stride + 1 : w};
    const struct dyno_i64s ones = {(int64_t[]){1, 1}, 2}, none = {(int64_t[]){0, 0, 0, 0}, 4};
    const struct dyno_i64s strides = {(int64_t[]){1, edge->stride}, 2};
    set(&trial.ins[0], 4, x);
    set(&trial.ins[1], 4, filter);
    set(&trial.out, 4, y);
    trial.in_is_weight[1] = true;
    trial.step.op = edge->is_transposed ? DYNO_OP_conv_transpose : DYNO_OP_conv;
    if (edge->is_transposed)
        trial.attrs.transpose = (struct dyno_conv_transpose_attrs){
            .group = edge->group, .dilations = ones, .strides = strides, .pads = none};
    else
        trial.attrs.conv = (struct dyno_conv_attrs){
            .group = edge->group, .dilations = ones, .strides = strides, .pads = none};
    trial.step.attrs = &trial.attrs;
    trial.target =
        (struct dyno_target){.workspace_bytes_max = UINT64_MAX,
                             .gpu = {.compute = 90, .sm_count = 132, .shared_bytes = 232448}};
    const struct dyno_site site = {.step = &trial.step,
                                   .ins = trial.ins,
                                   .outs = &trial.out,
                                   .in_is_weight = trial.in_is_weight,
                                   .target = &trial.target};
    const struct dyno_kernel *kernel = edge->kernel;
    const int count = dyno_kernel_candidates(kernel, &site, tactics, DYNO_TACTICS_MAX);
    struct dyno_tactic settled, asked = {.cfg = {1, 1}, .out_layout = dyno_cuda_layouts[1]};
    const enum dyno_status status = dyno_kernel_settle(kernel, &site, &asked, &settled, err);
    CHECK((count != 0) == (status == DYNO_OK));
    for (int i = 0; i < count; i++)
        take(kernel, &trial, &site, &tactics[i]);
    return count;
}

static void test_edges(void)
{
    struct dyno_tactic tactics[DYNO_TACTICS_MAX];
    for (size_t i = 0; i < DYNO_COUNT(edges); i++) {
        const struct edge *edge = &edges[i];
        struct dyno_err err = {0};
        const int count = ask_edge(edge, edge->h, edge->w, tactics, &err);
        CHECK_MSG(count > 0, "%s: %s", edge->kernel->name, err.text);
        const int64_t more = edge->is_transposed ? 0 : 1;
        CHECK(ask_edge(edge, edge->h + 1 - more, edge->w + more, tactics, &err) == 0);
        CHECK_MSG(err.status == DYNO_E_LIMIT, "%s: %s", edge->kernel->name, err.text);
    }
}

int main(int argc, char **argv)
{
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
    struct trial trial;
    uint32_t made = 0;
    test_edges();
    for (uint32_t seed = 1; seed <= count; seed++) {
        random_state = seed * 2654435761U;
        if (!make(&trial))
            continue;
        made++;
        for (size_t k = 0; k < dyno_kernel_count; k++) {
            if (dyno_kernels[k]->place == DYNO_ON_GPU)
                ask(dyno_kernels[k], &trial);
        }
    }
    printf("%u steps of %u: %u tactics taken, %u of %u refused\n", made, count, taken_count,
           refused_count, asked_count);
    CHECK(made > count / 50 && taken_count > made);
    return TEST_RESULT();
}
