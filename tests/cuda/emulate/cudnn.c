/* cudnn.c - stands in for libcudnn.so.9: convolutions of the backend interface, computed in f32 on
 * the emulated GPU.
 *
 * It offers several engines for each, some of which a caller must know not to take: see `engines`.
 * An engine's first run on a stream that is being captured fails, as a real one may load then.
 * DYNO_EMULATE_CUDNN_VERSION (91900).  DYNO_EMULATE_CUDNN_FAIL: name of the function that fails.
 * DYNO_EMULATE_CUDNN_WORKSPACE: bytes that the engine with a workspace wants, which is faster then.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_conv.h"
#include "cudnn_conv_run.h"
#include "cudnn_text.h"
#include "library.h"

/* NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): as NVIDIA names them */
#define DYNO_CUDNN(result, name, symbol, params) \
    __attribute__((visibility("default"))) result symbol params;
#include "backend/cuda/cudnn.def"
#undef DYNO_CUDNN
/* NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses) */

enum {
    BAD_PARAM = 2000,
    NOT_SUPPORTED = 3000,
    EXECUTION_FAILED = 5000,
    ATTRIBUTES_MAX = 16,
    ENGINES = 6,
    ANY = 1 << 30,
};

/* In the order in which the heuristic likes them; the last is its fallback. */
static const struct {
    int64_t batch_max;               /* that it does */
    int number, numerical, behavior; /* -1: no note */
    bool has_workspace;
} engines[ENGINES] = {
    {ANY, 8, -1, DYNO_CUDNN_RUNTIME_COMPILATION, false},
    {4, 7, DYNO_CUDNN_TENSOR_CORE, -1, false},
    {0, 3, -1, -1, false},
    {4, 5, DYNO_CUDNN_WINOGRAD, -1, false},
    {ANY, 4, -1, -1, true},
    {ANY, 0, -1, -1, false},
};

struct attribute {
    int name, type;
    int64_t count;
    void *values;
};

struct descriptor {
    int kind;
    bool is_final;
    struct attribute attributes[ATTRIBUTES_MAX];
    int count;
    int engine;               /* of an engine, a configuration, a plan: index into engines */
    struct emulate_conv conv; /* of a graph and whatever is made of it */
    char *json;               /* of a plan */
};

struct handle {
    void *stream;
};

static _Thread_local char said[256];
static bool has_run[ENGINES];
static atomic_int handle_count, descriptor_count;

static int say(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(said, sizeof(said), format, args);
    va_end(args);
    return code;
}

static bool is_to_fail(const char *function)
{
    const char *name = getenv("DYNO_EMULATE_CUDNN_FAIL");
    return name != NULL && strcmp(name, function) == 0;
}

static int64_t workspace_of(int engine)
{
    const char *bytes = getenv("DYNO_EMULATE_CUDNN_WORKSPACE");
    if (!engines[engine].has_workspace)
        return 0;
    return bytes != NULL ? strtoll(bytes, NULL, 10) : 1000;
}

size_t cudnnGetVersion(void)
{
    const char *version = getenv("DYNO_EMULATE_CUDNN_VERSION");
    return version != NULL ? strtoul(version, NULL, 10) : 91900;
}

const char *cudnnGetErrorString(int status)
{
    return status == NOT_SUPPORTED      ? "CUDNN_STATUS_NOT_SUPPORTED"
           : status == BAD_PARAM        ? "CUDNN_STATUS_BAD_PARAM"
           : status == EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED"
                                        : "CUDNN_STATUS_INTERNAL_ERROR";
}

void cudnnGetLastErrorString(char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s", said);
    said[0] = 0;
}

/* --- handles --- */

int cudnnCreate(void **handle)
{
    if (is_to_fail("cudnnCreate"))
        return say(DYNO_CUDNN_DEVICE_MEMORY, "no memory for a handle");
    *handle = calloc(1, sizeof(struct handle));
    atomic_fetch_add(&handle_count, 1);
    return *handle != NULL ? DYNO_CUDNN_OK : DYNO_CUDNN_HOST_MEMORY;
}

int cudnnDestroy(void *handle)
{
    free(handle);
    if (atomic_fetch_sub(&handle_count, 1) == 1 && descriptor_count != 0) {
        (void)fprintf(stderr, "emulated cuDNN: %d descriptors are left\n", descriptor_count);
        abort();
    }
    return DYNO_CUDNN_OK;
}

