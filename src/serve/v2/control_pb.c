/* control_pb.c - metadata, configuration, statistics, index as protobuf (grpc_service.proto,
 * model_config.proto). */
#include <stdlib.h>

#include "serve/v2/control.h"
#include "serve/v2/pb_part.h"

void dyno_v2_pb_server(struct dyno_strbuf *out, bool has_shm)
{
    const char *const *extensions = NULL;
    const size_t count = dyno_v2_extensions(has_shm, &extensions);
    dyno_pb_put_text(out, 1, DYNO_V2_SERVER_NAME);
    dyno_pb_put_text(out, 2, DYNO_VERSION);
    for (size_t i = 0; i < count; i++)
        dyno_pb_put_text(out, 3, extensions[i]);
}

static void put_dims(struct dyno_strbuf *out, uint32_t number, const struct dyno_v2_tensor *tensor,
                     int from)
{
    char packed[DYNO_RANK_MAX * DYNO_PB_VARINT_BYTES_MAX];
    size_t bytes = 0;
    for (int i = from; i < tensor->rank; i++)
        bytes += dyno_pb_varint((uint64_t)tensor->dims[i], packed + bytes);
    if (bytes > 0)
        dyno_pb_put_bytes(out, number, packed, bytes);
}

static void put_tensor(struct dyno_strbuf *out, uint32_t number,
                       const struct dyno_v2_tensor *tensor)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, tensor->name);
    dyno_pb_put_text(&message, 2, dyno_v2_datatype(tensor->dtype));
    put_dims(&message, 3, tensor, 0);
    dyno_v2_pb_put_message(out, number, &message);
}

void dyno_v2_pb_model(struct dyno_strbuf *out, const struct dyno_v2_model *model)
{
    dyno_pb_put_text(out, 1, model->name);
    for (size_t i = 0; i < model->version_count; i++)
        dyno_pb_put_text(out, 2, model->versions[i]);
    dyno_pb_put_text(out, 3, "dyno_engine");
    for (size_t i = 0; i < model->input_count; i++)
        put_tensor(out, 4, &model->inputs[i]);
    for (size_t i = 0; i < model->output_count; i++)
        put_tensor(out, 5, &model->outputs[i]);
}

/* inference.DataType of model_config.proto. */
static uint64_t config_type(enum dyno_dtype dtype)
{
    static const enum dyno_dtype types[] = {
        DYNO_DTYPE_NONE, DYNO_BOOL, DYNO_U8,  DYNO_U16, DYNO_U32, DYNO_U64, DYNO_I8,  DYNO_I16,
        DYNO_I32,        DYNO_I64,  DYNO_F16, DYNO_F32, DYNO_F64, DYNO_STR, DYNO_BF16};
    for (size_t i = 1; i < DYNO_COUNT(types); i++)
        if (types[i] == dtype)
            return i;
    return 0;
}

/* ModelInput: dims = 4. */
static void put_config_input(struct dyno_strbuf *out, const struct dyno_v2_tensor *tensor, int from)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, tensor->name);
    dyno_pb_put_varint(&message, 2, config_type(tensor->dtype));
    put_dims(&message, 4, tensor, from);
    dyno_v2_pb_put_message(out, 5, &message);
}

/* ModelOutput: dims = 3, label_filename = 4. */
static void put_config_output(struct dyno_strbuf *out, const struct dyno_v2_tensor *tensor,
                              const char *label_file, int from)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, tensor->name);
    dyno_pb_put_varint(&message, 2, config_type(tensor->dtype));
    put_dims(&message, 3, tensor, from);
    if (label_file[0] != 0)
        dyno_pb_put_text(&message, 4, label_file);
    dyno_v2_pb_put_message(out, 6, &message);
}

/* ModelVersionPolicy{specific = 3{versions = 1}}. */
static void put_versions(struct dyno_strbuf *out, const struct dyno_v2_model *model)
{
    struct dyno_strbuf specific = {0};
    struct dyno_strbuf policy = {0};
    for (size_t i = 0; i < model->version_count; i++)
        dyno_pb_put_varint(&specific, 1, strtoull(model->versions[i], NULL, 10));
    dyno_v2_pb_put_message(&policy, 3, &specific);
    dyno_v2_pb_put_message(out, 3, &policy);
}

/* ModelConfigResponse{config = 1}, ModelConfig. */
void dyno_v2_pb_config(struct dyno_strbuf *out, const struct dyno_v2_model *model)
{
    struct dyno_strbuf config = {0};
    struct dyno_strbuf group = {0};
    struct dyno_strbuf none = {0};
    const int from = model->max_batch > 0 ? 1 : 0;
    dyno_pb_put_text(&config, 1, model->name);
    dyno_pb_put_text(&config, 2, "dyno_engine");
    put_versions(&config, model);
    dyno_pb_put_varint(&config, 4, (uint64_t)model->max_batch);
    for (size_t i = 0; i < model->input_count; i++)
        put_config_input(&config, &model->inputs[i], from);
    for (size_t i = 0; i < model->output_count; i++)
        put_config_output(&config, &model->outputs[i], model->label_files[i], from);
    dyno_pb_put_text(&group, 1, model->name);
    dyno_pb_put_varint(&group, 2, (uint64_t)model->instances);
    dyno_pb_put_varint(&group, 4, 2); /* KIND_CPU */
    dyno_v2_pb_put_message(&config, 7, &group);
    if (model->max_batch > 0)
        dyno_v2_pb_put_message(&config, 11, &none); /* dynamic_batching */
    dyno_pb_put_text(&config, 17, "dyno");
    dyno_v2_pb_put_message(&config, 19, &none); /* model_transaction_policy: not decoupled */
    dyno_v2_pb_put_message(out, 1, &config);
}

