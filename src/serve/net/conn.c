/* conn.c - bytes in, bytes out. */
#include "serve/net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/net/port.h"

#define SEG_BYTES      ((size_t)4096 - sizeof(struct dyno_seg) - 64)
#define OUT_LOW_BYTES  ((size_t)64 * 1024)  /* produce more below */
#define OUT_HIGH_BYTES ((size_t)512 * 1024) /* take no input above */
#define READS_A_TURN   8
#define SLAB_MAX       ((size_t)8192)
#define IOVS_MAX       16

/* --- segments --- */

struct dyno_seg *dyno_seg_create(struct dyno_slab *slab, size_t room_bytes)
{
    struct dyno_seg *seg = NULL;
    if (room_bytes > SIZE_MAX - sizeof(*seg))
        return NULL;
    seg = dyno_slab_alloc(slab, sizeof(*seg) + room_bytes);
    if (seg != NULL)
        *seg = (struct dyno_seg){.room_bytes = room_bytes};
    return seg;
}

void dyno_seg_destroy(struct dyno_slab *slab, struct dyno_seg *seg)
{
    if (seg->budget != NULL)
        dyno_budget_give(seg->budget, seg->room_bytes);
    dyno_slab_free(slab, seg);
}

static void queue(struct dyno_conn *conn, struct dyno_seg *seg)
{
    seg->waits_for = conn->waits_for;
    if (conn->out_last != NULL)
        conn->out_last->next = seg;
    else
        conn->out_first = seg;
    conn->out_last = seg;
}

char *dyno_conn_reserve(struct dyno_conn *conn, size_t bytes)
{
    struct dyno_seg *last = conn->out_last;
    if (conn->closed)
        return NULL;
    if (last != NULL && last->room_bytes - last->end >= bytes && last->waits_for == conn->waits_for)
        return last->data + last->end;
    last = dyno_seg_create(dyno_loop_slab(conn->loop), bytes > SEG_BYTES ? bytes : SEG_BYTES);
    if (last == NULL) {
        dyno_conn_close(conn);
        return NULL;
    }
    queue(conn, last);
    return last->data;
}

void dyno_conn_commit(struct dyno_conn *conn, size_t bytes)
{
    conn->out_last->end += bytes;
    conn->out_bytes += bytes;
    dyno_conn_wake(conn);
}

void dyno_conn_write(struct dyno_conn *conn, const void *data, size_t bytes)
{
    char *to = dyno_conn_reserve(conn, bytes);
    if (to == NULL)
        return;
    memcpy(to, data, bytes);
    dyno_conn_commit(conn, bytes);
}

void dyno_conn_give(struct dyno_conn *conn, struct dyno_seg *seg)
{
    if (conn->closed) {
        dyno_seg_destroy(dyno_loop_slab(conn->loop), seg);
        return;
    }
    seg->next = NULL;
    queue(conn, seg);
    conn->out_bytes += seg->end - seg->begin;
    dyno_conn_wake(conn);
}

/* --- holding --- */

void dyno_conn_hold(struct dyno_conn *conn, struct dyno_hold *hold, uint64_t waits_for)
{
    conn->hold = hold;
    if (waits_for > conn->waits_for)
        conn->waits_for = waits_for;
}

static bool may_leave(const struct dyno_conn *conn, const struct dyno_seg *seg)
{
    return conn->hold == NULL || seg->waits_for <= conn->hold->due;
}

static void unlist(struct dyno_conn *conn)
{
    if (!conn->is_held)
        return;
    conn->is_held = false;
    if (conn->held_prev != NULL)
        conn->held_prev->held_next = conn->held_next;
    else
        conn->hold->first = conn->held_next;
    if (conn->held_next != NULL)
        conn->held_next->held_prev = conn->held_prev;
}

/* Its first segment has to wait: it is woken when something is due. */
static void list(struct dyno_conn *conn)
{
    if (conn->is_held)
        return;
    conn->is_held = true;
    conn->held_prev = NULL;
    conn->held_next = conn->hold->first;
    if (conn->held_next != NULL)
        conn->held_next->held_prev = conn;
    conn->hold->first = conn;
}

void dyno_hold_release(struct dyno_hold *hold, uint64_t due)
{
    struct dyno_conn *conn = hold->first;
    if (due <= hold->due)
        return;
    hold->due = due;
    while (conn != NULL) {
        struct dyno_conn *next = conn->held_next;
        if (conn->out_first != NULL && may_leave(conn, conn->out_first)) {
            unlist(conn);
            conn->active_ns = dyno_loop_now_ns(conn->loop); /* its peer was not slow */
            dyno_conn_wake(conn);
        }
        conn = next;
    }
}

