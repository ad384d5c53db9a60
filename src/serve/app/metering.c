/* metering.c - records of calls. */
#include "serve/app/metering.h"

#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/app/http.h"
#include "serve/app/usage.h"

_Static_assert(DYNO_CLASSES_MAX <= DYNO_METER_CLASSES_MAX, "each class has its place");

/* --- records of calls --- */

bool dyno_server_can_meter(const struct dyno_server *server)
{
    return server->meter == NULL || dyno_meter_refusal(server->meter) == NULL;
}

enum dyno_status dyno_call_may_run(struct dyno_call *call)
{
    const struct dyno_meter *meter = call->io->server->meter;
    const char *why_not = meter != NULL ? dyno_meter_refusal(meter) : NULL;
    if (why_not == NULL)
        return DYNO_OK;
    call->task.retry_ns = UINT64_C(1000000000);
    return DYNO_FAIL(&call->err, DYNO_E_BUSY, "%s", why_not);
}

uint64_t dyno_call_came_ns(struct dyno_call *call)
{
    struct timespec now;
    if (call->came_ns != 0)
        return call->came_ns;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    call->came_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec -
                    (dyno_clock_ns() - call->start_ns);
    return call->came_ns;
}

static struct dyno_call *call_of(struct dyno_ledger_entry *entry)
{
    return (struct dyno_call *)(void *)((char *)entry - offsetof(struct dyno_call, entry));
}

static void refuse(struct dyno_call *call)
{
    if (call->status == DYNO_OK)
        call->status = DYNO_FAIL(&call->err, DYNO_E_BUSY,
                                 "usage could not be written down, so the answer is "
                                 "not given");
}

static void take_status(struct dyno_call *call)
{
    if (call->entry.status != DYNO_OK)
        refuse(call);
    if (call->entry.status == DYNO_OK && call->entry.record.id.seq != 0)
        dyno_quota_post(&call->entry.record, &call->reservation);
}

/* By the committer. */
static void durable(void *arg, struct dyno_ledger_entry *entries)
{
    (void)arg;
    for (struct dyno_ledger_entry *entry = entries; entry != NULL; entry = entry->next)
        take_status(call_of(entry));
}

/* Its record is durable here, and posted; that is taken back when the call is over. */
static void refuse_late(struct dyno_call *call)
{
    call->task.retry_ns = UINT64_C(1000000000);
    if (call->status == DYNO_OK)
        call->status = DYNO_FAIL(&call->err, DYNO_E_BUSY,
                                 "the fleet's ledger has not taken the request's usage in time, so "
                                 "the answer is not given");
}

/* By one thread at a time: each I/O thread is rung for once, and finds all its calls. */
static void told(void *arg, struct dyno_ledger_entry *entries)
{
    struct dyno_server *server = arg;
    while (entries != NULL) {
        struct dyno_call *call = call_of(entries);
        struct dyno_io_usage *usage = &call->io->usage;
        entries = entries->next;
        if (call->entry.status == DYNO_E_BUSY)
            refuse_late(call);
        call->mail.next = usage->told_last;
        usage->told_last = &call->mail;
        if (usage->told_first == NULL)
            usage->told_first = &call->mail;
    }
    for (int i = 0; i < server->io_count; i++) {
        struct dyno_io_usage *usage = &server->ios[i].usage;
        struct dyno_mail *last = usage->told_last;
        struct dyno_mail *first = usage->told_first;
        usage->told_last = usage->told_first = NULL;
        if (last != NULL)
            dyno_loop_post_list(server->ios[i].loop, last, first);
    }
}

static struct dyno_meter_request request_of(struct dyno_call *call)
{
    const struct dyno_task *task = &call->task;
    return (struct dyno_meter_request){
        .variant = task->variant,
        .tenant_id = call->guest->tenant,
        .tenant = call->guest->name,
        .class_idx = task->class_idx,
        .class_name = call->io->server->classes.rows[task->class_idx].name,
        .inputs = task->inputs,
        .is_good = call->status == DYNO_OK,
        .is_cancelled = call->status == DYNO_E_CANCELLED,
        .has_waited = call->wait_count > 0,
        .wall_ns = dyno_call_came_ns(call),
        .queue_ns = task->start_ns - task->queue_ns,
        .core_ns = task->core_ns,
        .batch_id = task->batch_id,
        .batch_count = task->batch_count,
        .reservation = &call->reservation,
    };
}

static struct dyno_call *of_mail(struct dyno_mail *mail)
{
    return (struct dyno_call *)(void *)((char *)mail - offsetof(struct dyno_call, mail));
}

