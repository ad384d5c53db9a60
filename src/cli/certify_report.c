/* certify_report.c - a certificate for a person, with everything needed to check it by eye. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/certify.h"

#define STRIP_CHARS 60

/* --- distributions --- */

/* Milliseconds an item of every kept segment of one side. */
struct sample {
    double *ms;
    uint32_t count;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* is_b: the second side of the blocks (B of A B B A). */
static struct sample take(const struct dyno_cert *cert, const struct dyno_cert_series *series,
                          bool is_b)
{
    struct sample sample = {.ms = NULL};
    uint32_t room = 0;
    for (uint32_t p = 0; p < series->count; p++)
        room += series->processes[p].count * 2;
    sample.ms = dyno_alloc(room + 1U, sizeof(*sample.ms));
    for (uint32_t p = 0; sample.ms != NULL && p < series->count; p++) {
        for (uint32_t b = 0; b < series->processes[p].count; b++) {
            const struct dyno_cert_block *block = &series->processes[p].blocks[b];
            for (int i = 0; i < 4 && dyno_cert_block_counts(cert, block); i++) {
                const struct dyno_cert_segment *s = &block->segments[i];
                if ((i == 1 || i == 2) == is_b)
                    sample.ms[sample.count++] = (double)s->ns / (double)s->items * 1e-6;
            }
        }
    }
    if (sample.ms != NULL)
        qsort(sample.ms, sample.count, sizeof(*sample.ms), by_value);
    return sample;
}

static void print_strip(const char *name, const struct sample *sample, double low, double high)
{
    static const char shades[] = " .:+*#";
    uint32_t counts[STRIP_CHARS] = {0};
    char strip[STRIP_CHARS + 1];
    if (sample->count == 0)
        return;
    for (uint32_t i = 0; i < sample->count; i++) {
        const double share = high > low ? (sample->ms[i] - low) / (high - low) : 0.0;
        counts[(int)fmin(share * STRIP_CHARS, STRIP_CHARS - 1)]++;
    }
    for (int i = 0; i < STRIP_CHARS; i++)
        strip[i] = shades[counts[i] < sizeof(shades) - 1 ? counts[i] : sizeof(shades) - 2];
    strip[STRIP_CHARS] = 0;
    const uint32_t n = sample->count;
    printf("    %-9s |%s|\n", name, strip);
    printf("    %-9s %u segments, ms an item: %.4g least, %.4g quarter, %.4g median, %.4g three "
           "quarters, %.4g most\n",
           "", n, sample->ms[0], sample->ms[n / 4], sample->ms[n / 2], sample->ms[n * 3 / 4],
           sample->ms[n - 1]);
}

static void print_distributions(const struct dyno_cert *cert, const struct dyno_cert_point *point)
{
    const bool is_engine = cert->kind == DYNO_CERT_ENGINE;
    struct sample samples[2] = {take(cert, is_engine ? &point->speedup : &point->control, false),
                                take(cert, is_engine ? &point->speedup : &point->control, true)};
    double low = INFINITY;
    double high = 0.0;
    for (int i = 0; i < 2; i++) {
        if (samples[i].count > 0) {
            low = fmin(low, samples[i].ms[0]);
            high = fmax(high, samples[i].ms[samples[i].count - 1]);
        }
    }
    print_strip("baseline", &samples[0], low, high);
    print_strip(is_engine ? "engine" : "baseline", &samples[1], low, high);
    dyno_free(samples[0].ms);
    dyno_free(samples[1].ms);
}

/* --- text --- */

static void print_hash(const char *what, const struct dyno_cert_hash *hash, const char *more)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(hash, hex);
    printf("  %-10s %s%s%s\n", what, hex, more[0] != 0 ? "  " : "", more);
}

/* By the timed chains of the blocks that count: a clock that was held down for all of them would
 * make the unoptimised execution look slow.  is_b: of the second side alone. */
