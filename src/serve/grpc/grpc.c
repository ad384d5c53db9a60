/* grpc.c - messages out of DATA, DATA out of messages, deadlines, status. */
#include "serve/grpc/grpc.h"

#include <stdio.h>
#include <string.h>

#define STATUS_TEXT_MAX 1024 /* percent-encoded */
#define ZIP_MIN_BYTES   512  /* smaller messages are not worth packing */

#define FIELD(field_name, field_value)                                                      \
    {                                                                                       \
        .name = (field_name), .name_bytes = sizeof(field_name) - 1, .value = (field_value), \
        .value_bytes = sizeof(field_value) - 1                                              \
    }

static const struct dyno_h2_field head_fields[] = {
    FIELD(":status", "200"),
    FIELD("content-type", "application/grpc"),
    FIELD("grpc-accept-encoding", "identity,deflate,gzip"),
};

static struct dyno_grpc_call *of_stream(struct dyno_h2_stream *stream)
{
    return (struct dyno_grpc_call *)(void *)stream; /* its first member */
}

static struct dyno_slab *slab_of(const struct dyno_grpc_call *call)
{
    return dyno_loop_slab(call->stream.port->loop);
}

/* --- lifetime --- */

struct dyno_grpc_call *dyno_grpc_ref(struct dyno_grpc_call *call)
{
    call->ref_count++;
    return call;
}

void dyno_grpc_unref(struct dyno_grpc_call *call)
{
    struct dyno_slab *slab = slab_of(call);
    DYNO_ASSERT(call->ref_count > 0);
    if (--call->ref_count > 0)
        return;
    call->server->over(call);
    dyno_loop_disarm(call->stream.port->loop, &call->deadline);
    dyno_body_fini(&call->body);
    while (call->out_first != NULL) {
        struct dyno_seg *next = call->out_first->next;
        dyno_seg_destroy(slab, call->out_first);
        call->out_first = next;
    }
    while (call->headers != NULL) {
        struct dyno_grpc_header *next = call->headers->next;
        dyno_slab_free(slab, call->headers);
        call->headers = next;
    }
    dyno_slab_free(slab, call->message_text);
    dyno_h2_free(&call->stream);
}

/* --- output --- */

struct dyno_seg *dyno_grpc_seg(struct dyno_grpc_call *call, size_t bytes)
{
    struct dyno_seg *seg =
        bytes <= UINT32_MAX ? dyno_seg_create(slab_of(call), DYNO_GRPC_PREFIX_BYTES + bytes) : NULL;
    if (seg == NULL)
        return NULL;
    const uint32_t length = __builtin_bswap32((uint32_t)bytes);
    seg->end = DYNO_GRPC_PREFIX_BYTES + bytes;
    seg->data[0] = 0;
    memcpy(seg->data + 1, &length, sizeof(length));
    return seg;
}

static bool packs_answers(const struct dyno_grpc_call *call)
{
    return (call->zip == DYNO_ZIP_GZIP || call->zip == DYNO_ZIP_DEFLATE) &&
           (call->zip_accepts >> call->zip & 1U) != 0;
}

static void open_answer(struct dyno_grpc_call *call)
{
    static const struct dyno_h2_field codings[] = {
        [DYNO_ZIP_GZIP] = FIELD("grpc-encoding", "gzip"),
        [DYNO_ZIP_DEFLATE] = FIELD("grpc-encoding", "deflate"),
    };
    struct dyno_h2_field fields[DYNO_COUNT(head_fields) + 2];
    size_t count = DYNO_COUNT(head_fields);
    if (call->is_open)
        return;
    call->is_open = true;
    memcpy(fields, head_fields, sizeof(head_fields));
    if (call->extra.name != NULL)
        fields[count++] = call->extra;
    if (packs_answers(call))
        fields[count++] = codings[call->zip];
    dyno_h2_respond(&call->stream, fields, count);
}

