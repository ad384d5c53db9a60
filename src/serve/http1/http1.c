/* http1.c - the state machine around http-parser.
 *
 * http-parser reads heads and chunks.  A body of known length never goes through it: it is read
 * from the socket straight into its memory.
 */
#include <string.h>

#include "serve/http1/internal.h"

#define HEAD_WAIT_NS    UINT64_C(15000000000) /* from its first byte to its last */
#define BODY_WAIT_NS    UINT64_C(60000000000) /* and a second more for each BODY_BYTES_A_S */
#define BODY_BYTES_A_S  10000
#define BUDGET_RETRY_NS UINT64_C(5000000)
#define BUDGET_WAIT_NS  UINT64_C(30000000000)

/* --- bytes --- */

static void dispatch(struct dyno_h1 *h1)
{
    struct dyno_http_request *request = h1->request;
    h1->state = DYNO_H1_APP;
    if (request->refusal.status == 0)
        h1->server->request(h1->server, request);
    else
        dyno_http_answer(request, request->refusal.status, "application/json",
                         request->refusal.extra, dyno_h1_error_body(h1, request->refusal.text));
}

/* Bytes of a head or of chunks; returns how many were used. */
static size_t parse(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    const size_t used = http_parser_execute(&h1->parser, &dyno_h1_parsing, data, bytes);
    const enum http_errno code = HTTP_PARSER_ERRNO(&h1->parser);
    if (h1->is_refused)
        return bytes;
    if (code == HPE_PAUSED) {
        if (h1->state == DYNO_H1_CHUNK || h1->body_bytes == 0)
            dispatch(h1);
        return used;
    }
    if (code != HPE_OK) {
        dyno_h1_refuse(h1, code == HPE_HEADER_OVERFLOW ? 431 : 400, "malformed request");
        return bytes;
    }
    return used;
}

/* Bytes of a body of known length. */
static size_t take_body(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    struct dyno_body *body = &h1->request->body;
    struct dyno_err err = {0};
    const size_t left = h1->body_bytes - body->bytes;
    const size_t here = bytes < left ? bytes : left;
    if (dyno_body_add(body, data, here, &err) != DYNO_OK) {
        dyno_h1_refuse(h1, 503, "the server has too many bytes in flight");
        return bytes;
    }
    if (here == left)
        dispatch(h1);
    return here;
}

static void hold(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    h1->held = dyno_slab_alloc(dyno_h1_slab(h1), bytes);
    h1->held_bytes = bytes;
    if (h1->held == NULL)
        dyno_conn_close(&h1->conn);
    else
        memcpy(h1->held, data, bytes);
}

static void feed(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    h1->is_feeding = true;
    while (bytes > 0 && h1->state != DYNO_H1_APP && !h1->is_refused && !h1->conn.closed) {
        const size_t used =
            h1->state == DYNO_H1_BODY ? take_body(h1, data, bytes) : parse(h1, data, bytes);
        data += used;
        bytes -= used;
    }
    h1->is_feeding = false;
    if (h1->conn.closed || h1->is_refused)
        return;
    if (h1->state == DYNO_H1_APP) {
        dyno_conn_pause(&h1->conn);
        if (bytes > 0)
            hold(h1, data, bytes);
    }
}

void dyno_h1_next_request(struct dyno_h1 *h1)
{
    h1->state = DYNO_H1_HEAD;
    http_parser_pause(&h1->parser, 0);
    if (h1->is_feeding)
        return; /* the loop that dispatched goes on */
    char *held = h1->held;
    h1->held = NULL;
    if (held != NULL)
        feed(h1, held, h1->held_bytes);
    dyno_slab_free(dyno_h1_slab(h1), held);
    if (h1->state != DYNO_H1_APP && !h1->conn.closed)
        dyno_conn_resume(&h1->conn);
}

static void input(struct dyno_conn *conn, const char *data, size_t bytes)
{
    feed((struct dyno_h1 *)(void *)conn, data, bytes);
}

/* --- a body straight from the socket --- */

static char *room(struct dyno_conn *conn, size_t *bytes_out)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state != DYNO_H1_BODY)
        return NULL;
    char *to = dyno_body_room(&h1->request->body, bytes_out);
    if (to == NULL && h1->request->body.bytes == 0) {
        dyno_h1_refuse(h1, 503, "the server has too many bytes in flight");
    } else if (to == NULL) {
        h1->hungry_ns = dyno_loop_now_ns(conn->loop);
        dyno_conn_pause(conn);
        if (!dyno_loop_arm(conn->loop, &h1->budget_retry, h1->hungry_ns + BUDGET_RETRY_NS))
            dyno_conn_close(conn);
    }
    return to;
}

