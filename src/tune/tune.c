/* tune.c - candidates, times, and the choice over the whole graph. */
#include "tune/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tune/baseline.h"
#include "tune/measure.h"
#include "tune/tuner.h"

#define CANDIDATES_MAX   192
#define TIE              1.02F /* costs this close are the same: the smaller packed form wins */
#define REFERENCE_WEIGHT 50.0F /* a reference kernel is chosen only where nothing else exists */

/* An engine is read, checked and mapped at about a gigabyte a second where it is not in memory yet,
 * and is taken to run a thousand times after that. */
#define LOAD_US_A_BYTE 1e-3F
#define RUNS_A_LOAD    1000.0F

/* In a network weights come out of a mapped file, and with everything else between two runs; a
 * timing has them in large pages and finds some in a cache.  What it misses was 3 to 27 us a
 * megabyte on one thread (Zen 4), an eighth of what the target takes memory for. */
#define UNSEEN_SHARE 0.125F

float dyno_tune_reorder_us(const struct dyno_buf *buf, const struct dyno_target *target)
{
    uint64_t bytes = 0;
    if (buf->rank < 0 || !dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes))
        return 0.0F;
    if (target->gpu.compute != 0) /* a launch, and there and back at half of what a copy reaches */
        return 3.0F + (float)bytes * 1.5F / 1.5e6F;
    const float gbps = target->mem_gbps > 1.0F ? target->mem_gbps : 10.0F;
    /* Read and write once; half of the plain copy speed, as measured on both layouts. */
    return 0.5F + (float)bytes * 4.0F / (gbps * 1e3F);
}

/* --- candidates --- */

static bool allowed(const struct dyno_tactic *tactic, const struct dyno_target *target)
{
    if (target->baseline && (tactic->flags & DYNO_TACTIC_BASELINE) == 0)
        return false;
    if ((target->precisions & DYNO_PRECISION_TF32) == 0 && (tactic->flags & DYNO_TACTIC_TF32) != 0)
        return false;
    return !(target->exact && (tactic->flags & DYNO_TACTIC_WINOGRAD) != 0);
}

static bool in_rows(const struct dyno_tactic *tactic, uint32_t in_count)
{
    for (uint32_t i = 0; i < in_count && i < DYNO_STEP_INS_MAX; i++) {
        if (!dyno_layout_same(tactic->in_layouts[i], DYNO_ROW))
            return false;
    }
    return dyno_layout_same(tactic->out_layout, DYNO_ROW);
}

static int by_estimate(const void *a, const void *b)
{
    const struct dyno_tactic *x = a;
    const struct dyno_tactic *y = b;
    if (x->est_us != y->est_us)
        return x->est_us < y->est_us ? -1 : 1;
    return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

/* Those of the kernels that run there; on the CPU of a plan for a GPU, in rows: what lies otherwise
 * stays on its side. */
static int candidates_on(enum dyno_place place, const struct dyno_site *site,
                         struct dyno_tactic *out, int max)
{
    const bool rows_only = place == DYNO_ON_CPU && site->target->gpu.compute != 0;
    int count = 0;
    for (size_t k = 0; k < dyno_kernel_count; k++) {
        const struct dyno_kernel *kernel = dyno_kernels[k];
        struct dyno_tactic found[DYNO_TACTICS_MAX];
        if ((kernel->isa_mask & ~site->target->isa_mask) != 0 || kernel->place != place)
            continue;
        const int found_count = dyno_kernel_candidates(kernel, site, found, DYNO_TACTICS_MAX);
        for (int i = 0; i < found_count && count < max; i++) {
            if (allowed(&found[i], site->target) &&
                !(rows_only && !in_rows(&found[i], site->step->in_count)))
                out[count++] = found[i];
        }
    }
    return count;
}

/* Those that run at the bounds of the profile, too; all, where none does: the CPU would be no help
 * at the other shapes. */
static int drop_refused(const struct dyno_site *site, struct dyno_tactic *found, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        const struct dyno_tactic tactic = found[i];
        if (!dyno_tune_runs_at_corners(dyno_kernel_find(tactic.kernel), site, &tactic))
            continue;
        found[i] = found[kept]; /* those that are dropped come last */
        found[kept++] = tactic;
    }
    return kept > 0 ? kept : count;
}

