/* cudnn_conv.c - a convolution as cuDNN's graph, and the engines that it offers for it. */
#include "backend/cuda/cudnn_conv.h"

#include <string.h>

#include "base/dtype.h"
#include "base/hash.h"

#define MADE_MAX  192
#define CFGS_MAX  64
#define NOTES_MAX 16
#define FOUND_MAX 512 /* of them a session keeps what it found, then it begins anew */
#define RANK      4   /* [n][c][h][w], whatever the strides */

/* Descriptors that are being made; they end together.  After a failure nothing more happens. */
struct maker {
    struct dyno_cudnn_session *session;
    const struct dyno_cudnn *cudnn;
    int code;
    CUDNN_DESCRIPTOR made[MADE_MAX];
    int count;
    int virtual_id; /* of the last tensor between two operations */
};

/* What a session was asked. */
struct dyno_cudnn_found {
    struct dyno_cudnn_found *next;
    struct dyno_cudnn_conv conv;
    struct dyno_cudnn_choice choices[DYNO_CUDNN_CHOICES_MAX];
    int count;
};

static CUDNN_DESCRIPTOR make(struct maker *maker, int kind)
{
    CUDNN_DESCRIPTOR made = NULL;
    DYNO_ASSERT(maker->count < MADE_MAX);
    if (maker->code == DYNO_CUDNN_OK)
        maker->code = maker->cudnn->descriptor_create(kind, &made);
    if (maker->code != DYNO_CUDNN_OK)
        return NULL;
    maker->made[maker->count++] = made;
    return made;
}

static void put(struct maker *maker, CUDNN_DESCRIPTOR to, int attribute, int type, int64_t count,
                const void *values)
{
    if (maker->code == DYNO_CUDNN_OK)
        maker->code = maker->cudnn->set(to, attribute, type, count, values);
}

static void put_one(struct maker *maker, CUDNN_DESCRIPTOR to, int attribute, CUDNN_DESCRIPTOR value)
{
    put(maker, to, attribute, DYNO_CUDNN_T_DESCRIPTOR, 1, &value);
}

static void finish(struct maker *maker, CUDNN_DESCRIPTOR made)
{
    if (maker->code == DYNO_CUDNN_OK)
        maker->code = maker->cudnn->finalize(made);
}

static void drop(struct maker *maker)
{
    while (maker->count > 0)
        (void)maker->cudnn->descriptor_destroy(maker->made[--maker->count]);
}

/* --- the graph --- */

static int type_of(int64_t elem)
{
    if (elem == DYNO_F16)
        return DYNO_CUDNN_HALF;
    return elem == DYNO_BF16 ? DYNO_CUDNN_BFLOAT16 : DYNO_CUDNN_FLOAT;
}

static CUDNN_DESCRIPTOR make_tensor(struct maker *maker, bool last, int type, int64_t id,
                                    const int64_t dims[RANK])
{
    const int64_t n = dims[1] * dims[2] * dims[3];
    const int64_t lasts[RANK] = {n, 1, dims[3] * dims[1], dims[1]};
    const int64_t rows[RANK] = {n, dims[2] * dims[3], dims[3], 1};
    const int64_t alignment = 16;
    const bool is_virtual = id >= DYNO_CUDNN_ID_END;
    CUDNN_DESCRIPTOR made = make(maker, DYNO_CUDNN_TENSOR);
    put(maker, made, DYNO_CUDNN_TENSOR_TYPE, DYNO_CUDNN_T_DATA_TYPE, 1, &type);
    put(maker, made, DYNO_CUDNN_TENSOR_DIMS, DYNO_CUDNN_T_I64, RANK, dims);
    put(maker, made, DYNO_CUDNN_TENSOR_STRIDES, DYNO_CUDNN_T_I64, RANK, last ? lasts : rows);
    put(maker, made, DYNO_CUDNN_TENSOR_ID, DYNO_CUDNN_T_I64, 1, &id);
    put(maker, made, DYNO_CUDNN_TENSOR_ALIGNMENT, DYNO_CUDNN_T_I64, 1, &alignment);
    if (is_virtual)
        put(maker, made, DYNO_CUDNN_TENSOR_IS_VIRTUAL, DYNO_CUDNN_T_BOOL, 1, &is_virtual);
    finish(maker, made);
    return made;
}

