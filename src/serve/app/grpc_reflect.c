/* grpc_reflect.c - server reflection: each request of the stream is answered at once. */
#include <string.h>

#include "serve/app/rpc.h"
#include "serve/v2/reflection.h"

#define UNREAD_BYTES_MAX ((size_t)1024 * 1024) /* a small request has a large answer */

/* A message of the budget's bytes; NULL: none are left. */
static struct dyno_seg *make_seg(struct dyno_rpc *rpc, const struct dyno_strbuf *text)
{
    struct dyno_budget *budget = &dyno_rpc_io(rpc)->server->budget;
    const size_t total = DYNO_GRPC_PREFIX_BYTES + text->bytes;
    if (!dyno_budget_take(budget, total))
        return NULL;
    struct dyno_seg *seg = dyno_grpc_seg(&rpc->grpc, text->bytes);
    if (seg == NULL) {
        dyno_budget_give(budget, total);
        return NULL;
    }
    seg->budget = budget;
    memcpy(seg->data + DYNO_GRPC_PREFIX_BYTES, text->text, text->bytes);
    return seg;
}

void dyno_rpc_reflect(struct dyno_grpc_call *grpc, struct dyno_body *body)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_strbuf *text = &dyno_rpc_io(rpc)->text;
    struct dyno_err err = {0};
    dyno_strbuf_clear(text);
    const enum dyno_status status = dyno_v2_reflect(body->data, body->bytes, text, &err);
    struct dyno_seg *seg =
        status == DYNO_OK && grpc->out_bytes < UNREAD_BYTES_MAX ? make_seg(rpc, text) : NULL;
    dyno_strbuf_clear(text);
    dyno_body_fini(body);
    dyno_grpc_release(grpc);
    if (seg != NULL)
        dyno_grpc_send(grpc, seg);
    else if (status != DYNO_OK)
        dyno_grpc_finish(grpc, dyno_grpc_status_of(status), err.text);
    else
        dyno_grpc_finish(grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "too many answers wait to be read");
}
