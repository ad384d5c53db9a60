/* cudnn_plan.c - cuDNN's plans: made of text, kept, run. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_conv.h"
#include "base/json.h"
#include "base/strbuf.h"

#define RANK 4

/* --- text --- */

static bool is_list(const struct dyno_json *json, const int64_t *want, size_t count)
{
    if (json == NULL || json->kind != DYNO_JSON_ARRAY || json->count != count)
        return false;
    const struct dyno_json *item = json->first;
    for (size_t i = 0; i < count && item != NULL; i++, item = item->next) {
        if (item->kind != DYNO_JSON_NUMBER || !item->is_int || item->integer != want[i])
            return false;
    }
    return true;
}

static bool is_text(const struct dyno_json *json, const char *want)
{
    return json != NULL && json->kind == DYNO_JSON_STRING && strcmp(json->text, want) == 0;
}

/* Dimensions of the tensor of that name, all that lie between operations have the last one's;
 * false: `conv` has none. */
static bool dims_of(const struct dyno_cudnn_conv *conv, long id, int64_t dims[RANK])
{
    DYNO_ASSERT(conv->groups > 0);
    const int64_t all[DYNO_CUDNN_ID_END + 1][RANK] = {
        [DYNO_CUDNN_X] = {conv->batch, conv->c, conv->h, conv->w},
        [DYNO_CUDNN_W] = {conv->m, conv->c / conv->groups, conv->kh, conv->kw},
        [DYNO_CUDNN_Y] = {conv->batch, conv->m, conv->oh, conv->ow},
        [DYNO_CUDNN_Z] = {conv->batch, conv->m, conv->oh, conv->ow},
        [DYNO_CUDNN_BIAS] = {1, conv->m, 1, 1},
        [DYNO_CUDNN_ID_END] = {conv->batch, conv->m, conv->oh, conv->ow},
    };
    if (id < DYNO_CUDNN_X || (id == DYNO_CUDNN_Z && conv->has_z == 0) ||
        (id == DYNO_CUDNN_BIAS && conv->has_bias == 0))
        return false;
    memcpy(dims, all[id < DYNO_CUDNN_ID_END ? id : DYNO_CUDNN_ID_END], sizeof(all[0]));
    return true;
}

/* The name of a tensor of a text; 0: it has none. */
static long id_of(const struct dyno_json *tensor)
{
    const struct dyno_json *name = dyno_json_find(tensor, "name");
    char *end = NULL;
    if (name == NULL || name->kind != DYNO_JSON_STRING)
        return 0;
    const long id = strtol(name->text, &end, 10);
    return *end == 0 && id > 0 ? id : 0;
}

static bool is_shape(const struct dyno_json *list)
{
    return list != NULL && list->kind == DYNO_JSON_ARRAY && list->count == RANK &&
           list->first->kind == DYNO_JSON_NUMBER;
}

/* Is it one of those that will be given, or one that is never stored? */
static bool tensor_fits(const struct dyno_json *tensor, const struct dyno_cudnn_conv *conv)
{
    static const char *const types[] = {
        [DYNO_F32] = "CUDNN_DATA_FLOAT",
        [DYNO_F16] = "CUDNN_DATA_HALF",
        [DYNO_BF16] = "CUDNN_DATA_BFLOAT16",
    };
    const struct dyno_json *is_virtual = dyno_json_find(tensor, "isVirtual");
    const long id = id_of(tensor);
    int64_t dims[RANK];
    if (is_virtual == NULL || is_virtual->kind != DYNO_JSON_BOOL ||
        !is_shape(dyno_json_find(tensor, "dim")) || !is_shape(dyno_json_find(tensor, "stride")))
        return false;
    if (is_virtual->boolean)
        return id >= DYNO_CUDNN_ID_END;
    return id < DYNO_CUDNN_ID_END && dims_of(conv, id, dims) &&
           is_text(dyno_json_find(tensor, "dataType"), types[conv->elem]);
}

