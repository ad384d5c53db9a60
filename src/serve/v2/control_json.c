/* control_json.c - metadata, configuration, statistics, index as JSON. */
#include "serve/v2/control.h"

size_t dyno_v2_extensions(bool has_shm, const char *const **names_out)
{
    static const char *const names[] = {
        "classification",  "model_repository",     "model_repository(unload_dependents)",
        "schedule_policy", "model_configuration",  "binary_tensor_data",
        "parameters",      "statistics",           "logging",
        "generate",        "system_shared_memory", /* last: it may be off */
    };
    *names_out = names;
    return DYNO_COUNT(names) - !has_shm;
}

#define PLATFORM "dyno_engine"

void dyno_v2_json_server(struct dyno_json_writer *json, bool has_shm)
{
    const char *const *extensions = NULL;
    const size_t count = dyno_v2_extensions(has_shm, &extensions);
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", DYNO_V2_SERVER_NAME);
    dyno_json_put_str(json, "version", DYNO_VERSION);
    dyno_json_put_strs(json, "extensions", extensions, count);
    dyno_json_object_end(json);
}

static void put_dims(struct dyno_json_writer *json, const struct dyno_v2_tensor *tensor, int from)
{
    dyno_json_array_begin(json);
    for (int i = from; i < tensor->rank; i++)
        dyno_json_i64(json, tensor->dims[i]);
    dyno_json_array_end(json);
}

static void put_tensors(struct dyno_json_writer *json, const char *key,
                        const struct dyno_v2_tensor *tensors, size_t count)
{
    dyno_json_put_array_begin(json, key);
    for (size_t i = 0; i < count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "name", tensors[i].name);
        dyno_json_put_str(json, "datatype", dyno_v2_datatype(tensors[i].dtype));
        dyno_json_key(json, "shape");
        put_dims(json, &tensors[i], 0);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

void dyno_v2_json_model(struct dyno_json_writer *json, const struct dyno_v2_model *model)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", model->name);
    dyno_json_put_strs(json, "versions", model->versions, model->version_count);
    dyno_json_put_str(json, "platform", PLATFORM);
    put_tensors(json, "inputs", model->inputs, model->input_count);
    put_tensors(json, "outputs", model->outputs, model->output_count);
    dyno_json_object_end(json);
}

