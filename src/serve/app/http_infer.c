/* http_infer.c - POST /v2/models/M/infer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/app/http.h"

#define ZIP_MIN_BYTES 512 /* smaller answers are not worth packing */

/* --- the answer --- */

static void put(struct dyno_seg *seg, const void *data, size_t bytes)
{
    if (bytes != 0)
        memcpy(seg->data + seg->end, data, bytes);
    seg->end += bytes;
}

/* A segment for `bytes` of body, inside the budget. */
static struct dyno_seg *make_seg(struct dyno_io *io, size_t bytes)
{
    struct dyno_seg *seg = NULL;
    const size_t room = DYNO_HTTP_HEAD_ROOM + bytes;
    if (!dyno_budget_take(&io->server->budget, room))
        return NULL;
    seg = dyno_seg_create(dyno_loop_slab(io->loop), room);
    if (seg == NULL) {
        dyno_budget_give(&io->server->budget, room);
        return NULL;
    }
    seg->budget = &io->server->budget;
    seg->begin = seg->end = DYNO_HTTP_HEAD_ROOM;
    return seg;
}

/* The coding that the client would like, among those it lists. */
static enum dyno_zip wanted_zip(const struct dyno_http_request *request)
{
    const char *accept = dyno_http_header(request, "accept-encoding");
    if (accept == NULL)
        return DYNO_ZIP_NONE;
    if (strstr(accept, "gzip") != NULL)
        return DYNO_ZIP_GZIP;
    return strstr(accept, "deflate") != NULL ? DYNO_ZIP_DEFLATE : DYNO_ZIP_NONE;
}

/* The body packed, or as it is when that fails; says which in `header`. */
static struct dyno_seg *pack(struct dyno_io *io, enum dyno_zip zip, struct dyno_seg *seg,
                             const char **header)
{
    struct dyno_body packed;
    struct dyno_err err = {0};
    *header = "";
    const size_t bytes = seg->end - seg->begin;
    if (zip == DYNO_ZIP_NONE || bytes < ZIP_MIN_BYTES)
        return seg;
    dyno_body_init(&packed, &io->server->budget, bytes);
    struct dyno_seg *smaller = NULL;
    if (dyno_zip_pack(zip, seg->data + seg->begin, bytes, &packed, &err) == DYNO_OK)
        smaller = make_seg(io, packed.bytes);
    if (smaller != NULL) {
        put(smaller, packed.data, packed.bytes);
        dyno_seg_destroy(dyno_loop_slab(io->loop), seg);
        seg = smaller;
        *header =
            zip == DYNO_ZIP_GZIP ? "Content-Encoding: gzip\r\n" : "Content-Encoding: deflate\r\n";
    }
    dyno_body_fini(&packed);
    return seg;
}

static enum dyno_status write_result(struct dyno_call *call, struct dyno_seg **seg_out,
                                     size_t *json_bytes_out, bool *has_raw_out)
{
    struct dyno_io *io = call->io;
    struct dyno_infer_answer answer;
    size_t raw_bytes = 0;
    DYNO_TRY(dyno_call_result(call, &answer, &call->err));
    DYNO_TRY(dyno_v2_json_encode(&answer, &io->text, &raw_bytes, &call->err));
    struct dyno_seg *seg = make_seg(io, io->text.bytes + raw_bytes);
    if (seg == NULL)
        return DYNO_FAIL(&call->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    put(seg, io->text.text, io->text.bytes);
    *has_raw_out = false;
    for (size_t i = 0; i < answer.output_count; i++) {
        if (!answer.wanted[i].is_binary)
            continue;
        *has_raw_out = true;
        put(seg, answer.outputs[i].data, answer.outputs[i].bytes);
    }
    *json_bytes_out = io->text.bytes;
    *seg_out = seg;
    return DYNO_OK;
}

void dyno_call_answer_http(struct dyno_call *call)
{
    struct dyno_io *io = call->io;
    struct dyno_visit *visit = call->visit;
    struct dyno_http_request *request = &visit->request;
    struct dyno_seg *seg = NULL;
    size_t json_bytes = 0;
    bool has_raw = false;
    char extra[128] = "";
    if (call->status == DYNO_OK && request->h1 != NULL)
        call->status = write_result(call, &seg, &json_bytes, &has_raw);
    dyno_strbuf_clear(&io->text);
    if (call->status == DYNO_OK && seg != NULL) {
        const char *coding = "";
        seg = pack(io, wanted_zip(request), seg, &coding);
        if (has_raw)
            (void)snprintf(extra, sizeof(extra), "Inference-Header-Content-Length: %zu\r\n%s",
                           json_bytes, coding);
        else
            (void)snprintf(extra, sizeof(extra), "%s", coding);
        dyno_http_answer(request, 200, has_raw ? "application/octet-stream" : "application/json",
                         extra, seg);
    } else {
        visit->retry_s = (uint32_t)((call->task.retry_ns + 999999999) / 1000000000);
        dyno_visit_answer_error(visit, dyno_http_status(call->status), dyno_call_error(call));
    }
    dyno_call_destroy(call);
}

/* --- the request --- */

/* Inference-Header-Content-Length: a whole number no larger than the body. */
static enum dyno_status json_length(const struct dyno_http_request *request, size_t body_bytes,
                                    bool *is_given, size_t *bytes_out, struct dyno_err *err)
{
    const char *text = dyno_http_header(request, "inference-header-content-length");
    size_t value = 0;
    *is_given = text != NULL;
    *bytes_out = body_bytes;
    if (text == NULL)
        return DYNO_OK;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 18; digits++)
        value = value * 10 + (size_t)(text[digits] - '0');
    if (digits == 0 || text[digits] != 0 || value > body_bytes)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "Inference-Header-Content-Length must be a whole number, at most the "
                         "%zu bytes of the body",
                         body_bytes);
    *bytes_out = value;
    return DYNO_OK;
}