/* The message packed, or as it is when that does not make it smaller or is not granted. */
static struct dyno_seg *pack(struct dyno_grpc_call *call, struct dyno_seg *seg)
{
    struct dyno_budget *budget = call->server->h2.budget;
    struct dyno_seg *smaller = NULL;
    struct dyno_body packed;
    const char *message = seg->data + seg->begin + DYNO_GRPC_PREFIX_BYTES;
    const size_t bytes = seg->end - seg->begin - DYNO_GRPC_PREFIX_BYTES;
    if (bytes < ZIP_MIN_BYTES)
        return seg;
    dyno_body_init(&packed, budget, bytes - 1);
    if (dyno_zip_pack(call->zip, message, bytes, &packed, NULL) == DYNO_OK &&
        dyno_budget_take(budget, DYNO_GRPC_PREFIX_BYTES + packed.bytes)) {
        smaller = dyno_grpc_seg(call, packed.bytes);
        if (smaller == NULL)
            dyno_budget_give(budget, DYNO_GRPC_PREFIX_BYTES + packed.bytes);
    }
    if (smaller != NULL) {
        smaller->budget = budget;
        smaller->data[0] = 1;
        memcpy(smaller->data + DYNO_GRPC_PREFIX_BYTES, packed.data, packed.bytes);
        dyno_seg_destroy(slab_of(call), seg);
        seg = smaller;
    }
    dyno_body_fini(&packed);
    return seg;
}

void dyno_grpc_send(struct dyno_grpc_call *call, struct dyno_seg *seg)
{
    if (call->stream.h2 == NULL || call->is_finished) {
        dyno_seg_destroy(slab_of(call), seg);
        return;
    }
    if (packs_answers(call))
        seg = pack(call, seg);
    if (call->out_last != NULL)
        call->out_last->next = seg;
    else
        call->out_first = seg;
    call->out_last = seg;
    call->out_bytes += seg->end - seg->begin;
    call->sent_bytes += seg->end - seg->begin;
    open_answer(call);
    dyno_h2_wake(&call->stream);
}

/* The client may send on, unless it is past its limits; was there anything to give? */
static bool give_window(struct dyno_grpc_call *call)
{
    if (call->withheld_bytes == 0 || call->in_flight >= DYNO_GRPC_IN_FLIGHT_MAX ||
        call->out_bytes >= DYNO_GRPC_UNREAD_BYTES_MAX)
        return false;
    dyno_h2_consumed(&call->stream, call->withheld_bytes);
    call->withheld_bytes = 0;
    return true;
}

static size_t ready(struct dyno_h2_stream *stream, bool *last_out)
{
    const struct dyno_grpc_call *call = of_stream(stream);
    *last_out = call->is_finished;
    return call->out_bytes;
}

static void take(struct dyno_h2_stream *stream, char *to, size_t bytes)
{
    struct dyno_grpc_call *call = of_stream(stream);
    call->out_bytes -= bytes;
    while (bytes > 0) {
        struct dyno_seg *seg = call->out_first;
        DYNO_ASSERT(seg != NULL); /* no more is taken than ready() told */
        const size_t here = seg->end - seg->begin < bytes ? seg->end - seg->begin : bytes;
        memcpy(to, seg->data + seg->begin, here);
        to += here;
        bytes -= here;
        seg->begin += here;
        if (seg->begin < seg->end)
            break;
        call->out_first = seg->next;
        if (call->out_first == NULL)
            call->out_last = NULL;
        dyno_seg_destroy(slab_of(call), seg);
    }
    (void)give_window(call);
}

/* grpc-message: what is not printable ASCII, and %, as %XX. */
static size_t encode_text(const char *text, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
    for (; *text != 0 && at + 3 < STATUS_TEXT_MAX; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            out[at++] = (char)c;
        } else {
            out[at++] = '%';
            out[at++] = hex[c >> 4];
            out[at++] = hex[c & 15U];
        }
    }
    return at;
}

