/* metrics.c - GET /metrics: Prometheus text with Triton's names. */
#include <stdio.h>
#include <string.h>

#include "serve/app/http.h"

/* One family: a name, its help, and where a variant keeps the value. */
struct family {
    const char *name, *help, *type;
    size_t offset_bytes; /* of an atomic_uint_fast64_t in dyno_variant_stats */
    uint64_t divide_by;
    const char *more_labels;
};

#define AT(field) offsetof(struct dyno_variant_stats, field)
static const struct family families[] = {
    {"nv_inference_request_success", "Number of successful inference requests, all batch sizes",
     "counter", AT(success_count), 1, ""},
    {"nv_inference_request_failure", "Number of failed inference requests, all batch sizes",
     "counter", AT(fail_count), 1, ",reason=\"OTHER\""},
    {"nv_inference_count", "Number of inferences performed", "counter", AT(inference_count), 1, ""},
    {"nv_inference_exec_count", "Number of model executions performed", "counter",
     AT(execution_count), 1, ""},
    {"nv_inference_request_duration_us", "Cumulative inference request duration in microseconds",
     "counter", AT(success_ns), 1000, ""},
    {"nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds",
     "counter", AT(queue_ns), 1000, ""},
    {"nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds",
     "counter", AT(input_ns), 1000, ""},
    {"nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds", "counter", AT(infer_ns), 1000, ""},
    {"nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds", "counter", AT(output_ns), 1000,
     ""},
    {"nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model", "gauge",
     AT(pending_count), 1, ""},
};

static void put_family(struct dyno_strbuf *out, const struct family *family,
                       struct dyno_variant *const *variants, size_t count)
{
    dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help,
                       family->name, family->type);
    for (size_t i = 0; i < count; i++) {
        const char *stats = (const char *)&variants[i]->stats;
        const atomic_uint_fast64_t *value = (const void *)(stats + family->offset_bytes);
        dyno_strbuf_printf(out, "%s{model=\"%s\",version=\"%s\",variant=\"%s\"%s} %llu\n",
                           family->name, variants[i]->model, variants[i]->version,
                           variants[i]->name, family->more_labels,
                           (unsigned long long)(atomic_load_explicit(value, memory_order_relaxed) /
                                                family->divide_by));
    }
}

static const struct {
    const char *name, *help;
    size_t offset_bytes;
} histograms[] = {
    {"dyno_request_seconds", "From the first byte of a request to its answer",
     offsetof(struct dyno_variant_stats, request)},
    {"dyno_queue_seconds", "From a request's checks to the start of its run",
     offsetof(struct dyno_variant_stats, queue)},
    {"dyno_compute_seconds", "The run that a request was in",
     offsetof(struct dyno_variant_stats, compute)},
};

static void put_histograms(struct dyno_strbuf *out, struct dyno_variant *const *variants,
                           size_t count)
{
    for (size_t h = 0; h < DYNO_COUNT(histograms); h++) {
        dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", histograms[h].name,
                           histograms[h].help, histograms[h].name);
        for (size_t i = 0; i < count; i++) {
            char labels[512];
            const char *stats = (const char *)&variants[i]->stats;
            (void)snprintf(labels, sizeof(labels), "model=\"%s\",version=\"%s\",variant=\"%s\"",
                           variants[i]->model, variants[i]->version, variants[i]->name);
            dyno_histogram_write((const void *)(stats + histograms[h].offset_bytes),
                                 histograms[h].name, labels, out);
        }
    }
}

static enum dyno_status write_metrics(struct dyno_io *io, struct dyno_arena *arena,
                                      struct dyno_err *err)
{
    struct dyno_variant **variants = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_manager_ready(io->server->manager, NULL, arena, &variants, &count, err));
    dyno_strbuf_clear(&io->text);
    for (size_t i = 0; i < DYNO_COUNT(families); i++)
        put_family(&io->text, &families[i], variants, count);
    put_histograms(&io->text, variants, count);
    dyno_strbuf_printf(&io->text,
                       "# HELP dyno_bytes_in_flight Bytes of requests and answers in flight\n"
                       "# TYPE dyno_bytes_in_flight gauge\ndyno_bytes_in_flight %llu\n",
                       (unsigned long long)atomic_load(&io->server->budget.used_bytes));
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
