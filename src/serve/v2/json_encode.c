/* json_encode.c - an answer as JSON, with raw tensors to follow. */
#include <string.h>

#include "base/json.h"
#include "serve/v2/infer.h"

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

static enum dyno_status put_data(struct dyno_json_writer *json, const struct dyno_v2_tensor *tensor,
                                 struct dyno_err *err)
{
    uint64_t count = 0;
    size_t bytes = 0;
    if (tensor->dtype == DYNO_F16 || tensor->dtype == DYNO_BF16)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "output '%s' is %s, which JSON cannot hold: ask for binary data",
                         tensor->name, dyno_v2_datatype(tensor->dtype));
    DYNO_TRY(dyno_v2_size(tensor, &count, &bytes, err));
    dyno_json_key(json, "data");
    dyno_json_array_begin(json);
    if (tensor->dtype == DYNO_STR)
        put_text_elements(json, tensor);
    else
        for (uint64_t i = 0; i < count; i++)
            put_element(json, tensor, (size_t)i);
    dyno_json_array_end(json);
    return DYNO_OK;
}

static enum dyno_status put_output(struct dyno_json_writer *json,
                                   const struct dyno_v2_tensor *tensor, bool is_binary,
                                   struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    dyno_json_object_begin(json);
    dyno_json_key(json, "name");
    dyno_json_str(json, tensor->name);
    dyno_json_key(json, "datatype");
    dyno_json_str(json, dyno_v2_datatype(tensor->dtype));
    dyno_json_key(json, "shape");
    dyno_json_array_begin(json);
    for (int i = 0; i < tensor->rank; i++)
        dyno_json_i64(json, tensor->dims[i]);
    dyno_json_array_end(json);
    if (tensor->place.region != NULL) {
        /* The data are there. */
    } else if (is_binary) {
        dyno_json_key(json, "parameters");
        dyno_json_object_begin(json);
        dyno_json_key(json, "binary_data_size");
        dyno_json_u64(json, tensor->bytes);
        dyno_json_object_end(json);
    } else {
        status = put_data(json, tensor, err);
    }
    dyno_json_object_end(json);
    return status;
}

enum dyno_status dyno_v2_json_encode(const struct dyno_infer_answer *answer,
                                     struct dyno_strbuf *out, size_t *raw_bytes_out,
                                     struct dyno_err *err)
{
    struct dyno_json_writer json = {.out = out, .indent = -1};
    *raw_bytes_out = 0;
    dyno_json_object_begin(&json);
    if (answer->id != NULL && answer->id[0] != 0) {
        dyno_json_key(&json, "id");
        dyno_json_str(&json, answer->id);
    }
    dyno_json_key(&json, "model_name");
    dyno_json_str(&json, answer->model);
    dyno_json_key(&json, "model_version");
    dyno_json_str(&json, answer->version);
    dyno_json_key(&json, "parameters");
    dyno_json_object_begin(&json);
    dyno_json_key(&json, "variant");
    dyno_json_str(&json, answer->variant);
    dyno_json_object_end(&json);
    dyno_json_key(&json, "outputs");
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < answer->output_count; i++) {
        const bool is_binary =
            answer->wanted[i].is_binary && answer->outputs[i].place.region == NULL;
        DYNO_TRY(put_output(&json, &answer->outputs[i], is_binary, err));
        *raw_bytes_out += is_binary ? answer->outputs[i].bytes : 0;
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}
