/* serve.h - the server as a whole: options, running, stopping. */
#ifndef DYNO_SERVE_APP_SERVE_H
#define DYNO_SERVE_APP_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "serve/model/manager.h"
#include "serve/net/tls.h"

#define DYNO_SERVE_PATHS_MAX 64

struct dyno_serve_options {
    const char *const *repositories;
    size_t repository_count;
    const char *const *load_models; /* with explicit_control */
    size_t load_model_count;
    bool load_at_start;              /* all models */
    bool explicit_control;           /* models come and go by request */
    bool on_demand;                  /* an inference loads what it wants */
    double poll_s;                   /* between looks at the repository; 0: none */
    uint32_t load_queue_max;         /* requests that wait for one load */
    int load_threads;                /* loads at one time */
    uint64_t memory_bytes_max;       /* of all loaded engines; 0: any */
    const char *gpus[DYNO_GPUS_MAX]; /* "cuda:N", each once, that engines may run on */
    int gpu_count;
    bool is_gpu_assumed;    /* nobody named it: this machine may have none */
    uint64_t gpu_bytes_max; /* of each, of all loaded engines; 0: nine tenths of what it has */
    double gpu_timeout_s;   /* for what a GPU is told to do; 0: none */
    const char *control_db; /* tenants and keys; NULL: everybody is let in */
    const char *key_header; /* NULL: x-api-key */
    const char *address;    /* numeric */
    bool open_to_all;       /* yes, an address that others reach, without keys */
    int http_port, grpc_port, metrics_port; /* 0: any free one; -1: none */
    struct dyno_tls_options tls;            /* cert_path NULL: no port has TLS */
    bool http_has_tls, grpc_has_tls, metrics_has_tls;
    bool no_builds;                      /* of a model.onnx */
    struct dyno_workshop_options builds; /* but for thread_count */
    const char *access_log;              /* NULL: none; "-": standard error */
    const char *ledger;                  /* folder; NULL: nothing is metered */
    const char *ledger_key;              /* signs its heads; NULL: nothing does */
    const char *fleet_ledger;            /* database that gets it, too; NULL: none does */
    const char *publish_heads;           /* file or folder that they are appended to; NULL: none */
    const char *certificates;            /* folder; NULL: there are none */
    const char *device_class;            /* that certificates must be of; NULL: of any */
    const char *budget_db;               /* of a fleet; NULL: budgets are leased by control_db */
    const char *tariffs;                 /* a book, for budgets of money; NULL: there are none */
    const char *factors; /* the table of devices, for budgets; NULL: all are the reference device */
    double recheck_s;    /* between looks at a certificate in force; 0: none */
    int io_threads, threads;            /* 0: one a CPU */
    int lanes;                          /* runs at one time */
    int instances;                      /* contexts of a variant; 0: chosen */
    const char *const *service_classes; /* dyno_classes_set */
    size_t service_class_count;
    uint64_t body_bytes_max; /* of one request */
    uint64_t flight_bytes_max;
    uint32_t conns_max;    /* of one port and I/O thread */
    uint32_t queue_max;    /* waiting requests of one variant */
    uint32_t node;         /* of the ledger's records */
    bool is_relaxed;       /* answers do not wait for their records */
    bool takes_trials;     /* trial certificates count */
    bool allow_client_shm; /* tensors may lie in shared memory that clients name */
    bool awaits_fleet;     /* answers wait until their record is there, */
    double fleet_wait_s;   /* and no longer */
    double drain_s, exit_timeout_s;
    bool listen_when_ready; /* not before the models of the start were tried */
    bool no_supervisor;     /* serve in this process, and end with it */
    bool json;              /* the line that tells the ports */
};

/* Serve until SIGTERM or SIGINT; returns when drained.  Prints one line when ports are open.
 *
 * Unless no_supervisor is set the process that serves is a child, started again when it falls; this
 * returns in both.  In the parent *exit_code_out is the child's exit code, whose sentence, if any,
 * the child has told; in the child, and without one, it is 0 and the status counts. */
enum dyno_status dyno_serve(const struct dyno_serve_options *options, int *exit_code_out,
                            struct dyno_err *err);

#endif /* DYNO_SERVE_APP_SERVE_H */
