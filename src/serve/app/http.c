/* http.c - from a path to its handler; answers. */
#include "serve/app/http.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define SEGMENTS_MAX      8
#define CONTROL_BYTES_MAX 65536

/* A path cut at its slashes and decoded. */
struct path {
    const char *segments[SEGMENTS_MAX];
    size_t count;
};

static const struct dyno_route routes[] = {
#define DYNO_ROUTE(method, pattern, right, handler) \
    {pattern, dyno_route_##handler, DYNO_HTTP_##method, DYNO_RIGHT_##right},
#include "serve/app/routes.def"
#undef DYNO_ROUTE
};

static const struct dyno_route metrics_routes[] = {
    {"metrics", dyno_route_metrics, DYNO_HTTP_GET, DYNO_RIGHT_METRICS},
};

/* --- answers --- */

int dyno_http_status(enum dyno_status status)
{
    switch (status) {
    case DYNO_OK:
        return 200;
    case DYNO_E_NOT_FOUND:
        return 404;
    case DYNO_E_BUSY:
    case DYNO_E_NOMEM:
        return 503;
    case DYNO_E_UNSUPPORTED:
        return 501;
    case DYNO_E_UNKNOWN_CALLER:
        return 401;
    case DYNO_E_DENIED:
        return 403;
    case DYNO_E_QUOTA:
        return 429;
    case DYNO_E_ARG:
    case DYNO_E_FORMAT:
    case DYNO_E_LIMIT:
    case DYNO_E_CANCELLED:
    case DYNO_E_EXISTS:
        return 400;
    case DYNO_E_IO:
    case DYNO_E_CORRUPT:
    case DYNO_E_TARGET:
    case DYNO_E_MISMATCH:
        break;
    }
    return 500;
}

/* The header lines that a status wants beside it. */
static void put_extra(const struct dyno_visit *visit, int status, char *out, size_t room)
{
    out[0] = 0;
    if (status == 503 || status == 429)
        (void)snprintf(out, room, "Retry-After: %u\r\n", visit->retry_s > 0 ? visit->retry_s : 1);
    else if (status == 401)
        (void)snprintf(out, room, "WWW-Authenticate: Bearer\r\n");
}

void dyno_visit_answer_text(struct dyno_visit *visit, int status, const char *type,
                            const struct dyno_strbuf *text)
{
    struct dyno_slab *slab = dyno_loop_slab(visit->io->loop);
    struct dyno_seg *seg = dyno_seg_create(slab, DYNO_HTTP_HEAD_ROOM + text->bytes);
    if (seg == NULL || !dyno_strbuf_ok(text)) {
        if (seg != NULL)
            dyno_seg_destroy(slab, seg);
        dyno_http_drop(&visit->request);
        return;
    }
    seg->begin = DYNO_HTTP_HEAD_ROOM;
    seg->end = seg->begin + text->bytes;
    if (text->bytes != 0)
        memcpy(seg->data + seg->begin, text->text, text->bytes);
    char extra[384];
    put_extra(visit, status, extra, sizeof(extra));
    const size_t at = strlen(extra);
    if (status == 429 && visit->limit != NULL && visit->limit_policy != NULL)
        (void)snprintf(extra + at, sizeof(extra) - at,
                       "RateLimit-Policy: %.160s\r\nRateLimit: %.96s\r\n", visit->limit_policy,
                       visit->limit);
    dyno_http_answer(&visit->request, status, type, extra, seg);
}

void dyno_visit_answer_error(struct dyno_visit *visit, int status, const char *text)
{
    struct dyno_strbuf *out = &visit->io->text;
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "error", text);
    dyno_json_object_end(&json);
    dyno_visit_answer_text(visit, status, "application/json", out);
    dyno_strbuf_clear(out);
}

void dyno_visit_answer_err(struct dyno_visit *visit, const struct dyno_err *err)
{
    dyno_visit_answer_error(visit, dyno_http_status(err->status), err->text);
}

void dyno_visit_answer_json(struct dyno_visit *visit)
{
    struct dyno_strbuf *text = &visit->io->text;
    dyno_visit_answer_text(visit, 200, "application/json", text);
    dyno_strbuf_clear(text);
}

/* --- for handlers --- */

struct dyno_json_writer dyno_visit_writer(struct dyno_visit *visit)
{
    dyno_strbuf_clear(&visit->io->text);
    return (struct dyno_json_writer){.out = &visit->io->text, .indent = -1};
}

enum dyno_status dyno_visit_parse(const struct dyno_visit *visit, struct dyno_arena *arena,
                                  const struct dyno_json **root_out, struct dyno_err *err)
{
    const struct dyno_body *body = &visit->request.body;
    *root_out = NULL;
    if (body->bytes == 0)
        return DYNO_OK;
    if (body->bytes > CONTROL_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a request of more than %d bytes", CONTROL_BYTES_MAX);
    DYNO_TRY(dyno_json_parse(body->data, body->bytes, arena, root_out, err));
    return (*root_out)->kind == DYNO_JSON_OBJECT
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "a request must be an object");
}

/* --- paths --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decode %XX in place; false for a malformed one, and for a zero or a slash in disguise. */
static bool decode(char *text)
{
    char *to = text;
    for (; *text != 0; text++) {
        if (*text != '%') {
            *to++ = *text;
            continue;
        }
        const int high = hex(text[1]);
        const int low = high >= 0 ? hex(text[2]) : -1;
        if (low < 0 || high * 16 + low == 0 || high * 16 + low == '/')
            return false;
        *to++ = (char)(high * 16 + low);
        text += 2;
    }
    *to = 0;
    return true;
}