int cudnnSetStream(void *handle, void *stream)
{
    ((struct handle *)handle)->stream = stream;
    return DYNO_CUDNN_OK;
}

/* --- descriptors --- */

int cudnnBackendCreateDescriptor(int kind, void **descriptor)
{
    struct descriptor *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return DYNO_CUDNN_HOST_MEMORY;
    made->kind = kind;
    atomic_fetch_add(&descriptor_count, 1);
    *descriptor = made;
    return DYNO_CUDNN_OK;
}

int cudnnBackendDestroyDescriptor(void *descriptor)
{
    struct descriptor *gone = descriptor;
    for (int i = 0; i < gone->count; i++)
        free(gone->attributes[i].values);
    free(gone->json);
    free(gone);
    atomic_fetch_sub(&descriptor_count, 1);
    return DYNO_CUDNN_OK;
}

static size_t bytes_of(int type)
{
    static const uint8_t bytes[] = {
        [DYNO_CUDNN_T_HANDLE] = 8,     [DYNO_CUDNN_T_DATA_TYPE] = 4,
        [DYNO_CUDNN_T_BOOL] = 1,       [DYNO_CUDNN_T_I64] = 8,
        [DYNO_CUDNN_T_F32] = 4,        [DYNO_CUDNN_T_POINTER] = 8,
        [DYNO_CUDNN_T_CONV_MODE] = 4,  [DYNO_CUDNN_T_HEUR_MODE] = 4,
        [DYNO_CUDNN_T_DESCRIPTOR] = 8, [DYNO_CUDNN_T_POINTWISE_MODE] = 4,
        [DYNO_CUDNN_T_CHAR] = 1,
    };
    return type >= 0 && type < (int)sizeof(bytes) ? bytes[type] : 0;
}

int cudnnBackendSetAttribute(void *descriptor, int attribute, int type, int64_t count,
                             const void *values)
{
    struct descriptor *to = descriptor;
    const size_t bytes = bytes_of(type);
    if (to == NULL || to->is_final || bytes == 0 || count < 1 || values == NULL ||
        to->count == ATTRIBUTES_MAX)
        return say(BAD_PARAM, "attribute %d cannot be set", attribute);
    struct attribute *made = &to->attributes[to->count++];
    *made = (struct attribute){attribute, type, count, malloc((size_t)count * bytes + 1)};
    if (made->values == NULL)
        return DYNO_CUDNN_HOST_MEMORY;
    memcpy(made->values, values, (size_t)count * bytes);
    ((char *)made->values)[(size_t)count * bytes] = 0;
    return DYNO_CUDNN_OK;
}

static const struct attribute *find(const struct descriptor *in, int name)
{
    for (int i = 0; in != NULL && i < in->count; i++) {
        if (in->attributes[i].name == name)
            return &in->attributes[i];
    }
    return NULL;
}

static int64_t number(const struct descriptor *in, int name, int64_t nth)
{
    const struct attribute *found = find(in, name);
    if (found == NULL || found->count <= nth)
        return 0;
    return bytes_of(found->type) == 8   ? ((const int64_t *)found->values)[nth]
           : bytes_of(found->type) == 1 ? ((const uint8_t *)found->values)[nth]
                                        : ((const int32_t *)found->values)[nth];
}

static const struct descriptor *link(const struct descriptor *in, int name, int64_t nth)
{
    const struct attribute *found = find(in, name);
    if (found == NULL || found->type != DYNO_CUDNN_T_DESCRIPTOR || found->count <= nth)
        return NULL;
    const struct descriptor *to = ((struct descriptor *const *)found->values)[nth];
    return to->is_final ? to : NULL;
}

/* --- graphs --- */

/* An operation reads what the one before it writes, and that is never stored. */
static bool follows(const struct descriptor *op, const struct descriptor *before)
{
    const int out =
        before->kind == DYNO_CUDNN_CONV_OP ? DYNO_CUDNN_CONV_OP_Y : DYNO_CUDNN_POINTWISE_OP_Y;
    const struct descriptor *between = link(before, out, 0);
    return between != NULL && between == link(op, DYNO_CUDNN_POINTWISE_OP_X, 0) &&
           number(between, DYNO_CUDNN_TENSOR_IS_VIRTUAL, 0) == 1 &&
           number(between, DYNO_CUDNN_TENSOR_TYPE, 0) == DYNO_CUDNN_FLOAT;
}

