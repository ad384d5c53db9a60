/* quota.c - its life, its counters, its metrics. */
#include "quota/quota.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "meter/cert/factor_file.h"
#include "quota/internal.h"

#define BUSY_MS    200
#define LAST_TRIES 10    /* BUSY_MS each where the database is locked */
#define ROWS_MAX   10000 /* of metrics */

/* --- opening --- */

static enum dyno_status open_quota(struct dyno_quota *quota, struct dyno_err *err)
{
    bool is_new = false;
    quota->arena = dyno_arena_create();
    if (quota->arena == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_quota_read_book(quota, &is_new, err));
    if (quota->options.factors != NULL)
        DYNO_TRY(dyno_factors_load(quota->options.factors, quota->arena, &quota->factors, err));
    if (quota->options.control_db == NULL || quota->options.ledger == NULL)
        return DYNO_OK;
    if (quota->options.budget_db != NULL)
        return dyno_lease_open_pg(quota->options.budget_db, &quota->is_hurried, &quota->store, err);
    return dyno_lease_open_control(quota->options.control_db, BUSY_MS, &quota->store, err);
}

static void init_locks(struct dyno_quota *quota)
{
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&quota->lock, NULL);
    (void)pthread_mutex_init(&quota->post_lock, NULL);
    (void)pthread_mutex_init(&quota->book_lock, NULL);
    (void)pthread_mutex_init(&quota->wake_lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&quota->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static void free_quota(struct dyno_quota *quota)
{
    while (quota->counters != NULL) {
        struct dyno_counter *next = quota->counters->next;
        dyno_free(quota->counters);
        quota->counters = next;
    }
    dyno_map_fini(&quota->by_key);
    dyno_lease_close(quota->store);
    dyno_quota_free_books(quota);
    dyno_arena_destroy(quota->arena);
    dyno_free(quota->asks);
    dyno_free(quota->ask_slots);
    dyno_free(quota->ask_counters);
    (void)pthread_cond_destroy(&quota->wake);
    (void)pthread_mutex_destroy(&quota->wake_lock);
    (void)pthread_mutex_destroy(&quota->book_lock);
    (void)pthread_mutex_destroy(&quota->post_lock);
    (void)pthread_mutex_destroy(&quota->lock);
    dyno_free(quota);
}

enum dyno_status dyno_quota_create(const struct dyno_quota_options *options,
                                   struct dyno_quota **quota_out, struct dyno_err *err)
{
    *quota_out = NULL;
    struct dyno_quota *quota = dyno_alloc(1, sizeof(*quota));
    if (quota == NULL)
        return DYNO_NOMEM(err);
    quota->options = *options;
    init_locks(quota);
    const enum dyno_status status = open_quota(quota, err);
    if (status != DYNO_OK) {
        free_quota(quota);
        return status;
    }
    *quota_out = quota;
    return DYNO_OK;
}

/* What the ledger has of epochs before, into the slots. */
static enum dyno_status begin(struct dyno_quota *quota, uint32_t epoch, struct dyno_err *err)
{
    struct dyno_lease_mark mark = {.node = quota->options.node};
    dyno_quota_roll(quota, dyno_now_s());
    DYNO_TRY(dyno_lease_read_mark(quota->store, &mark, err));
    DYNO_TRY(dyno_quota_settle(quota, &mark, err));
    quota->epoch = epoch;
    quota->mark = (struct dyno_lease_mark){.node = quota->options.node, .epoch = epoch};
    return DYNO_OK;
}

enum dyno_status dyno_quota_reconcile(struct dyno_quota *quota, uint32_t epoch,
                                      struct dyno_err *err)
{
    if (quota->store == NULL)
        return DYNO_OK;
    DYNO_TRY(begin(quota, epoch, err));
    return dyno_quota_exchange(quota, true, err);
}

enum dyno_status dyno_quota_start(struct dyno_quota *quota, uint32_t epoch, struct dyno_err *err)
{
    struct dyno_err late = {0};
    if (quota->store == NULL)
        return DYNO_OK;
    DYNO_TRY(begin(quota, epoch, err));
    if (dyno_quota_exchange(quota, false, &late) != DYNO_OK) {
        quota->complained = true;
        dyno_log(DYNO_LOG_WARN, "%s: budgets wait for their parts", late.text);
    }
    const int code = pthread_create(&quota->thread, NULL, dyno_quota_keep, quota);
    quota->has_thread = code == 0;
    return code == 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

void dyno_quota_wake(struct dyno_quota *quota)
{
    (void)pthread_mutex_lock(&quota->wake_lock);
    quota->is_woken = true;
    (void)pthread_cond_signal(&quota->wake);
    (void)pthread_mutex_unlock(&quota->wake_lock);
}

void dyno_quota_stop(struct dyno_quota *quota)
{
    if (quota == NULL || !quota->has_thread)
        return;
    (void)pthread_mutex_lock(&quota->wake_lock);
    quota->is_ending = true;
    (void)pthread_cond_signal(&quota->wake);
    (void)pthread_mutex_unlock(&quota->wake_lock);
    (void)pthread_join(quota->thread, NULL);
    quota->has_thread = false;
}

/* What cannot be told now is read of the ledger by the next start. */
static void tell_last(struct dyno_quota *quota)
{
    struct dyno_err err = {0};
    if (quota->store == NULL || quota->epoch == 0)
        return;
    for (int attempt = 1;; attempt++) {
        err = (struct dyno_err){0};
        if (dyno_quota_exchange(quota, true, &err) == DYNO_OK)
            return;
        if (err.status != DYNO_E_BUSY || attempt >= LAST_TRIES)
            break;
    }
    dyno_log(DYNO_LOG_WARN, "%s: the next start reads what was used out of the ledger", err.text);
}

void dyno_quota_destroy(struct dyno_quota *quota)
{
    if (quota == NULL)
        return;
    dyno_quota_stop(quota);
    tell_last(quota);
    free_quota(quota);
}

/* --- counters --- */

enum dyno_status dyno_quota_check(const struct dyno_quota *quota,
                                  const struct dyno_tenant_budget *budgets, size_t count,
                                  struct dyno_err *err)
{
    const struct dyno_tariff_book *book = dyno_quota_book(quota);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_tenant_budget *budget = &budgets[i];
        const char *who = budget->tenant != 0 ? budget->tenant_name : "every tenant";
        if (quota->store == NULL)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "%s has a budget, which is counted by a ledger: --ledger=DIR is "
                             "missing",
                             who);
        if (strcmp(budget->unit, DYNO_BUDGET_EPU) == 0)
            continue;
        if (book == NULL)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "%s has a budget in %s, which needs prices: --tariffs=BOOK is missing",
                             who, budget->unit);
        if (book->tariff_count > 0 && strcmp(book->tariffs[0].currency->code, budget->unit) != 0)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "%s has a budget in %s, and the book of tariffs is in %s", who,
                             budget->unit, book->tariffs[0].currency->code);
    }
    return DYNO_OK;
}

