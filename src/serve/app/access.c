/* access.c - one JSON object a line; no key and no body is ever in it. */
#include "serve/app/access.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "serve/app/http.h"
#include "serve/app/rpc.h"
#include "serve/watch/journal.h"

#define STATUS_GONE    499 /* as nginx has it: the client went, or was too slow, before an answer */
#define STATUS_DROPPED 503
#define NAME_BYTES_MAX 128
#define ID_BYTES_MAX   256

/* --- traces --- */

static void begin(struct dyno_access *access, struct dyno_io *io, const struct dyno_peer *peer,
                  const char *traceparent)
{
    char *trace = access->header + DYNO_ACCESS_NAME_BYTES;
    access->has_begun = true;
    access->peer = *peer;
    if (traceparent == NULL || !dyno_trace_parse(traceparent, trace)) {
        if (io->server->journal == NULL)
            return;
        dyno_trace_make(&io->trace_source, trace);
    }
    memcpy(access->header, DYNO_ACCESS_NAME, DYNO_ACCESS_NAME_BYTES);
    memcpy(trace + DYNO_TRACE_BYTES, "\r\n", 3);
}

/* The only header of that name: two are as malformed as one that is wrong. */
static const char *only_header(const struct dyno_http_request *request, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->head + request->headers[i].name, name) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = request->head + request->headers[i].value;
    }
    return found;
}

void dyno_access_begin_http(struct dyno_visit *visit)
{
    struct dyno_http_request *request = &visit->request;
    begin(&visit->access, visit->io, dyno_http_peer(request), only_header(request, "traceparent"));
    if (visit->access.header[0] != 0)
        request->extra = visit->access.header;
}

static const char *only_metadata(const struct dyno_grpc_call *grpc, const char *name)
{
    const char *found = NULL;
    for (const struct dyno_grpc_header *at = grpc->headers; at != NULL; at = at->next) {
        if (strcmp(at->text, name) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = at->text + strlen(at->text) + 1;
    }
    return found;
}

void dyno_access_begin_grpc(struct dyno_rpc *rpc)
{
    struct dyno_grpc_call *grpc = &rpc->grpc;
    begin(&rpc->access, dyno_rpc_io(rpc), dyno_h2_peer(&grpc->stream),
          only_metadata(grpc, "traceparent"));
    if (rpc->access.header[0] == 0)
        return;
    grpc->extra = (struct dyno_h2_field){.name = "traceparent",
                                         .name_bytes = 11,
                                         .value = rpc->access.header + DYNO_ACCESS_NAME_BYTES,
                                         .value_bytes = DYNO_TRACE_BYTES};
}

/* --- lines --- */

/* A line before it is text; what is NULL, "" or negative is left out. */
struct line {
    const char *port, *method, *route;
    const struct dyno_peer *peer;
    const char *header; /* of struct dyno_access */
    int status;
    uint64_t start_ns; /* 0: now */
    const char *model, *version;
    const struct dyno_guest *guest; /* NULL: nobody was let in */
    const struct dyno_call *call;   /* of an inference */
    uint64_t in_bytes, out_bytes;
    int64_t message_count; /* of a stream */
};

static void put_text(struct dyno_json_writer *json, const char *key, const char *text,
                     size_t bytes_max)
{
    if (text == NULL || text[0] == 0)
        return;
    dyno_json_key(json, key);
    dyno_json_strn(json, text, strnlen(text, bytes_max));
}

static void put_number(struct dyno_json_writer *json, const char *key, int64_t number)
{
    if (number < 0)
        return;
    dyno_json_put_i64(json, key, number);
}

/* When it began, by the clock on the wall. */
static void put_time(struct dyno_json_writer *json, uint64_t ago_ns)
{
    struct timespec now;
    struct tm parts;
    char text[48];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - ago_ns;
    const time_t seconds = (time_t)(ns / 1000000000);
    if (gmtime_r(&seconds, &parts) == NULL)
        return;
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                   (unsigned)(ns % 1000000000 / 1000));
    put_text(json, "time", text, sizeof(text));
}

