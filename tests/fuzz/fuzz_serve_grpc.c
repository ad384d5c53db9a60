/* fuzz_serve_grpc.c - any bytes as a client of the gRPC server, behind a preface that is right; the
 * first byte says in which pieces they come.  Every message is sent back.
 */
#include <stdio.h>
#include <string.h>

#include "loopback.h"
#include "replay.h"
#include "serve/grpc/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void on_message(struct dyno_grpc_call *call, struct dyno_body *body)
{
    struct dyno_seg *seg = dyno_grpc_seg(call, body->bytes);
    if (seg == NULL)
        abort();
    if (body->bytes != 0)
        memcpy(seg->data + DYNO_GRPC_PREFIX_BYTES, body->data, body->bytes);
    dyno_body_fini(body);
    dyno_grpc_send(call, seg);
    dyno_grpc_release(call);
    if (!call->method->is_streaming)
        dyno_grpc_finish(call, DYNO_GRPC_OK, "");
}

static void on_half_closed(struct dyno_grpc_call *call)
{
    dyno_grpc_finish(call, DYNO_GRPC_UNKNOWN, "the end \x80%");
}

static void nothing(struct dyno_grpc_call *call)
{
    (void)call;
}

static bool wants_header(const struct dyno_grpc_call *call, const struct dyno_h2_field *field)
{
    (void)call;
    return field->name_bytes > 0 && field->name[0] == 'x';
}

static enum dyno_grpc_status on_head(struct dyno_grpc_call *call, const char **text_out)
{
    *text_out = "no";
    return dyno_grpc_header(call, "k") != NULL ? DYNO_GRPC_UNAUTHENTICATED : DYNO_GRPC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct dyno_grpc_method methods[] = {{"/a", false, 0, 0, on_message},
                                                      {"/b", true, 0, 0, on_message}};
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static uint8_t whole[1 << 20];
    struct dyno_budget budget = {.limit_bytes = 65536};
    struct dyno_grpc_server server = {.methods = methods,
                                      .method_count = DYNO_COUNT(methods),
                                      .message_bytes_max = 50000,
                                      .wants_header = wants_header,
                                      .gone = nothing,
                                      .over = nothing,
                                      .half_closed = on_half_closed};
    const size_t preface_bytes = sizeof(preface) - 1;
    if (bytes == 0 || bytes > sizeof(whole) - preface_bytes)
        return 0;
    dyno_grpc_server_init(&server, &budget, sizeof(struct dyno_grpc_call));
    server.head = on_head;
    server.h2.idle_ns = UINT64_MAX;
    memcpy(whole, preface, preface_bytes);
    memcpy(whole + preface_bytes, data + 1, bytes - 1);
    loopback_run(dyno_http2_accept, &server.h2, whole, preface_bytes + bytes - 1, data[0]);
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
