/* certify_campaign.c - starts fresh processes that measure and collects what they print. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/certify.h"

#define LINE_BYTES 4096
#define RUNS_ROOM  8192U
#define ARGS_MAX   (3 * DYNO_CLI_LIST_MAX + 16)

struct dyno_certify_schedule dyno_certify_schedule(bool is_trial, int64_t process_count)
{
    if (is_trial)
        return (struct dyno_certify_schedule){
            .processes = 3, .blocks = 2, .segment_ms = 10.0, .scenario_s = 0.1};
    /* A little over a second: clocks and counters are read outside the runs. */
    return (struct dyno_certify_schedule){.processes = process_count != 0 ? (uint32_t)process_count
                                                                          : DYNO_CERT_PROCESSES,
                                          .blocks = DYNO_CERT_BLOCKS,
                                          .segment_ms = (double)DYNO_CERT_SEGMENT_NS * 1e-6,
                                          .scenario_s = 40.0};
}

/* --- progress --- */

static void step(struct dyno_certify_campaign *campaign, const char *what)
{
    char text[64];
    char dropped[24] = "";
    campaign->steps_done++;
    const double used_s = (double)(dyno_clock_ns() - campaign->start_ns) * 1e-9;
    const double share = (double)campaign->steps_done / (double)campaign->steps_total;
    const double left_s = share > 0.0 && share < 1.0 ? used_s / share - used_s : 0.0;
    if (campaign->drops.count > 0)
        (void)snprintf(dropped, sizeof(dropped), ", %u dropped", campaign->drops.count);
    (void)snprintf(text, sizeof(text), "%s%s, about %d:%02d left", what, dropped, (int)left_s / 60,
                   (int)left_s % 60);
    dyno_progress_step(&campaign->progress, 1, text);
}

/* --- a worker --- */

/* What is made of a line. */
typedef enum dyno_status line_fn(void *arg, char *line, struct dyno_err *err);

struct worker {
    const char *mode;
    const char *points[DYNO_CLI_LIST_MAX];
    uint32_t point_count;
    bool with_engine;
    const struct dyno_cli_list *inputs; /* NAME:FILE.npy; NULL: made up */
    line_fn *on_line;
    void *arg;
};

static enum dyno_status spawn(char *const *args, pid_t *pid_out, FILE **out, struct dyno_err *err)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot make a pipe: %s", strerror(errno));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const int code = posix_spawn(pid_out, "/proc/self/exe", &actions, NULL, args, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    *out = code == 0 ? fdopen(ends[0], "r") : NULL;
    if (*out == NULL) {
        (void)close(ends[0]);
        return DYNO_FAIL(err, DYNO_E_IO, "cannot start a process that measures: %s",
                         strerror(code != 0 ? code : errno));
    }
    return DYNO_OK;
}

static enum dyno_status run_worker(const struct dyno_certify_campaign *campaign,
                                   const struct worker *worker, struct dyno_err *err)
{
    char texts[4][64];
    char device[96];
    char engines[2][4200];
    char line[LINE_BYTES];
    const char *args[ARGS_MAX] = {"dyno",   "certify-worker", texts[0],  texts[1],
                                  texts[2], texts[3],         engines[0]};
    uint32_t count = 7;
    char mode[32];
    (void)snprintf(mode, sizeof(mode), "--mode=%s", worker->mode);
    (void)snprintf(texts[0], sizeof(texts[0]), "--threads=%u", campaign->subject->threads);
    (void)snprintf(texts[1], sizeof(texts[1]), "--blocks=%u", campaign->schedule.blocks);
    (void)snprintf(texts[2], sizeof(texts[2]), "--segment=%.17g", campaign->schedule.segment_ms);
    (void)snprintf(texts[3], sizeof(texts[3]), "--seconds=%.17g", campaign->schedule.scenario_s);
    (void)snprintf(engines[0], sizeof(engines[0]), "--baseline=%s",
                   campaign->subject->baseline_path);
    (void)snprintf(engines[1], sizeof(engines[1]), "--engine=%s", campaign->subject->engine_path);
    (void)snprintf(device, sizeof(device), "--device=%s", campaign->subject->device.name);
    args[count++] = mode;
    args[count++] = device;
    if (worker->with_engine)
        args[count++] = engines[1];
    for (uint32_t i = 0; i < worker->point_count; i++)
        args[count++] = worker->points[i];
    for (uint32_t i = 0; worker->inputs != NULL && i < worker->inputs->count; i++) {
        args[count++] = "--loadInputs";
        args[count++] = worker->inputs->items[i];
    }
    pid_t pid = 0;
    FILE *out = NULL;
    DYNO_TRY(spawn((char *const *)(uintptr_t)args, &pid, &out, err));
    enum dyno_status status = DYNO_OK;
    while (status == DYNO_OK && fgets(line, sizeof(line), out) != NULL)
        status = worker->on_line(worker->arg, line, err);
    (void)fclose(out); /* a worker that still writes ends by that */
    int code = 0;
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR)
        ;
    if (status == DYNO_OK && code != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "a process that measures ended with %s %d",
                         WIFSIGNALED(code) ? "signal" : "exit code",
                         WIFSIGNALED(code) ? WTERMSIG(code) : WEXITSTATUS(code));
    return status;
}