static void set_status(struct dyno_grpc_call *call, enum dyno_grpc_status status, const char *text)
{
    call->status = status;
    (void)snprintf(call->status_text, sizeof(call->status_text), "%d", (int)status);
    (void)snprintf(call->retry_text, sizeof(call->retry_text), "%u", call->retry_after_s);
    /* Whose they are is gone before the trailers leave. */
    if (call->limit_policy != NULL && call->limit != NULL) {
        const size_t policy_bytes = strlen(call->limit_policy) + 1;
        const size_t limit_bytes = strlen(call->limit) + 1;
        if (policy_bytes + limit_bytes <= sizeof(call->limit_text)) {
            memcpy(call->limit_text, call->limit_policy, policy_bytes);
            memcpy(call->limit_text + policy_bytes, call->limit, limit_bytes);
        }
    }
    call->limit_policy = call->limit = NULL;
    if (text[0] != 0)
        call->message_text = dyno_slab_alloc(slab_of(call), STATUS_TEXT_MAX);
    if (call->message_text != NULL)
        call->message_text_bytes = encode_text(text, call->message_text);
}

static size_t trailers(struct dyno_h2_stream *stream, struct dyno_h2_field *fields)
{
    const struct dyno_grpc_call *call = of_stream(stream);
    fields[0] = (struct dyno_h2_field){.name = "grpc-status",
                                       .name_bytes = 11,
                                       .value = call->status_text,
                                       .value_bytes = strlen(call->status_text)};
    size_t count = 1;
    if (call->message_text != NULL)
        fields[count++] = (struct dyno_h2_field){.name = "grpc-message",
                                                 .name_bytes = 12,
                                                 .value = call->message_text,
                                                 .value_bytes = call->message_text_bytes};
    if (call->retry_after_s != 0)
        fields[count++] = (struct dyno_h2_field){.name = "retry-after",
                                                 .name_bytes = 11,
                                                 .value = call->retry_text,
                                                 .value_bytes = strlen(call->retry_text)};
    if (call->limit_text[0] == 0)
        return count;
    const size_t policy_bytes = strlen(call->limit_text);
    const char *limit = call->limit_text + policy_bytes + 1;
    fields[count++] = (struct dyno_h2_field){.name = "ratelimit-policy",
                                             .name_bytes = 16,
                                             .value = call->limit_text,
                                             .value_bytes = policy_bytes};
    fields[count++] = (struct dyno_h2_field){
        .name = "ratelimit", .name_bytes = 9, .value = limit, .value_bytes = strlen(limit)};
    return count;
}

void dyno_grpc_finish(struct dyno_grpc_call *call, enum dyno_grpc_status status, const char *text)
{
    struct dyno_h2_field fields[3 + DYNO_H2_TRAILERS_MAX];
    size_t count = 2;
    if (call->is_finished || call->stream.h2 == NULL)
        return;
    call->is_finished = true;
    dyno_loop_disarm(call->stream.port->loop, &call->deadline);
    set_status(call, status, text);
    if (call->is_open) {
        dyno_h2_wake(&call->stream);
        return;
    }
    memcpy(fields, head_fields, 2 * sizeof(fields[0]));
    if (call->extra.name != NULL)
        fields[count++] = call->extra;
    count += trailers(&call->stream, fields + count);
    dyno_h2_respond_only(&call->stream, fields, count);
}

/* Before the application saw the call. */
static void refuse(struct dyno_grpc_call *call, enum dyno_grpc_status status, const char *text)
{
    call->is_refused = true;
    dyno_body_fini(&call->body);
    dyno_grpc_finish(call, status, text);
}

/* The call ends from outside while the application works on it. */
static void cut_short(struct dyno_grpc_call *call, enum dyno_grpc_status status, const char *text)
{
    const bool is_known = call->method != NULL && !call->is_finished;
    refuse(call, status, text);
    if (is_known)
        call->server->gone(call);
}

/* --- headers --- */

