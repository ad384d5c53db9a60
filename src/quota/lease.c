/* lease.c - the thread that leases slices, and tells what was used. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "quota/internal.h"

#define LOOK_NS    250000000
#define TELL_NS    UINT64_C(2000000000)  /* between two tellings of what was used */
#define BEAT_NS    UINT64_C(30000000000) /* of a node that has nothing to tell */
#define IDLE_NS    UINT64_C(10000000000)
#define EMPTY_NS   UINT64_C(1000000000) /* after an answer that there is nothing more */
#define AHEAD_S    60                   /* the next period is made ready so long before */
#define FLOOR_ASKS 64                   /* a slice is worth while for so many requests */

/* --- slots --- */

static void ready(struct dyno_counter *counter, int64_t time_s)
{
    const struct dyno_term_span span = dyno_term_at(counter->term, time_s);
    struct dyno_budget_slot *slot = &counter->slots[(uint64_t)span.number % DYNO_SLOTS];
    if (atomic_load(&slot->number) == span.number)
        return;
    dyno_slot_begin(slot, span.number, span.first_day, atomic_load(&counter->is_hard));
    atomic_store(&counter->wants, true);
}

/* The present period, the next one when it is near, and at a start the one before, for what the
 * ledger may still have of it. */
void dyno_quota_roll(struct dyno_quota *quota, int64_t now_s)
{
    (void)pthread_mutex_lock(&quota->lock);
    (void)pthread_mutex_lock(&quota->post_lock);
    for (struct dyno_counter *at = quota->counters; at != NULL; at = at->next) {
        const struct dyno_term_span span = dyno_term_at(at->term, now_s);
        if (quota->mark.epoch == 0 && span.first_day > 0)
            ready(at, span.first_day * DYNO_DAY_S - 1);
        ready(at, now_s);
        ready(at, now_s + AHEAD_S);
    }
    (void)pthread_mutex_unlock(&quota->post_lock);
    (void)pthread_mutex_unlock(&quota->lock);
}

/* --- asking --- */

static bool grow(struct dyno_quota *quota, size_t count)
{
    if (count <= quota->ask_room)
        return true;
    const size_t room = count + count / 2;
    struct dyno_lease_ask *asks = dyno_alloc(room, sizeof(*asks));
    struct dyno_budget_slot **slots = dyno_alloc(room, sizeof(struct dyno_budget_slot *));
    struct dyno_counter **counters = dyno_alloc(room, sizeof(struct dyno_counter *));
    if (asks == NULL || slots == NULL || counters == NULL) {
        dyno_free(asks);
        dyno_free(slots);
        dyno_free(counters);
        return false;
    }
    dyno_free(quota->asks);
    dyno_free(quota->ask_slots);
    dyno_free(quota->ask_counters);
    quota->asks = asks;
    quota->ask_slots = slots;
    quota->ask_counters = counters;
    quota->ask_room = room;
    return true;
}

/* What a look at the counters is for. */
struct look {
    uint64_t now_ns;
    bool tells; /* everything that has changed, not only what is wanted */
    bool beats; /* what lies idle, too */
    bool is_last;
};

/* Does a slot want an exchange now, because of itself?  Under the lock of posts. */
static bool is_urgent(struct dyno_counter *counter, const struct dyno_budget_slot *slot,
                      const struct look *look)
{
    const int64_t taken = atomic_load(&slot->taken);
    const int64_t granted = atomic_load(&slot->granted);
    if (atomic_load(&slot->number) == DYNO_SLOT_NONE || counter->is_gone || !slot->is_loaded)
        return false;
    if (!slot->is_told || look->is_last || atomic_load(&counter->has_changed))
        return true;
    if (!atomic_load(&counter->is_hard))
        return false;
    if (granted != slot->told_granted)
        return true;
    const bool is_idle = look->now_ns - counter->asked_ns > IDLE_NS;
    if (is_idle)
        return look->beats && granted > taken;
    const int64_t free = granted - taken;
    return atomic_load(&counter->wants) &&
           (free <= atomic_load(&slot->low) || free < atomic_load(&counter->largest)) &&
           (slot->empty_ns == 0 || look->now_ns - slot->empty_ns > EMPTY_NS);
}

/* Has anything changed that was told?  A mark covers all that is posted, so all of these are in
 * each exchange. */
static bool is_stale(const struct dyno_counter *counter, const struct dyno_budget_slot *slot)
{
    const int64_t used = atomic_load(&slot->used);
    return atomic_load(&slot->number) != DYNO_SLOT_NONE && !counter->is_gone && slot->is_loaded &&
           (used != slot->told_used || slot->rest != slot->told_rest ||
            atomic_load(&slot->taken) - used != slot->told_reserved);
}

