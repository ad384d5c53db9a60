/* http_routes.c - which path means what; everything but infer. */
#include <string.h>

#include "base/mem.h"
#include "serve/app/server.h"

#define SEGMENTS_MAX 8

/* A path cut at its slashes and decoded. */
struct path {
    const char *segments[SEGMENTS_MAX];
    size_t count;
};

/* What a handler gets: the parts of the path that stood for * in its row. */
struct route_call {
    struct dyno_io *io;
    struct dyno_http_request *request;
    const char *model, *version; /* "" where the route has none */
};

typedef void route_fn(const struct route_call *call);

struct route {
    enum dyno_http_method method;
    const char *pattern; /* * is a model, # a version, ? any one segment */
    route_fn *fn;
};

/* --- answers --- */

void dyno_app_http_text(struct dyno_io *io, struct dyno_http_request *request, int status,
                        const char *type, const struct dyno_strbuf *text)
{
    struct dyno_seg *seg =
        dyno_seg_create(dyno_loop_slab(io->loop), DYNO_HTTP_HEAD_ROOM + text->bytes);
    if (seg == NULL || !dyno_strbuf_ok(text)) {
        if (seg != NULL)
            dyno_seg_destroy(dyno_loop_slab(io->loop), seg);
        dyno_http_drop(request);
        return;
    }
    seg->begin = DYNO_HTTP_HEAD_ROOM;
    seg->end = seg->begin + text->bytes;
    if (text->bytes != 0)
        memcpy(seg->data + seg->begin, text->text, text->bytes);
    dyno_http_answer(request, status, type, status == 503 ? "Retry-After: 1\r\n" : "", seg);
}

void dyno_app_http_error(struct dyno_io *io, struct dyno_http_request *request, int status,
                         const char *text)
{
    struct dyno_strbuf *out = &io->text;
    struct dyno_json_writer json = {.out = out, .indent = -1};
    dyno_strbuf_clear(out);
    dyno_json_object_begin(&json);
    dyno_json_key(&json, "error");
    dyno_json_str(&json, text);
    dyno_json_object_end(&json);
    dyno_app_http_text(io, request, status, "application/json", out);
    dyno_strbuf_clear(out);
}

static void answer_status(const struct route_call *call, bool is_good)
{
    static const struct dyno_strbuf nothing;
    dyno_app_http_text(call->io, call->request, is_good ? 200 : 400, "text/plain", &nothing);
}

static void answer_json(const struct route_call *call)
{
    dyno_app_http_text(call->io, call->request, 200, "application/json", &call->io->text);
    dyno_strbuf_clear(&call->io->text);
}

static void answer_err(const struct route_call *call, const struct dyno_err *err)
{
    dyno_app_http_error(call->io, call->request, dyno_http_status(err->status), err->text);
}

static struct dyno_json_writer writer(const struct route_call *call)
{
    dyno_strbuf_clear(&call->io->text);
    return (struct dyno_json_writer){.out = &call->io->text, .indent = -1};
}

/* --- server and models --- */

static void on_live(const struct route_call *call)
{
    answer_status(call, true);
}

static void on_ready(const struct route_call *call)
{
    struct dyno_server *server = call->io->server;
    answer_status(call, dyno_manager_is_ready(server->manager) &&
                            !atomic_load_explicit(&server->is_draining, memory_order_relaxed));
}

static void on_server(const struct route_call *call)
{
    struct dyno_json_writer json = writer(call);
    dyno_v2_json_server(&json);
    answer_json(call);
}

static void on_model_ready(const struct route_call *call)
{
    struct dyno_variant *variant = NULL;
    const bool is_ready = dyno_manager_find(call->io->server->manager, call->model, call->version,
                                            &variant, NULL) == DYNO_OK;
    if (is_ready)
        dyno_variant_unref(variant);
    answer_status(call, is_ready);
}

/* The ready variants of a model, of one version when that is given, and what to do with them. */
typedef enum dyno_status variants_fn(const struct route_call *call,
                                     struct dyno_variant *const *variants, size_t count,
                                     struct dyno_arena *arena, struct dyno_err *err);

static size_t keep_version(struct dyno_variant **variants, size_t count, const char *version)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (version[0] == 0 || strcmp(variants[i]->version, version) == 0)
            variants[kept++] = variants[i];
        else
            dyno_variant_unref(variants[i]);
    }
    return kept;
}

static enum dyno_status with_variants_in(const struct route_call *call, variants_fn *fn,
                                         struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_manager *manager = call->io->server->manager;
    struct dyno_variant **variants = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_manager_ready(manager, call->model[0] != 0 ? call->model : NULL, arena, &variants,
                                &count, err));
    count = keep_version(variants, count, call->version);
    enum dyno_status status = DYNO_OK;
    if (count == 0 && call->model[0] != 0) { /* for the sentence that says why */
        struct dyno_variant *none = NULL;
        status = dyno_manager_find(manager, call->model, call->version, &none, err);
        if (none != NULL)
            dyno_variant_unref(none);
        if (status == DYNO_OK)
            status = DYNO_FAIL(err, DYNO_E_BUSY, "the model has just changed");
    } else {
        status = fn(call, variants, count, arena, err);
    }
    for (size_t i = 0; i < count; i++)
        dyno_variant_unref(variants[i]);
    return status;
}