/* What an operation writes: y, or f32 between two. */
static CUDNN_DESCRIPTOR make_output(struct maker *maker, const struct dyno_cudnn_conv *conv,
                                    bool is_y)
{
    const int64_t dims[RANK] = {conv->batch, conv->m, conv->oh, conv->ow};
    return make_tensor(maker, conv->last != 0, is_y ? type_of(conv->elem) : DYNO_CUDNN_FLOAT,
                       is_y ? DYNO_CUDNN_Y : DYNO_CUDNN_ID_END + maker->virtual_id++, dims);
}

static CUDNN_DESCRIPTOR make_window(struct maker *maker, const struct dyno_cudnn_conv *conv)
{
    const int type = DYNO_CUDNN_FLOAT;
    const int mode = DYNO_CUDNN_CROSS_CORRELATION;
    const int64_t axes = 2;
    const int64_t before[] = {conv->ph, conv->pw};
    const int64_t after[] = {conv->ph_end, conv->pw_end};
    const int64_t strides[] = {conv->sh, conv->sw};
    const int64_t dilations[] = {conv->dh, conv->dw};
    CUDNN_DESCRIPTOR made = make(maker, DYNO_CUDNN_CONVOLUTION);
    put(maker, made, DYNO_CUDNN_CONV_AXES, DYNO_CUDNN_T_I64, 1, &axes);
    put(maker, made, DYNO_CUDNN_CONV_TYPE, DYNO_CUDNN_T_DATA_TYPE, 1, &type);
    put(maker, made, DYNO_CUDNN_CONV_MODE, DYNO_CUDNN_T_CONV_MODE, 1, &mode);
    put(maker, made, DYNO_CUDNN_CONV_PADS_BEFORE, DYNO_CUDNN_T_I64, axes, before);
    put(maker, made, DYNO_CUDNN_CONV_PADS_AFTER, DYNO_CUDNN_T_I64, axes, after);
    put(maker, made, DYNO_CUDNN_CONV_STRIDES, DYNO_CUDNN_T_I64, axes, strides);
    put(maker, made, DYNO_CUDNN_CONV_DILATIONS, DYNO_CUDNN_T_I64, axes, dilations);
    finish(maker, made);
    return made;
}

static CUDNN_DESCRIPTOR make_conv(struct maker *maker, const struct dyno_cudnn_conv *conv,
                                  CUDNN_DESCRIPTOR y)
{
    const int64_t x_dims[RANK] = {conv->batch, conv->c, conv->h, conv->w};
    const int64_t w_dims[RANK] = {conv->m, conv->c / conv->groups, conv->kh, conv->kw};
    const int type = type_of(conv->elem);
    const float one = 1.0F, zero = 0.0F;
    CUDNN_DESCRIPTOR x = make_tensor(maker, conv->last != 0, type, DYNO_CUDNN_X, x_dims);
    CUDNN_DESCRIPTOR w = make_tensor(maker, conv->last != 0, type, DYNO_CUDNN_W, w_dims);
    CUDNN_DESCRIPTOR window = make_window(maker, conv);
    CUDNN_DESCRIPTOR made = make(maker, DYNO_CUDNN_CONV_OP);
    put_one(maker, made, DYNO_CUDNN_CONV_OP_CONV, window);
    put_one(maker, made, DYNO_CUDNN_CONV_OP_X, x);
    put_one(maker, made, DYNO_CUDNN_CONV_OP_W, w);
    put_one(maker, made, DYNO_CUDNN_CONV_OP_Y, y);
    put(maker, made, DYNO_CUDNN_CONV_OP_ALPHA, DYNO_CUDNN_T_F32, 1, &one);
    put(maker, made, DYNO_CUDNN_CONV_OP_BETA, DYNO_CUDNN_T_F32, 1, &zero);
    finish(maker, made);
    return made;
}