static void ask(struct dyno_quota *quota, struct dyno_counter *counter,
                struct dyno_budget_slot *slot, const struct look *look, size_t idx)
{
    const int64_t used = atomic_load(&slot->used);
    const int64_t taken = atomic_load(&slot->taken);
    const int64_t largest = atomic_load(&counter->largest);
    quota->ask_slots[idx] = slot;
    quota->ask_counters[idx] = counter;
    quota->asks[idx] = (struct dyno_lease_ask){
        .key = {counter->key.budget, counter->key.tenant, slot->first_day},
        .limit = atomic_load(&counter->limit),
        .is_soft = !atomic_load(&counter->is_hard),
        .name = counter->name,
        .is_idle = look->now_ns - counter->asked_ns > IDLE_NS && slot->is_told,
        .is_last = look->is_last,
        .used = used,
        .rest = slot->rest,
        .reserved = taken > used && !look->is_last ? taken - used : 0,
        .held = look->is_last || !slot->is_told ? 0 : atomic_load(&slot->granted),
        .floor = largest < DYNO_SPEND_MAX / FLOOR_ASKS ? largest * FLOOR_ASKS : DYNO_SPEND_MAX,
        .alert_count = counter->alert_idx_count,
    };
    memcpy(quota->asks[idx].alerts, counter->alerts, sizeof(counter->alerts));
}

/* What the store has of slots that are new here goes into them, once.  It is read by itself: an
 * exchange of which nobody knows whether it was done can then be done again. */
static enum dyno_status load(struct dyno_quota *quota, struct dyno_err *err)
{
    /* Others only put counters in front, and may wait for the lock of the list. */
    for (struct dyno_counter *at = atomic_load(&quota->first); at != NULL; at = at->next)
        for (int i = 0; i < DYNO_SLOTS; i++) {
            struct dyno_budget_slot *slot = &at->slots[i];
            struct dyno_lease_sums sums;
            if (slot->is_loaded || atomic_load(&slot->number) == DYNO_SLOT_NONE)
                continue;
            const struct dyno_share_key key = {at->key.budget, at->key.tenant, slot->first_day};
            DYNO_TRY(dyno_lease_sum(quota->store, &key, at->name, quota->options.node, &sums, err));
            (void)pthread_mutex_lock(&quota->post_lock);
            dyno_slot_post(slot, 0, ((dyno_i128)sums.used << DYNO_SPEND_BITS) + sums.rest);
            slot->is_loaded = true;
            (void)pthread_mutex_unlock(&quota->post_lock);
        }
    return DYNO_OK;
}

/* Is an exchange wanted at all?  Sets when each counter was asked last. */
static bool is_wanted(struct dyno_quota *quota, const struct look *look)
{
    bool is_urgent_one = false;
    for (struct dyno_counter *at = quota->counters; at != NULL; at = at->next) {
        if (atomic_exchange(&at->was_asked, false))
            at->asked_ns = look->now_ns;
        for (int i = 0; i < DYNO_SLOTS; i++)
            is_urgent_one = is_urgent_one || is_urgent(at, &at->slots[i], look) ||
                            (look->tells && is_stale(at, &at->slots[i]));
    }
    return is_urgent_one;
}

/* Everything that is to be told, as it stands at one moment; false: no memory. */
static bool gather(struct dyno_quota *quota, const struct look *look, size_t *count_out,
                   struct dyno_lease_mark *mark)
{
    size_t count = 0;
    if (!grow(quota, quota->counter_count * DYNO_SLOTS))
        return false;
    (void)pthread_mutex_lock(&quota->post_lock);
    const bool is_wanted_now = is_wanted(quota, look);
    for (struct dyno_counter *at = quota->counters; at != NULL && is_wanted_now; at = at->next) {
        for (int i = 0; i < DYNO_SLOTS; i++)
            if (is_urgent(at, &at->slots[i], look) || is_stale(at, &at->slots[i]))
                ask(quota, at, &at->slots[i], look, count++);
        atomic_store(&at->has_changed, false);
    }
    mark->posted_seq = quota->posted_seq;
    mark->settled_seq = quota->settled_seq;
    (void)pthread_mutex_unlock(&quota->post_lock);
    *count_out = count;
    return true;
}

/* --- the answer --- */

static void tell_alerts(struct dyno_counter *counter, const struct dyno_lease_ask *asked)
{
    char used[DYNO_MONEY_ROOM];
    char limit[DYNO_MONEY_ROOM];
    for (size_t i = 0; i < asked->alert_count; i++) {
        if ((asked->alerted >> i & 1U) == 0)
            continue;
        atomic_fetch_add(&counter->alert_count, 1);
        dyno_log(DYNO_LOG_WARN, "tenant '%s' has used %u %% of its budget %lld: %s of %s %s%s%s",
                 counter->tenant_name, asked->alerts[i], (long long)counter->key.budget,
                 dyno_quota_amount_text(counter->unit, asked->all_used, used),
                 dyno_quota_amount_text(counter->unit, asked->limit, limit),
                 counter->is_work ? "EPU-hours" : counter->unit,
                 counter->term == DYNO_TERM_NONE ? "" : " a ",
                 counter->term == DYNO_TERM_NONE ? "" : dyno_term_text(counter->term));
    }
}