static int64_t us_between(uint64_t start_ns, uint64_t end_ns)
{
    return end_ns > start_ns ? (int64_t)((end_ns - start_ns) / 1000) : 0;
}

static void put_names(struct dyno_json_writer *json, const struct line *line)
{
    const struct dyno_call *call = line->call;
    const struct dyno_variant *variant = call != NULL ? call->task.variant : NULL;
    const bool is_kept = call != NULL && call->kept_variant != NULL;
    put_text(json, "model",
             variant != NULL ? variant->model
             : is_kept       ? call->kept_model
                             : line->model,
             NAME_BYTES_MAX);
    put_text(json, "version",
             variant != NULL ? variant->version
             : is_kept       ? call->kept_version
                             : line->version,
             NAME_BYTES_MAX);
    if (variant != NULL || is_kept) {
        put_text(json, "variant", variant != NULL ? variant->name : call->kept_variant,
                 NAME_BYTES_MAX);
        put_text(json, "class", call->io->server->classes.rows[call->task.class_idx].name,
                 NAME_BYTES_MAX);
    }
    if (line->guest != NULL)
        put_text(json, "tenant", line->guest->name, NAME_BYTES_MAX);
    if (call != NULL)
        put_text(json, "id", call->infer.id, ID_BYTES_MAX);
    if (line->header != NULL && line->header[0] != 0)
        put_text(json, "trace", line->header + DYNO_ACCESS_NAME_BYTES + DYNO_TRACE_ID_AT,
                 DYNO_TRACE_ID_BYTES);
}

static void put_numbers(struct dyno_json_writer *json, const struct line *line, uint64_t total_ns)
{
    const struct dyno_call *call = line->call;
    if (call != NULL && call->status == DYNO_OK) {
        put_number(json, "rows", call->task.rows);
        put_number(json, "batch_rows", call->task.batch_rows);
    }
    put_number(json, "messages", line->message_count);
    put_number(json, "bytes_in", (int64_t)line->in_bytes);
    put_number(json, "bytes_out", (int64_t)line->out_bytes);
    put_number(json, "total_us", (int64_t)(total_ns / 1000));
    if (call != NULL && (call->task.variant != NULL || call->kept_variant != NULL)) {
        put_number(json, "queue_us", us_between(call->task.queue_ns, call->task.start_ns));
        put_number(json, "compute_us", us_between(call->task.start_ns, call->task.end_ns));
    }
}

static void tell(struct dyno_io *io, const struct line *line)
{
    char peer[DYNO_PEER_TEXT_BYTES];
    struct dyno_strbuf *text = &io->line;
    struct dyno_json_writer json = {.out = text, .indent = -1};
    const uint64_t now_ns = dyno_clock_ns();
    const uint64_t total_ns =
        line->start_ns != 0 && line->start_ns < now_ns ? now_ns - line->start_ns : 0;
    dyno_peer_text(line->peer, peer);
    dyno_strbuf_clear(text);
    dyno_json_object_begin(&json);
    put_time(&json, total_ns);
    put_text(&json, "port", line->port, NAME_BYTES_MAX);
    put_text(&json, "peer", peer, sizeof(peer));
    put_text(&json, "method", line->method, NAME_BYTES_MAX);
    put_text(&json, "route", line->route, NAME_BYTES_MAX);
    put_number(&json, "status", line->status);
    put_names(&json, line);
    put_numbers(&json, line, total_ns);
    dyno_json_object_end(&json);
    dyno_journal_add(io->server->journal, io->idx, dyno_strbuf_ok(text) ? text->text : NULL,
                     text->bytes);
    if (!dyno_strbuf_ok(text))
        dyno_strbuf_fini(text); /* it would remember that */
}

/* --- HTTP --- */

static const char *port_of(const struct dyno_io *io, const struct dyno_port *port)
{
    return port == &io->metrics ? "metrics" : "http";
}

