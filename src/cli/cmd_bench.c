/* cmd_bench.c - dyno bench: latency and throughput of an engine. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/bench_report.h"
#include "cli/flags.h"
#include "cli/shapes.h"

#define STREAMS_MAX 64

struct options {
    struct dyno_cli_list positional;
    struct dyno_cli_list load_inputs;
    const char *engine, *onnx, *shapes, *min_shapes, *opt_shapes, *max_shapes;
    const char *export_times, *timing_cache, *device;
    int64_t threads, level, iterations, streams;
    double duration_s, warm_up_ms;
    bool baseline, exact, no_transfers, dump_profile, dump_layers, json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--loadEngine",
     .value = "FILE",
     .help = "Engine to run",
     .kind = DYNO_FLAG_STR,
     AT(engine)},
    {.name = "--onnx",
     .value = "FILE",
     .help = "Model to build now and run",
     .kind = DYNO_FLAG_STR,
     AT(onnx)},
    DYNO_FLAG_BASELINE(options, "Run the model given by --onnx unoptimised"),
    DYNO_FLAG_SHAPES(options, "Shapes to run; with --onnx also the shapes to build for"),
    DYNO_FLAGS_PROFILE(options, " (with --onnx)"),
    {.name = "--loadInputs",
     .value = "NAME:FILE.npy",
     .help = "Array for an input",
     .kind = DYNO_FLAG_LIST,
     AT(load_inputs)},
    DYNO_FLAG_THREADS(options, "Threads"),
    DYNO_FLAG_DEVICE(options, "Where to run: an engine for a GPU takes the first one unless this "
                              "says another"),
    {.name = "--streams",
     .value = "N",
     .help = "Contexts that run at the same time",
     .kind = DYNO_FLAG_INT,
     AT(streams),
     .fallback = 1,
     .min = 1,
     .max = STREAMS_MAX},
    {.name = "--iterations",
     .value = "N",
     .help = "Run at least this often",
     .kind = DYNO_FLAG_INT,
     AT(iterations),
     .fallback = 10,
     .min = 1,
     .max = 1e9},
    {.name = "--duration",
     .value = "SECONDS",
     .help = "Run at least this long",
     .kind = DYNO_FLAG_F64,
     AT(duration_s),
     .fallback = 3,
     .min = 0,
     .max = 86400},
    {.name = "--warmUp",
     .value = "MS",
     .help = "Run this long before measuring",
     .kind = DYNO_FLAG_F64,
     AT(warm_up_ms),
     .fallback = 200,
     .min = 0,
     .max = 3.6e6},
    {.name = "--noDataTransfers",
     .help = "Measure with inputs and outputs on the GPU: they are copied while warming up only",
     .kind = DYNO_FLAG_BOOL,
     AT(no_transfers)},
    DYNO_FLAG_LEVEL(options, 3),
    DYNO_FLAG_TIMING_CACHE(options),
    DYNO_FLAG_EXACT(options),
    {.name = "--exportTimes",
     .value = "FILE",
     .help = "Write every latency as JSON",
     .kind = DYNO_FLAG_STR,
     AT(export_times)},
    {.name = "--dumpProfile",
     .help = "Print the time of each step",
     .kind = DYNO_FLAG_BOOL,
     AT(dump_profile)},
    {.name = "--dumpLayerInfo",
     .help = "Print each step with its kernel and original nodes",
     .kind = DYNO_FLAG_BOOL,
     AT(dump_layers)},
    DYNO_FLAG_JSON(options),
};

/* Where the streams meet after their warm-up: all of them, or the one that could start. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t waiting_count, wanted_count;
    const struct dyno_engine *engine;
    double start_j; /* what the card had used when the last one came; NAN: it does not tell */
};

/* Joule that the card of the engine has used; NAN: it does not tell. */
static double energy_of(const struct dyno_engine *engine)
{
    struct dyno_device_facts facts;
    return dyno_engine_device_facts(engine, &facts, NULL) == DYNO_OK ? facts.energy_j : NAN;
}

/* One stream: a context, its arrays, the latencies it saw. */
struct stream {
    const struct options *options;
    struct dyno_context *context;
    struct dyno_array *inputs;
    struct dyno_array *outputs;
    double *us;
    double *gpu_us; /* what the GPU took for each, without copies */
    uint64_t count, capacity;
    uint64_t start_ns, end_ns;
    struct gate *gate;
    pthread_t thread;
    uint32_t locked_count; /* inputs that are in memory of the engine */
    enum dyno_status status;
    struct dyno_err err;
};

