/* http_infer.c - inferences over HTTP: their answers, and POST /v2/models/M/infer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/app/http.h"
#include "serve/app/usage.h"
#include "serve/v2/generate.h"

#define ZIP_MIN_BYTES 512                   /* smaller answers are not worth packing */
#define TEXT_KEPT_MAX ((size_t)1024 * 1024) /* of an I/O thread, between two answers */

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

/* What the body is beside its bytes. */
struct content {
    const char *type;
    bool has_raw; /* tensors after json_bytes */
    size_t json_bytes;
};

static enum dyno_status write_text(const struct dyno_visit *visit,
                                   const struct dyno_infer_answer *answer, struct dyno_strbuf *text,
                                   size_t *raw_bytes_out, struct dyno_err *err)
{
    *raw_bytes_out = 0;
    if (visit->form == DYNO_FORM_INFER)
        return dyno_v2_json_encode(answer, text, raw_bytes_out, err);
    if (visit->form == DYNO_FORM_EVENTS)
        dyno_strbuf_puts(text, "data: ");
    DYNO_TRY(dyno_v2_generate_encode(answer, text, err));
    if (visit->form == DYNO_FORM_EVENTS)
        dyno_strbuf_puts(text, "\n\n");
    return dyno_strbuf_ok(text) ? DYNO_OK : DYNO_NOMEM(err);
}

