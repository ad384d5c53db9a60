/* reserve.c - one request: what it takes, whether that is left, what it was in the end. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "quota/internal.h"

#define RETRY_MAX_S      31622400 /* a leap year */
#define RETRY_PREPAID_S  3600
#define RETRY_UNPRICED_S 60
#define FIELD_MAX        INT64_C(999999999999999) /* of a structured field (RFC 9651) */
#define RATES_KEPT       64

const char *dyno_quota_amount_text(const char *unit, dyno_i128 amount, char out[DYNO_MONEY_ROOM])
{
    const struct dyno_currency *currency = dyno_currency_find(unit);
    if (strcmp(unit, DYNO_BUDGET_EPU) == 0)
        return dyno_epu_text(amount > 0 ? (dyno_u128)amount : 0, out);
    return dyno_decimal_text(amount, 9, currency != NULL ? currency->decimals : 2, out);
}

/* --- prices --- */

/* A price that was worked out: the tariff of a tenant, for a class and an engine. */
struct kept_rate {
    uint64_t book; /* id; 0: none */
    int64_t tenant;
    const void *subject;
    int class_idx;
    int64_t from_s, until_s; /* it is the one in force */
    struct dyno_rate rate, cold;
};
static _Thread_local struct kept_rate kept_rates[RATES_KEPT];

static enum dyno_status find_rate(const struct dyno_quota *quota,
                                  const struct dyno_counter *counter,
                                  const struct dyno_spend *spend,
                                  struct dyno_reservation *reservation, struct dyno_err *err)
{
    const int64_t start_s = (int64_t)(spend->start_ns / 1000000000U);
    const size_t idx = ((uintptr_t)spend->subject / 64 + (size_t)counter->key.tenant * 7 +
                        (size_t)spend->class_idx) %
                       RATES_KEPT;
    struct kept_rate *kept = &kept_rates[idx];
    int64_t until_s = 0;
    /* Asked before the tariff: one that is replaced meanwhile is asked again by the next. */
    const uint64_t book = dyno_quota_book_id(quota);
    if (book != 0 && kept->book == book && kept->tenant == counter->key.tenant &&
        kept->subject == spend->subject && kept->class_idx == spend->class_idx &&
        start_s >= kept->from_s && start_s < kept->until_s) {
        reservation->rate = kept->rate;
        reservation->cold = kept->cold;
        return DYNO_OK;
    }
    const struct dyno_tariff *tariff =
        dyno_quota_tariff(quota, counter->tenant_name, start_s, &until_s);
    if (tariff == NULL)
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "tenant '%s' has a budget in %s and no tariff in force, so what this "
                         "request costs is not known",
                         counter->tenant_name, counter->unit);
    if (!dyno_rate_of(tariff, spend->speed_up_ppm, spend->class_name, spend->precision,
                      &reservation->rate) ||
        !dyno_rate_of_cold_start(tariff, &reservation->cold))
        return DYNO_FAIL(err, DYNO_E_BUSY, "a price of tariff '%.128s' is too large", tariff->name);
    *kept = (struct kept_rate){.book = book,
                               .tenant = counter->key.tenant,
                               .subject = spend->subject,
                               .class_idx = spend->class_idx,
                               .from_s = start_s,
                               .until_s = until_s,
                               .rate = reservation->rate,
                               .cold = reservation->cold};
    return DYNO_OK;
}

static int64_t clip(dyno_u128 amount)
{
    return amount < (dyno_u128)DYNO_SPEND_MAX ? (int64_t)amount : DYNO_SPEND_MAX;
}

dyno_u128 dyno_quota_work(uint64_t reference_ns)
{
    return (dyno_u128)clip(reference_ns) << DYNO_SPEND_BITS;
}

dyno_u128 dyno_quota_money(const struct dyno_rate *rate, uint64_t reference_ns, uint64_t core_ns)
{
    return dyno_rate_amount(rate, rate->is_by_device ? core_ns : reference_ns);
}

