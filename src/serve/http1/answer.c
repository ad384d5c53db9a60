/* answer.c - answers, and refusals of what is no request. */
#include <stdio.h>
#include <string.h>

#include "serve/http1/internal.h"

#define HEAD_OUT_BYTES 1024 /* of an answer */

/* --- heads --- */

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

/* --- answers --- */

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
        dyno_seg_destroy(dyno_h1_slab(h1), body);
}

struct dyno_seg *dyno_h1_error_body(struct dyno_h1 *h1, const char *text)
{
    char body[512];
    const int bytes = snprintf(body, sizeof(body), "{\"error\":\"%s\"}", text);
    struct dyno_seg *seg = dyno_seg_create(dyno_h1_slab(h1), DYNO_HTTP_HEAD_ROOM + sizeof(body));
    if (seg == NULL || bytes < 0 || (size_t)bytes >= sizeof(body))
        return seg;
    seg->begin = DYNO_HTTP_HEAD_ROOM;
    seg->end = seg->begin + (size_t)bytes;
    memcpy(seg->data + seg->begin, body, (size_t)bytes);
    return seg;
}

void dyno_h1_refuse_with(struct dyno_h1 *h1, const struct dyno_http_refusal *refusal)
{
    struct dyno_http_request *request = h1->request;
    if (h1->is_refused)
        return;
    h1->is_refused = true;
    dyno_loop_disarm(h1->conn.loop, &h1->budget_retry);
    struct dyno_http_request closing = {.method = DYNO_HTTP_GET,
                                        .extra = request != NULL ? request->extra : NULL};
    write_answer(h1, &closing, refusal->status, "application/json", refusal->extra,
                 dyno_h1_error_body(h1, refusal->text));
    dyno_conn_close_when_sent(&h1->conn);
    h1->request = NULL;
    if ((request == NULL || !request->is_seen) && h1->server->unseen != NULL)
        h1->server->unseen(h1->server, &h1->conn, refusal->status);
    if (request == NULL)
        return;
    request->status = closing.status;
    request->answer_bytes = closing.answer_bytes;
    dyno_h1_free_request(request);
}

void dyno_h1_refuse(struct dyno_h1 *h1, int status, const char *text)
{
    const struct dyno_http_refusal refusal = {
        .status = status, .text = text, .extra = status == 503 ? "Retry-After: 1\r\n" : ""};
    dyno_h1_refuse_with(h1, &refusal);
}

struct dyno_conn *dyno_http_hold(struct dyno_http_request *request, struct dyno_hold *hold,
                                 uint64_t waits_for)
{
    if (request->h1 == NULL)
        return NULL;
    dyno_conn_hold(&request->h1->conn, hold, waits_for);
    return &request->h1->conn;
}

void dyno_http_answer(struct dyno_http_request *request, int status, const char *type,
                      const char *extra, struct dyno_seg *body)
{
    struct dyno_h1 *h1 = request->h1;
    if (h1 == NULL) {
        if (body != NULL)
            dyno_seg_destroy(dyno_loop_slab(request->port->loop), body);
        dyno_h1_free_request(request);
        return;
    }
    if (request->port->is_draining || h1->conn.peer_ended)
        request->keep_alive = false;
    const bool keep_alive = request->keep_alive;
    h1->request = NULL;
    write_answer(h1, request, status, type, extra, body);
    dyno_h1_free_request(request);
    if (keep_alive)
        dyno_h1_next_request(h1);
    else
        dyno_conn_close_when_sent(&h1->conn);
}

void dyno_http_drop(struct dyno_http_request *request)
{
    if (request->h1 != NULL) {
        request->h1->request = NULL;
        dyno_conn_close(&request->h1->conn);
    }
    dyno_h1_free_request(request);
}
