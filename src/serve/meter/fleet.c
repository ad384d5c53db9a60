/* fleet.c - shipping beside serving. */
#include "serve/meter/fleet.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "meter/fleet/ship.h"

#define MS_NS       UINT64_C(1000000)
#define POLL_NS     (250 * MS_NS)   /* between looks when nobody waits */
#define BACK_MIN_NS (250 * MS_NS)   /* after a failure */
#define BACK_MAX_NS (15000 * MS_NS) /* after many */
#define TIMEOUT_MS  5000U           /* of a call to the server */
#define FIRST_MS    3000U           /* of the first look, which a start waits for */
#define END_NS      (5000 * MS_NS)  /* for what is left when the server ends */

struct dyno_meter_fleet {
    struct dyno_meter_fleet_options options;
    struct dyno_shipper *shipper;
    struct dyno_fleet *fleet; /* NULL: there is no connection */
    uint64_t back_ns;         /* how long to wait after the next failure */
    uint64_t retry_ns;        /* when to connect again */
    uint64_t random;
    char said[256]; /* what was logged last; "": that it is there */
    atomic_bool gives_up;

    pthread_t thread;
    bool has_thread;
    atomic_bool admits;
    pthread_mutex_t told_lock;  /* around options.told */
    pthread_mutex_t files_lock; /* while the ledger's files are open */

    pthread_mutex_t lock;
    pthread_cond_t wakes, ended;
    struct dyno_ledger_entry *first, **last_next; /* that wait */
    bool has_news, is_ending, is_over;
    uint64_t whole_ns; /* since 1970: when the fleet had everything */
    struct dyno_shipped shipped;
    struct dyno_meter_fleet_figures figures;
};

static uint64_t wall_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* --- those who wait --- */

static void tell(struct dyno_meter_fleet *fleet, struct dyno_ledger_entry *entries)
{
    if (entries == NULL)
        return;
    (void)pthread_mutex_lock(&fleet->told_lock);
    fleet->options.told(fleet->options.arg, entries);
    (void)pthread_mutex_unlock(&fleet->told_lock);
}

/* Takes the first entries out, in their order, as long as `is_due` says so. */
static struct dyno_ledger_entry *take(struct dyno_meter_fleet *fleet,
                                      bool (*is_due)(const struct dyno_ledger_entry *entry,
                                                     const void *arg),
                                      const void *arg, uint64_t *count_out)
{
    struct dyno_ledger_entry *taken = fleet->first;
    struct dyno_ledger_entry **end = &fleet->first;
    *count_out = 0;
    for (; *end != NULL && is_due(*end, arg); end = &(*end)->next)
        (*count_out)++;
    if (end == &fleet->first)
        return NULL;
    fleet->first = *end;
    *end = NULL;
    if (fleet->first == NULL)
        fleet->last_next = &fleet->first;
    fleet->figures.waiting_count -= *count_out;
    return taken;
}

static bool is_there(const struct dyno_ledger_entry *entry, const void *arg)
{
    const struct dyno_shipped *shipped = arg;
    return entry->record.id.epoch < shipped->epoch ||
           (entry->record.id.epoch == shipped->epoch && entry->record.id.seq <= shipped->seq);
}

static bool is_old(const struct dyno_ledger_entry *entry, const void *arg)
{
    return entry->durable_ns <= *(const uint64_t *)arg;
}

void dyno_meter_fleet_await(struct dyno_meter_fleet *fleet, struct dyno_ledger_entry *entries)
{
    if (entries->status != DYNO_OK) { /* they are nowhere, and never will be */
        tell(fleet, entries);
        return;
    }
    (void)pthread_mutex_lock(&fleet->lock);
    *fleet->last_next = entries;
    for (struct dyno_ledger_entry *entry = entries; entry != NULL; entry = entry->next) {
        fleet->last_next = &entry->next;
        fleet->figures.waiting_count++;
    }
    fleet->has_news = true;
    (void)pthread_cond_signal(&fleet->wakes);
    (void)pthread_mutex_unlock(&fleet->lock);
}