/* Time of a whole device is that of as many cores as the tariff says. */
static uint64_t core_ns_of(uint64_t ns, bool is_device, const struct dyno_rate *rate)
{
    if (is_device && __builtin_mul_overflow(ns, rate->device_cores, &ns))
        ns = UINT64_MAX;
    return ns;
}

uint64_t dyno_quota_core_ns(const struct dyno_record *record, const struct dyno_rate *rate)
{
    return core_ns_of(record->device_ns, (record->flags & DYNO_RECORD_CORE_NS) == 0, rate);
}

uint64_t dyno_quota_factor(const struct dyno_quota *quota, const char *device_class)
{
    return quota->options.factors != NULL ? dyno_factors_find(&quota->factors, device_class)
                                          : DYNO_FACTOR_ONE;
}

uint64_t dyno_quota_tied(uint64_t reference_ns, uint64_t factor_1e9)
{
    const dyno_u128 tied = (dyno_u128)reference_ns * DYNO_FACTOR_ONE / factor_1e9;
    return tied < UINT64_MAX ? (uint64_t)tied : UINT64_MAX;
}

/* --- refusing --- */

static const char *unit_text(const struct dyno_counter *counter)
{
    return counter->is_work ? "EPU-hours" : counter->unit;
}

/* As machines read it: millionths of an EPU-hour, or of the currency's unit. */
static int64_t micros(const struct dyno_counter *counter, int64_t amount)
{
    const int64_t value = counter->is_work ? amount / 3600000 : amount / 1000;
    return value < 0 ? 0 : value < FIELD_MAX ? value : FIELD_MAX;
}

static void put_fields(const struct dyno_counter *counter, const struct dyno_term_span *span,
                       int64_t left, struct dyno_quota_refusal *refusal)
{
    const int64_t day_s = DYNO_DAY_S;
    const int written = snprintf(
        refusal->policy, sizeof(refusal->policy), "\"budget-%lld\";q=%lld;qu=\"micro-%s\"",
        (long long)counter->key.budget, (long long)micros(counter, atomic_load(&counter->limit)),
        counter->is_work ? "epu-hours" : counter->unit);
    if (counter->term == DYNO_TERM_NONE) {
        (void)snprintf(refusal->limit, sizeof(refusal->limit), "\"budget-%lld\";r=%lld",
                       (long long)counter->key.budget, (long long)micros(counter, left));
        return;
    }
    (void)snprintf(refusal->policy + written, sizeof(refusal->policy) - (size_t)written, ";w=%lld",
                   (long long)(span->next_s - span->first_day * day_s));
    (void)snprintf(refusal->limit, sizeof(refusal->limit), "\"budget-%lld\";r=%lld;t=%u",
                   (long long)counter->key.budget, (long long)micros(counter, left),
                   refusal->retry_s);
}

static int64_t left_of(const struct dyno_counter *counter, const struct dyno_budget_slot *slot)
{
    const int64_t left =
        atomic_load(&counter->limit) - atomic_load(&slot->taken) - atomic_load(&slot->others);
    return left > 0 ? left : 0;
}

