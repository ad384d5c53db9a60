/* derive.c - everything that follows from the samples of a certificate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "meter/cert/internal.h"

/* Numbers that chance is drawn from: nobody chooses them. */
static uint64_t seed_of(const struct dyno_cert *cert, uint32_t point)
{
    uint64_t seed = 0;
    memcpy(&seed, cert->model.bytes, sizeof(seed));
    return seed + point;
}

static double item_ns(const struct dyno_cert_segment *segment)
{
    return (double)segment->ns / (double)segment->items;
}

double dyno_cert_block_log_ratio(const struct dyno_cert_block *block)
{
    const struct dyno_cert_segment *s = block->segments;
    return (log(item_ns(&s[0])) + log(item_ns(&s[3])) - log(item_ns(&s[1])) - log(item_ns(&s[2]))) /
           2.0;
}

static double block_item_ns(const struct dyno_cert_block *block)
{
    double ns = 0.0;
    double items = 0.0;
    for (int i = 0; i < 4; i++) {
        ns += (double)block->segments[i].ns;
        items += (double)block->segments[i].items;
    }
    return ns / items;
}

/* A and A, B and B; a card tells its clock for all four, or for none. */
static bool gpu_clock_held(const struct dyno_cert_block *block)
{
    const struct dyno_cert_segment *s = block->segments;
    const uint64_t sides[2][2] = {{s[0].chain_ns, s[3].chain_ns}, {s[1].chain_ns, s[2].chain_ns}};
    if (s[0].chain_ns == 0 && s[1].chain_ns == 0 && s[2].chain_ns == 0 && s[3].chain_ns == 0)
        return true;
    return dyno_cert_clock_held(sides[0], 2) && dyno_cert_clock_held(sides[1], 2);
}

bool dyno_cert_block_held(const struct dyno_cert_block *block, bool on_gpu)
{
    uint64_t chains[4];
    uint64_t ns = 0;
    uint64_t steal_ns = 0;
    for (int i = 0; i < 4; i++) {
        chains[i] = block->segments[i].chain_ns;
        ns += block->segments[i].ns;
        steal_ns += block->segments[i].steal_ns;
    }
    return (on_gpu ? gpu_clock_held(block) : dyno_cert_clock_held(chains, 4)) &&
           (double)steal_ns <= (double)ns * DYNO_CERT_STEAL;
}

/* Of the slowest to the fastest of two timed chains. */
static double moved(uint64_t a_ns, uint64_t b_ns)
{
    const double least = (double)(a_ns < b_ns ? a_ns : b_ns);
    const double most = (double)(a_ns < b_ns ? b_ns : a_ns);
    return least > 0.0 ? most / least - 1.0 : 0.0;
}

struct dyno_cert_disturbance dyno_cert_block_disturbance(const struct dyno_cert_block *block,
                                                         bool on_gpu)
{
    const struct dyno_cert_segment *s = block->segments;
    struct dyno_cert_disturbance out = {0};
    double ns = 0.0;
    for (int i = 0; i < 4; i++) {
        ns += (double)s[i].ns;
        out.taken += (double)s[i].steal_ns;
        for (int k = 0; k < i && !on_gpu; k++)
            out.clock = fmax(out.clock, moved(s[k].chain_ns, s[i].chain_ns));
    }
    if (on_gpu)
        out.clock = fmax(moved(s[0].chain_ns, s[3].chain_ns), moved(s[1].chain_ns, s[2].chain_ns));
    out.taken /= ns;
    return out;
}

bool dyno_cert_block_counts(const struct dyno_cert *cert, const struct dyno_cert_block *block)
{
    return cert->is_trial || dyno_cert_block_held(block, cert->gpu.compute != 0);
}

/* --- one series --- */

/* The blocks of a series that count as values, process by process. */
struct values {
    struct dyno_cert_group groups[DYNO_CERT_PROCESSES_MAX];
    double *values;
    uint32_t count;
};

