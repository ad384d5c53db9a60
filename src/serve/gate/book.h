/* book.h - everybody who is known, as the control database had it at one moment.
 *
 * A book is not changed once it is made.  Its policies, one a tenant, live as long as a guest of
 * them does; allowances pass from book to book.
 */
#ifndef DYNO_SERVE_GATE_BOOK_H
#define DYNO_SERVE_GATE_BOOK_H

#include <stdatomic.h>

#include "quota/quota.h"
#include "serve/gate/allowance.h"
#include "serve/gate/gate.h"

/* A tenant by one of its keys: a guest. */
struct dyno_keyholder {
    struct dyno_guest guest; /* first */
    struct dyno_policy *policy;
    uint8_t digest[DYNO_DIGEST_BYTES];
    int64_t ends_s; /* 0: never */
};

struct dyno_policy {
    atomic_uint_fast32_t ref_count; /* of the book and of guests */
    uint64_t version;               /* of its book */
    struct dyno_gate *gate;
    int64_t tenant, created_s;
    bool enabled;
    uint32_t permits;
    struct dyno_limits limits;
    struct dyno_allowance *allowance;
    const char **models;
    size_t model_count;
    struct dyno_counter **counters; /* of its budgets: the quota's */
    size_t counter_count;
    size_t key_count;
    struct dyno_keyholder keys[];
};

struct dyno_book {
    uint64_t version;
    struct dyno_policy **policies; /* by tenant */
    size_t policy_count;
    struct dyno_keyholder **slots; /* a table of digests, at most half full */
    size_t slot_count;             /* a power of two */
};

/* What a book is made of: everybody, and their budgets. */
struct dyno_book_rows {
    const struct dyno_tenant *tenants;
    const struct dyno_tenant_budget *budgets; /* as dyno_control_read_budgets gives them */
    size_t count, budget_count;
    int64_t day; /* until which tenants used what they say */
};
/* A book of these; allowances are those of the book `before` (may be NULL) where the tenant is the
 * same. */
enum dyno_status dyno_book_create(struct dyno_gate *gate, uint64_t version,
                                  const struct dyno_book_rows *rows, const struct dyno_book *before,
                                  struct dyno_book **book_out, struct dyno_err *err);
void dyno_book_destroy(struct dyno_book *book); /* accepts NULL */

/* Not referenced; NULL: nobody. */
struct dyno_keyholder *dyno_book_find(const struct dyno_book *book,
                                      const uint8_t digest[DYNO_DIGEST_BYTES]);

struct dyno_policy *dyno_policy_ref(struct dyno_policy *policy);
void dyno_policy_unref(struct dyno_policy *policy);

#endif /* DYNO_SERVE_GATE_BOOK_H */