static void put_duration(struct dyno_strbuf *out, uint32_t number,
                         const struct dyno_v2_duration *duration)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_varint(&message, 1, duration->count);
    dyno_pb_put_varint(&message, 2, duration->ns);
    dyno_v2_pb_put_message(out, number, &message);
}

/* InferBatchStatistics: batch_size = 1, compute_input = 2, compute_infer = 3, compute_output = 4.
 */
static void put_batch(struct dyno_strbuf *out, const struct dyno_v2_batch *batch)
{
    const struct dyno_v2_duration none = {.count = batch->infer.count};
    struct dyno_strbuf message = {0};
    dyno_pb_put_varint(&message, 1, batch->size);
    put_duration(&message, 2, &none);
    put_duration(&message, 3, &batch->infer);
    put_duration(&message, 4, &none);
    dyno_v2_pb_put_message(out, 7, &message);
}

/* ModelStatisticsResponse{model_stats = 1}. */
void dyno_v2_pb_stats(struct dyno_strbuf *out, const struct dyno_v2_stats *stats)
{
    static const struct dyno_v2_duration none;
    struct dyno_strbuf model = {0};
    struct dyno_strbuf infer = {0};
    struct dyno_strbuf memory = {0};
    dyno_pb_put_text(&model, 1, stats->name);
    dyno_pb_put_text(&model, 2, stats->version);
    dyno_pb_put_varint(&model, 3, stats->last_ms);
    dyno_pb_put_varint(&model, 4, stats->inference_count);
    dyno_pb_put_varint(&model, 5, stats->execution_count);
    put_duration(&infer, 1, &stats->success);
    put_duration(&infer, 2, &stats->fail);
    put_duration(&infer, 3, &stats->queue);
    put_duration(&infer, 4, &stats->input);
    put_duration(&infer, 5, &stats->infer);
    put_duration(&infer, 6, &stats->output);
    put_duration(&infer, 7, &none);
    put_duration(&infer, 8, &none);
    dyno_v2_pb_put_message(&model, 6, &infer);
    for (size_t i = 0; i < stats->batch_count; i++)
        put_batch(&model, &stats->batches[i]);
    dyno_pb_put_text(&memory, 1, "CPU");
    dyno_pb_put_varint(&memory, 3, stats->memory_bytes);
    dyno_v2_pb_put_message(&model, 8, &memory);
    dyno_v2_pb_put_message(out, 1, &model);
}

/* RepositoryIndexResponse{models = 1}. */
void dyno_v2_pb_index_row(struct dyno_strbuf *out, const struct dyno_v2_index_row *row)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, row->name);
    if (row->version != NULL)
        dyno_pb_put_text(&message, 2, row->version);
    if (row->state[0] != 0) {
        dyno_pb_put_text(&message, 3, row->state);
        dyno_pb_put_text(&message, 4, row->reason);
    }
    dyno_v2_pb_put_message(out, 1, &message);
}

/* ModelRepositoryParameter{bool = 1, int64 = 2, string = 3, bytes = 4}. */
static enum dyno_status take_value(const struct dyno_pb_reader *outer,
                                   const struct dyno_pb_field *value, struct dyno_arena *arena,
                                   struct dyno_v2_param *param, struct dyno_err *err)
{
    struct dyno_pb_field field;
    const char *bytes = NULL;
    size_t byte_count = 0;
    DYNO_TRY(dyno_pb_bytes(value, &bytes, &byte_count, err));
    struct dyno_pb_reader reader = dyno_pb_nested(outer, value);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1 || field.number == 2) {
            DYNO_TRY(dyno_pb_i64(&field, &param->integer, err));
            param->kind = field.number == 1 ? DYNO_V2_PARAM_BOOL : DYNO_V2_PARAM_INT;
            param->boolean = param->integer != 0;
        } else if (field.number == 3 || field.number == 4) {
            param->kind = DYNO_V2_PARAM_TEXT;
            param->text = "";
        }
        if (field.number == 3)
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &param->text, err));
    }
}

/* An entry of map<string, ModelRepositoryParameter>. */
static enum dyno_status take_parameter(const struct dyno_pb_reader *outer,
                                       const struct dyno_pb_field *entry, struct dyno_arena *arena,
                                       struct dyno_v2_param *param, struct dyno_err *err)
{
    struct dyno_pb_field field;
    const char *bytes = NULL;
    size_t byte_count = 0;
    DYNO_TRY(dyno_pb_bytes(entry, &bytes, &byte_count, err));
    struct dyno_pb_reader reader = dyno_pb_nested(outer, entry);
    param->name = param->text = "";
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &param->name, err));
        else if (field.number == 2)
            DYNO_TRY(take_value(&reader, &field, arena, param, err));
    }
}

enum dyno_status dyno_v2_pb_names(const void *body, size_t bytes, struct dyno_arena *arena,
                                  struct dyno_v2_names *names_out, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    size_t count = 0;
    *names_out = (struct dyno_v2_names){.first = "", .second = ""};
    dyno_pb_init(&reader, body, bytes);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1) {
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &names_out->first, err));
        } else if (field.number == 2 && field.wire == DYNO_PB_VARINT) {
            names_out->ready = field.value != 0;
        } else if (field.number == 2) {
            DYNO_TRY(dyno_v2_pb_text(&field, arena, &names_out->second, err));
        } else if (field.number == 3) {
            struct dyno_v2_param *param = dyno_arena_alloc(arena, 1, sizeof(*param));
            if (param == NULL)
                return DYNO_NOMEM(err);
            if (count++ == DYNO_V2_PARAMS_MAX)
                return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d parameters", DYNO_V2_PARAMS_MAX);
            DYNO_TRY(take_parameter(&reader, &field, arena, param, err));
            param->next = names_out->params;
            names_out->params = param;
        }
    }
}
