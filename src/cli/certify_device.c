/* certify_device.c - the device that is certified on: the CPU, or one GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/device.h"
#include "backend/cuda/libraries.h"
#include "base/mem.h"
#include "cli/certify.h"

/* Is this engine file for a GPU? */
static enum dyno_status is_for_gpu(const char *path, bool *for_gpu_out, struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    DYNO_TRY(dyno_engine_inspect(path, &engine, err));
    *for_gpu_out = dyno_engine_device_name(engine)[0] != 0;
    dyno_engine_close(engine);
    return DYNO_OK;
}

static enum dyno_status name_gpu(struct dyno_certify_device *device, struct dyno_err *err)
{
    struct dyno_device_info info;
    DYNO_TRY(dyno_device_describe(device->name, &info, err));
    (void)snprintf(device->class, sizeof(device->class), "%s", info.name);
    return DYNO_OK;
}

static enum dyno_status name_cpu(const struct dyno_certify_options *options,
                                 struct dyno_certify_device *device, struct dyno_err *err)
{
    char processor[160];
    struct dyno_pool *pool = NULL;
    const struct dyno_pool_options pool_options = {.thread_count = (int)options->threads};
    dyno_cpu_name(processor, sizeof(processor));
    DYNO_TRY(dyno_pool_create(&pool_options, &pool, err));
    (void)snprintf(device->class, sizeof(device->class), "%s, %d threads", processor,
                   dyno_pool_thread_count(pool));
    dyno_pool_destroy(pool);
    return DYNO_OK;
}

enum dyno_status dyno_certify_device(const struct dyno_certify_options *options,
                                     const struct dyno_cert *like,
                                     struct dyno_certify_device *device_out, struct dyno_err *err)
{
    const char *hidden = getenv("DYNO_ISA_DISABLE"); // NOLINT(concurrency-mt-unsafe)
    const char *asked = options->device;
    const bool asks_cpu = asked != NULL && strcmp(asked, "cpu") == 0;
    int ordinal = 0;
    if (hidden != NULL && hidden[0] != 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "DYNO_ISA_DISABLE=%s would slow the baseline down: nobody chooses it",
                         hidden);
    *device_out = (struct dyno_certify_device){.on_gpu = like != NULL && like->gpu.compute != 0};
    if (asked != NULL && !asks_cpu && !dyno_cuda_ordinal(asked, &ordinal))
        return DYNO_FAIL(err, DYNO_E_ARG, "--device=%.64s: there are cpu, cuda and cuda:N", asked);
    if (options->engine != NULL)
        DYNO_TRY(is_for_gpu(options->engine, &device_out->on_gpu, err));
    if (asked != NULL && asks_cpu == device_out->on_gpu)
        return DYNO_FAIL(err, DYNO_E_ARG, "--device=%.64s: what is to be certified is for %s",
                         asked, device_out->on_gpu ? "a GPU" : "the CPU");
    (void)snprintf(device_out->name, sizeof(device_out->name), "%s",
                   asked != NULL        ? asked
                   : device_out->on_gpu ? "cuda"
                                        : "cpu");
    if (options->device_class != NULL) {
        (void)snprintf(device_out->class, sizeof(device_out->class), "%s", options->device_class);
        return DYNO_OK;
    }
    return device_out->on_gpu ? name_gpu(device_out, err) : name_cpu(options, device_out, err);
}

bool dyno_certify_is_opaque(const struct dyno_engine *engine, uint32_t idx)
{
    const struct dyno_step *step = &engine->plan->steps[idx];
    const struct dyno_kernel *kernel = engine->kernels[idx];
    if (kernel == NULL || (step->tactic.flags & DYNO_TACTIC_REFERENCE) != 0)
        return true;
    if (engine->plan->gpu.compute == 0)
        return false;
    return kernel->place == DYNO_ON_CPU ||
           (step->op == DYNO_OP_conv_transpose && kernel->library == DYNO_LIBRARY_NONE);
}

bool dyno_certify_runs_on_host(const struct dyno_engine *engine)
{
    bool any = false;
    for (uint32_t i = 0; i < engine->plan->step_count; i++)
        any = any || engine->kernels[i] == NULL || engine->kernels[i]->place == DYNO_ON_CPU;
    return any;
}

/* "cuDNN 9.19.0, cuBLASLt 13.0.1": those that steps of the engine call. */
static const char *libraries_of(const struct dyno_engine *engine, struct dyno_arena *arena)
{
    struct dyno_strbuf text = {0};
    for (uint32_t s = 0; s < engine->plan->step_count; s++) {
        const struct dyno_kernel *kernel = engine->kernels[s];
        char part[96];
        char version[DYNO_LIBRARY_VERSION_TEXT];
        if (kernel == NULL || kernel->library == DYNO_LIBRARY_NONE)
            continue;
        dyno_library_version_text(engine->plan->steps[s].tactic.cfg[DYNO_CFG_LIBRARY], version);
        (void)snprintf(part, sizeof(part), "%s %s", dyno_cuda_library_of(kernel->library)->name,
                       version);
        if (strstr(dyno_strbuf_text(&text), part) == NULL)
            dyno_strbuf_printf(&text, "%s%s", text.bytes > 0 ? ", " : "", part);
    }
    const char *copy =
        dyno_strbuf_ok(&text) ? dyno_arena_strdup(arena, dyno_strbuf_text(&text)) : NULL;
    dyno_strbuf_fini(&text);
    return copy;
}

