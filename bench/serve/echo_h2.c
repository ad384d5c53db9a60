/* echo_h2.c - a bare nghttp2 echo server: what the gRPC server is compared with.
 *
 *   gcc -O2 -o echo_h2 echo_h2.c -lnghttp2 -lpthread && ./echo_h2 PORT THREADS
 *
 * Every request is answered with its own body and the trailer grpc-status: 0.  No path is looked
 * at, nothing is parsed; one epoll loop and one SO_REUSEPORT listener a thread.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct stream {
    size_t bytes, sent;
    unsigned char data[4096];
};

struct conn {
    nghttp2_session *session;
    int fd;
};

#define NV(a, b)                                                        \
    {                                                                   \
        (uint8_t *)(a), (uint8_t *)(b), sizeof(a) - 1, sizeof(b) - 1, 0 \
    }

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *stream = source->ptr;
    const nghttp2_nv trailer = NV("grpc-status", "0");
    (void)arg;
    const size_t left = stream->bytes - stream->sent;
    const size_t now = left < room ? left : room;
    memcpy(to, stream->data + stream->sent, now);
    stream->sent += now;
    if (stream->sent == stream->bytes) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, &trailer, 1);
    }
    return (ssize_t)now;
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if (frame->hd.type == NGHTTP2_HEADERS)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                             calloc(1, sizeof(struct stream)));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t bytes, void *arg)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)arg;
    if (stream->bytes + bytes <= sizeof(stream->data)) {
        memcpy(stream->data + stream->bytes, data, bytes);
        stream->bytes += bytes;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    static const nghttp2_nv head[] = {NV(":status", "200"), NV("content-type", "application/grpc")};
    (void)arg;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read};
        nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &provider);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    (void)code;
    (void)arg;
    free(nghttp2_session_get_stream_user_data(session, id));
    return 0;
}

static void flush(struct conn *conn)
{
    static _Thread_local unsigned char out[1 << 18];
    size_t used = 0;
    const uint8_t *data = NULL;
    for (;;) {
        const ssize_t bytes = nghttp2_session_mem_send(conn->session, &data);
        if (bytes <= 0 || used + (size_t)bytes > sizeof(out))
            break;
        memcpy(out + used, data, (size_t)bytes);
        used += (size_t)bytes;
    }
    if (used > 0 && write(conn->fd, out, used) < 0)
        return;
}

static void accept_one(int ep, int listener, nghttp2_session_callbacks *callbacks)
{
    const int on = 1;
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct conn *conn = calloc(1, sizeof(*conn));
    conn->fd = fd;
    nghttp2_session_server_new(&conn->session, callbacks, conn);
    nghttp2_submit_settings(conn->session, 0, NULL, 0);
    flush(conn);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

static void *serve(void *arg)
{
    static _Thread_local unsigned char buffer[1 << 17];
    const int on = 1;
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*(uint16_t *)arg)};
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int ep = epoll_create1(0);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
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
                accept_one(ep, listener, callbacks);
                continue;
            }
            const ssize_t bytes = read(conn->fd, buffer, sizeof(buffer));
            if (bytes <= 0 ||
                nghttp2_session_mem_recv(conn->session, buffer, (size_t)bytes) != bytes) {
                nghttp2_session_del(conn->session);
                close(conn->fd);
                free(conn);
                continue;
            }
            flush(conn);
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
