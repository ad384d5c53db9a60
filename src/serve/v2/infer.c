/* infer.c - datatypes, sizes, parameters. */
#include "serve/v2/infer.h"

#include <string.h>

static const struct {
    const char *name;
    enum dyno_dtype dtype;
} datatypes[] = {
    {"FP32", DYNO_F32},   {"INT64", DYNO_I64},  {"INT32", DYNO_I32}, {"UINT8", DYNO_U8},
    {"BOOL", DYNO_BOOL},  {"INT8", DYNO_I8},    {"INT16", DYNO_I16}, {"UINT16", DYNO_U16},
    {"UINT32", DYNO_U32}, {"UINT64", DYNO_U64}, {"FP16", DYNO_F16},  {"FP64", DYNO_F64},
    {"BF16", DYNO_BF16},  {"BYTES", DYNO_STR},
};

const char *dyno_v2_datatype(enum dyno_dtype dtype)
{
    for (size_t i = 0; i < DYNO_COUNT(datatypes); i++)
        if (datatypes[i].dtype == dtype)
            return datatypes[i].name;
    return NULL;
}

enum dyno_dtype dyno_v2_datatype_parse(const char *text, size_t bytes)
{
    for (size_t i = 0; i < DYNO_COUNT(datatypes); i++)
        if (strlen(datatypes[i].name) == bytes && memcmp(datatypes[i].name, text, bytes) == 0)
            return datatypes[i].dtype;
    return DYNO_DTYPE_NONE;
}

enum dyno_status dyno_v2_size(const struct dyno_v2_tensor *tensor, uint64_t *count_out,
                              size_t *bytes_out, struct dyno_err *err)
{
    int64_t count = 0;
    *bytes_out = 0;
    if (!dyno_dims_count(tensor->dims, tensor->rank, &count) ||
        (tensor->dtype != DYNO_STR &&
         !dyno_dtype_bytes(tensor->dtype, (uint64_t)count, bytes_out)) ||
        *bytes_out > SIZE_MAX / 4)
        return DYNO_FAIL(
            err, DYNO_E_ARG,
            "tensor '%s' has a shape with a negative dimension or of too many elements",
            tensor->name);
    *count_out = (uint64_t)count;
    return DYNO_OK;
}

bool dyno_v2_bytes_fit(const void *data, size_t bytes, uint64_t count)
{
    const char *at = data;
    for (; count > 0; count--) {
        uint32_t length = 0;
        if (bytes < sizeof(length))
            return false;
        memcpy(&length, at, sizeof(length));
        bytes -= sizeof(length);
        if (bytes < length)
            return false;
        at += sizeof(length) + length;
        bytes -= length;
    }
    return bytes == 0;
}

const struct dyno_v2_param *dyno_v2_param_find(const struct dyno_v2_param *params, const char *name)
{
    for (; params != NULL; params = params->next)
        if (strcmp(params->name, name) == 0)
            return params;
    return NULL;
}

static enum dyno_status take_whole(const struct dyno_v2_param *params, const char *name,
                                   uint64_t *value_out, struct dyno_err *err)
{
    const struct dyno_v2_param *param = dyno_v2_param_find(params, name);
    if (param == NULL)
        return DYNO_OK;
    if ((param->kind != DYNO_V2_PARAM_INT && param->kind != DYNO_V2_PARAM_UINT) ||
        (param->kind == DYNO_V2_PARAM_INT && param->integer < 0))
        return DYNO_FAIL(err, DYNO_E_ARG, "parameter '%s' must be a whole number, not negative",
                         name);
    *value_out = (uint64_t)param->integer;
    return DYNO_OK;
}

enum dyno_status dyno_v2_take_params(struct dyno_infer *infer, struct dyno_err *err)
{
    const struct dyno_v2_param *binary = dyno_v2_param_find(infer->params, "binary_data_output");
    if (binary != NULL) {
        if (binary->kind != DYNO_V2_PARAM_BOOL)
            return DYNO_FAIL(err, DYNO_E_ARG, "parameter 'binary_data_output' must be a boolean");
        infer->wants_binary = binary->boolean;
    }
    for (size_t i = 0; i < infer->wanted_count; i++)
        if (!infer->wanted[i].says_binary)
            infer->wanted[i].is_binary = infer->wants_binary;
    DYNO_TRY(take_whole(infer->params, "priority", &infer->priority, err));
    return take_whole(infer->params, "timeout", &infer->timeout_us, err);
}
