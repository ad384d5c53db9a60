/* http.h - the application over HTTP: visits, the table of routes, answers.
 *
 * A visit is a request on its way through the application; its handler answers it once, now or
 * later, on its I/O thread.
 */
#ifndef DYNO_SERVE_APP_HTTP_H
#define DYNO_SERVE_APP_HTTP_H

#include "serve/app/access.h"
#include "serve/app/server.h"

struct dyno_visit;

/* A handler is called when the whole request is there. */
typedef void dyno_route_fn(struct dyno_visit *visit);

struct dyno_route {
    const char *pattern; /* * is a model, # a version, @ a region, ? any one segment */
    dyno_route_fn *fn;
    enum dyno_http_method method;
    enum dyno_right right;
};

#define DYNO_ROUTE(method, pattern, right, handler) dyno_route_fn dyno_route_##handler;
#include "serve/app/routes.def"
#undef DYNO_ROUTE
dyno_route_fn dyno_route_metrics; /* of the metrics port */

/* How an inference is asked and answered. */
enum dyno_form {
    DYNO_FORM_INFER,
    DYNO_FORM_GENERATE,
    DYNO_FORM_EVENTS, /* as GENERATE, answered as a server-sent event */
};

struct dyno_visit {
    struct dyno_http_request request; /* first */
    struct dyno_io *io;
    const struct dyno_route *route;
    const char *model, *version, *region; /* of the path; "" where the route has none */
    struct dyno_guest *guest;
    bool is_begun;          /* his inference, which no call stands for yet */
    struct dyno_call *call; /* of an inference */
    enum dyno_status (*decode)(struct dyno_call *call, const struct dyno_visit *visit);
    enum dyno_form form;
    struct dyno_access access;
    bool is_fetched;  /* the model that it asks about was loaded for it, or could not be */
    uint32_t retry_s; /* Retry-After of an answer that says "later"; 0: not known */
    const char *limit_policy, *limit; /* RateLimit fields of a 429; NULL: none */
    char refusal_text[256], refusal_extra[48];
};

/* What a port of HTTP calls: `head`, `request`, `gone`, `over`. */
void dyno_app_http_init(struct dyno_http_server *server, struct dyno_io *io);

/* --- answers: each ends the visit --- */

void dyno_visit_answer_text(struct dyno_visit *visit, int status, const char *type,
                            const struct dyno_strbuf *text);
/* The text of io->text, which is cleared. */
void dyno_visit_answer_json(struct dyno_visit *visit);
/* {"error": text} */
void dyno_visit_answer_error(struct dyno_visit *visit, int status, const char *text);
void dyno_visit_answer_err(struct dyno_visit *visit, const struct dyno_err *err);

/* A writer into io->text, emptied. */
struct dyno_json_writer dyno_visit_writer(struct dyno_visit *visit);
/* The body, which is an object or "" (*root_out NULL), at most 64 KiB; lives in `arena`. */
enum dyno_status dyno_visit_parse(const struct dyno_visit *visit, struct dyno_arena *arena,
                                  const struct dyno_json **root_out, struct dyno_err *err);

int dyno_http_status(enum dyno_status status);

/* --- inferences --- */

/* Decode, and run what came of it, again or for the first time: for a decoder that had to wait for
 * the model. */
void dyno_visit_decode(struct dyno_call *call);
/* Make a call of the visit: its body, unpacked, goes through `decode` into the call's infer, whose
 * model and version are set. */
typedef enum dyno_status dyno_decode_fn(struct dyno_call *call, const struct dyno_visit *visit);
void dyno_visit_infer(struct dyno_visit *visit, enum dyno_form form, dyno_decode_fn *decode);

/* The header that tells how loaded the server is, as ORCA has it, into out[room], or "" when the
 * request does not ask for it. */
void dyno_visit_print_load(const struct dyno_visit *visit, char *out, size_t room);

#endif /* DYNO_SERVE_APP_HTTP_H */
