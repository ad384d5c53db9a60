/* cmd_certify_worker.c - dyno certify-worker: a fresh process that `dyno certify` starts, measures
 * what its flags say and prints a line a measurement:
 *
 *   segment POINT ITEMS NS                             sweep
 *   control|speedup POINT (ITEMS NS CHAIN STEAL) x 4   blocks; watch: speedup alone
 *   profile POINT ALL_NS OPAQUE_NS
 *   energy SIDE ITEMS MILLIJOULES               of the segments of speed-ups, where the card tells
 *   run POINT SIDE NS NS ...                    runs; SIDE 0: the baseline
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/certify.h"
#include "cli/certify_card.h"
#include "cli/certify_chain.h"
#include "cli/flags.h"
#include "cli/session.h"
#include "cli/shapes.h"
#include "meter/cert/cert.h"

#define PROFILE_RUNS 3
#define RUNS_MAX     5296U /* 662 queries of 8 */
#define LINE_RUNS    32U
#define SWEEP_BYTES  ((uint64_t)1 << 30) /* a batch with larger activations is not tried */
#define SWEEP_SHARE  8                   /* ... on a GPU: larger than such a part of its memory */
#define WATCH_BLOCKS 300U
#define WATCH_SHARE  0.05 /* of a segment's length: many short blocks */

struct options {
    struct dyno_cli_list positional;
    struct dyno_cli_list points, load_inputs;
    const char *mode, *baseline, *engine, *device;
    int64_t threads, blocks;
    double segment_ms, seconds;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--mode",
     .value = "sweep|blocks|runs|watch",
     .help = "What to measure",
     .kind = DYNO_FLAG_STR,
     AT(mode)},
    {.name = "--baseline",
     .value = "FILE",
     .help = "Engine file of the unoptimised execution",
     .kind = DYNO_FLAG_STR,
     AT(baseline)},
    {.name = "--engine",
     .value = "FILE",
     .help = "Engine file to compare",
     .kind = DYNO_FLAG_STR,
     AT(engine)},
    DYNO_FLAG_DEVICE(options, "Device that both run on"),
    {.name = "--point",
     .value = "SHAPES",
     .help = "Shapes to run, one point each",
     .kind = DYNO_FLAG_LIST,
     AT(points)},
    {.name = "--loadInputs",
     .value = "NAME:FILE.npy",
     .help = "Data; default: made up",
     .kind = DYNO_FLAG_LIST,
     AT(load_inputs)},
    {.name = "--threads",
     .value = "N",
     .help = "Threads; 0 is one a CPU",
     .kind = DYNO_FLAG_INT,
     AT(threads),
     .max = 64},
    {.name = "--blocks",
     .value = "N",
     .help = "Blocks wanted of each kind",
     .kind = DYNO_FLAG_INT,
     AT(blocks),
     .fallback = 4,
     .max = 64},
    {.name = "--segment",
     .value = "MS",
     .help = "Least length of a segment",
     .kind = DYNO_FLAG_F64,
     AT(segment_ms),
     .max = 1e6},
    {.name = "--seconds",
     .value = "S",
     .help = "Time for single runs of the first point",
     .kind = DYNO_FLAG_F64,
     AT(seconds),
     .max = 1e6},
};

/* --- what others took --- */

/* What hypervisors took from this machine's processors so far, on average over them. */
static uint64_t hypervisor_ns(void)
{
    unsigned long long ticks = 0;
    char line[256];
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof(line), file) != NULL) {
        const char *at = line + strcspn(line, " ");
        for (int field = 0; field < 8; field++) {
            char *end = NULL;
            ticks = strtoull(at, &end, 10);
            at = end;
        }
    }
    (void)fclose(file);
    const long hz = sysconf(_SC_CLK_TCK);
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return hz > 0 && cpus > 0 ? ticks * 1000000000U / (uint64_t)hz / (uint64_t)cpus : 0;
}

/* How long threads of this process but that one were ready to run and had no processor, in all. */
static uint64_t waited_ns(pid_t but)
{
    uint64_t sum_ns = 0;
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL)
        return 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a folder of this call alone
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[300];
        char line[128];
        char *end = NULL;
        if (strtoull(entry->d_name, NULL, 10) == (unsigned long long)but)
            continue; /* with 0: "." and ".." */
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fgets(line, sizeof(line), file) != NULL) {
            (void)strtoull(line, &end, 10); /* the time it ran */
            sum_ns += strtoull(end, NULL, 10);
        }
        (void)fclose(file);
    }
    (void)closedir(dir);
    return sum_ns;
}

