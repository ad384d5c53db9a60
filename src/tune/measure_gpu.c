/* measure_gpu.c - timing on a GPU: launches back to back between two events, as a graph where they
 * are short: so an engine runs them, and what the host takes for a launch is in no time.  Weights
 * are as cold as a run of the whole network leaves them: each launch reads a copy of its own, of as
 * many as that passes through the cache. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tune/measure.h"
#include "tune/shapes.h"

#define BATCHES      5 /* the median of so many */
#define LAUNCHES_MIN 4
#define LAUNCHES_MAX 64
#define GRAPH_MIN    16
#define COPIES_MAX   128
#define LONG_US      200.0 /* the host is done with its next launch before such a one is */
#define SLACK_BYTES  256

struct bench {
    const struct dyno_cuda *cuda;
    const struct dyno_kernel *kernel;
    const struct dyno_cuda_program *program;
    struct dyno_site site;
    struct dyno_buf *ins, *outs; /* as `prepare` sees them */
    struct dyno_buf *gpu_ins, *gpu_outs;
    uint64_t *memory; /* of inputs, outputs, packed, workspace */
    uint32_t memory_count;
    uint64_t packed, workspace;
    uint64_t tensor_bytes; /* of inputs and outputs that are read or written */
    uint64_t packed_bytes; /* of a copy, with what keeps the next one aligned */
    int copies, next_copy;
    int graph_launches;
    void *state;
    bool is_prepared;
    void *stream, *graph; /* graph NULL: its launches are long */
    void *start, *end;
    struct dyno_err *err;
};

static enum dyno_status give(struct bench *bench, uint64_t bytes, uint64_t *address_out)
{
    DYNO_TRY(dyno_cuda_alloc(bench->cuda, bytes + SLACK_BYTES, address_out, bench->err));
    bench->memory[bench->memory_count++] = *address_out;
    /* Small finite numbers in every type: 0x2c2c is 0.065 as f16, 2.4e-12 as f32 and bf16. */
    return dyno_cu_check(bench->cuda->cu,
                         bench->cuda->cu->fill(*address_out, 0x2c, bytes + SLACK_BYTES, NULL),
                         "to fill memory", bench->err);
}

/* A buffer there; constants are copied. */
static enum dyno_status give_buf(struct bench *bench, const struct dyno_buf *buf,
                                 struct dyno_buf *gpu)
{
    uint64_t bytes = 0;
    uint64_t address = 0;
    *gpu = *buf;
    if (buf->rank < 0)
        return DYNO_OK;
    if (!dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes))
        return DYNO_FAIL(bench->err, DYNO_E_LIMIT, "a tensor's size overflows 64 bits");
    DYNO_TRY(give(bench, bytes, &address));
    gpu->data = (void *)(uintptr_t)address;
    bench->tensor_bytes += bytes;
    if (buf->data == NULL || bytes == 0 || buf->dtype == DYNO_STR) {
        if (buf->dtype != DYNO_F32) /* indices: the first */
            return dyno_cu_check(bench->cuda->cu, bench->cuda->cu->fill(address, 0, bytes, NULL),
                                 "to fill memory", bench->err);
        return DYNO_OK;
    }
    return dyno_cu_check(bench->cuda->cu,
                         bench->cuda->cu->copy_in(address, buf->data, (size_t)bytes, NULL),
                         "to copy a constant", bench->err);
}

/* Its contents reach the kernel packed, and nothing reads them as they are: they are neither there
 * in an engine, nor pass through the cache. */
static bool is_packed(const struct bench *bench, const struct dyno_site *site,
                      const struct dyno_tactic *tactic, uint32_t i)
{
    return tactic->packed_bytes != 0 && site->in_is_weight[i] && i < 32 &&
           (bench->kernel->packed_ins >> i & 1U) != 0;
}

static enum dyno_status make_bufs(struct bench *bench, const struct dyno_site *site,
                                  const struct dyno_tactic *tactic)
{
    const struct dyno_step *step = site->step;
    const size_t count = (size_t)step->in_count + step->out_count;
    bench->ins = dyno_alloc(2 * (step->in_count + (size_t)1), sizeof(*bench->ins));
    bench->outs = dyno_alloc(2 * (step->out_count + (size_t)1), sizeof(*bench->outs));
    bench->memory = dyno_alloc(count + 3, sizeof(*bench->memory));
    if (bench->ins == NULL || bench->outs == NULL || bench->memory == NULL)
        return DYNO_NOMEM(bench->err);
    bench->gpu_ins = bench->ins + step->in_count + 1;
    bench->gpu_outs = bench->outs + step->out_count + 1;
    for (uint32_t i = 0; i < step->in_count; i++) {
        bench->ins[i] = site->ins[i];
        dyno_tune_set_layout(&bench->ins[i],
                             i < DYNO_STEP_INS_MAX ? tactic->in_layouts[i] : DYNO_ROW);
        bench->gpu_ins[i] = bench->ins[i];
        bench->gpu_ins[i].data = NULL;
        if (!is_packed(bench, site, tactic, i))
            DYNO_TRY(give_buf(bench, &bench->ins[i], &bench->gpu_ins[i]));
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        bench->outs[i] = site->outs[i];
        dyno_tune_set_layout(&bench->outs[i], i == 0 ? tactic->out_layout : DYNO_ROW);
        DYNO_TRY(give_buf(bench, &bench->outs[i], &bench->gpu_outs[i]));
    }
    bench->site = *site;
    bench->site.ins = bench->ins;
    bench->site.outs = bench->outs;
    return DYNO_OK;
}

