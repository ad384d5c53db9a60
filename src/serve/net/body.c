/* body.c - promises before memory, memory before bytes. */
#include "serve/net/body.h"

#include <string.h>

#include "base/mem.h"

#define FIRST_BYTES     ((size_t)4096)
#define ANNOUNCED_BYTES ((size_t)1024 * 1024) /* must come before the rest gets memory */

void dyno_body_init(struct dyno_body *body, struct dyno_budget *budget, size_t limit_bytes)
{
    *body = (struct dyno_body){.budget = budget, .limit_bytes = limit_bytes};
}

void dyno_body_fini(struct dyno_body *body)
{
    dyno_free(body->data);
    if (body->promised_bytes != 0)
        dyno_budget_give(body->budget, body->promised_bytes);
    *body = (struct dyno_body){0};
}

enum dyno_status dyno_body_expect(struct dyno_body *body, size_t bytes, struct dyno_err *err)
{
    if (bytes > body->limit_bytes)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a request body of %zu bytes, at most %zu are taken",
                         bytes, body->limit_bytes);
    body->expected_bytes = bytes;
    return DYNO_OK;
}

/* Take from the budget in steps up to `total`. */
static bool promise(struct dyno_body *body, size_t total, size_t wanted)
{
    while (body->promised_bytes < total) {
        size_t more = wanted - body->promised_bytes;
        more = more < DYNO_BODY_STEP_BYTES ? more : DYNO_BODY_STEP_BYTES;
        if (!dyno_budget_take(body->budget, more))
            return false;
        body->promised_bytes += more;
    }
    return true;
}

bool dyno_body_promise(struct dyno_body *body)
{
    return body->bytes == body->expected_bytes ||
           promise(body, body->bytes + 1, body->expected_bytes);
}

/* Memory for `total` bytes: of the announced size once a first part of it came. */
static bool grow(struct dyno_body *body, size_t total)
{
    if (total <= body->room_bytes)
        return true;
    size_t room = body->room_bytes * 2 > FIRST_BYTES ? body->room_bytes * 2 : FIRST_BYTES;
    if (body->expected_bytes != 0)
        room = total <= ANNOUNCED_BYTES && body->expected_bytes > ANNOUNCED_BYTES
                   ? ANNOUNCED_BYTES
                   : body->expected_bytes;
    room = room > total ? room : total;
    room = room < body->limit_bytes ? room : body->limit_bytes;
    char *moved = dyno_alloc_raw(room, 1);
    if (moved == NULL)
        return false;
    if (body->bytes != 0)
        memcpy(moved, body->data, body->bytes);
    dyno_free(body->data);
    body->data = moved;
    body->room_bytes = room;
    return true;
}

char *dyno_body_room(struct dyno_body *body, size_t *bytes_out)
{
    if (!dyno_body_promise(body) || !grow(body, body->bytes + 1))
        return NULL;
    const size_t end =
        body->promised_bytes < body->room_bytes ? body->promised_bytes : body->room_bytes;
    *bytes_out = end - body->bytes;
    return body->data + body->bytes;
}

enum dyno_status dyno_body_add(struct dyno_body *body, const void *data, size_t bytes,
                               struct dyno_err *err)
{
    if (bytes > body->limit_bytes - body->bytes)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a request body of more than %zu bytes",
                         body->limit_bytes);
    const size_t total = body->bytes + bytes;
    const size_t wanted = total > body->expected_bytes ? total : body->expected_bytes;
    if (!promise(body, total, wanted))
        return DYNO_FAIL(err, DYNO_E_BUSY, "the server has too many bytes in flight");
    if (!grow(body, total))
        return DYNO_NOMEM(err);
    if (bytes != 0)
        memcpy(body->data + body->bytes, data, bytes);
    body->bytes = total;
    return DYNO_OK;
}