/* The next whole number of a line. */
static enum dyno_status next(char **at, uint64_t *out, struct dyno_err *err)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    if (end == *at || errno != 0 || *out > DYNO_CERT_NUMBER_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a process that measures printed '%.40s'", *at);
    *at = end;
    return DYNO_OK;
}

static bool is_line(char **at, const char *word)
{
    const size_t bytes = strlen(word);
    if (strncmp(*at, word, bytes) != 0 || (*at)[bytes] != ' ')
        return false;
    *at += bytes;
    return true;
}

static enum dyno_status unexpected(const char *line, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_FORMAT, "a process that measures printed '%.40s'", line);
}

/* A point's flag; the text lives in `arena`. */
static enum dyno_status add_point(const struct dyno_certify_campaign *campaign,
                                  struct worker *worker, uint64_t batch, uint32_t point,
                                  struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    dyno_strbuf_puts(&text, "--point=");
    dyno_certify_shape_text(campaign->subject, (int64_t)batch, point, &text);
    const char *copy = dyno_arena_strdup(arena, dyno_strbuf_text(&text));
    const bool ok = dyno_strbuf_ok(&text) && copy != NULL;
    dyno_strbuf_fini(&text);
    if (!ok)
        return DYNO_NOMEM(err);
    worker->points[worker->point_count++] = copy;
    return DYNO_OK;
}

/* --- the sweep --- */

struct sweep {
    struct dyno_certify_campaign *campaign;
    struct dyno_cert *cert;
};

static enum dyno_status on_sweep(void *arg, char *line, struct dyno_err *err)
{
    const struct sweep *sweep = arg;
    uint64_t point = 0;
    uint64_t items = 0;
    uint64_t ns = 0;
    char *at = line;
    if (!is_line(&at, "segment"))
        return unexpected(line, err);
    DYNO_TRY(next(&at, &point, err));
    DYNO_TRY(next(&at, &items, err));
    DYNO_TRY(next(&at, &ns, err));
    if (point >= sweep->cert->sweep_count)
        return unexpected(line, err);
    sweep->cert->sweep[point].items += items;
    sweep->cert->sweep[point].ns += ns;
    step(sweep->campaign, "batches");
    return DYNO_OK;
}

uint32_t dyno_certify_best_point(const struct dyno_certify_subject *subject)
{
    uint32_t point = 0;
    for (uint32_t a = 0; a < subject->axis_count; a++) {
        const struct dyno_cert_axis *axis = &subject->axes[a];
        const int64_t opt = subject->inputs[axis->places[0].input].opt[axis->places[0].dim];
        uint32_t at = 0;
        while (at + 1 < axis->point_count && axis->points[at] < opt)
            at++;
        point = point * axis->point_count + at;
    }
    return point;
}

enum dyno_status dyno_certify_sweep(struct dyno_certify_campaign *campaign,
                                    struct dyno_cert *reference, struct dyno_err *err)
{
    const struct dyno_certify_subject *subject = campaign->subject;
    struct sweep sweep = {.campaign = campaign, .cert = reference};
    struct worker worker = {.mode = "sweep", .on_line = on_sweep, .arg = &sweep};
    reference->sweep =
        dyno_arena_alloc(reference->arena, DYNO_CERT_ROWS_MAX, sizeof(*reference->sweep));
    if (reference->sweep == NULL)
        return DYNO_NOMEM(err);
    for (int64_t batch = subject->batch_min; batch <= subject->batch_max; batch *= 2) {
        reference->sweep[reference->sweep_count++].batch = (uint64_t)batch;
        DYNO_TRY(add_point(campaign, &worker, (uint64_t)batch, dyno_certify_best_point(subject),
                           reference->arena, err));
    }
    DYNO_TRY(run_worker(campaign, &worker, err));
    while (reference->sweep_count > 1 && reference->sweep[reference->sweep_count - 1].ns == 0)
        reference->sweep_count--; /* not tried: the batches before did worse and worse */
    return DYNO_OK;
}