void dyno_meter_fleet_expire(struct dyno_meter_fleet *fleet)
{
    const uint64_t now_ns = dyno_clock_ns();
    const uint64_t before_ns =
        now_ns > fleet->options.wait_ns ? now_ns - fleet->options.wait_ns : 0;
    uint64_t count = 0;
    (void)pthread_mutex_lock(&fleet->lock);
    struct dyno_ledger_entry *entries = take(fleet, is_old, &before_ns, &count);
    if (count > 0)
        atomic_store(&fleet->admits, false);
    fleet->figures.expired_count += count;
    (void)pthread_mutex_unlock(&fleet->lock);
    for (struct dyno_ledger_entry *entry = entries; entry != NULL; entry = entry->next)
        entry->status = DYNO_E_BUSY;
    tell(fleet, entries);
}

/* --- one connection --- */

/* Between the half and one and a half of it, so that a fleet does not come back all at once. */
static uint64_t about(struct dyno_meter_fleet *fleet, uint64_t ns)
{
    fleet->random ^= fleet->random << 13; /* xorshift64 (Marsaglia 2003) */
    fleet->random ^= fleet->random >> 7;
    fleet->random ^= fleet->random << 17;
    return ns / 2 + fleet->random % (ns + 1);
}

static void drop(struct dyno_meter_fleet *fleet)
{
    dyno_fleet_close(fleet->fleet);
    fleet->fleet = NULL;
}

/* What is the same as the last time is no news. */
static void note_failure(struct dyno_meter_fleet *fleet, const struct dyno_err *err)
{
    drop(fleet);
    fleet->retry_ns = dyno_clock_ns() + about(fleet, fleet->back_ns);
    fleet->back_ns = fleet->back_ns * 2 < BACK_MAX_NS ? fleet->back_ns * 2 : BACK_MAX_NS;
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->figures.is_up = false;
    fleet->figures.failure_count++;
    (void)pthread_mutex_unlock(&fleet->lock);
    if (err->status == DYNO_E_CANCELLED ||
        strncmp(fleet->said, err->text, sizeof(fleet->said) - 1) == 0)
        return;
    (void)snprintf(fleet->said, sizeof(fleet->said), "%.255s", err->text);
    dyno_log(DYNO_LOG_WARN, "the fleet's ledger gets nothing: %s", err->text);
}

/* The fleet has this much; with `is_all` everything that there is. */
static void note_success(struct dyno_meter_fleet *fleet, bool is_all)
{
    uint64_t count = 0;
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->shipped = *dyno_shipper_shipped(fleet->shipper);
    fleet->figures.is_up = true;
    if (is_all) {
        fleet->whole_ns = wall_ns();
        atomic_store(&fleet->admits, true);
    }
    struct dyno_ledger_entry *entries = take(fleet, is_there, &fleet->shipped, &count);
    (void)pthread_mutex_unlock(&fleet->lock);
    fleet->back_ns = BACK_MIN_NS;
    if (fleet->said[0] != 0)
        dyno_log(DYNO_LOG_INFO, "the fleet's ledger is there again");
    fleet->said[0] = 0;
    tell(fleet, entries);
}

static enum dyno_status connect(struct dyno_meter_fleet *fleet, uint32_t timeout_ms,
                                struct dyno_err *err)
{
    const struct dyno_fleet_options options = {.conninfo = fleet->options.conninfo,
                                               .timeout_ms = timeout_ms,
                                               .writes = true,
                                               .is_ending = &fleet->gives_up};
    DYNO_TRY(dyno_fleet_open(&options, &fleet->fleet, err));
    (void)pthread_mutex_lock(&fleet->files_lock);
    const enum dyno_status status = dyno_shipper_begin(fleet->shipper, fleet->fleet, err);
    (void)pthread_mutex_unlock(&fleet->files_lock);
    return status;
}

