/* serve_main.c - dyno-serve: the data plane alone, no importer, pass or tuner. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/serve_flags.h"
#include "serve/app/serve.h"
#include "serve/gpu/drive.h"

/* This program's own table: one command. */
const struct dyno_command *const dyno_commands[] = {&dyno_command_serve};
const size_t dyno_command_count = 1;

#define MIB ((uint64_t)1024 * 1024)

/* In the supervisor: how the process that served ended. */
static int worker_code;

/* "http,grpc" and the like. */
static enum dyno_status take_tls_ports(const char *text, struct dyno_serve_options *options,
                                       struct dyno_err *err)
{
    const struct {
        const char *name;
        bool *has_tls;
    } ports[] = {{"http", &options->http_has_tls},
                 {"grpc", &options->grpc_has_tls},
                 {"metrics", &options->metrics_has_tls}};
    for (const char *at = text;;) {
        const size_t bytes = strcspn(at, ",");
        size_t i = 0;
        while (i < DYNO_COUNT(ports) &&
               (strlen(ports[i].name) != bytes || memcmp(ports[i].name, at, bytes) != 0))
            i++;
        if (i == DYNO_COUNT(ports))
            return DYNO_FAIL(err, DYNO_E_ARG, "--tls-ports=%s: wants a list of http, grpc, metrics",
                             text);
        *ports[i].has_tls = true;
        if (at[bytes] == 0)
            return DYNO_OK;
        at += bytes + 1;
    }
}

/* "1500000", "512M" and the like. */
static enum dyno_status take_bytes(const char *name, const char *text, uint64_t *bytes_out,
                                   struct dyno_err *err)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    uint64_t value = 0;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *unit = end[0] != 0 ? strchr(units, end[0]) : NULL;
    const unsigned shift = unit != NULL ? 10U * (unsigned)(unit - units + 1) : 0;
    if (text[0] < '0' || text[0] > '9' || errno != 0 || end[unit != NULL ? 1 : 0] != 0 ||
        __builtin_mul_overflow(number, UINT64_C(1) << shift, &value))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s=%.64s: wants a number of bytes, or of K, M, G or T (512M)", name,
                         text);
    *bytes_out = value;
    return DYNO_OK;
}

static enum dyno_status take_tls(const struct dyno_serve_flags *flags,
                                 struct dyno_serve_options *options, struct dyno_err *err)
{
    options->tls = (struct dyno_tls_options){.cert_path = flags->tls_cert,
                                             .key_path = flags->tls_key,
                                             .client_ca_path = flags->tls_client_ca};
    if ((flags->tls_cert == NULL) != (flags->tls_key == NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "--tls-cert and --tls-key want each other");
    if (flags->tls_cert == NULL && (flags->tls_client_ca != NULL || flags->tls_ports != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants --tls-cert and --tls-key",
                         flags->tls_client_ca != NULL ? "--tls-client-ca" : "--tls-ports");
    if (flags->tls_cert == NULL)
        return DYNO_OK;
    return take_tls_ports(flags->tls_ports != NULL ? flags->tls_ports : "http,grpc", options, err);
}

static enum dyno_status take_metering(const struct dyno_serve_flags *flags,
                                      struct dyno_serve_options *options, struct dyno_err *err)
{
    const char *durability = flags->durability;
    options->ledger = flags->ledger;
    options->node = (uint32_t)flags->node;
    options->ledger_key = flags->ledger_key;
    options->fleet_ledger = flags->fleet_ledger;
    options->fleet_wait_s = flags->fleet_wait_s;
    options->publish_heads = flags->publish_heads;
    options->certificates = flags->certificates;
    options->device_class = flags->device_class;
    options->tariffs = flags->tariffs;
    options->factors = flags->factors;
    options->budget_db = flags->budget_db;
    options->recheck_s = flags->recheck_hours * 3600.0;
    options->takes_trials = flags->takes_trials;
    options->is_relaxed = strcmp(durability, "relaxed") == 0;
    options->awaits_fleet = strcmp(durability, "fleet") == 0;
    if (!options->is_relaxed && !options->awaits_fleet && strcmp(durability, "durable") != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--durability=%s: wants durable, relaxed or fleet",
                         durability);
    if (options->awaits_fleet && flags->fleet_ledger == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--durability=fleet wants --fleet-ledger");
    if (flags->ledger == NULL && flags->fleet_ledger != NULL)
        return DYNO_FAIL(
            err, DYNO_E_ARG,
            "--fleet-ledger wants --ledger: a node has its own until the fleet has it");
    if (flags->ledger == NULL &&
        (flags->ledger_key != NULL || flags->publish_heads != NULL || flags->certificates != NULL ||
         flags->device_class != NULL || flags->tariffs != NULL || flags->factors != NULL ||
         options->is_relaxed))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--ledger-key, --publish-heads, --certificates, --device-class, "
                         "--tariffs, --factors and --durability want --ledger");
    return DYNO_OK;
}

/* "cuda" or "cuda:N" into N. */
static bool take_ordinal(const char *text, int *ordinal_out)
{
    char *end = NULL;
    *ordinal_out = 0;
    if (strcmp(text, "cuda") == 0)
        return true;
    if (strncmp(text, "cuda:", 5) != 0 || text[5] < '0' || text[5] > '9' || strlen(text) > 8)
        return false;
    *ordinal_out = (int)strtol(text + 5, &end, 10);
    return *end == 0;
}

/* Names of GPUs: "cuda" is "cuda:0". */
static char gpu_names[DYNO_GPUS_MAX][16];

static enum dyno_status add_gpu(struct dyno_serve_options *options, int ordinal,
                                struct dyno_err *err)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "cuda:%d", ordinal);
    for (int i = 0; i < options->gpu_count; i++)
        if (strcmp(options->gpus[i], name) == 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "--device=%s is given twice", name);
    if (options->gpu_count == DYNO_GPUS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "--device: at most %d GPUs", DYNO_GPUS_MAX);
    memcpy(gpu_names[options->gpu_count], name, sizeof(name));
    options->gpus[options->gpu_count] = gpu_names[options->gpu_count];
    options->gpu_count++;
    return DYNO_OK;
}

