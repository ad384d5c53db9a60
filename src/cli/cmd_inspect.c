/* cmd_inspect.c - dyno inspect: what is in a model or an engine, what this build makes of it, and
 * what a GPU is to builds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/libraries.h"
#include "backend/cuda/nvrtc.h"
#include "base/json.h"
#include "cli/flags.h"
#include "cli/report.h"
#include "cli/session.h"

struct options {
    struct dyno_cli_list positional;
    bool json;
};

static const struct dyno_flag flags[] = {DYNO_FLAG_JSON(options)};

/* --- model --- */

static void value_text(const struct dyno_graph *graph, const struct dyno_value *value,
                       struct dyno_strbuf *out)
{
    dyno_strbuf_printf(out, "%s[", dyno_dtype_text(value->type.dtype));
    if (value->type.rank < 0)
        dyno_strbuf_puts(out, "?");
    for (int i = 0; i < value->type.rank; i++) {
        dyno_strbuf_puts(out, i > 0 ? ", " : "");
        dyno_expr_print(graph->exprs, value->type.dims[i], out);
    }
    dyno_strbuf_puts(out, "]");
}

static void values_json(const struct dyno_graph *graph, const char *key,
                        struct dyno_value *const *values, uint32_t count,
                        struct dyno_json_writer *json)
{
    dyno_json_put_object_begin(json, key);
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_strbuf type = {0};
        value_text(graph, values[i], &type);
        dyno_json_put_str(json, values[i]->name, dyno_strbuf_text(&type));
        dyno_strbuf_fini(&type);
    }
    dyno_json_object_end(json);
}

static void values_print(const struct dyno_graph *graph, const char *what,
                         struct dyno_value *const *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_strbuf type = {0};
        value_text(graph, values[i], &type);
        printf("  %-7s %-24s %s\n", what, values[i]->name, dyno_strbuf_text(&type));
        dyno_strbuf_fini(&type);
    }
}

static enum dyno_status inspect_model(const struct options *options, const char *path,
                                      struct dyno_err *err)
{
    struct dyno_onnx_model *model = NULL;
    struct dyno_findings findings = {0};
    const struct dyno_onnx_options import_options = {.problem = dyno_findings_add,
                                                     .problem_arg = &findings};
    uint32_t counts[DYNO_OP_COUNT] = {0};
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    enum dyno_status status = dyno_onnx_import(path, &import_options, &model, err);
    dyno_findings_end(&findings, err);
    DYNO_TRY(status);
    const struct dyno_graph *graph = dyno_onnx_model_graph(model);
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        counts[node->op]++;
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "model", path);
    dyno_json_put_str(&json, "producer", dyno_onnx_model_producer(model));
    dyno_json_put_i64(&json, "opset", dyno_onnx_model_opset(model));
    dyno_json_put_u64(&json, "nodes", graph->node_count);
    dyno_json_put_object_begin(&json, "metadata");
    for (uint32_t i = 0; i < dyno_onnx_model_metadata_count(model); i++) {
        const char *key = NULL;
        const char *value = NULL;
        dyno_onnx_model_metadata(model, i, &key, &value);
        dyno_json_put_str(&json, key, value);
    }
    dyno_json_object_end(&json);
    values_json(graph, "inputs", graph->inputs, graph->input_count, &json);
    values_json(graph, "outputs", graph->outputs, graph->output_count, &json);
    dyno_json_put_object_begin(&json, "ops");
    if (!options->json) {
        printf("%s: opset %d, made by '%s', %u nodes, %.1f MiB\n", path,
               dyno_onnx_model_opset(model), dyno_onnx_model_producer(model), graph->node_count,
               (double)dyno_onnx_model_file_bytes(model) / 1048576.0);
        values_print(graph, "input", graph->inputs, graph->input_count);
        values_print(graph, "output", graph->outputs, graph->output_count);
    }
    for (int op = 0; op < DYNO_OP_COUNT; op++) {
        if (counts[op] == 0)
            continue;
        dyno_json_put_u64(&json, dyno_ops[op]->onnx_name, counts[op]);
        if (!options->json)
            printf("  %6u  %s\n", counts[op], dyno_ops[op]->onnx_name);
    }
    dyno_json_object_end(&json);
    dyno_json_object_end(&json);
    if (options->json)
        status = dyno_cli_print(&text, err);
    dyno_strbuf_fini(&text);
    dyno_onnx_model_close(model);
    return status;
}

/* --- engine --- */