static void print_clock(const struct dyno_cert *cert, const struct dyno_cert_series *series,
                        const char *what, bool is_b)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint32_t p = 0; p < series->count; p++) {
        for (uint32_t b = 0; b < series->processes[p].count; b++) {
            const struct dyno_cert_block *block = &series->processes[p].blocks[b];
            for (int i = 0; i < 4 && dyno_cert_block_counts(cert, block); i++) {
                if (is_b && i % 3 == 0)
                    continue;
                const uint64_t ns = block->segments[i].chain_ns;
                least = ns < least ? ns : least;
                most = ns > most ? ns : most;
            }
        }
    }
    if (most > 0)
        printf("    %-9s %.2f to %.2f GHz by %s\n", what,
               (double)DYNO_CERT_CHAIN_ADDS / (double)most,
               (double)DYNO_CERT_CHAIN_ADDS / (double)least,
               cert->gpu.compute != 0 ? "the card, of its multiprocessors" : "the timed additions");
    else if (cert->gpu.compute != 0)
        printf("    %-9s not told by this GPU: nothing was dropped for it\n", what);
}

/* Every process had a block that counts. */
static bool has_interval(const struct dyno_cert_point *point)
{
    return point->item_ns.value > 0.0;
}

static void print_point(const struct dyno_cert *cert, uint32_t idx)
{
    const struct dyno_cert_point *point = &dyno_cert_points(cert)[idx];
    const struct dyno_cert_interval *control = &point->control_log;
    printf("  point %u", idx + 1);
    for (uint32_t a = 0; a < cert->axis_count; a++)
        printf("%s%s[%u] = %lld", a == 0 ? ": " : ", ",
               cert->inputs[cert->axes[a].places[0].input].name, cert->axes[a].places[0].dim,
               (long long)point->at[a]);
    printf("\n    %-9s %u kept, %u dropped%s\n", "blocks", point->kept_count, point->dropped_count,
           point->dropped_count > 0 ? ": the clock moved, or others had the processor" : "");
    print_clock(cert, &point->control, "clock", false);
    if (cert->gpu.compute != 0 && cert->kind == DYNO_CERT_ENGINE)
        print_clock(cert, &point->speedup, "engine's", true);
    if (has_interval(point))
        printf(
            "    %-9s %+.2f %% (%+.2f to %+.2f), half the width under %.0f %% and 0 inside: %s\n",
            "A/A", control->value * 100.0, control->lower * 100.0, control->upper * 100.0,
            DYNO_CERT_HALF_WIDTH * 100.0, dyno_cert_control_holds(control) ? "holds" : "FAILS");
    print_distributions(cert, point);
    printf("    %-9s %.2f %% of the baseline's time is spent without a kernel of its own\n",
           "opaque", (double)point->opaque_ns / (double)point->profiled_ns * 100.0);
    if (!has_interval(point))
        printf("    %-9s none: a process has no block that counts\n", "interval");
    else if (cert->kind == DYNO_CERT_REFERENCE)
        printf("    %-9s %llu ns an item: the lower end of %.0f to %.0f ns, mean %.0f\n", "t_ref",
               (unsigned long long)point->t_ref_ns, point->item_ns.lower, point->item_ns.upper,
               point->item_ns.value);
    else
        printf("    %-9s %.4f (%.4f to %.4f)\n", "s", exp(point->speedup_log.value),
               exp(point->speedup_log.lower), exp(point->speedup_log.upper));
}

static void print_pair(const char *name, const uint64_t values[2], double scale, const char *unit,
                       const char *few)
{
    char texts[2][32];
    for (int i = 0; i < 2; i++)
        (void)snprintf(texts[i], sizeof(texts[i]), "%.4g", (double)values[i] * scale);
    if (values[0] == 0 || values[1] == 0)
        printf("    %-28s %s\n", name, few);
    else
        printf("    %-28s %-10s %-10s %s\n", name, texts[0], texts[1], unit);
}