/* amount 0: nothing is left for anybody, whatever he wants. */
static enum dyno_status refuse(struct dyno_counter *counter, struct dyno_budget_slot *slot,
                               const struct dyno_term_span *span, int64_t amount, int64_t start_s,
                               struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    char limit_text[DYNO_MONEY_ROOM];
    char left_text[DYNO_MONEY_ROOM];
    char amount_text[DYNO_MONEY_ROOM];
    char when[DYNO_TIME_TEXT_ROOM];
    struct dyno_strbuf scope = {0};
    const int64_t limit = atomic_load(&counter->limit);
    const int64_t left = slot != NULL ? left_of(counter, slot) : limit;
    const struct dyno_tenant_budget budget = {
        .term = counter->term, .model = counter->model, .class_name = counter->class_name};
    (void)dyno_quota_amount_text(counter->unit, limit, limit_text);
    (void)dyno_quota_amount_text(counter->unit, left, left_text);
    (void)dyno_quota_amount_text(counter->unit, amount, amount_text);
    char wants[DYNO_MONEY_ROOM + 32] = "";
    if (amount > 0)
        (void)snprintf(wants, sizeof(wants), ", and this request takes %s", amount_text);
    dyno_budget_print_scope(&budget, &scope);
    const char *before = scope.bytes > 0 ? " " : "";
    enum dyno_status status = DYNO_E_QUOTA;
    if (slot == NULL || (amount > 0 && left >= amount)) {
        refusal->retry_s = 1;
        status = DYNO_FAIL(err, DYNO_E_QUOTA,
                           "tenant '%s' has %s of its budget of %s %s%s%s left, and this server "
                           "is asking for another part of it: again in 1 s",
                           counter->tenant_name, left_text, limit_text, unit_text(counter), before,
                           dyno_strbuf_text(&scope));
    } else if (counter->term == DYNO_TERM_NONE) {
        refusal->retry_s = RETRY_PREPAID_S;
        status = DYNO_FAIL(err, DYNO_E_QUOTA,
                           "tenant '%s' has used up its prepaid %s %s%s%s: %s left%s; "
                           "again when it is topped up",
                           counter->tenant_name, limit_text, unit_text(counter), before,
                           dyno_strbuf_text(&scope), left_text, wants);
    } else {
        const int64_t wait_s = span->next_s - start_s;
        refusal->retry_s = (uint32_t)(wait_s < 1 ? 1 : wait_s < RETRY_MAX_S ? wait_s : RETRY_MAX_S);
        status = DYNO_FAIL(err, DYNO_E_QUOTA,
                           "tenant '%s' has used up its budget of %s %s%s%s: %s left%s; "
                           "again at %s",
                           counter->tenant_name, limit_text, unit_text(counter), before,
                           dyno_strbuf_text(&scope), left_text, wants,
                           dyno_time_text(span->next_s, when));
    }
    dyno_strbuf_fini(&scope);
    put_fields(counter, span, left, refusal);
    return status;
}

/* --- taking --- */

/* The period that a request lies in.  Which day begins a month takes the C library's lock to know:
 * each thread remembers the last one. */
static struct dyno_term_span span_at(enum dyno_term term, int64_t time_s)
{
    static _Thread_local struct {
        struct dyno_term_span span;
        int64_t day; /* 1 and more: 0 is never now */
    } kept[DYNO_TERM_NONE + 1];
    const int64_t day = dyno_day_of(time_s);
    if (day == 0 || kept[term].day != day) {
        kept[term].span = dyno_term_at(term, time_s);
        kept[term].day = day;
    }
    return kept[term].span;
}

static bool applies(const struct dyno_counter *counter, const struct dyno_spend *spend)
{
    return (counter->model[0] == 0 || strcmp(counter->model, spend->model) == 0) &&
           (counter->class_name[0] == 0 || strcmp(counter->class_name, spend->class_name) == 0) &&
           spend->start_ns / 1000000000U >= (uint64_t)counter->key.created_s;
}

/* The thread that leases looks anyway, but maybe not soon enough. */
static void want(struct dyno_counter *counter)
{
    if (!atomic_exchange(&counter->wants, true))
        dyno_quota_wake(counter->quota);
}

/* Notes that the counter is in use, and how much at a time. */
static void note(struct dyno_counter *counter, int64_t amount)
{
    if (!atomic_load_explicit(&counter->was_asked, memory_order_relaxed))
        atomic_store_explicit(&counter->was_asked, true, memory_order_relaxed);
    if (amount > atomic_load_explicit(&counter->largest, memory_order_relaxed))
        atomic_store_explicit(&counter->largest, amount, memory_order_relaxed);
}