void dyno_access_end_http(const struct dyno_visit *visit)
{
    static const char *const methods[] = {[DYNO_HTTP_GET] = "GET",
                                          [DYNO_HTTP_POST] = "POST",
                                          [DYNO_HTTP_HEAD] = "HEAD",
                                          [DYNO_HTTP_OTHER] = "OTHER"};
    const struct dyno_http_request *request = &visit->request;
    const struct dyno_access *access = &visit->access;
    char route[NAME_BYTES_MAX] = "";
    if (visit->io->server->journal == NULL)
        return;
    if (visit->route != NULL)
        (void)snprintf(route, sizeof(route), "/%s", visit->route->pattern);
    const struct line line = {
        .port = port_of(visit->io, request->port),
        .method = methods[request->method],
        .route = route,
        .peer = &access->peer,
        .header = access->header,
        .status = request->status != 0  ? request->status
                  : request->h1 == NULL ? STATUS_GONE
                                        : STATUS_DROPPED,
        .start_ns = request->start_ns,
        .model = visit->route != NULL ? visit->model : "",
        .version = visit->route != NULL ? visit->version : "",
        .guest = visit->guest,
        .call = visit->call,
        .in_bytes = access->in_bytes != 0 ? access->in_bytes : request->body.bytes,
        .out_bytes = request->answer_bytes,
        .message_count = -1,
    };
    tell(visit->io, &line);
}

void dyno_access_unseen(struct dyno_http_server *server, const struct dyno_conn *conn, int status)
{
    struct dyno_io *io = server->app;
    const struct line line = {.port = port_of(io, conn->port),
                              .peer = &conn->peer,
                              .status = status,
                              .message_count = -1};
    if (io->server->journal != NULL)
        tell(io, &line);
}

/* --- gRPC --- */

/* Without an end it was the client who ended it. */
static int status_of(const struct dyno_grpc_call *grpc)
{
    if (grpc->http_status != 200)
        return grpc->http_status;
    return grpc->is_finished ? (int)grpc->status : (int)DYNO_GRPC_CANCELLED;
}

static struct line line_of(const struct dyno_rpc *rpc)
{
    const struct dyno_grpc_call *grpc = &rpc->grpc;
    return (struct line){.port = "grpc",
                         .method = grpc->is_post ? "POST" : "OTHER",
                         .route = grpc->method != NULL ? grpc->method->path : "",
                         .peer = &rpc->access.peer,
                         .header = rpc->access.header,
                         .status = status_of(grpc),
                         .start_ns = grpc->start_ns,
                         .guest = rpc->guest,
                         .in_bytes = grpc->received_bytes,
                         .out_bytes = grpc->sent_bytes,
                         .message_count = -1};
}

void dyno_access_infer_grpc(const struct dyno_call *call, uint64_t sent_bytes)
{
    struct dyno_rpc *rpc = call->rpc;
    if (call->io->server->journal == NULL)
        return;
    struct line line = line_of(rpc);
    line.call = call;
    line.model = call->infer.model;
    line.version = call->infer.version;
    line.start_ns = call->start_ns;
    if (rpc->grpc.method->is_streaming) {
        rpc->access.message_count++;
        line.status = rpc->grpc.stream.h2 != NULL ? (int)dyno_grpc_status_of(call->status)
                                                  : (int)DYNO_GRPC_CANCELLED;
        line.in_bytes = call->body.bytes;
        line.out_bytes = sent_bytes;
    } else {
        rpc->access.is_told = true;
    }
    tell(call->io, &line);
}

void dyno_access_end_grpc(const struct dyno_rpc *rpc)
{
    if (dyno_rpc_io(rpc)->server->journal == NULL || !rpc->access.has_begun || rpc->access.is_told)
        return;
    struct line line = line_of(rpc);
    if (rpc->grpc.method != NULL && rpc->grpc.method->is_streaming)
        line.message_count = (int64_t)rpc->access.message_count;
    tell(dyno_rpc_io(rpc), &line);
}