/* --- sides --- */

/* An engine with its arrays at one point. */
struct side {
    struct dyno_engine *engine;
    struct dyno_context *context;
    struct dyno_array *inputs, *outputs;
    uint64_t items;  /* of a run */
    bool by_events;  /* a run takes what the GPU's events tell; else what the host's clock does */
    double energy_j; /* that the card took in segments of speed-ups, and their items */
    uint64_t energy_items;
};

struct worker {
    const struct options *options;
    struct dyno_pool *pool;
    struct dyno_arena *arena; /* of the point */
    struct side sides[2];     /* baseline, engine */
    uint32_t side_count;
    bool on_gpu;
    struct dyno_certify_card *card;   /* NULL: the CPU, or it tells nothing */
    struct dyno_certify_chain *chain; /* NULL: a GPU */
    double segment_ms;
};

static enum dyno_status run_once(struct side *side, struct dyno_err *err)
{
    return dyno_context_run(side->context, side->inputs, side->outputs, err);
}

/* The same, and what it took on the device. */
static enum dyno_status run_timed(struct side *side, uint64_t *ns_out, struct dyno_err *err)
{
    const uint64_t start_ns = dyno_clock_ns();
    DYNO_TRY(run_once(side, err));
    *ns_out = side->by_events ? dyno_context_device_ns(side->context) : dyno_clock_ns() - start_ns;
    return DYNO_OK;
}

static void close_point(struct worker *worker)
{
    for (uint32_t s = 0; s < worker->side_count; s++) {
        dyno_context_destroy(worker->sides[s].context);
        worker->sides[s].context = NULL;
    }
    dyno_arena_reset(worker->arena);
}

static enum dyno_status open_point(struct worker *worker, const char *text, struct dyno_err *err)
{
    struct dyno_cli_shapes shapes;
    DYNO_TRY(dyno_cli_shapes(text, NULL, NULL, NULL, worker->arena, &shapes, err));
    for (uint32_t s = 0; s < worker->side_count; s++) {
        struct side *side = &worker->sides[s];
        DYNO_TRY(dyno_session_inputs(side->engine, &worker->options->load_inputs, ':', &shapes,
                                     worker->arena, &side->inputs, err));
        side->outputs = dyno_arena_alloc(worker->arena, dyno_engine_output_count(side->engine) + 1U,
                                         sizeof(*side->outputs));
        if (side->outputs == NULL)
            return DYNO_NOMEM(err);
        side->items = side->inputs[0].rank > 0 ? (uint64_t)side->inputs[0].dims[0] : 1;
        DYNO_TRY(dyno_context_create(side->engine, worker->pool, &side->context, err));
    }
    return DYNO_OK;
}

/* Until three windows in a row take the same time, within 2 %, for two segments at most (but three
 * windows at least). */
static enum dyno_status warm_up(struct side *side, double segment_ms, struct dyno_err *err)
{
    const uint64_t window_ns = (uint64_t)(segment_ms * 1e5);
    const uint64_t end_ns = dyno_clock_ns() + (uint64_t)(segment_ms * 2e6);
    double last[3] = {0.0, 0.0, 0.0};
    DYNO_TRY(run_once(side, err));
    dyno_context_transfers(side->context, 0); /* from here on both sides find their inputs there */
    for (int w = 0; w < 3 || dyno_clock_ns() < end_ns; w++) {
        const uint64_t start_ns = dyno_clock_ns();
        uint64_t now_ns = start_ns;
        uint32_t runs = 0;
        for (; runs == 0 || now_ns - start_ns < window_ns; runs++) {
            DYNO_TRY(run_once(side, err));
            now_ns = dyno_clock_ns();
        }
        last[w % 3] = (double)(now_ns - start_ns) / (double)runs;
        const double least = fmin(last[0], fmin(last[1], last[2]));
        const double most = fmax(last[0], fmax(last[1], last[2]));
        if (w >= 2 && most <= least * 1.02)
            break;
    }
    return DYNO_OK;
}

/* --- segments --- */

