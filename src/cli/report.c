/* report.c - build reports, bindings, latency statistics. */
#include "cli/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "engine/binding.h"

static double ms(uint64_t ns)
{
    return (double)ns * 1e-6;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / 1048576.0;
}

static void io_json(const struct dyno_io_info *info, struct dyno_json_writer *json)
{
    const int64_t *const corners[] = {info->min, info->opt, info->max};
    static const char *const names[] = {"min", "opt", "max"};
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", info->name);
    dyno_json_put_str(json, "type", dyno_dtype_text((enum dyno_dtype)info->dtype));
    for (size_t c = 0; info->rank >= 0 && c < DYNO_COUNT(corners); c++) {
        dyno_json_put_array_begin(json, names[c]);
        for (int i = 0; i < info->rank; i++)
            dyno_json_i64(json, corners[c][i]);
        dyno_json_array_end(json);
    }
    dyno_json_object_end(json);
}

void dyno_report_ios_json(const struct dyno_engine *engine, struct dyno_json_writer *json)
{
    struct dyno_io_info info;
    dyno_json_put_array_begin(json, "inputs");
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        dyno_engine_input(engine, i, &info);
        io_json(&info, json);
    }
    dyno_json_array_end(json);
    dyno_json_put_array_begin(json, "outputs");
    for (uint32_t i = 0; i < dyno_engine_output_count(engine); i++) {
        dyno_engine_output(engine, i, &info);
        io_json(&info, json);
    }
    dyno_json_array_end(json);
}

void dyno_report_precisions_json(const struct dyno_engine *engine, struct dyno_json_writer *json)
{
    const char *names[DYNO_PLAN_PRECISIONS_MAX];
    if (engine->plan->gpu.compute == 0)
        return;
    const uint32_t name_count = dyno_plan_precisions(engine->plan, names);
    dyno_json_put_strs(json, "precisions", names, name_count);
    dyno_json_put_bool(json, "may_branch", (engine->plan->flags & DYNO_PLAN_BRANCHES) != 0);
}

void dyno_report_precisions_text(const struct dyno_engine *engine)
{
    const char *names[DYNO_PLAN_PRECISIONS_MAX];
    if (engine->plan->gpu.compute == 0)
        return;
    const uint32_t name_count = dyno_plan_precisions(engine->plan, names);
    printf("  allowed ");
    for (uint32_t i = 0; i < name_count; i++)
        printf("%s%s", i > 0 ? ", " : "", names[i]);
    printf("\n");
    if ((engine->plan->flags & DYNO_PLAN_BRANCHES) != 0)
        printf("  steps that need not wait for each other overlap\n");
}

void dyno_report_branches_text(const struct dyno_context *context)
{
    const struct dyno_branches *branches = dyno_context_branches(context);
    if (branches != NULL)
        printf("Branches: %u steps in a row at least, up to %u at once\n", branches->depth,
               branches->width);
}

void dyno_report_accuracy_json(const struct dyno_engine *engine, struct dyno_json_writer *json)
{
    if (!(engine->plan->accuracy_budget > 0.0F))
        return;
    dyno_json_put_f64(json, "accuracy_budget", (double)engine->plan->accuracy_budget);
    dyno_json_put_f64(json, "accuracy_error", (double)engine->plan->accuracy_error);
}

void dyno_report_accuracy_text(const struct dyno_engine *engine)
{
    if (engine->plan->accuracy_budget > 0.0F)
        printf("  error   %.3g of the output's range, %.3g allowed\n",
               (double)engine->plan->accuracy_error, (double)engine->plan->accuracy_budget);
}

const char *dyno_report_precision(const struct dyno_engine *engine, uint32_t idx)
{
    const struct dyno_step *step = &engine->plan->steps[idx];
    const uint32_t uses = dyno_tune_uses(&step->tactic, step->in_count);
    const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
    if (kernel == NULL || kernel->place == DYNO_ON_CPU)
        return "";
    if ((uses & DYNO_PRECISION_F16) != 0)
        return "FP16";
    if ((uses & DYNO_PRECISION_BF16) != 0)
        return "BF16";
    return (uses & DYNO_PRECISION_TF32) != 0 ? "TF32" : "FP32";
}