/* y of x and, unless it is NULL, b. */
static CUDNN_DESCRIPTOR make_pointwise(struct maker *maker, int mode, CUDNN_DESCRIPTOR x,
                                       CUDNN_DESCRIPTOR b, CUDNN_DESCRIPTOR y)
{
    const int type = DYNO_CUDNN_FLOAT;
    CUDNN_DESCRIPTOR what = make(maker, DYNO_CUDNN_POINTWISE);
    put(maker, what, DYNO_CUDNN_POINTWISE_MODE, DYNO_CUDNN_T_POINTWISE_MODE, 1, &mode);
    put(maker, what, DYNO_CUDNN_POINTWISE_PRECISION, DYNO_CUDNN_T_DATA_TYPE, 1, &type);
    finish(maker, what);
    CUDNN_DESCRIPTOR made = make(maker, DYNO_CUDNN_POINTWISE_OP);
    put_one(maker, made, DYNO_CUDNN_POINTWISE_OP_WHAT, what);
    put_one(maker, made, DYNO_CUDNN_POINTWISE_OP_X, x);
    if (b != NULL)
        put_one(maker, made, DYNO_CUDNN_POINTWISE_OP_B, b);
    put_one(maker, made, DYNO_CUDNN_POINTWISE_OP_Y, y);
    finish(maker, made);
    return made;
}

static CUDNN_DESCRIPTOR make_graph(struct maker *maker, const struct dyno_cudnn_conv *conv)
{
    const bool last = conv->last != 0;
    const int type = type_of(conv->elem);
    const int64_t y_dims[RANK] = {conv->batch, conv->m, conv->oh, conv->ow};
    const int64_t bias_dims[RANK] = {1, conv->m, 1, 1};
    int64_t left = conv->has_z + conv->has_bias + conv->has_relu;
    CUDNN_DESCRIPTOR ops[4];
    int count = 0;
    CUDNN_DESCRIPTOR y = make_output(maker, conv, left == 0);
    ops[count++] = make_conv(maker, conv, y);
    if (conv->has_z != 0) {
        CUDNN_DESCRIPTOR x = y;
        CUDNN_DESCRIPTOR z = make_tensor(maker, last, type, DYNO_CUDNN_Z, y_dims);
        y = make_output(maker, conv, --left == 0);
        ops[count++] = make_pointwise(maker, DYNO_CUDNN_ADD, x, z, y);
    }
    if (conv->has_bias != 0) {
        CUDNN_DESCRIPTOR x = y;
        CUDNN_DESCRIPTOR bias = make_tensor(maker, last, type, DYNO_CUDNN_BIAS, bias_dims);
        y = make_output(maker, conv, --left == 0);
        ops[count++] = make_pointwise(maker, DYNO_CUDNN_ADD, x, bias, y);
    }
    if (conv->has_relu != 0) {
        CUDNN_DESCRIPTOR x = y;
        y = make_output(maker, conv, true);
        ops[count++] = make_pointwise(maker, DYNO_CUDNN_RELU, x, NULL, y);
    }
    CUDNN_DESCRIPTOR graph = make(maker, DYNO_CUDNN_GRAPH);
    put(maker, graph, DYNO_CUDNN_GRAPH_OPS, DYNO_CUDNN_T_DESCRIPTOR, count, ops);
    put(maker, graph, DYNO_CUDNN_GRAPH_HANDLE, DYNO_CUDNN_T_HANDLE, 1, &maker->session->handle);
    finish(maker, graph);
    return graph;
}

/* --- engines --- */

/* Bit n: the engine says note n of itself.  All bits, when it cannot be asked. */
static uint32_t notes_of(const struct maker *maker, CUDNN_DESCRIPTOR engine, int attribute,
                         int type)
{
    int notes[NOTES_MAX] = {0};
    int64_t count = 0;
    uint32_t bits = 0;
    if (maker->cudnn->get(engine, attribute, type, NOTES_MAX, &count, notes) != DYNO_CUDNN_OK ||
        count < 0 || count > NOTES_MAX)
        return UINT32_MAX;
    for (int64_t i = 0; i < count; i++)
        bits |= notes[i] >= 0 && notes[i] < 32 ? 1U << notes[i] : 1U << 31;
    return bits;
}