static enum dyno_status take(struct dyno_counter *counter, int64_t amount, int64_t start_s,
                             struct dyno_reservation *reservation,
                             struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    const struct dyno_term_span span = span_at(counter->term, start_s);
    struct dyno_budget_slot *slot = dyno_counter_slot(counter, span.number);
    note(counter, amount);
    if (slot == NULL && !atomic_load(&counter->is_hard))
        return DYNO_OK; /* a clock that jumps: nothing is held up for a warning */
    if (slot == NULL || !dyno_slot_take(slot, amount)) {
        want(counter);
        return refuse(counter, slot, &span, amount, start_s, refusal, err);
    }
    if (atomic_load(&slot->granted) - atomic_load(&slot->taken) <= atomic_load(&slot->low))
        want(counter);
    if (!counter->is_work)
        reservation->money_mask |= 1U << reservation->count;
    reservation->slots[reservation->count++] = slot;
    return DYNO_OK;
}

/* Work in units of the reference device; the table of devices is asked with the first counter. */
static enum dyno_status tie(const struct dyno_quota *quota, const struct dyno_spend *spend,
                            struct dyno_reservation *reservation, struct dyno_err *err)
{
    if (reservation->factor_1e9 != 0)
        return DYNO_OK;
    const char *device = spend->device_class != NULL ? spend->device_class : "";
    const uint64_t factor = dyno_quota_factor(quota, device);
    if (factor == 0)
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "budgets are counted on the reference device, and %s has no row of device "
                         "'%.64s'",
                         quota->options.factors, device);
    reservation->factor_1e9 = factor;
    reservation->work = clip(dyno_quota_tied(spend->reference_ns, factor));
    return DYNO_OK;
}

/* The amount of the counter's kind; the price is looked up with the first that wants one. */
static enum dyno_status price(const struct dyno_counter *counter, const struct dyno_spend *spend,
                              struct dyno_reservation *reservation, bool *has_rate,
                              struct dyno_err *err)
{
    const struct dyno_tariff_book *book = dyno_quota_book(counter->quota);
    if (counter->is_work)
        return DYNO_OK;
    if (book != NULL && book->tariff_count > 0 &&
        strcmp(book->tariffs[0].currency->code, counter->unit) != 0)
        return DYNO_FAIL(err, DYNO_E_BUSY, "tenant '%s' has a budget in %s, and prices are in %s",
                         counter->tenant_name, counter->unit, book->tariffs[0].currency->code);
    if (*has_rate)
        return DYNO_OK;
    DYNO_TRY(find_rate(counter->quota, counter, spend, reservation, err));
    const dyno_u128 amount = dyno_quota_money(
        &reservation->rate, dyno_quota_tied(spend->reference_ns, reservation->factor_1e9),
        core_ns_of(spend->core_ns, spend->is_device, &reservation->rate));
    reservation->money = clip((amount >> DYNO_SPEND_BITS) + 1); /* never too little */
    *has_rate = true;
    return DYNO_OK;
}

enum dyno_status dyno_quota_reserve(struct dyno_counter *const *counters, size_t count,
                                    const struct dyno_spend *spend,
                                    struct dyno_reservation *reservation,
                                    struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    const int64_t start_s = (int64_t)(spend->start_ns / 1000000000U);
    bool has_rate = false;
    *reservation = (struct dyno_reservation){0};
    for (size_t i = 0; i < count; i++) {
        struct dyno_counter *counter = counters[i];
        if (!applies(counter, spend))
            continue;
        reservation->quota = counter->quota;
        enum dyno_status status = DYNO_OK;
        if (reservation->count == DYNO_SPEND_BUDGETS_MAX) /* a file that nobody of us wrote */
            status = DYNO_FAIL(err, DYNO_E_BUSY, "tenant '%s' has more budgets than there can be",
                               counter->tenant_name);
        else if (counter->quota->store == NULL)
            status = DYNO_FAIL(err, DYNO_E_BUSY,
                               "tenant '%s' has a budget, and this server writes no ledger to "
                               "count by",
                               counter->tenant_name);
        if (status == DYNO_OK)
            status = tie(counter->quota, spend, reservation, err);
        if (status == DYNO_OK)
            status = price(counter, spend, reservation, &has_rate, err);
        if (status != DYNO_OK && !atomic_load(&counter->is_hard))
            continue;
        if (status == DYNO_OK)
            status = take(counter, counter->is_work ? reservation->work : reservation->money,
                          start_s, reservation, refusal, err);
        else
            refusal->retry_s = RETRY_UNPRICED_S;
        if (status != DYNO_OK) {
            dyno_quota_release(reservation);
            return status;
        }
    }
    if (err != NULL)
        *err = (struct dyno_err){0};
    return DYNO_OK;
}