static void take_tensor(struct emulate_conv *conv, const struct descriptor *tensor)
{
    const int64_t id = number(tensor, DYNO_CUDNN_TENSOR_ID, 0);
    if (id < 1 || id >= DYNO_CUDNN_ID_END)
        return;
    conv->has[id] = 1;
    conv->type = number(tensor, DYNO_CUDNN_TENSOR_TYPE, 0);
    for (int i = 0; i < 4; i++) {
        conv->dims[id][i] = number(tensor, DYNO_CUDNN_TENSOR_DIMS, i);
        conv->strides[id][i] = number(tensor, DYNO_CUDNN_TENSOR_STRIDES, i);
    }
}

static void take_conv(struct emulate_conv *conv, const struct descriptor *op)
{
    const struct descriptor *window = link(op, DYNO_CUDNN_CONV_OP_CONV, 0);
    take_tensor(conv, link(op, DYNO_CUDNN_CONV_OP_X, 0));
    take_tensor(conv, link(op, DYNO_CUDNN_CONV_OP_W, 0));
    for (int i = 0; i < 2; i++) {
        conv->pads[i] = number(window, DYNO_CUDNN_CONV_PADS_BEFORE, i);
        conv->ends[i] = number(window, DYNO_CUDNN_CONV_PADS_AFTER, i);
        conv->steps[i] = number(window, DYNO_CUDNN_CONV_STRIDES, i);
        conv->dilations[i] = number(window, DYNO_CUDNN_CONV_DILATIONS, i);
    }
}

static int read_graph(struct descriptor *graph)
{
    const struct attribute *ops = find(graph, DYNO_CUDNN_GRAPH_OPS);
    struct emulate_conv *conv = &graph->conv;
    const struct descriptor *last = link(graph, DYNO_CUDNN_GRAPH_OPS, 0);
    if (ops == NULL || last == NULL || last->kind != DYNO_CUDNN_CONV_OP ||
        find(graph, DYNO_CUDNN_GRAPH_HANDLE) == NULL)
        return say(BAD_PARAM, "a graph begins with a convolution");
    take_conv(conv, last);
    for (int64_t i = 1; i < ops->count; i++) {
        const struct descriptor *op = link(graph, DYNO_CUDNN_GRAPH_OPS, i);
        const struct descriptor *what = link(op, DYNO_CUDNN_POINTWISE_OP_WHAT, 0);
        if (op == NULL || what == NULL || !follows(op, last) || conv->relu != 0)
            return say(NOT_SUPPORTED, "operation %d does not follow", (int)i);
        take_tensor(conv, link(op, DYNO_CUDNN_POINTWISE_OP_B, 0));
        conv->relu = number(what, DYNO_CUDNN_POINTWISE_MODE, 0) == DYNO_CUDNN_RELU;
        last = op;
    }
    take_tensor(conv,
                link(last, ops->count == 1 ? DYNO_CUDNN_CONV_OP_Y : DYNO_CUDNN_POINTWISE_OP_Y, 0));
    const bool needs_bias = conv->has[DYNO_CUDNN_Z] != 0 || conv->relu != 0;
    if (conv->has[DYNO_CUDNN_Y] == 0 || (needs_bias && conv->has[DYNO_CUDNN_BIAS] == 0))
        return say(NOT_SUPPORTED, "no engine does this graph");
    return DYNO_CUDNN_OK;
}

/* --- plans --- */

static int write_text(struct descriptor *plan)
{
    plan->json = emulate_plan_write(&plan->conv, cudnnGetVersion(), engines[plan->engine].number);
    return plan->json != NULL ? DYNO_CUDNN_OK : DYNO_CUDNN_HOST_MEMORY;
}

static int read_text(struct descriptor *plan)
{
    int engine = 0;
    if (!emulate_plan_read(find(plan, DYNO_CUDNN_PLAN_JSON)->values, &plan->conv, &engine))
        return say(BAD_PARAM, "this is no plan");
    plan->engine = 0;
    while (plan->engine < ENGINES && engines[plan->engine].number != engine)
        plan->engine++;
    if (plan->engine == ENGINES || !emulate_conv_is_sound(&plan->conv) ||
        plan->conv.dims[DYNO_CUDNN_X][0] > engines[plan->engine].batch_max)
        return say(BAD_PARAM, "there is no engine %d for this", engine);
    return write_text(plan);
}