/* The window of the convolution, the first of the operations. */
static bool window_fits(const struct dyno_json *nodes, const struct dyno_cudnn_conv *conv)
{
    const int64_t before[] = {conv->ph, conv->pw};
    const int64_t after[] = {conv->ph_end, conv->pw_end};
    const int64_t strides[] = {conv->sh, conv->sw};
    const int64_t dilations[] = {conv->dh, conv->dw};
    if (nodes == NULL || nodes->kind != DYNO_JSON_ARRAY || nodes->count == 0)
        return false;
    /* Pads that are the same on both sides stand there once. */
    const struct dyno_json *pad = dyno_json_find(nodes->first, "pad");
    const bool pads_fit = pad != NULL
                              ? is_list(pad, before, 2) && is_list(pad, after, 2)
                              : is_list(dyno_json_find(nodes->first, "pad_lower"), before, 2) &&
                                    is_list(dyno_json_find(nodes->first, "pad_upper"), after, 2);
    return pads_fit && is_list(dyno_json_find(nodes->first, "stride"), strides, 2) &&
           is_list(dyno_json_find(nodes->first, "dilation"), dilations, 2);
}

/* --- text for other shapes --- */

/* What is read of a text, and how far it is copied. */
struct copier {
    struct dyno_json_reader reader;
    const struct dyno_cudnn_conv *conv;
    const struct dyno_json *tensor; /* the one that is read, as it was parsed */
    const char *copied;
    struct dyno_strbuf *out;
};

/* The numbers of a list, whose opening was just read, become these. */
static enum dyno_status replace_list(struct copier *copier, const int64_t with[RANK],
                                     struct dyno_err *err)
{
    struct dyno_json_token token;
    const char *end = NULL;
    for (int i = 0; i < RANK; i++) {
        DYNO_TRY(dyno_json_read(&copier->reader, &token, err));
        if (token.kind != DYNO_JSON_TOKEN_NUMBER)
            return dyno_json_refuse(&copier->reader, err, "a size is no number");
        if (i == 0)
            dyno_strbuf_add(copier->out, copier->copied, (size_t)(token.raw.text - copier->copied));
        end = token.raw.text + token.raw.bytes;
        dyno_strbuf_printf(copier->out, "%s%lld", i > 0 ? "," : "", (long long)with[i]);
    }
    copier->copied = end;
    return dyno_json_read(&copier->reader, &token, err); /* its close */
}

static enum dyno_status replace_sizes(struct copier *copier, struct dyno_err *err)
{
    struct dyno_json_token token;
    int64_t dims[RANK] = {0};
    (void)dims_of(copier->conv, id_of(copier->tensor), dims);
    const int64_t n = dims[1] * dims[2] * dims[3];
    const int64_t lasts[RANK] = {n, 1, dims[3] * dims[1], dims[1]};
    const int64_t rows[RANK] = {n, dims[2] * dims[3], dims[3], 1};
    for (;;) {
        DYNO_TRY(dyno_json_read(&copier->reader, &token, err));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            return DYNO_OK;
        if (token.kind == DYNO_JSON_TOKEN_ARRAY && dyno_json_raw_is(&token.key, "dim"))
            DYNO_TRY(replace_list(copier, dims, err));
        else if (token.kind == DYNO_JSON_TOKEN_ARRAY && dyno_json_raw_is(&token.key, "stride"))
            DYNO_TRY(replace_list(copier, copier->conv->last != 0 ? lasts : rows, err));
        else if (token.kind == DYNO_JSON_TOKEN_ARRAY || token.kind == DYNO_JSON_TOKEN_OBJECT)
            DYNO_TRY(dyno_json_skip(&copier->reader, err));
    }
}

/* Read on to the member `key`, a container, of the one that was opened. */
static enum dyno_status enter(struct copier *copier, const char *key, struct dyno_err *err)
{
    struct dyno_json_token token;
    for (;;) {
        DYNO_TRY(dyno_json_read(&copier->reader, &token, err));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE || token.kind == DYNO_JSON_TOKEN_END)
            return dyno_json_refuse(&copier->reader, err, "a part is missing");
        const bool opens =
            token.kind == DYNO_JSON_TOKEN_ARRAY || token.kind == DYNO_JSON_TOKEN_OBJECT;
        if (opens && token.has_key && dyno_json_raw_is(&token.key, key))
            return DYNO_OK;
        if (opens)
            DYNO_TRY(dyno_json_skip(&copier->reader, err));
    }
}