/* --- blocks --- */

struct collect {
    struct dyno_certify_campaign *campaign;
    struct dyno_cert *certs[2]; /* reference, engine; NULL: not wanted */
    uint32_t process;
};

static struct dyno_cert_point *point_of(struct dyno_cert *cert, uint64_t point)
{
    return &cert->attempts[cert->attempt_count - 1].points[point];
}

static void add_block(struct dyno_cert_series *series, uint32_t process, uint32_t room,
                      const struct dyno_cert_block *block)
{
    struct dyno_cert_process *to = &series->processes[process];
    if (to->count < room)
        to->blocks[to->count++] = *block;
}

/* POINT and four segments. */
static enum dyno_status take_block(char *at, uint32_t point_count, uint64_t *point_out,
                                   struct dyno_cert_block *block_out, struct dyno_err *err)
{
    DYNO_TRY(next(&at, point_out, err));
    if (*point_out >= point_count)
        return unexpected(at, err);
    for (int i = 0; i < 4; i++) {
        struct dyno_cert_segment *s = &block_out->segments[i];
        DYNO_TRY(next(&at, &s->items, err));
        DYNO_TRY(next(&at, &s->ns, err));
        DYNO_TRY(next(&at, &s->chain_ns, err));
        DYNO_TRY(next(&at, &s->steal_ns, err));
    }
    return DYNO_OK;
}

static enum dyno_status on_block(struct collect *collect, char *at, bool is_control,
                                 struct dyno_err *err)
{
    const uint32_t room = DYNO_CERT_PATIENCE * collect->campaign->schedule.blocks;
    struct dyno_cert_block block;
    uint64_t point = 0;
    DYNO_TRY(take_block(at, collect->campaign->subject->point_count, &point, &block, err));
    for (int c = 0; c < 2; c++) {
        if (collect->certs[c] == NULL)
            continue;
        struct dyno_cert_point *to = point_of(collect->certs[c], point);
        if (is_control)
            add_block(&to->control, collect->process, room, &block);
        else if (collect->certs[c]->kind == DYNO_CERT_ENGINE)
            add_block(&to->speedup, collect->process, room, &block);
    }
    dyno_certify_drops_add(&collect->campaign->drops,
                           collect->certs[collect->certs[0] == NULL ? 1 : 0], &block);
    step(collect->campaign, is_control ? "A/A control" : "speed-up");
    return DYNO_OK;
}

static enum dyno_status on_energy(const struct collect *collect, char *at, struct dyno_err *err)
{
    uint64_t side = 0, items = 0, millijoules = 0;
    DYNO_TRY(next(&at, &side, err));
    DYNO_TRY(next(&at, &items, err));
    DYNO_TRY(next(&at, &millijoules, err));
    if (side > 1)
        return unexpected(at, err);
    if (collect->certs[1] == NULL || collect->certs[1]->kind != DYNO_CERT_ENGINE)
        return DYNO_OK;
    collect->certs[1]->energy.items[side] += items;
    collect->certs[1]->energy.millijoules[side] += millijoules;
    return DYNO_OK;
}

static enum dyno_status on_sample(void *arg, char *line, struct dyno_err *err)
{
    struct collect *collect = arg;
    char *at = line;
    if (is_line(&at, "control"))
        return on_block(collect, at, true, err);
    if (is_line(&at, "speedup"))
        return on_block(collect, at, false, err);
    if (is_line(&at, "energy"))
        return on_energy(collect, at, err);
    uint64_t point = 0;
    uint64_t all_ns = 0;
    uint64_t opaque_ns = 0;
    if (!is_line(&at, "profile"))
        return unexpected(line, err);
    DYNO_TRY(next(&at, &point, err));
    DYNO_TRY(next(&at, &all_ns, err));
    DYNO_TRY(next(&at, &opaque_ns, err));
    for (int c = 0; c < 2; c++) {
        if (collect->certs[c] == NULL || point >= collect->campaign->subject->point_count)
            continue;
        point_of(collect->certs[c], point)->profiled_ns += all_ns;
        point_of(collect->certs[c], point)->opaque_ns += opaque_ns;
    }
    return DYNO_OK;
}

