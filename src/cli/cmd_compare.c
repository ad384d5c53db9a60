/* cmd_compare.c - dyno compare: how far two executions of a model are apart. */
#include <stdio.h>
#include <string.h>

#include "base/difference.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/flags.h"
#include "cli/session.h"
#include "cli/shapes.h"
#include "ir/interpret.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_cli_list inputs;
    const char *shapes, *device;
    int64_t threads;
    double rtol;
    bool layers, json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAG_INPUTS(options),
    DYNO_FLAG_SHAPES(options, "Shapes of made-up inputs"),
    DYNO_FLAG_THREADS(options, "Threads of engines"),
    DYNO_FLAG_DEVICE(options, "The GPU that engines for one run on; else the first"),
    {.name = "--rtol",
     .value = "X",
     .help = "Largest error allowed, as a share of the output's range",
     .kind = DYNO_FLAG_F64,
     AT(rtol),
     .fallback = 1e-4,
     .min = 0,
     .max = 1e9},
    {.name = "--layers",
     .help = "Compare every tensor both executions have, in order",
     .kind = DYNO_FLAG_BOOL,
     AT(layers)},
    DYNO_FLAG_JSON(options),
};

/* One tensor of one execution, as f64. */
struct kept {
    const char *name;
    int64_t count;
    double *values;
};

struct execution {
    const char *source;
    struct dyno_arena *arena;
    struct dyno_session session;   /* of an engine or a baseline */
    struct dyno_onnx_model *model; /* of the reference */
    struct kept *outputs;
    uint32_t output_count;
    struct kept *layers;
    uint32_t layer_count, layer_capacity;
    bool keep_layers;
    bool failed; /* out of memory while keeping layers */
};

static bool keep(struct dyno_arena *arena, const char *name, enum dyno_dtype dtype,
                 const void *data, int64_t count, struct kept *out)
{
    out->name = dyno_arena_strdup(arena, name);
    out->count = count;
    out->values = dyno_arena_alloc(arena, (size_t)count + 1, sizeof(double));
    if (out->name == NULL || out->values == NULL)
        return false;
    for (int64_t i = 0; i < count; i++)
        out->values[i] = dyno_elem_load_f64(dtype, data, (size_t)i);
    return true;
}

static struct kept *new_layer(struct execution *execution)
{
    if (execution->layer_count == execution->layer_capacity) {
        const uint32_t capacity = execution->layer_capacity * 2 + 64;
        struct kept *grown =
            dyno_realloc(execution->layers, execution->layer_count * sizeof(*execution->layers),
                         capacity, sizeof(*execution->layers));
        if (grown == NULL)
            return NULL;
        execution->layers = grown;
        execution->layer_capacity = capacity;
    }
    return &execution->layers[execution->layer_count++];
}

/* Row-major index of element i of a blocked tensor's logical order. */
static double block_value(const struct dyno_buf *buf, int64_t i)
{
    int64_t inner = 1;
    for (int d = 2; d < buf->rank; d++)
        inner *= buf->dims[d];
    const int64_t pos = i % inner;
    const int64_t channel = i / inner % buf->dims[1];
    const int64_t batch = i / inner / buf->dims[1];
    const int64_t block = buf->layout.block;
    const float *data = buf->data;
    return (double)
        data[batch * buf->batch_stride + (channel / block * inner + pos) * block + channel % block];
}

static void on_tensor(void *arg, const struct dyno_plan_tensor *tensor, const struct dyno_buf *buf)
{
    struct execution *execution = arg;
    int64_t count = 0;
    if (execution->failed || !dyno_dtype_is_float(buf->dtype) ||
        !dyno_dims_count(buf->dims, buf->rank, &count))
        return;
    struct kept *layer = new_layer(execution);
    if (layer == NULL) {
        execution->failed = true;
        return;
    }
    if (buf->layout.kind == DYNO_LAYOUT_ROW) {
        execution->failed =
            !keep(execution->arena, tensor->name, buf->dtype, buf->data, count, layer);
        return;
    }
    layer->name = dyno_arena_strdup(execution->arena, tensor->name);
    layer->count = count;
    layer->values = dyno_arena_alloc(execution->arena, (size_t)count + 1, sizeof(double));
    execution->failed = layer->name == NULL || layer->values == NULL;
    for (int64_t i = 0; !execution->failed && i < count; i++)
        layer->values[i] = block_value(buf, i);
}

static void on_node(void *arg, const struct dyno_node *node, const struct dyno_tensor *outs)
{
    struct execution *execution = arg;
    for (uint32_t i = 0; i < node->out_count && !execution->failed; i++) {
        if (node->outs[i] == NULL || outs[i].data == NULL || !dyno_dtype_is_float(outs[i].dtype))
            continue;
        struct kept *layer = new_layer(execution);
        execution->failed =
            layer == NULL || !keep(execution->arena, node->outs[i]->name, outs[i].dtype,
                                   outs[i].data, dyno_tensor_count(&outs[i]), layer);
    }
}

/* --- running --- */

