/* pb_decode.c - inference.ModelInferRequest (Triton, grpc_service.proto). */
#include <string.h>

#include "serve/v2/pb_part.h"

enum request_field {
    REQUEST_MODEL_NAME = 1,
    REQUEST_MODEL_VERSION = 2,
    REQUEST_ID = 3,
    REQUEST_PARAMETERS = 4,
    REQUEST_INPUTS = 5,
    REQUEST_OUTPUTS = 6,
    REQUEST_RAW_INPUT_CONTENTS = 7,
};

enum tensor_field {
    TENSOR_NAME = 1,
    TENSOR_DATATYPE = 2,
    TENSOR_SHAPE = 3,
    TENSOR_PARAMETERS = 4,
    TENSOR_CONTENTS = 5,
};

struct decoder {
    struct dyno_arena *arena;
    struct dyno_v2_memory *memory;
    struct dyno_err *err;
    struct dyno_pb_reader message;
};

static enum dyno_status next(struct decoder *decoder, struct dyno_pb_reader *reader,
                             struct dyno_pb_field *field, bool *more)
{
    return dyno_pb_next(reader, field, more, decoder->err);
}

static enum dyno_status want_bytes(struct decoder *decoder, const struct dyno_pb_field *field)
{
    const char *text = NULL;
    size_t bytes = 0;
    return dyno_pb_bytes(field, &text, &bytes, decoder->err);
}

static enum dyno_status take_text(struct decoder *decoder, const struct dyno_pb_field *field,
                                  const char **text_out)
{
    return dyno_v2_pb_text(field, decoder->arena, text_out, decoder->err);
}

/* --- parameters: entries of map<string, InferParameter> --- */

static enum dyno_status take_value(struct decoder *decoder, const struct dyno_pb_field *value,
                                   struct dyno_v2_param *param, bool *has_value)
{
    static const enum dyno_v2_param_kind kinds[] = {
        [1] = DYNO_V2_PARAM_BOOL,   [2] = DYNO_V2_PARAM_INT,  [3] = DYNO_V2_PARAM_TEXT,
        [4] = DYNO_V2_PARAM_DOUBLE, [5] = DYNO_V2_PARAM_UINT,
    };
    DYNO_TRY(want_bytes(decoder, value));
    struct dyno_pb_reader reader = dyno_pb_nested(&decoder->message, value);
    struct dyno_pb_field field;
    for (bool more = true;;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (!more)
            return DYNO_OK;
        if (field.number >= DYNO_COUNT(kinds))
            continue;
        *has_value = true;
        param->kind = kinds[field.number];
        if (param->kind == DYNO_V2_PARAM_TEXT)
            DYNO_TRY(take_text(decoder, &field, &param->text));
        else if (param->kind == DYNO_V2_PARAM_DOUBLE)
            DYNO_TRY(dyno_pb_f64(&field, &param->number, decoder->err));
        else
            DYNO_TRY(dyno_pb_i64(&field, &param->integer, decoder->err));
        param->boolean = param->kind == DYNO_V2_PARAM_BOOL && param->integer != 0;
        if (param->kind != DYNO_V2_PARAM_DOUBLE)
            param->number = (double)param->integer;
    }
}

static enum dyno_status take_param(struct decoder *decoder, const struct dyno_pb_field *entry,
                                   struct dyno_v2_param **params, size_t *count)
{
    DYNO_TRY(want_bytes(decoder, entry));
    struct dyno_pb_reader reader = dyno_pb_nested(&decoder->message, entry);
    struct dyno_v2_param *param = dyno_arena_alloc(decoder->arena, 1, sizeof(*param));
    struct dyno_pb_field field;
    bool has_value = false;
    if (param == NULL)
        return DYNO_NOMEM(decoder->err);
    if ((*count)++ == DYNO_V2_PARAMS_MAX)
        return DYNO_FAIL(decoder->err, DYNO_E_LIMIT, "more than %d parameters", DYNO_V2_PARAMS_MAX);
    param->name = "";
    param->text = "";
    for (bool more = true; more;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (more && field.number == 1)
            DYNO_TRY(take_text(decoder, &field, &param->name));
        else if (more && field.number == 2)
            DYNO_TRY(take_value(decoder, &field, param, &has_value));
    }
    if (!has_value)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG, "parameter '%s' has no value", param->name);
    param->next = *params;
    *params = param;
    return DYNO_OK;
}

/* --- contents: InferTensorContents --- */

/* The one field of InferTensorContents that holds values of a datatype. */
static uint32_t contents_field(enum dyno_dtype dtype)
{
    if (dtype == DYNO_BOOL)
        return 1;
    if (dtype == DYNO_STR)
        return 8;
    if (dtype == DYNO_F32)
        return 6;
    if (dtype == DYNO_F64)
        return 7;
    if (!dyno_dtype_is_int(dtype))
        return 0;
    const bool is_wide = dyno_dtype_bits(dtype) == 64;
    return dyno_dtype_is_signed(dtype) ? (is_wide ? 3 : 2) : (is_wide ? 5 : 4);
}

