/* allowance.c - counting, and saying no. */
#include "serve/gate/allowance.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

#define RETRY_MAX_S 31622400 /* a leap year */

struct day_use {
    int64_t day;
    struct dyno_use use;
};

struct dyno_allowance {
    atomic_uint_fast32_t ref_count;
    pthread_mutex_t lock; /* of all that follows */
    double tokens;
    uint64_t filled_ns; /* when tokens were counted last */
    uint32_t running;
    int64_t day;                        /* that day_use is of; only goes forward */
    struct dyno_use day_use, month_use; /* with what is not written */
    struct day_use fresh, old;          /* not written: of this day, and of one before it */
};

struct dyno_allowance *dyno_allowance_create(void)
{
    struct dyno_allowance *allowance = dyno_alloc(1, sizeof(*allowance));
    if (allowance == NULL)
        return NULL;
    atomic_init(&allowance->ref_count, 1);
    (void)pthread_mutex_init(&allowance->lock, NULL);
    allowance->tokens = INFINITY; /* the bucket is full, however large it is */
    return allowance;
}

struct dyno_allowance *dyno_allowance_ref(struct dyno_allowance *allowance)
{
    atomic_fetch_add_explicit(&allowance->ref_count, 1, memory_order_relaxed);
    return allowance;
}

