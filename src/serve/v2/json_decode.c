/* json_decode.c - a request as JSON, with raw tensors behind it (Triton, extension_binary_data). */
#include <string.h>

#include "base/json.h"
#include "serve/v2/infer.h"

struct decoder {
    struct dyno_json_reader reader;
    struct dyno_arena *arena;
    struct dyno_v2_memory *memory;
    struct dyno_err *err;
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

static enum dyno_status refuse(const struct decoder *decoder, const char *what)
{
    return dyno_json_refuse(&decoder->reader, decoder->err, what);
}

static enum dyno_status next(struct decoder *decoder, struct dyno_json_token *token)
{
    return dyno_json_read(&decoder->reader, token, decoder->err);
}

static bool opens(const struct dyno_json_token *token)
{
    return token->kind == DYNO_JSON_TOKEN_OBJECT || token->kind == DYNO_JSON_TOKEN_ARRAY;
}

static enum dyno_status skip(struct decoder *decoder, const struct dyno_json_token *token)
{
    return opens(token) ? dyno_json_skip(&decoder->reader, decoder->err) : DYNO_OK;
}

static enum dyno_status take_text(struct decoder *decoder, const struct dyno_json_raw *raw,
                                  const char **text_out)
{
    if (raw->bytes > DYNO_V2_TEXT_BYTES_MAX)
        return DYNO_FAIL(decoder->err, DYNO_E_LIMIT, "a name or text of more than %d bytes",
                         DYNO_V2_TEXT_BYTES_MAX);
    char *text = dyno_arena_alloc(decoder->arena, raw->bytes + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(decoder->err);
    if (memchr(text, 0, dyno_json_unescape(raw, text)) != NULL)
        return refuse(decoder, "a name or text holds a zero byte");
    *text_out = text;
    return DYNO_OK;
}

static enum dyno_status take_string(struct decoder *decoder, const struct dyno_json_token *token,
                                    const char **text_out)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING)
        return refuse(decoder, "a string expected");
    return take_text(decoder, &token->raw, text_out);
}

/* --- parameters --- */

static enum dyno_status take_param(struct decoder *decoder, const struct dyno_json_token *token,
                                   struct dyno_v2_param *param)
{
    DYNO_TRY(take_text(decoder, &token->key, &param->name));
    switch (token->kind) {
    case DYNO_JSON_TOKEN_BOOL:
        param->kind = DYNO_V2_PARAM_BOOL;
        param->boolean = token->boolean;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_NUMBER:
        param->kind = token->is_int ? DYNO_V2_PARAM_INT : DYNO_V2_PARAM_DOUBLE;
        param->integer = token->integer;
        param->number = token->number;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_STRING:
        param->kind = DYNO_V2_PARAM_TEXT;
        return take_text(decoder, &token->raw, &param->text);
    case DYNO_JSON_TOKEN_OBJECT:
    case DYNO_JSON_TOKEN_ARRAY:
    case DYNO_JSON_TOKEN_NULL:
    case DYNO_JSON_TOKEN_CLOSE:
    case DYNO_JSON_TOKEN_END:
        break;
    }
    return refuse(decoder, "a parameter must be a string, a number or a boolean");
}

