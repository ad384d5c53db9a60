/* test_quota.c - budgets counted by many threads: never past what there is, and books that add up.
 */
#include "quota/quota.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/lease.h"
#include "quota/counter.h"
#include "test.h"

#define THREADS      4
#define ROUNDS       30000
#define ATTEMPTS_MAX 20000

static char folder[] = "/tmp/dyno-quota-XXXXXX";
static char path[64], ledger[64];
static struct dyno_control *control;
static struct dyno_arena *arena;
static struct dyno_err err;

static void clear(void)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    char name[80];
    for (size_t i = 0; i < DYNO_COUNT(endings); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name);
    }
}

static int64_t give(const char *tenant, const char *model, enum dyno_term term, int64_t amount,
                    bool is_hard)
{
    const struct dyno_tenant_budget budget = {.tenant_name = tenant,
                                              .model = model,
                                              .class_name = "",
                                              .unit = "EPU",
                                              .term = term,
                                              .is_hard = is_hard,
                                              .amount = amount};
    int64_t id = 0;
    CHECK_MSG(dyno_control_set_budget(control, &budget, DYNO_BUDGET_AMOUNT | DYNO_BUDGET_HARD, &id,
                                      &err) == DYNO_OK,
              "%s", err.text);
    return id;
}

static void make(void)
{
    struct dyno_key key;
    const struct dyno_tenant tenant = dyno_tenant_defaults("a");
    clear();
    REQUIRE(dyno_control_open(path, true, 5000, &control, NULL) == DYNO_OK);
    CHECK(dyno_control_add(control, &tenant, &key, NULL) == DYNO_OK);
}

/* The tenant's counters in this quota. */
static enum dyno_status count_by(struct dyno_control *from, struct dyno_quota *quota,
                                 struct dyno_counter **counters_out, size_t *count_out)
{
    struct dyno_tenant *tenants = NULL;
    struct dyno_tenant_budget *budgets = NULL;
    size_t tenant_count = 0;
    size_t budget_count = 0;
    DYNO_TRY(dyno_control_read(from, NULL, 0, arena, &tenants, &tenant_count, &err));
    DYNO_TRY(dyno_control_read_budgets(from, NULL, arena, &budgets, &budget_count, &err));
    return dyno_quota_counters(quota, &tenants[0], budgets, budget_count, counters_out, count_out,
                               &err);
}