/* The text with the sizes of conv's tensors, whatever sizes it had. */
static enum dyno_status resize(const struct dyno_cudnn_conv *conv, const char *json, size_t bytes,
                               const struct dyno_json *tensors, struct dyno_strbuf *out,
                               struct dyno_err *err)
{
    struct copier copier = {.conv = conv, .copied = json, .out = out};
    struct dyno_json_token token;
    dyno_json_reader_init(&copier.reader, json, bytes);
    DYNO_TRY(dyno_json_read(&copier.reader, &token, err)); /* the object that is all */
    DYNO_TRY(enter(&copier, "operationGraph", err));
    DYNO_TRY(enter(&copier, "tensors", err));
    for (copier.tensor = tensors->first; copier.tensor != NULL;
         copier.tensor = copier.tensor->next) {
        DYNO_TRY(dyno_json_read(&copier.reader, &token, err));
        DYNO_TRY(replace_sizes(&copier, err));
    }
    dyno_strbuf_add(out, copier.copied, (size_t)(json + bytes - copier.copied));
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}

/* Beyond a plan's tensors nothing of it touches memory but its workspace, whose size cuDNN says. */
static enum dyno_status take_text(const struct dyno_cudnn_conv *conv, const char *json,
                                  size_t bytes, struct dyno_strbuf *out, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_json_parse(json, bytes, arena, &root, err);
    const struct dyno_json *graph = dyno_json_find(root, "operationGraph");
    const struct dyno_json *tensors = dyno_json_find(graph, "tensors");
    bool fits = tensors != NULL && tensors->kind == DYNO_JSON_ARRAY && tensors->count != 0 &&
                window_fits(dyno_json_find(graph, "nodes"), conv);
    for (const struct dyno_json *at = fits ? tensors->first : NULL; at != NULL; at = at->next)
        fits = fits && tensor_fits(at, conv);
    if (status == DYNO_OK && !fits)
        status =
            DYNO_FAIL(err, DYNO_E_FORMAT, "its tensors or its window are not those of the step");
    if (status == DYNO_OK)
        status = resize(conv, json, bytes, tensors, out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "the plan for cuDNN");
    dyno_arena_destroy(arena);
    return status;
}

/* --- plans --- */

static enum dyno_status make_plan(const struct dyno_cudnn_session *session, const char *json,
                                  size_t bytes, struct dyno_cudnn_plan *plan, struct dyno_err *err)
{
    const struct dyno_cudnn *cudnn = session->cudnn;
    int64_t count = 0, workspace = 0;
    int code = cudnn->descriptor_create(DYNO_CUDNN_PLAN, &plan->plan);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->set(plan->plan, DYNO_CUDNN_PLAN_HANDLE, DYNO_CUDNN_T_HANDLE, 1,
                          &session->handle);
    if (code == DYNO_CUDNN_OK)
        code =
            cudnn->set(plan->plan, DYNO_CUDNN_PLAN_JSON, DYNO_CUDNN_T_CHAR, (int64_t)bytes, json);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->finalize(plan->plan);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->get(plan->plan, DYNO_CUDNN_PLAN_WORKSPACE, DYNO_CUDNN_T_I64, 1, &count,
                          &workspace);
    const enum dyno_status status = dyno_cudnn_check(cudnn, code, "to make the plan", err);
    if (status == DYNO_OK && workspace >= 0) {
        plan->workspace_bytes = (uint64_t)workspace;
        return DYNO_OK;
    }
    dyno_cudnn_plan_drop(session, plan);
    return status != DYNO_OK ? status
                             : DYNO_FAIL(err, DYNO_E_IO, "cuDNN wants %lld bytes of workspace",
                                         (long long)workspace);
}