static bool make_series(struct dyno_arena *arena, const struct dyno_certify_schedule *schedule,
                        struct dyno_cert_series *series)
{
    series->count = schedule->processes;
    series->processes = dyno_arena_alloc(arena, schedule->processes, sizeof(*series->processes));
    for (uint32_t p = 0; series->processes != NULL && p < schedule->processes; p++) {
        series->processes[p].blocks = dyno_arena_alloc(
            arena, (size_t)DYNO_CERT_PATIENCE * schedule->blocks, sizeof(struct dyno_cert_block));
        if (series->processes[p].blocks == NULL)
            return false;
    }
    return series->processes != NULL;
}

static enum dyno_status begin_attempt(const struct dyno_certify_campaign *campaign,
                                      struct dyno_cert *cert, struct dyno_err *err)
{
    if (cert == NULL)
        return DYNO_OK;
    DYNO_ASSERT(cert->attempt_count < DYNO_CERT_ATTEMPTS_MAX);
    struct dyno_cert_attempt *attempt = &cert->attempts[cert->attempt_count++];
    attempt->begun_s = dyno_now_s();
    attempt->points = dyno_arena_alloc(cert->arena, cert->point_count, sizeof(*attempt->points));
    bool ok = attempt->points != NULL;
    for (uint32_t i = 0; ok && i < cert->point_count; i++) {
        ok = make_series(cert->arena, &campaign->schedule, &attempt->points[i].control) &&
             (cert->kind != DYNO_CERT_ENGINE ||
              make_series(cert->arena, &campaign->schedule, &attempt->points[i].speedup));
    }
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

static bool has_enough(const struct dyno_cert *cert, const struct dyno_cert_series *series,
                       uint32_t process)
{
    const struct dyno_cert_process *of = &series->processes[process];
    uint32_t count = 0;
    for (uint32_t b = 0; b < of->count; b++)
        count += dyno_cert_block_counts(cert, &of->blocks[b]) ? 1 : 0;
    return count >= cert->block_count;
}

/* Has the last process what is wanted of it?  If not, the attempt is refused, and further ones
 * would only take time. */
static bool is_complete(const struct collect *collect)
{
    for (int c = 0; c < 2; c++) {
        const struct dyno_cert *cert = collect->certs[c];
        if (cert == NULL)
            continue;
        const struct dyno_cert_attempt *attempt = &cert->attempts[cert->attempt_count - 1];
        for (uint32_t i = 0; i < cert->point_count; i++) {
            if (!has_enough(cert, &attempt->points[i].control, collect->process) ||
                (cert->kind == DYNO_CERT_ENGINE &&
                 !has_enough(cert, &attempt->points[i].speedup, collect->process)))
                return false;
        }
    }
    return true;
}

enum dyno_status dyno_certify_attempt(struct dyno_certify_campaign *campaign, uint64_t batch,
                                      struct dyno_cert *reference, struct dyno_cert *engine,
                                      struct dyno_err *err)
{
    struct collect collect = {.campaign = campaign, .certs = {reference, engine}};
    struct worker worker = {
        .mode = "blocks", .with_engine = engine != NULL, .on_line = on_sample, .arg = &collect};
    DYNO_TRY(begin_attempt(campaign, reference, err));
    DYNO_TRY(begin_attempt(campaign, engine, err));
    if (engine != NULL)
        engine->energy = (struct dyno_cert_energy){.items = {0}}; /* of the attempt that counts */
    struct dyno_arena *arena = engine != NULL ? engine->arena : reference->arena;
    for (uint32_t i = 0; i < campaign->subject->point_count; i++)
        DYNO_TRY(add_point(campaign, &worker, batch, i, arena, err));
    char text[DYNO_CERTIFY_DROPS_ROOM];
    bool can_stand = true;
    for (uint32_t p = 0; can_stand && p < campaign->schedule.processes; p++) {
        collect.process = p;
        campaign->drops = (struct dyno_certify_drops){0};
        DYNO_TRY(run_worker(campaign, &worker, err));
        /* Whoever waits may want to make the machine quiet. */
        const char *said =
            dyno_certify_drops_text(&campaign->drops, p, campaign->schedule.processes, text);
        if (said != NULL)
            dyno_progress_say(&campaign->progress, said);
        can_stand = is_complete(&collect);
    }
    return DYNO_OK;
}

/* --- a look at one point --- */

static enum dyno_status on_look(void *arg, char *line, struct dyno_err *err)
{
    const struct dyno_certify_look *look = arg;
    struct dyno_cert_block block;
    uint64_t point = 0;
    char *at = line;
    if (!is_line(&at, "speedup"))
        return unexpected(line, err);
    DYNO_TRY(take_block(at, 1, &point, &block, err));
    return look->fn(look->arg, &block, err);
}

enum dyno_status dyno_certify_blocks(const struct dyno_certify_campaign *campaign,
                                     const struct dyno_certify_look *look, struct dyno_err *err)
{
    struct worker worker = {.mode = "watch",
                            .with_engine = true,
                            .inputs = look->inputs,
                            .on_line = on_look,
                            .arg = (void *)(uintptr_t)look};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = add_point(campaign, &worker, look->batch, look->point, arena, err);
    if (status == DYNO_OK)
        status = run_worker(campaign, &worker, err);
    dyno_arena_destroy(arena);
    return status;
}

/* --- scenarios --- */

struct runs {
    struct dyno_certify_campaign *campaign;
    struct dyno_cert_scenarios *scenarios;
};

static enum dyno_status on_runs(void *arg, char *line, struct dyno_err *err)
{
    const struct runs *runs = arg;
    uint64_t row = 0;
    uint64_t side = 0;
    char *at = line;
    if (!is_line(&at, "run"))
        return unexpected(line, err);
    DYNO_TRY(next(&at, &row, err));
    DYNO_TRY(next(&at, &side, err));
    if (row >= runs->scenarios->row_count || side > 1)
        return unexpected(line, err);
    struct dyno_cert_row *to = &runs->scenarios->rows[row];
    while (*at != '\n' && *at != 0 && to->counts[side] < 8192)
        DYNO_TRY(next(&at, &to->run_ns[side][to->counts[side]++], err));
    /* Two sides, larger batches for a while: at most that long. */
    struct dyno_certify_campaign *campaign = runs->campaign;
    const double limit_s =
        campaign->schedule.scenario_s * 2.0 * (0.85 + 0.15 * runs->scenarios->row_count);
    const double used_s = (double)(dyno_clock_ns() - campaign->start_ns) * 1e-9;
    while ((double)campaign->steps_done < used_s / limit_s * (double)campaign->steps_total &&
           campaign->steps_done + 1 < campaign->steps_total)
        step(campaign, "scenarios");
    return DYNO_OK;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A bound that the unoptimised execution can keep: three times its median. */
static enum dyno_status default_bound(struct dyno_cert_scenarios *scenarios, struct dyno_err *err)
{
    const struct dyno_cert_row *row = &scenarios->rows[0];
    uint64_t *sorted = dyno_alloc(row->counts[0] + 1U, sizeof(*sorted));
    if (sorted == NULL)
        return DYNO_NOMEM(err);
    memcpy(sorted, row->run_ns[0], row->counts[0] * sizeof(*sorted));
    qsort(sorted, row->counts[0], sizeof(*sorted), by_value);
    scenarios->bound_ns = 3 * sorted[row->counts[0] / 2];
    dyno_free(sorted);
    return DYNO_OK;
}

enum dyno_status dyno_certify_scenarios(struct dyno_certify_campaign *campaign,
                                        struct dyno_cert *engine, struct dyno_err *err)
{
    const struct dyno_certify_subject *subject = campaign->subject;
    struct dyno_cert_scenarios *scenarios = &engine->scenarios;
    struct runs runs = {.campaign = campaign, .scenarios = scenarios};
    struct worker worker = {.mode = "runs", .with_engine = true, .on_line = on_runs, .arg = &runs};
    scenarios->rows = dyno_arena_alloc(engine->arena, DYNO_CERT_ROWS_MAX, sizeof(*scenarios->rows));
    if (scenarios->rows == NULL)
        return DYNO_NOMEM(err);
    for (int64_t batch = subject->batch_min;
         batch <= subject->batch_max && batch <= campaign->batch_max; batch *= 2) {
        struct dyno_cert_row *row = &scenarios->rows[scenarios->row_count++];
        row->batch = (uint64_t)batch;
        for (int side = 0; side < 2; side++) {
            row->run_ns[side] = dyno_arena_alloc(engine->arena, RUNS_ROOM, sizeof(uint64_t));
            if (row->run_ns[side] == NULL)
                return DYNO_NOMEM(err);
        }
        DYNO_TRY(add_point(campaign, &worker, (uint64_t)batch, dyno_certify_best_point(subject),
                           engine->arena, err));
    }
    DYNO_TRY(run_worker(campaign, &worker, err));
    for (uint32_t r = 0; r < scenarios->row_count; r++) {
        if (scenarios->rows[r].counts[0] == 0 || scenarios->rows[r].counts[1] == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "a process that measures printed no runs");
    }
    scenarios->bound_ns = (uint64_t)(campaign->options->p99_ms * 1e6);
    return scenarios->bound_ns > 0 ? DYNO_OK : default_bound(scenarios, err);
}