static enum dyno_status take_values(const struct dyno_cert *cert,
                                    const struct dyno_cert_series *series,
                                    double (*value_of)(const struct dyno_cert_block *),
                                    struct values *out, struct dyno_err *err)
{
    uint32_t total = 0;
    for (uint32_t p = 0; p < series->count; p++)
        total += series->processes[p].count;
    *out = (struct values){.values = dyno_arena_alloc(cert->arena, total + 1U, sizeof(double))};
    if (out->values == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t p = 0; p < series->count; p++) {
        const struct dyno_cert_process *process = &series->processes[p];
        struct dyno_cert_group *group = &out->groups[p];
        group->values = out->values + out->count;
        for (uint32_t b = 0; b < process->count; b++) {
            if (!dyno_cert_block_counts(cert, &process->blocks[b]))
                continue;
            out->values[out->count++] = value_of(&process->blocks[b]);
            group->count++;
        }
    }
    return DYNO_OK;
}

/* --- one point --- */

/* Why an attempt is refused: the first reason found. */
struct reason {
    const char *rule;
    struct dyno_strbuf text;
    char where[64]; /* "" or "at 320 x 640: " */
};

#define REFUSE(reason, broken, ...)                             \
    do {                                                        \
        if ((reason)->rule[0] == 0) {                           \
            (reason)->rule = (broken);                          \
            dyno_strbuf_puts(&(reason)->text, (reason)->where); \
            dyno_strbuf_printf(&(reason)->text, __VA_ARGS__);   \
        }                                                       \
    } while (0)

static double half_width(const struct dyno_cert_interval *interval)
{
    return (interval->upper - interval->lower) / 2.0;
}

/* Processes that are empty come after one that made the attempt end. */
static uint32_t begun_count(const struct dyno_cert_series *series)
{
    uint32_t count = 0;
    while (count < series->count && series->processes[count].count > 0)
        count++;
    return count;
}

/* False when an interval cannot be made: then the point has none. */
static bool count_blocks(const struct dyno_cert *cert, const struct dyno_cert_series *series,
                         const struct values *values, struct dyno_cert_point *point,
                         struct reason *reason)
{
    bool enough = true;
    for (uint32_t p = 0; p < series->count; p++) {
        const struct dyno_cert_process *process = &series->processes[p];
        uint32_t held = 0;
        for (uint32_t b = 0; b < process->count; b++)
            held += dyno_cert_block_held(&process->blocks[b], cert->gpu.compute != 0) ? 1 : 0;
        point->kept_count += values->groups[p].count;
        point->dropped_count += process->count - values->groups[p].count;
        enough = enough && values->groups[p].count > 0;
        if (process->count > 0 && held < cert->block_count)
            REFUSE(reason, "clock",
                   "process %u: %u of %u blocks had a steady clock and the processor to "
                   "themselves, %u are wanted",
                   p + 1, held, process->count, cert->block_count);
    }
    return enough;
}

static void judge_steady(const struct values *values, struct reason *reason)
{
    struct dyno_cert_change change;
    if (!dyno_cert_is_steady(values->values, values->count, &change))
        REFUSE(reason, "steady", "no steady state: from block %u of %u on the level is %.1f %% off",
               change.at + 1, values->count, expm1(change.shift) * 100.0);
}

static void judge_opaque(const struct dyno_cert_point *point, struct reason *reason)
{
    const double share = (double)point->opaque_ns / (double)point->profiled_ns;
    if (share > DYNO_CERT_OPAQUE_MAX)
        REFUSE(reason, "opaque",
               "%.1f %% of the baseline's time goes into steps without a kernel of its own, %.0f "
               "%% are allowed",
               share * 100.0, DYNO_CERT_OPAQUE_MAX * 100.0);
}