static void print_scenarios(const struct dyno_cert_scenarios *scenarios)
{
    static const char few[] = "too few queries to tell with 99 % confidence";
    if (scenarios->row_count == 0) {
        printf("  scenarios  none was measured\n");
        return;
    }
    printf("  scenarios  (%u and %u runs at batch %llu)  baseline   engine\n",
           scenarios->rows[0].counts[0], scenarios->rows[0].counts[1],
           (unsigned long long)scenarios->rows[0].batch);
    print_pair("SingleStream, p90", scenarios->single_stream_p90_ns, 1e-6, "ms", few);
    print_pair("MultiStream of 8, p99", scenarios->multi_stream_p99_ns, 1e-6, "ms", few);
    print_pair("Offline", scenarios->offline_1e6, 1e-6, "items/s", few);
    print_pair("Server, queries in time", scenarios->server_1e6, 1e-6, "queries/s",
               "no rate keeps the bound, or too few queries to tell");
    printf("    (Server: 99 of 100 within %.4g ms, Poisson arrivals, played over the measured run "
           "times)\n",
           (double)scenarios->bound_ns * 1e-6);
    if (scenarios->slo_1e6 > 0)
        printf("    %-28s %.4f (printed, never billed)\n", "s_slo",
               (double)scenarios->slo_1e6 * 1e-6);
}

static void print_accuracy(const struct dyno_cert_accuracy *accuracy)
{
    printf("  accuracy   %.4f %% of FP32 by %s on data that was %s, %.4f %% wanted: %s\n",
           accuracy->agreement_1e6 / 1e4, accuracy->by_top_1 ? "top-1" : "error",
           accuracy->is_given ? "given" : "made up", accuracy->class_1e6 / 1e4,
           accuracy->agreement_1e6 >= accuracy->class_1e6 ? "holds" : "FAILS");
    for (uint32_t i = 0; i < accuracy->output_count; i++) {
        const struct dyno_cert_output *output = &accuracy->outputs[i];
        printf("    %-28s error %.3g of the norm, top-1 the same in %llu of %llu rows\n",
               output->name, (double)output->error_1e9 * 1e-9,
               (unsigned long long)output->same_top_1, (unsigned long long)output->rows);
    }
}

static void print_device(const struct dyno_cert *cert)
{
    const struct dyno_cert_gpu *gpu = &cert->gpu;
    static const char *const clocks[] = {"events", "the host's clock"};
    if (gpu->compute == 0) {
        printf("  %-10s %s (%s), %s, %u threads\n", "device", cert->device_class, cert->processor,
               cert->isa, cert->threads);
        return;
    }
    printf("  %-10s %s (%s), %s, %u multiprocessors, %.1f GiB, driver%s%s for CUDA %u.%u\n",
           "device", cert->device_class, cert->processor, cert->isa, gpu->multiprocessors,
           (double)gpu->memory_bytes / 1073741824.0, gpu->driver[0] != 0 ? " " : "", gpu->driver,
           gpu->cuda / 1000, gpu->cuda / 10 % 100);
    if (gpu->power_limit_mw > 0)
        printf("  %-10s %.0f W at most, memory at %llu MHz\n", "",
               (double)gpu->power_limit_mw * 1e-3, (unsigned long long)gpu->memory_mhz);
    printf("  %-10s %s; unoptimised by %s\n", "host", gpu->host,
           gpu->libraries[0] != 0 ? gpu->libraries : "kernels of this program alone");
    printf("  %-10s unoptimised by %s, engine by %s; inputs and outputs stay on the GPU\n", "timed",
           clocks[gpu->by_host[0]], clocks[gpu->by_host[1]]);
}

static void print_energy(const struct dyno_cert *cert)
{
    const struct dyno_cert_energy *energy = &cert->energy;
    if (energy->items[0] == 0)
        printf("  energy     not reported by this device\n");
    else
        printf("  energy     %.4g J an item unoptimised, %.4g J by the engine: an estimate, of all "
               "that the card took meanwhile\n",
               (double)energy->item_uj[0] * 1e-6, (double)energy->item_uj[1] * 1e-6);
}

