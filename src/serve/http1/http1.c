/* http1.c - the state machine around http-parser.
 *
 * http-parser reads heads and chunks.  A body of known length never goes through it: it is read
 * from the socket straight into its memory.
 */
#include "serve/http1/http1.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>

#define HEAD_WAIT_NS     UINT64_C(15000000000) /* from its first byte to its last */
#define BODY_WAIT_NS     UINT64_C(60000000000) /* and a second more for each BODY_BYTES_A_S */
#define BODY_BYTES_A_S   10000
#define BUDGET_RETRY_NS  UINT64_C(5000000)
#define BUDGET_WAIT_NS   UINT64_C(30000000000)
#define URL_BYTES_MAX    8192
#define HEAD_FIRST_BYTES 512
#define HEAD_OUT_BYTES   1024 /* of an answer */

enum h1_state {
    H1_HEAD,  /* reading a head, or waiting for one */
    H1_BODY,  /* reading a body of known length */
    H1_CHUNK, /* reading chunks, through the parser */
    H1_APP,   /* the application works */
};

/* What the parser saw last of the header lines. */
enum line_part { LINE_NONE, LINE_NAME, LINE_VALUE };

struct dyno_h1 {
    struct dyno_conn conn;
    struct dyno_timer budget_retry;
    http_parser parser;
    struct dyno_http_server *server;
    struct dyno_http_request *request;
    enum h1_state state;
    enum line_part part;
    bool is_feeding;
    bool is_refused; /* an error was answered; nothing more is read */
    uint32_t chunk_count;
    size_t url_bytes;
    size_t body_bytes;  /* H1_BODY: in all */
    uint64_t hungry_ns; /* since when the budget is spent; 0: not */
    char *held;         /* came after the request that is worked on */
    size_t held_bytes;
};

static const http_parser_settings settings;

static struct dyno_h1 *of_parser(http_parser *parser)
{
    return (struct dyno_h1 *)(void *)((char *)parser - offsetof(struct dyno_h1, parser));
}

static struct dyno_slab *slab_of(const struct dyno_h1 *h1)
{
    return dyno_loop_slab(h1->conn.loop);
}

/* --- requests --- */

static struct dyno_http_request *make_request(struct dyno_h1 *h1)
{
    struct dyno_http_request *request = dyno_slab_zalloc(slab_of(h1), h1->server->request_bytes);
    if (request == NULL)
        return NULL;
    request->h1 = h1;
    request->port = h1->conn.port;
    request->start_ns = dyno_loop_now_ns(h1->conn.loop);
    dyno_body_init(&request->body, h1->server->budget, h1->server->body_bytes_max);
    return request;
}

static void free_request(struct dyno_http_request *request)
{
    struct dyno_slab *slab = dyno_loop_slab(request->port->loop);
    struct dyno_http_server *server = request->port->owner;
    if (request->is_seen)
        server->over(server, request);
    dyno_body_fini(&request->body);
    dyno_slab_free(slab, request->head);
    dyno_slab_free(slab, request);
}

const struct dyno_peer *dyno_http_peer(const struct dyno_http_request *request)
{
    return &request->h1->conn.peer;
}

const char *dyno_http_header(const struct dyno_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->head + request->headers[i].name, name) == 0)
            return request->head + request->headers[i].value;
    return NULL;
}

/* Append to the head's text; false past its limit or without memory. */
static bool add_head(struct dyno_h1 *h1, const char *text, size_t bytes, bool lower)
{
    struct dyno_http_request *request = h1->request;
    const size_t total = request->head_bytes + bytes + 1;
    if (total > DYNO_HTTP_HEAD_BYTES_MAX)
        return false;
    if (total > request->head_room) {
        size_t room = request->head_room == 0 ? HEAD_FIRST_BYTES : request->head_room;
        while (room < total)
            room *= 2;
        char *moved = dyno_slab_realloc(slab_of(h1), request->head, room);
        if (moved == NULL)
            return false;
        request->head = moved;
        request->head_room = room;
    }
    char *to = request->head + request->head_bytes;
    for (size_t i = 0; i < bytes; i++)
        to[i] = lower && text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
    to[bytes] = 0;
    request->head_bytes += bytes;
    return true;
}

