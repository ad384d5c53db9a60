/* fuzz_serve_http.c - any bytes as a client of the HTTP/1.1 server; the first byte says in which
 * pieces they come.  Every request is answered with its path and the length of its body.
 */
#include <stdio.h>
#include <string.h>

#include "loopback.h"
#include "replay.h"
#include "serve/http1/http1.h"
#include "serve/net/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Targets of one letter are refused before their bodies. */
static void on_head(struct dyno_http_server *server, struct dyno_http_request *request)
{
    (void)server;
    if (strlen(request->path) == 2)
        request->refusal = (struct dyno_http_refusal){.status = 401, .text = "no", .extra = ""};
}

static void on_over(struct dyno_http_server *server, struct dyno_http_request *request)
{
    (void)server;
    (void)request;
}

static void on_request(struct dyno_http_server *server, struct dyno_http_request *request)
{
    (void)server;
    const char *length = dyno_http_header(request, "content-length");
    (void)dyno_zip_choose(dyno_http_header(request, "accept-encoding"));
    const size_t text_bytes = strlen(request->path) + (length != NULL ? strlen(length) : 0);
    struct dyno_seg *seg =
        dyno_seg_create(dyno_loop_slab(request->port->loop), DYNO_HTTP_HEAD_ROOM + text_bytes);
    if (seg == NULL)
        abort();
    seg->begin = DYNO_HTTP_HEAD_ROOM;
    seg->end = seg->begin + strlen(request->path);
    memcpy(seg->data + seg->begin, request->path, seg->end - seg->begin);
    dyno_http_answer(request, 200, "text/plain", "", seg);
}

static void on_gone(struct dyno_http_server *server, struct dyno_http_request *request)
{
    (void)server;
    (void)request;
    abort(); /* every request is answered at once */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct dyno_budget budget = {.limit_bytes = 65536};
    struct dyno_http_server server = {.request_bytes = sizeof(struct dyno_http_request),
                                      .head = on_head,
                                      .over = on_over,
                                      .request = on_request,
                                      .gone = on_gone,
                                      .budget = &budget,
                                      .body_bytes_max = 100000,
                                      .idle_ns = UINT64_MAX};
    if (bytes == 0)
        return 0;
    loopback_run(dyno_http1_accept, &server, data + 1, bytes - 1, data[0]);
    if (dyno_mem_live_count() != 0 || budget.used_bytes != 0) {
        (void)fprintf(stderr, "%llu blocks, %llu bytes of the budget left\n",
                      (unsigned long long)dyno_mem_live_count(),
                      (unsigned long long)budget.used_bytes);
        abort();
    }
    return 0;
}

#ifdef DYNO_FUZZ_REPLAY
int main(int argc, char **argv)
{
    return replay(argc, argv, NULL, LLVMFuzzerTestOneInput);
}
#endif
