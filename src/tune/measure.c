/* measure.c - timing with cold weights. */
#include "tune/measure.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/mem.h"
#include "tune/shapes.h"

#define COPIES_MAX 16
#define RUNS_MIN   3
#define RUNS_MAX   40

struct bench {
    const struct dyno_kernel *kernel;
    struct dyno_site site;
    struct dyno_buf *ins, *outs;
    bool *owned; /* ins[i].data is ours */
    void *packed[COPIES_MAX];
    int copy_count;
    void *state;
    void *workspace;
    struct dyno_arena *scratch;
};

/* Small, varied and finite: no denormals, no value that favours a branch. */
static void fill(void *data, enum dyno_dtype dtype, uint64_t bytes)
{
    if (dtype != DYNO_F32) {
        memset(data, 0, bytes);
        return;
    }
    float *at = data;
    uint32_t state = 0x2545F491;
    for (uint64_t i = 0; i < bytes / sizeof(float); i++) {
        state = state * 1664525U + 1013904223U;
        at[i] = (float)(int32_t)state * 0x1p-31F;
    }
}

static enum dyno_status make_buf(struct dyno_buf *buf, struct dyno_layout layout,
                                 struct dyno_err *err)
{
    uint64_t bytes = 0;
    dyno_tune_set_layout(buf, layout);
    if (!dyno_layout_bytes(layout, buf->dtype, buf->rank, buf->dims, &bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a tensor's size overflows 64 bits");
    buf->data = dyno_alloc_raw(bytes + 64, 1);
    if (buf->data == NULL)
        return DYNO_NOMEM(err);
    fill(buf->data, buf->dtype, bytes);
    return DYNO_OK;
}

static enum dyno_status make_bufs(struct bench *bench, const struct dyno_site *site,
                                  const struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    bench->ins = dyno_alloc(step->in_count + 1U, sizeof(*bench->ins));
    bench->outs = dyno_alloc(step->out_count + 1U, sizeof(*bench->outs));
    bench->owned = dyno_alloc(step->in_count + 1U, sizeof(*bench->owned));
    if (bench->ins == NULL || bench->outs == NULL || bench->owned == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < step->in_count; i++) {
        bench->ins[i] = site->ins[i];
        if (site->ins[i].rank < 0 || site->ins[i].data != NULL)
            continue;
        DYNO_TRY(make_buf(&bench->ins[i], i < DYNO_STEP_INS_MAX ? tactic->in_layouts[i] : DYNO_ROW,
                          err));
        bench->owned[i] = true;
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        bench->outs[i] = site->outs[i];
        if (site->outs[i].rank >= 0)
            DYNO_TRY(make_buf(&bench->outs[i], i == 0 ? tactic->out_layout : DYNO_ROW, err));
    }
    bench->site = *site;
    bench->site.ins = bench->ins;
    bench->site.outs = bench->outs;
    return DYNO_OK;
}

static enum dyno_status make_packed(struct bench *bench, const struct dyno_tactic *tactic,
                                    struct dyno_err *err)
{
    bench->copy_count = 1;
    if (tactic->packed_bytes == 0)
        return DYNO_OK;
    const uint64_t target = bench->site.target->l3_bytes * 3 / 2;
    const uint64_t wanted = target / tactic->packed_bytes + 1;
    bench->copy_count = wanted < COPIES_MAX ? (int)wanted : COPIES_MAX;
    for (int i = 0; i < bench->copy_count; i++) {
        bench->packed[i] = dyno_alloc_raw(tactic->packed_bytes, 1);
        if (bench->packed[i] == NULL)
            return DYNO_NOMEM(err);
        if (i == 0)
            DYNO_TRY(bench->kernel->pack(&bench->site, tactic, bench->packed[0], err));
        else
            memcpy(bench->packed[i], bench->packed[0], tactic->packed_bytes);
    }
    return DYNO_OK;
}

static double run_once(struct bench *bench, int copy, struct dyno_pool *pool)
{
    struct dyno_run_args args = {.step = bench->site.step,
                                 .ins = bench->ins,
                                 .outs = bench->outs,
                                 .packed = bench->packed[copy],
                                 .state = bench->state,
                                 .workspace = bench->workspace,
                                 .pool = pool,
                                 .scratch = bench->scratch};
    const uint64_t start_ns = dyno_clock_ns();
    const enum dyno_status status = bench->kernel->run(&args);
    const uint64_t end_ns = dyno_clock_ns();
    dyno_arena_reset(bench->scratch);
    return status == DYNO_OK ? (double)(end_ns - start_ns) * 1e-3 : INFINITY;
}

static enum dyno_status time_runs(struct bench *bench, const struct dyno_tactic *tactic,
                                  const struct dyno_measure_options *options, float *us_out,
                                  struct dyno_err *err)
{
    uint64_t workspace_bytes = 0;
    struct dyno_err refusal = {0};
    bench->state = dyno_alloc(1, bench->kernel->state_bytes + 64);
    bench->scratch = dyno_arena_create();
    if (bench->state == NULL || bench->scratch == NULL)
        return DYNO_NOMEM(err);
    *us_out = INFINITY;
    if (bench->kernel->prepare != NULL &&
        bench->kernel->prepare(&bench->site, tactic, bench->packed[0], bench->state,
                               &workspace_bytes, &refusal) != DYNO_OK)
        return refusal.status == DYNO_E_NOMEM ? DYNO_NOMEM(err) : DYNO_OK;
    if (workspace_bytes > bench->site.target->workspace_bytes_max ||
        workspace_bytes < options->least_workspace_bytes)
        return DYNO_OK;
    if (options->workspace_bytes_out != NULL)
        *options->workspace_bytes_out = workspace_bytes;
    bench->workspace = dyno_alloc(workspace_bytes + 64, 1);
    if (bench->workspace == NULL)
        return DYNO_NOMEM(err);
    double best = run_once(bench, bench->copy_count - 1, options->pool);
    double spent = best;
    for (int i = 0; i < RUNS_MAX && (i < RUNS_MIN || spent < options->budget_us); i++) {
        const double us = run_once(bench, i % bench->copy_count, options->pool);
        best = us < best ? us : best;
        spent += us;
        if (best > options->give_up_us)
            break;
    }
    *us_out = (float)best;
    return DYNO_OK;
}

enum dyno_status dyno_measure(const struct dyno_site *site, const struct dyno_tactic *tactic,
                              const struct dyno_measure_options *options, float *us_out,
                              struct dyno_err *err)
{
    struct bench bench = {.kernel = dyno_kernel_find(tactic->kernel)};
    DYNO_ASSERT(bench.kernel != NULL);
    const unsigned fp_control = dyno_fp_flush(); /* as a run does */
    enum dyno_status status = make_bufs(&bench, site, tactic, err);
    if (status == DYNO_OK)
        status = make_packed(&bench, tactic, err);
    if (status == DYNO_OK)
        status = time_runs(&bench, tactic, options, us_out, err);
    dyno_fp_set(fp_control);
    for (uint32_t i = 0; bench.owned != NULL && i < site->step->in_count; i++) {
        if (bench.owned[i])
            dyno_free(bench.ins[i].data);
    }
    for (uint32_t i = 0; bench.outs != NULL && i < site->step->out_count; i++) {
        if (site->outs[i].data == NULL)
            dyno_free(bench.outs[i].data);
    }
    for (int i = 0; i < bench.copy_count; i++)
        dyno_free(bench.packed[i]);
    dyno_arena_destroy(bench.scratch);
    dyno_free(bench.workspace);
    dyno_free(bench.state);
    dyno_free(bench.owned);
    dyno_free(bench.outs);
    dyno_free(bench.ins);
    return status;
}