static enum dyno_status segment(struct side *side, double segment_ms, uint64_t *items_out,
                                uint64_t *ns_out, struct dyno_err *err)
{
    const uint64_t least_ns = (uint64_t)(segment_ms * 1e6);
    const uint64_t start_ns = dyno_clock_ns();
    uint64_t device_ns = 0, ns = 0;
    *items_out = 0;
    do {
        DYNO_TRY(run_timed(side, &ns, err));
        *items_out += side->items;
        device_ns += ns;
        ns = side->by_events ? device_ns : dyno_clock_ns() - start_ns;
    } while (ns < least_ns);
    *ns_out = ns > 0 ? ns : 1;
    return DYNO_OK;
}

/* What was taken from each thread of the pool so far. */
static uint64_t steal_ns(const struct worker *worker)
{
    return hypervisor_ns() + waited_ns(dyno_certify_chain_tid(worker->chain)) /
                                 (uint64_t)dyno_pool_thread_count(worker->pool);
}

/* With what went on beside it. */
static enum dyno_status watched_segment(struct worker *worker, struct side *side, bool is_speedup,
                                        struct dyno_cert_segment *s, struct dyno_err *err)
{
    const uint64_t steal_before_ns = steal_ns(worker);
    dyno_certify_card_begin(worker->card);
    dyno_certify_chain_begin(worker->chain);
    DYNO_TRY(segment(side, worker->segment_ms, &s->items, &s->ns, err));
    const struct dyno_certify_card_segment told = dyno_certify_card_end(worker->card);
    s->steal_ns = steal_ns(worker) - steal_before_ns;
    if (!worker->on_gpu)
        s->chain_ns = dyno_certify_chain_end(worker->chain);
    else
        s->chain_ns =
            told.core_mhz > 0.0 ? (uint64_t)(DYNO_CERT_CHAIN_ADDS * 1e3 / told.core_mhz) : 0;
    if (is_speedup && isfinite(told.energy_j)) {
        side->energy_j += told.energy_j;
        side->energy_items += s->items;
    }
    return DYNO_OK;
}

/* A B B A; false in held_out when the clock moved. */
static enum dyno_status block(struct worker *worker, uint32_t point, struct side *b,
                              const char *name, bool *held_out, struct dyno_err *err)
{
    struct side *const order[] = {&worker->sides[0], b, b, &worker->sides[0]};
    struct dyno_cert_block samples;
    for (int i = 0; i < 4; i++)
        DYNO_TRY(watched_segment(worker, order[i], b != order[0], &samples.segments[i], err));
    printf("%s %u", name, point);
    for (int i = 0; i < 4; i++) {
        const struct dyno_cert_segment *s = &samples.segments[i];
        printf(" %llu %llu %llu %llu", (unsigned long long)s->items, (unsigned long long)s->ns,
               (unsigned long long)s->chain_ns, (unsigned long long)s->steal_ns);
    }
    printf("\n");
    (void)fflush(stdout);
    *held_out = dyno_cert_block_held(&samples, worker->on_gpu);
    return DYNO_OK;
}

static enum dyno_status profile(struct worker *worker, uint32_t point, struct dyno_err *err)
{
    struct side *side = &worker->sides[0];
    const uint32_t count = dyno_engine_step_count(side->engine);
    float *us = dyno_arena_alloc(worker->arena, count + 1U, sizeof(*us));
    double all_ns = 0.0;
    double opaque_ns = 0.0;
    if (us == NULL)
        return DYNO_NOMEM(err);
    dyno_context_profile(side->context, 1);
    for (int r = 0; r < PROFILE_RUNS; r++) {
        DYNO_TRY(run_once(side, err));
        dyno_context_step_times(side->context, us);
        for (uint32_t i = 0; i < count; i++) {
            all_ns += (double)us[i] * 1e3;
            opaque_ns += dyno_certify_is_opaque(side->engine, i) ? (double)us[i] * 1e3 : 0.0;
        }
    }
    dyno_context_profile(side->context, 0);
    printf("profile %u %llu %llu\n", point, (unsigned long long)(all_ns + 1.0),
           (unsigned long long)opaque_ns);
    return DYNO_OK;
}

