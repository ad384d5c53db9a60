/* json_part.c - the pieces that JSON requests are made of. */
#include "serve/v2/json_part.h"

#include <string.h>

enum dyno_status dyno_v2_json_refuse(const struct dyno_v2_json *json, const char *what)
{
    return dyno_json_refuse(&json->reader, json->err, what);
}

enum dyno_status dyno_v2_json_next(struct dyno_v2_json *json, struct dyno_json_token *token)
{
    return dyno_json_read(&json->reader, token, json->err);
}

static bool opens(const struct dyno_json_token *token)
{
    return token->kind == DYNO_JSON_TOKEN_OBJECT || token->kind == DYNO_JSON_TOKEN_ARRAY;
}

enum dyno_status dyno_v2_json_skip(struct dyno_v2_json *json, const struct dyno_json_token *token)
{
    return opens(token) ? dyno_json_skip(&json->reader, json->err) : DYNO_OK;
}

static enum dyno_status take_text(struct dyno_v2_json *json, const struct dyno_json_raw *raw,
                                  const char **text_out)
{
    if (raw->bytes > DYNO_V2_TEXT_BYTES_MAX)
        return DYNO_FAIL(json->err, DYNO_E_LIMIT, "a name or text of more than %d bytes",
                         DYNO_V2_TEXT_BYTES_MAX);
    char *text = dyno_arena_alloc(json->arena, raw->bytes + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(json->err);
    if (memchr(text, 0, dyno_json_unescape(raw, text)) != NULL)
        return dyno_v2_json_refuse(json, "a name or text holds a zero byte");
    *text_out = text;
    return DYNO_OK;
}

enum dyno_status dyno_v2_json_string(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                     const char **text_out)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING)
        return dyno_v2_json_refuse(json, "a string expected");
    return take_text(json, &token->raw, text_out);
}

/* --- parameters --- */

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

enum dyno_status dyno_v2_json_param(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                    struct dyno_v2_param *param)
{
    uint64_t wide = 0;
    DYNO_TRY(take_text(json, &token->key, &param->name));
    switch (token->kind) {
    case DYNO_JSON_TOKEN_BOOL:
        param->kind = DYNO_V2_PARAM_BOOL;
        param->boolean = token->boolean;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_NUMBER:
        param->kind = token->is_int                   ? DYNO_V2_PARAM_INT
                      : parse_u64(&token->raw, &wide) ? DYNO_V2_PARAM_UINT
                                                      : DYNO_V2_PARAM_DOUBLE;
        param->integer = token->is_int ? token->integer : (int64_t)wide;
        param->number = token->number;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_STRING:
        param->kind = DYNO_V2_PARAM_TEXT;
        return take_text(json, &token->raw, &param->text);
    case DYNO_JSON_TOKEN_OBJECT:
    case DYNO_JSON_TOKEN_ARRAY:
    case DYNO_JSON_TOKEN_NULL:
    case DYNO_JSON_TOKEN_CLOSE:
    case DYNO_JSON_TOKEN_END:
        break;
    }
    return dyno_v2_json_refuse(json, "a parameter must be a string, a number or a boolean");
}

enum dyno_status dyno_v2_json_params(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                     struct dyno_v2_param **params_out)
{
    size_t count = 0;
    if (token->kind != DYNO_JSON_TOKEN_OBJECT)
        return dyno_v2_json_refuse(json, "parameters must be an object");
    for (;;) {
        struct dyno_json_token item;
        DYNO_TRY(dyno_v2_json_next(json, &item));
        if (item.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (count++ == DYNO_V2_PARAMS_MAX)
            return DYNO_FAIL(json->err, DYNO_E_LIMIT, "more than %d parameters",
                             DYNO_V2_PARAMS_MAX);
        struct dyno_v2_param *param = dyno_arena_alloc(json->arena, 1, sizeof(*param));
        if (param == NULL)
            return DYNO_NOMEM(json->err);
        DYNO_TRY(dyno_v2_json_param(json, &item, param));
        if (dyno_v2_param_find(*params_out, param->name) != NULL)
            return dyno_v2_json_refuse(json, "a parameter appears twice");
        param->next = *params_out;
        *params_out = param;
    }
}

/* --- data --- */

/* Is `value` one of the integer type's? */
static bool fits(enum dyno_dtype dtype, int64_t value)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (dyno_dtype_is_signed(dtype))
        return bits == 64 ||
               (value >= -(INT64_C(1) << (bits - 1)) && value < (INT64_C(1) << (bits - 1)));
    return value >= 0 && (bits == 64 || value < (INT64_C(1) << bits));
}

