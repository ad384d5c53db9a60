/* echo_h1.c - a bare HTTP/1.1 echo server on http-parser: what the HTTP server is compared with.
 *
 *   gcc -O2 -o echo_h1 echo_h1.c -lhttp_parser -lpthread && ./echo_h1 PORT THREADS
 *
 * Every request is answered with its own body.  Headers are parsed and forgotten; one epoll loop
 * and one SO_REUSEPORT listener a thread.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <http_parser.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

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

static int on_text(http_parser *parser, const char *at, size_t bytes)
{
    (void)parser;
    (void)at;
    (void)bytes;
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

static int on_complete(http_parser *parser)
{
    const struct conn *conn = parser->data;
    char out[sizeof(conn->body) + 256];
    const int head = snprintf(out, 256,
                              "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              conn->body_bytes);
    memcpy(out + head, conn->body, conn->body_bytes);
    return write(conn->fd, out, (size_t)head + conn->body_bytes) < 0;
}

static const http_parser_settings settings = {.on_message_begin = on_begin,
                                              .on_url = on_text,
                                              .on_header_field = on_text,
                                              .on_header_value = on_text,
                                              .on_body = on_body,
                                              .on_message_complete = on_complete};

static void accept_one(int ep, int listener)
{
    const int on = 1;
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct conn *conn = calloc(1, sizeof(*conn));
    conn->fd = fd;
    http_parser_init(&conn->parser, HTTP_REQUEST);
    conn->parser.data = conn;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

static void *serve(void *arg)
{
    static _Thread_local char buffer[1 << 16];
    const int on = 1;
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*(uint16_t *)arg)};
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int ep = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(listener, (const void *)&at, sizeof(at)) != 0 || listen(listener, 1024) != 0)
        abort();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event got[64];
        const int count = epoll_wait(ep, got, 64, -1);
        for (int i = 0; i < count; i++) {
            struct conn *conn = got[i].data.ptr;
            if (conn == NULL) {
                accept_one(ep, listener);
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
    return NULL;
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)atoi(argv[1]) : 9000;
    const int threads = argc > 2 ? atoi(argv[2]) : 2;
    pthread_t thread;
    for (int i = 1; i < threads; i++)
        pthread_create(&thread, NULL, serve, &port);
    serve(&port);
    return 0;
}
