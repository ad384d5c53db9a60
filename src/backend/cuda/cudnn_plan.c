/* cudnn_plan.c - cuDNN's plans: made of text, kept, run. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_conv.h"
#include "base/hash.h"
#include "base/json.h"

#define RANK 4

/* --- text --- */

static bool is_list(const struct dyno_json *json, const int64_t want[RANK])
{
    if (json == NULL || json->kind != DYNO_JSON_ARRAY || json->count != RANK)
        return false;
    int at = 0;
    for (const struct dyno_json *item = json->first; item != NULL; item = item->next) {
        if (item->kind != DYNO_JSON_NUMBER || !item->is_int || item->integer != want[at++])
            return false;
    }
    return true;
}

static bool is_text(const struct dyno_json *json, const char *want)
{
    return json != NULL && json->kind == DYNO_JSON_STRING && strcmp(json->text, want) == 0;
}

/* Dimensions of the tensor of that name; false: `conv` has none. */
static bool dims_of(const struct dyno_cudnn_conv *conv, long id, int64_t dims[RANK])
{
    const int64_t all[DYNO_CUDNN_ID_END][RANK] = {
        [DYNO_CUDNN_X] = {conv->batch, conv->c, conv->h, conv->w},
        [DYNO_CUDNN_W] = {conv->m, conv->c / conv->groups, conv->kh, conv->kw},
        [DYNO_CUDNN_Y] = {conv->batch, conv->m, conv->oh, conv->ow},
        [DYNO_CUDNN_Z] = {conv->batch, conv->m, conv->oh, conv->ow},
        [DYNO_CUDNN_BIAS] = {1, conv->m, 1, 1},
    };
    if (id < DYNO_CUDNN_X || id >= DYNO_CUDNN_ID_END || (id == DYNO_CUDNN_Z && conv->has_z == 0) ||
        (id == DYNO_CUDNN_BIAS && conv->has_bias == 0))
        return false;
    memcpy(dims, all[id], sizeof(all[id]));
    return true;
}

/* Is it one of those that will be given, or one that is never stored? */
static bool tensor_fits(const struct dyno_json *tensor, const struct dyno_cudnn_conv *conv)
{
    static const char *const types[] = {
        [DYNO_F32] = "CUDNN_DATA_FLOAT",
        [DYNO_F16] = "CUDNN_DATA_HALF",
        [DYNO_BF16] = "CUDNN_DATA_BFLOAT16",
    };
    const struct dyno_json *name = dyno_json_find(tensor, "name");
    const struct dyno_json *is_virtual = dyno_json_find(tensor, "isVirtual");
    int64_t dims[RANK];
    char *end = NULL;
    if (name == NULL || name->kind != DYNO_JSON_STRING || is_virtual == NULL ||
        is_virtual->kind != DYNO_JSON_BOOL)
        return false;
    const long id = strtol(name->text, &end, 10);
    if (is_virtual->boolean)
        return id >= DYNO_CUDNN_ID_END;
    if (*end != 0 || !dims_of(conv, id, dims))
        return false;
    const int64_t n = dims[1] * dims[2] * dims[3];
    const int64_t lasts[RANK] = {n, 1, dims[3] * dims[1], dims[1]};
    const int64_t rows[RANK] = {n, dims[2] * dims[3], dims[3], 1};
    return is_list(dyno_json_find(tensor, "dim"), dims) &&
           is_list(dyno_json_find(tensor, "stride"), conv->last != 0 ? lasts : rows) &&
           is_text(dyno_json_find(tensor, "dataType"), types[conv->elem]);
}

/* Beyond a plan's tensors nothing of it touches memory but its workspace, whose size cuDNN says. */
static enum dyno_status check_text(const struct dyno_cudnn_conv *conv, const char *json,
                                   size_t bytes, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_json_parse(json, bytes, arena, &root, err);
    const struct dyno_json *graph = dyno_json_find(root, "operationGraph");
    const struct dyno_json *tensors = dyno_json_find(graph, "tensors");
    bool fits = tensors != NULL && tensors->kind == DYNO_JSON_ARRAY && tensors->count != 0;
    for (const struct dyno_json *at = fits ? tensors->first : NULL; at != NULL; at = at->next)
        fits = fits && tensor_fits(at, conv);
    if (status == DYNO_OK && !fits)
        status = DYNO_FAIL(err, DYNO_E_FORMAT, "its tensors are not those of the step");
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
    if (plan->plan != NULL)
        (void)cudnn->descriptor_destroy(plan->plan);
    return status != DYNO_OK ? status
                             : DYNO_FAIL(err, DYNO_E_IO, "cuDNN wants %lld bytes of workspace",
                                         (long long)workspace);
}

enum dyno_status dyno_cudnn_plan_of(struct dyno_cudnn_session *session,
                                    const struct dyno_cudnn_conv *conv, const char *json,
                                    size_t bytes, const struct dyno_cudnn_plan **plan_out,
                                    struct dyno_err *err)
{
    const uint64_t key[2] = {dyno_hash64(1, json, bytes), dyno_hash64(2, json, bytes)};
    *plan_out = NULL;
    DYNO_TRY(check_text(conv, json, bytes, err));
    struct dyno_cudnn_plan *plan = session->plans;
    while (plan != NULL && memcmp(plan->key, key, sizeof(key)) != 0)
        plan = plan->next;
    if (plan == NULL) {
        plan = dyno_arena_alloc(session->arena, 1, sizeof(*plan));
        if (plan == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(make_plan(session, json, bytes, plan, err));
        memcpy(plan->key, key, sizeof(key));
        plan->next = session->plans;
        session->plans = plan;
    }
    *plan_out = plan;
    return DYNO_OK;
}

void dyno_cudnn_plans_drop(struct dyno_cudnn_session *session)
{
    for (; session->plans != NULL; session->plans = session->plans->next)
        (void)session->cudnn->descriptor_destroy(session->plans->plan);
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