static enum dyno_status too_many(struct decoder *decoder, const struct dyno_v2_tensor *tensor)
{
    return DYNO_FAIL(decoder->err, DYNO_E_ARG, "tensor '%s' has more contents than its shape says",
                     tensor->name);
}

/* Where elements of one tensor go. */
struct sink {
    char *data;
    uint64_t count, room; /* elements */
    size_t bytes;         /* BYTES: written so far */
};

static enum dyno_status add_varints(struct decoder *decoder, const struct dyno_pb_field *field,
                                    const struct dyno_v2_tensor *tensor, struct sink *sink)
{
    size_t count = 0;
    size_t at = 0;
    DYNO_TRY(dyno_pb_varints_count(field, &count, decoder->err));
    if (count > sink->room - sink->count)
        return too_many(decoder, tensor);
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = dyno_pb_varint_at(field, &at);
        dyno_elem_store_i64(tensor->dtype, sink->data, (size_t)sink->count++, (int64_t)value);
    }
    return DYNO_OK;
}

static enum dyno_status add_floats(struct decoder *decoder, const struct dyno_pb_field *field,
                                   const struct dyno_v2_tensor *tensor, struct sink *sink)
{
    const size_t item_bytes = dyno_dtype_bits(tensor->dtype) / 8;
    size_t count = 0;
    DYNO_TRY(dyno_pb_fixed_count(field, item_bytes, &count, decoder->err));
    if (count > sink->room - sink->count)
        return too_many(decoder, tensor);
    dyno_pb_fixed_read(field, item_bytes, sink->data + sink->count * item_bytes);
    sink->count += count;
    return DYNO_OK;
}

static enum dyno_status add_bytes(struct decoder *decoder, const struct dyno_pb_field *field,
                                  const struct dyno_v2_tensor *tensor, struct sink *sink)
{
    const uint32_t length = (uint32_t)field->bytes;
    DYNO_TRY(want_bytes(decoder, field));
    if (sink->count == sink->room)
        return too_many(decoder, tensor);
    memcpy(sink->data + sink->bytes, &length, sizeof(length));
    memcpy(sink->data + sink->bytes + sizeof(length), field->data, field->bytes);
    sink->bytes += sizeof(length) + field->bytes;
    sink->count++;
    return DYNO_OK;
}

static enum dyno_status fill(struct decoder *decoder, const struct dyno_pb_field *contents,
                             const struct dyno_v2_tensor *tensor, struct sink *sink)
{
    const uint32_t wanted = contents_field(tensor->dtype);
    struct dyno_pb_reader reader = dyno_pb_nested(&decoder->message, contents);
    struct dyno_pb_field field;
    for (bool more = true;;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (!more)
            return DYNO_OK;
        if (field.number != wanted)
            return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                             "tensor '%s' is %s, but its contents are of another type",
                             tensor->name, dyno_v2_datatype(tensor->dtype));
        if (tensor->dtype == DYNO_STR)
            DYNO_TRY(add_bytes(decoder, &field, tensor, sink));
        else if (dyno_dtype_is_float(tensor->dtype))
            DYNO_TRY(add_floats(decoder, &field, tensor, sink));
        else
            DYNO_TRY(add_varints(decoder, &field, tensor, sink));
    }
}

static enum dyno_status take_contents(struct decoder *decoder, const struct dyno_pb_field *contents,
                                      struct dyno_v2_tensor *tensor)
{
    struct sink sink = {0};
    size_t bytes = 0;
    DYNO_TRY(dyno_v2_size(tensor, &sink.room, &bytes, decoder->err));
    if (contents_field(tensor->dtype) == 0)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s': %s can be given as raw_input_contents only", tensor->name,
                         dyno_v2_datatype(tensor->dtype));
    /* An element takes a byte on the wire at least, a text two. */
    if (sink.room > contents->bytes)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s' has less contents than its shape says", tensor->name);
    if (tensor->dtype == DYNO_STR)
        bytes = contents->bytes * 3; /* a tag and a length became a length of four bytes */
    sink.data = decoder->memory->take(decoder->memory, bytes + 1);
    if (sink.data == NULL)
        return DYNO_FAIL(decoder->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    DYNO_TRY(fill(decoder, contents, tensor, &sink));
    if (sink.count != sink.room)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s' has %llu elements, its shape says %llu", tensor->name,
                         (unsigned long long)sink.count, (unsigned long long)sink.room);
    tensor->data = sink.data;
    tensor->bytes = tensor->dtype == DYNO_STR ? sink.bytes : bytes;
    return DYNO_OK;
}