void dyno_allowance_unref(struct dyno_allowance *allowance)
{
    if (atomic_fetch_sub_explicit(&allowance->ref_count, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_mutex_destroy(&allowance->lock);
    dyno_free(allowance);
}

/* --- days --- */

static void add_use(struct dyno_use *to, const struct dyno_use *use)
{
    to->requests += use->requests;
    to->device_ns += use->device_ns;
}

static bool is_nothing(const struct dyno_use *use)
{
    return use->requests == 0 && use->device_ns == 0;
}

/* A new day has come, perhaps a new month.  What is older than a day and still not written is
 * counted to the day before: nothing is lost, and the quota of that day is over. */
static void roll(struct dyno_allowance *allowance, int64_t day)
{
    int64_t first = 0;
    int64_t next = 0;
    if (day <= allowance->day)
        return;
    dyno_period_of(DYNO_PERIOD_MONTH, day, &first, &next);
    if (allowance->day < first)
        allowance->month_use = (struct dyno_use){0};
    allowance->day_use = (struct dyno_use){0};
    if (!is_nothing(&allowance->fresh.use)) {
        add_use(&allowance->fresh.use, &allowance->old.use);
        allowance->old = allowance->fresh;
    }
    allowance->fresh = (struct day_use){.day = day};
    allowance->day = day;
}

/* --- refusals --- */

static uint32_t clip_retry(double seconds)
{
    if (!(seconds > 1))
        return 1;
    return seconds < RETRY_MAX_S ? (uint32_t)ceil(seconds) : RETRY_MAX_S;
}

static enum dyno_status check_quota(const struct dyno_allowance *allowance,
                                    const struct dyno_limits *limits, const char *name,
                                    int64_t now_s, uint32_t *retry_s_out, struct dyno_err *err)
{
    const struct dyno_use *use =
        limits->period == DYNO_PERIOD_DAY ? &allowance->day_use : &allowance->month_use;
    const char *period = dyno_period_text(limits->period);
    const bool is_out = limits->quota_requests != 0 && use->requests >= limits->quota_requests;
    char text[DYNO_TIME_TEXT_ROOM];
    int64_t first = 0;
    int64_t next = 0;
    if (!is_out && (limits->quota_device_ns == 0 || use->device_ns < limits->quota_device_ns))
        return DYNO_OK;
    dyno_period_of(limits->period, allowance->day, &first, &next);
    *retry_s_out = clip_retry((double)(next * DYNO_DAY_S - now_s));
    (void)dyno_time_text(next * DYNO_DAY_S, text);
    if (is_out)
        return DYNO_FAIL(err, DYNO_E_QUOTA,
                         "tenant '%s' has used its %llu requests of this %s: again at %s", name,
                         (unsigned long long)limits->quota_requests, period, text);
    return DYNO_FAIL(err, DYNO_E_QUOTA,
                     "tenant '%s' has used its %g device-seconds of this %s: again at %s", name,
                     (double)limits->quota_device_ns * 1e-9, period, text);
}

/* Fill the bucket for the time that has passed, and take one. */
static enum dyno_status take_token(struct dyno_allowance *allowance,
                                   const struct dyno_limits *limits, const char *name,
                                   uint64_t now_ns, uint32_t *retry_s_out, struct dyno_err *err)
{
    if (limits->rate_per_s == 0)
        return DYNO_OK;
    const double passed_s =
        now_ns > allowance->filled_ns ? (double)(now_ns - allowance->filled_ns) * 1e-9 : 0;
    if (now_ns > allowance->filled_ns)
        allowance->filled_ns = now_ns;
    allowance->tokens = fmin(limits->burst, allowance->tokens + passed_s * limits->rate_per_s);
    if (allowance->tokens >= 1) {
        allowance->tokens -= 1;
        return DYNO_OK;
    }
    *retry_s_out = clip_retry((1 - allowance->tokens) / limits->rate_per_s);
    return DYNO_FAIL(err, DYNO_E_QUOTA,
                     "tenant '%s' has used up its %g requests a second: again in %u s", name,
                     limits->rate_per_s, *retry_s_out);
}

static enum dyno_status begin(struct dyno_allowance *allowance, const struct dyno_limits *limits,
                              const char *name, struct dyno_moment now, uint32_t *retry_s_out,
                              struct dyno_err *err)
{
    roll(allowance, dyno_day_of(now.now_s));
    if (limits->concurrent_max != 0 && allowance->running >= limits->concurrent_max) {
        *retry_s_out = 1;
        return DYNO_FAIL(err, DYNO_E_QUOTA,
                         "tenant '%s' has %u requests in flight, as many as it may: again when one "
                         "is answered",
                         name, allowance->running);
    }
    DYNO_TRY(check_quota(allowance, limits, name, now.now_s, retry_s_out, err));
    DYNO_TRY(take_token(allowance, limits, name, now.now_ns, retry_s_out, err));
    allowance->running++;
    allowance->day_use.requests++;
    allowance->month_use.requests++;
    allowance->fresh.use.requests++;
    return DYNO_OK;
}

enum dyno_status dyno_allowance_begin(struct dyno_allowance *allowance,
                                      const struct dyno_limits *limits, const char *name,
                                      struct dyno_moment now, uint32_t *retry_s_out,
                                      struct dyno_err *err)
{
    *retry_s_out = 0;
    (void)pthread_mutex_lock(&allowance->lock);
    const enum dyno_status status = begin(allowance, limits, name, now, retry_s_out, err);
    (void)pthread_mutex_unlock(&allowance->lock);
    return status;
}

void dyno_allowance_end(struct dyno_allowance *allowance, uint64_t device_ns, int64_t now_s)
{
    const struct dyno_use use = {.device_ns = device_ns};
    (void)pthread_mutex_lock(&allowance->lock);
    DYNO_ASSERT(allowance->running > 0);
    allowance->running--;
    roll(allowance, dyno_day_of(now_s));
    add_use(&allowance->day_use, &use);
    add_use(&allowance->month_use, &use);
    add_use(&allowance->fresh.use, &use);
    (void)pthread_mutex_unlock(&allowance->lock);
}

/* --- the database --- */

void dyno_allowance_load(struct dyno_allowance *allowance, int64_t day,
                         const struct dyno_use *day_use, const struct dyno_use *month_use)
{
    int64_t first = 0;
    int64_t next = 0;
    (void)pthread_mutex_lock(&allowance->lock);
    roll(allowance, day);
    if (allowance->day == day) { /* or it was midnight meanwhile */
        dyno_period_of(DYNO_PERIOD_MONTH, day, &first, &next);
        allowance->day_use = *day_use;
        allowance->month_use = *month_use;
        add_use(&allowance->day_use, &allowance->fresh.use);
        add_use(&allowance->month_use, &allowance->fresh.use);
        if (allowance->old.day >= first)
            add_use(&allowance->month_use, &allowance->old.use);
    }
    (void)pthread_mutex_unlock(&allowance->lock);
}

size_t dyno_allowance_unwritten(struct dyno_allowance *allowance, int64_t tenant,
                                struct dyno_use_row rows_out[DYNO_ALLOWANCE_ROWS])
{
    size_t count = 0;
    (void)pthread_mutex_lock(&allowance->lock);
    if (!is_nothing(&allowance->old.use))
        rows_out[count++] = (struct dyno_use_row){
            .tenant = tenant, .day = allowance->old.day, .use = allowance->old.use};
    if (!is_nothing(&allowance->fresh.use))
        rows_out[count++] = (struct dyno_use_row){
            .tenant = tenant, .day = allowance->fresh.day, .use = allowance->fresh.use};
    (void)pthread_mutex_unlock(&allowance->lock);
    return count;
}

void dyno_allowance_written(struct dyno_allowance *allowance, const struct dyno_use_row *row)
{
    (void)pthread_mutex_lock(&allowance->lock);
    /* What was of another day than these two was added to the older one since. */
    struct dyno_use *use =
        row->day == allowance->fresh.day ? &allowance->fresh.use : &allowance->old.use;
    use->requests -= row->use.requests;
    use->device_ns -= row->use.device_ns;
    (void)pthread_mutex_unlock(&allowance->lock);
}
