/* server.c - starting, running and stopping. */
#include "serve/app/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/app/io.h"
#include "serve/app/metering.h"
#include "serve/app/spending.h"
#include "serve/model/repository.h"
#include "serve/watch/journal.h"

#define INLINE_NS      30000 /* what a change of thread costs, about */
#define POLL_NS        2000000
#define LOOK_S         2        /* between looks at files that may have been replaced */
#define LAST_NS        50000000 /* for who connects just now, and for his first request */
/* How long clients wait for the models of a worker that was started again, before they are told
 * what is not there yet. */
#define MODELS_WAIT_NS UINT64_C(5000000000)

_Static_assert(DYNO_WANTED_NAME_BYTES_MAX == DYNO_MODEL_NAME_BYTES_MAX &&
                   DYNO_WANTED_MAX == DYNO_REPO_MODELS_MAX,
               "every model can be wanted");

static enum dyno_status check_address(const struct dyno_serve_options *options,
                                      struct dyno_err *err)
{
    const bool is_local =
        strncmp(options->address, "127.", 4) == 0 || strcmp(options->address, "::1") == 0;
    if (is_local || options->open_to_all || options->control_db != NULL)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "--address=%s lets others in and there are no keys: give a --control-db, or "
                     "say --open-to-all, too, if that is meant",
                     options->address);
}

/* What the worker that fell had been told to have; of the first one, what the options say. */
static enum dyno_status list_starts(struct dyno_server *server,
                                    struct dyno_manager_options *manager, struct dyno_err *err)
{
    struct dyno_wanted_order *orders = NULL;
    size_t count = 0;
    DYNO_TRY(
        dyno_wanted_list(dyno_super_wanted(server->super), server->arena, &orders, &count, err));
    struct dyno_start *starts = dyno_arena_alloc(server->arena, count + 1, sizeof(*starts));
    if (starts == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++)
        starts[i] =
            (struct dyno_start){.kind = orders[i].is_load ? DYNO_COMMAND_LOAD : DYNO_COMMAND_UNLOAD,
                                .model = orders[i].model,
                                .variant = orders[i].variant,
                                .version = orders[i].version};
    manager->starts = starts;
    manager->start_count = count;
    return DYNO_OK;
}

static enum dyno_status create_manager(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    const int threads = options->threads > 0 ? options->threads : dyno_cpus_allowed_count();
    struct dyno_workshop_options builds = options->builds;
    builds.thread_count = threads > options->lanes ? threads / options->lanes : 1;
    struct dyno_manager_options manager = {
        .builds = options->no_builds ? NULL : &builds,
        .folders = options->repositories,
        .folder_count = options->repository_count,
        .threads = options->threads,
        .lane_count = options->lanes,
        /* One more than lanes, so that a cheap run need not wait for a long one. */
        .context_count = options->instances > 0 ? options->instances : options->lanes + 1,
        .load_count = options->load_threads,
        .memory_bytes_max = options->memory_bytes_max,
        .tally_shape = {.thread_count = server->io_count, .class_count = server->classes.count},
        .device = &server->device,
        .adopt = server->meter != NULL ? dyno_server_adopt : NULL,
        .adopt_arg = server,
        .gpu_count = options->gpu_count,
        .is_gpu_assumed = options->is_gpu_assumed,
        .gpu_program = "/proc/self/exe",
        .gpu_bytes_max = options->gpu_bytes_max,
        .gpu_timeout_ns = (uint64_t)(options->gpu_timeout_s * 1e9),
        .load_at_start = options->load_at_start,
        .on_demand = options->on_demand,
        .wait_max = options->load_queue_max,
        .poll_ns = (uint64_t)(options->poll_s * 1e9),
    };
    for (int i = 0; i < options->gpu_count; i++)
        manager.gpus[i] = (struct dyno_gpu_options){options->gpus[i], &server->gpu_accounts[i]};
    DYNO_TRY(list_starts(server, &manager, err));
    DYNO_TRY(dyno_manager_create(&manager, &server->manager, err));
    server->catalog = dyno_manager_catalog(server->manager);
    atomic_store(&server->metered, server->catalog);
    return DYNO_OK;
}

