/* json_decode.c - a request as JSON, with raw tensors behind it (Triton, extension_binary_data). */
#include <string.h>

#include "serve/v2/json_part.h"

struct decoder {
    struct dyno_v2_json json;
    const char *raw; /* raw tensors that were not handed out yet */
    size_t raw_bytes;
};

/* What a tensor object said, in whatever order. */
struct tensor_draft {
    struct dyno_v2_tensor tensor;
    struct dyno_v2_param *params;
    struct dyno_json_reader data_at; /* where data stands when its shape was not known yet */
    bool has_data, has_late_data, has_shape;
};

/* --- tensors --- */

static enum dyno_status take_shape(struct decoder *decoder, const struct dyno_json_token *token,
                                   struct tensor_draft *draft)
{
    struct dyno_v2_tensor *tensor = &draft->tensor;
    if (token->kind != DYNO_JSON_TOKEN_ARRAY)
        return dyno_v2_json_refuse(&decoder->json, "shape must be an array");
    tensor->rank = 0;
    draft->has_shape = true;
    for (;;) {
        struct dyno_json_token item;
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (item.kind != DYNO_JSON_TOKEN_NUMBER || !item.is_int || item.integer < 0)
            return dyno_v2_json_refuse(&decoder->json,
                                       "a dimension must be a whole number, not negative");
        if (tensor->rank == DYNO_RANK_MAX)
            return dyno_v2_json_refuse(&decoder->json, "a shape of more than 8 dimensions");
        tensor->dims[tensor->rank++] = item.integer;
    }
}

static enum dyno_status take_datatype(struct decoder *decoder, const struct dyno_json_token *token,
                                      struct dyno_v2_tensor *tensor)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING)
        return dyno_v2_json_refuse(&decoder->json, "datatype must be a string");
    tensor->dtype = dyno_v2_datatype_parse(token->raw.text, token->raw.bytes);
    return tensor->dtype != DYNO_DTYPE_NONE
               ? DYNO_OK
               : dyno_v2_json_refuse(&decoder->json, "unknown datatype");
}

static enum dyno_status take_member(struct decoder *decoder, const struct dyno_json_token *token,
                                    struct tensor_draft *draft)
{
    if (dyno_json_raw_is(&token->key, "name"))
        return dyno_v2_json_string(&decoder->json, token, &draft->tensor.name);
    if (dyno_json_raw_is(&token->key, "datatype"))
        return take_datatype(decoder, token, &draft->tensor);
    if (dyno_json_raw_is(&token->key, "shape"))
        return take_shape(decoder, token, draft);
    if (dyno_json_raw_is(&token->key, "parameters"))
        return dyno_v2_json_params(&decoder->json, token, &draft->params);
    if (!dyno_json_raw_is(&token->key, "data"))
        return dyno_v2_json_skip(&decoder->json, token);
    if (token->kind != DYNO_JSON_TOKEN_ARRAY || draft->has_data)
        return dyno_v2_json_refuse(&decoder->json, "data must be one array");
    draft->has_data = true;
    if (draft->has_shape && draft->tensor.dtype != DYNO_DTYPE_NONE && draft->tensor.name != NULL)
        return dyno_v2_json_data(&decoder->json, &draft->tensor);
    draft->has_late_data = true;
    draft->data_at = decoder->json.reader;
    return dyno_v2_json_skip(&decoder->json, token);
}

static enum dyno_status take_raw(struct decoder *decoder, struct tensor_draft *draft,
                                 const struct dyno_v2_param *size)
{
    struct dyno_v2_tensor *tensor = &draft->tensor;
    if (size->kind != DYNO_V2_PARAM_INT || size->integer < 0 ||
        (uint64_t)size->integer > decoder->raw_bytes)
        return DYNO_FAIL(decoder->json.err, DYNO_E_ARG,
                         "tensor '%s': binary_data_size is more than the %zu bytes that are left",
                         tensor->name, decoder->raw_bytes);
    tensor->data = decoder->raw;
    tensor->bytes = (size_t)size->integer;
    decoder->raw += tensor->bytes;
    decoder->raw_bytes -= tensor->bytes;
    return DYNO_OK;
}