int dyno_tune_candidates(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    /* A step goes to the CPU only where no kernel of the GPU can do it. */
    if (site->target->gpu.compute != 0)
        count = drop_refused(site, out, candidates_on(DYNO_ON_GPU, site, out, max));
    if (count == 0)
        count = candidates_on(DYNO_ON_CPU, site, out, max);
    qsort(out, (size_t)count, sizeof(*out), by_estimate);
    return count;
}

uint32_t dyno_tune_uses(const struct dyno_tactic *tactic, uint32_t in_count)
{
    uint32_t used = (tactic->flags & DYNO_TACTIC_TF32) != 0 ? DYNO_PRECISION_TF32 : 0;
    for (uint32_t i = 0; i <= in_count && i <= DYNO_STEP_INS_MAX; i++) {
        const uint8_t elem = i < in_count && i < DYNO_STEP_INS_MAX ? tactic->in_layouts[i].elem
                                                                   : tactic->out_layout.elem;
        used |= elem == DYNO_F16 ? DYNO_PRECISION_F16 : 0;
        used |= elem == DYNO_BF16 ? DYNO_PRECISION_BF16 : 0;
    }
    return used;
}

bool dyno_tune_same_layouts(const struct dyno_tactic *a, const struct dyno_tactic *b,
                            uint32_t in_count)
{
    if (!dyno_layout_same(a->out_layout, b->out_layout))
        return false;
    for (uint32_t i = 0; i < in_count && i < DYNO_STEP_INS_MAX; i++) {
        if (!dyno_layout_same(a->in_layouts[i], b->in_layouts[i]))
            return false;
    }
    return true;
}

/* For a GPU each candidate is a program to compile: a low level times the first by estimate, of
 * each pair of layouts. */
static bool is_timed(const struct dyno_tune_options *options, const struct dyno_tactic *found,
                     int i, uint32_t in_count)
{
    static const int most[] = {0, 6, 12};
    int before = 0;
    if (options->target->gpu.compute == 0 || options->level < 1 ||
        options->level >= (int)DYNO_COUNT(most))
        return true;
    for (int k = 0; k < i; k++)
        before += dyno_tune_same_layouts(&found[k], &found[i], in_count);
    return before < most[options->level];
}

float dyno_tune_cost_us(const struct dyno_target *target, float us, uint64_t packed_bytes)
{
    if (target->gpu.compute != 0)
        return us; /* packed weights are in the GPU's memory before the first run */
    const float gbps = (target->mem_gbps > 1.0F ? target->mem_gbps : 10.0F) *
                       (float)(target->thread_count > 1 ? target->thread_count : 1);
    const float us_a_byte = LOAD_US_A_BYTE / RUNS_A_LOAD + UNSEEN_SHARE / (gbps * 1e3F);
    return us + (float)packed_bytes * us_a_byte;
}

bool dyno_tune_better(float cost_us, uint64_t packed_bytes, float than_cost_us, uint64_t than_bytes)
{
    if (cost_us < than_cost_us / TIE)
        return true;
    return cost_us < than_cost_us * TIE && packed_bytes < than_bytes;
}

/* keep_f32: what is in f32 alone does not give way to what rounds to TF32, nor that to 16 bits. */
static void keep(struct dyno_tune_choice *choice, const struct dyno_tune_option *option,
                 uint32_t in_count, bool keep_f32)
{
    const struct dyno_tactic *tactic = &option->tactic;
    const uint32_t uses = dyno_tune_uses(tactic, in_count);
    bool has_f32 = false;
    for (int i = 0; i < choice->count; i++) {
        struct dyno_tune_option *old = &choice->options[i];
        const uint32_t old_uses = dyno_tune_uses(&old->tactic, in_count);
        has_f32 = has_f32 || old_uses == 0;
        if (!dyno_tune_same_layouts(&old->tactic, tactic, in_count) ||
            (keep_f32 && old_uses != uses))
            continue;
        if (dyno_tune_better(option->cost_us, tactic->packed_bytes, old->cost_us,
                             old->tactic.packed_bytes))
            *old = *option;
        return;
    }
    if (choice->count < DYNO_PBQP_OPTIONS_MAX)
        choice->options[choice->count++] = *option;
    else if (keep_f32 && uses == 0 && !has_f32)
        choice->options[choice->count - 1] = *option;
}