/* --- tensors --- */

static enum dyno_status take_shape(struct decoder *decoder, const struct dyno_pb_field *field,
                                   struct dyno_v2_tensor *tensor)
{
    size_t count = 0;
    DYNO_TRY(dyno_pb_varints_count(field, &count, decoder->err));
    if (count > (size_t)(DYNO_RANK_MAX - tensor->rank))
        return DYNO_FAIL(decoder->err, DYNO_E_ARG, "a shape of more than %d dimensions",
                         DYNO_RANK_MAX);
    dyno_pb_varints_read(field, (uint64_t *)tensor->dims + tensor->rank);
    tensor->rank += (int)count;
    return DYNO_OK;
}

static enum dyno_status take_datatype(struct decoder *decoder, const struct dyno_pb_field *field,
                                      struct dyno_v2_tensor *tensor)
{
    DYNO_TRY(want_bytes(decoder, field));
    tensor->dtype = dyno_v2_datatype_parse((const char *)field->data, field->bytes);
    return tensor->dtype != DYNO_DTYPE_NONE
               ? DYNO_OK
               : DYNO_FAIL(decoder->err, DYNO_E_ARG, "unknown datatype");
}

static enum dyno_status take_input(struct decoder *decoder, const struct dyno_pb_field *input,
                                   struct dyno_v2_tensor *tensor, bool *has_contents)
{
    struct dyno_v2_param *params = NULL;
    size_t param_count = 0;
    struct dyno_pb_field contents = {0};
    struct dyno_pb_field field;
    DYNO_TRY(want_bytes(decoder, input));
    struct dyno_pb_reader reader = dyno_pb_nested(&decoder->message, input);
    *tensor = (struct dyno_v2_tensor){.name = ""};
    for (bool more = true; more;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (!more)
            break;
        if (field.number == TENSOR_NAME)
            DYNO_TRY(take_text(decoder, &field, &tensor->name));
        else if (field.number == TENSOR_DATATYPE)
            DYNO_TRY(take_datatype(decoder, &field, tensor));
        else if (field.number == TENSOR_SHAPE)
            DYNO_TRY(take_shape(decoder, &field, tensor));
        else if (field.number == TENSOR_PARAMETERS)
            DYNO_TRY(take_param(decoder, &field, &params, &param_count));
        else if (field.number == TENSOR_CONTENTS)
            contents = field;
    }
    if (tensor->dtype == DYNO_DTYPE_NONE)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG, "input '%s' has no datatype", tensor->name);
    DYNO_TRY(dyno_v2_take_place(params, "input", tensor->name, &tensor->place, decoder->err));
    *has_contents = contents.number != 0;
    if (*has_contents && tensor->place.region != NULL)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "input '%s' has contents beside shared_memory_region", tensor->name);
    tensor->bytes = (size_t)tensor->place.bytes;
    if (!*has_contents)
        return DYNO_OK;
    DYNO_TRY(want_bytes(decoder, &contents));
    return take_contents(decoder, &contents, tensor);
}

static enum dyno_status take_wanted(struct decoder *decoder, const struct dyno_pb_field *output,
                                    struct dyno_v2_wanted *wanted)
{
    struct dyno_v2_param *params = NULL;
    size_t param_count = 0;
    struct dyno_pb_field field;
    DYNO_TRY(want_bytes(decoder, output));
    struct dyno_pb_reader reader = dyno_pb_nested(&decoder->message, output);
    *wanted = (struct dyno_v2_wanted){.name = "", .is_binary = true};
    for (bool more = true; more;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (more && field.number == 1)
            DYNO_TRY(take_text(decoder, &field, &wanted->name));
        else if (more && field.number == 2)
            DYNO_TRY(take_param(decoder, &field, &params, &param_count));
    }
    return dyno_v2_take_wanted(params, wanted, decoder->err);
}

/* --- the request --- */

/* How many there are, so that arrays are made once. */
struct counts {
    size_t inputs, outputs, raws;
};

static enum dyno_status count_fields(struct decoder *decoder, struct counts *counts)
{
    struct dyno_pb_reader reader = decoder->message;
    struct dyno_pb_field field;
    for (bool more = true; more;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        counts->inputs += more && field.number == REQUEST_INPUTS;
        counts->outputs += more && field.number == REQUEST_OUTPUTS;
        counts->raws += more && field.number == REQUEST_RAW_INPUT_CONTENTS;
        if (counts->inputs > DYNO_V2_TENSORS_MAX || counts->outputs > DYNO_V2_TENSORS_MAX ||
            counts->raws > DYNO_V2_TENSORS_MAX)
            return DYNO_FAIL(decoder->err, DYNO_E_LIMIT, "more than %d tensors",
                             DYNO_V2_TENSORS_MAX);
    }
    return DYNO_OK;
}