static enum dyno_status check_size(struct decoder *decoder, const struct dyno_v2_tensor *tensor)
{
    uint64_t count = 0;
    size_t bytes = 0;
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, decoder->json.err));
    if (tensor->place.region != NULL && tensor->dtype == DYNO_STR)
        return DYNO_OK;
    if (tensor->dtype == DYNO_STR && !dyno_v2_bytes_fit(tensor->data, tensor->bytes, count))
        return DYNO_FAIL(decoder->json.err, DYNO_E_ARG,
                         "tensor '%s': its data are not the %llu elements of its shape",
                         tensor->name, (unsigned long long)count);
    if (tensor->dtype != DYNO_STR && tensor->bytes != bytes)
        return DYNO_FAIL(decoder->json.err, DYNO_E_ARG,
                         "tensor '%s': has %zu bytes of data, its shape says %zu", tensor->name,
                         tensor->bytes, bytes);
    return DYNO_OK;
}

/* After the opening brace of an input. */
static enum dyno_status take_input(struct decoder *decoder, struct dyno_v2_tensor *tensor)
{
    struct tensor_draft draft = {0};
    for (;;) {
        struct dyno_json_token token;
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        DYNO_TRY(take_member(decoder, &token, &draft));
    }
    if (draft.tensor.name == NULL || draft.tensor.dtype == DYNO_DTYPE_NONE || !draft.has_shape)
        return dyno_v2_json_refuse(&decoder->json, "an input wants name, datatype and shape");
    if (draft.has_late_data) {
        const struct dyno_json_reader after = decoder->json.reader;
        decoder->json.reader = draft.data_at;
        DYNO_TRY(dyno_v2_json_data(&decoder->json, &draft.tensor));
        decoder->json.reader = after;
    }
    const struct dyno_v2_param *size = dyno_v2_param_find(draft.params, "binary_data_size");
    DYNO_TRY(dyno_v2_take_place(draft.params, "input", draft.tensor.name, &draft.tensor.place,
                                decoder->json.err));
    if ((size != NULL) + draft.has_data + (draft.tensor.place.region != NULL) != 1)
        return DYNO_FAIL(decoder->json.err, DYNO_E_ARG,
                         "input '%s' wants data, binary_data_size or shared_memory_region, one of "
                         "them",
                         draft.tensor.name);
    if (draft.tensor.place.region != NULL)
        draft.tensor.bytes = (size_t)draft.tensor.place.bytes;
    if (size != NULL)
        DYNO_TRY(take_raw(decoder, &draft, size));
    DYNO_TRY(check_size(decoder, &draft.tensor));
    *tensor = draft.tensor;
    return DYNO_OK;
}

/* After the opening brace of a requested output. */
static enum dyno_status take_wanted(struct decoder *decoder, struct dyno_v2_wanted *wanted)
{
    struct dyno_v2_param *params = NULL;
    for (;;) {
        struct dyno_json_token token;
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        if (dyno_json_raw_is(&token.key, "name"))
            DYNO_TRY(dyno_v2_json_string(&decoder->json, &token, &wanted->name));
        else if (dyno_json_raw_is(&token.key, "parameters"))
            DYNO_TRY(dyno_v2_json_params(&decoder->json, &token, &params));
        else
            DYNO_TRY(dyno_v2_json_skip(&decoder->json, &token));
    }
    if (wanted->name == NULL)
        return dyno_v2_json_refuse(&decoder->json, "an output wants a name");
    return dyno_v2_take_wanted(params, wanted, decoder->json.err);
}

/* --- the request --- */

/* Items of equal size that grow by doubling; the old ones stay in the arena until it goes. */
struct items {
    char *at;
    size_t item_bytes, count, room;
};

static enum dyno_status add_item(struct decoder *decoder, struct items *items, void **item_out)
{
    if (items->count == DYNO_V2_TENSORS_MAX)
        return DYNO_FAIL(decoder->json.err, DYNO_E_LIMIT, "more than %d tensors",
                         DYNO_V2_TENSORS_MAX);
    if (items->count == items->room) {
        const size_t room = items->room == 0 ? 4 : items->room * 2;
        char *moved = dyno_arena_alloc(decoder->json.arena, room, items->item_bytes);
        if (moved == NULL)
            return DYNO_NOMEM(decoder->json.err);
        if (items->count != 0)
            memcpy(moved, items->at, items->count * items->item_bytes);
        items->at = moved;
        items->room = room;
    }
    *item_out = items->at + items->count++ * items->item_bytes;
    return DYNO_OK;
}