static enum dyno_status store(struct dyno_v2_json *json, enum dyno_dtype dtype, void *data,
                              uint64_t idx, const struct dyno_json_token *token)
{
    if (dtype == DYNO_BOOL) {
        if (token->kind != DYNO_JSON_TOKEN_BOOL &&
            !(token->kind == DYNO_JSON_TOKEN_NUMBER && token->is_int))
            return dyno_v2_json_refuse(json, "a boolean expected");
        ((uint8_t *)data)[idx] = token->boolean || token->integer != 0;
        return DYNO_OK;
    }
    if (token->kind != DYNO_JSON_TOKEN_NUMBER)
        return dyno_v2_json_refuse(json, "a number expected");
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
        return dyno_v2_json_refuse(json, "a whole number in the range of its datatype expected");
    dyno_elem_store_i64(dtype, data, (size_t)idx, token->integer);
    return DYNO_OK;
}

/* A text of a BYTES tensor to `to`, which has room; its length there. */
static enum dyno_status store_text(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                   char *to, size_t *bytes_out)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING)
        return dyno_v2_json_refuse(json, "a string expected");
    const uint32_t length = (uint32_t)dyno_json_unescape(&token->raw, to + sizeof(length));
    memcpy(to, &length, sizeof(length));
    *bytes_out = sizeof(length) + length;
    return DYNO_OK;
}

/* Every leaf of nested arrays, in order; a leaf is written or, for BYTES, appended. */
static enum dyno_status take_leaves(struct dyno_v2_json *json, struct dyno_v2_tensor *tensor,
                                    char *to, uint64_t count)
{
    uint64_t idx = 0;
    char *text_at = to;
    for (int depth = 1; depth > 0;) {
        struct dyno_json_token token;
        DYNO_TRY(dyno_v2_json_next(json, &token));
        if (token.kind == DYNO_JSON_TOKEN_ARRAY) {
            depth++;
        } else if (token.kind == DYNO_JSON_TOKEN_CLOSE) {
            depth--;
        } else if (idx == count) {
            return DYNO_FAIL(json->err, DYNO_E_ARG,
                             "tensor '%s' has more data than its shape says (%llu elements)",
                             tensor->name, (unsigned long long)count);
        } else if (tensor->dtype != DYNO_STR) {
            DYNO_TRY(store(json, tensor->dtype, to, idx++, &token));
        } else {
            size_t bytes = 0;
            DYNO_TRY(store_text(json, &token, text_at, &bytes));
            text_at += bytes;
            idx++;
        }
    }
    if (idx != count)
        return DYNO_FAIL(json->err, DYNO_E_ARG,
                         "tensor '%s' has %llu elements, its shape says %llu", tensor->name,
                         (unsigned long long)idx, (unsigned long long)count);
    if (tensor->dtype == DYNO_STR)
        tensor->bytes = (size_t)(text_at - to);
    return DYNO_OK;
}

static enum dyno_status check_is_json(struct dyno_v2_json *json,
                                      const struct dyno_v2_tensor *tensor)
{
    if (tensor->dtype != DYNO_F16 && tensor->dtype != DYNO_BF16)
        return DYNO_OK;
    return DYNO_FAIL(json->err, DYNO_E_ARG,
                     "tensor '%s': %s cannot be given as JSON, only as binary data", tensor->name,
                     dyno_v2_datatype(tensor->dtype));
}