static void with_variants(const struct route_call *call, variants_fn *fn)
{
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    const enum dyno_status status =
        arena != NULL ? with_variants_in(call, fn, arena, &err) : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        answer_json(call);
    else
        answer_err(call, &err);
    dyno_arena_destroy(arena);
}

static enum dyno_status write_metadata(const struct route_call *call,
                                       struct dyno_variant *const *variants, size_t count,
                                       struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_model model;
    struct dyno_json_writer json = writer(call);
    DYNO_TRY(dyno_app_describe(variants, count, arena, &model, err));
    dyno_v2_json_model(&json, &model);
    return DYNO_OK;
}

static enum dyno_status write_config(const struct route_call *call,
                                     struct dyno_variant *const *variants, size_t count,
                                     struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_model model;
    struct dyno_json_writer json = writer(call);
    DYNO_TRY(dyno_app_describe(variants, count, arena, &model, err));
    dyno_v2_json_config(&json, &model);
    return DYNO_OK;
}

static enum dyno_status write_stats(const struct route_call *call,
                                    struct dyno_variant *const *variants, size_t count,
                                    struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_json_writer json = writer(call);
    dyno_json_object_begin(&json);
    dyno_json_key(&json, "model_stats");
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        struct dyno_v2_stats stats;
        DYNO_TRY(dyno_app_stats(variants[i], arena, &stats, err));
        dyno_v2_json_stats(&json, &stats);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return DYNO_OK;
}

/* KServe's list: {"models": [names]}. */
static enum dyno_status write_names(const struct route_call *call,
                                    struct dyno_variant *const *variants, size_t count,
                                    struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_json_writer json = writer(call);
    (void)arena;
    (void)err;
    dyno_json_object_begin(&json);
    dyno_json_key(&json, "models");
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(variants[i]->model, variants[i - 1]->model) != 0)
            dyno_json_str(&json, variants[i]->model);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return DYNO_OK;
}

static void on_metadata(const struct route_call *call)
{
    with_variants(call, write_metadata);
}
static void on_config(const struct route_call *call)
{
    with_variants(call, write_config);
}
static void on_stats(const struct route_call *call)
{
    with_variants(call, write_stats);
}
static void on_models(const struct route_call *call)
{
    with_variants(call, write_names);
}

static void on_infer(const struct route_call *call)
{
    dyno_app_http_infer(call->io, call->request, call->model, call->version);
}

/* --- repository --- */

static void answer_order(struct dyno_app_order *order)
{
    const struct route_call call = {.io = order->io, .request = order->http};
    struct dyno_json_writer json = writer(&call);
    if (order->order.status != DYNO_OK) {
        answer_err(&call, &order->order.err);
        return;
    }
    if (order->order.kind != DYNO_COMMAND_INDEX) {
        dyno_strbuf_puts(json.out, "{}");
        answer_json(&call);
        return;
    }
    dyno_json_array_begin(&json);
    for (const struct dyno_index_row *at = order->order.rows; at != NULL; at = at->next) {
        const struct dyno_v2_index_row row = {
            .name = at->model, .version = at->version, .state = at->state, .reason = at->reason};
        if (!order->only_ready || strcmp(at->state, "READY") == 0)
            dyno_v2_json_index_row(&json, &row);
    }
    dyno_json_array_end(&json);
    answer_json(&call);
}

static void send_order(const struct route_call *call, enum dyno_command_kind kind, bool only_ready)
{
    struct dyno_app_order *order = dyno_app_order_create(call->io, kind, call->model, answer_order);
    if (order == NULL) {
        dyno_app_http_error(call->io, call->request, 503, "out of memory");
        return;
    }
    order->http = call->request;
    order->only_ready = only_ready;
    dyno_app_order_send(order);
}

/* The body of a repository request, "" taken as {}; the root lives in `arena`. */
static enum dyno_status parse_body(const struct route_call *call, struct dyno_arena *arena,
                                   const struct dyno_json **root_out, struct dyno_err *err)
{
    const struct dyno_body *body = &call->request->body;
    *root_out = NULL;
    if (body->bytes == 0)
        return DYNO_OK;
    if (body->bytes > 65536)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a request of more than 65536 bytes");
    DYNO_TRY(dyno_json_parse(body->data, body->bytes, arena, root_out, err));
    return (*root_out)->kind == DYNO_JSON_OBJECT
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "a request must be an object");
}

static enum dyno_status check_parameters(const struct dyno_json *root, struct dyno_err *err)
{
    const struct dyno_json *params = dyno_json_find(root, "parameters");
    for (const struct dyno_json *at = params != NULL ? params->first : NULL; at != NULL;
         at = at->next)
        if (at->key == NULL || strcmp(at->key, "unload_dependents") != 0)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                             "parameter '%.64s' is not available: models come from the repository "
                             "as it is",
                             at->key != NULL ? at->key : "");
    return DYNO_OK;
}

