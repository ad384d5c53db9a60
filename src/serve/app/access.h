/* access.h - the trace of a request, and its line in the access log.
 *
 * A request has one line: an inference when it is answered, everything else when it is over.  A
 * stream has a line an inference, and one of its own in the end.  All on the I/O thread.
 */
#ifndef DYNO_SERVE_APP_ACCESS_H
#define DYNO_SERVE_APP_ACCESS_H

#include "serve/net/conn.h"
#include "serve/watch/trace.h"

struct dyno_call;
struct dyno_http_request;
struct dyno_http_server;
struct dyno_rpc;
struct dyno_visit;

#define DYNO_ACCESS_NAME       "traceparent: "
#define DYNO_ACCESS_NAME_BYTES (sizeof(DYNO_ACCESS_NAME) - 1)

/* What is kept of a request for it. */
struct dyno_access {
    bool has_begun;
    bool is_told; /* its line was written */
    struct dyno_peer peer;
    uint64_t in_bytes, message_count;
    /* "traceparent: ...\r\n", for the answer; "": the request is in no trace. */
    char header[DYNO_ACCESS_NAME_BYTES + DYNO_TRACE_BYTES + 3];
};

/* The head is there. */
void dyno_access_begin_http(struct dyno_visit *visit);
void dyno_access_begin_grpc(struct dyno_rpc *rpc);

/* It is over, whatever way. */
void dyno_access_end_http(const struct dyno_visit *visit);
void dyno_access_end_grpc(const struct dyno_rpc *rpc);
/* An inference over gRPC was answered, with so many bytes. */
void dyno_access_infer_grpc(const struct dyno_call *call, uint64_t sent_bytes);
/* Of dyno_http_server. */
void dyno_access_unseen(struct dyno_http_server *server, const struct dyno_conn *conn, int status);

#endif /* DYNO_SERVE_APP_ACCESS_H */
