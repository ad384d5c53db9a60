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

/* --- what parameters mean --- */

/* A number of either kind of integer that is not negative. */
static bool is_whole(const struct dyno_v2_param *param)
{
    return param->kind == DYNO_V2_PARAM_UINT ||
           (param->kind == DYNO_V2_PARAM_INT && param->integer >= 0);
}

static enum dyno_status take_whole(const struct dyno_v2_param *params, const char *name,
                                   uint64_t *value_out, struct dyno_err *err)
{
    const struct dyno_v2_param *param = dyno_v2_param_find(params, name);
    if (param == NULL)
        return DYNO_OK;
    if (!is_whole(param))
        return DYNO_FAIL(err, DYNO_E_ARG, "parameter '%s' must be a whole number, not negative",
                         name);
    *value_out = (uint64_t)param->integer;
    return DYNO_OK;
}

/* A sequence of none, which says what is so anyway. */
static bool says_nothing(const struct dyno_v2_param *param)
{
    switch (param->kind) {
    case DYNO_V2_PARAM_BOOL:
        return !param->boolean;
    case DYNO_V2_PARAM_INT:
    case DYNO_V2_PARAM_UINT:
        return param->integer == 0;
    case DYNO_V2_PARAM_TEXT:
        return param->text[0] == 0;
    case DYNO_V2_PARAM_DOUBLE:
        break;
    }
    return false;
}

static enum dyno_status check_reserved(const struct dyno_v2_param *param, bool is_grpc,
                                       struct dyno_err *err)
{
    if (strncmp(param->name, "sequence_", 9) == 0 &&
        (strcmp(param->name + 9, "id") == 0 || strcmp(param->name + 9, "start") == 0 ||
         strcmp(param->name + 9, "end") == 0) &&
        !says_nothing(param))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "parameter '%s': there are no sequences, no model here keeps a state "
                         "between requests",
                         param->name);
    if (strncmp(param->name, "triton_", 7) != 0)
        return DYNO_OK;
    /* Every answer is the last of its request, so there is no empty one to ask for. */
    if (!is_grpc || strcmp(param->name, "triton_enable_empty_final_response") != 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "parameter '%.64s': names that begin with triton_ are reserved",
                         param->name);
    return param->kind == DYNO_V2_PARAM_BOOL
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG, "parameter '%s' must be a boolean", param->name);
}

enum dyno_status dyno_v2_take_params(struct dyno_infer *infer, bool is_grpc, struct dyno_err *err)
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
    for (const struct dyno_v2_param *at = infer->params; at != NULL; at = at->next)
        DYNO_TRY(check_reserved(at, is_grpc, err));
    DYNO_TRY(take_whole(infer->params, "priority", &infer->priority, err));
    return take_whole(infer->params, "timeout", &infer->timeout_us, err);
}

enum dyno_status dyno_v2_take_place(const struct dyno_v2_param *params, const char *what,
                                    const char *name, struct dyno_v2_place *place,
                                    struct dyno_err *err)
{
    const struct dyno_v2_param *region = dyno_v2_param_find(params, "shared_memory_region");
    const struct dyno_v2_param *offset = dyno_v2_param_find(params, "shared_memory_offset");
    const struct dyno_v2_param *size = dyno_v2_param_find(params, "shared_memory_byte_size");
    if (region == NULL && offset == NULL && size == NULL)
        return DYNO_OK;
    if (region == NULL || region->kind != DYNO_V2_PARAM_TEXT || size == NULL || !is_whole(size) ||
        (offset != NULL && !is_whole(offset)))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s '%s': shared memory wants a shared_memory_region, which is a name, a "
                         "shared_memory_byte_size and perhaps a shared_memory_offset, which are "
                         "whole numbers",
                         what, name);
    *place = (struct dyno_v2_place){.region = region->text,
                                    .offset = offset != NULL ? (uint64_t)offset->integer : 0,
                                    .bytes = (uint64_t)size->integer};
    return DYNO_OK;
}

enum dyno_status dyno_v2_take_wanted(const struct dyno_v2_param *params,
                                     struct dyno_v2_wanted *wanted, struct dyno_err *err)
{
    const struct dyno_v2_param *binary = dyno_v2_param_find(params, "binary_data");
    const struct dyno_v2_param *classes = dyno_v2_param_find(params, "classification");
    if ((binary != NULL && binary->kind != DYNO_V2_PARAM_BOOL) ||
        (classes != NULL && (!is_whole(classes) || classes->integer < 0 || /* above 2^63 */
                             classes->integer > INT32_MAX)))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "output '%s': binary_data is a boolean, classification a whole number up "
                         "to %d",
                         wanted->name, INT32_MAX);
    DYNO_TRY(dyno_v2_take_place(params, "output", wanted->name, &wanted->place, err));
    if (binary != NULL) {
        wanted->says_binary = true;
        wanted->is_binary = binary->boolean;
    }
    wanted->classifications = classes != NULL ? (uint32_t)classes->integer : 0;
    if (wanted->place.region != NULL &&
        (wanted->classifications != 0 || (binary != NULL && binary->boolean)))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "output '%s': with shared_memory_region there is neither classification "
                         "nor binary_data",
                         wanted->name);
    return DYNO_OK;
}