void dyno_certify_report_text(const struct dyno_cert *cert, const char *path)
{
    const bool is_engine = cert->kind == DYNO_CERT_ENGINE;
    char from[DYNO_TIME_TEXT_ROOM];
    char to[DYNO_TIME_TEXT_ROOM];
    printf("%s certificate, %s%s%s\n", is_engine ? "Engine" : "Reference",
           dyno_cert_outcome_text(cert->outcome),
           cert->reason[0] == 0 ? "" : (cert->is_trial ? ", would be refused: " : ": "),
           cert->reason);
    if (path != NULL)
        printf("  %-10s %s\n", "file", path);
    print_hash("address", &cert->address, "");
    print_hash("model", &cert->model, cert->model_name);
    print_hash("baseline", &cert->baseline, "");
    if (is_engine) {
        print_hash("engine", &cert->engine, cert->precision);
        print_hash("cites", &cert->reference, "");
    }
    print_device(cert);
    printf("  %-10s %s to %s, by %s\n", "stands", dyno_time_text(cert->issued_s, from),
           dyno_time_text(dyno_cert_expires_s(cert), to), cert->program);
    printf("  %-10s %u fresh processes x %u blocks A B B A x %.3g s, batch %llu, attempt %u\n",
           "method", cert->process_count, cert->block_count, (double)cert->segment_ns * 1e-9,
           (unsigned long long)cert->batch, cert->attempt_count);
    for (uint32_t i = 0; i < cert->sweep_count; i++)
        printf("  %-10s %4llu: %.2f items/s%s\n", i == 0 ? "batches" : "",
               (unsigned long long)cert->sweep[i].batch,
               (double)cert->sweep[i].items / (double)cert->sweep[i].ns * 1e9,
               cert->sweep[i].batch == cert->batch ? "  (reference batch)" : "");
    for (uint32_t i = 0; i < cert->point_count; i++)
        print_point(cert, i);
    if (is_engine) {
        print_accuracy(&cert->accuracy);
        print_scenarios(&cert->scenarios);
        if (cert->outcome != DYNO_CERT_REFUSED)
            printf("  s          %.4f; claimed as %.4f, the least lower end; billed as %.4f, the "
                   "greatest upper end\n",
                   (double)cert->speedup_1e6[1] * 1e-6,
                   (double)dyno_cert_claimed_speedup_1e6(cert) * 1e-6,
                   (double)dyno_cert_billed_speedup_1e6(cert, UINT64_MAX) * 1e-6);
        print_energy(cert);
    }
}

/* --- JSON --- */

static void hash(struct dyno_json_writer *json, const char *key, const struct dyno_cert_hash *value)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(value, hex);
    dyno_json_put_str(json, key, hex);
}

static void interval(struct dyno_json_writer *json, const char *key, double lower, double value,
                     double upper)
{
    dyno_json_put_array_begin(json, key);
    dyno_json_f64(json, lower);
    dyno_json_f64(json, value);
    dyno_json_f64(json, upper);
    dyno_json_array_end(json);
}

static void point_json(struct dyno_json_writer *json, const struct dyno_cert *cert,
                       const struct dyno_cert_point *point)
{
    dyno_json_object_begin(json);
    dyno_json_put_array_begin(json, "at");
    for (uint32_t a = 0; a < cert->axis_count; a++)
        dyno_json_i64(json, point->at[a]);
    dyno_json_array_end(json);
    dyno_json_put_u64(json, "blocks_kept", point->kept_count);
    dyno_json_put_u64(json, "blocks_dropped", point->dropped_count);
    interval(json, "control_log", point->control_log.lower, point->control_log.value,
             point->control_log.upper);
    interval(json, "baseline_item_ns", point->item_ns.lower, point->item_ns.value,
             point->item_ns.upper);
    if (cert->kind == DYNO_CERT_ENGINE) {
        interval(json, "s", exp(point->speedup_log.lower), exp(point->speedup_log.value),
                 exp(point->speedup_log.upper));
    } else {
        dyno_json_put_u64(json, "t_ref_ns", point->t_ref_ns);
    }
    dyno_json_object_end(json);
}