/* The text of numbers takes several times their bytes: while it is written it is in the budget. */
static enum dyno_status write_answer(struct dyno_call *call, const struct dyno_infer_answer *answer,
                                     struct dyno_seg **seg_out, struct content *content)
{
    struct dyno_io *io = call->io;
    struct dyno_budget *budget = &io->server->budget;
    const size_t promised = dyno_v2_json_bytes_max(answer);
    size_t raw_bytes = 0;
    if (!dyno_budget_take(budget, promised))
        return DYNO_FAIL(&call->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    enum dyno_status status = write_text(call->visit, answer, &io->text, &raw_bytes, &call->err);
    struct dyno_seg *seg = status == DYNO_OK ? make_seg(io, io->text.bytes + raw_bytes) : NULL;
    if (seg != NULL)
        put(seg, io->text.text, io->text.bytes);
    content->json_bytes = io->text.bytes;
    dyno_strbuf_clear(&io->text);
    if (io->text.capacity_bytes > TEXT_KEPT_MAX)
        dyno_strbuf_fini(&io->text);
    dyno_budget_give(budget, promised);
    if (status == DYNO_OK && seg == NULL)
        status = DYNO_FAIL(&call->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    *seg_out = seg;
    return status;
}

static enum dyno_status write_result(struct dyno_call *call, struct dyno_seg **seg_out,
                                     struct content *content)
{
    struct dyno_infer_answer answer;
    DYNO_TRY(dyno_call_result(call, &answer, &call->err));
    DYNO_TRY(write_answer(call, &answer, seg_out, content));
    for (size_t i = 0; i < answer.output_count; i++) {
        if (!answer.wanted[i].is_binary || answer.outputs[i].place.region != NULL)
            continue;
        content->has_raw = true;
        put(*seg_out, answer.outputs[i].data, answer.outputs[i].bytes);
    }
    content->type = call->visit->form == DYNO_FORM_EVENTS ? "text/event-stream; charset=utf-8"
                    : content->has_raw                    ? "application/octet-stream"
                                                          : "application/json";
    return DYNO_OK;
}

static void answer_good(struct dyno_visit *visit, struct dyno_seg *seg,
                        const struct content *content)
{
    char load[256];
    char length[64] = "";
    char extra[512];
    const char *coding = "";
    seg = pack(visit->io, dyno_zip_choose(dyno_http_header(&visit->request, "accept-encoding")),
               seg, &coding);
    dyno_visit_print_load(visit, load, sizeof(load));
    if (content->has_raw)
        (void)snprintf(length, sizeof(length), "Inference-Header-Content-Length: %zu\r\n",
                       content->json_bytes);
    (void)snprintf(extra, sizeof(extra), "%s%s%s", length, coding, load);
    visit->call->has_left = true;
    dyno_http_answer(&visit->request, 200, content->type, extra, seg);
}

/* A run that failed is an event, too; what was refused before it is an answer like any other. */
static void answer_bad(struct dyno_visit *visit, const struct dyno_call *call)
{
    const int status = dyno_http_status(call->status);
    const char *text = dyno_call_error(call);
    visit->retry_s = (uint32_t)((call->task.retry_ns + 999999999) / 1000000000);
    visit->limit_policy = call->limit_policy;
    visit->limit = call->limit;
    if (visit->form != DYNO_FORM_EVENTS || !call->was_submitted) {
        dyno_visit_answer_error(visit, status, text);
        return;
    }
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_strbuf_puts(json.out, "data: ");
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "error", text);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(json.out, "\n\n");
    dyno_visit_answer_text(visit, status, "text/event-stream; charset=utf-8", json.out);
    dyno_strbuf_clear(json.out);
}

void dyno_call_answer_http(struct dyno_call *call)
{
    struct dyno_visit *visit = call->visit;
    struct dyno_seg *seg = NULL;
    struct content content = {0};
    if (call->usage != NULL)
        call->usage->conn = dyno_http_hold(&visit->request, &call->io->usage.hold,
                                           call->usage->entry.record.id.seq);
    if (call->status == DYNO_OK && visit->request.h1 != NULL)
        call->status = write_result(call, &seg, &content);
    if (call->status == DYNO_OK && seg != NULL)
        answer_good(visit, seg, &content);
    else
        answer_bad(visit, call);
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
    DYNO_TRY(dyno_call_find(call, dyno_visit_decode, &variant));
    if (variant == NULL)
        return DYNO_OK; /* it waits */
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

static enum dyno_status decode_infer(struct dyno_call *call, const struct dyno_visit *visit)
{
    size_t json_bytes = 0;
    bool is_given = false;
    DYNO_TRY(json_length(&visit->request, call->body.bytes, &is_given, &json_bytes, &call->err));
    if (is_given && json_bytes == 0)
        return take_raw(call);
    return dyno_v2_json_decode(call->body.data, call->body.bytes, json_bytes, call->arena,
                               &call->memory, &call->infer, &call->err);
}

void dyno_visit_decode(struct dyno_call *call)
{
    const struct dyno_visit *visit = call->visit;
    call->status = visit->decode(call, visit);
    call->infer.model = visit->model; /* of a decoder's own they are nobody's */
    call->infer.version = visit->version;
    if (call->is_waiting)
        return;
    if (call->status == DYNO_OK)
        dyno_call_run(call);
    else
        dyno_call_answer_http(call);
}

void dyno_visit_infer(struct dyno_visit *visit, enum dyno_form form, dyno_decode_fn *decode)
{
    const char *coding = dyno_http_header(&visit->request, "content-encoding");
    struct dyno_call *call = dyno_call_create(visit->io);
    if (call == NULL) {
        dyno_visit_answer_error(visit, 503, "out of memory");
        return;
    }
    call->visit = visit;
    visit->call = call;
    call->guest = dyno_guest_ref(visit->guest);
    visit->is_begun = false;
    visit->form = form;
    call->start_ns = visit->request.start_ns;
    call->body = visit->request.body;
    dyno_body_init(&visit->request.body, call->body.budget, 0);
    call->infer = (struct dyno_infer){.model = visit->model, .version = visit->version};
    visit->decode = decode;
    call->status = unpack(call, dyno_zip_parse(coding));
    if (call->status == DYNO_OK)
        dyno_visit_decode(call);
    else
        dyno_call_answer_http(call);
}

void dyno_route_infer(struct dyno_visit *visit)
{
    dyno_visit_infer(visit, DYNO_FORM_INFER, decode_infer);
}
