/* metrics.c - GET /metrics: Prometheus text with Triton's names. */
#include <stdio.h>
#include <string.h>

#include "serve/app/http.h"
#include "serve/app/metering.h"
#include "serve/watch/journal.h"

/* A counter or gauge of Triton's, and how it follows from what was counted of a variant. */
struct family {
    const char *name, *help, *type;
    uint64_t (*value)(const struct dyno_tally *sum, const struct dyno_variant *variant);
};

static uint64_t get(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static uint64_t fail_count(const struct dyno_tally *sum)
{
    uint64_t count = 0;
    for (int i = 0; i < DYNO_FAIL_REASONS; i++)
        count += get(&sum->fail_count[i]);
    return count;
}

/* The counts are read one after the other: a request may end between two of them. */
static uint64_t pending_count(const struct dyno_tally *sum, const struct dyno_variant *variant)
{
    const uint64_t begun = get(&sum->begun_count);
    const uint64_t ended = get(&sum->success_count) + fail_count(sum);
    (void)variant;
    return begun > ended ? begun - ended : 0;
}

static uint64_t execution_count(const struct dyno_tally *sum, const struct dyno_variant *variant)
{
    (void)sum;
    return get(&variant->stats.execution_count);
}

#define VALUE(name, expression)                                                            \
    static uint64_t name(const struct dyno_tally *sum, const struct dyno_variant *variant) \
    {                                                                                      \
        (void)variant;                                                                     \
        return expression;                                                                 \
    }
VALUE(success_count, get(&sum->success_count))
VALUE(inference_count, get(&sum->inference_count))
VALUE(request_us, get(&sum->success_ns) / 1000)
VALUE(queue_us, get(&sum->queue_ns) / 1000)
VALUE(input_us, get(&sum->input_ns) / 1000)
VALUE(infer_us, get(&sum->infer_ns) / 1000)
VALUE(output_us, get(&sum->output_ns) / 1000)
#undef VALUE

static const struct family families[] = {
    {"nv_inference_request_success", "Number of successful inference requests, all batch sizes",
     "counter", success_count},
    {"nv_inference_count", "Number of inferences performed", "counter", inference_count},
    {"nv_inference_exec_count", "Number of model executions performed", "counter", execution_count},
    {"nv_inference_request_duration_us", "Cumulative inference request duration in microseconds",
     "counter", request_us},
    {"nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds",
     "counter", queue_us},
    {"nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds",
     "counter", input_us},
    {"nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds", "counter", infer_us},
    {"nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds", "counter", output_us},
    {"nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model", "gauge",
     pending_count},
};

/* What was counted of the variants at hand. */
struct sums {
    struct dyno_variant *const *variants;
    const struct dyno_tally *tallies; /* one a variant, over all classes */
    size_t count;
    const struct dyno_classes *classes;
};

static void put_labels(struct dyno_strbuf *out, const struct dyno_variant *variant)
{
    dyno_strbuf_printf(out, "model=\"%s\",version=\"%s\",variant=\"%s\"", variant->model,
                       variant->version, variant->name);
}

static void put_head(struct dyno_strbuf *out, const char *name, const char *help, const char *type)
{
    dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_families(struct dyno_strbuf *out, const struct sums *sums)
{
    for (size_t f = 0; f < DYNO_COUNT(families); f++) {
        put_head(out, families[f].name, families[f].help, families[f].type);
        for (size_t i = 0; i < sums->count; i++) {
            dyno_strbuf_printf(out, "%s{", families[f].name);
            put_labels(out, sums->variants[i]);
            dyno_strbuf_printf(
                out, "} %llu\n",
                (unsigned long long)families[f].value(&sums->tallies[i], sums->variants[i]));
        }
    }
}

static void put_failures(struct dyno_strbuf *out, const struct sums *sums)
{
    static const char name[] = "nv_inference_request_failure";
    put_head(out, name, "Number of failed inference requests, all batch sizes", "counter");
    for (size_t i = 0; i < sums->count; i++)
        for (int reason = 0; reason < DYNO_FAIL_REASONS; reason++) {
            dyno_strbuf_printf(out, "%s{", name);
            put_labels(out, sums->variants[i]);
            dyno_strbuf_printf(out, ",reason=\"%s\"} %llu\n",
                               dyno_fail_reason_text((enum dyno_fail_reason)reason),
                               (unsigned long long)get(&sums->tallies[i].fail_count[reason]));
        }
}

static const struct {
    const char *name, *help;
    size_t offset_bytes; /* in a tally */
} histograms[] = {
    {"dyno_request_seconds", "From the first byte of a request to its answer",
     offsetof(struct dyno_tally, request)},
    {"dyno_queue_seconds", "From a request's checks to the start of its run",
     offsetof(struct dyno_tally, queue)},
    {"dyno_compute_seconds", "The run that a request was in", offsetof(struct dyno_tally, compute)},
};

/* By model, variant and class; classes that nothing was asked of are left out. */
static void put_histograms(struct dyno_strbuf *out, const struct sums *sums)
{
    for (size_t h = 0; h < DYNO_COUNT(histograms); h++) {
        put_head(out, histograms[h].name, histograms[h].help, "histogram");
        for (size_t i = 0; i < sums->count; i++)
            for (int c = 0; c < sums->classes->count; c++) {
                struct dyno_strbuf labels = {0};
                struct dyno_tally sum;
                dyno_variant_sum(sums->variants[i], c, &sum);
                if (get(&sum.begun_count) == 0)
                    continue;
                put_labels(&labels, sums->variants[i]);
                dyno_strbuf_printf(&labels, ",class=\"%s\"", sums->classes->rows[c].name);
                dyno_histogram_write(
                    (const void *)((const char *)&sum + histograms[h].offset_bytes),
                    histograms[h].name, dyno_strbuf_text(&labels), out);
                dyno_strbuf_fini(&labels);
            }
    }
}

/* One figure of the whole server. */
static void put_one(struct dyno_strbuf *out, const char *name, const char *help, const char *type,
                    uint64_t value)
{
    put_head(out, name, help, type);
    dyno_strbuf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_tls(struct dyno_strbuf *out, const struct dyno_tls *tls)
{
    dyno_strbuf_printf(
        out,
        "# HELP dyno_tls_handshake_failures_total TLS handshakes that came to nothing\n"
        "# TYPE dyno_tls_handshake_failures_total counter\n"
        "dyno_tls_handshake_failures_total %llu\n"
        "# HELP dyno_tls_certificate_expiry_seconds When the certificate expires, "
        "since the epoch\n"
        "# TYPE dyno_tls_certificate_expiry_seconds gauge\n"
        "dyno_tls_certificate_expiry_seconds %lld\n",
        (unsigned long long)dyno_tls_failure_count(tls), (long long)dyno_tls_expiry(tls));
}

static void put_builds(struct dyno_strbuf *out, struct dyno_manager *manager)
{
    struct dyno_maker_stats stats;
    if (!dyno_manager_build_stats(manager, &stats))
        return;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"dyno_builds_running", "gauge", "Engines that are being built", stats.running_count},
        {"dyno_builds_waiting", "gauge", "Models that wait for an engine to be built",
         stats.waiting_count},
        {"dyno_builds_total", "counter", "Engines that were built", stats.built_count},
        {"dyno_build_failures_total", "counter", "Builds that failed", stats.failed_count},
        {"dyno_builds_cancelled_total", "counter", "Builds that were ended", stats.cancelled_count},
        {"dyno_engine_cache_hits_total", "counter", "Engines that were there already",
         stats.hit_count},
        {"dyno_engine_cache_misses_total", "counter", "Engines that were not", stats.miss_count},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help,
                           rows[i].name, rows[i].type, rows[i].name,
                           (unsigned long long)rows[i].value);
    dyno_strbuf_printf(out,
                       "# HELP dyno_build_seconds_total Time that builds took which went well\n"
                       "# TYPE dyno_build_seconds_total counter\ndyno_build_seconds_total %.3f\n",
                       (double)stats.build_ns * 1e-9);
}

static enum dyno_status write_metrics(struct dyno_io *io, struct dyno_arena *arena,
                                      struct dyno_err *err)
{
    struct dyno_variant **variants = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_catalog_ready(io->server->catalog, NULL, arena, &variants, &count, err));
    struct dyno_tally *tallies = dyno_arena_alloc(arena, count + 1, sizeof(*tallies));
    const struct sums sums = {.variants = variants,
                              .tallies = tallies,
                              .count = tallies != NULL ? count : 0,
                              .classes = &io->server->classes};
    dyno_strbuf_clear(&io->text);
    for (size_t i = 0; i < sums.count; i++)
        dyno_variant_sum(variants[i], -1, &tallies[i]);
    put_families(&io->text, &sums);
    put_failures(&io->text, &sums);
    put_histograms(&io->text, &sums);
    DYNO_TRY(dyno_server_print_models(io->server, arena, &io->text, err));
    put_one(&io->text, "dyno_bytes_in_flight", "Bytes of requests and answers in flight", "gauge",
            atomic_load(&io->server->budget.used_bytes));
    put_one(&io->text, "dyno_worker_restarts_total",
            "Times that the process that serves fell and was started again", "counter",
            dyno_super_restarts(io->server->super));
    put_builds(&io->text, io->server->manager);
    if (io->server->tls != NULL)
        put_tls(&io->text, io->server->tls);
    dyno_server_print_meter(io->server, &io->text);
    if (io->server->journal != NULL)
        put_one(&io->text, "dyno_access_log_dropped_total", "Lines that the access log lost",
                "counter", dyno_journal_dropped(io->server->journal));
    for (size_t i = 0; i < count; i++)
        dyno_variant_unref(variants[i]);
    return DYNO_OK;
}

void dyno_route_metrics(struct dyno_visit *visit)
{
    struct dyno_io *io = visit->io;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena != NULL && write_metrics(io, arena, &err) == DYNO_OK)
        dyno_visit_answer_text(visit, 200, "text/plain; charset=utf-8", &io->text);
    else
        dyno_visit_answer_error(visit, 503, "out of memory");
    dyno_strbuf_clear(&io->text);
    dyno_arena_destroy(arena);
}