static enum dyno_status take_params(struct decoder *decoder, const struct dyno_json_token *token,
                                    struct dyno_v2_param **params_out)
{
    size_t count = 0;
    if (token->kind != DYNO_JSON_TOKEN_OBJECT)
        return refuse(decoder, "parameters must be an object");
    for (;;) {
        struct dyno_json_token item;
        DYNO_TRY(next(decoder, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (count++ == DYNO_V2_PARAMS_MAX)
            return DYNO_FAIL(decoder->err, DYNO_E_LIMIT, "more than %d parameters",
                             DYNO_V2_PARAMS_MAX);
        struct dyno_v2_param *param = dyno_arena_alloc(decoder->arena, 1, sizeof(*param));
        if (param == NULL)
            return DYNO_NOMEM(decoder->err);
        DYNO_TRY(take_param(decoder, &item, param));
        if (dyno_v2_param_find(*params_out, param->name) != NULL)
            return refuse(decoder, "a parameter appears twice");
        param->next = *params_out;
        *params_out = param;
    }
}

/* --- shape and data --- */

static enum dyno_status take_shape(struct decoder *decoder, const struct dyno_json_token *token,
                                   struct tensor_draft *draft)
{
    struct dyno_v2_tensor *tensor = &draft->tensor;
    if (token->kind != DYNO_JSON_TOKEN_ARRAY)
        return refuse(decoder, "shape must be an array");
    tensor->rank = 0;
    draft->has_shape = true;
    for (;;) {
        struct dyno_json_token item;
        DYNO_TRY(next(decoder, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (item.kind != DYNO_JSON_TOKEN_NUMBER || !item.is_int || item.integer < 0)
            return refuse(decoder, "a dimension must be a whole number, not negative");
        if (tensor->rank == DYNO_RANK_MAX)
            return refuse(decoder, "a shape of more than 8 dimensions");
        tensor->dims[tensor->rank++] = item.integer;
    }
}

static bool parse_u64(const struct dyno_json_raw *raw, uint64_t *value_out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < raw->bytes; i++) {
        const unsigned digit = (unsigned)(unsigned char)raw->text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *value_out = value;
    return true;
}

/* Is `value` one of the integer type's? */
static bool fits(enum dyno_dtype dtype, int64_t value)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (dyno_dtype_is_signed(dtype))
        return bits == 64 ||
               (value >= -(INT64_C(1) << (bits - 1)) && value < (INT64_C(1) << (bits - 1)));
    return value >= 0 && (bits == 64 || value < (INT64_C(1) << bits));
}

static enum dyno_status store(struct decoder *decoder, enum dyno_dtype dtype, void *data,
                              uint64_t idx, const struct dyno_json_token *token)
{
    if (dtype == DYNO_BOOL) {
        if (token->kind != DYNO_JSON_TOKEN_BOOL &&
            !(token->kind == DYNO_JSON_TOKEN_NUMBER && token->is_int))
            return refuse(decoder, "a boolean expected");
        ((uint8_t *)data)[idx] = token->boolean || token->integer != 0;
        return DYNO_OK;
    }
    if (token->kind != DYNO_JSON_TOKEN_NUMBER)
        return refuse(decoder, "a number expected");
    if (dtype == DYNO_F32) {
        ((float *)data)[idx] = (float)token->number;
        return DYNO_OK;
    }
    if (dtype == DYNO_F64) {
        ((double *)data)[idx] = token->number;
        return DYNO_OK;
    }
    uint64_t wide = 0;
    if (dtype == DYNO_U64 && parse_u64(&token->raw, &wide)) {
        ((uint64_t *)data)[idx] = wide;
        return DYNO_OK;
    }
    if (!token->is_int || !fits(dtype, token->integer))
        return refuse(decoder, "a whole number in the range of its datatype expected");
    dyno_elem_store_i64(dtype, data, (size_t)idx, token->integer);
    return DYNO_OK;
}

/* Every leaf of nested arrays, in order; a leaf is written or, for BYTES, appended. */
static enum dyno_status take_leaves(struct decoder *decoder, struct dyno_v2_tensor *tensor,
                                    char *to, uint64_t count)
{
    uint64_t idx = 0;
    char *text_at = to;
    for (int depth = 1; depth > 0;) {
        struct dyno_json_token token;
        DYNO_TRY(next(decoder, &token));
        if (token.kind == DYNO_JSON_TOKEN_ARRAY) {
            depth++;
        } else if (token.kind == DYNO_JSON_TOKEN_CLOSE) {
            depth--;
        } else if (idx == count) {
            return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                             "tensor '%s' has more data than its shape says (%llu elements)",
                             tensor->name, (unsigned long long)count);
        } else if (tensor->dtype != DYNO_STR) {
            DYNO_TRY(store(decoder, tensor->dtype, to, idx++, &token));
        } else if (token.kind == DYNO_JSON_TOKEN_STRING) {
            const uint32_t length = (uint32_t)dyno_json_unescape(&token.raw, text_at + 4);
            memcpy(text_at, &length, sizeof(length));
            text_at += sizeof(length) + length;
            idx++;
        } else {
            return refuse(decoder, "a string expected");
        }
    }
    if (idx != count)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s' has %llu elements, its shape says %llu", tensor->name,
                         (unsigned long long)idx, (unsigned long long)count);
    if (tensor->dtype == DYNO_STR)
        tensor->bytes = (size_t)(text_at - to);
    return DYNO_OK;
}

/* The reader stands after the opening bracket of data. */
static enum dyno_status take_data(struct decoder *decoder, struct dyno_v2_tensor *tensor)
{
    uint64_t count = 0;
    size_t bytes = 0;
    if (tensor->dtype == DYNO_F16 || tensor->dtype == DYNO_BF16)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s': %s cannot be given as JSON, only as binary data",
                         tensor->name, dyno_v2_datatype(tensor->dtype));
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, decoder->err));
    const size_t left = (size_t)(decoder->reader.end - decoder->reader.at);
    /* An element is a character and a comma at least. */
    if (count > left / 2 + 1)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG, "tensor '%s' has less data than its shape says",
                         tensor->name);
    if (tensor->dtype == DYNO_STR)
        bytes = left + 4 * (size_t)count; /* texts are no longer than they are written */
    char *to = decoder->memory->take(decoder->memory, bytes + 1);
    if (to == NULL)
        return DYNO_FAIL(decoder->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    tensor->data = to;
    tensor->bytes = bytes;
    return take_leaves(decoder, tensor, to, count);
}

