/* internal.h - what the files of http1 share: the state of a connection. */
#ifndef DYNO_SERVE_HTTP1_INTERNAL_H
#define DYNO_SERVE_HTTP1_INTERNAL_H

#include <http_parser.h>

#include "serve/http1/http1.h"

enum dyno_h1_state {
    DYNO_H1_HEAD,  /* reading a head, or waiting for one */
    DYNO_H1_BODY,  /* reading a body of known length */
    DYNO_H1_CHUNK, /* reading chunks, through the parser */
    DYNO_H1_APP,   /* the application works */
};

/* What the parser saw last of the header lines. */
enum dyno_h1_part { DYNO_H1_NONE, DYNO_H1_NAME, DYNO_H1_VALUE };

struct dyno_h1 {
    struct dyno_conn conn;
    struct dyno_timer budget_retry;
    http_parser parser;
    struct dyno_http_server *server;
    struct dyno_http_request *request;
    enum dyno_h1_state state;
    enum dyno_h1_part part;
    bool is_feeding;
    bool is_refused; /* an error was answered; nothing more is read */
    uint32_t chunk_count;
    size_t url_bytes;
    size_t body_bytes;  /* DYNO_H1_BODY: in all */
    uint64_t hungry_ns; /* since when the budget is spent; 0: not */
    char *held;         /* came after the request that is worked on */
    size_t held_bytes;
};

static inline struct dyno_slab *dyno_h1_slab(const struct dyno_h1 *h1)
{
    return dyno_loop_slab(h1->conn.loop);
}

/* --- head.c: from bytes to a request --- */

/* Let go of it, and of what the application attached. */
void dyno_h1_free_request(struct dyno_http_request *request);
/* A body that comes in chunks is added to the request; one of known length is left to us. */
extern const http_parser_settings dyno_h1_parsing;

/* --- answer.c --- */

/* {"error": text} as the body of an answer; NULL: out of memory. */
struct dyno_seg *dyno_h1_error_body(struct dyno_h1 *h1, const char *text);
/* Answered at once, then the connection ends: what the client still sends is not wanted. */
void dyno_h1_refuse_with(struct dyno_h1 *h1, const struct dyno_http_refusal *refusal);
/* The same for an error of the protocol. */
void dyno_h1_refuse(struct dyno_h1 *h1, int status, const char *text);

/* --- http1.c --- */

/* Back to reading, from what was held first. */
void dyno_h1_next_request(struct dyno_h1 *h1);

#endif /* DYNO_SERVE_HTTP1_INTERNAL_H */
