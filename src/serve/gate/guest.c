/* guest.c - the judgement: who is let in, and how much he may. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "serve/gate/internal.h"

static struct dyno_keyholder *holder_of(struct dyno_guest *guest)
{
    return (struct dyno_keyholder *)(void *)guest; /* its first member; not of anybody */
}

struct dyno_guest *dyno_guest_ref(struct dyno_guest *guest)
{
    if (guest->tenant != 0)
        (void)dyno_policy_ref(holder_of(guest)->policy);
    return guest;
}

void dyno_guest_unref(struct dyno_guest *guest)
{
    if (guest != NULL && guest->tenant != 0)
        dyno_policy_unref(holder_of(guest)->policy);
}

/* --- keys --- */

/* The holder of that key as the book has him now, referenced; NULL: nobody, or not any more. */
static struct dyno_keyholder *find(struct dyno_gate *gate, const uint8_t digest[DYNO_DIGEST_BYTES])
{
    (void)pthread_mutex_lock(&gate->lock);
    struct dyno_keyholder *holder = dyno_book_find(gate->book, digest);
    if (holder != NULL)
        (void)dyno_policy_ref(holder->policy);
    (void)pthread_mutex_unlock(&gate->lock);
    if (holder == NULL || holder->ends_s == 0 || holder->ends_s > dyno_now_s())
        return holder;
    dyno_policy_unref(holder->policy);
    return NULL;
}

static void wipe(const char *text)
{
    if (text != NULL)
        explicit_bzero((char *)(uintptr_t)text, strlen(text)); /* the caller's own memory */
}

void dyno_credentials_wipe(const struct dyno_credentials *credentials)
{
    wipe(credentials->authorization);
    wipe(credentials->key);
}

/* The key among what was shown; NULL: none. */
static const char *key_of(const struct dyno_credentials *shown)
{
    static const char scheme[] = "Bearer ";
    const size_t bytes = sizeof(scheme) - 1;
    if (shown->authorization == NULL || strncasecmp(shown->authorization, scheme, bytes) != 0)
        return shown->key;
    const char *key = shown->authorization + bytes;
    return key + strspn(key, " ");
}

/* What is refused is counted: by reason, not by who asks. */
static enum dyno_status counted(struct dyno_gate *gate, enum dyno_status status)
{
    if (status == DYNO_OK || status == DYNO_E_NOMEM)
        return status;
    const enum dyno_refusal why = status == DYNO_E_UNKNOWN_CALLER ? DYNO_REFUSED_UNKNOWN
                                  : status == DYNO_E_QUOTA        ? DYNO_REFUSED_LIMIT
                                                                  : DYNO_REFUSED_DENIED;
    atomic_fetch_add_explicit(&gate->refusal_counts[why], 1, memory_order_relaxed);
    return status;
}

void dyno_gate_refusals(struct dyno_gate *gate, uint64_t counts_out[DYNO_REFUSALS])
{
    for (int i = 0; i < DYNO_REFUSALS; i++)
        counts_out[i] = atomic_load_explicit(&gate->refusal_counts[i], memory_order_relaxed);
}

static enum dyno_status judge(const struct dyno_keyholder *holder, enum dyno_permit permit,
                              struct dyno_err *err)
{
    if (!holder->policy->enabled)
        return DYNO_FAIL(err, DYNO_E_DENIED, "tenant '%s' is disabled", holder->guest.name);
    if ((holder->policy->permits & permit) == 0)
        return DYNO_FAIL(err, DYNO_E_DENIED, "tenant '%s' lacks the right '%s'", holder->guest.name,
                         dyno_permit_text(permit));
    return DYNO_OK;
}

static enum dyno_status not_known(struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_UNKNOWN_CALLER, "the key is not known, or not any more");
}

static enum dyno_permit permit_for(enum dyno_right right)
{
    switch (right) {
    case DYNO_RIGHT_READ:
        return DYNO_PERMIT_READ;
    case DYNO_RIGHT_INFER:
        return DYNO_PERMIT_INFER;
    case DYNO_RIGHT_METRICS:
        return DYNO_PERMIT_METRICS;
    case DYNO_RIGHT_OPEN:
    case DYNO_RIGHT_CONTROL:
        break;
    }
    return DYNO_PERMIT_CONTROL;
}

static enum dyno_status admit(struct dyno_gate *gate, const struct dyno_credentials *credentials,
                              enum dyno_right right, struct dyno_guest **guest_out,
                              struct dyno_err *err)
{
    uint8_t digest[DYNO_DIGEST_BYTES];
    *guest_out = NULL;
    if (right == DYNO_RIGHT_OPEN || gate->control_db == NULL) {
        *guest_out = &gate->anybody;
        return DYNO_OK;
    }
    const char *key = key_of(credentials);
    if (key == NULL)
        return DYNO_FAIL(err, DYNO_E_UNKNOWN_CALLER,
                         "a key is wanted: Authorization: Bearer KEY, or %s: KEY",
                         gate->key_header);
    if (!dyno_key_digest(key, strnlen(key, DYNO_KEY_TEXT_BYTES + 1), digest))
        return not_known(err);
    struct dyno_keyholder *holder = find(gate, digest);
    if (holder == NULL)
        return not_known(err);
    const enum dyno_status status = judge(holder, permit_for(right), err);
    if (status != DYNO_OK) {
        dyno_policy_unref(holder->policy);
        return status;
    }
    *guest_out = &holder->guest;
    return DYNO_OK;
}

