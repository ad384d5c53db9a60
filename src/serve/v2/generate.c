/* generate.c - members to tensors and back. */
#include "serve/v2/generate.h"

#include <string.h>

#include "serve/v2/json_part.h"

struct decoder {
    struct dyno_v2_json json;
    const struct dyno_v2_tensor *inputs;
    size_t input_count;
    struct dyno_infer *infer;
    bool *is_given; /* one an input */
    size_t param_count;
};

/* --- decoding --- */

static enum dyno_status find_input(const struct decoder *decoder, const struct dyno_json_raw *key,
                                   size_t *idx_out)
{
    size_t idx = 0;
    while (idx < decoder->input_count && !dyno_json_raw_is(key, decoder->inputs[idx].name))
        idx++;
    *idx_out = idx;
    return idx < decoder->input_count ? DYNO_OK : DYNO_E_NOT_FOUND;
}

/* How many values are in the array whose opening bracket was just read. */
static enum dyno_status count_values(struct dyno_v2_json *json, int64_t *count_out)
{
    int64_t count = 0;
    for (int depth = 1; depth > 0;) {
        struct dyno_json_token token;
        DYNO_TRY(dyno_v2_json_next(json, &token));
        if (token.kind == DYNO_JSON_TOKEN_ARRAY)
            depth++;
        else if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            depth--;
        else if (token.kind == DYNO_JSON_TOKEN_OBJECT)
            return dyno_v2_json_refuse(json, "an input must be a value or an array of values");
        else
            count++;
    }
    *count_out = count;
    return DYNO_OK;
}

static enum dyno_status does_not_fit(const struct decoder *decoder,
                                     const struct dyno_v2_tensor *tensor, int64_t count)
{
    return DYNO_FAIL(decoder->json.err, DYNO_E_ARG,
                     "input '%s': %lld values do not fill a tensor of its shape", tensor->name,
                     (long long)count);
}

/* Open dimensions out of the number of values. */
static enum dyno_status set_shape(const struct decoder *decoder, struct dyno_v2_tensor *tensor,
                                  int64_t count)
{
    int64_t left = count;
    int open = -1;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] < 0) {
            tensor->dims[i] = 1;
            open = i;
        } else if (tensor->dims[i] == 0 || left % tensor->dims[i] != 0) {
            return does_not_fit(decoder, tensor, count);
        } else {
            left /= tensor->dims[i];
        }
    }
    if (open < 0 && left != 1)
        return does_not_fit(decoder, tensor, count);
    if (open >= 0)
        tensor->dims[open] = left;
    return DYNO_OK;
}

static enum dyno_status take_input(struct decoder *decoder, const struct dyno_json_token *token,
                                   size_t idx)
{
    struct dyno_v2_tensor *tensor = &decoder->infer->inputs[decoder->infer->input_count];
    int64_t count = 1;
    *tensor = decoder->inputs[idx];
    if (decoder->is_given[idx])
        return DYNO_FAIL(decoder->json.err, DYNO_E_ARG, "input '%s' is given twice", tensor->name);
    decoder->is_given[idx] = true;
    decoder->infer->input_count++;
    if (token->kind != DYNO_JSON_TOKEN_ARRAY) {
        DYNO_TRY(set_shape(decoder, tensor, 1));
        return dyno_v2_json_value(&decoder->json, token, tensor);
    }
    const struct dyno_json_reader from = decoder->json.reader;
    DYNO_TRY(count_values(&decoder->json, &count));
    DYNO_TRY(set_shape(decoder, tensor, count));
    decoder->json.reader = from;
    return dyno_v2_json_data(&decoder->json, tensor);
}