/* So many copies that all launches with the others send passing_bytes through the cache. */
static enum dyno_status give_packed(struct bench *bench, uint64_t bytes, uint64_t passing_bytes)
{
    bench->copies = 1;
    if (bytes == 0)
        return DYNO_OK;
    bench->packed_bytes = (bytes + SLACK_BYTES - 1) / SLACK_BYTES * SLACK_BYTES;
    const uint64_t copies = passing_bytes / (bench->packed_bytes + bench->tensor_bytes) + 1;
    bench->copies = copies < COPIES_MAX ? (int)copies : COPIES_MAX;
    return give(bench, bench->packed_bytes * (uint64_t)bench->copies, &bench->packed);
}

/* False in *able_out when the kernel refuses the shapes. */
static enum dyno_status prepare(struct bench *bench, const struct dyno_tactic *tactic,
                                const struct dyno_measure_options *options, bool *able_out)
{
    struct dyno_err refusal = {0};
    uint64_t workspace_bytes = 0;
    bench->state = dyno_alloc(1, bench->kernel->state_bytes + 64);
    if (bench->state == NULL)
        return DYNO_NOMEM(bench->err);
    DYNO_TRY(give_packed(bench, tactic->packed_bytes, options->passing_bytes));
    const enum dyno_status status = bench->kernel->prepare(&bench->site, tactic, NULL, bench->state,
                                                           &workspace_bytes, &refusal);
    bench->is_prepared = status == DYNO_OK;
    *able_out = status == DYNO_OK && workspace_bytes <= bench->site.target->workspace_bytes_max &&
                workspace_bytes >= options->least_workspace_bytes;
    if (*able_out && options->workspace_bytes_out != NULL)
        *options->workspace_bytes_out = workspace_bytes;
    if (refusal.status == DYNO_E_NOMEM)
        return DYNO_NOMEM(bench->err);
    return *able_out ? give(bench, workspace_bytes, &bench->workspace) : DYNO_OK;
}

static enum dyno_status launch_some(struct bench *bench, int count)
{
    const struct dyno_gpu_launch launch = {
        .cu = bench->cuda->cu,
        .stream = bench->stream,
        .function = bench->program != NULL ? bench->program->module.function : NULL};
    struct dyno_run_args args = {.step = bench->site.step,
                                 .ins = bench->gpu_ins,
                                 .outs = bench->gpu_outs,
                                 .state = bench->state,
                                 .workspace = (void *)(uintptr_t)bench->workspace,
                                 .gpu = &launch,
                                 .err = bench->err};
    for (int i = 0; i < count; i++) {
        args.packed = (const void *)(uintptr_t)(bench->packed +
                                                bench->packed_bytes * (uint64_t)bench->next_copy);
        bench->next_copy = (bench->next_copy + 1) % bench->copies;
        DYNO_TRY(bench->kernel->run(&args));
    }
    return DYNO_OK;
}

/* Some of them as a graph, each copy of the weights in it as often as the others. */
static enum dyno_status capture(struct bench *bench)
{
    const struct dyno_cu *cu = bench->cuda->cu;
    void *graph = NULL;
    DYNO_TRY(dyno_cu_check(cu, cu->capture_begin(bench->stream, DYNO_CU_CAPTURE_THREAD),
                           "to begin a graph", bench->err));
    bench->graph_launches = (GRAPH_MIN + bench->copies - 1) / bench->copies * bench->copies;
    enum dyno_status status = launch_some(bench, bench->graph_launches);
    int code = cu->capture_end(bench->stream, &graph); /* also after a failure */
    if (code == DYNO_CU_OK && status == DYNO_OK)
        code = cu->graph_instantiate(&bench->graph, graph, 0);
    if (graph != NULL)
        (void)cu->graph_destroy(graph);
    return status != DYNO_OK ? status : dyno_cu_check(cu, code, "to make a graph", bench->err);
}

