/* bench_report.c - printing what dyno bench found. */
#include "cli/bench_report.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"

static double joule_item(const struct dyno_bench_result *result)
{
    return result->energy_j / (result->items_s * result->wall_s);
}

void dyno_bench_print(const struct dyno_bench_result *result, const struct dyno_session *session)
{
    const struct dyno_latency *latency = &result->latency;
    char cpu[128];
    const char *gpu = dyno_engine_device_name(session->engine);
    dyno_cpu_name(cpu, sizeof(cpu));
    printf("%s on %s%s%s, %d threads, %u streams\n", result->name, gpu,
           gpu[0] != 0 ? " beside " : "", cpu, dyno_pool_thread_count(session->pool),
           result->stream_count);
    dyno_report_ios_text(session->engine);
    printf("Throughput: %.2f qps, %.2f items/s\n", result->qps, result->items_s);
    printf("Latency%s: min = %.3f ms, max = %.3f ms, mean = %.3f ms, median = %.3f ms, "
           "percentile(90%%) = %.3f ms, percentile(95%%) = %.3f ms, percentile(99%%) = %.3f ms\n",
           result->no_transfers && result->gpu.count != 0 ? " (without data transfers)" : "",
           latency->min_us * 1e-3, latency->max_us * 1e-3, latency->mean_us * 1e-3,
           latency->median_us * 1e-3, latency->p90_us * 1e-3, latency->p95_us * 1e-3,
           latency->p99_us * 1e-3);
    if (result->gpu.count != 0)
        printf("GPU Compute Time: min = %.3f ms, mean = %.3f ms, median = %.3f ms, "
               "percentile(99%%) = %.3f ms, %llu kernels a run\n",
               result->gpu.min_us * 1e-3, result->gpu.mean_us * 1e-3, result->gpu.median_us * 1e-3,
               result->gpu.p99_us * 1e-3, (unsigned long long)result->launches);
    dyno_report_branches_text(result->context);
    if (!isnan(result->energy_j))
        printf("Energy: %.4g J an item, %.1f W (all of the card, by its own counter)\n",
               joule_item(result), result->energy_j / result->wall_s);
    printf("Total Host Walltime: %.3f s, %llu runs, %u steps a run\n", result->wall_s,
           (unsigned long long)latency->count, dyno_engine_step_count(session->engine));
    printf("Memory: %.1f MiB activations (%.1f MiB without sharing), %.1f MiB peak resident\n",
           (double)result->arena_bytes / 1048576.0, (double)result->tensor_bytes / 1048576.0,
           (double)dyno_peak_rss_bytes() / 1048576.0);
}

static void latency_json(struct dyno_json_writer *json, const char *key,
                         const struct dyno_latency *latency)
{
    const struct {
        const char *key;
        double us;
    } rows[] = {{"min", latency->min_us},   {"max", latency->max_us},
                {"mean", latency->mean_us}, {"median", latency->median_us},
                {"p90", latency->p90_us},   {"p95", latency->p95_us},
                {"p99", latency->p99_us}};
    dyno_json_put_object_begin(json, key);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        dyno_json_put_f64(json, rows[i].key, rows[i].us * 1e-3);
    }
    dyno_json_object_end(json);
}

/* --dumpLayerInfo and --dumpProfile for a program. */
static void layers_json(const struct dyno_session *session, const double *step_us,
                        struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "layers");
    for (uint32_t i = 0; i < dyno_engine_step_count(session->engine); i++) {
        dyno_json_object_begin(json);
        dyno_report_step_json(session->engine, i, "nodes", json);
        if (step_us != NULL) {
            dyno_json_put_f64(json, "us", step_us[i]);
        }
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

enum dyno_status dyno_bench_print_json(const struct dyno_bench_result *result,
                                       const struct dyno_session *session, bool with_layers,
                                       struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    char cpu[128];
    dyno_cpu_name(cpu, sizeof(cpu));
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "engine", result->name);
    dyno_json_put_str(&json, "processor", cpu);
    dyno_json_put_i64(&json, "threads", dyno_pool_thread_count(session->pool));
    dyno_json_put_u64(&json, "streams", result->stream_count);
    dyno_json_put_u64(&json, "runs", result->latency.count);
    dyno_json_put_f64(&json, "qps", result->qps);
    dyno_json_put_f64(&json, "items_s", result->items_s);
    latency_json(&json, "latency_ms", &result->latency);
    if (result->gpu.count != 0) {
        dyno_json_put_str(&json, "gpu", dyno_engine_device_name(session->engine));
        dyno_report_precisions_json(session->engine, &json);
        dyno_report_branches_json(result->context, &json);
        latency_json(&json, "gpu_ms", &result->gpu);
        dyno_json_put_u64(&json, "launches", result->launches);
        dyno_json_put_bool(&json, "data_transfers", !result->no_transfers);
    }
    if (!isnan(result->energy_j)) {
        dyno_json_put_f64(&json, "energy_j", result->energy_j);
        dyno_json_put_f64(&json, "energy_j_item", joule_item(result));
    }
    dyno_json_put_u64(&json, "steps", dyno_engine_step_count(session->engine));
    dyno_json_put_f64(&json, "load_ms", (double)session->load_ns * 1e-6);
    dyno_json_put_u64(&json, "arena_bytes", result->arena_bytes);
    dyno_json_put_u64(&json, "tensor_bytes", result->tensor_bytes);
    if (dyno_engine_gpu_bytes(session->engine) != 0) {
        dyno_json_put_u64(&json, "gpu_bytes", dyno_engine_gpu_bytes(session->engine));
    }
    dyno_json_put_u64(&json, "peak_rss_bytes", dyno_peak_rss_bytes());
    dyno_report_ios_json(session->engine, &json);
    if (with_layers)
        layers_json(session, result->step_us, &json);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

void dyno_bench_print_profile(const struct dyno_bench_result *result,
                              const struct dyno_session *session)
{
    const uint32_t count = dyno_engine_step_count(session->engine);
    double total = 0.0;
    for (uint32_t i = 0; i < count; i++)
        total += result->step_us[i];
    printf("%10s %6s  %-22s %-30s %s\n", "us", "%", "op", "kernel", "step");
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_step_info step;
        dyno_engine_step(session->engine, i, &step);
        printf("%10.1f %6.2f  %-22s %-30s %s\n", result->step_us[i],
               100.0 * result->step_us[i] / total, step.op, step.kernel, step.name);
    }
    printf("%10.1f %6.2f  total of %u steps\n", total, 100.0, count);
}

void dyno_bench_print_layers(const struct dyno_session *session)
{
    for (uint32_t i = 0; i < dyno_engine_step_count(session->engine); i++) {
        struct dyno_step_info step;
        dyno_engine_step(session->engine, i, &step);
        printf("%-4u %-22s %-30s %s:", i, step.op, step.kernel, step.name);
        for (uint32_t k = 0; k < step.origin_count; k++)
            printf(" %s", step.origins[k]);
        printf("\n");
    }
}
