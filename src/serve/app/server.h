/* server.h - what the files of app share: the server, its I/O threads, and calls.
 *
 * A call is one inference on its way: made on the I/O thread its request came to, lent to the
 * scheduler, answered and freed on that same thread.
 */
#ifndef DYNO_SERVE_APP_SERVER_H
#define DYNO_SERVE_APP_SERVER_H

#include "quota/quota.h"
#include "serve/app/serve.h"
#include "serve/gate/gate.h"
#include "serve/grpc/grpc.h"
#include "serve/http1/http1.h"
#include "serve/meter/meter.h"
#include "serve/model/manager.h"
#include "serve/net/loop.h"
#include "serve/sched/sched.h"
#include "serve/shm/shm.h"
#include "serve/super/super.h"
#include "serve/v2/control.h"
#include "serve/watch/host.h"
#include "serve/watch/trace.h"

struct dyno_server;
struct dyno_visit; /* a request over HTTP: app/http.h */
struct dyno_rpc;   /* a call over gRPC: app/rpc.h */

#define DYNO_IO_LEFT_MAX 512
#define DYNO_IO_RAN_MAX  32 /* calls that have run, and whose records go together */

/* What its turns have for the ledger, which takes many at once more cheaply than each by itself. */
struct dyno_io_usage {
    struct dyno_turn turn;
    struct dyno_ledger_entry *entries, **last_next; /* records that were made in this turn */
    uint64_t left[DYNO_IO_LEFT_MAX];                /* records whose answers have left */
    size_t left_count;
    struct dyno_mail *ran, **ran_last; /* calls that have run: their records are to be written, */
    int ran_count;                     /* and then their answers */
    struct dyno_mail *told_last, *told_first; /* the committer's: calls to be woken */
    /* Answers that are written, and wait for their records (usage.h). */
    struct dyno_hold hold;
    struct dyno_usage *pending, **pending_last, *spare;
    uint32_t spare_count;
    struct dyno_mail bell;
    atomic_bool is_rung;
    bool is_awaited; /* the committer's: some of the group that it tells are of this thread */
};

struct dyno_io {
    struct dyno_server *server;
    int idx;
    struct dyno_loop *loop;
    pthread_t thread;
    bool has_thread;
    struct dyno_port http, grpc, metrics;
    struct dyno_http_server http_server, metrics_server;
    struct dyno_grpc_server grpc_server;
    struct dyno_call *spare_calls; /* to use again */
    int spare_count;
    struct dyno_strbuf text; /* for writing answers; empty between two */
    struct dyno_strbuf line; /* of the access log */
    struct dyno_trace_source trace_source;
    struct dyno_rpc *watchers; /* calls that are told of changes of health */
    int watcher_count;
    struct dyno_timer health_timer;  /* runs while there are any */
    atomic_uint_fast64_t open_count; /* requests that are not answered; read by others */
    struct dyno_mail shut_mail, stop_mail, drain_mail, close_mail;
    struct dyno_io_usage usage;
};

#define DYNO_PORT_KINDS 3 /* http, grpc, metrics */

struct dyno_server {
    struct dyno_serve_options options;
    struct dyno_budget budget;
    struct dyno_gate *gate;
    struct dyno_quota *quota;
    struct dyno_super *super;
    struct dyno_tls *tls;                           /* NULL: no port has it */
    struct dyno_journal *journal;                   /* the access log; NULL: there is none */
    struct dyno_device device;                      /* the CPU */
    struct dyno_device gpu_accounts[DYNO_GPUS_MAX]; /* as options.gpus */
    struct dyno_meter *meter;                       /* NULL: nothing is metered */
    atomic_uint_fast64_t told_seq;                  /* its records up to here are durable */
    _Atomic(struct dyno_catalog *) metered;         /* its models, once there is one */
    struct dyno_arena *arena;                       /* what the manager borrows */
    struct dyno_manager *manager;
    struct dyno_catalog *catalog; /* the manager's */
    struct dyno_host host;
    struct dyno_shm *shm; /* NULL: clients may lend none */
    struct dyno_classes classes;
    struct dyno_sched *sched;
    struct dyno_io *ios;
    int io_count;
    pthread_mutex_t wanted_lock; /* orders are done on several threads */
    int *listeners;              /* DYNO_PORT_KINDS an I/O thread; -1: none, or taken by its port */
    int http_number, grpc_number, metrics_number;
    atomic_bool is_draining;
    atomic_uint fetch_count; /* questions that wait for a model */
    bool is_abandoned; /* by its main thread; others may still use it until the process ends */
    uint64_t start_ns;
};