static enum dyno_status step(struct dyno_meter_fleet *fleet, bool *is_all, struct dyno_err *err)
{
    (void)pthread_mutex_lock(&fleet->files_lock);
    const enum dyno_status status = dyno_shipper_read(fleet->shipper, err);
    (void)pthread_mutex_unlock(&fleet->files_lock);
    return status == DYNO_OK ? dyno_shipper_send(fleet->shipper, fleet->fleet, is_all, err)
                             : status;
}

void dyno_meter_fleet_keep_off(struct dyno_meter_fleet *fleet, bool is_on)
{
    if (fleet == NULL)
        return;
    if (is_on)
        (void)pthread_mutex_lock(&fleet->files_lock);
    else
        (void)pthread_mutex_unlock(&fleet->files_lock);
}

/* Ship what there is. */
static void ship(struct dyno_meter_fleet *fleet)
{
    struct dyno_err err = {0};
    enum dyno_status status = DYNO_OK;
    bool is_all = false;
    if (fleet->fleet == NULL) {
        if (dyno_clock_ns() < fleet->retry_ns)
            return;
        status = connect(fleet, TIMEOUT_MS, &err);
    }
    while (status == DYNO_OK && !is_all) {
        status = step(fleet, &is_all, &err);
        if (status == DYNO_OK)
            note_success(fleet, is_all);
    }
    if (status != DYNO_OK)
        note_failure(fleet, &err);
}

/* --- the thread --- */

/* True: the server ends. */
static bool wait_for_news(struct dyno_meter_fleet *fleet)
{
    const uint64_t now_ns = dyno_clock_ns();
    const uint64_t end_ns =
        fleet->fleet == NULL && fleet->retry_ns > now_ns ? fleet->retry_ns : now_ns + POLL_NS;
    const struct timespec until = {.tv_sec = (time_t)(end_ns / 1000000000U),
                                   .tv_nsec = (long)(end_ns % 1000000000U)};
    (void)pthread_mutex_lock(&fleet->lock);
    while (!fleet->is_ending && (!fleet->has_news || fleet->fleet == NULL))
        if (pthread_cond_timedwait(&fleet->wakes, &fleet->lock, &until) != 0)
            break;
    fleet->has_news = false;
    const bool is_ending = fleet->is_ending;
    (void)pthread_mutex_unlock(&fleet->lock);
    return is_ending;
}

static void *keep_shipping(void *arg)
{
    struct dyno_meter_fleet *fleet = arg;
    while (!wait_for_news(fleet))
        ship(fleet);
    fleet->retry_ns = 0; /* once more, whenever it was to be */
    ship(fleet);
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->is_over = true;
    (void)pthread_cond_signal(&fleet->ended);
    (void)pthread_mutex_unlock(&fleet->lock);
    return NULL;
}

/* --- opening and closing --- */

/* What is away may come back; anything else wants a person. */
static bool is_away(enum dyno_status status)
{
    return status == DYNO_E_IO || status == DYNO_E_BUSY || status == DYNO_E_LIMIT ||
           status == DYNO_E_NOMEM;
}

