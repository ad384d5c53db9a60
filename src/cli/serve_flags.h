/* serve_flags.h - what the flags of `dyno serve` set; read by dyno-serve. */
#ifndef DYNO_CLI_SERVE_FLAGS_H
#define DYNO_CLI_SERVE_FLAGS_H

#include "cli/command.h"

struct dyno_serve_flags {
    struct dyno_cli_list positional;
    struct dyno_cli_list repositories, load_models, service_classes, devices;
    const char *config, *control_mode, *model_memory, *gpu_memory, *address, *control_db,
        *key_header;
    const char *tls_cert, *tls_key, *tls_client_ca, *tls_ports;
    const char *access_log;
    const char *fleet_ledger;
    double fleet_wait_s;
    const char *ledger, *ledger_key, *publish_heads, *certificates, *device_class, *durability;
    const char *tariffs, *factors, *budget_db;
    int64_t node;
    const char *builder, *engine_cache;
    int64_t build_jobs, cache_mib;
    double build_timeout_s;
    bool no_builds;
    double recheck_hours;
    bool takes_trials;
    bool open_to_all;
    int64_t http_port, grpc_port, metrics_port;
    int64_t io_threads, threads, lanes, instances, load_threads;
    int64_t input_mib, flight_mib, connections, queue, load_queue;
    double poll_s, gpu_timeout_s;
    bool allow_client_shm;
    double drain_s, exit_timeout_s;
    bool listen_when_ready, no_supervisor, json, print_config;
};

#endif /* DYNO_CLI_SERVE_FLAGS_H */