static void print_dims(const int64_t *dims, int rank)
{
    for (int i = 0; i < rank; i++) {
        if (dims[i] == INT64_MAX)
            printf("%s*", i > 0 ? "x" : "");
        else
            printf("%s%lld", i > 0 ? "x" : "", (long long)dims[i]);
    }
    if (rank == 0)
        printf("scalar");
}

static void io_text(const char *what, const struct dyno_io_info *info)
{
    bool open = false;
    printf("  %-7s %-24s %-5s ", what, info->name, dyno_dtype_text((enum dyno_dtype)info->dtype));
    if (info->rank < 0) {
        printf("shape known only while running\n");
        return;
    }
    print_dims(info->opt, info->rank);
    for (int i = 0; i < info->rank; i++)
        open = open || info->min[i] != info->max[i];
    if (open) {
        printf("  (");
        print_dims(info->min, info->rank);
        printf(" .. ");
        print_dims(info->max, info->rank);
        printf(")");
    }
    printf("\n");
}

void dyno_report_ios_text(const struct dyno_engine *engine)
{
    struct dyno_io_info info;
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        dyno_engine_input(engine, i, &info);
        io_text("input", &info);
    }
    for (uint32_t i = 0; i < dyno_engine_output_count(engine); i++) {
        dyno_engine_output(engine, i, &info);
        io_text("output", &info);
    }
}

/* Bytes of the arena at the profile's optimum; 0 when it cannot be bound. */
static void arena_at_opt(const struct dyno_engine *engine, uint64_t *arena_bytes,
                         uint64_t *tensor_bytes)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[64] = {{0}};
    struct dyno_array outputs[64] = {{0}};
    struct dyno_io_info info;
    *arena_bytes = *tensor_bytes = 0;
    if (dyno_engine_input_count(engine) > DYNO_COUNT(inputs) ||
        dyno_engine_output_count(engine) > DYNO_COUNT(outputs) ||
        dyno_context_create((struct dyno_engine *)(uintptr_t)engine, NULL, &context, NULL) !=
            DYNO_OK)
        return;
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        dyno_engine_input(engine, i, &info);
        inputs[i].dtype = info.dtype;
        inputs[i].rank = info.rank;
        for (int d = 0; d < info.rank; d++)
            inputs[i].dims[d] = info.opt[d];
    }
    if (dyno_context_bind(context, inputs, outputs, NULL) == DYNO_OK) {
        *arena_bytes = dyno_context_arena_bytes(context);
        *tensor_bytes = dyno_context_tensor_bytes(context);
    }
    dyno_context_destroy(context);
}

void dyno_report_step_json(const struct dyno_engine *engine, uint32_t idx, const char *nodes_key,
                           struct dyno_json_writer *json)
{
    struct dyno_step_info step;
    dyno_engine_step(engine, idx, &step);
    dyno_json_put_str(json, "name", step.name);
    dyno_json_put_str(json, "op", step.op);
    dyno_json_put_str(json, "kernel", step.kernel);
    if (dyno_report_precision(engine, idx)[0] != 0)
        dyno_json_put_str(json, "precision", dyno_report_precision(engine, idx));
    dyno_json_put_strs(json, nodes_key, step.origins, step.origin_count);
}