static bool is_told_to_end(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* After a fall clients wait in the listening queues; a moment more there is better for them than
 * to hear that a model is not known.  With listen_when_ready there is nobody yet. */
static void wait_for_models(const struct dyno_server *server)
{
    const struct timespec step = {.tv_nsec = POLL_NS};
    uint64_t end_ns = UINT64_MAX;
    if (dyno_super_restarts(server->super) > 0)
        end_ns = dyno_clock_ns() + MODELS_WAIT_NS;
    else if (!server->options.listen_when_ready)
        return;
    while (!dyno_manager_is_ready(server->manager) && dyno_clock_ns() < end_ns && !is_told_to_end())
        (void)nanosleep(&step, NULL);
}

static enum dyno_status open_journal(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_journal_options journal = {
        .path = server->options.access_log,
        .thread_count = server->io_count,
        .may_wait = dyno_super_restarts(server->super) > 0,
    };
    if (journal.path == NULL)
        return DYNO_OK;
    for (int i = 0; i < server->io_count; i++)
        if (!dyno_trace_source_init(&server->ios[i].trace_source))
            return DYNO_FAIL(err, DYNO_E_LIMIT, "no random numbers are to be had");
    return dyno_journal_create(&journal, &server->journal, err);
}

static enum dyno_status listen_all(struct dyno_server *server, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    for (int i = 0; i < server->io_count && status == DYNO_OK; i++) {
        struct dyno_port *ports[] = {&server->ios[i].http, &server->ios[i].grpc,
                                     &server->ios[i].metrics};
        for (size_t k = 0; k < DYNO_COUNT(ports) && status == DYNO_OK; k++)
            status = dyno_port_listen(ports[k], err);
    }
    if (status != DYNO_OK)
        dyno_err_prefix(err, "address %s", server->options.address);
    return status;
}

/* As the manager shares them out. */
static void share_threads(struct dyno_server *server, uint32_t *lane_threads)
{
    const struct dyno_serve_options *options = &server->options;
    const int threads = options->threads > 0 ? options->threads : dyno_cpus_allowed_count();
    int sum = 0;
    for (int i = 0; i < options->lanes; i++) {
        const int own = threads / options->lanes + (i < threads % options->lanes);
        lane_threads[i] = own > 0 ? (uint32_t)own : 1;
        sum += (int)lane_threads[i];
    }
    dyno_device_init(&server->device, (uint32_t)sum);
}

/* Each GPU is a device beside the CPU. */
static void add_gpus(struct dyno_server *server, struct dyno_sched_options *sched)
{
    for (int i = 0; i < server->options.gpu_count; i++) {
        struct dyno_sched_device *device = &sched->devices[sched->device_count++];
        dyno_device_init(&server->gpu_accounts[i], 0);
        device->account = &server->gpu_accounts[i];
        device->lane_count = DYNO_GPU_LANES;
        device->is_serial = true;
        for (int lane = 0; lane < DYNO_GPU_LANES; lane++)
            device->lane_threads[lane] = 1;
    }
}

static enum dyno_status start(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    struct dyno_sched_options sched = {
        .classes = &server->classes,
        .budget = &server->budget,
        .queue_max = options->queue_max,
        .inline_ns_max = INLINE_NS,
        .devices = {{.lane_count = options->lanes, .account = &server->device}},
        .device_count = 1,
    };
    share_threads(server, sched.devices[0].lane_threads);
    add_gpus(server, &sched);
    DYNO_TRY(open_journal(server, err));
    for (int i = 0; i < server->io_count; i++) {
        server->ios[i].server = server;
        server->ios[i].idx = i;
        DYNO_TRY(
            dyno_io_open(&server->ios[i], &server->listeners[(size_t)i * DYNO_PORT_KINDS], err));
    }
    DYNO_TRY(dyno_server_open_quota(server, err));
    const struct dyno_gate_options gate = {.control_db = options->control_db,
                                           .key_header = options->key_header,
                                           .quota = server->quota};
    DYNO_TRY(dyno_gate_create(&gate, &server->gate, err));
    if (options->allow_client_shm)
        DYNO_TRY(dyno_shm_create(&server->shm, err));
    DYNO_TRY(dyno_sched_create(&sched, &server->sched, err));
    DYNO_TRY(dyno_server_open_meter(server, err));
    DYNO_TRY(dyno_server_start_quota(server, err));
    DYNO_TRY(create_manager(server, err));
    wait_for_models(server);
    DYNO_TRY(listen_all(server, err));
    for (int i = 0; i < server->io_count; i++) {
        struct dyno_io *io = &server->ios[i];
        const int code = pthread_create(&io->thread, NULL, dyno_io_run, io);
        io->has_thread = code == 0;
        if (code != 0)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    }
    return DYNO_OK;
}

static uint64_t open_count(const struct dyno_server *server)
{
    uint64_t count = 0;
    for (int i = 0; i < server->io_count; i++)
        count += atomic_load(&server->ios[i].open_count);
    return count;
}

static void wait_until(const struct dyno_server *server, uint64_t end_ns, bool while_busy)
{
    const struct timespec step = {.tv_nsec = POLL_NS};
    while (dyno_clock_ns() < end_ns && (!while_busy || open_count(server) > 0))
        (void)nanosleep(&step, NULL);
}

/* Not ready; serve on; take nothing new; finish what is there. */
static void drain(struct dyno_server *server)
{
    const uint64_t now_ns = dyno_clock_ns();
    atomic_store(&server->is_draining, true);
    dyno_manager_stop_builds(server->manager);
    wait_until(server, now_ns + (uint64_t)(server->options.drain_s * 1e9), false);
    for (int i = 0; i < server->io_count; i++)
        dyno_io_shut(&server->ios[i]);
    wait_until(server, dyno_clock_ns() + LAST_NS, false);
    for (int i = 0; i < server->io_count; i++)
        dyno_io_stop(&server->ios[i]);
    wait_until(server, dyno_clock_ns() + LAST_NS, false);
    for (int i = 0; i < server->io_count; i++)
        dyno_io_drain(&server->ios[i]);
    wait_until(server, dyno_clock_ns() + (uint64_t)(server->options.exit_timeout_s * 1e9), true);
    /* Answers that were just written get a moment to leave. */
    wait_until(server, dyno_clock_ns() + 50000000, false);
}

static void stop(struct dyno_server *server)
{
    for (int i = 0; i < server->io_count; i++) {
        struct dyno_io *io = &server->ios[i];
        if (!io->has_thread)
            continue;
        dyno_io_close(io);
        (void)pthread_join(io->thread, NULL);
    }
    dyno_gate_stop(server->gate);
    dyno_journal_destroy(server->journal);
    server->journal = NULL;
    /* Runs that outlast the patience still use all this; the process ends now anyway. */
    server->is_abandoned = open_count(server) > 0;
    if (server->is_abandoned)
        return;
    dyno_sched_destroy(server->sched);
    atomic_store(&server->metered, NULL);
    dyno_quota_stop(server->quota);
    dyno_server_close_meter(server);
    dyno_manager_destroy(server->manager);
    dyno_gate_destroy(server->gate);
    dyno_server_close_quota(server);
    dyno_shm_destroy(server->shm);
    for (int i = 0; i < server->io_count; i++)
        dyno_io_free(&server->ios[i]);
}

static void say_hello_json(const struct dyno_server *server)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text};
    const struct {
        const char *name;
        int number;
    } ports[] = {{"http", server->http_number},
                 {"grpc", server->grpc_number},
                 {"metrics", server->metrics_number}};
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "version", DYNO_VERSION);
    dyno_json_put_str(&json, "address", server->options.address);
    for (size_t i = 0; i < DYNO_COUNT(ports); i++) {
        if (ports[i].number < 0)
            continue;
        dyno_json_put_i64(&json, ports[i].name, ports[i].number);
    }
    dyno_json_put_i64(&json, "pid", getpid());
    dyno_json_object_end(&json);
    printf("%s\n", dyno_strbuf_text(&text));
    (void)fflush(stdout);
    dyno_strbuf_fini(&text);
}