/* --- tensors --- */

static enum dyno_status take_datatype(struct decoder *decoder, const struct dyno_json_token *token,
                                      struct dyno_v2_tensor *tensor)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING)
        return refuse(decoder, "datatype must be a string");
    tensor->dtype = dyno_v2_datatype_parse(token->raw.text, token->raw.bytes);
    return tensor->dtype != DYNO_DTYPE_NONE ? DYNO_OK : refuse(decoder, "unknown datatype");
}

static enum dyno_status take_member(struct decoder *decoder, const struct dyno_json_token *token,
                                    struct tensor_draft *draft)
{
    if (dyno_json_raw_is(&token->key, "name"))
        return take_string(decoder, token, &draft->tensor.name);
    if (dyno_json_raw_is(&token->key, "datatype"))
        return take_datatype(decoder, token, &draft->tensor);
    if (dyno_json_raw_is(&token->key, "shape"))
        return take_shape(decoder, token, draft);
    if (dyno_json_raw_is(&token->key, "parameters"))
        return take_params(decoder, token, &draft->params);
    if (!dyno_json_raw_is(&token->key, "data"))
        return skip(decoder, token);
    if (token->kind != DYNO_JSON_TOKEN_ARRAY || draft->has_data)
        return refuse(decoder, "data must be one array");
    draft->has_data = true;
    if (draft->has_shape && draft->tensor.dtype != DYNO_DTYPE_NONE && draft->tensor.name != NULL)
        return take_data(decoder, &draft->tensor);
    draft->has_late_data = true;
    draft->data_at = decoder->reader;
    return skip(decoder, token);
}

static enum dyno_status take_region(struct decoder *decoder, struct tensor_draft *draft)
{
    static const char *const names[] = {"shared_memory_region", "shared_memory_offset",
                                        "shared_memory_byte_size"};
    const struct dyno_v2_param *region = dyno_v2_param_find(draft->params, names[0]);
    const struct dyno_v2_param *offset = dyno_v2_param_find(draft->params, names[1]);
    const struct dyno_v2_param *size = dyno_v2_param_find(draft->params, names[2]);
    if (region == NULL)
        return DYNO_OK;
    if (region->kind != DYNO_V2_PARAM_TEXT || size == NULL || size->kind != DYNO_V2_PARAM_INT ||
        size->integer < 0 ||
        (offset != NULL && (offset->kind != DYNO_V2_PARAM_INT || offset->integer < 0)))
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s': shared_memory_region wants a name and a byte size",
                         draft->tensor.name);
    draft->tensor.region = region->text;
    draft->tensor.region_offset = offset != NULL ? (uint64_t)offset->integer : 0;
    draft->tensor.bytes = (size_t)size->integer;
    return DYNO_OK;
}