static enum dyno_status take_field(struct decoder *decoder, const struct dyno_pb_field *field,
                                   struct dyno_infer *infer, bool *has_contents,
                                   size_t *param_count)
{
    switch (field->number) {
    case REQUEST_MODEL_NAME:
        return take_text(decoder, field, &infer->model);
    case REQUEST_MODEL_VERSION:
        return take_text(decoder, field, &infer->version);
    case REQUEST_ID:
        return take_text(decoder, field, &infer->id);
    case REQUEST_PARAMETERS:
        return take_param(decoder, field, &infer->params, param_count);
    case REQUEST_INPUTS:
        DYNO_TRY(take_input(decoder, field, &infer->inputs[infer->input_count],
                            &has_contents[infer->input_count]));
        infer->input_count++;
        return DYNO_OK;
    case REQUEST_OUTPUTS:
        return take_wanted(decoder, field, &infer->wanted[infer->wanted_count++]);
    default:
        return DYNO_OK;
    }
}

/* Raw contents belong, in order, to the inputs that are not in shared memory. */
static enum dyno_status give_raws(struct decoder *decoder, struct dyno_infer *infer)
{
    struct dyno_pb_reader reader = decoder->message;
    struct dyno_pb_field field;
    size_t idx = 0;
    for (bool more = true;;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (!more)
            break;
        if (field.number != REQUEST_RAW_INPUT_CONTENTS)
            continue;
        while (idx < infer->input_count && infer->inputs[idx].place.region != NULL)
            idx++;
        if (idx == infer->input_count)
            return DYNO_FAIL(decoder->err, DYNO_E_ARG, "more raw_input_contents than inputs");
        DYNO_TRY(want_bytes(decoder, &field));
        infer->inputs[idx].data = field.data;
        infer->inputs[idx].bytes = field.bytes;
        idx++;
    }
    return DYNO_OK;
}

static enum dyno_status check_input(struct decoder *decoder, const struct dyno_v2_tensor *tensor)
{
    uint64_t count = 0;
    size_t bytes = 0;
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, decoder->err));
    if (tensor->place.region == NULL && tensor->data == NULL)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG, "input '%s' has no data", tensor->name);
    if (tensor->dtype == DYNO_STR
            ? tensor->place.region == NULL && !dyno_v2_bytes_fit(tensor->data, tensor->bytes, count)
            : tensor->bytes != bytes)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "input '%s': has %zu bytes of data, its shape says %zu", tensor->name,
                         tensor->bytes, bytes);
    return DYNO_OK;
}

static enum dyno_status take_fields(struct decoder *decoder, struct dyno_infer *infer,
                                    bool *has_contents)
{
    struct dyno_pb_reader reader = decoder->message;
    struct dyno_pb_field field;
    size_t param_count = 0;
    for (bool more = true;;) {
        DYNO_TRY(next(decoder, &reader, &field, &more));
        if (!more)
            return DYNO_OK;
        DYNO_TRY(take_field(decoder, &field, infer, has_contents, &param_count));
    }
}

enum dyno_status dyno_v2_pb_decode(const void *body, size_t bytes, struct dyno_arena *arena,
                                   struct dyno_v2_memory *memory, struct dyno_infer *infer_out,
                                   struct dyno_err *err)
{
    struct decoder decoder = {.arena = arena, .memory = memory, .err = err};
    struct counts counts = {0};
    bool has_contents[DYNO_V2_TENSORS_MAX] = {false};
    struct dyno_infer infer = {.model = "", .version = "", .wants_binary = true};
    *infer_out = infer;
    dyno_pb_init(&decoder.message, body, bytes);
    DYNO_TRY(count_fields(&decoder, &counts));
    infer.inputs = dyno_arena_alloc(arena, counts.inputs + 1, sizeof(*infer.inputs));
    infer.wanted = dyno_arena_alloc(arena, counts.outputs + 1, sizeof(*infer.wanted));
    if (infer.inputs == NULL || infer.wanted == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(take_fields(&decoder, &infer, has_contents));
    if (counts.raws > 0) {
        for (size_t i = 0; i < infer.input_count; i++)
            if (has_contents[i])
                return DYNO_FAIL(err, DYNO_E_ARG,
                                 "input '%s' has contents beside raw_input_contents",
                                 infer.inputs[i].name);
        DYNO_TRY(give_raws(&decoder, &infer));
    }
    for (size_t i = 0; i < infer.input_count; i++)
        DYNO_TRY(check_input(&decoder, &infer.inputs[i]));
    *infer_out = infer;
    return dyno_v2_take_params(infer_out, true, err);
}