enum dyno_status dyno_cudnn_plan_make(const struct dyno_cudnn_session *session,
                                      const struct dyno_cudnn_conv *conv, const char *json,
                                      size_t bytes, struct dyno_cudnn_plan *plan_out,
                                      struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    *plan_out = (struct dyno_cudnn_plan){.plan = NULL};
    enum dyno_status status = take_text(conv, json, bytes, &text, err);
    if (status == DYNO_OK)
        status = make_plan(session, dyno_strbuf_text(&text), text.bytes, plan_out, err);
    dyno_strbuf_fini(&text);
    return status;
}

void dyno_cudnn_plan_drop(const struct dyno_cudnn_session *session, struct dyno_cudnn_plan *plan)
{
    if (plan->plan != NULL)
        (void)session->cudnn->descriptor_destroy(plan->plan);
    plan->plan = NULL;
}

/* --- runs --- */

static int use_stream(struct dyno_cudnn_session *session, void *stream)
{
    if (session->stream == stream)
        return DYNO_CUDNN_OK;
    const int code = session->cudnn->set_stream(session->handle, stream);
    if (code == DYNO_CUDNN_OK)
        session->stream = stream;
    return code;
}

enum dyno_status dyno_cudnn_plan_run(struct dyno_cudnn_session *session,
                                     const struct dyno_cudnn_plan *plan, void *stream,
                                     void *const data[DYNO_CUDNN_ID_END], void *workspace,
                                     struct dyno_err *err)
{
    const struct dyno_cudnn *cudnn = session->cudnn;
    CUDNN_DESCRIPTOR pack = NULL;
    int64_t ids[DYNO_CUDNN_ID_END];
    void *pointers[DYNO_CUDNN_ID_END];
    int64_t count = 0;
    for (int64_t id = DYNO_CUDNN_X; id < DYNO_CUDNN_ID_END; id++) {
        if (data[id] == NULL)
            continue;
        ids[count] = id;
        pointers[count++] = data[id];
    }
    int code = use_stream(session, stream);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->descriptor_create(DYNO_CUDNN_VARIANT, &pack);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->set(pack, DYNO_CUDNN_VARIANT_IDS, DYNO_CUDNN_T_I64, count, ids);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->set(pack, DYNO_CUDNN_VARIANT_POINTERS, DYNO_CUDNN_T_POINTER, count, pointers);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->set(pack, DYNO_CUDNN_VARIANT_WORKSPACE, DYNO_CUDNN_T_POINTER, 1, &workspace);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->finalize(pack);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->execute(session->handle, plan->plan, pack);
    const enum dyno_status status = dyno_cudnn_check(cudnn, code, "to run a plan", err);
    if (pack != NULL)
        (void)cudnn->descriptor_destroy(pack);
    return status;
}

enum dyno_status dyno_cudnn_add_bias(struct dyno_cudnn_session *session,
                                     const struct dyno_cudnn_conv *conv, void *stream,
                                     const void *bias, void *y, struct dyno_err *err)
{
    const struct dyno_cudnn *cudnn = session->cudnn;
    const float one = 1.0F;
    CUDNN_TENSOR small = NULL;
    CUDNN_TENSOR large = NULL;
    int code = use_stream(session, stream);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->tensor_create(&small);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->tensor_create(&large);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->tensor_set(small, DYNO_CUDNN_NCHW, DYNO_CUDNN_FLOAT, 1, (int)conv->m, 1, 1);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->tensor_set(large, DYNO_CUDNN_NCHW, DYNO_CUDNN_FLOAT, (int)conv->batch,
                                 (int)conv->m, (int)conv->oh, (int)conv->ow);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->add_tensor(session->handle, &one, small, bias, &one, large, y);
    const enum dyno_status status = dyno_cudnn_check(cudnn, code, "to add a bias", err);
    if (small != NULL)
        (void)cudnn->tensor_destroy(small);
    if (large != NULL)
        (void)cudnn->tensor_destroy(large);
    return status;
}