enum dyno_status dyno_quota_has_left(struct dyno_counter *const *counters, size_t count,
                                     const struct dyno_spend *spend,
                                     struct dyno_quota_refusal *refusal, struct dyno_err *err)
{
    const int64_t start_s = (int64_t)(spend->start_ns / 1000000000U);
    for (size_t i = 0; i < count; i++) {
        struct dyno_counter *counter = counters[i];
        if (!applies(counter, spend) || !atomic_load(&counter->is_hard))
            continue;
        const struct dyno_term_span span = span_at(counter->term, start_s);
        struct dyno_budget_slot *slot = dyno_counter_slot(counter, span.number);
        if (slot == NULL || left_of(counter, slot) > 0)
            continue;
        note(counter, 0);
        want(counter); /* others may have given something back */
        return refuse(counter, slot, &span, 0, start_s, refusal, err);
    }
    return DYNO_OK;
}

static int64_t taken_of(const struct dyno_reservation *reservation, uint32_t i)
{
    return (reservation->money_mask >> i & 1U) != 0 ? reservation->money : reservation->work;
}

void dyno_quota_release(struct dyno_reservation *reservation)
{
    for (uint32_t i = 0; i < reservation->count && !reservation->is_posted; i++)
        dyno_slot_give(reservation->slots[i], taken_of(reservation, i));
    reservation->quota = NULL;
    reservation->count = 0;
}

/* --- posting --- */

void dyno_quota_group_begins(struct dyno_quota *quota)
{
    (void)pthread_mutex_lock(&quota->post_lock);
}

void dyno_quota_group_ends(struct dyno_quota *quota, uint64_t last_seq, uint64_t settled_seq)
{
    quota->posted_seq = last_seq;
    quota->settled_seq = settled_seq;
    (void)pthread_mutex_unlock(&quota->post_lock);
}

struct dyno_reservation dyno_quota_cold_start(const struct dyno_reservation *of)
{
    struct dyno_reservation load = {.quota = of->quota, .factor_1e9 = of->factor_1e9};
    load.rate = of->cold;
    for (uint32_t i = 0; i < of->count; i++)
        if ((of->money_mask >> i & 1U) != 0) {
            load.money_mask |= 1U << load.count;
            load.slots[load.count++] = of->slots[i];
        }
    return load;
}

void dyno_quota_post(const struct dyno_record *record, struct dyno_reservation *reservation)
{
    if (reservation->count == 0)
        return;
    if (record->kind == DYNO_RECORD_PLATFORM || record->outcome == DYNO_OUTCOME_OK) {
        const uint64_t reference_ns =
            dyno_quota_tied(record->reference_ns, reservation->factor_1e9);
        reservation->posted_work = dyno_quota_work(reference_ns);
        if (reservation->money_mask != 0)
            reservation->posted_money = dyno_quota_money(
                &reservation->rate, reference_ns, dyno_quota_core_ns(record, &reservation->rate));
    }
    for (uint32_t i = 0; i < reservation->count; i++) {
        const bool is_money = (reservation->money_mask >> i & 1U) != 0;
        dyno_slot_post(
            reservation->slots[i], taken_of(reservation, i),
            (dyno_i128)(is_money ? reservation->posted_money : reservation->posted_work));
    }
    reservation->is_posted = true;
}

void dyno_quota_void(struct dyno_reservation *reservation)
{
    for (uint32_t i = 0; i < reservation->count && reservation->is_posted; i++) {
        const bool is_money = (reservation->money_mask >> i & 1U) != 0;
        dyno_slot_post(
            reservation->slots[i], 0,
            -(dyno_i128)(is_money ? reservation->posted_money : reservation->posted_work));
    }
    reservation->count = 0;
}