static bool is_name(const struct dyno_h2_field *field, const char *name)
{
    return strlen(name) == field->name_bytes && memcmp(field->name, name, field->name_bytes) == 0;
}

/* "15S" and the like: nanoseconds, 0 when it is malformed. */
static uint64_t parse_timeout(const struct dyno_h2_field *field)
{
    static const char units[] = "numSMH";
    static const uint64_t unit_ns[] = {1, 1000, 1000000, 1000000000, 60000000000, 3600000000000};
    uint64_t value = 0;
    const size_t digits = field->value_bytes - 1;
    if (field->value_bytes < 2 || field->value_bytes > 9)
        return 0;
    for (size_t i = 0; i < digits; i++) {
        if (field->value[i] < '0' || field->value[i] > '9')
            return 0;
        value = value * 10 + (uint64_t)(field->value[i] - '0');
    }
    const char *unit = strchr(units, field->value[digits]);
    if (unit == NULL || *unit == 0)
        return 0;
    const uint64_t ns = unit_ns[unit - units];
    return value > UINT64_MAX / 4 / ns ? UINT64_MAX / 4 : value * ns;
}

/* "identity, deflate,gzip": names that are not known mean nothing. */
static void take_accepted(struct dyno_grpc_call *call, const struct dyno_h2_field *field)
{
    for (size_t at = 0; at < field->value_bytes;) {
        char name[16] = "?";
        size_t end = at;
        while (end < field->value_bytes && field->value[end] != ',' && field->value[end] != ' ')
            end++;
        if (end - at < sizeof(name)) {
            memcpy(name, field->value + at, end - at);
            name[end - at] = 0;
        }
        call->zip_accepts |= 1U << dyno_zip_parse(name);
        at = end + 1;
    }
}

static void keep_header(struct dyno_grpc_call *call, const struct dyno_h2_field *field)
{
    struct dyno_grpc_header *kept =
        dyno_slab_alloc(slab_of(call), sizeof(*kept) + field->name_bytes + field->value_bytes + 2);
    if (kept == NULL)
        return;
    kept->next = call->headers;
    kept->value_bytes = field->value_bytes;
    memcpy(kept->text, field->name, field->name_bytes);
    kept->text[field->name_bytes] = 0;
    memcpy(kept->text + field->name_bytes + 1, field->value, field->value_bytes);
    kept->text[field->name_bytes + 1 + field->value_bytes] = 0;
    call->headers = kept;
}

const char *dyno_grpc_header(const struct dyno_grpc_call *call, const char *name)
{
    for (const struct dyno_grpc_header *at = call->headers; at != NULL; at = at->next)
        if (strcmp(at->text, name) == 0)
            return at->text + strlen(at->text) + 1;
    return NULL;
}

static const struct dyno_grpc_method *find_method(const struct dyno_grpc_server *server,
                                                  const struct dyno_h2_field *field)
{
    for (size_t i = 0; i < server->method_count; i++) {
        const char *path = server->methods[i].path;
        if (strlen(path) == field->value_bytes &&
            memcmp(path, field->value, field->value_bytes) == 0)
            return &server->methods[i];
    }
    return NULL;
}

static void header(struct dyno_h2_stream *stream, const struct dyno_h2_field *field)
{
    struct dyno_grpc_call *call = of_stream(stream);
    if (call->server == NULL) {
        call->server = (const struct dyno_grpc_server *)stream->port->owner;
        call->ref_count = 1;
        call->http_status = 200;
        call->start_ns = dyno_loop_now_ns(stream->port->loop);
        dyno_body_init(&call->body, call->server->h2.budget, call->server->message_bytes_max);
    }
    if (is_name(field, ":path")) {
        call->method = find_method(call->server, field);
    } else if (is_name(field, ":method")) {
        call->is_post = field->value_bytes == 4 && memcmp(field->value, "POST", 4) == 0;
    } else if (is_name(field, "content-type")) {
        call->is_grpc =
            field->value_bytes >= 16 && memcmp(field->value, "application/grpc", 16) == 0;
    } else if (is_name(field, "grpc-timeout")) {
        const uint64_t ns = parse_timeout(field);
        call->deadline_ns = call->start_ns + ns;
    } else if (is_name(field, "grpc-encoding")) {
        char name[16] = "?";
        if (field->value_bytes < sizeof(name)) {
            memcpy(name, field->value, field->value_bytes);
            name[field->value_bytes] = 0;
        }
        call->zip = dyno_zip_parse(name);
    } else if (is_name(field, "grpc-accept-encoding")) {
        take_accepted(call, field);
    } else if (call->server->wants_header != NULL && call->server->wants_header(call, field)) {
        keep_header(call, field);
    }
}