/* NULL: it has not run, or is refused. */
static struct dyno_usage *make_usage(struct dyno_call *call)
{
    struct dyno_io *io = call->io;
    if (call->task.batch_id == 0)
        return NULL;
    struct dyno_usage *usage = dyno_usage_create(io);
    const struct dyno_meter_request request = request_of(call);
    if (usage == NULL || !dyno_meter_record(io->server->meter, &request, &usage->entry)) {
        if (usage != NULL)
            dyno_usage_destroy(usage);
        refuse(call);
        return NULL;
    }
    dyno_reservation_move(&usage->reservation, &call->reservation);
    return usage;
}

/* The records of all that have run, in one list, then their answers. */
static void write_ran(struct dyno_io *io)
{
    struct dyno_mail *ran = io->usage.ran;
    struct dyno_ledger_entry *entries = NULL;
    struct dyno_ledger_entry **last_next = &entries;
    io->usage.ran = NULL;
    io->usage.ran_count = 0;
    for (struct dyno_mail *mail = ran; mail != NULL; mail = mail->next) {
        struct dyno_call *call = of_mail(mail);
        call->usage = make_usage(call);
        if (call->usage == NULL)
            continue;
        *last_next = &call->usage->entry;
        last_next = &call->usage->entry.next;
        dyno_usage_begin(call->usage);
    }
    if (entries != NULL)
        dyno_meter_hand_over(io->server->meter, entries);
    while (ran != NULL) {
        struct dyno_mail *next = ran->next;
        ran->deliver(ran);
        ran = next;
    }
}

static void flush(struct dyno_io *io)
{
    struct dyno_io_usage *usage = &io->usage;
    struct dyno_ledger_entry *entries = usage->entries;
    const size_t left_count = usage->left_count;
    usage->entries = NULL;
    usage->left_count = 0;
    if (left_count > 0)
        dyno_meter_left(io->server->meter, usage->left, left_count);
    if (entries != NULL)
        dyno_meter_hand_over(io->server->meter, entries);
}

static void end_turn(struct dyno_turn *turn)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)turn - offsetof(struct dyno_io, usage.turn));
    write_ran(io);
    flush(io);
}

/* What there is for the ledger goes at the end of this turn. */
static void wait_for_end(struct dyno_io *io)
{
    io->usage.turn.end = end_turn;
    dyno_loop_at_end(io->loop, &io->usage.turn);
}

/* Runs on this thread are written down together; those of the scheduler's lanes take longer than
 * that is worth. */
static void hand_over(struct dyno_call *call)
{
    struct dyno_io *io = dyno_io_here;
    if (io == NULL) {
        dyno_meter_hand_over(call->io->server->meter, &call->entry);
        return;
    }
    struct dyno_io_usage *usage = &io->usage;
    if (usage->entries == NULL)
        usage->last_next = &usage->entries;
    *usage->last_next = &call->entry;
    usage->last_next = &call->entry.next;
    wait_for_end(io);
}

bool dyno_call_is_held(const struct dyno_call *call)
{
    const struct dyno_server *server = call->io->server;
    return server->meter != NULL && !server->options.awaits_fleet && !server->options.is_relaxed &&
           call->held == NULL;
}

void dyno_call_record_held(struct dyno_call *call, void (*wake)(struct dyno_mail *mail))
{
    struct dyno_io *io = call->io;
    struct dyno_io_usage *usage = &io->usage;
    call->mail.deliver = wake;
    call->mail.next = NULL;
    if (usage->ran == NULL)
        usage->ran_last = &usage->ran;
    *usage->ran_last = &call->mail;
    usage->ran_last = &call->mail.next;
    wait_for_end(io);
    if (++usage->ran_count == DYNO_IO_RAN_MAX)
        write_ran(io);
}

bool dyno_call_record(struct dyno_call *call, void (*wake)(struct dyno_mail *mail))
{
    struct dyno_server *server = call->io->server;
    if (server->meter == NULL || call->task.batch_id == 0)
        return false;
    const struct dyno_meter_request request = request_of(call);
    call->mail.deliver = wake;
    call->has_entry = true;
    if (dyno_meter_record(server->meter, &request, &call->entry)) {
        hand_over(call);
        return true;
    }
    take_status(call);
    return false;
}

void dyno_call_left(struct dyno_io *io, uint64_t seq)
{
    struct dyno_io_usage *usage = &io->usage;
    if (usage->left_count == DYNO_IO_LEFT_MAX)
        flush(io);
    usage->left[usage->left_count++] = seq;
    wait_for_end(io);
}