static enum dyno_status derive_point(const struct dyno_cert *cert, uint32_t idx,
                                     struct dyno_cert_point *point, struct reason *reason,
                                     struct dyno_err *err)
{
    struct values control, items, speedup;
    const uint32_t n = cert->process_count;
    const uint64_t seed = seed_of(cert, idx);
    point->kept_count = point->dropped_count = 0;
    DYNO_TRY(take_values(cert, &point->control, dyno_cert_block_log_ratio, &control, err));
    DYNO_TRY(take_values(cert, &point->control, block_item_ns, &items, err));
    bool enough = count_blocks(cert, &point->control, &control, point, reason);
    if (cert->kind == DYNO_CERT_ENGINE) {
        DYNO_TRY(take_values(cert, &point->speedup, dyno_cert_block_log_ratio, &speedup, err));
        enough = count_blocks(cert, &point->speedup, &speedup, point, reason) && enough;
    }
    const uint32_t begun = begun_count(&point->control);
    if (begun < n)
        REFUSE(reason, "clock", "the attempt ended after %u of %u processes", begun, n);
    judge_opaque(point, reason);
    if (!enough)
        return DYNO_OK;
    DYNO_TRY(dyno_cert_bootstrap(control.groups, n, seed, &point->control_log, err));
    DYNO_TRY(dyno_cert_bootstrap(items.groups, n, seed, &point->item_ns, err));
    if (!dyno_cert_control_holds(&point->control_log))
        REFUSE(reason, "control",
               "the A/A control is %.2f %% +- %.2f %%: 0 must lie inside, and half the width under "
               "%.0f %%",
               point->control_log.value * 100.0, half_width(&point->control_log) * 100.0,
               DYNO_CERT_HALF_WIDTH * 100.0);
    if (cert->kind == DYNO_CERT_ENGINE) {
        DYNO_TRY(dyno_cert_bootstrap(speedup.groups, n, seed, &point->speedup_log, err));
        judge_steady(&speedup, reason);
        return DYNO_OK;
    }
    for (uint32_t i = 0; i < items.count; i++)
        items.values[i] = log(items.values[i]);
    judge_steady(&items, reason);
    /* Steps by their slow reference would make the unoptimised execution look slow: they count
     * nothing. */
    const double share = (double)point->opaque_ns / (double)point->profiled_ns;
    point->t_ref_ns = (uint64_t)(point->item_ns.lower * (1.0 - share));
    return DYNO_OK;
}