/* --- sending --- */

static void sent(struct dyno_conn *conn, size_t bytes)
{
    conn->out_bytes -= bytes;
    while (conn->out_first != NULL) {
        struct dyno_seg *seg = conn->out_first;
        const size_t here = seg->end - seg->begin;
        if (bytes < here) {
            seg->begin += bytes;
            return;
        }
        bytes -= here;
        conn->out_first = seg->next;
        if (conn->out_first == NULL)
            conn->out_last = NULL;
        dyno_seg_destroy(dyno_loop_slab(conn->loop), seg);
    }
}

static ssize_t send_plain(struct dyno_conn *conn)
{
    struct iovec iovs[IOVS_MAX];
    struct msghdr message = {.msg_iov = iovs};
    for (struct dyno_seg *seg = conn->out_first;
         seg != NULL && message.msg_iovlen < IOVS_MAX && may_leave(conn, seg); seg = seg->next)
        iovs[message.msg_iovlen++] =
            (struct iovec){.iov_base = seg->data + seg->begin, .iov_len = seg->end - seg->begin};
    const ssize_t bytes = sendmsg(conn->watch.fd, &message, MSG_NOSIGNAL);
    conn->can_write = bytes >= 0 || errno != EAGAIN;
    return bytes;
}

/* One record; small segments share it.  After a refusal it begins with the same bytes again. */
static ssize_t send_sealed(struct dyno_conn *conn)
{
    const struct dyno_seg *seg = conn->out_first;
    char *const buffer = dyno_loop_buffer(conn->loop);
    const char *data = seg->data + seg->begin;
    size_t bytes = seg->end - seg->begin;
    if (bytes < DYNO_TLS_RECORD_BYTES && seg->next != NULL) {
        for (bytes = 0; seg != NULL && bytes < DYNO_TLS_RECORD_BYTES && may_leave(conn, seg);
             seg = seg->next) {
            const size_t left = DYNO_TLS_RECORD_BYTES - bytes;
            const size_t here = seg->end - seg->begin < left ? seg->end - seg->begin : left;
            memcpy(buffer + bytes, seg->data + seg->begin, here);
            bytes += here;
        }
        data = buffer;
    }
    bytes = bytes < DYNO_TLS_RECORD_BYTES ? bytes : DYNO_TLS_RECORD_BYTES;
    const ssize_t sealed = dyno_tls_write(conn->tls, data, bytes, &conn->write_waits);
    conn->can_write = conn->write_waits == 0;
    return sealed;
}

/* True when something went out and there may be room for more. */
static bool send_some(struct dyno_conn *conn)
{
    const ssize_t bytes = conn->tls != NULL ? send_sealed(conn) : send_plain(conn);
    if (bytes < 0) {
        if (errno != EAGAIN && errno != EINTR)
            dyno_conn_close(conn);
        return false;
    }
    conn->active_ns = dyno_loop_now_ns(conn->loop);
    sent(conn, (size_t)bytes);
    return true;
}

/* Is there output that may leave? */
static bool has_output(struct dyno_conn *conn)
{
    if (conn->out_bytes == 0)
        return false;
    if (may_leave(conn, conn->out_first))
        return true;
    list(conn);
    return false;
}

/* Nothing more is sent.  Closing with input unread would reset the connection, and the peer might
 * lose what was sent last. */
static void linger(struct dyno_conn *conn)
{
    conn->closing = conn->lingering = true;
    if (conn->peer_ended || shutdown(conn->watch.fd, SHUT_WR) != 0)
        dyno_conn_close(conn);
    else
        conn->can_read = true;
}

/* Tell the peer that the output ends where it was meant to; false: not yet. */
static bool end_output(struct dyno_conn *conn)
{
    if (conn->tls == NULL)
        return true;
    const bool is_told = dyno_tls_end(conn->tls, &conn->write_waits);
    conn->can_write = conn->write_waits == 0;
    return is_told;
}

static bool is_shaking(const struct dyno_conn *conn)
{
    return conn->tls != NULL && !dyno_tls_is_open(conn->tls);
}

static void pump_output(struct dyno_conn *conn)
{
    if (conn->lingering)
        return;
    if (is_shaking(conn)) { /* what is written meanwhile waits */
        if (conn->closing)
            dyno_conn_close(conn);
        return;
    }
    do {
        if (conn->ops->produce != NULL && conn->out_bytes < OUT_LOW_BYTES)
            conn->ops->produce(conn);
    } while (!conn->closed && conn->can_write && has_output(conn) && send_some(conn));
    if (!conn->closed && conn->closing && conn->out_bytes == 0 && conn->can_write &&
        end_output(conn))
        linger(conn);
}