/* TYPE_FP32, and TYPE_STRING for BYTES, as model_config.proto names them. */
static void put_type(struct dyno_json_writer *json, enum dyno_dtype dtype)
{
    struct dyno_strbuf text = {0};
    dyno_strbuf_printf(&text, "TYPE_%s", dtype == DYNO_STR ? "STRING" : dyno_v2_datatype(dtype));
    dyno_json_put_str(json, "data_type", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
}

static void put_config_tensors(struct dyno_json_writer *json, const struct dyno_v2_model *model,
                               bool is_input)
{
    const struct dyno_v2_tensor *tensors = is_input ? model->inputs : model->outputs;
    const size_t count = is_input ? model->input_count : model->output_count;
    dyno_json_put_array_begin(json, is_input ? "input" : "output");
    for (size_t i = 0; i < count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "name", tensors[i].name);
        put_type(json, tensors[i].dtype);
        if (is_input)
            dyno_json_put_str(json, "format", "FORMAT_NONE");
        dyno_json_key(json, "dims");
        put_dims(json, &tensors[i], model->max_batch > 0 ? 1 : 0);
        if (!is_input)
            dyno_json_put_str(json, "label_filename", model->label_files[i]);
        dyno_json_put_bool(json, "is_shape_tensor", false);
        if (is_input) {
            dyno_json_put_bool(json, "allow_ragged_batch", false);
            dyno_json_put_bool(json, "optional", false);
        }
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

static void put_instances(struct dyno_json_writer *json, const struct dyno_v2_model *model)
{
    dyno_json_put_array_begin(json, "instance_group");
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", model->name);
    dyno_json_put_str(json, "kind", "KIND_CPU");
    dyno_json_put_u64(json, "count", (uint64_t)model->instances);
    dyno_json_object_end(json);
    dyno_json_array_end(json);
}

void dyno_v2_json_config(struct dyno_json_writer *json, const struct dyno_v2_model *model)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", model->name);
    dyno_json_put_str(json, "platform", PLATFORM);
    dyno_json_put_str(json, "backend", "dyno");
    dyno_json_put_object_begin(json, "version_policy");
    dyno_json_put_object_begin(json, "specific");
    dyno_json_put_strs(json, "versions", model->versions, model->version_count);
    dyno_json_object_end(json);
    dyno_json_object_end(json);
    dyno_json_put_i64(json, "max_batch_size", model->max_batch);
    put_config_tensors(json, model, true);
    put_config_tensors(json, model, false);
    put_instances(json, model);
    if (model->max_batch > 0) {
        dyno_json_put_object_begin(json, "dynamic_batching");
        dyno_json_object_end(json);
    }
    dyno_json_put_object_begin(json, "model_transaction_policy");
    dyno_json_put_bool(json, "decoupled", false);
    dyno_json_object_end(json);
    dyno_json_object_end(json);
}

static void put_duration(struct dyno_json_writer *json, const char *key, uint64_t count,
                         uint64_t ns)
{
    dyno_json_put_object_begin(json, key);
    dyno_json_put_u64(json, "count", count);
    dyno_json_put_u64(json, "ns", ns);
    dyno_json_object_end(json);
}

static void put_batches(struct dyno_json_writer *json, const struct dyno_v2_stats *stats)
{
    dyno_json_put_array_begin(json, "batch_stats");
    for (size_t i = 0; i < stats->batch_count; i++) {
        const struct dyno_v2_batch *batch = &stats->batches[i];
        dyno_json_object_begin(json);
        dyno_json_put_u64(json, "batch_size", batch->size);
        put_duration(json, "compute_input", batch->infer.count, 0);
        put_duration(json, "compute_infer", batch->infer.count, batch->infer.ns);
        put_duration(json, "compute_output", batch->infer.count, 0);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

void dyno_v2_json_stats(struct dyno_json_writer *json, const struct dyno_v2_stats *stats)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", stats->name);
    dyno_json_put_str(json, "version", stats->version);
    dyno_json_put_u64(json, "last_inference", stats->last_ms);
    dyno_json_put_u64(json, "inference_count", stats->inference_count);
    dyno_json_put_u64(json, "execution_count", stats->execution_count);
    dyno_json_put_object_begin(json, "inference_stats");
    put_duration(json, "success", stats->success.count, stats->success.ns);
    put_duration(json, "fail", stats->fail.count, stats->fail.ns);
    put_duration(json, "queue", stats->queue.count, stats->queue.ns);
    put_duration(json, "compute_input", stats->input.count, stats->input.ns);
    put_duration(json, "compute_infer", stats->infer.count, stats->infer.ns);
    put_duration(json, "compute_output", stats->output.count, stats->output.ns);
    put_duration(json, "cache_hit", 0, 0);
    put_duration(json, "cache_miss", 0, 0);
    dyno_json_object_end(json);
    dyno_json_put_object_begin(json, "response_stats");
    dyno_json_object_end(json);
    put_batches(json, stats);
    dyno_json_put_array_begin(json, "memory_usage");
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "type", "CPU");
    dyno_json_put_u64(json, "id", 0);
    dyno_json_put_u64(json, "byte_size", stats->memory_bytes);
    dyno_json_object_end(json);
    dyno_json_array_end(json);
    dyno_json_object_end(json);
}

void dyno_v2_json_index_row(struct dyno_json_writer *json, const struct dyno_v2_index_row *row)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", row->name);
    if (row->version != NULL)
        dyno_json_put_str(json, "version", row->version);
    if (row->state[0] != 0) {
        dyno_json_put_str(json, "state", row->state);
        dyno_json_put_str(json, "reason", row->reason);
    }
    dyno_json_object_end(json);
}