static bool keep_latency(struct stream *stream, double us)
{
    if (stream->count == stream->capacity) {
        const uint64_t capacity = stream->capacity == 0 ? 1024 : stream->capacity * 2;
        double *grown =
            dyno_realloc(stream->us, stream->count * sizeof(double), capacity, sizeof(double));
        if (grown == NULL)
            return false;
        stream->us = grown;
        grown =
            dyno_realloc(stream->gpu_us, stream->count * sizeof(double), capacity, sizeof(double));
        if (grown == NULL)
            return false;
        stream->gpu_us = grown;
        stream->capacity = capacity;
    }
    stream->gpu_us[stream->count] = dyno_context_gpu_us(stream->context);
    stream->us[stream->count++] = us;
    return true;
}

static enum dyno_status warm_up(struct stream *stream)
{
    const uint64_t start_ns = dyno_clock_ns();
    do {
        DYNO_TRY(dyno_context_run(stream->context, stream->inputs, stream->outputs, &stream->err));
    } while ((double)(dyno_clock_ns() - start_ns) < stream->options->warm_up_ms * 1e6);
    dyno_context_transfers(stream->context, !stream->options->no_transfers);
    return DYNO_OK;
}

static enum dyno_status measure(struct stream *stream)
{
    const double limit_ns = stream->options->duration_s * 1e9;
    uint64_t before_ns = stream->start_ns = dyno_clock_ns();
    for (;;) {
        DYNO_TRY(dyno_context_run(stream->context, stream->inputs, stream->outputs, &stream->err));
        const uint64_t after_ns = dyno_clock_ns();
        if (!keep_latency(stream, (double)(after_ns - before_ns) * 1e-3))
            return DYNO_NOMEM(&stream->err);
        before_ns = after_ns;
        if (stream->count >= (uint64_t)stream->options->iterations &&
            (double)(after_ns - stream->start_ns) >= limit_ns)
            break;
    }
    stream->end_ns = before_ns;
    return DYNO_OK;
}

static void pass_gate(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    if (++gate->waiting_count == gate->wanted_count)
        gate->start_j = energy_of(gate->engine);
    (void)pthread_cond_broadcast(&gate->changed);
    while (gate->waiting_count < gate->wanted_count)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void *run_stream(void *arg)
{
    struct stream *stream = arg;
    stream->status = warm_up(stream);
    pass_gate(stream->gate);
    if (stream->status == DYNO_OK)
        stream->status = measure(stream);
    return NULL;
}

/* All streams at once; their errors after all have ended. */
static enum dyno_status run_streams(const struct dyno_engine *engine, struct stream *streams,
                                    uint32_t count, double *energy_j_out, struct dyno_err *err)
{
    struct gate gate = {.engine = engine,
                        .start_j = NAN,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER,
                        .wanted_count = count};
    uint32_t started = 1;
    int code = 0;
    for (uint32_t i = 0; i < count; i++)
        streams[i].gate = &gate;
    while (started < count && code == 0) {
        code = pthread_create(&streams[started].thread, NULL, run_stream, &streams[started]);
        started += code == 0;
    }
    if (code != 0) { /* let those pass that did start */
        (void)pthread_mutex_lock(&gate.lock);
        gate.wanted_count = 0;
        (void)pthread_cond_broadcast(&gate.changed);
        (void)pthread_mutex_unlock(&gate.lock);
    } else {
        (void)run_stream(&streams[0]);
    }
    for (uint32_t i = 1; i < started; i++)
        (void)pthread_join(streams[i].thread, NULL);
    *energy_j_out = energy_of(engine) - gate.start_j;
    if (code != 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "stream %u of %u did not start: %s", started + 1, count,
                         strerror(code));
    for (uint32_t i = 0; i < count; i++) {
        if (streams[i].status != DYNO_OK) {
            if (err != NULL)
                *err = streams[i].err;
            return streams[i].status;
        }
    }
    return DYNO_OK;
}

/* --- the result --- */

static enum dyno_status gather_gpu(const struct stream *streams, uint32_t count, uint64_t total,
                                   struct dyno_arena *arena, struct dyno_bench_result *result,
                                   struct dyno_err *err)
{
    double *us = dyno_arena_alloc(arena, total + 1, sizeof(double));
    if (us == NULL)
        return DYNO_NOMEM(err);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(us + at, streams[i].gpu_us, streams[i].count * sizeof(double));
        at += streams[i].count;
    }
    dyno_latency_of(us, total, &result->gpu);
    return DYNO_OK;
}