/* Throw away what comes until the peer ends, too. */
static void discard(struct dyno_conn *conn)
{
    for (int i = 0; i < READS_A_TURN; i++) {
        const ssize_t got =
            read(conn->watch.fd, dyno_loop_buffer(conn->loop), DYNO_LOOP_BUFFER_BYTES);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            dyno_conn_close(conn);
            return;
        }
    }
    dyno_conn_wake(conn);
}

/* --- receiving --- */

static bool wants_input(const struct dyno_conn *conn)
{
    return !conn->closed && !conn->closing && !conn->is_paused && conn->can_read &&
           conn->out_bytes < OUT_HIGH_BYTES;
}

/* The handshake goes on. */
static void shake(struct dyno_conn *conn)
{
    const int result = dyno_tls_shake(conn->tls, &conn->read_waits);
    conn->can_read = conn->read_waits == 0;
    if (result == 0)
        return;
    conn->active_ns = dyno_loop_now_ns(conn->loop);
    if (result < 0)
        linger(conn);
    dyno_conn_wake(conn);
}

static ssize_t read_plain(struct dyno_conn *conn, const struct iovec *iovs, int count)
{
    size_t asked = 0;
    for (int i = 0; i < count; i++)
        asked += iovs[i].iov_len;
    const ssize_t got = readv(conn->watch.fd, iovs, count);
    /* A short read emptied the socket; the end of input would still come as an event. */
    conn->can_read = got > 0 ? (size_t)got == asked || conn->peer_ended : got < 0 && errno == EINTR;
    return got;
}

static ssize_t read_sealed(struct dyno_conn *conn, const struct iovec *iovs, int count)
{
    const ssize_t got = dyno_tls_read(conn->tls, iovs, count, &conn->read_waits);
    conn->can_read = got != 0 && conn->read_waits == 0;
    return got;
}

static void receive(struct dyno_conn *conn)
{
    size_t room = 0;
    char *special = conn->ops->room != NULL ? conn->ops->room(conn, &room) : NULL;
    if (conn->is_paused || conn->closed || conn->closing)
        return;
    char *const buffer = dyno_loop_buffer(conn->loop);
    struct iovec iovs[2];
    int count = 0;
    if (special != NULL)
        iovs[count++] = (struct iovec){.iov_base = special, .iov_len = room};
    iovs[count++] = (struct iovec){.iov_base = buffer, .iov_len = DYNO_LOOP_BUFFER_BYTES};
    const ssize_t got =
        conn->tls != NULL ? read_sealed(conn, iovs, count) : read_plain(conn, iovs, count);
    if (got <= 0) {
        if (got == 0)
            conn->peer_ended = true;
        else if (errno != EAGAIN && errno != EINTR)
            dyno_conn_close(conn);
        return;
    }
    conn->active_ns = dyno_loop_now_ns(conn->loop);
    const size_t first = special != NULL && (size_t)got > room ? room : (size_t)got;
    if (special == NULL) {
        conn->ops->input(conn, buffer, (size_t)got);
        return;
    }
    conn->ops->arrived(conn, first);
    if ((size_t)got > first && !conn->closed)
        conn->ops->input(conn, buffer, (size_t)got - first);
}

static void pump_input(struct dyno_conn *conn)
{
    if (conn->lingering) {
        discard(conn);
        return;
    }
    for (int i = 0; i < READS_A_TURN && wants_input(conn); i++) {
        if (is_shaking(conn))
            shake(conn);
        else
            receive(conn);
    }
    if (conn->peer_ended && !conn->can_read && !conn->closed && !conn->told_ended) {
        conn->told_ended = true;
        conn->ops->ended(conn);
    }
    if (wants_input(conn))
        dyno_conn_wake(conn); /* others first */
}

/* --- the other end --- */

static void take_peer(struct dyno_peer *peer, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } from = {0};
    socklen_t bytes = sizeof(from);
    if (getpeername(fd, &from.any, &bytes) != 0)
        return;
    if (from.any.sa_family == AF_INET) {
        *peer = (struct dyno_peer){.family = AF_INET, .number = ntohs(from.v4.sin_port)};
        memcpy(peer->address, &from.v4.sin_addr, sizeof(from.v4.sin_addr));
    } else if (from.any.sa_family == AF_INET6) {
        *peer = (struct dyno_peer){.family = AF_INET6, .number = ntohs(from.v6.sin6_port)};
        memcpy(peer->address, &from.v6.sin6_addr, sizeof(from.v6.sin6_addr));
    }
}

