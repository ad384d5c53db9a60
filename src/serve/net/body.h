/* body.h - the bytes of one request as they arrive, inside the budget.
 *
 * A body draws on the budget for what it holds and for what its peer was allowed to send, in
 * steps: announcing a large body takes nothing.  Of one thread until it is moved to another owner.
 */
#ifndef DYNO_SERVE_NET_BODY_H
#define DYNO_SERVE_NET_BODY_H

#include <stddef.h>

#include "base/budget.h"
#include "base/err.h"

#define DYNO_BODY_STEP_BYTES ((size_t)256 * 1024)

struct dyno_body {
    struct dyno_budget *budget;
    char *data;
    size_t bytes;          /* received */
    size_t room_bytes;     /* of `data` */
    size_t promised_bytes; /* taken from the budget */
    size_t expected_bytes; /* announced by the peer; 0: not known */
    size_t limit_bytes;    /* never larger */
};

void dyno_body_init(struct dyno_body *body, struct dyno_budget *budget, size_t limit_bytes);
void dyno_body_fini(struct dyno_body *body);

/* So many bytes are announced.  E_LIMIT.  Memory comes later: a client that announces much and
 * sends little holds little. */
enum dyno_status dyno_body_expect(struct dyno_body *body, size_t bytes, struct dyno_err *err);

/* Take more from the budget so that at least one more byte of the announced ones may come; false
 * when the budget has none. */
bool dyno_body_promise(struct dyno_body *body);

/* Where the next announced bytes go and how many of them may come, at least one; they are added to
 * `bytes` by the caller.  NULL when the budget is spent or memory is. */
char *dyno_body_room(struct dyno_body *body, size_t *bytes_out);

/* Append what came; grows when the length was not known.  E_LIMIT past limit_bytes, E_BUSY when the
 * budget is spent, E_NOMEM. */
enum dyno_status dyno_body_add(struct dyno_body *body, const void *data, size_t bytes,
                               struct dyno_err *err);

#endif /* DYNO_SERVE_NET_BODY_H */