static enum dyno_status take_raw(struct decoder *decoder, struct tensor_draft *draft,
                                 const struct dyno_v2_param *size)
{
    struct dyno_v2_tensor *tensor = &draft->tensor;
    if (size->kind != DYNO_V2_PARAM_INT || size->integer < 0 ||
        (uint64_t)size->integer > decoder->raw_bytes)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
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
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, decoder->err));
    if (tensor->region != NULL && tensor->dtype == DYNO_STR)
        return DYNO_OK;
    if (tensor->dtype == DYNO_STR && !dyno_v2_bytes_fit(tensor->data, tensor->bytes, count))
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "tensor '%s': its data are not the %llu elements of its shape",
                         tensor->name, (unsigned long long)count);
    if (tensor->dtype != DYNO_STR && tensor->bytes != bytes)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
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
        DYNO_TRY(next(decoder, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        DYNO_TRY(take_member(decoder, &token, &draft));
    }
    if (draft.tensor.name == NULL || draft.tensor.dtype == DYNO_DTYPE_NONE || !draft.has_shape)
        return refuse(decoder, "an input wants name, datatype and shape");
    if (draft.has_late_data) {
        const struct dyno_json_reader after = decoder->reader;
        decoder->reader = draft.data_at;
        DYNO_TRY(take_data(decoder, &draft.tensor));
        decoder->reader = after;
    }
    const struct dyno_v2_param *size = dyno_v2_param_find(draft.params, "binary_data_size");
    DYNO_TRY(take_region(decoder, &draft));
    if ((size != NULL) + draft.has_data + (draft.tensor.region != NULL) != 1)
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "input '%s' wants data, binary_data_size or shared_memory_region, one of "
                         "them",
                         draft.tensor.name);
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
        DYNO_TRY(next(decoder, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        if (dyno_json_raw_is(&token.key, "name"))
            DYNO_TRY(take_string(decoder, &token, &wanted->name));
        else if (dyno_json_raw_is(&token.key, "parameters"))
            DYNO_TRY(take_params(decoder, &token, &params));
        else
            DYNO_TRY(skip(decoder, &token));
    }
    if (wanted->name == NULL)
        return refuse(decoder, "an output wants a name");
    const struct dyno_v2_param *binary = dyno_v2_param_find(params, "binary_data");
    const struct dyno_v2_param *classes = dyno_v2_param_find(params, "classification");
    if ((binary != NULL && binary->kind != DYNO_V2_PARAM_BOOL) ||
        (classes != NULL && (classes->kind != DYNO_V2_PARAM_INT || classes->integer < 1 ||
                             classes->integer > INT32_MAX)))
        return DYNO_FAIL(decoder->err, DYNO_E_ARG,
                         "output '%s': binary_data is a boolean, classification a whole number "
                         "above 0",
                         wanted->name);
    if (dyno_v2_param_find(params, "shared_memory_region") != NULL)
        return DYNO_FAIL(decoder->err, DYNO_E_UNSUPPORTED,
                         "output '%s': shared memory is not available", wanted->name);
    wanted->says_binary = binary != NULL;
    wanted->is_binary = binary != NULL && binary->boolean;
    wanted->classifications = classes != NULL ? (uint32_t)classes->integer : 0;
    return DYNO_OK;
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
        return DYNO_FAIL(decoder->err, DYNO_E_LIMIT, "more than %d tensors", DYNO_V2_TENSORS_MAX);
    if (items->count == items->room) {
        const size_t room = items->room == 0 ? 4 : items->room * 2;
        char *moved = dyno_arena_alloc(decoder->arena, room, items->item_bytes);
        if (moved == NULL)
            return DYNO_NOMEM(decoder->err);
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
        return refuse(decoder, "inputs and outputs must be arrays");
    for (;;) {
        struct dyno_json_token item;
        void *at = NULL;
        DYNO_TRY(next(decoder, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (item.kind != DYNO_JSON_TOKEN_OBJECT)
            return refuse(decoder, "inputs and outputs must be arrays of objects");
        DYNO_TRY(add_item(decoder, items, &at));
        DYNO_TRY(is_inputs ? take_input(decoder, at) : take_wanted(decoder, at));
    }
}

static enum dyno_status take_inputs(struct decoder *decoder, const struct dyno_json_token *token,
                                    struct dyno_infer *infer)
{
    struct items items = {.item_bytes = sizeof(*infer->inputs)};
    if (infer->inputs != NULL)
        return refuse(decoder, "inputs appears twice");
    DYNO_TRY(take_items(decoder, token, &items, true));
    if (items.at == NULL) /* an empty list was given, too */
        items.at = dyno_arena_alloc(decoder->arena, 1, items.item_bytes);
    if (items.at == NULL)
        return DYNO_NOMEM(decoder->err);
    infer->inputs = (struct dyno_v2_tensor *)(void *)items.at;
    infer->input_count = items.count;
    return DYNO_OK;
}

static enum dyno_status take_outputs(struct decoder *decoder, const struct dyno_json_token *token,
                                     struct dyno_infer *infer)
{
    struct items items = {.item_bytes = sizeof(*infer->wanted)};
    if (infer->wanted != NULL)
        return refuse(decoder, "outputs appears twice");
    DYNO_TRY(take_items(decoder, token, &items, false));
    infer->wanted = (struct dyno_v2_wanted *)(void *)items.at;
    infer->wanted_count = items.count;
    return DYNO_OK;
}

static enum dyno_status take_request(struct decoder *decoder, struct dyno_infer *infer)
{
    struct dyno_json_token token;
    DYNO_TRY(next(decoder, &token));
    if (token.kind != DYNO_JSON_TOKEN_OBJECT)
        return refuse(decoder, "a request must be an object");
    for (;;) {
        DYNO_TRY(next(decoder, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        if (dyno_json_raw_is(&token.key, "inputs"))
            DYNO_TRY(take_inputs(decoder, &token, infer));
        else if (dyno_json_raw_is(&token.key, "outputs"))
            DYNO_TRY(take_outputs(decoder, &token, infer));
        else if (dyno_json_raw_is(&token.key, "parameters"))
            DYNO_TRY(take_params(decoder, &token, &infer->params));
        else if (dyno_json_raw_is(&token.key, "id"))
            DYNO_TRY(take_string(decoder, &token, &infer->id));
        else
            DYNO_TRY(skip(decoder, &token));
    }
    DYNO_TRY(next(decoder, &token));
    return infer->inputs != NULL ? DYNO_OK : refuse(decoder, "a request wants inputs");
}

enum dyno_status dyno_v2_json_decode(const char *body, size_t bytes, size_t json_bytes,
                                     struct dyno_arena *arena, struct dyno_v2_memory *memory,
                                     struct dyno_infer *infer_out, struct dyno_err *err)
{
    struct decoder decoder = {.arena = arena, .memory = memory, .err = err};
    *infer_out = (struct dyno_infer){0};
    if (json_bytes > bytes)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the JSON is said to have %zu bytes, the body has %zu in all", json_bytes,
                         bytes);
    dyno_json_reader_init(&decoder.reader, body, json_bytes);
    decoder.raw = body + json_bytes;
    decoder.raw_bytes = bytes - json_bytes;
    DYNO_TRY(take_request(&decoder, infer_out));
    if (decoder.raw_bytes != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%zu bytes of binary data that no input asks for",
                         decoder.raw_bytes);
    return dyno_v2_take_params(infer_out, err);
}
