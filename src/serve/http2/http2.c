/* http2.c - nghttp2 in the middle: bytes in, callbacks, frames out. */
#include "serve/http2/http2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#define WINDOW_RETRY_NS UINT64_C(5000000)
#define FRAME_BYTES     ((size_t)256 * 1024) /* of a DATA frame that is sent */
#define FIELDS_MAX      8

struct dyno_h2 {
    struct dyno_conn conn;
    struct dyno_timer window_retry;
    nghttp2_session *session;
    struct dyno_h2_server *server;
    struct dyno_h2_stream *streams;
    size_t held_bytes; /* of all streams' windows */
    bool is_draining, sent_goaway;
};

static struct dyno_h2 *of_conn(struct dyno_conn *conn)
{
    return (struct dyno_h2 *)(void *)conn; /* its first member */
}

/* --- nghttp2's memory: the loop's slab --- */

static void *mem_malloc(size_t bytes, void *slab)
{
    return dyno_slab_alloc(slab, bytes);
}
static void mem_free(void *ptr, void *slab)
{
    dyno_slab_free(slab, ptr);
}
static void *mem_calloc(size_t count, size_t bytes, void *slab)
{
    size_t total = 0;
    return __builtin_mul_overflow(count, bytes, &total) ? NULL : dyno_slab_zalloc(slab, total);
}
static void *mem_realloc(void *ptr, size_t bytes, void *slab)
{
    return dyno_slab_realloc(slab, ptr, bytes);
}

/* --- what nghttp2 says --- */

static struct dyno_h2_stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct dyno_h2 *h2 = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct dyno_h2_stream *stream =
        dyno_slab_zalloc(dyno_loop_slab(h2->conn.loop), h2->server->stream_bytes);
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->h2 = h2;
    stream->port = h2->conn.port;
    stream->id = frame->hd.stream_id;
    stream->next = h2->streams;
    if (h2->streams != NULL)
        h2->streams->prev = stream;
    h2->streams = stream;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

/* Hand a stream that is over to its user. */
static void let_go(struct dyno_h2 *h2, struct dyno_h2_stream *stream)
{
    if (stream->prev != NULL)
        stream->prev->next = stream->next;
    else
        h2->streams = stream->next;
    if (stream->next != NULL)
        stream->next->prev = stream->prev;
    h2->held_bytes -= stream->held_bytes;
    stream->h2 = NULL;
    h2->server->closed(stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *arg)
{
    struct dyno_h2 *h2 = arg;
    struct dyno_h2_stream *stream = find(session, frame->hd.stream_id);
    (void)flags;
    if (stream == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    /* As HPACK counts; a bomb of references to one long entry is stopped here. */
    if (name_bytes + value_bytes + 32 > DYNO_H2_HEAD_BYTES_MAX - stream->head_bytes)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->head_bytes += (uint32_t)(name_bytes + value_bytes + 32);
    const struct dyno_h2_field field = {.name = (const char *)name,
                                        .name_bytes = name_bytes,
                                        .value = (const char *)value,
                                        .value_bytes = value_bytes};
    h2->server->header(stream, &field);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct dyno_h2 *h2 = arg;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct dyno_h2_stream *stream = find(session, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2->server->head(stream);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && stream->h2 != NULL) {
        stream->is_ended = true;
        h2->server->end(stream);
    }
    return 0;
}

/* The stream's last frame is out.  A client that still sends is told that nobody listens; earlier,
 * nghttp2 would have dropped the answer. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    const struct dyno_h2_stream *stream = find(session, frame->hd.stream_id);
    (void)arg;
    if (frame->hd.type != NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
        stream == NULL || stream->is_ended)
        return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t bytes, void *arg)
{
    struct dyno_h2 *h2 = arg;
    struct dyno_h2_stream *stream = find(session, id);
    (void)flags;
    if (nghttp2_session_consume_connection(session, bytes) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream != NULL)
        h2->server->data(stream, (const char *)data, bytes);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct dyno_h2 *h2 = arg;
    struct dyno_h2_stream *stream = find(session, id);
    (void)code;
    if (stream != NULL)
        let_go(h2, stream);
    return 0;
}

/* --- output --- */

static ssize_t read_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_room,
                           int32_t stream_room, uint32_t frame_max, void *arg)
{
    (void)session;
    (void)type;
    (void)id;
    (void)arg;
    const int32_t window = session_room < stream_room ? session_room : stream_room;
    size_t bytes = window > 0 ? (size_t)window : 0;
    bytes = bytes < frame_max ? bytes : frame_max;
    return (ssize_t)(bytes < FRAME_BYTES ? bytes : FRAME_BYTES);
}

static void to_nv(const struct dyno_h2_field *fields, size_t count, nghttp2_nv *nv)
{
    DYNO_ASSERT(count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        nv[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)fields[i].name,
                             .namelen = fields[i].name_bytes,
                             .value = (uint8_t *)(uintptr_t)fields[i].value,
                             .valuelen = fields[i].value_bytes};
}

/* Only here: trailers that are submitted earlier would overtake the data. */
static bool submit_trailers(struct dyno_h2 *h2, struct dyno_h2_stream *stream)
{
    struct dyno_h2_field fields[DYNO_H2_TRAILERS_MAX];
    nghttp2_nv nv[FIELDS_MAX];
    const size_t count = h2->server->trailers(stream, fields);
    to_nv(fields, count, nv);
    return nghttp2_submit_trailer(h2->session, stream->id, nv, count) == 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct dyno_h2 *h2 = arg;
    struct dyno_h2_stream *stream = source->ptr;
    bool is_last = false;
    (void)session;
    (void)id;
    (void)buffer;
    const size_t bytes = h2->server->ready(stream, &is_last);
    if (bytes == 0 && !is_last)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes <= room && is_last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (!submit_trailers(h2, stream))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)(bytes < room ? bytes : room);
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t bytes, nghttp2_data_source *source, void *arg)
{
    struct dyno_h2 *h2 = arg;
    const size_t head_bytes = 9;
    (void)session;
    (void)frame;
    char *to = dyno_conn_reserve(&h2->conn, head_bytes + bytes);
    if (to == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to, head, head_bytes);
    h2->server->take(source->ptr, to + head_bytes, bytes);
    dyno_conn_commit(&h2->conn, head_bytes + bytes);
    return 0;
}