static void control(const struct route_call *call, enum dyno_command_kind kind)
{
    const struct dyno_json *root = NULL;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status =
        arena != NULL ? parse_body(call, arena, &root, &err) : DYNO_NOMEM(&err);
    const struct dyno_json *ready = dyno_json_find(root, "ready");
    const bool only_ready = ready != NULL && ready->boolean;
    if (status == DYNO_OK && kind != DYNO_COMMAND_INDEX)
        status = check_parameters(root, &err);
    if (status == DYNO_OK && kind != DYNO_COMMAND_INDEX &&
        !call->io->server->options.explicit_control)
        status = DYNO_FAIL(&err, DYNO_E_BUSY,
                           "explicit model load / unload is not allowed without "
                           "--model-control-mode=explicit");
    dyno_arena_destroy(arena);
    if (status == DYNO_OK)
        send_order(call, kind, only_ready);
    else
        answer_err(call, &err);
}

static void on_index(const struct route_call *call)
{
    control(call, DYNO_COMMAND_INDEX);
}
static void on_load(const struct route_call *call)
{
    control(call, DYNO_COMMAND_LOAD);
}
static void on_unload(const struct route_call *call)
{
    control(call, DYNO_COMMAND_UNLOAD);
}

/* --- dispatch --- */

static const struct route routes[] = {
    {DYNO_HTTP_POST, "v2/models/*/infer", on_infer},
    {DYNO_HTTP_POST, "v2/models/*/versions/#/infer", on_infer},
    {DYNO_HTTP_GET, "v2", on_server},
    {DYNO_HTTP_GET, "v2/health/live", on_live},
    {DYNO_HTTP_GET, "v2/health/ready", on_ready},
    {DYNO_HTTP_GET, "v2/models", on_models},
    {DYNO_HTTP_GET, "v2/models/stats", on_stats},
    {DYNO_HTTP_GET, "v2/models/*", on_metadata},
    {DYNO_HTTP_GET, "v2/models/*/versions/#", on_metadata},
    {DYNO_HTTP_GET, "v2/models/*/ready", on_model_ready},
    {DYNO_HTTP_GET, "v2/models/*/versions/#/ready", on_model_ready},
    {DYNO_HTTP_GET, "v2/models/*/config", on_config},
    {DYNO_HTTP_GET, "v2/models/*/versions/#/config", on_config},
    {DYNO_HTTP_GET, "v2/models/*/stats", on_stats},
    {DYNO_HTTP_GET, "v2/models/*/versions/#/stats", on_stats},
    {DYNO_HTTP_POST, "v2/repository/index", on_index},
    {DYNO_HTTP_POST, "v2/repository/?/index", on_index},
    {DYNO_HTTP_POST, "v2/repository/models/*/load", on_load},
    {DYNO_HTTP_POST, "v2/repository/?/models/*/load", on_load},
    {DYNO_HTTP_POST, "v2/repository/models/*/unload", on_unload},
    {DYNO_HTTP_POST, "v2/repository/?/models/*/unload", on_unload},
};

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

static bool matches(const struct path *path, const char *pattern, struct route_call *call)
{
    call->model = call->version = "";
    for (size_t i = 0; i < path->count; i++) {
        const size_t bytes = strcspn(pattern, "/");
        const char *segment = path->segments[i];
        if (bytes == 0)
            return false;
        if (*pattern == '*') {
            if (segment[0] == 0)
                return false;
            call->model = segment;
        } else if (*pattern == '#') {
            if (segment[0] == 0 || segment[strspn(segment, "0123456789")] != 0)
                return false;
            call->version = segment;
        } else if (*pattern != '?' &&
                   (strlen(segment) != bytes || memcmp(segment, pattern, bytes) != 0)) {
            return false;
        }
        pattern += bytes + (pattern[bytes] == '/');
    }
    return *pattern == 0;
}

void dyno_app_http(struct dyno_http_server *server, struct dyno_http_request *request)
{
    struct dyno_io *io = server->app;
    struct route_call call = {.io = io, .request = request};
    struct path path;
    bool is_known = false;
    if (!split((char *)(uintptr_t)request->path, &path)) {
        dyno_app_http_error(io, request, 400, "malformed path");
        return;
    }
    const enum dyno_http_method method =
        request->method == DYNO_HTTP_HEAD ? DYNO_HTTP_GET : request->method;
    for (size_t i = 0; i < DYNO_COUNT(routes); i++) {
        if (!matches(&path, routes[i].pattern, &call))
            continue;
        is_known = true;
        if (routes[i].method != method)
            continue;
        routes[i].fn(&call);
        return;
    }
    dyno_app_http_error(io, request, is_known ? 405 : 404,
                        is_known ? "Method Not Allowed" : "Not Found");
}

void dyno_app_http_gone(struct dyno_http_server *server, struct dyno_http_request *request)
{
    (void)server;
    if (request->user != NULL)
        dyno_sched_cancel(&((struct dyno_call *)request->user)->task);
}
