/* grpc.h - gRPC over HTTP/2: methods, messages, status (grpc/doc/PROTOCOL-HTTP2.md).
 *
 * A call lives while its stream does or somebody holds a reference; it is embedded in what the
 * application makes of it (call_bytes, the call first).  The application gets whole
 * messages, sends whole messages, and finishes once with a status; after that, or after the client
 * has gone, what it sends goes nowhere.  All on the loop's thread.
 */
#ifndef DYNO_SERVE_GRPC_GRPC_H
#define DYNO_SERVE_GRPC_GRPC_H

#include "serve/http2/http2.h"
#include "serve/net/body.h"
#include "serve/net/zip.h"

/* Of a streaming call; a client that is past one of them waits for its window. */
#define DYNO_GRPC_IN_FLIGHT_MAX    64                        /* messages that were not answered */
#define DYNO_GRPC_UNREAD_BYTES_MAX ((size_t)4 * 1024 * 1024) /* answers that it does not read */

enum dyno_grpc_status {
    DYNO_GRPC_OK = 0,
    DYNO_GRPC_CANCELLED = 1,
    DYNO_GRPC_UNKNOWN = 2,
    DYNO_GRPC_INVALID_ARGUMENT = 3,
    DYNO_GRPC_DEADLINE_EXCEEDED = 4,
    DYNO_GRPC_NOT_FOUND = 5,
    DYNO_GRPC_ALREADY_EXISTS = 6,
    DYNO_GRPC_PERMISSION_DENIED = 7,
    DYNO_GRPC_RESOURCE_EXHAUSTED = 8,
    DYNO_GRPC_UNIMPLEMENTED = 12,
    DYNO_GRPC_INTERNAL = 13,
    DYNO_GRPC_UNAVAILABLE = 14,
    DYNO_GRPC_UNAUTHENTICATED = 16,
};

struct dyno_grpc_server;
struct dyno_grpc_call;

struct dyno_grpc_method {
    const char *path; /* "/inference.GRPCInferenceService/ModelInfer" */
    bool is_streaming;
    int tag, right; /* the application's */
    /* A message came; `body` is the callee's (its length may be 0). */
    void (*message)(struct dyno_grpc_call *call, struct dyno_body *body);
};

/* A header that the application asked to keep. */
struct dyno_grpc_header {
    struct dyno_grpc_header *next;
    size_t value_bytes;
    char text[]; /* name, NUL, value, NUL */
};

struct dyno_grpc_call {
    struct dyno_h2_stream stream; /* first */
    const struct dyno_grpc_server *server;
    const struct dyno_grpc_method *method;
    uint64_t start_ns;
    uint64_t deadline_ns; /* 0: none */
    struct dyno_timer deadline;
    struct dyno_grpc_header *headers;
    enum dyno_zip zip;    /* of its messages, and of answers if the client takes it */
    uint32_t zip_accepts; /* a bit an enum dyno_zip */
    uint32_t ref_count;
    uint32_t in_flight;    /* messages given to the application and not released */
    size_t withheld_bytes; /* of the window, while it waits */
    bool is_grpc, is_post, is_refused, is_finished, is_open; /* is_open: headers were sent */
    bool has_message; /* unary: it came, and waits for the end of the stream */
    uint8_t prefix[5];
    uint8_t prefix_bytes;
    size_t message_bytes; /* of the message that is coming */
    struct dyno_body body;
    struct dyno_seg *out_first, *out_last;
    size_t out_bytes;       /* of those, not sent yet */
    uint32_t retry_after_s; /* told with the status, when it is set before; 0: not told */
    /* The same: ratelimit-policy and ratelimit, both or NULL; copied when the call is finished. */
    const char *limit_policy, *limit;
    char limit_text[272];
    enum dyno_grpc_status status;
    int http_status;                     /* 200 but where the request is none of gRPC */
    uint64_t received_bytes, sent_bytes; /* of messages, with their prefixes */
    /* The application's: goes with the headers of the answer; name NULL: none. */
    struct dyno_h2_field extra;
    char status_text[4];
    char retry_text[12];
    char *message_text; /* percent-encoded */
    size_t message_text_bytes;
};

struct dyno_grpc_server {
    struct dyno_h2_server h2;
    void *app;
    const struct dyno_grpc_method *methods;
    size_t method_count;
    size_t message_bytes_max;
    /* May be NULL.  All headers came, whatever becomes of the call; `method` may be NULL. */
    void (*begin)(struct dyno_grpc_call *call);
    /* All headers came; not OK: the call ends with that status and *text_out, of static storage or
     * the call's own. */
    enum dyno_grpc_status (*head)(struct dyno_grpc_call *call, const char **text_out);
    /* Keep this header of a request? */
    bool (*wants_header)(const struct dyno_grpc_call *call, const struct dyno_h2_field *field);
    /* The client cancelled, its deadline passed, or its connection broke. */
    void (*gone)(struct dyno_grpc_call *call);
    /* The last reference goes: free what the application attached.  `begin` may not have been
     * called. */
    void (*over)(struct dyno_grpc_call *call);
    /* The client sends no more messages (streaming methods). */
    void (*half_closed)(struct dyno_grpc_call *call);
};

/* Sets h2 and what belongs to it; the port's owner is then &server->h2.  A call has call_bytes of
 * zeroed memory. */
void dyno_grpc_server_init(struct dyno_grpc_server *server, struct dyno_budget *budget,
                           size_t call_bytes);

const char *dyno_grpc_header(const struct dyno_grpc_call *call, const char *name);

struct dyno_grpc_call *dyno_grpc_ref(struct dyno_grpc_call *call);
void dyno_grpc_unref(struct dyno_grpc_call *call);

/* A segment for a message of `bytes`, its prefix written; fill it from data + begin + 5 on and set
 * nothing.  NULL: out of memory. */
struct dyno_seg *dyno_grpc_seg(struct dyno_grpc_call *call, size_t bytes);
#define DYNO_GRPC_PREFIX_BYTES 5
/* Takes it, and packs it if the client packs its own messages and takes packed ones. */
void dyno_grpc_send(struct dyno_grpc_call *call, struct dyno_seg *seg);
/* An input message was worked off: another may come. */
void dyno_grpc_release(struct dyno_grpc_call *call);
/* No more will be sent.  `text` may be "". */
void dyno_grpc_finish(struct dyno_grpc_call *call, enum dyno_grpc_status status, const char *text);

#endif /* DYNO_SERVE_GRPC_GRPC_H */