static bool is_wanted(const struct maker *maker, const struct dyno_cudnn_conv *conv,
                      CUDNN_DESCRIPTOR engine, bool *is_winograd_out)
{
    const uint32_t numbers =
        notes_of(maker, engine, DYNO_CUDNN_ENGINE_NUMERICAL_NOTE, DYNO_CUDNN_T_NUMERICAL_NOTE);
    const uint32_t behavior =
        notes_of(maker, engine, DYNO_CUDNN_ENGINE_BEHAVIOR_NOTE, DYNO_CUDNN_T_BEHAVIOR_NOTE);
    const uint32_t rounds = 1U << DYNO_CUDNN_TENSOR_CORE | 1U << DYNO_CUDNN_DOWN_CONVERT;
    uint32_t unwanted = 1U << 31;
    if (conv->elem == DYNO_F32 && conv->tf32 == 0)
        unwanted |= rounds;
    if (conv->eager == 0)
        unwanted |= 1U << DYNO_CUDNN_REDUCED_SUMS | 1U << DYNO_CUDNN_FFT |
                    1U << DYNO_CUDNN_NONDETERMINISTIC;
    if (conv->elem != DYNO_F32)
        unwanted |= 1U << DYNO_CUDNN_WINOGRAD;
    *is_winograd_out = (numbers >> DYNO_CUDNN_WINOGRAD & 1U) != 0;
    return (numbers & unwanted) == 0 && (conv->tf32 == 0 || (numbers & rounds) != 0) &&
           (behavior & (1U << DYNO_CUDNN_RUNTIME_COMPILATION | 1U << DYNO_CUDNN_FILTER_REORDER |
                        1U << DYNO_CUDNN_BIAS_REORDER | 1U << DYNO_CUDNN_CUBLASLT | 1U << 31)) == 0;
}

/* The text of a plan into the session's arena; false: there is none, or no memory for it. */
static bool take_text(const struct maker *maker, CUDNN_DESCRIPTOR plan,
                      struct dyno_cudnn_choice *choice)
{
    int64_t bytes = 0, workspace = 0, count = 0;
    if (maker->cudnn->get(plan, DYNO_CUDNN_PLAN_WORKSPACE, DYNO_CUDNN_T_I64, 1, &count,
                          &workspace) != DYNO_CUDNN_OK ||
        workspace < 0 ||
        maker->cudnn->get(plan, DYNO_CUDNN_PLAN_JSON, DYNO_CUDNN_T_CHAR, 0, &bytes, NULL) !=
            DYNO_CUDNN_OK ||
        bytes <= 0 || bytes >= DYNO_CUDNN_JSON_BYTES_MAX)
        return false;
    char *json = dyno_arena_alloc(maker->session->arena, (size_t)bytes + 1, 1);
    if (json == NULL || maker->cudnn->get(plan, DYNO_CUDNN_PLAN_JSON, DYNO_CUDNN_T_CHAR, bytes,
                                          &bytes, json) != DYNO_CUDNN_OK)
        return false;
    const char *engine = strstr(json, "\"engine\":");
    choice->json = json;
    choice->json_bytes = (uint32_t)strlen(json);
    choice->workspace_bytes = (uint64_t)workspace;
    choice->knobs =
        dyno_fnv1a32(engine != NULL ? engine : json, strlen(engine != NULL ? engine : json));
    return choice->json_bytes > 0;
}

/* This configuration as a choice, where it is one: what cuDNN cannot do is none. */
static bool take_choice(const struct dyno_cudnn_session *session,
                        const struct dyno_cudnn_conv *conv, CUDNN_DESCRIPTOR config,
                        struct dyno_cudnn_choice *choice)
{
    struct maker maker = {.session = (struct dyno_cudnn_session *)(uintptr_t)session,
                          .cudnn = session->cudnn};
    int64_t count = 0, index = 0;
    bool taken = false;
    CUDNN_DESCRIPTOR engine = make(&maker, DYNO_CUDNN_ENGINE);
    CUDNN_DESCRIPTOR plan = make(&maker, DYNO_CUDNN_PLAN);
    if (maker.code == DYNO_CUDNN_OK)
        maker.code = session->cudnn->get(config, DYNO_CUDNN_CONFIG_ENGINE, DYNO_CUDNN_T_DESCRIPTOR,
                                         1, &count, &engine);
    if (maker.code == DYNO_CUDNN_OK && is_wanted(&maker, conv, engine, &choice->is_winograd)) {
        put(&maker, plan, DYNO_CUDNN_PLAN_HANDLE, DYNO_CUDNN_T_HANDLE, 1, &session->handle);
        put_one(&maker, plan, DYNO_CUDNN_PLAN_CONFIG, config);
        finish(&maker, plan);
        if (maker.code == DYNO_CUDNN_OK)
            maker.code = session->cudnn->get(engine, DYNO_CUDNN_ENGINE_INDEX, DYNO_CUDNN_T_I64, 1,
                                             &count, &index);
        choice->engine = (uint32_t)index;
        taken = maker.code == DYNO_CUDNN_OK && take_text(&maker, plan, choice);
    }
    drop(&maker);
    return taken;
}