void dyno_peer_text(const struct dyno_peer *peer, char text[DYNO_PEER_TEXT_BYTES])
{
    char address[INET6_ADDRSTRLEN];
    text[0] = 0;
    if (peer->family != 0 &&
        inet_ntop(peer->family, peer->address, address, sizeof(address)) != NULL)
        (void)snprintf(text, DYNO_PEER_TEXT_BYTES, peer->family == AF_INET ? "%s:%u" : "[%s]:%u",
                       address, peer->number);
}

/* --- events --- */

static void end_turn(struct dyno_turn *turn)
{
    struct dyno_conn *conn =
        (struct dyno_conn *)(void *)((char *)turn - offsetof(struct dyno_conn, turn));
    if (!conn->closed) {
        pump_output(conn);
        if (!conn->closed && (conn->lingering || wants_input(conn)))
            pump_input(conn);
        return; /* closing queued another turn, which comes here */
    }
    unlist(conn);
    if (conn->hold != NULL)
        conn->hold->gone(conn->hold, conn);
    while (conn->out_first != NULL) {
        struct dyno_seg *next = conn->out_first->next;
        dyno_seg_destroy(dyno_loop_slab(conn->loop), conn->out_first);
        conn->out_first = next;
    }
    dyno_tls_close(conn->tls);
    struct dyno_port *port = conn->port;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        port->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    port->conn_count--;
    conn->ops->closed(conn);
}

static void ready(struct dyno_watch *watch, uint32_t events)
{
    struct dyno_conn *conn = (struct dyno_conn *)(void *)watch; /* its first member */
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        dyno_conn_close(conn);
        return;
    }
    if ((events & (conn->read_waits | EPOLLRDHUP)) != 0)
        conn->can_read = true;
    if ((events & EPOLLRDHUP) != 0)
        conn->peer_ended = true;
    if ((events & conn->write_waits) != 0) {
        conn->can_write = true;
        if (conn->out_bytes > 0 || conn->closing)
            dyno_conn_wake(conn);
    }
    pump_input(conn);
}

enum dyno_status dyno_conn_open(struct dyno_conn *conn, struct dyno_port *port, int fd,
                                const struct dyno_conn_ops *ops, struct dyno_err *err)
{
    conn->watch = (struct dyno_watch){.fd = fd, .ready = ready};
    conn->turn.end = end_turn;
    conn->loop = port->loop;
    conn->port = port;
    conn->ops = ops;
    conn->can_write = true;
    conn->read_waits = EPOLLIN;
    conn->write_waits = EPOLLOUT;
    conn->active_ns = dyno_loop_now_ns(port->loop);
    if (port->wants_peers)
        take_peer(&conn->peer, fd);
    if (port->tls != NULL) {
        conn->tls = dyno_tls_open(port->tls, port->protocol, dyno_loop_slab(port->loop), fd,
                                  conn->active_ns);
        if (conn->tls == NULL)
            return DYNO_NOMEM(err);
    }
    const enum dyno_status status =
        dyno_loop_watch(port->loop, &conn->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP, err);
    if (status != DYNO_OK) {
        dyno_tls_close(conn->tls);
        return status;
    }
    conn->next = port->first;
    if (port->first != NULL)
        port->first->prev = conn;
    port->first = conn;
    port->conn_count++;
    return DYNO_OK;
}

void dyno_conn_pause(struct dyno_conn *conn)
{
    conn->is_paused = true;
}

void dyno_conn_resume(struct dyno_conn *conn)
{
    conn->is_paused = false;
    dyno_conn_wake(conn);
}

void dyno_conn_wake(struct dyno_conn *conn)
{
    dyno_loop_at_end(conn->loop, &conn->turn);
}

size_t dyno_conn_waiting(const struct dyno_conn *conn)
{
    int bytes = 0;
    if (ioctl(conn->watch.fd, FIONREAD, &bytes) != 0 || bytes < 0)
        return 0;
    return (size_t)bytes + (conn->tls != NULL ? dyno_tls_pending(conn->tls) : 0);
}

void dyno_conn_close(struct dyno_conn *conn)
{
    if (conn->closed)
        return;
    if (conn->out_bytes == 0)
        (void)end_output(conn);
    conn->closed = true;
    dyno_loop_unwatch(conn->loop, &conn->watch);
    (void)close(conn->watch.fd);
    conn->watch.fd = -1;
    dyno_conn_wake(conn);
}

void dyno_conn_close_when_sent(struct dyno_conn *conn)
{
    conn->closing = true;
    dyno_conn_wake(conn);
}
