/* book.c - making books, and finding a key in one. */
#include "serve/gate/book.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "control/budget.h"
#include "serve/gate/internal.h"

#define SLOTS_MIN 16

/* --- policies --- */

struct dyno_policy *dyno_policy_ref(struct dyno_policy *policy)
{
    atomic_fetch_add_explicit(&policy->ref_count, 1, memory_order_relaxed);
    return policy;
}

void dyno_policy_unref(struct dyno_policy *policy)
{
    if (atomic_fetch_sub_explicit(&policy->ref_count, 1, memory_order_acq_rel) != 1)
        return;
    dyno_allowance_unref(policy->allowance);
    dyno_free(policy);
}

static struct dyno_limits limits_of(const struct dyno_tenant *tenant)
{
    const double second = ceil(tenant->rate_per_s);
    return (struct dyno_limits){.rate_per_s = tenant->rate_per_s,
                                .burst = tenant->burst != 0 ? tenant->burst : fmax(1, second),
                                .concurrent_max = tenant->concurrent_max,
                                .period = tenant->period,
                                .quota_requests = tenant->quota_requests,
                                .quota_device_ns = tenant->quota_device_ns};
}

/* Copy the text to *at, and move that behind it. */
static const char *put_text(char **at, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *to = memcpy(*at, text, bytes);
    *at += bytes;
    return to;
}

/* One block: the policy, its keys, its list of models, all text.  Counts and lengths were limited
 * when they were read. */
static struct dyno_policy *make_policy(const struct dyno_tenant *tenant,
                                       struct dyno_counter *const *counters, size_t counter_count)
{
    struct dyno_policy *policy = NULL;
    const size_t key_bytes = tenant->key_count * sizeof(policy->keys[0]);
    const size_t list_bytes = tenant->model_count * sizeof(policy->models[0]);
    const size_t counter_bytes = counter_count * sizeof(policy->counters[0]);
    size_t text_bytes = strlen(tenant->name) + strlen(tenant->class_name) + 2;
    for (size_t i = 0; i < tenant->model_count; i++)
        text_bytes += strlen(tenant->models[i]) + 1;
    policy = dyno_alloc(1, sizeof(*policy) + key_bytes + list_bytes + counter_bytes + text_bytes);
    if (policy == NULL)
        return NULL;
    char *end = (char *)policy + sizeof(*policy) + key_bytes;
    policy->models = (const char **)(void *)end;
    end += list_bytes;
    policy->counters = (struct dyno_counter **)(void *)end;
    policy->counter_count = counter_count;
    if (counter_count > 0)
        memcpy(policy->counters, counters, counter_bytes);
    end += counter_bytes;
    const char *name = put_text(&end, tenant->name);
    const char *class_name = put_text(&end, tenant->class_name);
    for (size_t i = 0; i < tenant->model_count; i++)
        policy->models[i] = put_text(&end, tenant->models[i]);
    atomic_init(&policy->ref_count, 1);
    policy->tenant = tenant->id;
    policy->created_s = tenant->created_s;
    policy->enabled = tenant->enabled;
    policy->permits = tenant->permits;
    policy->limits = limits_of(tenant);
    policy->model_count = tenant->model_count;
    policy->key_count = tenant->key_count;
    for (size_t i = 0; i < tenant->key_count; i++) {
        struct dyno_keyholder *holder = &policy->keys[i];
        holder->guest = (struct dyno_guest){
            .tenant = (uint64_t)tenant->id, .name = name, .class_name = class_name};
        holder->policy = policy;
        holder->ends_s = tenant->keys[i].ends_s;
        memcpy(holder->digest, tenant->keys[i].digest, sizeof(holder->digest));
    }
    return policy;
}

/* --- the table --- */

static size_t home_of(const struct dyno_book *book, const uint8_t *digest)
{
    uint64_t word = 0;
    memcpy(&word, digest, sizeof(word)); /* of SHA-256: any part is as good as a hash */
    return (size_t)word & (book->slot_count - 1);
}