/* Coordinates of point `idx`; text_out: "at 320 x 640: " where there are axes. */
static void place_point(const struct dyno_cert *cert, uint32_t idx, int64_t *at_out, char *text_out,
                        size_t text_bytes)
{
    struct dyno_strbuf text = {0};
    for (uint32_t a = cert->axis_count; a-- > 0;) {
        at_out[a] = cert->axes[a].points[idx % cert->axes[a].point_count];
        idx /= cert->axes[a].point_count;
    }
    for (uint32_t a = 0; a < cert->axis_count; a++)
        dyno_strbuf_printf(&text, "%s%lld", a == 0 ? "at " : " x ", (long long)at_out[a]);
    if (cert->axis_count > 0)
        dyno_strbuf_puts(&text, ": ");
    (void)snprintf(text_out, text_bytes, "%s", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
}

static enum dyno_status derive_attempt(struct dyno_cert *cert, struct dyno_cert_attempt *attempt,
                                       struct dyno_err *err)
{
    struct reason reason = {.rule = ""};
    enum dyno_status status = DYNO_OK;
    for (uint32_t i = 0; i < cert->point_count && status == DYNO_OK; i++) {
        place_point(cert, i, attempt->points[i].at, reason.where, sizeof(reason.where));
        status = derive_point(cert, i, &attempt->points[i], &reason, err);
    }
    attempt->rule = reason.rule;
    attempt->reason = dyno_arena_strdup(cert->arena, dyno_strbuf_text(&reason.text));
    attempt->outcome = cert->is_trial        ? DYNO_CERT_TRIAL
                       : reason.rule[0] != 0 ? DYNO_CERT_REFUSED
                                             : DYNO_CERT_ACCEPTED;
    const bool ok = dyno_strbuf_ok(&reason.text) && attempt->reason != NULL;
    dyno_strbuf_fini(&reason.text);
    return status != DYNO_OK ? status : ok ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- scenarios --- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The percentile's bound of queries that are `runs` runs each; 0: too few. */
static enum dyno_status percentile(const struct dyno_cert_row *row, int side, uint32_t runs,
                                   uint32_t p_1e4, uint64_t *bound_ns_out, struct dyno_err *err)
{
    const uint32_t count = row->counts[side] / runs;
    uint64_t *sorted = dyno_alloc(count + 1U, sizeof(*sorted));
    if (sorted == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < count * runs; i++)
        sorted[i / runs] += row->run_ns[side][i];
    qsort(sorted, count, sizeof(*sorted), by_value);
    (void)dyno_cert_percentile(sorted, count, p_1e4, bound_ns_out);
    dyno_free(sorted);
    return DYNO_OK;
}

/* A million seconds' worth of `count` things that took `ns`. */
static uint64_t rate_1e6(double count, double ns)
{
    const double rate = count / ns * 1e15;
    return rate < (double)DYNO_CERT_NUMBER_MAX ? (uint64_t)rate : DYNO_CERT_NUMBER_MAX;
}

static enum dyno_status derive_side(const struct dyno_cert *cert,
                                    struct dyno_cert_scenarios *scenarios, int side,
                                    struct dyno_err *err)
{
    enum { MULTI = 8 }; /* items of a MultiStream query */
    struct dyno_cert_service services[DYNO_CERT_ROWS_MAX];
    const uint64_t unit = scenarios->rows[0].batch;
    uint64_t best = 0;
    const struct dyno_cert_row *multi = NULL;
    for (uint32_t r = 0; r < scenarios->row_count; r++) {
        const struct dyno_cert_row *row = &scenarios->rows[r];
        double ns = 0.0;
        for (uint32_t i = 0; i < row->counts[side]; i++)
            ns += (double)row->run_ns[side][i];
        const uint64_t rate = rate_1e6((double)row->batch * row->counts[side], ns);
        best = rate > best ? rate : best;
        services[r] = (struct dyno_cert_service){.batch = (uint32_t)(row->batch / unit),
                                                 .count = row->counts[side],
                                                 .run_ns = row->run_ns[side]};
        if (row->batch == MULTI * unit)
            multi = row;
    }
    uint32_t batch = 0;
    scenarios->offline_1e6[side] = best;
    if (dyno_cert_over_allowed(9900, scenarios->rows[0].counts[side]) >= 0)
        scenarios->server_1e6[side] = dyno_cert_server_rate(
            services, scenarios->row_count, 9900, scenarios->bound_ns, seed_of(cert, 0), &batch);
    scenarios->server_batch[side] = batch * unit;
    DYNO_TRY(percentile(&scenarios->rows[0], side, 1, 9000, &scenarios->single_stream_p90_ns[side],
                        err));
    return percentile(multi != NULL ? multi : &scenarios->rows[0], side, multi != NULL ? 1 : MULTI,
                      9900, &scenarios->multi_stream_p99_ns[side], err);
}

static enum dyno_status derive_scenarios(const struct dyno_cert *cert,
                                         struct dyno_cert_scenarios *scenarios,
                                         struct dyno_err *err)
{
    for (int side = 0; side < 2 && scenarios->row_count > 0; side++)
        DYNO_TRY(derive_side(cert, scenarios, side, err));
    scenarios->slo_1e6 =
        scenarios->row_count > 0 && scenarios->server_1e6[0] > 0
            ? (uint64_t)((double)scenarios->server_1e6[1] / (double)scenarios->server_1e6[0] * 1e6)
            : 0;
    return DYNO_OK;
}

/* --- the whole --- */

uint32_t dyno_cert_agreement_1e6(const struct dyno_cert_accuracy *accuracy)
{
    uint32_t least = 1000000;
    for (uint32_t i = 0; i < accuracy->output_count; i++) {
        const struct dyno_cert_output *output = &accuracy->outputs[i];
        const uint64_t lost = (output->error_1e9 + 999) / 1000;
        uint32_t got = lost < 1000000 ? (uint32_t)(1000000 - lost) : 0;
        if (accuracy->by_top_1)
            got = (uint32_t)((double)output->same_top_1 / (double)output->rows * 1e6);
        least = got < least ? got : least;
    }
    return least;
}

static uint64_t ratio_1e6(double log_value, double (*round_to)(double))
{
    const double ratio = round_to(exp(log_value) * 1e6);
    return ratio < (double)DYNO_CERT_NUMBER_MAX ? (uint64_t)ratio : DYNO_CERT_NUMBER_MAX;
}

static enum dyno_status derive_outcome(struct dyno_cert *cert, struct dyno_err *err)
{
    const struct dyno_cert_attempt *last = &cert->attempts[cert->attempt_count - 1];
    const struct dyno_cert_accuracy *accuracy = &cert->accuracy;
    cert->outcome = last->outcome;
    cert->rule = last->rule;
    cert->reason = last->reason;
    if (cert->kind != DYNO_CERT_ENGINE)
        return DYNO_OK;
    double sum = 0.0;
    for (uint32_t i = 0; i < cert->point_count; i++) {
        const struct dyno_cert_interval *speedup = &last->points[i].speedup_log;
        sum += speedup->value;
        const uint64_t lower = ratio_1e6(speedup->lower, floor);
        const uint64_t upper = ratio_1e6(speedup->upper, ceil);
        cert->speedup_1e6[0] =
            i == 0 || lower < cert->speedup_1e6[0] ? lower : cert->speedup_1e6[0];
        cert->speedup_1e6[2] =
            i == 0 || upper > cert->speedup_1e6[2] ? upper : cert->speedup_1e6[2];
    }
    cert->speedup_1e6[1] = ratio_1e6(sum / (double)cert->point_count, nearbyint);
    if (accuracy->agreement_1e6 < accuracy->class_1e6 && cert->outcome != DYNO_CERT_REFUSED) {
        struct dyno_strbuf text = {0};
        dyno_strbuf_printf(&text, "the engine agrees with FP32 to %.4f %%, %.4f %% are wanted",
                           (double)accuracy->agreement_1e6 / 1e4,
                           (double)accuracy->class_1e6 / 1e4);
        cert->reason = dyno_arena_strdup(cert->arena, dyno_strbuf_text(&text));
        const bool ok = dyno_strbuf_ok(&text) && cert->reason != NULL;
        dyno_strbuf_fini(&text);
        if (!ok)
            return DYNO_NOMEM(err);
        /* Not even a trial: an engine that gives other answers is no engine of the model. */
        cert->outcome = DYNO_CERT_REFUSED;
        cert->rule = "accuracy";
    }
    return DYNO_OK;
}

uint64_t dyno_cert_sweep_batch(const struct dyno_cert *cert)
{
    double items_s[DYNO_CERT_ROWS_MAX];
    for (uint32_t i = 0; i < cert->sweep_count; i++)
        items_s[i] = (double)cert->sweep[i].items / (double)cert->sweep[i].ns;
    return cert->sweep[dyno_cert_reference_batch(items_s, cert->sweep_count)].batch;
}

enum dyno_status dyno_cert_derive(struct dyno_cert *cert, struct dyno_err *err)
{
    DYNO_TRY(dyno_cert_check_samples(cert, err));
    if (cert->kind == DYNO_CERT_REFERENCE)
        cert->batch = dyno_cert_sweep_batch(cert);
    DYNO_TRY(dyno_cert_check_segments(cert, err));
    for (uint32_t i = 0; i < cert->attempt_count; i++)
        DYNO_TRY(derive_attempt(cert, &cert->attempts[i], err));
    cert->accuracy.agreement_1e6 = dyno_cert_agreement_1e6(&cert->accuracy);
    DYNO_TRY(derive_scenarios(cert, &cert->scenarios, err));
    for (int side = 0; side < 2 && cert->energy.items[side] != 0; side++)
        cert->energy.item_uj[side] = (uint64_t)((double)cert->energy.millijoules[side] * 1e3 /
                                                (double)cert->energy.items[side]);
    DYNO_TRY(derive_outcome(cert, err));
    struct dyno_strbuf text = {0};
    struct dyno_sha256 sha;
    dyno_cert_text(cert, &text);
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, dyno_strbuf_text(&text), text.bytes);
    dyno_sha256_final(&sha, cert->address.bytes);
    const bool ok = dyno_strbuf_ok(&text);
    dyno_strbuf_fini(&text);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}