/* Can usage be written down?  Without a ledger there is none.  Any thread (metering.c). */
bool dyno_server_can_meter(const struct dyno_server *server);

/* Does it take requests?  Any thread. */
static inline bool dyno_server_is_ready(const struct dyno_server *server)
{
    return dyno_manager_is_ready(server->manager) &&
           !atomic_load_explicit(&server->is_draining, memory_order_relaxed) &&
           dyno_server_can_meter(server);
}

/* Read the files again that may change while the server runs.  The thread that waits for signals.
 */
void dyno_server_reload(struct dyno_server *server);
/* What is told of models that come and go, and of the machine, on the metrics port. */
enum dyno_status dyno_server_print_models(struct dyno_server *server, struct dyno_arena *arena,
                                          struct dyno_strbuf *out, struct dyno_err *err);
/* The server drains: who watches its health is told, and watches no more. */
void dyno_rpc_end_watches(struct dyno_io *io);

/* The I/O thread that this code runs on; NULL on others. */
extern _Thread_local struct dyno_io *dyno_io_here;

struct dyno_block; /* memory from the budget */
struct dyno_usage; /* a record that outlives its call */
struct dyno_held;  /* a region of shared memory that an output goes to */

struct dyno_call {
    struct dyno_task task; /* first */
    struct dyno_mail mail;
    struct dyno_io *io;
    struct dyno_call *next; /* spare, or of a stream */
    struct dyno_arena *arena;
    struct dyno_v2_memory memory;
    struct dyno_block *blocks;
    struct dyno_held *held;
    struct dyno_infer infer;
    struct dyno_err err;
    struct dyno_body body;    /* what tensors point into */
    struct dyno_visit *visit; /* or */
    struct dyno_rpc *rpc;
    struct dyno_guest *guest; /* whose inference it is, which was begun; NULL: it was not */
    struct dyno_tally *tally; /* NULL: no variant was found, or no memory */
    uint64_t start_ns;
    /* For a variant to be loaded: what goes on then, and when it has waited enough. */
    struct dyno_wait wait;
    struct dyno_timer wait_timer;
    void (*resume)(struct dyno_call *call);
    enum dyno_status status; /* of the call */
    int wait_count;
    bool is_waiting;
    bool was_submitted;       /* to the scheduler */
    bool has_entry;           /* a usage record was made, */
    bool has_left;            /* and the answer was handed to a connection that lived */
    bool is_done;             /* of a stream: it waits for its turn */
    uint64_t came_ns;         /* since 1970; 0: not looked up yet */
    struct dyno_usage *usage; /* instead of `entry`: the answer is held */
    struct dyno_ledger_entry entry;
    struct dyno_reservation reservation; /* of its guest's budgets */
    const char *limit_policy, *limit;    /* RateLimit fields of a refusal; NULL: none */
    /* Of a stream, when it is done: its answer (NULL: to be written yet); it holds the variant no
     * more, only its names. */
    struct dyno_seg *seg;
    const char *kept_model, *kept_version, *kept_variant;
};

/* A call for a request, with an arena; NULL: out of memory. */
struct dyno_call *dyno_call_create(struct dyno_io *io);
void dyno_call_destroy(struct dyno_call *call);