/* Baseline and engine; null where there are too few queries to tell. */
static void pair_json(struct dyno_json_writer *json, const char *key, const uint64_t values[2],
                      double scale)
{
    dyno_json_put_array_begin(json, key);
    for (int i = 0; i < 2; i++)
        dyno_json_f64(json, values[i] > 0 ? (double)values[i] * scale : NAN);
    dyno_json_array_end(json);
}

static void scenarios_json(struct dyno_json_writer *json,
                           const struct dyno_cert_scenarios *scenarios)
{
    dyno_json_put_object_begin(json, "scenarios");
    pair_json(json, "single_stream_p90_ms", scenarios->single_stream_p90_ns, 1e-6);
    pair_json(json, "multi_stream_p99_ms", scenarios->multi_stream_p99_ns, 1e-6);
    pair_json(json, "offline_items_s", scenarios->offline_1e6, 1e-6);
    pair_json(json, "server_queries_s", scenarios->server_1e6, 1e-6);
    dyno_json_put_f64(json, "server_bound_ms", (double)scenarios->bound_ns * 1e-6);
    dyno_json_put_f64(json, "s_slo",
                      scenarios->slo_1e6 > 0 ? (double)scenarios->slo_1e6 * 1e-6 : NAN);
    dyno_json_object_end(json);
}

void dyno_certify_report_json(struct dyno_json_writer *json, const struct dyno_cert *cert,
                              const char *path)
{
    char from[DYNO_TIME_TEXT_ROOM];
    char to[DYNO_TIME_TEXT_ROOM];
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "kind", dyno_cert_kind_text(cert->kind));
    dyno_json_put_str(json, "outcome", dyno_cert_outcome_text(cert->outcome));
    dyno_json_put_str(json, "reason", cert->reason);
    if (path != NULL)
        dyno_json_put_str(json, "file", path);
    hash(json, "address", &cert->address);
    hash(json, "model", &cert->model);
    hash(json, "baseline", &cert->baseline);
    dyno_json_put_str(json, "device_class", cert->device_class);
    dyno_json_put_str(json, "issued", dyno_time_text(cert->issued_s, from));
    dyno_json_put_str(json, "expires", dyno_time_text(dyno_cert_expires_s(cert), to));
    dyno_json_put_u64(json, "batch", cert->batch);
    dyno_json_put_u64(json, "attempts", cert->attempt_count);
    dyno_json_put_array_begin(json, "points");
    for (uint32_t i = 0; i < cert->point_count; i++)
        point_json(json, cert, &dyno_cert_points(cert)[i]);
    dyno_json_array_end(json);
    if (cert->kind == DYNO_CERT_ENGINE) {
        hash(json, "engine", &cert->engine);
        hash(json, "reference", &cert->reference);
        dyno_json_put_str(json, "precision", cert->precision);
        interval(json, "s", (double)cert->speedup_1e6[0] * 1e-6,
                 (double)cert->speedup_1e6[1] * 1e-6, (double)cert->speedup_1e6[2] * 1e-6);
        dyno_json_put_f64(json, "agreement", cert->accuracy.agreement_1e6 * 1e-6);
        scenarios_json(json, &cert->scenarios);
        dyno_json_put_array_begin(json, "energy_j_per_item");
        for (int side = 0; side < 2; side++)
            dyno_json_f64(
                json, cert->energy.items[0] != 0 ? (double)cert->energy.item_uj[side] * 1e-6 : NAN);
        dyno_json_array_end(json);
    }
    dyno_json_object_end(json);
}