static enum dyno_status start(struct dyno_meter_fleet *fleet, struct dyno_err *err)
{
    struct dyno_err first = {0};
    DYNO_TRY(dyno_shipper_create(&fleet->options.ledger, 1, &fleet->shipper, err));
    const enum dyno_status status = connect(fleet, FIRST_MS, &first);
    if (status != DYNO_OK && fleet->options.is_strict && !is_away(status)) {
        if (err != NULL)
            *err = first;
        return status;
    }
    if (status != DYNO_OK)
        note_failure(fleet, &first);
    const int code = pthread_create(&fleet->thread, NULL, keep_shipping, fleet);
    fleet->has_thread = code == 0;
    return code == 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

enum dyno_status dyno_meter_fleet_create(const struct dyno_meter_fleet_options *options,
                                         struct dyno_meter_fleet **fleet_out, struct dyno_err *err)
{
    pthread_condattr_t monotonic;
    *fleet_out = NULL;
    struct dyno_meter_fleet *fleet = dyno_alloc(1, sizeof(*fleet));
    if (fleet == NULL)
        return DYNO_NOMEM(err);
    fleet->options = *options;
    fleet->last_next = &fleet->first;
    fleet->has_news = true;
    fleet->back_ns = BACK_MIN_NS;
    fleet->whole_ns = wall_ns();
    if (getrandom(&fleet->random, sizeof(fleet->random), GRND_NONBLOCK) < 0 || fleet->random == 0)
        fleet->random = dyno_clock_ns() | 1;
    /* Who waits for the fleet is let in when it is known to be there. */
    atomic_store(&fleet->admits, !options->is_awaited);
    (void)pthread_mutex_init(&fleet->lock, NULL);
    (void)pthread_mutex_init(&fleet->told_lock, NULL);
    (void)pthread_mutex_init(&fleet->files_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&fleet->wakes, &monotonic);
    (void)pthread_cond_init(&fleet->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    const enum dyno_status status = start(fleet, err);
    if (status != DYNO_OK) {
        dyno_meter_fleet_destroy(fleet);
        return status;
    }
    *fleet_out = fleet;
    return DYNO_OK;
}

static void end_thread(struct dyno_meter_fleet *fleet)
{
    const uint64_t end_ns = dyno_clock_ns() + END_NS;
    const struct timespec until = {.tv_sec = (time_t)(end_ns / 1000000000U),
                                   .tv_nsec = (long)(end_ns % 1000000000U)};
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->is_ending = true;
    (void)pthread_cond_signal(&fleet->wakes);
    while (!fleet->is_over)
        if (pthread_cond_timedwait(&fleet->ended, &fleet->lock, &until) != 0)
            break;
    (void)pthread_mutex_unlock(&fleet->lock);
    atomic_store(&fleet->gives_up, true);
    (void)pthread_join(fleet->thread, NULL);
}

void dyno_meter_fleet_destroy(struct dyno_meter_fleet *fleet)
{
    if (fleet == NULL)
        return;
    if (fleet->has_thread)
        end_thread(fleet);
    drop(fleet);
    dyno_shipper_destroy(fleet->shipper);
    (void)pthread_cond_destroy(&fleet->wakes);
    (void)pthread_cond_destroy(&fleet->ended);
    (void)pthread_mutex_destroy(&fleet->lock);
    (void)pthread_mutex_destroy(&fleet->told_lock);
    (void)pthread_mutex_destroy(&fleet->files_lock);
    dyno_free(fleet);
}

/* --- asking --- */

bool dyno_meter_fleet_admits(const struct dyno_meter_fleet *fleet)
{
    return atomic_load_explicit(&fleet->admits, memory_order_relaxed);
}

void dyno_meter_fleet_read(struct dyno_meter_fleet *fleet,
                           struct dyno_meter_fleet_figures *figures_out)
{
    const uint64_t now_ns = wall_ns();
    (void)pthread_mutex_lock(&fleet->lock);
    *figures_out = fleet->figures;
    figures_out->epoch = fleet->shipped.epoch;
    figures_out->shipped_seq = fleet->shipped.seq;
    /* What came since the last look, while that goes well, is no lag. */
    const uint64_t since_ns =
        fleet->shipped.oldest_ns != 0 ? fleet->shipped.oldest_ns : fleet->whole_ns;
    const bool is_late = !fleet->figures.is_up || fleet->shipped.oldest_ns != 0;
    figures_out->lag_s = is_late && now_ns > since_ns ? (double)(now_ns - since_ns) * 1e-9 : 0.0;
    (void)pthread_mutex_unlock(&fleet->lock);
}