static struct dyno_counter *make(struct dyno_quota *quota, const struct dyno_tenant_budget *budget,
                                 const struct dyno_tenant *tenant)
{
    struct dyno_counter *counter = dyno_alloc(1, sizeof(*counter));
    if (counter == NULL)
        return NULL;
    counter->quota = quota;
    counter->key.budget = budget->id;
    counter->key.tenant = tenant->id;
    /* Of requests before both there were it counts none. */
    counter->key.created_s =
        budget->created_s > tenant->created_s ? budget->created_s : tenant->created_s;
    (void)snprintf(counter->tenant_name, sizeof(counter->tenant_name), "%s", tenant->name);
    (void)snprintf(counter->model, sizeof(counter->model), "%s", budget->model);
    (void)snprintf(counter->class_name, sizeof(counter->class_name), "%s", budget->class_name);
    memcpy(counter->unit, budget->unit, sizeof(counter->unit));
    counter->term = budget->term;
    (void)dyno_lease_name(budget, tenant->name, counter->name);
    counter->is_work = strcmp(budget->unit, DYNO_BUDGET_EPU) == 0;
    for (int i = 0; i < DYNO_SLOTS; i++)
        atomic_store(&counter->slots[i].number, DYNO_SLOT_NONE);
    if (!dyno_map_put_ptr(&quota->by_key, (const char *)&counter->key, sizeof(counter->key),
                          counter)) {
        dyno_free(counter);
        return NULL;
    }
    counter->next = quota->counters;
    quota->counters = counter;
    quota->counter_count++;
    return counter;
}

static void update(struct dyno_counter *counter, const struct dyno_tenant_budget *budget)
{
    const bool was_hard = atomic_load(&counter->is_hard);
    if (atomic_exchange(&counter->limit, budget->amount) != budget->amount ||
        was_hard != budget->is_hard)
        atomic_store(&counter->has_changed, true);
    atomic_store(&counter->is_hard, budget->is_hard);
    memcpy(counter->alerts, budget->alerts, sizeof(counter->alerts));
    counter->alert_idx_count = budget->alert_count;
    counter->is_gone = false;
    for (int i = 0; i < DYNO_SLOTS && was_hard != budget->is_hard; i++)
        (void)dyno_slot_lower(&counter->slots[i], budget->is_hard ? 0 : DYNO_GRANT_SOFT);
}