/* --- times --- */

/* What a run of the plan sends through a GPU's cache, as a power of two, so that timings serve
 * similar plans; at most twice the cache, which leaves nothing in it. */
static uint64_t passing_bytes(const struct dyno_tuned *tuner)
{
    const struct dyno_target *target = tuner->options.target;
    const uint64_t shift = target->precisions & (DYNO_PRECISION_F16 | DYNO_PRECISION_BF16) ? 1 : 0;
    uint64_t sum = 0, power = 1;
    if (target->gpu.compute == 0)
        return 0;
    for (uint32_t i = 0; i < tuner->plan->tensor_count; i++) {
        const struct dyno_buf *buf = &tuner->bufs[i];
        uint64_t bytes = 0;
        if (buf->rank >= 0 && sum <= 2 * target->gpu.l2_bytes &&
            dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes))
            sum += bytes >> shift;
    }
    while (power < sum && power < 2 * target->gpu.l2_bytes)
        power *= 2;
    return sum == 0 ? 0 : power;
}

static double timing_budget_us(const struct dyno_tune_options *options)
{
    static const double budget_us[] = {0, 4000, 10000, 25000, 60000, 150000};
    return budget_us[options->level < 5 ? options->level : 5];
}

static enum dyno_status measure(struct dyno_tuned *tuner, const struct dyno_site *site,
                                const struct dyno_tactic *tactic,
                                const struct dyno_measure_options *how, float *us_out)
{
    struct dyno_cuda_programs *programs = tuner->options.programs;
    if (dyno_kernel_find(tactic->kernel)->place != DYNO_ON_GPU)
        return dyno_measure(site, tactic, how, us_out, tuner->err);
    const struct dyno_cuda *cuda = dyno_cuda_programs_device(programs);
    DYNO_TRY(dyno_measure_gpu(site, tactic, programs, how, us_out, tuner->err));
    if (!isfinite(*us_out) || !dyno_tune_clock_fell(&tuner->report.clock, cuda, false))
        return DYNO_OK;
    DYNO_TRY(dyno_measure_gpu(site, tactic, programs, how, us_out, tuner->err));
    (void)dyno_tune_clock_fell(&tuner->report.clock, cuda, true);
    return DYNO_OK;
}

/* It may have been timed by a build without a limit of the workspace, or with a higher one. */
static bool is_within_limit(const struct dyno_site *site, const struct dyno_tactic *tactic)
{
    return site->target->workspace_bytes_max == UINT64_MAX ||
           dyno_tune_prepares(dyno_kernel_find(tactic->kernel), site, tactic);
}

static enum dyno_status time_of(struct dyno_tuned *tuner, const struct dyno_site *site,
                                const struct dyno_tactic *tactic, double give_up_us, float *us_out,
                                bool *measured_out)
{
    const struct dyno_tune_options *options = &tuner->options;
    const bool is_reference = (tactic->flags & DYNO_TACTIC_REFERENCE) != 0;
    struct dyno_tune_key key;
    *measured_out = false;
    *us_out = is_reference ? tactic->est_us * REFERENCE_WEIGHT : tactic->est_us;
    if (options->level == 0 || is_reference)
        return DYNO_OK;
    DYNO_TRY(dyno_tune_signature(site, tactic, tuner->passing_bytes, &key, tuner->err));
    *measured_out = true;
    if (options->cache != NULL && dyno_tune_cache_find(options->cache, key, us_out)) {
        tuner->report.cached_count++;
        if (!is_within_limit(site, tactic))
            *us_out = INFINITY;
        return DYNO_OK;
    }
    const struct dyno_measure_options how = {.pool = options->pool,
                                             .budget_us = timing_budget_us(options),
                                             .give_up_us = give_up_us,
                                             .passing_bytes = tuner->passing_bytes};
    DYNO_TRY(measure(tuner, site, tactic, &how, us_out));
    tuner->report.measured_count++;
    if (options->cache != NULL && isfinite(*us_out) &&
        !dyno_tune_cache_put(options->cache, key, *us_out, dyno_kernel_find(tactic->kernel)->name))
        return DYNO_NOMEM(tuner->err);
    return DYNO_OK;
}