static void say_hello(const struct dyno_server *server)
{
    if (server->options.json) {
        say_hello_json(server);
        return;
    }
    const char *address = server->options.address;
    printf("dyno-serve %s on %s:", DYNO_VERSION, address);
    if (server->http_number >= 0)
        printf(" http %d", server->http_number);
    if (server->grpc_number >= 0)
        printf(" grpc %d", server->grpc_number);
    if (server->metrics_number >= 0)
        printf(" metrics %d", server->metrics_number);
    printf(" pid %d\n", (int)getpid());
    (void)fflush(stdout);
}

/* As many descriptors as we are allowed; the default is a thousand. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void dyno_server_reload(struct dyno_server *server)
{
    struct dyno_err err = {0};
    if (server->journal != NULL)
        dyno_journal_reopen(server->journal);
    dyno_meter_reload(server->meter);
    if (server->tls == NULL)
        return;
    if (dyno_tls_reload(server->tls, &err) == DYNO_OK)
        dyno_log(DYNO_LOG_INFO, "the certificate was read again");
    else
        dyno_log(DYNO_LOG_ERROR, "the certificate stays the one that is in use: %s", err.text);
}

/* Until a signal says to end.  Tells once what was asked for at start is there. */
static void wait_for_end(struct dyno_server *server, const sigset_t *signals)
{
    const struct timespec step = {.tv_nsec = 10000000};
    const struct timespec look = {.tv_sec = LOOK_S};
    bool is_told = false;
    for (;;) {
        const struct timespec *wait = !is_told ? &step : server->tls != NULL ? &look : NULL;
        const int got = sigtimedwait(signals, NULL, wait);
        if (got == SIGTERM || got == SIGINT)
            return;
        if (got == SIGHUP || (wait == &look && dyno_tls_has_changed(server->tls)))
            dyno_server_reload(server);
        if (!is_told && dyno_manager_is_ready(server->manager)) {
            dyno_super_ready(server->super);
            is_told = true;
        }
    }
}