static enum dyno_status gather(const struct dyno_engine *engine, const struct stream *streams,
                               uint32_t count, struct dyno_arena *arena,
                               struct dyno_bench_result *result, struct dyno_err *err)
{
    uint64_t total = 0;
    uint64_t start_ns = UINT64_MAX;
    uint64_t end_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += streams[i].count;
        start_ns = streams[i].start_ns < start_ns ? streams[i].start_ns : start_ns;
        end_ns = streams[i].end_ns > end_ns ? streams[i].end_ns : end_ns;
    }
    result->us = dyno_arena_alloc(arena, total + 1, sizeof(double));
    if (result->us == NULL)
        return DYNO_NOMEM(err);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(result->us + at, streams[i].us, streams[i].count * sizeof(double));
        at += streams[i].count;
    }
    dyno_latency_of(result->us, total, &result->latency);
    if (dyno_engine_device_name(engine)[0] != 0)
        DYNO_TRY(gather_gpu(streams, count, total, arena, result, err));
    result->wall_s = (double)(end_ns - start_ns) * 1e-9;
    result->qps = (double)total / result->wall_s;
    const struct dyno_array *first = &streams[0].inputs[0];
    result->items_s = result->qps * (double)(first->rank > 0 ? first->dims[0] : 1);
    result->arena_bytes = dyno_context_arena_bytes(streams[0].context);
    result->tensor_bytes = dyno_context_tensor_bytes(streams[0].context);
    result->context = streams[0].context;
    return DYNO_OK;
}

static enum dyno_status export_times(const char *path, const struct stream *streams, uint32_t count,
                                     struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text};
    dyno_json_array_begin(&json);
    for (uint32_t s = 0; s < count; s++) {
        for (uint64_t i = 0; i < streams[s].count; i++) {
            dyno_json_object_begin(&json);
            dyno_json_put_u64(&json, "stream", s);
            dyno_json_put_f64(&json, "latencyMs", streams[s].us[i] * 1e-3);
            dyno_json_object_end(&json);
        }
    }
    dyno_json_array_end(&json);
    return dyno_file_write_text(path, &text, err);
}

/* Mean time of each step over some profiled runs. */
static enum dyno_status profile(struct stream *stream, const struct dyno_session *session,
                                struct dyno_arena *arena, double **step_us_out,
                                struct dyno_err *err)
{
    enum { RUNS = 20 };
    const uint32_t count = dyno_engine_step_count(session->engine);
    float *us = dyno_arena_alloc(arena, count + 1U, sizeof(*us));
    double *sum = dyno_arena_alloc(arena, count + 1U, sizeof(*sum));
    if (us == NULL || sum == NULL)
        return DYNO_NOMEM(err);
    dyno_context_profile(stream->context, 1);
    for (int r = 0; r < RUNS; r++) {
        DYNO_TRY(dyno_context_run(stream->context, stream->inputs, stream->outputs, err));
        dyno_context_step_times(stream->context, us);
        for (uint32_t i = 0; i < count; i++)
            sum[i] += (double)us[i] / RUNS;
    }
    dyno_context_profile(stream->context, 0);
    *step_us_out = sum;
    return DYNO_OK;
}

/* --- the command --- */

/* From where the GPU copies them the fastest. */
static enum dyno_status lock_inputs(struct stream *stream, struct dyno_engine *engine,
                                    struct dyno_err *err)
{
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        struct dyno_array *input = &stream->inputs[i];
        void *memory = NULL;
        DYNO_TRY(dyno_engine_alloc(engine, input->bytes, &memory, err));
        memcpy(memory, input->data, input->bytes);
        input->data = memory;
        stream->locked_count++;
    }
    return DYNO_OK;
}