/* By its estimate, beside the best one. */
static bool is_hopeless(const struct dyno_tuned *tuner, const struct dyno_tactic *tactic,
                        const struct dyno_tactic *best)
{
    return tactic->est_us > best->est_us * (tuner->options.level >= 4 ? 10.0F : 4.0F) + 20.0F;
}

/* Where the user limits the workspace: what the candidates beyond the limit would save. */
static enum dyno_status look_beyond_limit(struct dyno_tuned *tuner, const struct dyno_site *site,
                                          double best_us)
{
    const uint64_t limit = tuner->options.target->workspace_bytes_max;
    struct dyno_target unlimited = *site->target;
    struct dyno_site wide = *site;
    struct dyno_tactic found[CANDIDATES_MAX];
    double wide_us = best_us;
    uint64_t wide_bytes = 0;
    if (limit == UINT64_MAX || tuner->options.level == 0)
        return DYNO_OK;
    unlimited.workspace_bytes_max = UINT64_MAX;
    wide.target = &unlimited;
    const int count = dyno_tune_candidates(&wide, found, CANDIDATES_MAX);
    for (int i = 0; i < count; i++) {
        float us = INFINITY;
        uint64_t bytes = 0;
        const struct dyno_measure_options how = {.pool = tuner->options.pool,
                                                 .budget_us = timing_budget_us(&tuner->options),
                                                 .give_up_us = wide_us,
                                                 .least_workspace_bytes = limit + 1,
                                                 .workspace_bytes_out = &bytes,
                                                 .passing_bytes = tuner->passing_bytes};
        if ((found[i].flags & DYNO_TACTIC_REFERENCE) != 0 || is_hopeless(tuner, &found[i], found) ||
            !is_timed(&tuner->options, found, i, site->step->in_count))
            continue;
        DYNO_TRY(measure(tuner, &wide, &found[i], &how, &us));
        tuner->report.measured_count += isfinite(us);
        if (us < wide_us / TIE) {
            wide_us = us;
            wide_bytes = bytes;
        }
    }
    if (wide_us < best_us) {
        struct dyno_tune_report *report = &tuner->report;
        report->workspace_steps++;
        report->workspace_us += (float)(best_us - wide_us);
        if (wide_bytes > report->workspace_bytes)
            report->workspace_bytes = wide_bytes;
    }
    return DYNO_OK;
}

/* Views cost nothing where the plan can alias them; see build/finish.c. */
static bool is_free(const struct dyno_tuned *tuner, const struct dyno_step *step)
{
    return (dyno_ops[step->op]->flags & DYNO_OP_VIEW) != 0 && step->tail.instr_count == 0 &&
           tuner->plan->tensors[step->ins[0]].role != DYNO_ROLE_WEIGHT;
}

/* So do a Transpose and a Reorder that leave all bytes where they are. */
static bool is_same(const struct dyno_tuned *tuner, const struct dyno_step *step,
                    const struct dyno_tactic *tactic)
{
    return !tuner->options.target->baseline &&
           tuner->plan->tensors[step->ins[0]].role != DYNO_ROLE_WEIGHT &&
           dyno_plan_moves_nothing(tuner->plan, step, tactic->in_layouts[0], tactic->out_layout);
}

enum dyno_status dyno_tuned_site(struct dyno_tuned *tuner, uint32_t idx, struct dyno_site *site_out)
{
    const struct dyno_step *step = &tuner->plan->steps[idx];
    const struct dyno_target *target = tuner->options.target;
    if (tuner->options.precisions != NULL && target->gpu.compute != 0)
        target = &tuner->targets[tuner->options.precisions[idx] % DYNO_TUNE_MASKS];
    DYNO_TRY(
        dyno_tune_site(tuner->plan, step, tuner->bufs, target, tuner->arena, site_out, tuner->err));
    return dyno_tune_corner_sites(&tuner->corners, tuner->arena, site_out, tuner->err);
}