enum dyno_status dyno_gate_admit(struct dyno_gate *gate, const struct dyno_credentials *credentials,
                                 enum dyno_right right, struct dyno_guest **guest_out,
                                 struct dyno_err *err)
{
    return counted(gate, admit(gate, credentials, right, guest_out, err));
}

/* --- what he does --- */

static struct dyno_gate *gate_of(struct dyno_guest *guest)
{
    return holder_of(guest)->policy->gate;
}

/* The same key as the book has it now, referenced; NULL: it is not valid any more. */
static struct dyno_keyholder *renew(struct dyno_keyholder *holder)
{
    struct dyno_policy *policy = holder->policy;
    if (atomic_load(&policy->gate->version) != policy->version || holder->ends_s != 0)
        return find(policy->gate, holder->digest);
    (void)dyno_policy_ref(policy);
    return holder;
}

enum dyno_status dyno_guest_begin(struct dyno_guest *guest, uint32_t *retry_s_out,
                                  struct dyno_err *err)
{
    *retry_s_out = 0;
    if (guest->tenant == 0)
        return DYNO_OK;
    const struct dyno_moment now = {.now_s = dyno_now_s(), .now_ns = dyno_clock_ns()};
    struct dyno_keyholder *holder = renew(holder_of(guest));
    if (holder == NULL)
        return counted(gate_of(guest), not_known(err));
    enum dyno_status status = judge(holder, DYNO_PERMIT_INFER, err);
    /* The allowance is that of the guest himself: there he ends, too. */
    if (status == DYNO_OK)
        status = dyno_allowance_begin(holder_of(guest)->policy->allowance, &holder->policy->limits,
                                      guest->name, now, retry_s_out, err);
    dyno_policy_unref(holder->policy);
    return counted(gate_of(guest), status);
}

void dyno_guest_end(struct dyno_guest *guest, uint64_t device_ns)
{
    if (guest->tenant != 0)
        dyno_allowance_end(holder_of(guest)->policy->allowance, device_ns, dyno_now_s());
}

/* --- budgets --- */

/* As of now: somebody may have been given one since he was let in. */
bool dyno_guest_has_budgets(const struct dyno_guest *guest)
{
    const struct dyno_keyholder *holder = (const void *)guest;
    if (guest->tenant == 0)
        return false;
    const struct dyno_policy *policy = holder->policy;
    return policy->counter_count > 0 || atomic_load(&policy->gate->version) != policy->version;
}

enum dyno_status dyno_guest_reserve(struct dyno_guest *guest, const struct dyno_spend *spend,
                                    struct dyno_reservation *reservation,
                                    struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    *reservation = (struct dyno_reservation){0};
    if (guest->tenant == 0)
        return DYNO_OK;
    struct dyno_keyholder *holder = renew(holder_of(guest));
    if (holder == NULL)
        return counted(gate_of(guest), not_known(err));
    const struct dyno_policy *policy = holder->policy;
    const enum dyno_status status = dyno_quota_reserve(policy->counters, policy->counter_count,
                                                       spend, reservation, refusal, err);
    dyno_policy_unref(holder->policy);
    return counted(gate_of(guest), status);
}

enum dyno_status dyno_guest_has_left(struct dyno_guest *guest, const struct dyno_spend *spend,
                                     struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    struct dyno_keyholder *holder = renew(holder_of(guest)); /* he has budgets: not anybody */
    if (holder == NULL)
        return counted(gate_of(guest), not_known(err));
    const struct dyno_policy *policy = holder->policy;
    const enum dyno_status status =
        dyno_quota_has_left(policy->counters, policy->counter_count, spend, refusal, err);
    dyno_policy_unref(holder->policy);
    return counted(gate_of(guest), status);
}

/* --- models --- */

static bool has_model(const struct dyno_policy *policy, const char *model)
{
    bool found = policy->model_count == 0;
    for (size_t i = 0; i < policy->model_count && !found; i++)
        found = strcmp(policy->models[i], model) == 0;
    return found;
}

bool dyno_guest_sees(const struct dyno_guest *guest, const char *model)
{
    const struct dyno_keyholder *holder = (const void *)guest;
    return guest->tenant == 0 || has_model(holder->policy, model);
}

enum dyno_status dyno_guest_check_model(struct dyno_guest *guest, const char *model,
                                        struct dyno_err *err)
{
    if (guest->tenant == 0)
        return DYNO_OK;
    struct dyno_keyholder *holder = renew(holder_of(guest));
    if (holder == NULL)
        return counted(gate_of(guest), not_known(err));
    const bool may = has_model(holder->policy, model);
    dyno_policy_unref(holder->policy);
    /* The name is not repeated: it is anything that somebody wrote. */
    return may ? DYNO_OK
               : counted(gate_of(guest),
                         DYNO_FAIL(err, DYNO_E_DENIED, "tenant '%s' may not use this model",
                                   guest->name));
}