static int make_plan(struct descriptor *plan)
{
    const struct descriptor *config = link(plan, DYNO_CUDNN_PLAN_CONFIG, 0);
    if (find(plan, DYNO_CUDNN_PLAN_HANDLE) == NULL)
        return say(BAD_PARAM, "a plan wants a handle");
    if (find(plan, DYNO_CUDNN_PLAN_JSON) != NULL)
        return read_text(plan);
    if (config == NULL)
        return say(BAD_PARAM, "a plan wants a configuration");
    plan->engine = config->engine;
    plan->conv = config->conv;
    if (plan->conv.dims[DYNO_CUDNN_X][0] > engines[plan->engine].batch_max)
        return say(NOT_SUPPORTED, "engine %d does not do it", engines[plan->engine].number);
    return write_text(plan);
}

int cudnnBackendFinalize(void *descriptor)
{
    struct descriptor *made = descriptor;
    int code = DYNO_CUDNN_OK;
    if (is_to_fail("cudnnBackendFinalize"))
        return say(EXECUTION_FAILED, "nothing is final");
    if (made->kind == DYNO_CUDNN_GRAPH)
        code = read_graph(made);
    else if (made->kind == DYNO_CUDNN_PLAN)
        code = make_plan(made);
    else if (made->kind == DYNO_CUDNN_HEURISTIC && link(made, DYNO_CUDNN_HEUR_GRAPH, 0) == NULL)
        code = say(BAD_PARAM, "no graph");
    made->is_final = code == DYNO_CUDNN_OK;
    return code;
}

/* --- answers --- */

static int get_configs(const struct descriptor *list, int64_t room, int64_t *count, void *values)
{
    struct descriptor *const *to = values;
    const bool fallback = number(list, DYNO_CUDNN_HEUR_MODE, 0) == DYNO_CUDNN_MODE_FALLBACK;
    const struct emulate_conv *conv = &link(list, DYNO_CUDNN_HEUR_GRAPH, 0)->conv;
    const bool is_grouped =
        conv->dims[DYNO_CUDNN_X][1] != conv->dims[DYNO_CUDNN_W][1]; /* by the fallback alone */
    *count = 0;
    for (int i = fallback ? ENGINES - 1 : 0; i < (fallback ? ENGINES : ENGINES - 1); i++) {
        if (*count == room || (is_grouped && !fallback))
            break;
        to[*count]->engine = i;
        to[*count]->conv = *conv;
        to[(*count)++]->is_final = true;
    }
    return DYNO_CUDNN_OK;
}

static int get_notes(int note, int64_t *count, void *values)
{
    *count = note >= 0;
    if (note >= 0)
        *(int *)values = note;
    return DYNO_CUDNN_OK;
}

int cudnnBackendGetAttribute(void *descriptor, int attribute, int type, int64_t room,
                             int64_t *count, void *values)
{
    const struct descriptor *from = descriptor;
    (void)type;
    if (!from->is_final)
        return say(BAD_PARAM, "it is not final");
    *count = 1;
    switch (attribute) {
    case DYNO_CUDNN_HEUR_RESULTS:
        return get_configs(from, room, count, values);
    case DYNO_CUDNN_CONFIG_ENGINE:
        (*(struct descriptor *const *)values)->engine = from->engine;
        (*(struct descriptor *const *)values)->is_final = true;
        return DYNO_CUDNN_OK;
    case DYNO_CUDNN_ENGINE_INDEX:
        *(int64_t *)values = engines[from->engine].number;
        return DYNO_CUDNN_OK;
    case DYNO_CUDNN_ENGINE_NUMERICAL_NOTE:
        return get_notes(engines[from->engine].numerical, count, values);
    case DYNO_CUDNN_ENGINE_BEHAVIOR_NOTE:
        return get_notes(engines[from->engine].behavior, count, values);
    case DYNO_CUDNN_PLAN_WORKSPACE:
        *(int64_t *)values = workspace_of(from->engine);
        return DYNO_CUDNN_OK;
    case DYNO_CUDNN_PLAN_JSON:
        *count = (int64_t)strlen(from->json) + 1;
        if (room != 0)
            memcpy(values, from->json, (size_t)(*count < room ? *count : room));
        return DYNO_CUDNN_OK;
    default:
        return say(BAD_PARAM, "attribute %d cannot be got", attribute);
    }
}

/* --- runs --- */

/* The emulated driver's, which is loaded. */
static void *driver(const char *name)
{
    void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    void *found = handle != NULL ? dlsym(handle, name) : NULL;
    if (found == NULL) {
        (void)fprintf(stderr, "emulated cuDNN: no %s\n", name);
        abort();
    }
    return found;
}