static struct dyno_quota *open_quota(uint32_t epoch, struct dyno_counter **counters_out,
                                     size_t *count_out)
{
    const struct dyno_quota_options options = {.control_db = path, .ledger = ledger, .node = 1};
    struct dyno_quota *quota = NULL;
    CHECK_MSG(dyno_quota_create(&options, &quota, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(quota != NULL);
    CHECK(count_by(control, quota, counters_out, count_out) == DYNO_OK);
    CHECK_MSG(dyno_quota_start(quota, epoch, &err) == DYNO_OK, "%s", err.text);
    return quota;
}

static struct dyno_spend spend_of(const char *model, uint64_t reference_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (struct dyno_spend){.model = model,
                               .class_name = "standard",
                               .precision = "",
                               .speed_up_ppm = DYNO_PPM,
                               .reference_ns = reference_ns,
                               .core_ns = reference_ns,
                               .start_ns =
                                   (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec};
}

static int64_t used_of(int64_t budget)
{
    struct dyno_budget_state *states = NULL;
    size_t count = 0;
    struct dyno_lease_store *store = NULL;
    CHECK(dyno_lease_open_control(path, 5000, &store, NULL) == DYNO_OK);
    CHECK(dyno_control_read_states(control, store, "a", dyno_now_s(), arena, &states, &count,
                                   NULL) == DYNO_OK);
    dyno_lease_close(store);
    for (size_t i = 0; i < count; i++)
        if (states[i].budget->id == budget) {
            CHECK(states[i].sums.reserved == 0 && states[i].sums.leased == 0);
            return states[i].sums.used;
        }
    CHECK(false);
    return -1;
}

static enum dyno_status take(struct dyno_counter **counters, size_t count,
                             const struct dyno_spend *spend, struct dyno_reservation *reservation)
{
    struct dyno_quota_refusal refusal = {0};
    err = (struct dyno_err){0};
    return dyno_quota_reserve(counters, count, spend, reservation, &refusal, &err);
}

/* The same, when the part of the budget that it wants may be on its way. */
static bool take_soon(struct dyno_counter **counters, size_t count, const struct dyno_spend *spend,
                      struct dyno_reservation *reservation)
{
    for (int i = 0; i < 2000; i++) {
        if (take(counters, count, spend, reservation) == DYNO_OK)
            return true;
        if (strstr(err.text, "asking for another part") == NULL)
            return false;
        (void)usleep(10000);
    }
    return false;
}

/* --- many threads --- */

/* Checks count in a variable of their own: those of threads count here. */
static atomic_uint wrong_count;

static void holds(bool is_so)
{
    if (!is_so)
        atomic_fetch_add(&wrong_count, 1);
}

/* A reservation on its way to the one thread that posts. */
struct job {
    struct job *next;
    struct dyno_reservation reservation;
    uint64_t reference_ns;
    bool is_good, is_voided;
};

static struct {
    struct dyno_quota *quota;
    struct dyno_counter **counters;
    size_t counter_count;
    pthread_mutex_t lock;
    struct job *jobs;
    bool is_over;
    atomic_size_t took, refused;
    uint64_t seq;              /* of the last record */
    uint64_t posted, posted_m; /* of good ones that were not voided; of the model m */
} crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void check_within(void)
{
    for (size_t i = 0; i < crowd.counter_count; i++)
        for (int k = 0; k < DYNO_SLOTS; k++) {
            struct dyno_budget_slot *slot = &crowd.counters[i]->slots[k];
            if (atomic_load(&slot->number) == DYNO_SLOT_NONE ||
                !atomic_load(&crowd.counters[i]->is_hard))
                continue;
            /* What was taken and is given back at once may be seen. */
            const int64_t taken = atomic_load(&slot->taken);
            holds(atomic_load(&slot->used) <= atomic_load(&crowd.counters[i]->limit));
            holds(taken >= 0 && taken <= atomic_load(&crowd.counters[i]->limit) + THREADS * 2000);
        }
}

static void *spend_on(void *arg)
{
    uint32_t random = *(const uint32_t *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1664525 + 1013904223;
        const bool is_m = (random >> 28 & 1) != 0;
        const struct dyno_spend spend = spend_of(is_m ? "m" : "n", random >> 12 & 1023);
        struct dyno_quota_refusal refusal = {0};
        struct dyno_err why = {0};
        struct job *job = dyno_alloc(1, sizeof(*job));
        DYNO_ASSERT(job != NULL);
        if (dyno_quota_reserve(crowd.counters, crowd.counter_count, &spend, &job->reservation,
                               &refusal, &why) != DYNO_OK) {
            holds(why.status == DYNO_E_QUOTA && refusal.retry_s > 0 && refusal.limit[0] == '"');
            holds(job->reservation.count == 0);
            atomic_fetch_add(&crowd.refused, 1);
            dyno_free(job);
            continue;
        }
        atomic_fetch_add(&crowd.took, 1);
        if ((random >> 5 & 7) == 0) {
            dyno_quota_release(&job->reservation);
            dyno_free(job);
            continue;
        }
        job->reference_ns = spend.reference_ns - (spend.reference_ns * (random >> 20 & 3)) / 8;
        job->is_good = (random >> 7 & 7) != 0;
        job->is_voided = (random >> 10 & 15) == 0;
        (void)pthread_mutex_lock(&crowd.lock);
        job->next = crowd.jobs;
        crowd.jobs = job;
        if (job->is_good && !job->is_voided) {
            crowd.posted += job->reference_ns;
            crowd.posted_m += is_m ? job->reference_ns : 0;
        }
        (void)pthread_mutex_unlock(&crowd.lock);
    }
    return NULL;
}

static void *post_all(void *arg)
{
    (void)arg;
    for (;;) {
        (void)pthread_mutex_lock(&crowd.lock);
        struct job *jobs = crowd.jobs;
        const bool is_over = crowd.is_over;
        crowd.jobs = NULL;
        (void)pthread_mutex_unlock(&crowd.lock);
        if (jobs == NULL && is_over)
            return NULL;
        dyno_quota_group_begins(crowd.quota);
        for (struct job *job = jobs; job != NULL; job = job->next) {
            const struct dyno_record record = {.id = {1, 1, ++crowd.seq},
                                               .kind = DYNO_RECORD_USAGE,
                                               .outcome = job->is_good ? DYNO_OUTCOME_OK
                                                                       : DYNO_OUTCOME_FAILED,
                                               .reference_ns = job->is_good ? job->reference_ns : 0,
                                               .device_ns = job->reference_ns};
            dyno_quota_post(&record, &job->reservation);
        }
        dyno_quota_group_ends(crowd.quota, crowd.seq, 0);
        dyno_quota_group_begins(crowd.quota);
        while (jobs != NULL) {
            struct job *next = jobs->next;
            if (jobs->is_voided)
                dyno_quota_void(&jobs->reservation);
            dyno_quota_release(&jobs->reservation);
            dyno_free(jobs);
            jobs = next;
        }
        dyno_quota_group_ends(crowd.quota, crowd.seq, crowd.seq);
        check_within();
        (void)usleep(100);
    }
}

/* What is left of the model's budget, request by request. */
static void spend_rest(void)
{
    struct dyno_reservation one;
    const struct dyno_spend spend = spend_of("m", 50);
    const struct dyno_record record = {.outcome = DYNO_OUTCOME_OK, .reference_ns = 50};
    while (take_soon(crowd.counters, crowd.counter_count, &spend, &one)) {
        dyno_quota_group_begins(crowd.quota);
        dyno_quota_post(&record, &one);
        crowd.seq++;
        dyno_quota_group_ends(crowd.quota, crowd.seq, crowd.seq);
        crowd.posted += 50;
        crowd.posted_m += 50;
    }
    CHECK(strstr(err.text, "has used up its") != NULL);
}

static void test_never_past(void)
{
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    pthread_t threads[THREADS];
    pthread_t poster;
    uint32_t seeds[THREADS];
    make();
    const int64_t all = give("a", "", DYNO_TERM_NONE, 20000000, true);
    const int64_t of_m = give("a", "m", DYNO_TERM_MONTH, 5000000, true);
    const int64_t soft = give("a", "", DYNO_TERM_DAY, 1, false);
    crowd.counters = counters;
    crowd.quota = open_quota(1, counters, &crowd.counter_count);
    CHECK(crowd.counter_count == 3);
    CHECK(pthread_create(&poster, NULL, post_all, NULL) == 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        seeds[i] = i + 17;
        CHECK(pthread_create(&threads[i], NULL, spend_on, &seeds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_mutex_lock(&crowd.lock);
    crowd.is_over = true;
    (void)pthread_mutex_unlock(&crowd.lock);
    (void)pthread_join(poster, NULL);
    CHECK(atomic_load(&wrong_count) == 0);
    spend_rest();
    dyno_quota_destroy(crowd.quota);
    CHECK(atomic_load(&crowd.took) > 1000 && atomic_load(&crowd.refused) > 1000);
    CHECK(used_of(all) == (int64_t)crowd.posted && crowd.posted <= 20000000);
    CHECK(used_of(of_m) == (int64_t)crowd.posted_m && crowd.posted_m <= 5000000);
    CHECK(crowd.posted_m > 5000000 - 50 || crowd.posted > 20000000 - 50); /* all can be had */
    CHECK(used_of(soft) == (int64_t)crowd.posted);
    dyno_control_close(control);
}

/* --- one thread --- */

/* All or nothing, over budgets of several scopes. */
static void test_all_or_nothing(void)
{
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    struct dyno_reservation one;
    size_t count = 0;
    make();
    const int64_t all = give("a", "", DYNO_TERM_NONE, 100000, true);
    (void)give("a", "m", DYNO_TERM_DAY, 100, true);
    struct dyno_quota *quota = open_quota(1, counters, &count);
    struct dyno_spend spend = spend_of("m", 101);
    CHECK(take(counters, count, &spend, &one) == DYNO_E_QUOTA && one.count == 0);
    CHECK(strstr(err.text, "budget of 0.000000000027 EPU-hours a day for model 'm': ") != NULL);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < DYNO_SLOTS; k++)
            CHECK(atomic_load(&counters[i]->slots[k].taken) == 0);
    spend.reference_ns = 100;
    CHECK(take_soon(counters, count, &spend, &one) && one.count == 2);
    struct dyno_reservation two;
    spend.reference_ns = 1;
    CHECK(take(counters, count, &spend, &two) == DYNO_E_QUOTA);
    spend.model = "n";
    CHECK(take(counters, count, &spend, &two) == DYNO_OK && two.count == 1);
    dyno_quota_release(&two);
    dyno_quota_release(&one);
    dyno_quota_release(&one); /* nothing is left of it */
    /* Of the second before the budget was made nothing is counted. */
    spend.start_ns = 5;
    spend.reference_ns = UINT64_MAX;
    CHECK(take(counters, count, &spend, &two) == DYNO_OK && two.count == 0);
    dyno_quota_destroy(quota);
    CHECK(used_of(all) == 0);
    dyno_control_close(control);
}

/* A day that begins, and a clock that is set back. */
static void test_periods(void)
{
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    struct dyno_reservation one;
    size_t count = 0;
    make();
    CHECK(give("a", "", DYNO_TERM_DAY, 100, true) == 1);
    struct dyno_quota *quota = open_quota(1, counters, &count);
    struct dyno_spend spend = spend_of("m", 100);
    CHECK(take_soon(counters, count, &spend, &one));
    dyno_quota_release(&one);
    const int64_t day = dyno_day_of(dyno_now_s());
    struct dyno_counter *counter = counters[0];
    counter->key.created_s = 0; /* it may be asked about the past */
    /* The day before is kept for what began in it; it has no slice any more of its own. */
    CHECK(dyno_counter_slot(counter, day) != NULL && dyno_counter_slot(counter, day - 1) != NULL);
    CHECK(dyno_counter_slot(counter, day + 1) == NULL || dyno_now_s() % DYNO_DAY_S > 86300);
    spend.start_ns = (uint64_t)(day + 2) * 86400000000000U; /* nobody has made that one ready */
    CHECK(take(counters, count, &spend, &one) == DYNO_E_QUOTA);
    CHECK(strstr(err.text, "asking for another part of it: again in 1 s") != NULL);
    spend.start_ns = (uint64_t)day * 86400000000000U; /* set back */
    CHECK(take_soon(counters, count, &spend, &one));
    dyno_quota_release(&one);
    dyno_quota_destroy(quota);
    dyno_control_close(control);
}

/* Amounts below the unit add up, and what is posted can be taken back to nothing. */
static void test_parts(void)
{
    struct dyno_budget_slot slot;
    dyno_slot_begin(&slot, 0, 0, true);
    const dyno_i128 third = ((dyno_i128)1 << 32) / 3;
    for (int i = 0; i < 3000; i++) {
        (void)dyno_slot_lower(&slot, 1000000);
        CHECK(dyno_slot_take(&slot, 1));
        dyno_slot_post(&slot, 1, third);
    }
    CHECK(atomic_load(&slot.used) == 999 && slot.rest > 4294960000U);
    CHECK(atomic_load(&slot.taken) == 999);
    dyno_slot_post(&slot, 0, -3000 * third);
    CHECK(atomic_load(&slot.used) == 0 && slot.rest == 0 && atomic_load(&slot.taken) == 0);
    dyno_slot_post(&slot, 0, -1);
    CHECK(atomic_load(&slot.used) == -1 && slot.rest == UINT32_MAX);
}

/* What is granted less is not taken any more when that returns. */
static void test_lowered(void)
{
    struct dyno_budget_slot slot;
    dyno_slot_begin(&slot, 0, 0, true);
    CHECK(!dyno_slot_take(&slot, 1));
    (void)dyno_slot_lower(&slot, 10);
    CHECK(dyno_slot_take(&slot, 10) && !dyno_slot_take(&slot, 1) && dyno_slot_take(&slot, 0));
    CHECK(dyno_slot_lower(&slot, 3) == 10);
    dyno_slot_give(&slot, 8);
    CHECK(dyno_slot_take(&slot, 1) && !dyno_slot_take(&slot, 1));
}

/* --- each allocation lost --- */

static enum dyno_status use_all(void)
{
    const struct dyno_quota_options options = {.control_db = path, .ledger = ledger, .node = 1};
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    struct dyno_reservation one = {0};
    struct dyno_quota *quota = NULL;
    struct dyno_control *own = NULL;
    size_t count = 0;
    err = (struct dyno_err){0};
    enum dyno_status status = dyno_quota_create(&options, &quota, &err);
    if (status == DYNO_OK)
        status = dyno_control_open(path, false, 5000, &own, &err);
    if (status == DYNO_OK)
        status = count_by(own, quota, counters, &count);
    if (status == DYNO_OK)
        status = dyno_quota_start(quota, 1, &err);
    const struct dyno_spend spend = spend_of("m", 1);
    if (status == DYNO_OK && take(counters, count, &spend, &one) == DYNO_OK) {
        const struct dyno_record record = {.outcome = DYNO_OUTCOME_OK, .reference_ns = 1};
        dyno_quota_group_begins(quota);
        dyno_quota_post(&record, &one);
        dyno_quota_group_ends(quota, 1, 1);
    }
    struct dyno_strbuf text = {0};
    dyno_quota_print(quota, &text);
    dyno_strbuf_fini(&text);
    dyno_quota_destroy(quota);
    dyno_control_close(own);
    return status;
}

static void test_allocations_lost(void)
{
    make();
    CHECK(give("a", "", DYNO_TERM_MONTH, 1000000, true) == 1);
    CHECK(use_all() == DYNO_OK);
    dyno_log_enable(DYNO_LOG_WARN, false);
    uint64_t nth = 1;
    for (int good_count = 0; nth < ATTEMPTS_MAX && good_count < 200; nth++) {
        dyno_arena_reset(arena);
        const uint64_t live = dyno_mem_live_count();
        dyno_mem_fail_at(nth);
        const enum dyno_status status = use_all();
        dyno_mem_fail_at(0);
        CHECK_MSG(status == DYNO_OK || status == DYNO_E_NOMEM, "%s", err.text);
        dyno_arena_reset(arena);
        CHECK(dyno_mem_live_count() == live);
        good_count = status == DYNO_OK ? good_count + 1 : 0; /* some are lost and not missed */
    }
    CHECK(nth > 220 && nth < ATTEMPTS_MAX);
    dyno_log_enable(DYNO_LOG_WARN, true);
    dyno_control_close(control);
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/c.db", folder);
    (void)snprintf(ledger, sizeof(ledger), "%s/ledger", folder);
    REQUIRE(mkdir(ledger, 0700) == 0);
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_parts();
    test_lowered();
    test_never_past();
    test_all_or_nothing();
    test_periods();
    test_allocations_lost();
    dyno_arena_destroy(arena);
    clear();
    CHECK(rmdir(ledger) == 0 && rmdir(folder) == 0);
    return TEST_RESULT();
}