/* On the call's own thread. */
void dyno_call_settle(struct dyno_call *call)
{
    if (call->has_entry && dyno_meter_awaits(&call->entry)) {
        if (call->has_left && call->entry.status == DYNO_OK)
            dyno_call_left(call->io, call->entry.record.id.seq);
        else
            dyno_meter_lost(call->io->server->meter, &call->entry, &call->reservation);
    }
    if (call->usage != NULL)
        dyno_usage_settle(call->usage, call->has_left);
    call->usage = NULL;
    call->has_entry = call->has_left = false;
    call->entry = (struct dyno_ledger_entry){0};
}

/* --- opening and closing --- */

static void committed(void *arg, uint64_t seq)
{
    dyno_usage_committed(arg, seq);
}

static enum dyno_status ready(void *arg, struct dyno_arena *arena,
                              struct dyno_variant ***variants_out, size_t *count_out,
                              struct dyno_err *err)
{
    struct dyno_server *server = arg;
    struct dyno_catalog *catalog = atomic_load(&server->metered);
    *count_out = 0;
    if (catalog == NULL)
        return DYNO_OK;
    return dyno_catalog_ready(catalog, NULL, arena, variants_out, count_out, err);
}

enum dyno_status dyno_server_open_meter(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    if (options->ledger == NULL)
        return DYNO_OK;
    struct dyno_meter_options meter = {.ledger = options->ledger,
                                       .node = options->node,
                                       .key_path = options->ledger_key,
                                       .publish = options->publish_heads,
                                       .certificates = options->certificates,
                                       .device_class = options->device_class,
                                       .recheck_ns = (uint64_t)(options->recheck_s * 1e9),
                                       .certifier = options->builds.builder,
                                       .takes_trials = options->takes_trials,
                                       .is_relaxed = options->is_relaxed,
                                       .fleet = options->fleet_ledger,
                                       .awaits_fleet = options->awaits_fleet,
                                       .fleet_wait_ns = (uint64_t)(options->fleet_wait_s * 1e9),
                                       .is_first_start = dyno_super_restarts(server->super) == 0,
                                       .device = &server->device,
                                       .gpu_count = options->gpu_count,
                                       .quota = server->quota,
                                       .ready = ready,
                                       .durable = durable,
                                       .told = told,
                                       .committed = committed,
                                       .arg = server};
    for (int i = 0; i < options->gpu_count; i++)
        meter.gpus[i] = &server->gpu_accounts[i];
    return dyno_meter_create(&meter, &server->meter, err);
}