static enum dyno_status take_devices(const struct dyno_serve_flags *flags,
                                     struct dyno_serve_options *options, struct dyno_err *err)
{
    const struct dyno_cli_list *devices = &flags->devices;
    options->gpu_timeout_s = flags->gpu_timeout_s;
    DYNO_TRY(take_bytes("--gpu-memory", flags->gpu_memory, &options->gpu_bytes_max, err));
    options->is_gpu_assumed = devices->count == 0;
    if (options->is_gpu_assumed)
        return add_gpu(options, 0, err);
    for (uint32_t i = 0; i < devices->count; i++) {
        int ordinal = 0;
        if (strcmp(devices->items[i], "cpu") == 0)
            continue;
        if (!take_ordinal(devices->items[i], &ordinal))
            return DYNO_FAIL(err, DYNO_E_ARG, "--device=%.64s: wants cpu, cuda or cuda:N",
                             devices->items[i]);
        DYNO_TRY(add_gpu(options, ordinal, err));
    }
    return DYNO_OK;
}

/* How models come and go. */
static const struct mode {
    const char *name;
    bool at_start, by_request, on_demand, polls;
} modes[] = {
    {.name = "none", .at_start = true},
    {.name = "explicit", .by_request = true},
    {.name = "poll", .at_start = true, .polls = true},
    {.name = "demand", .by_request = true, .on_demand = true, .polls = true},
};

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < DYNO_COUNT(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct dyno_serve_flags *flags = opaque;
    const struct mode *mode = find_mode(flags->control_mode);
    if (mode == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--model-control-mode=%.64s: wants none, explicit, poll or demand",
                         flags->control_mode);
    if (flags->repositories.count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "wants --model-repository=DIR");
    if (flags->load_models.count > 0 && !mode->by_request)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--load-model wants --model-control-mode=explicit or demand");
    struct dyno_serve_options options = {
        .repositories = flags->repositories.items,
        .repository_count = flags->repositories.count,
        .load_models = flags->load_models.items,
        .load_model_count = flags->load_models.count,
        .load_at_start = mode->at_start,
        .explicit_control = mode->by_request,
        .on_demand = mode->on_demand,
        .poll_s = mode->polls ? flags->poll_s : 0.0,
        .load_queue_max = (uint32_t)flags->load_queue,
        .load_threads = (int)flags->load_threads,
        .control_db = flags->control_db,
        .key_header = flags->key_header,
        .address = flags->address,
        .open_to_all = flags->open_to_all,
        .http_port = (int)flags->http_port,
        .grpc_port = (int)flags->grpc_port,
        .metrics_port = (int)flags->metrics_port,
        .io_threads = (int)flags->io_threads,
        .threads = (int)flags->threads,
        .lanes = (int)flags->lanes,
        .instances = (int)flags->instances,
        .service_classes = flags->service_classes.items,
        .service_class_count = flags->service_classes.count,
        .body_bytes_max = (uint64_t)flags->input_mib * MIB,
        .flight_bytes_max = (uint64_t)flags->flight_mib * MIB,
        .conns_max = (uint32_t)flags->connections,
        .queue_max = (uint32_t)flags->queue,
        .allow_client_shm = flags->allow_client_shm,
        .drain_s = flags->drain_s,
        .exit_timeout_s = flags->exit_timeout_s,
        .access_log = flags->access_log,
        .no_builds = flags->no_builds,
        .builds = {.builder = flags->builder,
                   .cache_folder = flags->engine_cache,
                   .cache_bytes_max = (uint64_t)flags->cache_mib * MIB,
                   .job_max = (int)flags->build_jobs,
                   .timeout_ns = (uint64_t)(flags->build_timeout_s * 1e9)},
        .listen_when_ready = flags->listen_when_ready,
        .no_supervisor = flags->no_supervisor,
        .json = flags->json,
    };
    DYNO_TRY(take_bytes("--model-memory", flags->model_memory, &options.memory_bytes_max, err));
    DYNO_TRY(take_devices(flags, &options, err));
    DYNO_TRY(take_tls(flags, &options, err));
    DYNO_TRY(take_metering(flags, &options, err));
    return dyno_serve(&options, &worker_code, err);
}

int main(int argc, char **argv)
{
    struct dyno_command command = dyno_command_serve;
    command.program = NULL;
    command.run = run;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("dyno-serve %s\n", DYNO_VERSION);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--drive-gpu") == 0) /* the server starts this */
        return dyno_gpu_drive(argv[2]);
    const int code = dyno_cli_run(&command, argc - 1, argv + 1);
    return code != 0 ? code : worker_code;
}