static void put_keys(struct dyno_book *book, struct dyno_policy *policy)
{
    for (size_t i = 0; i < policy->key_count; i++) {
        size_t at = home_of(book, policy->keys[i].digest);
        while (book->slots[at] != NULL)
            at = (at + 1) & (book->slot_count - 1);
        book->slots[at] = &policy->keys[i];
    }
}

struct dyno_keyholder *dyno_book_find(const struct dyno_book *book,
                                      const uint8_t digest[DYNO_DIGEST_BYTES])
{
    size_t at = home_of(book, digest);
    for (; book->slots[at] != NULL; at = (at + 1) & (book->slot_count - 1))
        if (dyno_digest_same(book->slots[at]->digest, digest))
            return book->slots[at];
    return NULL;
}

/* --- books --- */

/* The allowance of the same tenant before, or one that begins.  A restored database may give an id
 * again. */
static struct dyno_allowance *find_allowance(const struct dyno_book *before,
                                             const struct dyno_tenant *tenant)
{
    size_t low = 0;
    size_t high = before != NULL ? before->policy_count : 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct dyno_policy *policy = before->policies[middle];
        if (policy->tenant == tenant->id && policy->created_s == tenant->created_s)
            return dyno_allowance_ref(policy->allowance);
        if (policy->tenant < tenant->id)
            low = middle + 1;
        else
            high = middle;
    }
    return dyno_allowance_create();
}

static enum dyno_status add(struct dyno_book *book, struct dyno_gate *gate,
                            const struct dyno_book_rows *rows, const struct dyno_tenant *tenant,
                            const struct dyno_book *before, struct dyno_err *err)
{
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    size_t counter_count = 0;
    if (gate->quota != NULL)
        DYNO_TRY(dyno_quota_counters(gate->quota, tenant, rows->budgets, rows->budget_count,
                                     counters, &counter_count, err));
    struct dyno_policy *policy = make_policy(tenant, counters, counter_count);
    if (policy == NULL)
        return DYNO_NOMEM(err);
    policy->allowance = find_allowance(before, tenant);
    if (policy->allowance == NULL) {
        dyno_free(policy);
        return DYNO_NOMEM(err);
    }
    dyno_allowance_load(policy->allowance, rows->day, &tenant->day_use, &tenant->month_use);
    policy->gate = gate;
    policy->version = book->version;
    book->policies[book->policy_count++] = policy;
    put_keys(book, policy);
    return DYNO_OK;
}

enum dyno_status dyno_book_create(struct dyno_gate *gate, uint64_t version,
                                  const struct dyno_book_rows *rows, const struct dyno_book *before,
                                  struct dyno_book **book_out, struct dyno_err *err)
{
    size_t key_count = 0;
    *book_out = NULL;
    for (size_t i = 0; i < rows->count; i++)
        key_count += rows->tenants[i].key_count;
    struct dyno_book *book = dyno_alloc(1, sizeof(*book));
    if (book == NULL)
        return DYNO_NOMEM(err);
    book->version = version;
    for (book->slot_count = SLOTS_MIN; book->slot_count < 2 * key_count;)
        book->slot_count *= 2;
    book->policies = dyno_alloc(rows->count + 1, sizeof(struct dyno_policy *));
    book->slots = dyno_alloc(book->slot_count, sizeof(struct dyno_keyholder *));
    enum dyno_status status =
        book->policies != NULL && book->slots != NULL ? DYNO_OK : DYNO_NOMEM(err);
    for (size_t i = 0; i < rows->count && status == DYNO_OK; i++)
        status = add(book, gate, rows, &rows->tenants[i], before, err);
    if (status != DYNO_OK) {
        dyno_book_destroy(book);
        return status;
    }
    *book_out = book;
    return DYNO_OK;
}

void dyno_book_destroy(struct dyno_book *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; book->policies != NULL && i < book->policy_count; i++)
        dyno_policy_unref(book->policies[i]);
    dyno_free(book->policies);
    dyno_free(book->slots);
    dyno_free(book);
}