/* Those of one list of cuDNN's behind what was found already. */
static void take_list(struct maker *maker, CUDNN_DESCRIPTOR graph, int mode,
                      struct dyno_cudnn_found *found)
{
    const int most = found->conv.eager != 0 ? 1 : DYNO_CUDNN_CHOICES_MAX;
    CUDNN_DESCRIPTOR configs[CFGS_MAX];
    int64_t count = 0;
    CUDNN_DESCRIPTOR list = make(maker, DYNO_CUDNN_HEURISTIC);
    put_one(maker, list, DYNO_CUDNN_HEUR_GRAPH, graph);
    put(maker, list, DYNO_CUDNN_HEUR_MODE, DYNO_CUDNN_T_HEUR_MODE, 1, &mode);
    finish(maker, list);
    for (int i = 0; i < CFGS_MAX; i++)
        configs[i] = make(maker, DYNO_CUDNN_CONFIG);
    if (maker->code == DYNO_CUDNN_OK)
        maker->code = maker->cudnn->get(list, DYNO_CUDNN_HEUR_RESULTS, DYNO_CUDNN_T_DESCRIPTOR,
                                        CFGS_MAX, &count, configs);
    for (int64_t i = 0; maker->code == DYNO_CUDNN_OK && i < count && i < CFGS_MAX; i++) {
        struct dyno_cudnn_choice choice = {.json = NULL};
        if (found->count == most || !take_choice(maker->session, &found->conv, configs[i], &choice))
            continue;
        bool is_new = true;
        for (int k = 0; k < found->count; k++)
            is_new = is_new && found->choices[k].knobs != choice.knobs;
        if (is_new)
            found->choices[found->count++] = choice;
    }
}

enum dyno_status dyno_cudnn_conv_choices(struct dyno_cudnn_session *session,
                                         const struct dyno_cudnn_conv *conv,
                                         const struct dyno_cudnn_choice **choices_out,
                                         int *count_out, struct dyno_err *err)
{
    static const int modes[] = {DYNO_CUDNN_MODE_A, DYNO_CUDNN_MODE_FALLBACK};
    struct dyno_cudnn_found *found = session->found;
    while (found != NULL && memcmp(&found->conv, conv, sizeof(*conv)) != 0)
        found = found->next;
    if (found == NULL && session->found_count == FOUND_MAX) {
        struct dyno_arena *anew = dyno_arena_create();
        if (anew == NULL)
            return DYNO_NOMEM(err);
        dyno_arena_destroy(session->arena);
        session->arena = anew;
        session->found = NULL;
        session->found_count = 0;
    }
    if (found == NULL) {
        found = dyno_arena_alloc(session->arena, 1, sizeof(*found));
        if (found == NULL)
            return DYNO_NOMEM(err);
        found->conv = *conv;
        found->next = session->found;
        session->found = found;
        session->found_count++;
        /* A graph or a list that cuDNN does not know has no choices. */
        for (size_t i = 0; i < DYNO_COUNT(modes) && found->count == 0; i++) {
            struct maker maker = {.session = session, .cudnn = session->cudnn};
            CUDNN_DESCRIPTOR graph = make_graph(&maker, conv);
            take_list(&maker, graph, modes[i], found);
            drop(&maker);
        }
    }
    *choices_out = found->choices;
    *count_out = found->count;
    return DYNO_OK;
}
