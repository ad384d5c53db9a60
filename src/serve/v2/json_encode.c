/* json_encode.c - an answer as JSON, with raw tensors to follow. */
#include "serve/v2/json_part.h"

/* Longest texts of an element: digits, sign, point, exponent, and the comma. */
static size_t element_text_max(const struct dyno_v2_tensor *tensor)
{
    if (tensor->dtype == DYNO_BOOL)
        return sizeof("false,");
    if (dyno_dtype_is_float(tensor->dtype))
        return dyno_dtype_bits(tensor->dtype) > 32 ? 32 : 24;
    return 3 + dyno_dtype_bits(tensor->dtype) / 3;
}

size_t dyno_v2_json_bytes_max(const struct dyno_infer_answer *answer)
{
    size_t bytes = 0;
    for (size_t i = 0; i < answer->output_count; i++) {
        const struct dyno_v2_tensor *tensor = &answer->outputs[i];
        if (answer->wanted[i].is_binary || tensor->place.region != NULL)
            continue;
        if (tensor->dtype == DYNO_STR)
            bytes += 6 * tensor->bytes; /* \u0000 for a byte */
        else
            bytes +=
                tensor->bytes / (dyno_dtype_bits(tensor->dtype) / 8) * element_text_max(tensor);
    }
    return bytes;
}

static enum dyno_status put_output(struct dyno_json_writer *json,
                                   const struct dyno_v2_tensor *tensor, bool is_binary,
                                   struct dyno_err *err)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", tensor->name);
    dyno_json_put_str(json, "datatype", dyno_v2_datatype(tensor->dtype));
    dyno_json_put_array_begin(json, "shape");
    for (int i = 0; i < tensor->rank; i++)
        dyno_json_i64(json, tensor->dims[i]);
    dyno_json_array_end(json);
    if (tensor->place.region != NULL) {
        /* The data are there. */
    } else if (is_binary) {
        dyno_json_put_object_begin(json, "parameters");
        dyno_json_put_u64(json, "binary_data_size", tensor->bytes);
        dyno_json_object_end(json);
    } else {
        dyno_json_key(json, "data");
        DYNO_TRY(dyno_v2_json_put_elements(json, tensor, false, err));
    }
    dyno_json_object_end(json);
    return DYNO_OK;
}

enum dyno_status dyno_v2_json_encode(const struct dyno_infer_answer *answer,
                                     struct dyno_strbuf *out, size_t *raw_bytes_out,
                                     struct dyno_err *err)
{
    struct dyno_json_writer json = {.out = out, .indent = -1};
    *raw_bytes_out = 0;
    dyno_json_object_begin(&json);
    if (answer->id != NULL && answer->id[0] != 0) {
        dyno_json_put_str(&json, "id", answer->id);
    }
    dyno_json_put_str(&json, "model_name", answer->model);
    dyno_json_put_str(&json, "model_version", answer->version);
    dyno_json_put_object_begin(&json, "parameters");
    dyno_json_put_str(&json, "variant", answer->variant);
    if (answer->record != NULL) {
        dyno_json_put_str(&json, "record", answer->record);
    }
    dyno_json_object_end(&json);
    dyno_json_put_array_begin(&json, "outputs");
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