static enum dyno_status engine_json(const struct dyno_engine *engine, const char *path,
                                    const char *identity, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "engine", path);
    dyno_json_put_str(&json, "sha256", identity);
    dyno_json_put_u64(&json, "bytes", dyno_engine_file_bytes(engine));
    dyno_report_precisions_json(engine, &json);
    dyno_report_accuracy_json(engine, &json);
    dyno_report_ios_json(engine, &json);
    dyno_json_put_array_begin(&json, "steps");
    for (uint32_t i = 0; i < dyno_engine_step_count(engine); i++) {
        struct dyno_step_info step;
        dyno_engine_step(engine, i, &step);
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "Name", step.name);
        dyno_json_put_str(&json, "LayerType", step.op);
        dyno_json_put_str(&json, "TacticName", step.kernel);
        if (dyno_report_precision(engine, i)[0] != 0)
            dyno_json_put_str(&json, "Precision", dyno_report_precision(engine, i));
        dyno_json_put_strs(&json, "Metadata", step.origins, step.origin_count);
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

static enum dyno_status inspect_engine(const struct options *options, const char *path,
                                       struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    uint8_t digest[32] = {0};
    char identity[65] = "";
    DYNO_TRY(dyno_engine_inspect(path, &engine, err));
    enum dyno_status status = dyno_engine_identity(engine, digest, err);
    for (int i = 0; i < 32; i++)
        (void)snprintf(identity + (size_t)2 * i, 3, "%02x", digest[i]);
    if (status == DYNO_OK && options->json) {
        status = engine_json(engine, path, identity, err);
    } else if (status == DYNO_OK) {
        printf("%s: %.1f MiB, %u steps, sha256 %s\n", path,
               (double)dyno_engine_file_bytes(engine) / 1048576.0, dyno_engine_step_count(engine),
               identity);
        if (dyno_engine_warning(engine)[0] != 0)
            printf("  warning %s\n", dyno_engine_warning(engine));
        dyno_report_ios_text(engine);
        dyno_report_precisions_text(engine);
        dyno_report_accuracy_text(engine);
        for (uint32_t i = 0; i < dyno_engine_step_count(engine); i++) {
            struct dyno_step_info step;
            dyno_engine_step(engine, i, &step);
            printf("  step %-4u %-22s %-28s %s%s%s\n", i, step.op, step.kernel,
                   dyno_report_precision(engine, i), engine->plan->gpu.compute != 0 ? " " : "",
                   step.name);
        }
    }
    dyno_engine_close(engine);
    return status;
}

/* --- capability --- */

/* What each step of the built engine runs on; the steps without a fast kernel are what matters. */
static enum dyno_status inspect_capability(const struct options *options, const char *path,
                                           struct dyno_err *err)
{
    struct dyno_session session;
    const struct dyno_session_options how = {.onnx_path = path, .level = 0, .threads = 1};
    DYNO_TRY(dyno_session_open(&how, &session, err));
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    const uint32_t count = dyno_engine_step_count(session.engine);
    uint32_t slow = 0;
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "without_fast_kernel");
    for (uint32_t i = 0; i < count; i++) {
        const struct dyno_step *step = &session.engine->plan->steps[i];
        if ((step->tactic.flags & DYNO_TACTIC_REFERENCE) == 0)
            continue;
        slow++;
        dyno_json_str(&json, step->name);
        if (!options->json)
            printf("  %-22s %s runs on its reference meaning\n", dyno_ops[step->op]->onnx_name,
                   step->name);
    }
    dyno_json_array_end(&json);
    dyno_json_put_u64(&json, "steps", count);
    dyno_json_object_end(&json);
    if (!options->json)
        printf("%s: %u of %u steps have a fast kernel on this machine\n", path, count - slow,
               count);
    enum dyno_status status = DYNO_OK;
    if (options->json)
        status = dyno_cli_print(&text, err);
    dyno_strbuf_fini(&text);
    dyno_session_close(&session);
    return status;
}

/* --- device --- */

/* What a build uses beside the driver. */
struct tool {
    const char *key, *name;
    bool is_there;
    char version[DYNO_LIBRARY_VERSION_TEXT];
    struct dyno_err why_not;
};

#define TOOLS_MAX DYNO_LIBRARY_COUNT /* NVRTC in the place of NONE */

static void cuda_version_text(int version, char text_out[DYNO_LIBRARY_VERSION_TEXT])
{
    (void)snprintf(text_out, DYNO_LIBRARY_VERSION_TEXT, "%d.%d", version / 1000,
                   version % 1000 / 10);
}