static void produce(struct dyno_conn *conn)
{
    struct dyno_h2 *h2 = of_conn(conn);
    const size_t before = conn->out_bytes;
    while (conn->out_bytes - before < FRAME_BYTES) {
        const uint8_t *data = NULL;
        const size_t sent = conn->out_bytes;
        const ssize_t bytes = nghttp2_session_mem_send(h2->session, &data);
        if (bytes < 0) {
            dyno_conn_close(conn);
            return;
        }
        if (bytes > 0)
            dyno_conn_write(conn, data, (size_t)bytes);
        if (conn->closed || conn->out_bytes == sent)
            break;
    }
    if (!conn->closed && nghttp2_session_want_read(h2->session) == 0 &&
        nghttp2_session_want_write(h2->session) == 0)
        dyno_conn_close_when_sent(conn);
}

static void respond(struct dyno_h2_stream *stream, const struct dyno_h2_field *fields, size_t count,
                    const nghttp2_data_provider *provider)
{
    nghttp2_nv nv[FIELDS_MAX];
    struct dyno_h2 *h2 = stream->h2;
    if (h2 == NULL)
        return;
    to_nv(fields, count, nv);
    if (nghttp2_submit_response(h2->session, stream->id, nv, count, provider) != 0)
        dyno_conn_close(&h2->conn);
    dyno_conn_wake(&h2->conn);
}

void dyno_h2_respond(struct dyno_h2_stream *stream, const struct dyno_h2_field *fields,
                     size_t count)
{
    const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_data};
    respond(stream, fields, count, &provider);
}

void dyno_h2_respond_only(struct dyno_h2_stream *stream, const struct dyno_h2_field *fields,
                          size_t count)
{
    respond(stream, fields, count, NULL);
}

void dyno_h2_wake(struct dyno_h2_stream *stream)
{
    if (stream->h2 == NULL)
        return;
    (void)nghttp2_session_resume_data(stream->h2->session, stream->id); /* not deferred: fine */
    dyno_conn_wake(&stream->h2->conn);
}

const struct dyno_peer *dyno_h2_peer(const struct dyno_h2_stream *stream)
{
    return &stream->h2->conn.peer;
}

/* Frames are made at the end of the turn: those of streams that were answered before wait, too. */
struct dyno_conn *dyno_h2_hold(struct dyno_h2_stream *stream, struct dyno_hold *hold,
                               uint64_t waits_for)
{
    if (stream->h2 == NULL)
        return NULL;
    dyno_conn_hold(&stream->h2->conn, hold, waits_for);
    return &stream->h2->conn;
}

void dyno_h2_free(struct dyno_h2_stream *stream)
{
    dyno_slab_free(dyno_loop_slab(stream->port->loop), stream);
}

/* --- windows come out of the budget --- */

static bool budget_is_tight(const struct dyno_h2 *h2)
{
    const struct dyno_budget *budget = h2->server->budget;
    return atomic_load_explicit(&budget->used_bytes, memory_order_relaxed) >
           budget->limit_bytes - budget->limit_bytes / 8;
}

static void give_window(struct dyno_h2 *h2, struct dyno_h2_stream *stream)
{
    if (stream->held_bytes == 0)
        return;
    (void)nghttp2_session_consume_stream(h2->session, stream->id, stream->held_bytes);
    h2->held_bytes -= stream->held_bytes;
    stream->held_bytes = 0;
}

