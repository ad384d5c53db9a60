/* head.c - what http-parser says of a request becomes one. */
#include <string.h>

#include "serve/http1/internal.h"

#define URL_BYTES_MAX    8192
#define HEAD_FIRST_BYTES 512

static struct dyno_h1 *of_parser(http_parser *parser)
{
    return (struct dyno_h1 *)(void *)((char *)parser - offsetof(struct dyno_h1, parser));
}

/* --- requests --- */

static struct dyno_http_request *make_request(struct dyno_h1 *h1)
{
    struct dyno_http_request *request =
        dyno_slab_zalloc(dyno_h1_slab(h1), h1->server->request_bytes);
    if (request == NULL)
        return NULL;
    request->h1 = h1;
    request->port = h1->conn.port;
    request->start_ns = dyno_loop_now_ns(h1->conn.loop);
    dyno_body_init(&request->body, h1->server->budget, h1->server->body_bytes_max);
    return request;
}

void dyno_h1_free_request(struct dyno_http_request *request)
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
        char *moved = dyno_slab_realloc(dyno_h1_slab(h1), request->head, room);
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

/* --- the parser's callbacks: not 0 stops it --- */

static int on_begin(http_parser *parser)
{
    struct dyno_h1 *h1 = of_parser(parser);
    h1->part = DYNO_H1_NONE;
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
        dyno_h1_refuse(h1, 414, "the target is too long");
        return 1;
    }
    return !add_head(h1, at, bytes, false);
}

static int too_large(struct dyno_h1 *h1)
{
    dyno_h1_refuse(h1, 431, "too many or too large headers");
    return 1;
}

static int on_name(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_http_request *request = h1->request;
    if (h1->state == DYNO_H1_CHUNK)
        return 0; /* a trailer is no header; the parser bounds how long they are */
    if (h1->part != DYNO_H1_NAME) {
        if (request->header_count == DYNO_HTTP_HEADERS_MAX)
            return too_large(h1);
        request->head_bytes++; /* keep the NUL of what stands before */
        request->headers[request->header_count].name = (uint16_t)request->head_bytes;
        h1->part = DYNO_H1_NAME;
    }
    return add_head(h1, at, bytes, true) ? 0 : too_large(h1);
}

static int on_value(http_parser *parser, const char *at, size_t bytes)
{
    struct dyno_h1 *h1 = of_parser(parser);
    struct dyno_http_request *request = h1->request;
    if (h1->state == DYNO_H1_CHUNK)
        return 0;
    if (h1->part != DYNO_H1_VALUE) {
        request->head_bytes++;
        request->headers[request->header_count++].value = (uint16_t)request->head_bytes;
        h1->part = DYNO_H1_VALUE;
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
        dyno_h1_refuse(h1, 400, "malformed request");
        return -1;
    }
    if (!is_chunked) {
        h1->body_bytes = has_length ? parser->content_length : 0;
        if (dyno_body_expect(&request->body, h1->body_bytes, &err) != DYNO_OK) {
            dyno_h1_refuse(h1, 413, "the request body is too large");
            return -1;
        }
    }
    request->is_seen = true;
    h1->server->head(h1->server, request);
    if (request->refusal.status != 0 && (is_chunked || h1->body_bytes > 0)) {
        dyno_h1_refuse_with(h1, &request->refusal);
        return -1;
    }
    const char *expect = dyno_http_header(request, "expect");
    if (expect != NULL && (is_chunked || h1->body_bytes > 0)) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        dyno_conn_write(&h1->conn, go_on, sizeof(go_on) - 1);
    }
    h1->state = is_chunked ? DYNO_H1_CHUNK : DYNO_H1_BODY;
    return is_chunked ? 0 : 1;
}

static int on_chunk(http_parser *parser)
{
    struct dyno_h1 *h1 = of_parser(parser);
    if (++h1->chunk_count <= DYNO_HTTP_CHUNKS_MAX)
        return 0;
    dyno_h1_refuse(h1, 400, "too many chunks");
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
        dyno_h1_refuse(h1, 413, "the request body is too large");
    else
        dyno_h1_refuse(h1, 503, "the server has too many bytes in flight");
    return 1;
}

static int on_complete(http_parser *parser)
{
    http_parser_pause(parser, 1);
    return 0;
}

const http_parser_settings dyno_h1_parsing = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
    .on_chunk_header = on_chunk,
};