static enum dyno_status serve(struct dyno_server *server, const sigset_t *signals,
                              struct dyno_err *err)
{
    server->arena = dyno_arena_create();
    server->ios = dyno_alloc((size_t)server->io_count, sizeof(*server->ios));
    if (server->arena == NULL || server->ios == NULL)
        return DYNO_NOMEM(err);
    if (dyno_super_restarts(server->super) > 0)
        dyno_server_reload(server); /* what the supervisor read may be old by now */
    const enum dyno_status status = start(server, err);
    if (status == DYNO_OK) {
        if (dyno_super_started(server->super))
            say_hello(server);
        wait_for_end(server, signals);
        dyno_super_stopping(server->super);
        drain(server);
    }
    stop(server);
    return status;
}

/* --- before there is a thread --- */

/* The first I/O thread's socket takes the number that was asked for; with 0 the others take what
 * it got. */
static enum dyno_status bind_all(struct dyno_server *server, struct dyno_err *err)
{
    int *const numbers[DYNO_PORT_KINDS] = {&server->http_number, &server->grpc_number,
                                           &server->metrics_number};
    const size_t count = (size_t)server->io_count * DYNO_PORT_KINDS;
    server->listeners = dyno_alloc(count, sizeof(*server->listeners));
    if (server->listeners == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++)
        server->listeners[i] = -1;
    for (size_t i = 0; i < count; i++) {
        int *number = numbers[i % DYNO_PORT_KINDS];
        if (*number >= 0)
            DYNO_TRY(
                dyno_bind(server->options.address, *number, &server->listeners[i], number, err));
    }
    return DYNO_OK;
}