void dyno_server_close_meter(struct dyno_server *server)
{
    struct dyno_err err = {0};
    for (int i = 0; server->meter != NULL && i < server->io_count; i++)
        flush(&server->ios[i]);
    if (dyno_meter_destroy(server->meter, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_ERROR, "the ledger: %s", err.text);
    for (int i = 0; i < server->io_count; i++)
        dyno_usage_fini(&server->ios[i]);
    server->meter = NULL;
}

enum dyno_status dyno_server_adopt(void *arg, struct dyno_variant *variant, struct dyno_err *err)
{
    const struct dyno_server *server = arg;
    return dyno_meter_adopt(server->meter, variant, err);
}

/* --- metrics --- */

static void head(struct dyno_strbuf *out, const char *name, const char *help, const char *type)
{
    dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void count(struct dyno_strbuf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, help, "counter");
    dyno_strbuf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void account(struct dyno_strbuf *out, const char *name, dyno_u128 ns)
{
    dyno_strbuf_printf(out, "dyno_account_core_seconds_total{account=\"%s\"} %.9f\n", name,
                       (double)ns * 1e-9);
}

static void gauge(struct dyno_strbuf *out, const char *name, const char *help, double value)
{
    head(out, name, help, "gauge");
    dyno_strbuf_printf(out, "%s %.12g\n", name, value);
}

static void print_fleet(const struct dyno_meter_figures *figures, uint32_t epoch,
                        struct dyno_strbuf *out)
{
    const struct dyno_meter_fleet_figures *fleet = &figures->fleet;
    const uint64_t seq = fleet->epoch == epoch ? fleet->shipped_seq : 0;
    gauge(out, "dyno_fleet_up", "1 while the fleet's ledger takes what it is sent.", fleet->is_up);
    gauge(out, "dyno_fleet_shipped_seq", "The last record of this start that the fleet has.",
          (double)seq);
    gauge(out, "dyno_fleet_lag_records", "Durable records of this start that it lacks.",
          figures->durable_seq > seq ? (double)(figures->durable_seq - seq) : 0.0);
    gauge(out, "dyno_fleet_lag_seconds", "Since when it lacks something.", fleet->lag_s);
    gauge(out, "dyno_fleet_waiting_answers", "Answers that wait for the fleet.",
          (double)fleet->waiting_count);
    count(out, "dyno_fleet_expired_answers_total",
          "Answers that were not given, since the fleet did not take their usage in time.",
          fleet->expired_count);
    count(out, "dyno_fleet_failures_total", "Tries to reach the fleet's ledger that failed.",
          fleet->failure_count);
}

/* Of GPUs that have been used. */
static void print_gpu_accounts(struct dyno_server *server, struct dyno_strbuf *out)
{
    struct dyno_gpu_figures gpus[DYNO_GPUS_MAX];
    const int count = dyno_manager_gpu_figures(server->manager, gpus);
    bool is_first = true;
    for (int i = 0; i < count; i++) {
        struct dyno_timeline_sums sums;
        if (gpus[i].card.memory_bytes == 0)
            continue;
        dyno_device_read(&server->gpu_accounts[i], &sums);
        const struct {
            const char *name;
            dyno_u128 ns;
        } rows[] = {{"wall", sums.wall_ns},
                    {"tenants", sums.tenants_ns},
                    {"platform", sums.platform_ns},
                    {"idle", sums.idle_ns}};
        if (is_first)
            head(out, "dyno_account_gpu_seconds_total",
                 "Time of a GPU as its events tell it, each account summed on its own: tenants + "
                 "platform + idle = wall, as of the oldest run in flight.",
                 "counter");
        is_first = false;
        for (size_t k = 0; k < DYNO_COUNT(rows); k++)
            dyno_strbuf_printf(out,
                               "dyno_account_gpu_seconds_total{device=\"%s\",account=\"%s\"} "
                               "%.9f\n",
                               gpus[i].card.device, rows[k].name, (double)rows[k].ns * 1e-9);
    }
}

void dyno_server_print_meter(struct dyno_server *server, struct dyno_strbuf *out)
{
    struct dyno_meter_figures figures;
    if (server->meter == NULL)
        return;
    dyno_meter_read(server->meter, &figures);
    count(out, "dyno_usage_records_total", "Requests that have a usage record.",
          figures.record_count);
    count(out, "dyno_usage_uncertified_total",
          "Of them, those whose model has no reference certificate.", figures.uncertified_count);
    count(out, "dyno_usage_out_of_range_total", "Of them, those whose shape no certificate covers.",
          figures.outside_count);
    count(out, "dyno_ledger_durable_records_total", "Records of this start that are durable.",
          figures.durable_seq);
    head(out, "dyno_ledger_admits", "1 unless the ledger's disk is full.", "gauge");
    dyno_strbuf_printf(out, "dyno_ledger_admits %d\n", figures.admits);
    head(out, "dyno_account_core_seconds_total",
         "Time of cores, each account summed on its own: tenants + platform + idle + running = "
         "wall.",
         "counter");
    account(out, "wall", figures.sums.wall_ns);
    account(out, "tenants", figures.sums.tenants_ns);
    account(out, "platform", figures.sums.platform_ns);
    account(out, "idle", figures.sums.idle_ns);
    account(out, "running", figures.sums.running_ns);
    print_gpu_accounts(server, out);
    static const char *const verdicts[] = {"stands", "suspended", "undecided", "failed"};
    head(out, "dyno_certificate_checks_total",
         "Looks at certificates in force with live inputs, on an idle device.", "counter");
    for (size_t i = 0; i < DYNO_COUNT(verdicts); i++)
        dyno_strbuf_printf(out, "dyno_certificate_checks_total{verdict=\"%s\"} %llu\n", verdicts[i],
                           (unsigned long long)figures.check_counts[i]);
    head(out, "dyno_certificate_check_seconds_total", "How long they took, billed to nobody.",
         "counter");
    dyno_strbuf_printf(out, "dyno_certificate_check_seconds_total %.9f\n",
                       (double)figures.check_ns * 1e-9);
    head(out, "dyno_account_balanced",
         "1 while the accounts of each device add up to its time, to the nanosecond.", "gauge");
    dyno_strbuf_printf(out, "dyno_account_balanced %d\n", figures.is_balanced);
    if (figures.has_fleet)
        print_fleet(&figures, dyno_meter_epoch(server->meter), out);
    dyno_quota_print(server->quota, out);
}

/* --- heads --- */

/* Whoever may ask about models may: heads are made to be kept by others.  They tell how many
 * records and commits there are, and nothing of whose. */
void dyno_route_ledger_heads(struct dyno_visit *visit)
{
    struct dyno_meter *meter = visit->io->server->meter;
    struct dyno_strbuf *text = &visit->io->text;
    if (meter == NULL) {
        dyno_visit_answer_error(visit, 404, "nothing is metered here: there is no ledger");
        return;
    }
    dyno_strbuf_clear(text);
    dyno_meter_heads(meter, text);
    dyno_visit_answer_text(visit, 200, "application/x-ndjson", text);
    dyno_strbuf_clear(text);
}