static void pass_deadline(struct dyno_timer *timer)
{
    struct dyno_grpc_call *call =
        (struct dyno_grpc_call *)(void *)((char *)timer -
                                          offsetof(struct dyno_grpc_call, deadline));
    dyno_grpc_ref(call);
    cut_short(call, DYNO_GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
    dyno_grpc_unref(call);
}

static void head(struct dyno_h2_stream *stream)
{
    static const struct dyno_h2_field not_grpc[] = {FIELD(":status", "415")};
    static const struct dyno_h2_field not_post[] = {FIELD(":status", "405")};
    struct dyno_grpc_call *call = of_stream(stream);
    const char *text = "";
    enum dyno_grpc_status status = DYNO_GRPC_OK;
    if (call->server->begin != NULL)
        call->server->begin(call);
    if (!call->is_post || !call->is_grpc) {
        call->is_refused = call->is_finished = true;
        call->http_status = call->is_post ? 415 : 405;
        dyno_h2_respond_only(stream, call->is_post ? not_grpc : not_post, 1);
    } else if (call->method == NULL) {
        refuse(call, DYNO_GRPC_UNIMPLEMENTED, "there is no such method");
    } else if (call->zip == DYNO_ZIP_UNKNOWN) {
        refuse(call, DYNO_GRPC_UNIMPLEMENTED, "this grpc-encoding is not known");
    } else if ((status = call->server->head(call, &text)) != DYNO_GRPC_OK) {
        refuse(call, status, text);
    } else if (call->deadline_ns != 0) {
        call->deadline.fire = pass_deadline;
        if (!dyno_loop_arm(stream->port->loop, &call->deadline, call->deadline_ns))
            refuse(call, DYNO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
    }
}

/* --- messages --- */

static void fail_message(struct dyno_grpc_call *call, enum dyno_status status, const char *text)
{
    cut_short(call,
              status == DYNO_E_FORMAT ? DYNO_GRPC_INVALID_ARGUMENT
              : status == DYNO_E_BUSY ? DYNO_GRPC_UNAVAILABLE
                                      : DYNO_GRPC_RESOURCE_EXHAUSTED,
              text);
}

static void deliver(struct dyno_grpc_call *call)
{
    struct dyno_err err = {0};
    struct dyno_body body = call->body;
    dyno_body_init(&call->body, body.budget, body.limit_bytes);
    const bool is_packed = call->prefix[0] != 0;
    call->prefix_bytes = 0;
    if (is_packed) {
        struct dyno_body unpacked;
        dyno_body_init(&unpacked, body.budget, body.limit_bytes);
        const enum dyno_status status =
            dyno_zip_unpack(call->zip, body.data, body.bytes, &unpacked, &err);
        dyno_body_fini(&body);
        if (status != DYNO_OK) {
            dyno_body_fini(&unpacked);
            fail_message(call, status, err.text);
            return;
        }
        body = unpacked;
    }
    call->in_flight++;
    call->method->message(call, &body);
}

/* The prefix is whole. */
static bool begin_message(struct dyno_grpc_call *call)
{
    uint32_t length = 0;
    struct dyno_err err = {0};
    memcpy(&length, call->prefix + 1, sizeof(length));
    call->message_bytes = __builtin_bswap32(length);
    if (call->prefix[0] > 1 || (call->prefix[0] == 1 && call->zip == DYNO_ZIP_NONE)) {
        cut_short(call, DYNO_GRPC_INTERNAL,
                  "a message with a compression flag that was not agreed");
        return false;
    }
    const enum dyno_status status = dyno_body_expect(&call->body, call->message_bytes, &err);
    if (status == DYNO_OK)
        return true;
    fail_message(call, status, err.text);
    return false;
}

/* Bytes of one message; returns how many were used. */
static size_t take_message(struct dyno_grpc_call *call, const char *data, size_t bytes)
{
    struct dyno_err err = {0};
    size_t used = 0;
    if (call->prefix_bytes < DYNO_GRPC_PREFIX_BYTES) {
        used = (size_t)(DYNO_GRPC_PREFIX_BYTES - call->prefix_bytes);
        used = used < bytes ? used : bytes;
        memcpy(call->prefix + call->prefix_bytes, data, used);
        call->prefix_bytes += (uint8_t)used;
        if (call->prefix_bytes < DYNO_GRPC_PREFIX_BYTES || !begin_message(call))
            return used;
    }
    const size_t left = call->message_bytes - call->body.bytes;
    const size_t here = bytes - used < left ? bytes - used : left;
    const enum dyno_status status = dyno_body_add(&call->body, data + used, here, &err);
    if (status != DYNO_OK)
        fail_message(call, status, err.text);
    else if (here == left && call->method->is_streaming)
        deliver(call);
    else if (here == left)
        call->has_message = true;
    return used + here;
}

static void data(struct dyno_h2_stream *stream, const char *bytes_in, size_t bytes)
{
    struct dyno_grpc_call *call = of_stream(stream);
    const size_t total = bytes;
    call->received_bytes += bytes;
    dyno_grpc_ref(call);
    while (bytes > 0 && !call->is_refused && !call->is_finished) {
        if (call->has_message) {
            cut_short(call, DYNO_GRPC_INTERNAL, "more than one message in a unary call");
            break;
        }
        const size_t used = take_message(call, bytes_in, bytes);
        bytes_in += used;
        bytes -= used;
    }
    call->withheld_bytes += total;
    (void)give_window(call);
    dyno_grpc_unref(call);
}

void dyno_grpc_release(struct dyno_grpc_call *call)
{
    DYNO_ASSERT(call->in_flight > 0);
    call->in_flight--;
    if (give_window(call))
        dyno_h2_wake(&call->stream);
}

static void end(struct dyno_h2_stream *stream)
{
    struct dyno_grpc_call *call = of_stream(stream);
    if (call->is_refused || call->is_finished)
        return;
    if (call->has_message)
        deliver(call);
    else if (call->prefix_bytes > 0)
        cut_short(call, DYNO_GRPC_INTERNAL, "the stream ended inside a message");
    else if (call->method->is_streaming)
        call->server->half_closed(call);
    else
        refuse(call, DYNO_GRPC_INTERNAL, "a unary call without a message");
}

static void closed(struct dyno_h2_stream *stream)
{
    struct dyno_grpc_call *call = of_stream(stream);
    if (call->server == NULL) { /* not one header came */
        dyno_h2_free(stream);
        return;
    }
    dyno_loop_disarm(stream->port->loop, &call->deadline);
    if (call->method != NULL && !call->is_finished)
        call->server->gone(call);
    dyno_grpc_unref(call);
}

void dyno_grpc_server_init(struct dyno_grpc_server *server, struct dyno_budget *budget,
                           size_t call_bytes)
{
    server->h2.stream_bytes = call_bytes;
    server->h2.header = header;
    server->h2.head = head;
    server->h2.data = data;
    server->h2.end = end;
    server->h2.ready = ready;
    server->h2.take = take;
    server->h2.trailers = trailers;
    server->h2.closed = closed;
    server->h2.budget = budget;
}