static enum dyno_status take_param(struct decoder *decoder, const struct dyno_json_token *token)
{
    struct dyno_infer *infer = decoder->infer;
    if (decoder->param_count++ == DYNO_V2_PARAMS_MAX)
        return DYNO_FAIL(decoder->json.err, DYNO_E_LIMIT, "more than %d parameters",
                         DYNO_V2_PARAMS_MAX);
    struct dyno_v2_param *param = dyno_arena_alloc(decoder->json.arena, 1, sizeof(*param));
    if (param == NULL)
        return DYNO_NOMEM(decoder->json.err);
    DYNO_TRY(dyno_v2_json_param(&decoder->json, token, param));
    if (dyno_v2_param_find(infer->params, param->name) != NULL)
        return dyno_v2_json_refuse(&decoder->json, "a parameter appears twice");
    param->next = infer->params;
    infer->params = param;
    return DYNO_OK;
}

/* The members of an object whose opening brace was just read. */
static enum dyno_status take_members(struct decoder *decoder, bool is_outer)
{
    for (;;) {
        struct dyno_json_token token;
        size_t idx = 0;
        DYNO_TRY(dyno_v2_json_next(&decoder->json, &token));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (find_input(decoder, &token.key, &idx) == DYNO_OK)
            DYNO_TRY(take_input(decoder, &token, idx));
        else if (is_outer && dyno_json_raw_is(&token.key, "id"))
            DYNO_TRY(dyno_v2_json_string(&decoder->json, &token, &decoder->infer->id));
        else if (!is_outer || !dyno_json_raw_is(&token.key, "parameters"))
            DYNO_TRY(take_param(decoder, &token));
        else if (token.kind != DYNO_JSON_TOKEN_OBJECT)
            return dyno_v2_json_refuse(&decoder->json, "parameters must be an object");
        else
            DYNO_TRY(take_members(decoder, false));
    }
}

enum dyno_status dyno_v2_generate_decode(const char *body, size_t bytes,
                                         const struct dyno_v2_tensor *inputs, size_t input_count,
                                         struct dyno_arena *arena, struct dyno_v2_memory *memory,
                                         struct dyno_infer *infer_out, struct dyno_err *err)
{
    struct decoder decoder = {.json = {.arena = arena, .memory = memory, .err = err},
                              .inputs = inputs,
                              .input_count = input_count,
                              .infer = infer_out};
    struct dyno_json_token token;
    *infer_out = (struct dyno_infer){0};
    infer_out->inputs = dyno_arena_alloc(arena, input_count + 1, sizeof(*infer_out->inputs));
    decoder.is_given = dyno_arena_alloc(arena, input_count + 1, sizeof(*decoder.is_given));
    if (infer_out->inputs == NULL || decoder.is_given == NULL)
        return DYNO_NOMEM(err);
    dyno_json_reader_init(&decoder.json.reader, body, bytes);
    DYNO_TRY(dyno_v2_json_next(&decoder.json, &token));
    if (token.kind != DYNO_JSON_TOKEN_OBJECT)
        return dyno_v2_json_refuse(&decoder.json, "a request must be an object");
    DYNO_TRY(take_members(&decoder, true));
    DYNO_TRY(dyno_v2_json_next(&decoder.json, &token));
    return dyno_v2_take_params(infer_out, false, err);
}

/* --- encoding --- */

static bool is_reserved(const char *name)
{
    static const char *const names[] = {"id", "model_name", "model_version", "variant"};
    for (size_t i = 0; i < DYNO_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

enum dyno_status dyno_v2_generate_encode(const struct dyno_infer_answer *answer,
                                         struct dyno_strbuf *out, struct dyno_err *err)
{
    struct dyno_json_writer json = {.out = out, .indent = -1};
    dyno_json_object_begin(&json);
    if (answer->id != NULL && answer->id[0] != 0)
        dyno_json_put_str(&json, "id", answer->id);
    dyno_json_put_str(&json, "model_name", answer->model);
    dyno_json_put_str(&json, "model_version", answer->version);
    dyno_json_put_str(&json, "variant", answer->variant);
    if (answer->record != NULL)
        dyno_json_put_str(&json, "record", answer->record);
    for (size_t i = 0; i < answer->output_count; i++) {
        if (is_reserved(answer->outputs[i].name))
            continue;
        dyno_json_key(&json, answer->outputs[i].name);
        DYNO_TRY(dyno_v2_json_put_elements(&json, &answer->outputs[i], true, err));
    }
    dyno_json_object_end(&json);
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}