static int put_run(void *stream, const struct emulate_conv_run *run)
{
    __typeof__(&emulate_library_call) put = driver("emulate_library_call");
    const bool is_fast =
        run->workspace_bytes != 0 && getenv("DYNO_EMULATE_CUDNN_WORKSPACE") != NULL;
    const unsigned threads = emulate_conv_threads(run) / (is_fast ? 2 : 1);
    return put(stream, emulate_conv_call, run, sizeof(*run), threads) == 0
               ? DYNO_CUDNN_OK
               : say(EXECUTION_FAILED, "the driver refuses");
}

int cudnnBackendExecute(void *handle, void *plan_descriptor, void *variant_pack)
{
    const struct descriptor *plan = plan_descriptor;
    const struct descriptor *pack = variant_pack;
    void *stream = ((const struct handle *)handle)->stream;
    __typeof__(&emulate_library_is_capturing) is_capturing = driver("emulate_library_is_capturing");
    struct emulate_conv_run run = {.conv = plan->conv, .memory = driver("emulate_library_memory")};
    if (is_to_fail("cudnnBackendExecute"))
        return say(EXECUTION_FAILED, "as it was told");
    if (!has_run[plan->engine] && is_capturing(stream))
        return say(EXECUTION_FAILED, "a program cannot be loaded while the stream is captured");
    has_run[plan->engine] = true;
    const struct attribute *ids = find(pack, DYNO_CUDNN_VARIANT_IDS);
    for (int64_t i = 0; ids != NULL && i < ids->count; i++) {
        const int64_t id = number(pack, DYNO_CUDNN_VARIANT_IDS, i);
        if (id < 1 || id >= DYNO_CUDNN_ID_END)
            return say(BAD_PARAM, "there is no tensor %lld", (long long)id);
        run.data[id] = (void *)(uintptr_t)number(pack, DYNO_CUDNN_VARIANT_POINTERS, i);
    }
    run.workspace = (void *)(uintptr_t)number(pack, DYNO_CUDNN_VARIANT_WORKSPACE, 0);
    run.workspace_bytes = (size_t)workspace_of(plan->engine);
    run.rounds = engines[plan->engine].numerical == DYNO_CUDNN_TENSOR_CORE ||
                 getenv("DYNO_EMULATE_CUDNN_ROUNDS") != NULL;
    for (int id = 1; id < DYNO_CUDNN_ID_END; id++) {
        if ((run.data[id] != NULL) != (run.conv.has[id] != 0) || (uintptr_t)run.data[id] % 16 != 0)
            return say(BAD_PARAM, "tensor %d is not where the plan wants it", id);
    }
    return put_run(stream, &run);
}

/* --- the routine beside --- */

int cudnnCreateTensorDescriptor(void **tensor)
{
    *tensor = calloc(4, sizeof(int));
    return *tensor != NULL ? DYNO_CUDNN_OK : DYNO_CUDNN_HOST_MEMORY;
}

int cudnnDestroyTensorDescriptor(void *tensor)
{
    free(tensor);
    return DYNO_CUDNN_OK;
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
int cudnnSetTensor4dDescriptor(void *tensor, int format, int type, int n, int c, int h, int w)
{
    const int dims[4] = {n, c, h, w};
    memcpy(tensor, dims, sizeof(dims));
    return format == DYNO_CUDNN_NCHW && type == DYNO_CUDNN_FLOAT ? DYNO_CUDNN_OK : NOT_SUPPORTED;
}

int cudnnAddTensor(void *handle, const void *alpha, void *a_tensor, const void *a, const void *beta,
                   void *c_tensor, void *c)
{
    const int *small = a_tensor, *large = c_tensor;
    struct emulate_conv_run run = {.memory = driver("emulate_library_memory"), .is_sum = true};
    if (*(const float *)alpha != 1.0F || *(const float *)beta != 1.0F || small[0] != 1 ||
        small[1] != large[1] || small[2] != 1 || small[3] != 1)
        return say(NOT_SUPPORTED, "a bias for each channel");
    for (int i = 0; i < 4; i++)
        run.conv.dims[DYNO_CUDNN_Y][i] = large[i];
    run.data[DYNO_CUDNN_BIAS] = (void *)(uintptr_t)a;
    run.data[DYNO_CUDNN_Y] = c;
    return put_run(((const struct handle *)handle)->stream, &run);
}