/* What the engine computes in: on the CPU the types of its values; on a GPU, where every engine
 * takes and gives the model's own, what those that steps hand on are stored as. */
static bool has_type(const struct dyno_engine *engine, const struct dyno_plan_tensor *tensor,
                     enum dyno_dtype dtype)
{
    if (engine->plan->gpu.compute == 0)
        return tensor->dtype == dtype;
    return tensor->role == DYNO_ROLE_TEMP &&
           dyno_layout_elem(tensor->layout, tensor->dtype) == dtype;
}

const char *dyno_certify_precision(const struct dyno_engine *engine, struct dyno_arena *arena)
{
    static const struct {
        enum dyno_dtype dtype;
        const char *text;
    } rows[] = {{DYNO_F32, "fp32"},
                {DYNO_F16, "fp16"},
                {DYNO_BF16, "bf16"},
                {DYNO_I8, "int8"},
                {DYNO_F64, "fp64"}};
    struct dyno_strbuf text = {0};
    for (size_t r = 0; r < DYNO_COUNT(rows); r++) {
        bool found = false;
        for (uint32_t i = 0; i < engine->plan->tensor_count && !found; i++)
            found = has_type(engine, &engine->plan->tensors[i], rows[r].dtype);
        if (found)
            dyno_strbuf_printf(&text, "%s%s", text.bytes > 0 ? "+" : "", rows[r].text);
    }
    /* No type tells it: what is multiplied is rounded on the way. */
    bool rounds = false;
    for (uint32_t i = 0; i < engine->plan->step_count; i++)
        rounds = rounds || (engine->plan->steps[i].tactic.flags & DYNO_TACTIC_TF32) != 0;
    if (rounds)
        dyno_strbuf_printf(&text, "%stf32", text.bytes > 0 ? "+" : "");
    const char *copy = dyno_arena_strdup(arena, text.bytes > 0 ? dyno_strbuf_text(&text) : "none");
    dyno_strbuf_fini(&text);
    return copy;
}

static uint64_t whole(double value, double unit)
{
    return value > 0.0 ? (uint64_t)(value * unit) : 0; /* NaN: it does not tell */
}

static enum dyno_status describe_gpu(struct dyno_certify_subject *subject, struct dyno_err *err)
{
    const struct dyno_gpu *here = &subject->baseline->here.gpu;
    struct dyno_device_facts facts = {.power_limit_w = 0.0};
    struct dyno_cert_gpu *gpu = &subject->gpu;
    char isa[32];
    char host[sizeof(subject->processor)];
    dyno_cpu_name(host, sizeof(host));
    (void)snprintf(subject->processor, sizeof(subject->processor), "%s", here->name);
    (void)snprintf(isa, sizeof(isa), "sm_%d", here->compute);
    subject->isa = dyno_arena_strdup(subject->arena, isa);
    subject->threads = 1;
    *gpu = (struct dyno_cert_gpu){
        .compute = (uint32_t)here->compute,
        .cuda = (uint32_t)here->driver_version,
        .multiprocessors = (uint32_t)here->sm_count,
        .memory_bytes = here->memory_bytes,
        .libraries = libraries_of(subject->baseline, subject->arena),
        .host = dyno_arena_strdup(subject->arena, host),
        .by_host = {dyno_certify_runs_on_host(subject->baseline),
                    subject->engine != NULL && dyno_certify_runs_on_host(subject->engine)},
    };
    if (dyno_engine_device_facts(subject->baseline, &facts, NULL) == DYNO_OK) {
        gpu->power_limit_mw = whole(facts.power_limit_w, 1e3);
        gpu->memory_mhz = whole(facts.memory_mhz, 1.0);
    }
    gpu->driver = dyno_arena_strdup(subject->arena, facts.driver);
    return subject->isa != NULL && gpu->driver != NULL && gpu->libraries != NULL &&
                   gpu->host != NULL
               ? DYNO_OK
               : DYNO_NOMEM(err);
}

enum dyno_status dyno_certify_describe(struct dyno_certify_subject *subject, struct dyno_err *err)
{
    struct dyno_strbuf isa = {0};
    if (subject->device.on_gpu)
        return describe_gpu(subject, err);
    dyno_cpu_name(subject->processor, sizeof(subject->processor));
    subject->threads = (uint32_t)dyno_pool_thread_count(subject->pool);
    dyno_isa_print(dyno_isa_detect(), &isa);
    subject->isa = dyno_arena_strdup(subject->arena, dyno_strbuf_text(&isa));
    dyno_strbuf_fini(&isa);
    return subject->isa != NULL ? DYNO_OK : DYNO_NOMEM(err);
}
