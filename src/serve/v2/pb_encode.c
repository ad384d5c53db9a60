/* pb_encode.c - inference.ModelInferResponse. */
#include <string.h>

#include "base/pbwire.h"
#include "serve/v2/infer.h"

enum response_field {
    RESPONSE_MODEL_NAME = 1,
    RESPONSE_MODEL_VERSION = 2,
    RESPONSE_ID = 3,
    RESPONSE_PARAMETERS = 4,
    RESPONSE_OUTPUTS = 5,
    RESPONSE_RAW_OUTPUT_CONTENTS = 6,
};

/* A nested message is written to a buffer of its own size, which is small: names and shapes. */
static void put_output(const struct dyno_v2_tensor *tensor, struct dyno_strbuf *out)
{
    char shape[DYNO_RANK_MAX * DYNO_PB_VARINT_BYTES_MAX];
    size_t shape_bytes = 0;
    const char *datatype = dyno_v2_datatype(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++)
        shape_bytes += dyno_pb_varint((uint64_t)tensor->dims[i], shape + shape_bytes);
    char length[DYNO_PB_VARINT_BYTES_MAX];
    const size_t name_bytes = strlen(tensor->name);
    const size_t name_head = 1 + dyno_pb_varint(name_bytes, length);
    const size_t type_bytes = strlen(datatype);
    const size_t total = name_head + name_bytes + 2 + type_bytes +
                         (shape_bytes > 0 ? 2 + shape_bytes : 0); /* shapes are under 128 bytes */
    const char tag = RESPONSE_OUTPUTS << 3 | DYNO_PB_LEN;
    dyno_strbuf_add(out, &tag, 1);
    dyno_strbuf_add(out, length, dyno_pb_varint(total, length));
    dyno_pb_put_bytes(out, 1, tensor->name, name_bytes);
    dyno_pb_put_bytes(out, 2, datatype, type_bytes);
    if (shape_bytes > 0)
        dyno_pb_put_bytes(out, 3, shape, shape_bytes);
}

/* parameters[name].string_param: a map entry is a message {key = 1, value = 2}.  Names are short.
 */
static void put_text_param(const char *name, const char *text, struct dyno_strbuf *out)
{
    char entry[512];
    const size_t name_bytes = strlen(name);
    const size_t bytes = text != NULL ? strlen(text) : 0;
    if (bytes == 0 || bytes > 255)
        return;
    char *at = entry;
    *at++ = 1 << 3 | DYNO_PB_LEN;
    *at++ = (char)name_bytes;
    memcpy(at, name, name_bytes);
    at += name_bytes;
    *at++ = 2 << 3 | DYNO_PB_LEN;
    char length[DYNO_PB_VARINT_BYTES_MAX];
    const size_t length_bytes = dyno_pb_varint(bytes, length);
    at += dyno_pb_varint(1 + length_bytes + bytes, at);
    *at++ = 3 << 3 | DYNO_PB_LEN;
    memcpy(at, length, length_bytes);
    at += length_bytes;
    memcpy(at, text, bytes);
    at += bytes;
    dyno_pb_put_bytes(out, RESPONSE_PARAMETERS, entry, (size_t)(at - entry));
}

/* parameters["triton_final_response"].bool_param */
static void put_final(struct dyno_strbuf *out)
{
    static const char entry[] = "\x0a\x15triton_final_response\x12\x02\x08\x01";
    dyno_pb_put_bytes(out, RESPONSE_PARAMETERS, entry, sizeof(entry) - 1);
}

void dyno_v2_pb_encode(const struct dyno_infer_answer *answer, struct dyno_strbuf *out)
{
    if (answer->model[0] != 0)
        dyno_pb_put_text(out, RESPONSE_MODEL_NAME, answer->model);
    if (answer->version[0] != 0)
        dyno_pb_put_text(out, RESPONSE_MODEL_VERSION, answer->version);
    if (answer->id != NULL && answer->id[0] != 0)
        dyno_pb_put_text(out, RESPONSE_ID, answer->id);
    put_text_param("variant", answer->variant, out);
    put_text_param("record", answer->record, out);
    if (answer->is_of_stream)
        put_final(out);
    for (size_t i = 0; i < answer->output_count; i++)
        put_output(&answer->outputs[i], out);
}

size_t dyno_v2_pb_raw_head(size_t bytes, char *to)
{
    to[0] = RESPONSE_RAW_OUTPUT_CONTENTS << 3 | DYNO_PB_LEN;
    return 1 + dyno_pb_varint(bytes, to + 1);
}