static void close_listeners(struct dyno_server *server)
{
    for (int i = 0; server->listeners != NULL && i < server->io_count * DYNO_PORT_KINDS; i++)
        if (server->listeners[i] >= 0)
            (void)close(server->listeners[i]);
    dyno_free(server->listeners);
}

static enum dyno_status want_start_models(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    for (size_t i = 0; i < options->load_model_count; i++) {
        const struct dyno_wanted_order order = {
            .model = options->load_models[i], .variant = "", .is_load = true};
        if (!dyno_wanted_set(dyno_super_wanted(server->super), &order))
            return DYNO_FAIL(err, DYNO_E_ARG, "--load-model=%.200s: no model has such a long name",
                             options->load_models[i]);
    }
    return DYNO_OK;
}

/* Signals are waited for by one thread of the process that serves, and by the supervisor. */
static void block_signals(sigset_t *signals)
{
    (void)sigemptyset(signals);
    (void)sigaddset(signals, SIGTERM);
    (void)sigaddset(signals, SIGINT);
    (void)sigaddset(signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a log that may grow no more ends nothing but the log */
}

static struct dyno_server *create_server(const struct dyno_serve_options *options)
{
    struct dyno_server *server = dyno_alloc(1, sizeof(*server));
    if (server == NULL)
        return NULL;
    server->options = *options;
    server->budget.limit_bytes = options->flight_bytes_max;
    server->io_count = options->io_threads > 0 ? options->io_threads : dyno_cpus_allowed_count();
    server->http_number = options->http_port;
    server->grpc_number = options->grpc_port;
    server->metrics_number = options->metrics_port;
    server->start_ns = dyno_clock_ns();
    (void)pthread_mutex_init(&server->wanted_lock, NULL);
    dyno_host_init(&server->host);
    return server;
}

/* What a wrong flag or a taken port may refuse, and what outlives a worker. */
static enum dyno_status prepare(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    dyno_classes_init(&server->classes);
    for (size_t i = 0; i < options->service_class_count; i++)
        DYNO_TRY(dyno_classes_set(&server->classes, options->service_classes[i], err));
    if (options->tls.cert_path != NULL)
        DYNO_TRY(dyno_tls_create(&options->tls, &server->tls, err));
    DYNO_TRY(bind_all(server, err));
    DYNO_TRY(dyno_super_create(&server->super, err));
    return want_start_models(server, err);
}

enum dyno_status dyno_serve(const struct dyno_serve_options *options, int *exit_code_out,
                            struct dyno_err *err)
{
    sigset_t signals;
    bool is_worker = options->no_supervisor;
    *exit_code_out = 0;
    DYNO_TRY(check_address(options, err));
    struct dyno_server *server = create_server(options);
    if (server == NULL)
        return DYNO_NOMEM(err);
    block_signals(&signals);
    raise_descriptors();
    enum dyno_status status = prepare(server, err);
    if (status == DYNO_OK && !is_worker)
        status = dyno_super_run(server->super, server->listeners,
                                (size_t)server->io_count * DYNO_PORT_KINDS, &is_worker,
                                exit_code_out, err);
    if (status == DYNO_OK && is_worker)
        status = serve(server, &signals, err);
    if (server->is_abandoned)
        return status;
    close_listeners(server);
    dyno_super_destroy(server->super);
    dyno_tls_destroy(server->tls);
    dyno_arena_destroy(server->arena);
    dyno_free(server->ios);
    (void)pthread_mutex_destroy(&server->wanted_lock);
    dyno_host_fini(&server->host);
    dyno_free(server);
    return status;
}