/* The infer of the call is decoded: find the model, check, run.  dyno_call_finish comes later, on
 * this thread, in any case. */
void dyno_call_run(struct dyno_call *call);
/* A ready variant of the model that the call names, referenced; NULL: the call waits for one, and
 * `resume` is called when it is there. */
enum dyno_status dyno_call_find(struct dyno_call *call, void (*resume)(struct dyno_call *call),
                                struct dyno_variant **variant_out);
/* Its result is written: it holds the variant no more. */
void dyno_call_release(struct dyno_call *call);
/* Nobody wants its answer any more; it ends later, not within this. */
void dyno_call_cancel(struct dyno_call *call);
/* When its first byte came, on the system's clock; the same each time. */
uint64_t dyno_call_came_ns(struct dyno_call *call);
/* Answers: in app/http_infer.c and app/grpc_infer.c. */
void dyno_call_answer_http(struct dyno_call *call);
void dyno_call_answer_grpc(struct dyno_call *call);

/* Why it failed, in a sentence, which is also a detail for the log. */
const char *dyno_call_error(const struct dyno_call *call);

/* In app/tensors.c.  Before a run: the requested outputs are there, once each, and can be given as
 * they are wanted; inputs that lie in shared memory are copied from it. */
enum dyno_status dyno_call_take_tensors(struct dyno_call *call, struct dyno_err *err);
/* After it: requested output `idx` becomes its classes, or goes to its region. */
enum dyno_status dyno_call_give_tensor(struct dyno_call *call, size_t idx,
                                       struct dyno_v2_tensor *tensor, struct dyno_err *err);
void dyno_call_let_go(struct dyno_call *call); /* of regions */

/* The answer of a call that went well: outputs in the order that was asked for, in its arena. */
enum dyno_status dyno_call_result(struct dyno_call *call, struct dyno_infer_answer *answer_out,
                                  struct dyno_err *err);

/* What is told of a model, from its ready variants (of one model, newest first). */
enum dyno_status dyno_app_describe(struct dyno_variant *const *variants, size_t count,
                                   struct dyno_arena *arena, struct dyno_v2_model *model_out,
                                   struct dyno_err *err);
enum dyno_status dyno_app_stats(struct dyno_variant *variant, struct dyno_arena *arena,
                                struct dyno_v2_stats *stats_out, struct dyno_err *err);

/* An order to the manager whose answer comes back on this thread. */
struct dyno_app_order {
    struct dyno_order order; /* first */
    struct dyno_mail mail;
    struct dyno_io *io;
    struct dyno_visit *visit; /* or */
    struct dyno_rpc *rpc;
    bool only_ready;
    bool is_fetch;     /* it is for a question, and nobody's order */
    const char *asked; /* of a fetch: the version that was named, or "" */
    void (*answer)(struct dyno_app_order *order);
};
/* What a request to load or unload may say beside the model. */
struct dyno_app_part {
    uint64_t version;
    const char *variant;
};
/* One of its parameters into `part`.  E_ARG; E_UNSUPPORTED: one that is not known. */
enum dyno_status dyno_app_part_take(struct dyno_app_part *part, const struct dyno_v2_param *param,
                                    struct dyno_err *err);
/* NULL: out of memory.  `model` and `part` (NULL: all of it) are copied. */
struct dyno_app_order *dyno_app_order_create(struct dyno_io *io, enum dyno_command_kind kind,
                                             const char *model, const struct dyno_app_part *part,
                                             void (*answer)(struct dyno_app_order *order));
/* An order for the variant that a question about a model wants, which comes on demand.  NULL: none
 * does, too many are fetched already, or there is no memory. */
struct dyno_app_order *dyno_app_fetch(struct dyno_io *io, const char *model, const char *version,
                                      void (*answer)(struct dyno_app_order *order));
void dyno_app_order_send(struct dyno_app_order *order);
void dyno_app_order_destroy(struct dyno_app_order *order);

#endif /* DYNO_SERVE_APP_SERVER_H */