static void close_stream(struct stream *stream, struct dyno_engine *engine)
{
    dyno_context_destroy(stream->context);
    for (uint32_t i = 0; i < stream->locked_count; i++)
        dyno_engine_free(engine, stream->inputs[i].data);
    dyno_free(stream->us);
    dyno_free(stream->gpu_us);
}

static enum dyno_status open_streams(const struct options *options,
                                     const struct dyno_cli_shapes *shapes,
                                     struct dyno_session *session, struct dyno_arena *arena,
                                     struct stream *streams, struct dyno_err *err)
{
    const uint32_t output_count = dyno_engine_output_count(session->engine);
    for (uint32_t i = 0; i < (uint32_t)options->streams; i++) {
        streams[i].options = options;
        DYNO_TRY(dyno_session_inputs(session->engine, &options->load_inputs, ':', shapes, arena,
                                     &streams[i].inputs, err));
        if (dyno_engine_device_name(session->engine)[0] != 0)
            DYNO_TRY(lock_inputs(&streams[i], session->engine, err));
        streams[i].outputs = dyno_arena_alloc(arena, output_count + 1U, sizeof(struct dyno_array));
        if (streams[i].outputs == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(dyno_context_create(session->engine, session->pool, &streams[i].context, err));
    }
    return DYNO_OK;
}

static enum dyno_status bench(const struct options *options, const struct dyno_cli_shapes *shapes,
                              struct dyno_session *session, struct dyno_arena *arena,
                              struct dyno_err *err)
{
    struct stream streams[STREAMS_MAX] = {{0}};
    const uint32_t count = (uint32_t)options->streams;
    struct dyno_bench_result result = {.name = options->engine != NULL ? options->engine
                                                                       : options->onnx,
                                       .stream_count = (uint32_t)options->streams,
                                       .no_transfers = options->no_transfers};
    enum dyno_status status = open_streams(options, shapes, session, arena, streams, err);
    if (status == DYNO_OK)
        status = run_streams(session->engine, streams, count, &result.energy_j, err);
    if (status == DYNO_OK)
        status = gather(session->engine, streams, count, arena, &result, err);
    if (status == DYNO_OK)
        status = dyno_context_launches(streams[0].context, &result.launches, err);
    if (status == DYNO_OK && options->export_times != NULL)
        status = export_times(options->export_times, streams, count, err);
    if (status == DYNO_OK && options->dump_profile)
        status = profile(&streams[0], session, arena, &result.step_us, err);
    if (status == DYNO_OK && options->json)
        status = dyno_bench_print_json(&result, session,
                                       options->dump_layers || options->dump_profile, err);
    else if (status == DYNO_OK)
        dyno_bench_print(&result, session);
    if (status == DYNO_OK && options->dump_layers && !options->json)
        dyno_bench_print_layers(session);
    if (status == DYNO_OK && options->dump_profile && !options->json)
        dyno_bench_print_profile(&result, session);
    for (uint32_t i = 0; i < count; i++)
        close_stream(&streams[i], session->engine);
    return status;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    if ((options->engine == NULL) == (options->onnx == NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --loadEngine=FILE or --onnx=FILE");
    if (options->baseline && options->onnx == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--baseline goes with --onnx");
    DYNO_TRY(dyno_session_check_folder(options->export_times, err));
    DYNO_TRY(dyno_session_check_folder(options->timing_cache, err));
    struct dyno_cli_shapes shapes;
    struct dyno_session session = {0};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status =
        dyno_cli_shapes(options->shapes, options->min_shapes, options->opt_shapes,
                        options->max_shapes, arena, &shapes, err);
    if (status == DYNO_OK) {
        const struct dyno_session_options session_options = {
            .engine_path = options->engine,
            .onnx_path = options->onnx,
            .baseline = options->baseline,
            .exact = options->exact,
            .level = (int)options->level,
            .threads = (int)options->threads,
            .device = options->device,
            .profile = shapes.items,
            .profile_count = shapes.count,
            .timing_cache_path = options->timing_cache,
        };
        status = dyno_session_open(&session_options, &session, err);
    }
    if (status == DYNO_OK)
        status = bench(options, &shapes, &session, arena, err);
    dyno_session_close(&session);
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_bench = {
    .name = "bench",
    .summary = "Measure latency and throughput of an engine, or of a model built on the spot",
    .text = "Latency is from handing over the inputs to having the outputs in memory. Inputs that "
            "no flag gives are made up.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