/* Of candidates, with keep_f32: any at all, those in f32 alone, those that round to TF32 and have
 * no 16 bits. */
enum kind { ANY, F32_ALONE, TF32_ALONE, KINDS };

static enum kind kind_of(uint32_t uses)
{
    if (uses == 0)
        return F32_ALONE;
    return uses == DYNO_PRECISION_TF32 ? TF32_ALONE : ANY;
}

static enum dyno_status consider(struct dyno_tuned *tuner, uint32_t idx)
{
    const struct dyno_step *step = &tuner->plan->steps[idx];
    struct dyno_tune_choice *choice = &tuner->choices[idx];
    struct dyno_tactic found[CANDIDATES_MAX];
    struct dyno_site site;
    DYNO_TRY(dyno_tuned_site(tuner, idx, &site));
    int count = dyno_tune_candidates(&site, found, CANDIDATES_MAX);
    if (idx < tuner->options.open_from)
        DYNO_TRY(dyno_tune_baseline(&site, found, &count, tuner->err));
    const bool closed = idx < tuner->options.open_from;
    const bool keep_f32 = tuner->options.keep_f32;
    double best[KINDS] = {INFINITY, INFINITY, INFINITY};
    tuner->report.candidate_count += (uint32_t)count;
    if (dyno_tuned_has_rivals(tuner) && closed && !is_free(tuner, step)) {
        choice->timed = dyno_arena_alloc(tuner->arena, (size_t)count + 1, sizeof(*choice->timed));
        if (choice->timed == NULL)
            return DYNO_NOMEM(tuner->err);
    }
    for (int i = 0; i < count; i++) {
        const bool is_reference = (found[i].flags & DYNO_TACTIC_REFERENCE) != 0;
        float us = 0.0F;
        bool measured = false;
        if (!closed && !is_reference)
            continue;
        const enum kind kind = keep_f32 ? kind_of(dyno_tune_uses(&found[i], step->in_count)) : ANY;
        const bool is_wanted = kind != ANY && isinf(best[kind]);
        if (choice->count > 0 && !is_wanted &&
            (is_reference || is_hopeless(tuner, &found[i], found) ||
             !is_timed(&tuner->options, found, i, step->in_count)))
            continue;
        const bool is_nothing = closed && (is_free(tuner, step) || is_same(tuner, step, &found[i]));
        if (is_nothing)
            us = 0.01F;
        else
            DYNO_TRY(time_of(tuner, &site, &found[i], best[kind] * 2.5, &us, &measured));
        if (!isfinite(us))
            continue;
        if (!is_nothing) { /* what moves something is not held against what does not */
            best[ANY] = us < best[ANY] ? us : best[ANY];
            best[kind] = us < best[kind] ? us : best[kind];
        }
        const struct dyno_tune_option option = {
            .tactic = found[i],
            .us = us,
            .cost_us = dyno_tune_cost_us(tuner->options.target, us, found[i].packed_bytes),
            .measured = measured,
        };
        keep(choice, &option, step->in_count, keep_f32);
        if (choice->timed != NULL && measured)
            choice->timed[choice->timed_count++] = option;
    }
    if (choice->count == 0)
        return DYNO_FAIL(tuner->err, DYNO_E_UNSUPPORTED, "step '%s': no kernel here can do %s",
                         step->name, dyno_ops[step->op]->onnx_name);
    return closed && !is_free(tuner, step) ? look_beyond_limit(tuner, &site, best[ANY]) : DYNO_OK;
}

/* --- programs --- */

/* What `consider` may time of a step on the GPU, unless the cache knows it. */
static enum dyno_status want_programs(struct dyno_tuned *tuner, uint32_t idx)
{
    const struct dyno_tune_options *options = &tuner->options;
    const struct dyno_step *step = &tuner->plan->steps[idx];
    struct dyno_tactic found[CANDIDATES_MAX];
    struct dyno_site site;
    struct dyno_tune_key key;
    float us = 0.0F;
    if (is_free(tuner, step))
        return DYNO_OK;
    DYNO_TRY(dyno_tuned_site(tuner, idx, &site));
    const int count = dyno_tune_candidates(&site, found, CANDIDATES_MAX);
    for (int i = 0; i < count; i++) {
        const struct dyno_kernel *kernel = dyno_kernel_find(found[i].kernel);
        if (kernel->place != DYNO_ON_GPU || !is_timed(options, found, i, step->in_count))
            continue;
        DYNO_TRY(dyno_tune_signature(&site, &found[i], tuner->passing_bytes, &key, tuner->err));
        if (options->cache == NULL || !dyno_tune_cache_find(options->cache, key, &us))
            DYNO_TRY(
                dyno_cuda_programs_want(options->programs, kernel, &site, &found[i], tuner->err));
    }
    return DYNO_OK;
}

