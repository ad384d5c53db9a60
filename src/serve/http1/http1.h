/* http1.h - HTTP/1.1 over a connection: one request at a time in, its answer out.
 *
 * A request is embedded in what the application makes of it (request_bytes, the request first).  It
 * belongs to the application from `request` on, until it calls dyno_http_answer or dyno_http_drop,
 * once.  When the client goes first, `gone` is called; the application still has to answer or drop
 * (an answer then goes nowhere).  All on the loop's thread.
 */
#ifndef DYNO_SERVE_HTTP1_HTTP1_H
#define DYNO_SERVE_HTTP1_HTTP1_H

#include "serve/net/body.h"
#include "serve/net/port.h"

#define DYNO_HTTP_HEADERS_MAX    64
#define DYNO_HTTP_HEAD_BYTES_MAX 32768 /* request line and headers */
#define DYNO_HTTP_CHUNKS_MAX     65536
#define DYNO_HTTP_HEAD_ROOM      512 /* to leave before the body of an answer */

struct dyno_h1;

enum dyno_http_method {
    DYNO_HTTP_GET,
    DYNO_HTTP_POST,
    DYNO_HTTP_HEAD,
    DYNO_HTTP_OTHER,
};

struct dyno_http_header {
    uint16_t name, value; /* offsets in `head`; names in lower case, both NUL-terminated */
};

/* An answer that is known once the head is: the body is not read for it. */
struct dyno_http_refusal {
    int status;        /* 0: none */
    const char *text;  /* of {"error": text}; nothing in it needs an escape; lives as the request */
    const char *extra; /* whole header lines, or "" */
};

struct dyno_http_request {
    struct dyno_h1 *h1; /* NULL: the client has gone */
    struct dyno_port *port;
    enum dyno_http_method method;
    bool keep_alive;
    const char *path;  /* percent-encoded, NUL-terminated */
    const char *query; /* after the ?, NULL: none */
    char *head;        /* the application may cut the path in place */
    size_t head_bytes, head_room;
    struct dyno_http_header headers[DYNO_HTTP_HEADERS_MAX];
    size_t header_count;
    struct dyno_http_refusal refusal; /* the application's, set by `head` */
    const char *extra;                /* the application's: header lines of any answer, or NULL */
    int status;                       /* that was answered; 0: none */
    size_t answer_bytes;              /* of the body */
    bool is_seen;                     /* `head` was called */
    struct dyno_body body;
    uint64_t start_ns; /* when its first byte came */
};

/* What the protocol's ports have as `owner`. */
struct dyno_http_server {
    void *app;
    size_t request_bytes; /* zeroed memory of a request */
    /* The head is there, of the body nothing is read; sets `refusal` when nothing shall be. */
    void (*head)(struct dyno_http_server *server, struct dyno_http_request *request);
    void (*request)(struct dyno_http_server *server, struct dyno_http_request *request);
    void (*gone)(struct dyno_http_server *server, struct dyno_http_request *request);
    /* Its memory goes: let go of what the application attached.  After `head`, in any case; h1 is
     * NULL when the client has gone. */
    void (*over)(struct dyno_http_server *server, struct dyno_http_request *request);
    /* May be NULL.  A request was refused before its head was whole. */
    void (*unseen)(struct dyno_http_server *server, const struct dyno_conn *conn, int status);
    struct dyno_budget *budget;
    size_t body_bytes_max;
    uint64_t idle_ns; /* a kept connection without a request */
};

/* A dyno_accept_fn: the port's owner is a struct dyno_http_server. */
bool dyno_http1_accept(struct dyno_port *port, int fd);

/* Who sent it; h1 is not NULL. */
const struct dyno_peer *dyno_http_peer(const struct dyno_http_request *request);

/* The value of a header by its lower-case name; NULL: none. */
const char *dyno_http_header(const struct dyno_http_request *request, const char *name);

/* What it is answered waits in its connection; NULL where the client has gone. */
struct dyno_conn *dyno_http_hold(struct dyno_http_request *request, struct dyno_hold *hold,
                                 uint64_t waits_for);
/* `type` NULL: no body.  `extra` is "" or whole header lines.  `body` is taken and may be NULL. */
void dyno_http_answer(struct dyno_http_request *request, int status, const char *type,
                      const char *extra, struct dyno_seg *body);
void dyno_http_drop(struct dyno_http_request *request); /* close instead of an answer */

#endif /* DYNO_SERVE_HTTP1_HTTP1_H */