/* Control and speed-up in turn, until so many blocks of each held, or patience ends. */
static enum dyno_status measure_blocks(struct worker *worker, uint32_t point, struct dyno_err *err)
{
    const uint32_t wanted = (uint32_t)worker->options->blocks;
    uint32_t held[2] = {0, worker->side_count > 1 ? 0 : wanted};
    for (uint32_t s = 0; s < worker->side_count; s++)
        DYNO_TRY(warm_up(&worker->sides[s], worker->options->segment_ms, err));
    for (uint32_t tried = 0;
         tried < DYNO_CERT_PATIENCE * wanted && (held[0] < wanted || held[1] < wanted); tried++) {
        for (uint32_t s = 0; s < worker->side_count && s < 2; s++) {
            bool is_held = false;
            if (held[s] == wanted)
                continue;
            DYNO_TRY(block(worker, point, &worker->sides[s], s == 0 ? "control" : "speedup",
                           &is_held, err));
            held[s] += is_held ? 1 : 0;
        }
    }
    for (uint32_t s = 0; s < worker->side_count; s++) {
        struct side *side = &worker->sides[s];
        if (side->energy_items != 0)
            printf("energy %u %llu %llu\n", s, (unsigned long long)side->energy_items,
                   (unsigned long long)(side->energy_j * 1e3 + 0.5));
        side->energy_items = 0;
        side->energy_j = 0.0;
    }
    return profile(worker, point, err);
}

static enum dyno_status measure_watch(struct worker *worker, uint32_t point, struct dyno_err *err)
{
    bool held = false;
    for (uint32_t s = 0; s < worker->side_count; s++)
        DYNO_TRY(warm_up(&worker->sides[s], worker->options->segment_ms, err));
    worker->segment_ms = worker->options->segment_ms * WATCH_SHARE;
    for (uint32_t i = 0; i < WATCH_BLOCKS; i++)
        DYNO_TRY(block(worker, point, &worker->sides[1], "speedup", &held, err));
    return DYNO_OK;
}

/* One batch; items a second, 0 when it would take more memory than a batch is worth. */
static enum dyno_status measure_batch(struct worker *worker, uint32_t point, double *items_s_out,
                                      struct dyno_err *err)
{
    struct side *side = &worker->sides[0];
    uint64_t items = 0;
    uint64_t ns = 0;
    *items_s_out = 0.0;
    DYNO_TRY(dyno_context_bind(side->context, side->inputs, side->outputs, err));
    const uint64_t most_bytes =
        worker->on_gpu ? side->engine->here.gpu.memory_bytes / SWEEP_SHARE : SWEEP_BYTES;
    if (point > 0 && dyno_context_arena_bytes(side->context) > most_bytes)
        return DYNO_OK;
    /* What bind told is not where outputs shall be written. */
    memset(side->outputs, 0, dyno_engine_output_count(side->engine) * sizeof(*side->outputs));
    DYNO_TRY(warm_up(side, worker->options->segment_ms, err));
    DYNO_TRY(segment(side, worker->options->segment_ms, &items, &ns, err));
    printf("segment %u %llu %llu\n", point, (unsigned long long)items, (unsigned long long)ns);
    (void)fflush(stdout);
    *items_s_out = (double)items / (double)ns * 1e9;
    return DYNO_OK;
}

/* Up, until two batches in a row are a tenth below the best one; and down again, so that what
 * drifts meanwhile favours no batch. */
static enum dyno_status measure_sweep(struct worker *worker, struct dyno_err *err)
{
    const struct dyno_cli_list *points = &worker->options->points;
    double best = 0.0;
    uint32_t low_count = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < 2 * points->count; i++) {
        const bool is_down = i >= points->count;
        const uint32_t point = is_down ? 2 * points->count - 1 - i : i;
        double items_s = 0.0;
        if (is_down ? point > last : low_count == 2)
            continue;
        enum dyno_status status = open_point(worker, points->items[point], err);
        if (status == DYNO_OK)
            status = measure_batch(worker, point, &items_s, err);
        close_point(worker);
        DYNO_TRY(status);
        best = fmax(best, items_s);
        low_count = items_s == 0.0 ? 2 : items_s < 0.9 * best ? low_count + 1 : 0;
        last = is_down || items_s == 0.0 ? last : point;
    }
    return DYNO_OK;
}

/* A line of single runs of one side. */
struct tally {
    uint32_t count, wanted;
    double used_ns, limit_ns;
};

static bool is_full(const struct tally *tally)
{
    return tally->count >= tally->wanted || (tally->count > 0 && tally->used_ns >= tally->limit_ns);
}