/* --- answers --- */

static const char *reason(int status)
{
    switch (status) {
#define XX(number, name, text) \
    case number:               \
        return #text;
        HTTP_STATUS_MAP(XX)
#undef XX
    default:
        return "Unknown";
    }
}

/* Appends to a text of HEAD_OUT_BYTES at `at`; where the text then ends, HEAD_OUT_BYTES + 1 once
 * something did not fit. */
static size_t put(char *out, size_t at, const char *text)
{
    const size_t bytes = strlen(text);
    if (at > HEAD_OUT_BYTES || bytes > HEAD_OUT_BYTES - at)
        return HEAD_OUT_BYTES + 1;
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): what follows does not end with a zero */
    memcpy(out + at, text, bytes);
    return at + bytes;
}

static size_t put_number(char *out, size_t at, size_t value)
{
    char digits[24];
    size_t first = sizeof(digits) - 1;
    digits[first] = 0;
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return put(out, at, digits + first);
}

/* Its length; more than HEAD_OUT_BYTES: it did not fit. */
static size_t print_head(const struct dyno_http_request *request, int status, const char *type,
                         const char *extra, size_t body_bytes, char *out)
{
    size_t at = put_number(out, put(out, 0, "HTTP/1.1 "), (size_t)status);
    at = put(out, put(out, put(out, at, " "), reason(status)), "\r\n");
    if (type != NULL || body_bytes != 0)
        at = put(out, put(out, put(out, at, "Content-Type: "), type), "\r\n");
    at = put(out, at, extra);
    if (request->extra != NULL)
        at = put(out, at, request->extra);
    at = put_number(out, put(out, at, "Content-Length: "), body_bytes);
    at = put(out, at, "\r\n");
    return put(out, at, request->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

static void write_answer(struct dyno_h1 *h1, struct dyno_http_request *request, int status,
                         const char *type, const char *extra, struct dyno_seg *body)
{
    char head[HEAD_OUT_BYTES];
    const size_t body_bytes = body != NULL ? body->end - body->begin : 0;
    request->status = status;
    request->answer_bytes = request->method != DYNO_HTTP_HEAD ? body_bytes : 0;
    const size_t printed = print_head(request, status, type, extra, body_bytes, head);
    if (printed > sizeof(head)) {
        dyno_conn_close(&h1->conn);
    } else if (body != NULL && request->method != DYNO_HTTP_HEAD && body->begin >= printed) {
        body->begin -= printed;
        memcpy(body->data + body->begin, head, printed);
        dyno_conn_give(&h1->conn, body);
        return;
    } else {
        dyno_conn_write(&h1->conn, head, printed);
        if (body != NULL && request->method != DYNO_HTTP_HEAD) {
            dyno_conn_give(&h1->conn, body);
            return;
        }
    }
    if (body != NULL)
        dyno_seg_destroy(slab_of(h1), body);
}

/* {"error": text} as the body of an answer; NULL: out of memory. */
static struct dyno_seg *error_body(struct dyno_h1 *h1, const char *text)
{
    char body[512];
    const int bytes = snprintf(body, sizeof(body), "{\"error\":\"%s\"}", text);
    struct dyno_seg *seg = dyno_seg_create(slab_of(h1), DYNO_HTTP_HEAD_ROOM + sizeof(body));
    if (seg == NULL || bytes < 0 || (size_t)bytes >= sizeof(body))
        return seg;
    seg->begin = DYNO_HTTP_HEAD_ROOM;
    seg->end = seg->begin + (size_t)bytes;
    memcpy(seg->data + seg->begin, body, (size_t)bytes);
    return seg;
}

/* Answered at once, then the connection ends: what the client still sends is not wanted. */
static void refuse_with(struct dyno_h1 *h1, const struct dyno_http_refusal *refusal)
{
    struct dyno_http_request *request = h1->request;
    if (h1->is_refused)
        return;
    h1->is_refused = true;
    dyno_loop_disarm(h1->conn.loop, &h1->budget_retry);
    struct dyno_http_request closing = {.method = DYNO_HTTP_GET,
                                        .extra = request != NULL ? request->extra : NULL};
    write_answer(h1, &closing, refusal->status, "application/json", refusal->extra,
                 error_body(h1, refusal->text));
    dyno_conn_close_when_sent(&h1->conn);
    h1->request = NULL;
    if ((request == NULL || !request->is_seen) && h1->server->unseen != NULL)
        h1->server->unseen(h1->server, &h1->conn, refusal->status);
    if (request == NULL)
        return;
    request->status = closing.status;
    request->answer_bytes = closing.answer_bytes;
    free_request(request);
}

/* An error of the protocol. */
static void refuse(struct dyno_h1 *h1, int status, const char *text)
{
    const struct dyno_http_refusal refusal = {
        .status = status, .text = text, .extra = status == 503 ? "Retry-After: 1\r\n" : ""};
    refuse_with(h1, &refusal);
}

static void feed(struct dyno_h1 *h1, const char *data, size_t bytes);

/* Back to reading, from what was held first. */
static void next_request(struct dyno_h1 *h1)
{
    h1->state = H1_HEAD;
    http_parser_pause(&h1->parser, 0);
    if (h1->is_feeding)
        return; /* the loop that dispatched goes on */
    char *held = h1->held;
    h1->held = NULL;
    if (held != NULL)
        feed(h1, held, h1->held_bytes);
    dyno_slab_free(slab_of(h1), held);
    if (h1->state != H1_APP && !h1->conn.closed)
        dyno_conn_resume(&h1->conn);
}

void dyno_http_answer(struct dyno_http_request *request, int status, const char *type,
                      const char *extra, struct dyno_seg *body)
{
    struct dyno_h1 *h1 = request->h1;
    if (h1 == NULL) {
        if (body != NULL)
            dyno_seg_destroy(dyno_loop_slab(request->port->loop), body);
        free_request(request);
        return;
    }
    if (request->port->is_draining || h1->conn.peer_ended)
        request->keep_alive = false;
    const bool keep_alive = request->keep_alive;
    h1->request = NULL;
    write_answer(h1, request, status, type, extra, body);
    free_request(request);
    if (keep_alive)
        next_request(h1);
    else
        dyno_conn_close_when_sent(&h1->conn);
}

void dyno_http_drop(struct dyno_http_request *request)
{
    if (request->h1 != NULL) {
        request->h1->request = NULL;
        dyno_conn_close(&request->h1->conn);
    }
    free_request(request);
}

/* --- the parser's callbacks: not 0 stops it --- */

static int on_begin(http_parser *parser)
{
    struct dyno_h1 *h1 = of_parser(parser);
    h1->part = LINE_NONE;
    h1->url_bytes = 0;
    h1->chunk_count = 0;
    h1->request = make_request(h1);
    return h1->request == NULL;
}

static int on_url(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    h1->url_bytes += bytes;
    if (h1->url_bytes > URL_BYTES_MAX) {
        refuse(h1, 414, "the target is too long");
        return 1;
    }
    return !add_head(h1, at, bytes, false);
}

static int too_large(struct dyno_h1 *h1)
{
    refuse(h1, 431, "too many or too large headers");
    return 1;
}

static int on_name(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_http_request *request = h1->request;
    if (h1->state == H1_CHUNK)
        return 0; /* a trailer is no header; the parser bounds how long they are */
    if (h1->part != LINE_NAME) {
        if (request->header_count == DYNO_HTTP_HEADERS_MAX)
            return too_large(h1);
        request->head_bytes++; /* keep the NUL of what stands before */
        request->headers[request->header_count].name = (uint16_t)request->head_bytes;
        h1->part = LINE_NAME;
    }
    return add_head(h1, at, bytes, true) ? 0 : too_large(h1);
}

static int on_value(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_http_request *request = h1->request;
    if (h1->state == H1_CHUNK)
        return 0;
    if (h1->part != LINE_VALUE) {
        request->head_bytes++;
        request->headers[request->header_count++].value = (uint16_t)request->head_bytes;
        h1->part = LINE_VALUE;
    }
    return add_head(h1, at, bytes, false) ? 0 : too_large(h1);
}

static bool split_target(struct dyno_http_request *request)
{
    char *mark = strchr(request->head, '?');
    request->path = request->head;
    if (request->head[0] != '/')
        return false;
    if (mark != NULL) {
        *mark = 0;
        request->query = mark + 1;
    }
    return true;
}

static void take_method(struct dyno_http_request *request, unsigned method)
{
    request->method = method == HTTP_GET    ? DYNO_HTTP_GET
                      : method == HTTP_POST ? DYNO_HTTP_POST
                      : method == HTTP_HEAD ? DYNO_HTTP_HEAD
                                            : DYNO_HTTP_OTHER;
}

/* 1: the parser leaves the body to us. */
static int on_head(http_parser *parser)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_http_request *request = h1->request;
    struct dyno_err err = {0};
    const bool is_chunked = (parser->flags & F_CHUNKED) != 0;
    const bool has_length = (parser->flags & F_CONTENTLENGTH) != 0;
    parser->upgrade = 0; /* no protocol to change to */
    take_method(request, parser->method);
    request->keep_alive = http_should_keep_alive(parser) != 0;
    if (parser->http_major != 1 || (is_chunked && has_length) || !split_target(request)) {
        refuse(h1, 400, "malformed request");
        return -1;
    }
    if (!is_chunked) {
        h1->body_bytes = has_length ? parser->content_length : 0;
        if (dyno_body_expect(&request->body, h1->body_bytes, &err) != DYNO_OK) {
            refuse(h1, 413, "the request body is too large");
            return -1;
        }
    }
    request->is_seen = true;
    h1->server->head(h1->server, request);
    if (request->refusal.status != 0 && (is_chunked || h1->body_bytes > 0)) {
        refuse_with(h1, &request->refusal);
        return -1;
    }
    const char *expect = dyno_http_header(request, "expect");
    if (expect != NULL && (is_chunked || h1->body_bytes > 0)) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        dyno_conn_write(&h1->conn, go_on, sizeof(go_on) - 1);
    }
    h1->state = is_chunked ? H1_CHUNK : H1_BODY;
    return is_chunked ? 0 : 1;
}