static void arrived(struct dyno_conn *conn, size_t bytes)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    h1->request->body.bytes += bytes;
    if (h1->request->body.bytes < h1->body_bytes)
        return;
    h1->is_feeding = true;
    dispatch(h1);
    h1->is_feeding = false;
    if (h1->state == DYNO_H1_APP && !conn->closed)
        dyno_conn_pause(conn);
}

/* The client has ended and what it sent is less than it announced: the body will never be whole. */
static bool is_cut_short(const struct dyno_h1 *h1)
{
    return h1->conn.peer_ended &&
           dyno_conn_waiting(&h1->conn) < h1->body_bytes - h1->request->body.bytes;
}

static void retry_budget(struct dyno_timer *timer)
{
    struct dyno_h1 *h1 =
        (struct dyno_h1 *)(void *)((char *)timer - offsetof(struct dyno_h1, budget_retry));
    const uint64_t now_ns = dyno_loop_now_ns(h1->conn.loop);
    if (is_cut_short(h1)) {
        dyno_conn_close(&h1->conn);
    } else if (dyno_body_promise(&h1->request->body)) {
        h1->hungry_ns = 0;
        dyno_conn_resume(&h1->conn);
    } else if (now_ns - h1->hungry_ns > BUDGET_WAIT_NS) {
        dyno_h1_refuse(h1, 503, "the server has too many bytes in flight");
    } else if (!dyno_loop_arm(h1->conn.loop, timer, now_ns + BUDGET_RETRY_NS)) {
        dyno_conn_close(&h1->conn);
    }
}

/* --- the connection --- */

static void ended(struct dyno_conn *conn)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state != DYNO_H1_APP)
        dyno_conn_close_when_sent(conn);
}

static bool is_late(struct dyno_conn *conn, uint64_t now_ns)
{
    const struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state == DYNO_H1_APP)
        return false;
    if (h1->request == NULL)
        return now_ns - conn->active_ns > h1->server->idle_ns;
    const uint64_t for_ns = now_ns - h1->request->start_ns;
    if (h1->state == DYNO_H1_HEAD)
        return for_ns > HEAD_WAIT_NS;
    const uint64_t bytes = h1->request->body.bytes;
    return for_ns > BODY_WAIT_NS + bytes * (UINT64_C(1000000000) / BODY_BYTES_A_S);
}

static void drain(struct dyno_conn *conn)
{
    const struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    /* What has come and is not read yet is answered first; that closes it, too. */
    if (h1->request == NULL && dyno_conn_waiting(conn) == 0)
        dyno_conn_close_when_sent(conn);
}

static void closed(struct dyno_conn *conn)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    struct dyno_slab *slab = dyno_h1_slab(h1);
    dyno_loop_disarm(conn->loop, &h1->budget_retry);
    if (h1->request != NULL && h1->state == DYNO_H1_APP) {
        h1->request->h1 = NULL;
        h1->server->gone(h1->server, h1->request);
    } else if (h1->request != NULL) {
        h1->request->h1 = NULL;
        dyno_h1_free_request(h1->request);
    }
    dyno_slab_free(slab, h1->held);
    dyno_slab_free(slab, h1);
}

static const struct dyno_conn_ops ops = {.input = input,
                                         .room = room,
                                         .arrived = arrived,
                                         .ended = ended,
                                         .is_late = is_late,
                                         .drain = drain,
                                         .closed = closed};

bool dyno_http1_accept(struct dyno_port *port, int fd)
{
    struct dyno_err err = {0};
    struct dyno_slab *slab = dyno_loop_slab(port->loop);
    struct dyno_h1 *h1 = dyno_slab_zalloc(slab, sizeof(*h1));
    if (h1 == NULL)
        return false;
    h1->server = port->owner;
    h1->budget_retry.fire = retry_budget;
    http_parser_init(&h1->parser, HTTP_REQUEST);
    if (dyno_conn_open(&h1->conn, port, fd, &ops, &err) == DYNO_OK)
        return true;
    dyno_slab_free(slab, h1);
    return false;
}