static void steps_json(const struct dyno_engine *engine, struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "steps");
    for (uint32_t i = 0; i < dyno_engine_step_count(engine); i++) {
        dyno_json_object_begin(json);
        dyno_report_step_json(engine, i, "origins", json);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

void dyno_report_branches_json(const struct dyno_context *context, struct dyno_json_writer *json)
{
    const struct dyno_branches *branches = dyno_context_branches(context);
    if (branches == NULL)
        return;
    dyno_json_put_object_begin(json, "branches");
    dyno_json_put_u64(json, "steps_in_a_row", branches->depth);
    dyno_json_put_u64(json, "steps_at_once", branches->width);
    dyno_json_put_u64(json, "edges", branches->edge_count);
    dyno_json_put_u64(json, "chain_arena_bytes", branches->chain_bytes);
    dyno_json_object_end(json);
}

static void accuracy_json(const struct dyno_engine *engine, const struct dyno_build_report *report,
                          struct dyno_json_writer *json)
{
    dyno_report_accuracy_json(engine, json);
    if (!(engine->plan->accuracy_budget > 0.0F))
        return;
    dyno_json_put_f64(json, "accuracy_error_without", report->accuracy.free_error);
    dyno_json_put_u64(json, "accuracy_trials", report->accuracy.trials);
    dyno_json_put_f64(json, "accuracy_ms", ms(report->accuracy.ns));
    for (int tf32 = 0; tf32 < 2; tf32++) {
        dyno_json_put_array_begin(json, tf32 != 0 ? "raised_to_tf32" : "kept_in_f32");
        for (uint32_t i = 0; i < report->accuracy.raised_count; i++) {
            if (report->accuracy.raised[i].is_tf32 == (tf32 != 0))
                dyno_json_str(json, report->accuracy.raised[i].name);
        }
        dyno_json_array_end(json);
    }
}

static void accuracy_text(const struct dyno_engine *engine, const struct dyno_build_report *report,
                          bool verbose)
{
    const struct dyno_accuracy_report *accuracy = &report->accuracy;
    if (!(engine->plan->accuracy_budget > 0.0F))
        return;
    dyno_report_accuracy_text(engine);
    uint32_t tf32_count = 0;
    for (uint32_t i = 0; i < accuracy->raised_count; i++)
        tf32_count += accuracy->raised[i].is_tf32;
    printf("  budget  %.3g without it; %u layers kept in f32 for it, %u in TF32, %u trials in "
           "%.2f s\n",
           accuracy->free_error, accuracy->raised_count - tf32_count, tf32_count, accuracy->trials,
           (double)accuracy->ns * 1e-9);
    for (uint32_t i = 0; verbose && i < accuracy->raised_count; i++)
        printf("  in %s %s\n", accuracy->raised[i].is_tf32 ? "tf32" : "f32 ",
               accuracy->raised[i].name);
}

static void gpu_json(const struct dyno_engine *engine, const struct dyno_build_report *report,
                     struct dyno_json_writer *json)
{
    dyno_json_put_str(json, "gpu", report->target.gpu.name);
    dyno_json_put_u64(json, "compute_capability", (uint64_t)report->target.gpu.compute);
    dyno_json_put_u64(json, "cpu_steps", report->cpu_step_count);
    dyno_json_put_u64(json, "gpu_programs", report->program_count);
    dyno_report_precisions_json(engine, json);
    accuracy_json(engine, report, json);
    dyno_json_put_str(json, "libraries", report->libraries);
}

/* How the GPU's clock went, and what a larger workspace would have bought. */
static void tuning_json(const struct dyno_build_report *report, struct dyno_json_writer *json)
{
    if (report->tune.clock.most_mhz > 0.0) {
        dyno_json_put_object_begin(json, "tuning_clock");
        dyno_json_put_f64(json, "least_mhz", report->tune.clock.least_mhz);
        dyno_json_put_f64(json, "most_mhz", report->tune.clock.most_mhz);
        dyno_json_put_u64(json, "timings_repeated", report->tune.clock.repeated);
        dyno_json_object_end(json);
    }
    if (report->target.workspace_bytes_max != UINT64_MAX) {
        dyno_json_put_object_begin(json, "larger_workspace");
        dyno_json_put_u64(json, "steps", report->tune.workspace_steps);
        dyno_json_put_f64(json, "saves_us", (double)report->tune.workspace_us);
        dyno_json_put_u64(json, "bytes", report->tune.workspace_bytes);
        dyno_json_object_end(json);
    }
}

void dyno_report_build_json(const struct dyno_build_report *report,
                            const struct dyno_engine *engine, const char *onnx_path,
                            const char *engine_path, struct dyno_strbuf *out)
{
    struct dyno_json_writer json = {.out = out, .indent = 2};
    struct dyno_strbuf isa = {0};
    char cpu[128];
    uint64_t arena_bytes = 0;
    uint64_t tensor_bytes = 0;
    dyno_cpu_name(cpu, sizeof(cpu));
    dyno_isa_print(report->target.isa_mask, &isa);
    arena_at_opt(engine, &arena_bytes, &tensor_bytes);
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "model", onnx_path);
    dyno_json_put_str(&json, "engine", engine_path);
    dyno_json_put_str(&json, "processor", cpu);
    dyno_json_put_str(&json, "isa", dyno_strbuf_text(&isa));
    dyno_json_put_u64(&json, "threads", (uint64_t)report->target.thread_count);
    if (report->target.gpu.compute != 0)
        gpu_json(engine, report, &json);
    dyno_json_put_u64(&json, "model_bytes", report->model_bytes);
    dyno_json_put_u64(&json, "engine_bytes", dyno_engine_file_bytes(engine));
    dyno_json_put_u64(&json, "packed_bytes", report->packed_bytes);
    dyno_json_put_u64(&json, "arena_bytes", arena_bytes);
    dyno_json_put_u64(&json, "tensor_bytes", tensor_bytes);
    dyno_json_put_u64(&json, "onnx_nodes", report->onnx_node_count);
    dyno_json_put_u64(&json, "graph_nodes", report->graph_node_count);
    dyno_json_put_u64(&json, "step_count", report->step_count);
    dyno_json_put_u64(&json, "layout_changes", report->reorder_count);
    dyno_json_put_u64(&json, "views", report->view_count);
    dyno_json_put_u64(&json, "candidates", report->tune.candidate_count);
    dyno_json_put_u64(&json, "candidates_timed", report->tune.measured_count);
    dyno_json_put_u64(&json, "candidates_cached", report->tune.cached_count);
    if (report->whole.chain_us > 0.0F) {
        dyno_json_put_f64(&json, "graph_chain_us", (double)report->whole.chain_us);
        dyno_json_put_f64(&json, "graph_branches_us", (double)report->whole.branches_us);
    }
    dyno_json_put_f64(&json, "predicted_us",
                      (double)(report->tune.step_us + report->tune.reorder_us));
    tuning_json(report, &json);
    dyno_report_providers_json(report, &json);
    dyno_report_retime_json(&report->retime, &json);
    uint64_t total_ns = 0;
    dyno_json_put_object_begin(&json, "stage_ms");
    for (int i = 0; i < DYNO_STAGE_COUNT; i++) {
        dyno_json_put_f64(&json, dyno_build_stage_text((enum dyno_build_stage)i),
                          ms(report->stage_ns[i]));
        total_ns += report->stage_ns[i];
    }
    dyno_json_object_end(&json);
    dyno_json_put_f64(&json, "build_ms", ms(total_ns));
    dyno_report_ios_json(engine, &json);
    steps_json(engine, &json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
    dyno_strbuf_fini(&isa);
}

void dyno_report_build_text(const struct dyno_build_report *report,
                            const struct dyno_engine *engine, const char *onnx_path,
                            const char *engine_path, bool verbose)
{
    uint64_t total_ns = 0;
    uint64_t arena_bytes = 0;
    uint64_t tensor_bytes = 0;
    for (int i = 0; i < DYNO_STAGE_COUNT; i++)
        total_ns += report->stage_ns[i];
    arena_at_opt(engine, &arena_bytes, &tensor_bytes);
    printf("%s -> %s\n", onnx_path, engine_path);
    dyno_report_ios_text(engine);
    printf(
        "  nodes   %u in the model, %u after the passes, %u steps (%u layout changes, %u views)\n",
        report->onnx_node_count, report->graph_node_count, report->step_count,
        report->reorder_count, report->view_count);
    if (report->target.gpu.compute != 0)
        printf("  GPU     %s, %u programs; %u steps run on the CPU: no kernel there does them\n",
               report->target.gpu.name, report->program_count, report->cpu_step_count);
    dyno_report_precisions_text(engine);
    if (report->whole.chain_us > 0.0F)
        printf("  graph   %.1f us as a chain, %.1f us in branches: %s\n",
               (double)report->whole.chain_us, (double)report->whole.branches_us,
               (engine->plan->flags & DYNO_PLAN_BRANCHES) != 0 ? "branches" : "a chain");
    accuracy_text(engine, report, verbose);
    printf("  memory  %.1f MiB engine, %.1f MiB activations (%.1f MiB without sharing)\n",
           mib(dyno_engine_file_bytes(engine)), mib(arena_bytes), mib(tensor_bytes));
    printf("  tuning  %u candidates, %u timed, %u from the cache, %d threads\n",
           report->tune.candidate_count, report->tune.measured_count, report->tune.cached_count,
           report->target.thread_count);
    if (report->tune.clock.most_mhz > 0.0)
        printf("  clock   %.0f to %.0f MHz, %u timings repeated after it had fallen\n",
               report->tune.clock.least_mhz, report->tune.clock.most_mhz,
               report->tune.clock.repeated);
    dyno_report_providers_text(report);
    dyno_report_retime_text(&report->retime, verbose);
    if (report->tune.workspace_steps > 0)
        printf("  limit   %u steps would take %.1f us less, all together, with a workspace of %.0f "
               "MiB\n",
               report->tune.workspace_steps, (double)report->tune.workspace_us,
               ceil(mib(report->tune.workspace_bytes)));
    printf("  time    %.2f s (", (double)total_ns * 1e-9);
    for (int i = 0; i < DYNO_STAGE_COUNT; i++)
        printf("%s%s %.2f", i > 0 ? ", " : "", dyno_build_stage_text((enum dyno_build_stage)i),
               (double)report->stage_ns[i] * 1e-9);
    printf(")\n");
    for (const char *at = report->libraries; verbose && *at != 0; at += strcspn(at, "\n") + 1)
        printf("  library %.*s\n", (int)strcspn(at, "\n"), at);
    for (uint32_t i = 0; verbose && i < dyno_engine_step_count(engine); i++) {
        struct dyno_step_info step;
        dyno_engine_step(engine, i, &step);
        printf("  step %-4u %-22s %-28s %s%s%s\n", i, step.op, step.kernel,
               dyno_report_precision(engine, i), engine->plan->gpu.compute != 0 ? " " : "",
               step.name);
    }
}

/* --- latency --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double dyno_quantile(const double *sorted_us, uint64_t sample_count, double q)
{
    const double rank = q * (double)sample_count;
    uint64_t idx = (uint64_t)rank;
    idx += (double)idx < rank ? 1 : 0;
    idx = idx == 0 ? 1 : (idx > sample_count ? sample_count : idx);
    return sorted_us[idx - 1];
}

void dyno_latency_of(double *us, uint64_t sample_count, struct dyno_latency *latency_out)
{
    double sum = 0.0;
    *latency_out = (struct dyno_latency){.count = sample_count};
    if (sample_count == 0)
        return;
    qsort(us, sample_count, sizeof(*us), by_value);
    for (uint64_t i = 0; i < sample_count; i++)
        sum += us[i];
    latency_out->min_us = us[0];
    latency_out->max_us = us[sample_count - 1];
    latency_out->mean_us = sum / (double)sample_count;
    latency_out->median_us = dyno_quantile(us, sample_count, 0.5);
    latency_out->p90_us = dyno_quantile(us, sample_count, 0.90);
    latency_out->p95_us = dyno_quantile(us, sample_count, 0.95);
    latency_out->p99_us = dyno_quantile(us, sample_count, 0.99);
}

uint64_t dyno_peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}