static int on_chunk(http_parser *parser)
{
    struct dyno_h1 *h1 = of_parser(parser);
    if (++h1->chunk_count <= DYNO_HTTP_CHUNKS_MAX)
        return 0;
    refuse(h1, 400, "too many chunks");
    return 1;
}

static int on_body(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_body *body = &h1->request->body;
    struct dyno_err err = {0};
    if (dyno_body_add(body, at, bytes, &err) == DYNO_OK)
        return 0;
    if (bytes > body->limit_bytes - body->bytes)
        refuse(h1, 413, "the request body is too large");
    else
        refuse(h1, 503, "the server has too many bytes in flight");
    return 1;
}

static int on_complete(http_parser *parser)
{
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
    .on_chunk_header = on_chunk,
};

/* --- bytes --- */

static void dispatch(struct dyno_h1 *h1)
{
    struct dyno_http_request *request = h1->request;
    h1->state = H1_APP;
    if (request->refusal.status == 0)
        h1->server->request(h1->server, request);
    else
        dyno_http_answer(request, request->refusal.status, "application/json",
                         request->refusal.extra, error_body(h1, request->refusal.text));
}

/* Bytes of a head or of chunks; returns how many were used. */
static size_t parse(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    const size_t used = http_parser_execute(&h1->parser, &settings, data, bytes);
    const enum http_errno code = HTTP_PARSER_ERRNO(&h1->parser);
    if (h1->is_refused)
        return bytes;
    if (code == HPE_PAUSED) {
        if (h1->state == H1_CHUNK || h1->body_bytes == 0)
            dispatch(h1);
        return used;
    }
    if (code != HPE_OK) {
        refuse(h1, code == HPE_HEADER_OVERFLOW ? 431 : 400, "malformed request");
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
        refuse(h1, 503, "the server has too many bytes in flight");
        return bytes;
    }
    if (here == left)
        dispatch(h1);
    return here;
}