static enum dyno_status take_items(struct decoder *decoder, const struct dyno_json_token *token,
                                   struct items *items, bool is_inputs)
{
    if (token->kind != DYNO_JSON_TOKEN_ARRAY)
        return dyno_v2_json_refuse(&decoder->json, "inputs and outputs must be arrays");
    for (;;) {
        struct dyno_json_token item;
        void *at = NULL;
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (item.kind != DYNO_JSON_TOKEN_OBJECT)
            return dyno_v2_json_refuse(&decoder->json,
                                       "inputs and outputs must be arrays of objects");
        DYNO_TRY(add_item(decoder, items, &at));
        DYNO_TRY(is_inputs ? take_input(decoder, at) : take_wanted(decoder, at));
    }
}

static enum dyno_status take_inputs(struct decoder *decoder, const struct dyno_json_token *token,
                                    struct dyno_infer *infer)
{
    struct items items = {.item_bytes = sizeof(*infer->inputs)};
    if (infer->inputs != NULL)
        return dyno_v2_json_refuse(&decoder->json, "inputs appears twice");
    DYNO_TRY(take_items(decoder, token, &items, true));
    if (items.at == NULL) /* an empty list was given, too */
        items.at = dyno_arena_alloc(decoder->json.arena, 1, items.item_bytes);
    if (items.at == NULL)
        return DYNO_NOMEM(decoder->json.err);
    infer->inputs = (struct dyno_v2_tensor *)(void *)items.at;
    infer->input_count = items.count;
    return DYNO_OK;
}

static enum dyno_status take_outputs(struct decoder *decoder, const struct dyno_json_token *token,
                                     struct dyno_infer *infer)
{
    struct items items = {.item_bytes = sizeof(*infer->wanted)};
    if (infer->wanted != NULL)
        return dyno_v2_json_refuse(&decoder->json, "outputs appears twice");
    DYNO_TRY(take_items(decoder, token, &items, false));
    infer->wanted = (struct dyno_v2_wanted *)(void *)items.at;
    infer->wanted_count = items.count;
    return DYNO_OK;
}

static enum dyno_status take_request(struct decoder *decoder, struct dyno_infer *infer)
{
    struct dyno_json_token token;
    DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
    if (token.kind != DYNO_JSON_TOKEN_OBJECT)
        return dyno_v2_json_refuse(&decoder->json, "a request must be an object");
    for (;;) {
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        if (dyno_json_raw_is(&token.key, "inputs"))
            DYNO_TRY(take_inputs(decoder, &token, infer));
        else if (dyno_json_raw_is(&token.key, "outputs"))
            DYNO_TRY(take_outputs(decoder, &token, infer));
        else if (dyno_json_raw_is(&token.key, "parameters"))
            DYNO_TRY(dyno_v2_json_params(&decoder->json, &token, &infer->params));
        else if (dyno_json_raw_is(&token.key, "id"))
            DYNO_TRY(dyno_v2_json_string(&decoder->json, &token, &infer->id));
        else
            DYNO_TRY(dyno_v2_json_skip(&decoder->json, &token));
    }
    DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
    return infer->inputs != NULL ? DYNO_OK
                                 : dyno_v2_json_refuse(&decoder->json, "a request wants inputs");
}

enum dyno_status dyno_v2_json_decode(const char *body, size_t bytes, size_t json_bytes,
                                     struct dyno_arena *arena, struct dyno_v2_memory *memory,
                                     struct dyno_infer *infer_out, struct dyno_err *err)
{
    struct decoder decoder = {.json = {.arena = arena, .memory = memory, .err = err}};
    *infer_out = (struct dyno_infer){0};
    if (json_bytes > bytes)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the JSON is said to have %zu bytes, the body has %zu in all", json_bytes,
                         bytes);
    dyno_json_reader_init(&decoder.json.reader, body, json_bytes);
    decoder.raw = body != NULL ? body + json_bytes : NULL;
    decoder.raw_bytes = bytes - json_bytes;
    DYNO_TRY(take_request(&decoder, infer_out));
    if (decoder.raw_bytes != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%zu bytes of binary data that no input asks for",
                         decoder.raw_bytes);
    return dyno_v2_take_params(infer_out, false, err);
}