static void retry_windows(struct dyno_timer *timer)
{
    struct dyno_h2 *h2 =
        (struct dyno_h2 *)(void *)((char *)timer - offsetof(struct dyno_h2, window_retry));
    if (h2->held_bytes == 0)
        return;
    if (!budget_is_tight(h2)) {
        for (struct dyno_h2_stream *stream = h2->streams; stream != NULL; stream = stream->next)
            give_window(h2, stream);
        dyno_conn_wake(&h2->conn);
    } else if (!dyno_loop_arm(h2->conn.loop, timer,
                              dyno_loop_now_ns(h2->conn.loop) + WINDOW_RETRY_NS)) {
        dyno_conn_close(&h2->conn);
    }
}

void dyno_h2_consumed(struct dyno_h2_stream *stream, size_t bytes)
{
    struct dyno_h2 *h2 = stream->h2;
    if (h2 == NULL)
        return;
    stream->held_bytes += bytes;
    h2->held_bytes += bytes;
    if (!budget_is_tight(h2))
        give_window(h2, stream);
    else if (h2->window_retry.heap_idx == 0 &&
             !dyno_loop_arm(h2->conn.loop, &h2->window_retry,
                            dyno_loop_now_ns(h2->conn.loop) + WINDOW_RETRY_NS))
        dyno_conn_close(&h2->conn);
}

/* --- the connection --- */

static void input(struct dyno_conn *conn, const char *data, size_t bytes)
{
    struct dyno_h2 *h2 = of_conn(conn);
    const ssize_t used =
        nghttp2_session_mem_recv(h2->session, (const uint8_t *)(const void *)data, bytes);
    if (used < 0 || (size_t)used != bytes)
        dyno_conn_close_when_sent(conn); /* a GOAWAY with the reason may be waiting */
    dyno_conn_wake(conn);
}

static void ended(struct dyno_conn *conn)
{
    dyno_conn_close(conn); /* HTTP/2 has no half-closed connections */
}

static bool is_late(struct dyno_conn *conn, uint64_t now_ns)
{
    struct dyno_h2 *h2 = of_conn(conn);
    if (h2->is_draining && !h2->sent_goaway) {
        h2->sent_goaway = true;
        (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(h2->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        dyno_conn_wake(conn);
    }
    return h2->streams == NULL && now_ns - conn->active_ns > h2->server->idle_ns;
}

/* First a notice that takes back nothing, so that no request that is on its way is lost; the next
 * sweep draws the line. */
static void drain(struct dyno_conn *conn)
{
    struct dyno_h2 *h2 = of_conn(conn);
    h2->is_draining = true;
    (void)nghttp2_submit_shutdown_notice(h2->session);
    dyno_conn_wake(conn);
}

static void closed(struct dyno_conn *conn)
{
    struct dyno_h2 *h2 = of_conn(conn);
    struct dyno_slab *slab = dyno_loop_slab(conn->loop);
    dyno_loop_disarm(conn->loop, &h2->window_retry);
    while (h2->streams != NULL)
        let_go(h2, h2->streams);
    nghttp2_session_del(h2->session);
    dyno_slab_free(slab, h2);
}

static const struct dyno_conn_ops ops = {.input = input,
                                         .produce = produce,
                                         .ended = ended,
                                         .is_late = is_late,
                                         .drain = drain,
                                         .closed = closed};

/* --- sessions --- */

static int make_session(struct dyno_h2 *h2, nghttp2_session_callbacks *callbacks,
                        nghttp2_option *option)
{
    nghttp2_mem mem = {.mem_user_data = dyno_loop_slab(h2->conn.loop),
                       .malloc = mem_malloc,
                       .free = mem_free,
                       .calloc = mem_calloc,
                       .realloc = mem_realloc};
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, read_length);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1); /* 200 bytes each, for priorities of old */
    nghttp2_option_set_max_outbound_ack(option, 256);
    nghttp2_option_set_max_settings(option, 16);
    nghttp2_option_set_stream_reset_rate_limit(option, 1000, 100);
    return nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem);
}

static int begin_session(struct dyno_h2 *h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, DYNO_H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, DYNO_H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, DYNO_H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, DYNO_H2_HEAD_BYTES_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int code = nghttp2_session_callbacks_new(&callbacks);
    if (code == 0)
        code = nghttp2_option_new(&option);
    if (code == 0)
        code = make_session(h2, callbacks, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (code == 0)
        code =
            nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, DYNO_COUNT(settings));
    if (code == 0)
        code = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                     DYNO_H2_SESSION_BYTES);
    return code;
}

bool dyno_http2_accept(struct dyno_port *port, int fd)
{
    struct dyno_err err = {0};
    struct dyno_slab *slab = dyno_loop_slab(port->loop);
    struct dyno_h2 *h2 = dyno_slab_zalloc(slab, sizeof(*h2));
    if (h2 == NULL)
        return false;
    h2->server = port->owner;
    h2->conn.loop = port->loop;
    h2->window_retry.fire = retry_windows;
    if (begin_session(h2) == 0 && dyno_conn_open(&h2->conn, port, fd, &ops, &err) == DYNO_OK) {
        dyno_conn_wake(&h2->conn);
        return true;
    }
    nghttp2_session_del(h2->session);
    dyno_slab_free(slab, h2);
    return false;
}