static void hold(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    h1->held = dyno_slab_alloc(slab_of(h1), bytes);
    h1->held_bytes = bytes;
    if (h1->held == NULL)
        dyno_conn_close(&h1->conn);
    else
        memcpy(h1->held, data, bytes);
}

static void feed(struct dyno_h1 *h1, const char *data, size_t bytes)
{
    h1->is_feeding = true;
    while (bytes > 0 && h1->state != H1_APP && !h1->is_refused && !h1->conn.closed) {
        const size_t used =
            h1->state == H1_BODY ? take_body(h1, data, bytes) : parse(h1, data, bytes);
        data += used;
        bytes -= used;
    }
    h1->is_feeding = false;
    if (h1->conn.closed || h1->is_refused)
        return;
    if (h1->state == H1_APP) {
        dyno_conn_pause(&h1->conn);
        if (bytes > 0)
            hold(h1, data, bytes);
    }
}

static void input(struct dyno_conn *conn, const char *data, size_t bytes)
{
    feed((struct dyno_h1 *)(void *)conn, data, bytes);
}

/* --- a body straight from the socket --- */

static char *room(struct dyno_conn *conn, size_t *bytes_out)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state != H1_BODY)
        return NULL;
    char *to = dyno_body_room(&h1->request->body, bytes_out);
    if (to == NULL && h1->request->body.bytes == 0) {
        refuse(h1, 503, "the server has too many bytes in flight");
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
    if (h1->state == H1_APP && !conn->closed)
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
        refuse(h1, 503, "the server has too many bytes in flight");
    } else if (!dyno_loop_arm(h1->conn.loop, timer, now_ns + BUDGET_RETRY_NS)) {
        dyno_conn_close(&h1->conn);
    }
}