/* So many launches, or a few more; microseconds of one. */
static enum dyno_status time_launches(struct bench *bench, int count, double *us_out)
{
    const struct dyno_cu *cu = bench->cuda->cu;
    const int graphs =
        bench->graph != NULL ? (count + bench->graph_launches - 1) / bench->graph_launches : 0;
    float ms = 0.0F;
    int code = cu->event_record(bench->start, bench->stream);
    if (bench->graph == NULL && code == DYNO_CU_OK)
        DYNO_TRY(launch_some(bench, count));
    for (int i = 0; i < graphs && code == DYNO_CU_OK; i++)
        code = cu->graph_launch(bench->graph, bench->stream);
    if (code == DYNO_CU_OK)
        code = cu->event_record(bench->end, bench->stream);
    if (code == DYNO_CU_OK)
        code = cu->event_wait(bench->end);
    if (code == DYNO_CU_OK)
        code = cu->event_elapsed(&ms, bench->start, bench->end);
    *us_out = (double)ms * 1e3 / (graphs != 0 ? graphs * bench->graph_launches : count);
    return dyno_cu_check(cu, code, "to run a candidate", bench->err);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static enum dyno_status time_runs(struct bench *bench, const struct dyno_measure_options *options,
                                  float *us_out)
{
    const struct dyno_cu *cu = bench->cuda->cu;
    double us[BATCHES] = {0};
    double first = 0.0;
    int code = cu->event_create(&bench->start, 0);
    if (code == DYNO_CU_OK)
        code = cu->event_create(&bench->end, 0);
    if (code == DYNO_CU_OK)
        code = cu->stream_create(&bench->stream, DYNO_CU_STREAM_NON_BLOCKING);
    if (code == DYNO_CU_OK)
        code = cu->stream_wait(NULL); /* what memory was filled with */
    DYNO_TRY(dyno_cu_check(cu, code, "to make events and a stream", bench->err));
    DYNO_TRY(time_launches(bench, 1, &first));
    DYNO_TRY(time_launches(bench, 1, &first));
    if (first < LONG_US)
        DYNO_TRY(capture(bench));
    DYNO_TRY(time_launches(bench, LAUNCHES_MIN, &first));
    *us_out = (float)first;
    if (first > options->give_up_us * 2.0)
        return DYNO_OK;
    double count = options->budget_us / BATCHES / (first > 0.5 ? first : 0.5);
    count = count < LAUNCHES_MIN ? LAUNCHES_MIN : (count > LAUNCHES_MAX ? LAUNCHES_MAX : count);
    for (int i = 0; i < BATCHES; i++)
        DYNO_TRY(time_launches(bench, (int)count, &us[i]));
    qsort(us, BATCHES, sizeof(us[0]), by_value);
    *us_out = (float)us[BATCHES / 2];
    return DYNO_OK;
}

static void clean(struct bench *bench)
{
    const struct dyno_cu *cu = bench->cuda->cu;
    (void)cu->stream_wait(bench->stream);
    if (bench->graph != NULL)
        (void)cu->graph_exec_destroy(bench->graph);
    if (bench->stream != NULL)
        (void)cu->stream_destroy(bench->stream);
    if (bench->start != NULL)
        (void)cu->event_destroy(bench->start);
    if (bench->end != NULL)
        (void)cu->event_destroy(bench->end);
    for (uint32_t i = 0; i < bench->memory_count; i++)
        dyno_cuda_free(bench->cuda, bench->memory[i]);
    if (bench->is_prepared && bench->kernel->release != NULL)
        bench->kernel->release(bench->state);
    dyno_free(bench->memory);
    dyno_free(bench->state);
    dyno_free(bench->ins);
    dyno_free(bench->outs);
}

static enum dyno_status measure(struct bench *bench, const struct dyno_site *site,
                                const struct dyno_tactic *tactic,
                                struct dyno_cuda_programs *programs,
                                const struct dyno_measure_options *options, float *us_out)
{
    bool able = false;
    DYNO_TRY(make_bufs(bench, site, tactic));
    DYNO_TRY(dyno_cuda_programs_get(programs, bench->kernel, &bench->site, tactic, &bench->program,
                                    bench->err));
    DYNO_TRY(prepare(bench, tactic, options, &able));
    return able ? time_runs(bench, options, us_out) : DYNO_OK;
}

enum dyno_status dyno_measure_gpu(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                  struct dyno_cuda_programs *programs,
                                  const struct dyno_measure_options *options, float *us_out,
                                  struct dyno_err *err)
{
    struct dyno_err why = {0};
    struct bench bench = {.cuda = dyno_cuda_programs_device(programs),
                          .kernel = dyno_kernel_find(tactic->kernel),
                          .err = &why};
    DYNO_ASSERT(bench.kernel != NULL && bench.cuda != NULL);
    *us_out = INFINITY;
    DYNO_TRY(dyno_cuda_enter(bench.cuda, err));
    const enum dyno_status status = measure(&bench, site, tactic, programs, options, us_out);
    /* A library may refuse a run as well: that is no candidate, unless the GPU itself is broken. */
    const bool is_refusal = status == DYNO_E_IO && bench.kernel->library != DYNO_LIBRARY_NONE &&
                            bench.cuda->cu->stream_wait(bench.stream) == DYNO_CU_OK;
    if (is_refusal)
        *us_out = INFINITY;
    clean(&bench);
    return status == DYNO_OK || is_refusal ? DYNO_OK : DYNO_FAIL(err, status, "%s", why.text);
}