static void find_tools(struct tool tools[TOOLS_MAX])
{
    static const char *const keys[TOOLS_MAX] = {
#define DYNO_LIBRARY(name) [DYNO_LIBRARY_##name] = #name,
#include "backend/cuda/libraries.def"
#undef DYNO_LIBRARY
    };
    int nvrtc = 0;
    tools[0] = (struct tool){.key = "nvrtc", .name = "NVRTC"};
    tools[0].is_there = dyno_nvrtc_version(&nvrtc, &tools[0].why_not) == DYNO_OK;
    cuda_version_text(nvrtc, tools[0].version);
    for (int i = DYNO_LIBRARY_NONE + 1; i < TOOLS_MAX; i++) {
        const struct dyno_cuda_library *library = dyno_cuda_library_of((enum dyno_library)i);
        uint32_t version = 0;
        tools[i] = (struct tool){.key = keys[i], .name = library->name};
        tools[i].is_there = library->version(&version, &tools[i].why_not) == DYNO_OK;
        dyno_library_version_text(version, tools[i].version);
    }
}

/* Nothing in it changes by itself (the card's free memory, its clock), nor with its number. */
static enum dyno_status device_json(const struct dyno_gpu *gpu, const struct tool tools[TOOLS_MAX],
                                    struct dyno_err *err)
{
    char compute[DYNO_LIBRARY_VERSION_TEXT];
    char driver[DYNO_LIBRARY_VERSION_TEXT];
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    (void)snprintf(compute, sizeof(compute), "%d.%d", gpu->compute / 10, gpu->compute % 10);
    cuda_version_text(gpu->driver_version, driver);
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "name", gpu->name);
    dyno_json_put_str(&json, "compute", compute);
    dyno_json_put_i64(&json, "multiprocessors", gpu->sm_count);
    dyno_json_put_u64(&json, "memory_bytes", gpu->memory_bytes);
    dyno_json_put_str(&json, "driver", driver);
    for (int i = 0; i < TOOLS_MAX; i++) {
        dyno_json_key(&json, tools[i].key);
        if (tools[i].is_there)
            dyno_json_str(&json, tools[i].version);
        else
            dyno_json_null(&json);
    }
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

/* What builds for it depend on. */
static enum dyno_status inspect_device(const struct options *options, const char *device,
                                       struct dyno_err *err)
{
    struct tool tools[TOOLS_MAX];
    struct dyno_cuda *cuda = NULL;
    int ordinal = 0;
    if (!dyno_cuda_ordinal(device, &ordinal))
        return DYNO_FAIL(err, DYNO_E_ARG, "'%.64s' names no GPU: wants cuda or cuda:N", device);
    DYNO_TRY(dyno_cuda_open(ordinal, &cuda, err));
    const struct dyno_gpu gpu = cuda->gpu;
    dyno_cuda_close(cuda);
    find_tools(tools);
    if (options->json)
        return device_json(&gpu, tools, err);
    printf("%s: %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n", device, gpu.name,
           gpu.compute / 10, gpu.compute % 10, gpu.sm_count,
           (double)gpu.memory_bytes / 1073741824.0);
    printf("  driver for CUDA %d.%d\n", gpu.driver_version / 1000, gpu.driver_version % 1000 / 10);
    for (int i = 0; i < TOOLS_MAX; i++) {
        if (tools[i].is_there)
            printf("  %s %s\n", tools[i].name, tools[i].version);
        else
            printf("  no %s: %s\n", tools[i].name, tools[i].why_not.text);
    }
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    static const struct {
        const char *what;
        enum dyno_status (*inspect)(const struct options *, const char *, struct dyno_err *);
    } rows[] = {{"model", inspect_model},
                {"engine", inspect_engine},
                {"capability", inspect_capability},
                {"device", inspect_device}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if (strcmp(options->positional.items[0], rows[i].what) == 0)
            return rows[i].inspect(options, options->positional.items[1], err);
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "it knows model, engine, capability and device, not '%s'",
                     options->positional.items[0]);
}

const struct dyno_command dyno_command_inspect = {
    .name = "inspect",
    .summary = "Show what is in a model or an engine, what lacks a fast kernel, or what a GPU is",
    .positional = "model|engine|capability FILE | device cuda[:N]",
    .positional_min = 2,
    .positional_max = 2,
    .text = "`device` tells what engines for a GPU depend on: the card, its driver, the run-time "
            "compiler and NVIDIA's libraries as `dyno build` finds them. Where --json says the "
            "same on two machines, an engine of one is as good on the other.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