static void take_answer(struct dyno_quota *quota, size_t idx, const struct dyno_lease_ask *was,
                        uint64_t now_ns)
{
    const struct dyno_lease_ask *got = &quota->asks[idx];
    struct dyno_counter *counter = quota->ask_counters[idx];
    struct dyno_budget_slot *slot = quota->ask_slots[idx];
    counter->is_gone = got->is_gone;
    slot->is_told = true;
    slot->told_used = got->used;
    slot->told_rest = got->rest;
    slot->told_reserved = got->reserved;
    atomic_store(&slot->others, got->all_used + got->all_reserved - got->used - got->reserved);
    tell_alerts(counter, got);
    if (got->is_soft || got->is_last)
        return;
    /* The store holds the larger of what is granted now and what was held; less is told next time,
     * when nobody takes more of it any more. */
    const int64_t before = was->held;
    slot->told_granted = got->granted > before ? got->granted : before;
    if (got->granted != before)
        (void)dyno_slot_lower(slot, got->granted);
    const int64_t free = got->granted - got->used - got->reserved;
    atomic_store(&slot->low, free / 2);
    slot->empty_ns = got->granted <= before ? now_ns : 0;
    if (got->granted > before)
        atomic_store(&counter->wants, false);
}

enum dyno_status dyno_quota_exchange(struct dyno_quota *quota, bool is_last, struct dyno_err *err)
{
    const uint64_t now_ns = dyno_clock_ns();
    const struct look look = {.now_ns = now_ns,
                              .tells = is_last || now_ns - quota->told_ns >= TELL_NS,
                              .beats = is_last || now_ns - quota->beat_ns >= BEAT_NS,
                              .is_last = is_last};
    struct dyno_lease_mark mark = quota->mark;
    size_t count = 0;
    DYNO_TRY(load(quota, err));
    (void)pthread_mutex_lock(&quota->lock);
    enum dyno_status status = gather(quota, &look, &count, &mark) ? DYNO_OK : DYNO_NOMEM(err);
    (void)pthread_mutex_unlock(&quota->lock);
    DYNO_TRY(status);
    if (count == 0 && !(look.beats && quota->counters != NULL))
        return DYNO_OK;
    struct dyno_lease_ask *was = dyno_alloc(count + 1, sizeof(*was));
    if (was == NULL)
        return DYNO_NOMEM(err);
    memcpy(was, quota->asks, count * sizeof(*was));
    status = dyno_lease_exchange(quota->store, &mark, dyno_now_s(), quota->asks, count, err);
    if (status == DYNO_OK) {
        quota->mark = mark;
        quota->mark.is_known = true;
        quota->told_ns = look.tells ? now_ns : quota->told_ns;
        quota->beat_ns = look.beats ? now_ns : quota->beat_ns;
        (void)pthread_mutex_lock(&quota->lock);
        for (size_t i = 0; i < count; i++)
            take_answer(quota, i, &was[i], now_ns);
        (void)pthread_mutex_unlock(&quota->lock);
    }
    dyno_free(was);
    return status;
}

/* --- the thread --- */

static bool wait_a_moment(struct dyno_quota *quota)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&quota->wake_lock);
    int code = 0;
    while (!quota->is_ending && !quota->is_woken && code == 0)
        code = pthread_cond_timedwait(&quota->wake, &quota->wake_lock, &until);
    quota->is_woken = false;
    const bool is_ending = quota->is_ending;
    (void)pthread_mutex_unlock(&quota->wake_lock);
    return is_ending;
}

static enum dyno_status beat(struct dyno_quota *quota, struct dyno_err *err)
{
    const int64_t now_s = dyno_now_s();
    const int64_t forgotten_day = dyno_day_of(now_s) - DYNO_QUOTA_KEPT_DAYS;
    dyno_quota_roll(quota, now_s);
    DYNO_TRY(dyno_quota_exchange(quota, false, err));
    if (forgotten_day <= quota->forgotten_day || quota->counters == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_lease_forget(quota->store, forgotten_day, err));
    quota->forgotten_day = forgotten_day;
    return DYNO_OK;
}

void *dyno_quota_keep(void *arg)
{
    struct dyno_quota *quota = arg;
    while (!wait_a_moment(quota)) {
        struct dyno_err err = {0};
        const enum dyno_status status = beat(quota, &err);
        if (status != DYNO_OK && !quota->complained)
            dyno_log(DYNO_LOG_WARN, "%s: budgets are spent as far as they were leased", err.text);
        quota->complained = status != DYNO_OK;
    }
    return NULL;
}