/* --- the connection --- */

static void ended(struct dyno_conn *conn)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state != H1_APP)
        dyno_conn_close_when_sent(conn);
}

static bool is_late(struct dyno_conn *conn, uint64_t now_ns)
{
    const struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->state == H1_APP)
        return false;
    if (h1->request == NULL)
        return now_ns - conn->active_ns > h1->server->idle_ns;
    const uint64_t for_ns = now_ns - h1->request->start_ns;
    if (h1->state == H1_HEAD)
        return for_ns > HEAD_WAIT_NS;
    const uint64_t bytes = h1->request->body.bytes;
    return for_ns > BODY_WAIT_NS + bytes * (UINT64_C(1000000000) / BODY_BYTES_A_S);
}

static void drain(struct dyno_conn *conn)
{
    const struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    if (h1->request == NULL)
        dyno_conn_close_when_sent(conn);
}

static void closed(struct dyno_conn *conn)
{
    struct dyno_h1 *h1 = (struct dyno_h1 *)(void *)conn;
    struct dyno_slab *slab = slab_of(h1);
    dyno_loop_disarm(conn->loop, &h1->budget_retry);
    if (h1->request != NULL && h1->state == H1_APP) {
        h1->request->h1 = NULL;
        h1->server->gone(h1->server, h1->request);
    } else if (h1->request != NULL) {
        h1->request->h1 = NULL;
        free_request(h1->request);
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
