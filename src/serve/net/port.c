/* port.c - listening, accepting, patience. */
#include "serve/net/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG      4096
#define SWEEP_NS     1000000000U
#define TRIM_CONNS   1000
#define LINGER_NS    UINT64_C(2000000000)
#define SEND_WAIT_NS UINT64_C(60000000000) /* a client that takes nothing for so long is gone */

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *address, int number, union any_address *out,
                          socklen_t *bytes_out)
{
    *out = (union any_address){0};
    if (inet_pton(AF_INET, address, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)number);
        *bytes_out = sizeof(out->v4);
        return true;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons((uint16_t)number);
    *bytes_out = sizeof(out->v6);
    return inet_pton(AF_INET6, address, &out->v6.sin6_addr) == 1;
}

enum dyno_status dyno_bind(const char *address, int number, int *fd_out, int *number_out,
                           struct dyno_err *err)
{
    const int on = 1;
    union any_address at;
    socklen_t bytes = 0;
    *fd_out = -1;
    if (!parse_address(address, number, &at, &bytes))
        return DYNO_FAIL(err, DYNO_E_ARG, "'%s' is not a numeric address", address);
    const int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, &at.any, bytes) != 0 || getsockname(fd, &at.any, &bytes) != 0) {
        const int code = errno;
        (void)close(fd);
        return DYNO_FAIL(err, DYNO_E_IO, "cannot listen on %s port %d: %s", address, number,
                         strerror(code));
    }
    *fd_out = fd;
    *number_out = ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
    return DYNO_OK;
}

/* No descriptor is left: turn the client away instead of leaving him in the queue, where he would
 * wake nobody again. */
static bool turn_away(struct dyno_port *port)
{
    if (port->spare_fd < 0)
        return false;
    (void)close(port->spare_fd);
    const int fd = accept4(port->watch.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    port->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void on_ready(struct dyno_watch *watch, uint32_t events)
{
    struct dyno_port *port = (struct dyno_port *)(void *)watch; /* its first member */
    (void)events;
    for (;;) {
        const int on = 1;
        const int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if ((errno == EMFILE || errno == ENFILE) && turn_away(port))
                continue;
            return;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (port->conn_count >= port->conn_count_max || !port->accept(port, fd))
            (void)close(fd);
    }
}

/* Thousands have left: what they held is free, but the allocator keeps it. */
static void give_memory_back(struct dyno_port *port)
{
    if (port->conn_count > port->conn_count_peak)
        port->conn_count_peak = port->conn_count;
    if (port->conn_count_peak < TRIM_CONNS || port->conn_count > port->conn_count_peak / 2)
        return;
    port->conn_count_peak = port->conn_count;
    (void)malloc_trim(0);
}

/* Is patience with this one over? */
static bool is_over(struct dyno_conn *conn, uint64_t now_ns)
{
    const uint64_t still_ns = now_ns - conn->active_ns;
    if (conn->lingering)
        return still_ns > LINGER_NS;
    if (!conn->is_held && (conn->out_bytes > 0 || conn->closing) && still_ns > SEND_WAIT_NS)
        return true;
    return (conn->tls != NULL && dyno_tls_is_late(conn->tls, now_ns)) ||
           conn->ops->is_late(conn, now_ns);
}

static void on_sweep(struct dyno_timer *timer)
{
    struct dyno_port *port =
        (struct dyno_port *)(void *)((char *)timer - offsetof(struct dyno_port, sweep));
    const uint64_t now_ns = dyno_loop_now_ns(port->loop);
    for (struct dyno_conn *conn = port->first; conn != NULL; conn = conn->next)
        if (!conn->closed && is_over(conn, now_ns))
            dyno_conn_close(conn);
    give_memory_back(port);
    if (port->watch.fd >= 0) /* someone may wait since descriptors ran out */
        on_ready(&port->watch, EPOLLIN);
    (void)dyno_loop_arm(port->loop, timer, now_ns + SWEEP_NS);
}

enum dyno_status dyno_port_open(struct dyno_port *port, struct dyno_loop *loop, int fd,
                                struct dyno_err *err)
{
    port->watch = (struct dyno_watch){.fd = fd, .ready = on_ready};
    port->loop = loop;
    port->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    port->sweep.fire = on_sweep;
    enum dyno_status status = dyno_loop_watch(loop, &port->watch, EPOLLIN, err);
    if (status == DYNO_OK && !dyno_loop_arm(loop, &port->sweep, dyno_loop_now_ns(loop) + SWEEP_NS))
        status = DYNO_NOMEM(err);
    return status;
}

enum dyno_status dyno_port_listen(struct dyno_port *port, struct dyno_err *err)
{
    if (port->watch.fd >= 0 && listen(port->watch.fd, BACKLOG) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot listen: %s", strerror(errno));
    return DYNO_OK;
}

static void stop_listening(struct dyno_port *port)
{
    if (port->watch.fd < 0)
        return;
    dyno_loop_unwatch(port->loop, &port->watch);
    (void)close(port->watch.fd);
    port->watch.fd = -1;
}

/* A closed listener resets the connections in its queue, and between the last accept and close one
 * more may come in.  So first the packets that ask for one are dropped: SYN without ACK. */
void dyno_port_shut(struct dyno_port *port)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags of the TCP header */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog filter = {.len = DYNO_COUNT(code), .filter = code};
    if (port->watch.fd >= 0)
        (void)setsockopt(port->watch.fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

void dyno_port_stop(struct dyno_port *port)
{
    if (port->watch.fd >= 0)
        on_ready(&port->watch, EPOLLIN);
    stop_listening(port);
}

void dyno_port_drain(struct dyno_port *port)
{
    port->is_draining = true;
    dyno_port_stop(port);
    for (struct dyno_conn *conn = port->first; conn != NULL; conn = conn->next)
        if (!conn->closed)
            conn->ops->drain(conn);
}

void dyno_port_close_all(struct dyno_port *port)
{
    for (struct dyno_conn *conn = port->first; conn != NULL; conn = conn->next)
        dyno_conn_close(conn);
}

void dyno_port_fini(struct dyno_port *port)
{
    DYNO_ASSERT(port->first == NULL);
    if (port->loop == NULL)
        return;
    stop_listening(port);
    dyno_loop_disarm(port->loop, &port->sweep);
    if (port->spare_fd >= 0)
        (void)close(port->spare_fd);
    port->loop = NULL;
}