static enum dyno_status find_or_make(struct dyno_quota *quota, const struct dyno_tenant *tenant,
                                     const struct dyno_tenant_budget *const *found, size_t count,
                                     struct dyno_counter **counters_out, struct dyno_err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct dyno_counter key = {.key = {.budget = found[i]->id,
                                           .tenant = tenant->id,
                                           .created_s = found[i]->created_s > tenant->created_s
                                                            ? found[i]->created_s
                                                            : tenant->created_s}};
        struct dyno_counter *counter =
            dyno_map_find_ptr(&quota->by_key, (const char *)&key.key, sizeof(key.key));
        if (counter == NULL)
            counter = make(quota, found[i], tenant);
        if (counter == NULL)
            return DYNO_NOMEM(err);
        update(counter, found[i]);
        counters_out[i] = counter;
    }
    return DYNO_OK;
}

enum dyno_status dyno_quota_counters(struct dyno_quota *quota, const struct dyno_tenant *tenant,
                                     const struct dyno_tenant_budget *budgets, size_t budget_count,
                                     struct dyno_counter **counters_out, size_t *count_out,
                                     struct dyno_err *err)
{
    const struct dyno_tenant_budget *found[2 * DYNO_TENANT_BUDGETS_MAX];
    *count_out = 0;
    const size_t count = dyno_budgets_of(budgets, budget_count, tenant->id, found);
    if (count == 0)
        return DYNO_OK;
    (void)pthread_mutex_lock(&quota->lock);
    const enum dyno_status status = find_or_make(quota, tenant, found, count, counters_out, err);
    atomic_store(&quota->first, quota->counters);
    (void)pthread_mutex_unlock(&quota->lock);
    if (status == DYNO_OK)
        *count_out = count;
    return status;
}

/* --- metrics --- */

/* A counter's figures in the present period. */
struct figures {
    int64_t limit, used, reserved, left;
};

static bool read_figures(struct dyno_counter *counter, int64_t now_s, struct figures *figures)
{
    const struct dyno_term_span span = dyno_term_at(counter->term, now_s);
    struct dyno_budget_slot *slot = dyno_counter_slot(counter, span.number);
    if (counter->is_gone || slot == NULL)
        return false;
    const int64_t taken = atomic_load(&slot->taken);
    const int64_t used = atomic_load(&slot->used);
    figures->limit = atomic_load(&counter->limit);
    figures->used = used;
    figures->reserved = taken > used ? taken - used : 0;
    figures->left = figures->limit - atomic_load(&slot->others) - used - figures->reserved;
    figures->left = figures->left > 0 ? figures->left : 0;
    return true;
}

static void put_row(struct dyno_strbuf *out, const char *name, const struct dyno_counter *counter,
                    int64_t value)
{
    char text[DYNO_MONEY_ROOM];
    dyno_strbuf_printf(
        out, "%s{tenant=\"%s\",model=\"%s\",class=\"%s\",unit=\"%s\",period=\"%s\"} %s\n", name,
        counter->tenant_name, counter->model, counter->class_name,
        counter->is_work ? "epu-hours" : counter->unit, dyno_term_text(counter->term),
        dyno_quota_amount_text(counter->unit, value, text));
}

void dyno_quota_print(struct dyno_quota *quota, struct dyno_strbuf *out)
{
    static const struct {
        const char *name, *help;
        size_t offset_bytes;
    } families[] = {
        {"dyno_budget_limit", "What a budget has in a period", offsetof(struct figures, limit)},
        {"dyno_budget_used", "What this node used of it", offsetof(struct figures, used)},
        {"dyno_budget_reserved", "What is reserved for what runs here",
         offsetof(struct figures, reserved)},
        {"dyno_budget_left", "What is left of it, over all nodes, as was known last",
         offsetof(struct figures, left)},
    };
    if (quota == NULL || quota->store == NULL)
        return;
    (void)pthread_mutex_lock(&quota->lock);
    const int64_t now_s = dyno_now_s();
    for (size_t f = 0; f < DYNO_COUNT(families) && quota->counters != NULL; f++) {
        size_t rows = 0;
        dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", families[f].name,
                           families[f].help, families[f].name);
        for (struct dyno_counter *at = quota->counters; at != NULL && rows < ROWS_MAX;
             at = at->next) {
            struct figures figures;
            int64_t value = 0;
            if (!read_figures(at, now_s, &figures))
                continue;
            memcpy(&value, (const char *)&figures + families[f].offset_bytes, sizeof(value));
            put_row(out, families[f].name, at, value);
            rows++;
        }
    }
    dyno_strbuf_puts(out, "# HELP dyno_budget_alerts_total Thresholds of budgets that were passed\n"
                          "# TYPE dyno_budget_alerts_total counter\n");
    uint64_t alerts = 0;
    for (struct dyno_counter *at = quota->counters; at != NULL; at = at->next)
        alerts += atomic_load(&at->alert_count);
    dyno_strbuf_printf(out, "dyno_budget_alerts_total %llu\n", (unsigned long long)alerts);
    (void)pthread_mutex_unlock(&quota->lock);
}