/* Compiling is most of a build for a GPU, and goes on all threads; timing goes one by one. */
static enum dyno_status compile_programs(struct dyno_tuned *tuner)
{
    const struct dyno_tune_options *options = &tuner->options;
    if (options->programs == NULL || options->level == 0)
        return DYNO_OK;
    for (uint32_t s = 0; s < tuner->plan->step_count && s < options->open_from; s++)
        DYNO_TRY(want_programs(tuner, s));
    return dyno_cuda_programs_compile(options->programs, options->pool, tuner->err);
}

/* --- all of it --- */

void dyno_tuned_destroy(struct dyno_tuned *tuned)
{
    if (tuned == NULL)
        return;
    dyno_arena_destroy(tuned->arena);
    dyno_free(tuned);
}

static enum dyno_status find_choices(struct dyno_tuned *tuned)
{
    const struct dyno_tune_options *options = &tuned->options;
    const uint32_t step_count = tuned->plan->step_count;
    tuned->arena = dyno_arena_create();
    if (tuned->arena == NULL)
        return DYNO_NOMEM(tuned->err);
    tuned->choices = dyno_arena_alloc(tuned->arena, step_count + 1U, sizeof(*tuned->choices));
    if (tuned->choices == NULL)
        return DYNO_NOMEM(tuned->err);
    DYNO_TRY(dyno_tune_shapes(tuned->plan, tuned->arena, &tuned->bufs, tuned->err));
    if (options->target->gpu.compute != 0)
        DYNO_TRY(dyno_tune_corners_init(&tuned->corners, tuned->plan, tuned->arena, tuned->err));
    tuned->passing_bytes = passing_bytes(tuned);
    if (options->level > 0 && options->programs != NULL)
        dyno_tune_clock_init(&tuned->report.clock, dyno_cuda_programs_device(options->programs));
    DYNO_TRY(compile_programs(tuned));
    for (uint32_t s = 0; s < step_count; s++) {
        DYNO_TRY(consider(tuned, s));
        if (options->progress != NULL)
            options->progress(options->progress_arg, s + 1, step_count, tuned->plan->steps[s].name);
    }
    return DYNO_OK;
}

enum dyno_status dyno_tuned_create(const struct dyno_plan *plan,
                                   const struct dyno_tune_options *options,
                                   struct dyno_tuned **tuned_out, struct dyno_err *err)
{
    struct dyno_tuned *tuned = dyno_alloc(1, sizeof(*tuned));
    *tuned_out = NULL;
    if (tuned == NULL)
        return DYNO_NOMEM(err);
    tuned->plan = plan;
    tuned->options = *options;
    tuned->err = err;
    for (uint32_t mask = 0; mask < DYNO_TUNE_MASKS; mask++) {
        tuned->targets[mask] = *options->target;
        tuned->targets[mask].precisions &= mask;
    }
    const enum dyno_status status = find_choices(tuned);
    if (status == DYNO_OK)
        *tuned_out = tuned;
    else
        dyno_tuned_destroy(tuned);
    return status;
}

enum dyno_status dyno_tune(struct dyno_plan *plan, const struct dyno_tune_options *options,
                           struct dyno_tune_report *report_out, struct dyno_err *err)
{
    struct dyno_tuned *tuned = NULL;
    *report_out = (struct dyno_tune_report){0};
    DYNO_TRY(dyno_tuned_create(plan, options, &tuned, err));
    const enum dyno_status status = dyno_tuned_choose(tuned, NULL, plan, report_out, err);
    dyno_tuned_destroy(tuned);
    return status;
}