/* "Raw binary request": the body is the only input, at most one dimension of it open. */
static enum dyno_status take_raw(struct dyno_call *call)
{
    struct dyno_variant *variant = NULL;
    DYNO_TRY(dyno_manager_find(call->io->server->manager, call->infer.model, call->infer.version,
                               &variant, &call->err));
    const size_t input_count = variant->input_count;
    struct dyno_v2_tensor *tensor = dyno_arena_alloc(call->arena, 1, sizeof(*tensor));
    if (tensor != NULL && input_count == 1) {
        *tensor = variant->inputs[0];
        tensor->name = dyno_arena_strdup(call->arena, tensor->name);
    }
    dyno_variant_unref(variant);
    if (tensor == NULL || (input_count == 1 && tensor->name == NULL))
        return DYNO_NOMEM(&call->err);
    if (input_count != 1)
        return DYNO_FAIL(&call->err, DYNO_E_ARG,
                         "a raw binary request wants a model of one input, this has %zu",
                         input_count);
    size_t known = dyno_dtype_bits(tensor->dtype) / 8;
    int open = -1;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] >= 0)
            known *= (size_t)tensor->dims[i]; /* of a checked engine: no overflow */
        else if (i == 0)
            tensor->dims[i] = 1; /* a batch of one */
        else if (open < 0)
            open = i;
        else
            return DYNO_FAIL(&call->err, DYNO_E_ARG,
                             "a raw binary request wants an input of one open dimension");
    }
    if (open >= 0)
        tensor->dims[open] = known > 0 ? (int64_t)(call->body.bytes / known) : 0;
    tensor->data = call->body.data;
    tensor->bytes = call->body.bytes;
    if (call->body.bytes != known * (open >= 0 ? (size_t)tensor->dims[open] : 1))
        return DYNO_FAIL(&call->err, DYNO_E_ARG, "%zu bytes are not a whole input '%s'",
                         call->body.bytes, tensor->name);
    call->infer.inputs = tensor;
    call->infer.input_count = 1;
    call->infer.wants_binary = true;
    return DYNO_OK;
}

static enum dyno_status unpack(struct dyno_call *call, enum dyno_zip zip)
{
    struct dyno_body packed = call->body;
    if (zip == DYNO_ZIP_NONE)
        return DYNO_OK;
    dyno_body_init(&call->body, packed.budget, packed.limit_bytes);
    const enum dyno_status status =
        zip == DYNO_ZIP_UNKNOWN
            ? DYNO_FAIL(&call->err, DYNO_E_UNSUPPORTED, "this Content-Encoding is not known")
            : dyno_zip_unpack(zip, packed.data, packed.bytes, &call->body, &call->err);
    dyno_body_fini(&packed);
    return status;
}

static enum dyno_status decode(struct dyno_call *call, const struct dyno_visit *visit)
{
    size_t json_bytes = 0;
    bool is_given = false;
    const char *coding = dyno_http_header(&visit->request, "content-encoding");
    call->infer = (struct dyno_infer){.model = visit->model, .version = visit->version};
    DYNO_TRY(unpack(call, dyno_zip_parse(coding)));
    DYNO_TRY(json_length(&visit->request, call->body.bytes, &is_given, &json_bytes, &call->err));
    if (is_given && json_bytes == 0)
        return take_raw(call);
    const enum dyno_status status =
        dyno_v2_json_decode(call->body.data, call->body.bytes, json_bytes, call->arena,
                            &call->memory, &call->infer, &call->err);
    call->infer.model = visit->model;
    call->infer.version = visit->version;
    return status;
}

void dyno_route_infer(struct dyno_visit *visit)
{
    struct dyno_call *call = dyno_call_create(visit->io);
    if (call == NULL) {
        dyno_visit_answer_error(visit, 503, "out of memory");
        return;
    }
    call->visit = visit;
    visit->call = call;
    call->guest = dyno_guest_ref(visit->guest);
    visit->is_begun = false;
    call->start_ns = visit->request.start_ns;
    call->body = visit->request.body;
    dyno_body_init(&visit->request.body, call->body.budget, 0);
    call->status = decode(call, visit);
    if (call->status == DYNO_OK)
        dyno_call_run(call);
    else
        dyno_call_answer_http(call);
}