/* Memory for a tensor's data. */
static enum dyno_status take_memory(struct dyno_v2_json *json, struct dyno_v2_tensor *tensor,
                                    size_t bytes, char **to_out)
{
    *to_out = json->memory->take(json->memory, bytes + 1);
    if (*to_out == NULL)
        return DYNO_FAIL(json->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    tensor->data = *to_out;
    tensor->bytes = bytes;
    return DYNO_OK;
}

enum dyno_status dyno_v2_json_data(struct dyno_v2_json *json, struct dyno_v2_tensor *tensor)
{
    uint64_t count = 0;
    size_t bytes = 0;
    char *to = NULL;
    DYNO_TRY(check_is_json(json, tensor));
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, json->err));
    const size_t left = (size_t)(json->reader.end - json->reader.at);
    /* An element is a character and a comma at least. */
    if (count > left / 2 + 1)
        return DYNO_FAIL(json->err, DYNO_E_ARG, "tensor '%s' has less data than its shape says",
                         tensor->name);
    if (tensor->dtype == DYNO_STR)
        bytes = left + 4 * (size_t)count; /* texts are no longer than they are written */
    DYNO_TRY(take_memory(json, tensor, bytes, &to));
    return take_leaves(json, tensor, to, count);
}

enum dyno_status dyno_v2_json_value(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                    struct dyno_v2_tensor *tensor)
{
    const bool is_text = tensor->dtype == DYNO_STR;
    char *to = NULL;
    DYNO_TRY(check_is_json(json, tensor));
    DYNO_TRY(take_memory(json, tensor,
                         is_text ? token->raw.bytes + 4 : dyno_dtype_bits(tensor->dtype) / 8, &to));
    return is_text ? store_text(json, token, to, &tensor->bytes)
                   : store(json, tensor->dtype, to, 0, token);
}

/* --- writing --- */

static void put_text_elements(struct dyno_json_writer *json, const struct dyno_v2_tensor *tensor)
{
    const char *at = tensor->data;
    for (size_t left = tensor->bytes; left >= 4;) {
        uint32_t length = 0;
        memcpy(&length, at, sizeof(length));
        if (length > left - 4)
            return;
        dyno_json_strn(json, at + 4, length);
        at += 4 + (size_t)length;
        left -= 4 + (size_t)length;
    }
}

static void put_element(struct dyno_json_writer *json, const struct dyno_v2_tensor *tensor,
                        size_t idx)
{
    if (tensor->dtype == DYNO_BOOL)
        dyno_json_bool(json, ((const uint8_t *)tensor->data)[idx] != 0);
    else if (tensor->dtype == DYNO_F32)
        dyno_json_f32(json, ((const float *)tensor->data)[idx]);
    else if (dyno_dtype_is_float(tensor->dtype))
        dyno_json_f64(json, dyno_elem_load_f64(tensor->dtype, tensor->data, idx));
    else if (tensor->dtype == DYNO_U64)
        dyno_json_u64(json, ((const uint64_t *)tensor->data)[idx]);
    else
        dyno_json_i64(json, dyno_elem_load_i64(tensor->dtype, tensor->data, idx));
}

enum dyno_status dyno_v2_json_put_elements(struct dyno_json_writer *json,
                                           const struct dyno_v2_tensor *tensor, bool unwraps_one,
                                           struct dyno_err *err)
{
    uint64_t count = 0;
    size_t bytes = 0;
    if (tensor->dtype == DYNO_F16 || tensor->dtype == DYNO_BF16)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "output '%s' is %s, which JSON cannot hold: ask for binary data",
                         tensor->name, dyno_v2_datatype(tensor->dtype));
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, err));
    const bool is_array = !unwraps_one || count != 1;
    if (is_array)
        dyno_json_array_begin(json);
    if (tensor->dtype == DYNO_STR)
        put_text_elements(json, tensor);
    else
        for (uint64_t i = 0; i < count; i++)
            put_element(json, tensor, (size_t)i);
    if (is_array)
        dyno_json_array_end(json);
    return DYNO_OK;
}
