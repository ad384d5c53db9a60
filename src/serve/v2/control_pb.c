/* control_pb.c - metadata, configuration, statistics, index as protobuf (grpc_service.proto,
 * model_config.proto). */
#include <string.h>

#include "base/pbwire.h"
#include "serve/v2/control.h"

/* A nested message: written aside, then put as a field.  Control calls are rare. */
static void put_message(struct dyno_strbuf *out, uint32_t number, struct dyno_strbuf *message)
{
    if (!dyno_strbuf_ok(message))
        out->failed = true;
    dyno_pb_put_bytes(out, number, dyno_strbuf_text(message), message->bytes);
    dyno_strbuf_fini(message);
}

void dyno_v2_pb_server(struct dyno_strbuf *out)
{
    dyno_pb_put_text(out, 1, DYNO_V2_SERVER_NAME);
    dyno_pb_put_text(out, 2, DYNO_VERSION);
    for (size_t i = 0; i < dyno_v2_extension_count; i++)
        dyno_pb_put_text(out, 3, dyno_v2_extensions[i]);
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
    put_message(out, number, &message);
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

static void put_config_tensor(struct dyno_strbuf *out, uint32_t number,
                              const struct dyno_v2_tensor *tensor, uint32_t dims_number, int from)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, tensor->name);
    dyno_pb_put_varint(&message, 2, config_type(tensor->dtype));
    put_dims(&message, dims_number, tensor, from);
    put_message(out, number, &message);
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
    dyno_pb_put_varint(&config, 4, (uint64_t)model->max_batch);
    for (size_t i = 0; i < model->input_count; i++)
        put_config_tensor(&config, 5, &model->inputs[i], 4, from);
    for (size_t i = 0; i < model->output_count; i++)
        put_config_tensor(&config, 6, &model->outputs[i], 3, from);
    dyno_pb_put_text(&group, 1, model->name);
    dyno_pb_put_varint(&group, 2, (uint64_t)model->instances);
    dyno_pb_put_varint(&group, 4, 2); /* KIND_CPU */
    put_message(&config, 7, &group);
    if (model->max_batch > 0)
        put_message(&config, 11, &none); /* dynamic_batching */
    dyno_pb_put_text(&config, 17, "dyno");
    put_message(out, 1, &config);
}

static void put_duration(struct dyno_strbuf *out, uint32_t number,
                         const struct dyno_v2_duration *duration)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_varint(&message, 1, duration->count);
    dyno_pb_put_varint(&message, 2, duration->ns);
    put_message(out, number, &message);
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
    put_message(out, 7, &message);
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
    put_message(&model, 6, &infer);
    for (size_t i = 0; i < stats->batch_count; i++)
        put_batch(&model, &stats->batches[i]);
    dyno_pb_put_text(&memory, 1, "CPU");
    dyno_pb_put_varint(&memory, 3, stats->memory_bytes);
    put_message(&model, 8, &memory);
    put_message(out, 1, &model);
}

/* RepositoryIndexResponse{models = 1}. */
void dyno_v2_pb_index_row(struct dyno_strbuf *out, const struct dyno_v2_index_row *row)
{
    struct dyno_strbuf message = {0};
    dyno_pb_put_text(&message, 1, row->name);
    if (row->version != NULL) {
        dyno_pb_put_text(&message, 2, row->version);
        dyno_pb_put_text(&message, 3, row->state);
        dyno_pb_put_text(&message, 4, row->reason);
    }
    put_message(out, 1, &message);
}

static enum dyno_status take_name(const struct dyno_pb_field *field, struct dyno_arena *arena,
                                  const char **text_out, struct dyno_err *err)
{
    const char *text = NULL;
    size_t bytes = 0;
    DYNO_TRY(dyno_pb_bytes(field, &text, &bytes, err));
    if (bytes > DYNO_V2_TEXT_BYTES_MAX || (bytes > 0 && memchr(text, 0, bytes) != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "a name of too many bytes or with a zero byte");
    *text_out = dyno_arena_strndup(arena, text, bytes);
    return *text_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_v2_pb_names(const void *body, size_t bytes, struct dyno_arena *arena,
                                  struct dyno_v2_names *names_out, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    *names_out = (struct dyno_v2_names){.first = "", .second = ""};
    dyno_pb_init(&reader, body, bytes);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(take_name(&field, arena, &names_out->first, err));
        else if (field.number == 2 && field.wire == DYNO_PB_VARINT)
            names_out->ready = field.value != 0;
        else if (field.number == 2)
            DYNO_TRY(take_name(&field, arena, &names_out->second, err));
    }
}
