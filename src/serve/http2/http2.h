/* http2.h - HTTP/2 over a connection: sessions of nghttp2, their streams, limits.
 *
 * Knows nothing of what streams carry.  A stream is embedded in what the user of this module makes
 * (stream_bytes, the stream first).  All on the loop's thread.
 */
#ifndef DYNO_SERVE_HTTP2_HTTP2_H
#define DYNO_SERVE_HTTP2_HTTP2_H

#include "serve/net/port.h"

#define DYNO_H2_STREAMS_MAX    256
#define DYNO_H2_HEAD_BYTES_MAX 16384 /* of one stream, names and values */
#define DYNO_H2_WINDOW_BYTES   (1024 * 1024)
#define DYNO_H2_SESSION_BYTES  (16 * 1024 * 1024)

#define DYNO_H2_TRAILERS_MAX 5

struct dyno_h2;

struct dyno_h2_stream {
    struct dyno_h2 *h2; /* NULL: closed */
    struct dyno_port *port;
    struct dyno_h2_stream *next, *prev; /* open ones of the connection */
    int32_t id;
    uint32_t head_bytes;
    size_t held_bytes; /* of its window, not given back yet */
    bool is_ended;     /* the client sends no more */
};

struct dyno_h2_field {
    const char *name, *value; /* not NUL-terminated */
    size_t name_bytes, value_bytes;
};

/* What the ports have as `owner`. */
struct dyno_h2_server {
    void *app;
    size_t stream_bytes;
    uint64_t idle_ns; /* a connection without streams */
    /* A stream's memory is zeroed and its stream set. */
    void (*header)(struct dyno_h2_stream *stream, const struct dyno_h2_field *field);
    void (*head)(struct dyno_h2_stream *stream); /* all headers came */
    void (*data)(struct dyno_h2_stream *stream, const char *data, size_t bytes);
    void (*end)(struct dyno_h2_stream *stream); /* the client sends no more */
    /* Copy up to `bytes` of output to `to`. */
    void (*take)(struct dyno_h2_stream *stream, char *to, size_t bytes);
    /* How much output there is now; *last_out: and no more after it. */
    size_t (*ready)(struct dyno_h2_stream *stream, bool *last_out);
    /* After the last output: up to DYNO_H2_TRAILERS_MAX fields, copied; returns how many. */
    size_t (*trailers)(struct dyno_h2_stream *stream, struct dyno_h2_field *fields_out);
    /* The stream is over, whatever way; h2 is NULL.  Its memory belongs to the user now. */
    void (*closed)(struct dyno_h2_stream *stream);
    struct dyno_budget *budget; /* windows are given back while 1/8 of it is left */
};

bool dyno_http2_accept(struct dyno_port *port, int fd); /* a dyno_accept_fn */

/* Who opened the stream; its h2 is not NULL. */
const struct dyno_peer *dyno_h2_peer(const struct dyno_h2_stream *stream);

/* What it is told from now on waits in its connection; NULL where the stream is closed. */
struct dyno_conn *dyno_h2_hold(struct dyno_h2_stream *stream, struct dyno_hold *hold,
                               uint64_t waits_for);

/* Headers (copied), then output as `ready` has it, then the trailers. */
void dyno_h2_respond(struct dyno_h2_stream *stream, const struct dyno_h2_field *fields,
                     size_t count);
/* The same with headers only: the stream ends with them. */
void dyno_h2_respond_only(struct dyno_h2_stream *stream, const struct dyno_h2_field *fields,
                          size_t count);
/* There is output again, or there will be no more. */
void dyno_h2_wake(struct dyno_h2_stream *stream);
/* The bytes of `data` that were used up: the client may send as many again. */
void dyno_h2_consumed(struct dyno_h2_stream *stream, size_t bytes);
void dyno_h2_free(struct dyno_h2_stream *stream); /* the memory, after `closed` */

#endif /* DYNO_SERVE_HTTP2_HTTP2_H */
