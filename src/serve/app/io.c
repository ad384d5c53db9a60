/* io.c - an I/O thread: its loop, its ports, and what it is told. */
#include "serve/app/io.h"

#include "base/mem.h"
#include "serve/app/http.h"
#include "serve/app/rpc.h"
#include "serve/app/usage.h"

#define HTTP_IDLE_NS UINT64_C(300000000000)
#define GRPC_IDLE_NS UINT64_C(7200000000000)

_Thread_local struct dyno_io *dyno_io_here;

static void set_up_servers(struct dyno_io *io)
{
    struct dyno_server *server = io->server;
    const size_t body_bytes_max = server->options.body_bytes_max;
    dyno_app_http_init(&io->http_server, io);
    io->http_server.budget = &server->budget;
    io->http_server.body_bytes_max = body_bytes_max;
    io->http_server.idle_ns = HTTP_IDLE_NS;
    io->metrics_server = io->http_server;
    io->metrics_server.body_bytes_max = 0;
    dyno_app_grpc_init(&io->grpc_server, io);
    io->grpc_server.h2.idle_ns = GRPC_IDLE_NS;
    io->grpc_server.message_bytes_max = body_bytes_max;
}

static enum dyno_status open_port(struct dyno_io *io, struct dyno_port *port, int *listener,
                                  bool has_tls, struct dyno_err *err)
{
    const int fd = *listener;
    port->watch.fd = -1;
    port->spare_fd = -1;
    port->conn_count_max = io->server->options.conns_max;
    port->tls = has_tls ? io->server->tls : NULL;
    port->wants_peers = io->server->journal != NULL;
    *listener = -1;
    return fd >= 0 ? dyno_port_open(port, io->loop, fd, err) : DYNO_OK;
}

enum dyno_status dyno_io_open(struct dyno_io *io, int *listeners, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &io->server->options;
    DYNO_TRY(dyno_loop_create(&io->loop, err));
    dyno_usage_init(io);
    set_up_servers(io);
    io->http.accept = dyno_http1_accept;
    io->http.owner = &io->http_server;
    io->http.protocol = &dyno_tls_http1;
    io->metrics.accept = dyno_http1_accept;
    io->metrics.owner = &io->metrics_server;
    io->metrics.protocol = &dyno_tls_http1;
    io->grpc.accept = dyno_http2_accept;
    io->grpc.owner = &io->grpc_server.h2;
    io->grpc.protocol = &dyno_tls_http2;
    DYNO_TRY(open_port(io, &io->http, &listeners[0], options->http_has_tls, err));
    DYNO_TRY(open_port(io, &io->grpc, &listeners[1], options->grpc_has_tls, err));
    return open_port(io, &io->metrics, &listeners[2], options->metrics_has_tls, err);
}

static void shut_io(struct dyno_mail *mail)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)mail - offsetof(struct dyno_io, shut_mail));
    dyno_port_shut(&io->http);
    dyno_port_shut(&io->grpc);
}

static void stop_io(struct dyno_mail *mail)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)mail - offsetof(struct dyno_io, stop_mail));
    dyno_port_stop(&io->http);
    dyno_port_stop(&io->grpc);
}

static void drain_io(struct dyno_mail *mail)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)mail - offsetof(struct dyno_io, drain_mail));
    dyno_rpc_end_watches(io);
    dyno_port_drain(&io->http);
    dyno_port_drain(&io->grpc);
}

static void close_io(struct dyno_mail *mail)
{
    struct dyno_io *io =
        (struct dyno_io *)(void *)((char *)mail - offsetof(struct dyno_io, close_mail));
    struct dyno_port *const ports[] = {&io->http, &io->grpc, &io->metrics};
    for (size_t i = 0; i < DYNO_COUNT(ports); i++) {
        dyno_port_stop(ports[i]); /* nobody comes any more in this turn */
        dyno_port_close_all(ports[i]);
    }
    /* What was closed is let go at the end of this turn; the loop stops after it. */
    dyno_loop_stop(io->loop);
}

void dyno_io_shut(struct dyno_io *io)
{
    io->shut_mail.deliver = shut_io;
    dyno_loop_post(io->loop, &io->shut_mail);
}

void dyno_io_stop(struct dyno_io *io)
{
    io->stop_mail.deliver = stop_io;
    dyno_loop_post(io->loop, &io->stop_mail);
}

void dyno_io_drain(struct dyno_io *io)
{
    io->drain_mail.deliver = drain_io;
    dyno_loop_post(io->loop, &io->drain_mail);
}

void dyno_io_close(struct dyno_io *io)
{
    io->close_mail.deliver = close_io;
    dyno_loop_post(io->loop, &io->close_mail);
}

void *dyno_io_run(void *arg)
{
    struct dyno_io *io = arg;
    dyno_io_here = io;
    dyno_loop_run(io->loop);
    return NULL;
}

void dyno_io_free(struct dyno_io *io)
{
    while (io->spare_calls != NULL) {
        struct dyno_call *next = io->spare_calls->next;
        dyno_arena_destroy(io->spare_calls->arena);
        dyno_free(io->spare_calls);
        io->spare_calls = next;
    }
    dyno_port_fini(&io->http);
    dyno_port_fini(&io->grpc);
    dyno_port_fini(&io->metrics);
    dyno_strbuf_fini(&io->text);
    dyno_strbuf_fini(&io->line);
    dyno_loop_destroy(io->loop);
}
