/* grpc_health.c - grpc.health.v1.Health: Check, and Watch, whose streams are told of changes.
 *
 * The state changes on other threads, rarely and in several places (models are loaded, the server
 * drains), and asking for it is cheap.  So an I/O thread that has watchers asks a few times a
 * second, and one that has none does nothing.
 */
#include <string.h>

#include "base/pbwire.h"
#include "serve/app/rpc.h"
#include "serve/v2/reflection.h"

#define ASK_NS       UINT64_C(100000000)
#define WATCHERS_MAX 4096 /* of an I/O thread: nobody is asked who he is */

/* HealthCheckResponse.ServingStatus. */
enum serving {
    NOT_TOLD = 0,
    SERVING = 1,
    NOT_SERVING = 2,
    SERVICE_UNKNOWN = 3,
};

static enum serving serving_now(const struct dyno_io *io)
{
    return dyno_server_is_ready(io->server) ? SERVING : NOT_SERVING;
}

static bool is_known(const char *service)
{
    return service[0] == 0 || dyno_v2_has_service(service);
}

enum dyno_status dyno_rpc_check_health(struct dyno_io *io, const char *service,
                                       struct dyno_err *err)
{
    if (!is_known(service))
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no such service");
    dyno_pb_put_varint(&io->text, 1, serving_now(io));
    return DYNO_OK;
}

/* --- watchers --- */

static void tell(struct dyno_rpc *rpc, enum serving serving)
{
    struct dyno_seg *seg = NULL;
    if (rpc->told_serving == (int)serving)
        return;
    rpc->told_serving = (int)serving;
    seg = dyno_grpc_seg(&rpc->grpc, 2);
    if (seg == NULL) {
        dyno_grpc_finish(&rpc->grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    seg->data[DYNO_GRPC_PREFIX_BYTES] = 1 << 3 | DYNO_PB_VARINT;
    seg->data[DYNO_GRPC_PREFIX_BYTES + 1] = (char)serving;
    dyno_grpc_send(&rpc->grpc, seg);
}

static void tell_all(struct dyno_io *io)
{
    const enum serving serving = serving_now(io);
    for (struct dyno_rpc *rpc = io->watchers; rpc != NULL; rpc = rpc->next_watcher)
        if (rpc->told_serving != SERVICE_UNKNOWN)
            tell(rpc, serving);
}

static void ask(struct dyno_timer *timer)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)timer - offsetof(struct dyno_io, health_timer));
    tell_all(io);
    /* Out of memory: they are told when the next watcher comes, or when the server drains. */
    if (io->watchers != NULL)
        (void)dyno_loop_arm(io->loop, timer, dyno_loop_now_ns(io->loop) + ASK_NS);
}

void dyno_rpc_unwatch(struct dyno_rpc *rpc)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    if (!rpc->is_watching)
        return;
    rpc->is_watching = false;
    io->watcher_count--;
    if (rpc->prev_watcher != NULL)
        rpc->prev_watcher->next_watcher = rpc->next_watcher;
    else
        io->watchers = rpc->next_watcher;
    if (rpc->next_watcher != NULL)
        rpc->next_watcher->prev_watcher = rpc->prev_watcher;
    if (io->watchers == NULL)
        dyno_loop_disarm(io->loop, &io->health_timer);
}

/* False: there are too many, or there is no memory. */
static bool watch(struct dyno_rpc *rpc)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    if (io->watcher_count == WATCHERS_MAX)
        return false;
    io->watcher_count++;
    rpc->is_watching = true;
    rpc->next_watcher = io->watchers;
    if (io->watchers != NULL)
        io->watchers->prev_watcher = rpc;
    io->watchers = rpc;
    io->health_timer.fire = ask;
    return io->health_timer.heap_idx != 0 ||
           dyno_loop_arm(io->loop, &io->health_timer, dyno_loop_now_ns(io->loop) + ASK_NS);
}

void dyno_rpc_watch(struct dyno_grpc_call *grpc, struct dyno_body *body)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_err err = {0};
    struct dyno_v2_names names;
    struct dyno_arena *arena = dyno_arena_create();
    const enum dyno_status status =
        arena != NULL ? dyno_v2_pb_names(body->data, body->bytes, arena, &names, &err)
                      : DYNO_NOMEM(&err);
    const bool is_service = status == DYNO_OK && is_known(names.first);
    dyno_arena_destroy(arena);
    dyno_body_fini(body);
    dyno_grpc_release(grpc);
    if (status != DYNO_OK) {
        dyno_grpc_finish(grpc, dyno_grpc_status_of(status), err.text);
        return;
    }
    /* A service that is not known does not end the stream; the table of them never changes. */
    if (watch(rpc))
        tell(rpc, is_service ? serving_now(dyno_rpc_io(rpc)) : SERVICE_UNKNOWN);
    else
        dyno_grpc_finish(grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "too many watchers");
}

void dyno_rpc_end_watches(struct dyno_io *io)
{
    tell_all(io);
    while (io->watchers != NULL) {
        struct dyno_rpc *rpc = io->watchers;
        dyno_rpc_unwatch(rpc);
        dyno_grpc_finish(&rpc->grpc, DYNO_GRPC_UNAVAILABLE, "the server stops");
    }
}