/* Cuts the request's own copy. */
static bool split(char *text, struct path *path)
{
    path->count = 0;
    while (*text == '/')
        text++;
    while (*text != 0) {
        if (path->count == SEGMENTS_MAX)
            return false;
        char *end = strchr(text, '/');
        path->segments[path->count++] = text;
        if (end != NULL)
            *end = 0;
        if (!decode(text))
            return false;
        if (end == NULL)
            break;
        text = end + 1;
    }
    return true;
}

static bool matches(const struct path *path, const char *pattern, struct dyno_visit *visit)
{
    visit->model = visit->version = visit->region = "";
    for (size_t i = 0; i < path->count; i++) {
        const size_t bytes = strcspn(pattern, "/");
        const char *segment = path->segments[i];
        if (bytes == 0)
            return false;
        if (*pattern == '*') {
            if (segment[0] == 0)
                return false;
            visit->model = segment;
        } else if (*pattern == '#') {
            if (segment[0] == 0 || segment[strspn(segment, "0123456789")] != 0)
                return false;
            visit->version = segment;
        } else if (*pattern == '@') {
            if (segment[0] == 0)
                return false;
            visit->region = segment;
        } else if (*pattern != '?' &&
                   (strlen(segment) != bytes || memcmp(segment, pattern, bytes) != 0)) {
            return false;
        }
        pattern += bytes + (pattern[bytes] == '/');
    }
    return *pattern == 0;
}

/* --- visits --- */

static struct dyno_visit *of_request(struct dyno_http_request *request)
{
    return (struct dyno_visit *)(void *)request; /* its first member */
}

static void refuse(struct dyno_visit *visit, int status, const char *text)
{
    (void)snprintf(visit->refusal_text, sizeof(visit->refusal_text), "%.255s", text);
    put_extra(visit, status, visit->refusal_extra, sizeof(visit->refusal_extra));
    visit->request.refusal = (struct dyno_http_refusal){
        .status = status, .text = visit->refusal_text, .extra = visit->refusal_extra};
}

/* The row of the path and the method; refused when there is none. */
static void find_route(struct dyno_visit *visit, const struct dyno_route *rows, size_t count)
{
    struct path path;
    bool is_known = false;
    if (!split((char *)(uintptr_t)visit->request.path, &path)) {
        refuse(visit, 400, "malformed path");
        return;
    }
    const enum dyno_http_method method =
        visit->request.method == DYNO_HTTP_HEAD ? DYNO_HTTP_GET : visit->request.method;
    for (size_t i = 0; i < count; i++) {
        if (!matches(&path, rows[i].pattern, visit))
            continue;
        is_known = true;
        if (rows[i].method != method)
            continue;
        visit->route = &rows[i];
        return;
    }
    refuse(visit, is_known ? 405 : 404, is_known ? "Method Not Allowed" : "Not Found");
}

static enum dyno_status admit(struct dyno_visit *visit, struct dyno_err *err)
{
    struct dyno_gate *gate = visit->io->server->gate;
    const enum dyno_right right = visit->route->right;
    const struct dyno_credentials shown = {
        .authorization = dyno_http_header(&visit->request, "authorization"),
        .key = dyno_http_header(&visit->request, dyno_gate_key_header(gate))};
    const enum dyno_status status = dyno_gate_admit(gate, &shown, right, &visit->guest, err);
    dyno_credentials_wipe(&shown);
    DYNO_TRY(status);
    if (visit->model[0] != 0)
        DYNO_TRY(dyno_guest_check_model(visit->guest, visit->model, err));
    if (right == DYNO_RIGHT_INFER) {
        DYNO_TRY(dyno_guest_begin(visit->guest, &visit->retry_s, err));
        visit->is_begun = true;
    }
    return DYNO_OK;
}

static void on_head(struct dyno_http_server *server, struct dyno_http_request *request)
{
    struct dyno_visit *visit = of_request(request);
    struct dyno_err err = {0};
    visit->io = server->app;
    dyno_access_begin_http(visit);
    if (server == &visit->io->metrics_server)
        find_route(visit, metrics_routes, DYNO_COUNT(metrics_routes));
    else
        find_route(visit, routes, DYNO_COUNT(routes));
    if (visit->route == NULL)
        return;
    const enum dyno_status status = admit(visit, &err);
    if (status != DYNO_OK)
        refuse(visit, dyno_http_status(status), err.text);
}

static void on_request(struct dyno_http_server *server, struct dyno_http_request *request)
{
    struct dyno_visit *visit = of_request(request);
    (void)server;
    visit->access.in_bytes = request->body.bytes;
    visit->route->fn(visit);
}

static void on_gone(struct dyno_http_server *server, struct dyno_http_request *request)
{
    struct dyno_visit *visit = of_request(request);
    (void)server;
    if (visit->call != NULL)
        dyno_call_cancel(visit->call);
}

static void on_over(struct dyno_http_server *server, struct dyno_http_request *request)
{
    struct dyno_visit *visit = of_request(request);
    (void)server;
    if (visit->is_begun)
        dyno_guest_end(visit->guest, 0);
    dyno_access_end_http(visit);
    dyno_guest_unref(visit->guest);
}

void dyno_app_http_init(struct dyno_http_server *server, struct dyno_io *io)
{
    server->app = io;
    server->request_bytes = sizeof(struct dyno_visit);
    server->head = on_head;
    server->request = on_request;
    server->gone = on_gone;
    server->over = on_over;
    server->unseen = dyno_access_unseen;
}