static enum dyno_status run_engine(struct execution *execution, const struct options *options,
                                   const struct dyno_cli_shapes *shapes, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array *inputs = NULL;
    const struct dyno_engine *engine = execution->session.engine;
    DYNO_TRY(
        dyno_session_inputs(engine, &options->inputs, '=', shapes, execution->arena, &inputs, err));
    const uint32_t count = dyno_engine_output_count(engine);
    struct dyno_array *outputs = dyno_arena_alloc(execution->arena, count + 1U, sizeof(*outputs));
    execution->outputs = dyno_arena_alloc(execution->arena, count + 1U, sizeof(struct kept));
    if (outputs == NULL || execution->outputs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(
        dyno_context_create(execution->session.engine, execution->session.pool, &context, err));
    if (execution->keep_layers)
        dyno_context_tap(context, on_tensor, execution);
    enum dyno_status status = dyno_context_run(context, inputs, outputs, err);
    for (uint32_t i = 0; i < count && status == DYNO_OK; i++) {
        struct dyno_io_info info;
        int64_t elems = 0;
        dyno_engine_output(engine, i, &info);
        (void)dyno_dims_count(outputs[i].dims, outputs[i].rank, &elems);
        if (!keep(execution->arena, info.name, (enum dyno_dtype)outputs[i].dtype, outputs[i].data,
                  elems, &execution->outputs[execution->output_count++]))
            status = DYNO_NOMEM(err);
    }
    dyno_context_destroy(context);
    return status;
}

/* The reference gets the very arrays that the other execution's engine would: built the same way.
 */
static enum dyno_status run_reference(struct execution *execution, const struct dyno_engine *like,
                                      const struct options *options,
                                      const struct dyno_cli_shapes *shapes, struct dyno_err *err)
{
    struct dyno_array *arrays = NULL;
    DYNO_TRY(
        dyno_session_inputs(like, &options->inputs, '=', shapes, execution->arena, &arrays, err));
    const struct dyno_graph *graph = dyno_onnx_model_graph(execution->model);
    struct dyno_tensor *tensors =
        dyno_arena_alloc(execution->arena, graph->input_count + 1U, sizeof(*tensors));
    const struct dyno_tensor **inputs =
        dyno_arena_alloc(execution->arena, graph->input_count + 1U, sizeof(*inputs));
    struct dyno_tensor *outputs =
        dyno_arena_alloc(execution->arena, graph->output_count + 1U, sizeof(*outputs));
    execution->outputs =
        dyno_arena_alloc(execution->arena, graph->output_count + 1U, sizeof(struct kept));
    if (tensors == NULL || inputs == NULL || outputs == NULL || execution->outputs == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < graph->input_count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < dyno_engine_input_count(like) && !found; k++) {
            struct dyno_io_info info;
            dyno_engine_input(like, k, &info);
            found = strcmp(info.name, graph->inputs[i]->name) == 0;
            tensors[i] = (struct dyno_tensor){.dtype = (enum dyno_dtype)arrays[k].dtype,
                                              .rank = arrays[k].rank,
                                              .data = arrays[k].data};
            memcpy(tensors[i].dims, arrays[k].dims, sizeof(tensors[i].dims));
        }
        if (!found)
            return DYNO_FAIL(err, DYNO_E_ARG, "the two do not have the same inputs: '%s' is in one",
                             graph->inputs[i]->name);
        inputs[i] = &tensors[i];
    }
    DYNO_TRY(dyno_graph_interpret(graph, inputs, outputs, execution->arena,
                                  execution->keep_layers ? on_node : NULL, execution, err));
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (!keep(execution->arena, graph->outputs[i]->name, outputs[i].dtype, outputs[i].data,
                  dyno_tensor_count(&outputs[i]), &execution->outputs[execution->output_count++]))
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

/* The other side may well be one for the CPU. */
static enum dyno_status is_for_gpu(const char *path, bool *is_for_gpu_out, struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    DYNO_TRY(dyno_engine_inspect(path, &engine, err));
    *is_for_gpu_out = dyno_engine_device_name(engine)[0] != 0;
    dyno_engine_close(engine);
    return DYNO_OK;
}

static enum dyno_status open_execution(struct execution *execution, const struct options *options,
                                       const struct dyno_cli_shapes *shapes, struct dyno_err *err)
{
    const char *path = execution->source;
    const bool is_baseline = strncmp(path, "baseline:", 9) == 0;
    path += is_baseline ? 9 : 0;
    execution->arena = dyno_arena_create();
    if (execution->arena == NULL)
        return DYNO_NOMEM(err);
    execution->keep_layers = options->layers;
    if (dyno_is_onnx_path(path) && !is_baseline) {
        struct dyno_findings findings = {0};
        const struct dyno_onnx_options import_options = {.problem = dyno_findings_add,
                                                         .problem_arg = &findings};
        const enum dyno_status status =
            dyno_onnx_import(path, &import_options, &execution->model, err);
        dyno_findings_end(&findings, err);
        DYNO_TRY(status);
    }
    bool on_gpu = false;
    if (options->device != NULL && !dyno_is_onnx_path(path))
        DYNO_TRY(is_for_gpu(path, &on_gpu, err));
    const struct dyno_session_options session = {
        .device = on_gpu ? options->device : NULL,
        .engine_path = dyno_is_onnx_path(path) ? NULL : path,
        .onnx_path = dyno_is_onnx_path(path) ? path : NULL,
        .baseline = dyno_is_onnx_path(path),
        .threads = (int)options->threads,
        .profile = shapes->items,
        .profile_count = shapes->count,
    };
    return dyno_session_open(&session, &execution->session, err);
}

static void close_execution(struct execution *execution)
{
    /* What was kept while the engine ran is on its account: it goes before the engine. */
    dyno_free(execution->layers);
    dyno_arena_destroy(execution->arena);
    dyno_session_close(&execution->session);
    dyno_onnx_model_close(execution->model);
}

/* --- comparing --- */

static struct dyno_difference compare(const struct kept *a, const struct kept *b)
{
    return dyno_difference_of(a->values, a->count, b->values, b->count);
}

static void print_row(struct dyno_json_writer *json, bool as_json, const char *name,
                      const struct dyno_difference *diff, bool ok)
{
    if (!as_json && diff->counts_differ) {
        printf("BAD  %-44s has %lld elements in one, %lld in the other\n", name,
               (long long)diff->counts[0], (long long)diff->counts[1]);
        return;
    }
    if (!as_json) {
        printf("%-4s %-44s max |difference| %-12.6g of range %-12.6g = %.3g\n", ok ? "ok" : "BAD",
               name, diff->max_abs, diff->range, diff->relative);
        return;
    }
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", name);
    dyno_json_put_f64(json, "max_abs", diff->max_abs);
    dyno_json_put_f64(json, "range", diff->range);
    dyno_json_put_f64(json, "relative", diff->relative);
    dyno_json_put_bool(json, "ok", ok);
    dyno_json_object_end(json);
}

static const struct kept *find_layer(const struct execution *execution, const char *name)
{
    for (uint32_t i = 0; i < execution->layer_count; i++) {
        if (strcmp(execution->layers[i].name, name) == 0)
            return &execution->layers[i];
    }
    return NULL;
}

static enum dyno_status report(const struct options *options, const struct execution *a,
                               const struct execution *b, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    const char *first_bad_layer = NULL;
    uint32_t bad_outputs = 0;
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "layers");
    for (uint32_t i = 0; options->layers && i < b->layer_count; i++) {
        const struct kept *other = find_layer(a, b->layers[i].name);
        if (other == NULL)
            continue;
        const struct dyno_difference diff = compare(other, &b->layers[i]);
        const bool ok = diff.relative <= options->rtol;
        if (!ok && first_bad_layer == NULL)
            first_bad_layer = b->layers[i].name;
        print_row(&json, options->json, b->layers[i].name, &diff, ok);
    }
    dyno_json_array_end(&json);
    dyno_json_put_array_begin(&json, "outputs");
    for (uint32_t i = 0; i < a->output_count && i < b->output_count; i++) {
        const struct dyno_difference diff = compare(&a->outputs[i], &b->outputs[i]);
        const bool ok = diff.relative <= options->rtol;
        bad_outputs += !ok;
        print_row(&json, options->json, a->outputs[i].name, &diff, ok);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    if (options->json && dyno_strbuf_ok(&text))
        printf("%s\n", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    if (first_bad_layer != NULL && !options->json)
        printf("first bad layer: %s\n", first_bad_layer);
    if (a->output_count != b->output_count)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "one has %u outputs, the other %u", a->output_count,
                         b->output_count);
    if (bad_outputs != 0)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "%u of %u outputs differ by more than %g of their range", bad_outputs,
                         a->output_count, options->rtol);
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    struct execution executions[2] = {{.source = options->positional.items[0]},
                                      {.source = options->positional.items[1]}};
    struct dyno_cli_shapes shapes;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status =
        dyno_cli_shapes(options->shapes, NULL, NULL, NULL, arena, &shapes, err);
    for (int i = 0; i < 2 && status == DYNO_OK; i++) {
        struct execution *execution = &executions[i];
        status = open_execution(execution, options, &shapes, err);
        if (status == DYNO_OK && execution->model != NULL)
            status = run_reference(execution, execution->session.engine, options, &shapes, err);
        else if (status == DYNO_OK)
            status = run_engine(execution, options, &shapes, err);
        if (status == DYNO_OK && execution->failed)
            status = DYNO_NOMEM(err);
    }
    if (status == DYNO_OK)
        status = report(options, &executions[0], &executions[1], err);
    close_execution(&executions[1]);
    close_execution(&executions[0]);
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_compare = {
    .name = "compare",
    .summary = "Compare two executions of a model: reference, baseline or engine",
    .positional = "A B",
    .positional_min = 2,
    .positional_max = 2,
    .text = "A and B are each an engine file, MODEL.onnx (the slow reference meaning of every "
            "operator) or baseline:MODEL.onnx (the unoptimised execution). Exits with 1 when an "
            "output differs by more than --rtol of its range.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