static enum dyno_status run_line(struct worker *worker, uint32_t point, uint32_t s,
                                 struct tally *tally, struct dyno_err *err)
{
    printf("run %u %u", point, s);
    for (uint32_t i = 0; i < LINE_RUNS && !is_full(tally); i++) {
        const uint64_t start_ns = dyno_clock_ns();
        DYNO_TRY(run_once(&worker->sides[s], err));
        const uint64_t ns = dyno_clock_ns() - start_ns;
        printf(" %llu", (unsigned long long)(ns > 0 ? ns : 1));
        tally->used_ns += (double)ns;
        tally->count++;
    }
    printf("\n");
    (void)fflush(stdout);
    return DYNO_OK;
}

/* Single runs, a line on one side and a line on the other.  The first batch tells percentiles; of
 * larger ones the queue only needs to know how long they take. */
static enum dyno_status measure_runs(struct worker *worker, uint32_t point, struct dyno_err *err)
{
    struct tally tallies[2];
    for (uint32_t s = 0; s < 2; s++)
        tallies[s] =
            (struct tally){.wanted = point == 0 ? RUNS_MAX : 64,
                           .limit_ns = worker->options->seconds * (point == 0 ? 1e9 : 0.15e9)};
    for (uint32_t s = 0; s < worker->side_count; s++)
        DYNO_TRY(warm_up(&worker->sides[s], worker->options->segment_ms, err));
    for (bool more = true; more;) {
        more = false;
        for (uint32_t s = 0; s < worker->side_count && s < 2; s++) {
            if (is_full(&tallies[s]))
                continue;
            DYNO_TRY(run_line(worker, point, s, &tallies[s], err));
            more = true;
        }
    }
    return DYNO_OK;
}

/* --- the command --- */

static enum dyno_status measure(struct worker *worker, struct dyno_err *err)
{
    const struct options *options = worker->options;
    if (strcmp(options->mode, "sweep") == 0)
        return measure_sweep(worker, err);
    for (uint32_t i = 0; i < options->points.count; i++) {
        enum dyno_status status = open_point(worker, options->points.items[i], err);
        if (status == DYNO_OK && strcmp(options->mode, "blocks") == 0)
            status = measure_blocks(worker, i, err);
        else if (status == DYNO_OK && strcmp(options->mode, "watch") == 0)
            status = measure_watch(worker, i, err);
        else if (status == DYNO_OK)
            status = measure_runs(worker, i, err);
        close_point(worker);
        DYNO_TRY(status);
    }
    return DYNO_OK;
}

static enum dyno_status open_side(struct worker *worker, const char *path, struct dyno_err *err)
{
    struct side *side = &worker->sides[worker->side_count];
    DYNO_TRY(dyno_engine_open_on(path, worker->options->device, &side->engine, err));
    worker->side_count++;
    worker->on_gpu = side->engine->gpu != NULL;
    side->by_events = worker->on_gpu && !dyno_certify_runs_on_host(side->engine);
    return DYNO_OK;
}

static enum dyno_status open_sides(struct worker *worker, struct dyno_err *err)
{
    DYNO_TRY(open_side(worker, worker->options->baseline, err));
    if (worker->options->engine != NULL)
        DYNO_TRY(open_side(worker, worker->options->engine, err));
    return worker->on_gpu ? dyno_certify_card_open(worker->sides[0].engine, &worker->card, err)
                          : dyno_certify_chain_open(dyno_certify_chain_ns, &worker->chain, err);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    struct worker worker = {
        .options = options, .arena = dyno_arena_create(), .segment_ms = options->segment_ms};
    const struct dyno_pool_options pool = {.thread_count = (int)options->threads, .bind = true};
    if (options->mode == NULL || options->baseline == NULL) {
        dyno_arena_destroy(worker.arena);
        return DYNO_FAIL(err, DYNO_E_ARG, "only 'dyno certify' starts this command");
    }
    enum dyno_status status = worker.arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_pool_create(&pool, &worker.pool, err);
    if (status == DYNO_OK)
        status = open_sides(&worker, err);
    if (status == DYNO_OK)
        status = measure(&worker, err);
    dyno_certify_card_close(worker.card);
    dyno_certify_chain_close(worker.chain);
    for (uint32_t s = 0; s < worker.side_count; s++)
        dyno_engine_close(worker.sides[s].engine);
    dyno_pool_destroy(worker.pool);
    dyno_arena_destroy(worker.arena);
    return status;
}

const struct dyno_command dyno_command_certify_worker = {
    .name = "certify-worker",
    .summary = "Measures for dyno certify, which starts it",
    .text = "",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
    .is_internal = true,
};
