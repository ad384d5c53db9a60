/* http.c - the same echo server over three HTTP/1.1 libraries, one thread each, for wrk.
 *
 *   gcc -O2 -o http http.c -lhttp_parser -lmicrohttpd -levent && ./http PORT
 * parser|microhttpd|evhttp
 *
 * The answer is the request's body.  This file decides between libraries
 * (docs/decisions/0011-serving-libraries.md); nothing of it is in Dyno.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <http_parser.h>
#include <microhttpd.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* --- http-parser on epoll --- */

struct conn {
    http_parser parser;
    int fd;
    size_t body_bytes;
    char body[4096];
};

static int on_begin(http_parser *parser)
{
    ((struct conn *)parser->data)->body_bytes = 0;
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t bytes)
{
    struct conn *conn = parser->data;
    if (conn->body_bytes + bytes > sizeof(conn->body))
        return 1;
    memcpy(conn->body + conn->body_bytes, at, bytes);
    conn->body_bytes += bytes;
    return 0;
}

static int on_header(http_parser *parser, const char *at, size_t bytes)
{
    (void)parser;
    (void)at;
    (void)bytes;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct conn *conn = parser->data;
    char out[4600];
    const int head = snprintf(out, sizeof(out),
                              "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              conn->body_bytes);
    memcpy(out + head, conn->body, conn->body_bytes);
    return write(conn->fd, out, (size_t)head + conn->body_bytes) < 0;
}

static const http_parser_settings settings = {.on_message_begin = on_begin,
                                              .on_url = on_header,
                                              .on_header_field = on_header,
                                              .on_header_value = on_header,
                                              .on_body = on_body,
                                              .on_message_complete = on_complete};

static int listen_on(int port)
{
    const int on = 1;
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const void *)&at, sizeof(at)) != 0 || listen(fd, 1024) != 0)
        abort();
    return fd;
}

static void serve_parser(int port)
{
    static char buffer[65536];
    const int ep = epoll_create1(0);
    const int listener = listen_on(port);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        struct epoll_event got[64];
        const int count = epoll_wait(ep, got, 64, -1);
        for (int i = 0; i < count; i++) {
            struct conn *conn = got[i].data.ptr;
            if (conn == NULL) {
                const int on = 1;
                const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0)
                    continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                conn = calloc(1, sizeof(*conn));
                conn->fd = fd;
                http_parser_init(&conn->parser, HTTP_REQUEST);
                conn->parser.data = conn;
                ev = (struct epoll_event){.events = EPOLLIN, .data.ptr = conn};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                continue;
            }
            const ssize_t bytes = read(conn->fd, buffer, sizeof(buffer));
            if (bytes <= 0 || http_parser_execute(&conn->parser, &settings, buffer,
                                                  (size_t)bytes) != (size_t)bytes) {
                close(conn->fd);
                free(conn);
            }
        }
    }
}

/* --- libmicrohttpd --- */

struct body {
    size_t bytes;
    char data[4096];
};

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *bytes, void **state)
{
    (void)arg;
    (void)url;
    (void)method;
    (void)version;
    struct body *body = *state;
    if (body == NULL) {
        *state = calloc(1, sizeof(*body));
        return MHD_YES;
    }
    if (*bytes != 0) {
        if (body->bytes + *bytes > sizeof(body->data))
            return MHD_NO;
        memcpy(body->data + body->bytes, data, *bytes);
        body->bytes += *bytes;
        *bytes = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->bytes, body->data, MHD_RESPMEM_MUST_COPY);
    const enum MHD_Result ok = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return ok;
}

static void completed(void *arg, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    (void)arg;
    (void)connection;
    (void)code;
    free(*state);
}

static void serve_microhttpd(int port)
{
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, (uint16_t)port, NULL, NULL,
                         answer, NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                         MHD_OPTION_CONNECTION_LIMIT, 1000U, MHD_OPTION_END);
    if (daemon == NULL)
        abort();
    for (;;)
        pause();
}

/* --- libevent's evhttp --- */

static void on_request(struct evhttp_request *request, void *arg)
{
    (void)arg;
    struct evbuffer *out = evbuffer_new();
    evbuffer_add_buffer(out, evhttp_request_get_input_buffer(request));
    evhttp_send_reply(request, 200, "OK", out);
    evbuffer_free(out);
}

static void serve_evhttp(int port)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    evhttp_set_gencb(http, on_request, NULL);
    if (evhttp_bind_socket(http, "0.0.0.0", (uint16_t)port) != 0)
        abort();
    event_base_dispatch(base);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    const int port = atoi(argv[1]);
    if (strcmp(argv[2], "parser") == 0)
        serve_parser(port);
    else if (strcmp(argv[2], "microhttpd") == 0)
        serve_microhttpd(port);
    else
        serve_evhttp(port);
    return 0;
}
