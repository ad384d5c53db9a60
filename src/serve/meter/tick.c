/* tick.c - once a minute: memory held, the platform's runs, idle time.  Every few seconds: are the
 * certificates still those that count? */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/meter/internal.h"

#define TICK_S 60
#define LOOK_S 5 /* at the folder of certificates */

static uint64_t wall_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* --- memory --- */

/* What was held since from_ns. */
static struct dyno_record held_record(const struct dyno_subject *subject, uint64_t from_ns,
                                      uint64_t until_ns, uint32_t tenant, dyno_u128 byte_ns)
{
    struct dyno_record record = {.kind = DYNO_RECORD_RESIDENCY,
                                 .start_ns = from_ns,
                                 .queue_ns = until_ns - from_ns,
                                 .memory_byte_ns = byte_ns};
    memcpy(record.names, subject->names, sizeof(record.names));
    record.names[DYNO_NAME_TENANT - 1] = tenant;
    return record;
}

/* What the tenants used since the last time, taken out; NULL: out of memory.  Under the lock. */
static struct dyno_share *take_uses(struct dyno_subject *subject, size_t *count_out)
{
    size_t room = 0;
    for (size_t i = 0; i < DYNO_USE_CHAINS; i++)
        for (const struct dyno_meter_use *use = atomic_load(&subject->uses[i]); use != NULL;
             use = use->next)
            room++;
    struct dyno_share *shares = dyno_alloc(room + 1, sizeof(*shares));
    *count_out = 0;
    for (size_t i = 0; i < DYNO_USE_CHAINS; i++)
        for (struct dyno_meter_use *use = atomic_load(&subject->uses[i]); use != NULL;
             use = use->next) {
            const uint64_t core_ns = atomic_exchange(&use->core_ns, 0);
            if (core_ns > 0 && shares != NULL && *count_out < DYNO_SHARES_MAX)
                shares[(*count_out)++] = (struct dyno_share){.key = use->tenant, .size = core_ns};
        }
    return shares;
}

/* Shared by those who used it, in proportion; what nobody used is the platform's, and has no
 * tenant. */
static void tell_held(struct dyno_meter *meter, struct dyno_subject *subject)
{
    size_t count = 0;
    const uint64_t now_ns = wall_ns();
    (void)pthread_mutex_lock(&subject->lock);
    const uint64_t from_ns = subject->held_from_ns != 0 ? subject->held_from_ns : now_ns;
    const uint64_t until_ns = now_ns > from_ns ? now_ns : from_ns; /* a clock set back: no time */
    subject->held_from_ns = until_ns;
    const dyno_u128 byte_ns = dyno_residency_take(&subject->residency, dyno_clock_ns());
    struct dyno_share *shares = take_uses(subject, &count);
    (void)pthread_mutex_unlock(&subject->lock);
    if (byte_ns != 0 && count == 0) {
        const struct dyno_record record = held_record(subject, from_ns, until_ns, 0, byte_ns);
        dyno_meter_append(meter, &record, NULL);
    } else if (byte_ns != 0) {
        dyno_split(byte_ns, shares, count);
        for (size_t i = 0; i < count; i++) {
            const struct dyno_record record =
                held_record(subject, from_ns, until_ns, (uint32_t)shares[i].key, shares[i].part);
            dyno_meter_append(meter, &record, NULL);
        }
    }
    dyno_free(shares);
}

/* Of its device's memory: that is what is scarce. */
static uint64_t bytes_of(struct dyno_variant *variant)
{
    return variant->device != 0 ? dyno_variant_gpu_bytes(variant) : dyno_variant_bytes(variant);
}

/* From now on each subject holds what its variants hold now. */
static void note_held(struct dyno_meter *meter)
{
    struct dyno_variant **variants = NULL;
    struct dyno_err err = {0};
    size_t count = 0;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL ||
        meter->options.ready(meter->options.arg, arena, &variants, &count, &err) != DYNO_OK) {
        dyno_arena_destroy(arena);
        return;
    }
    (void)pthread_mutex_lock(&meter->lock);
    for (struct dyno_subject *at = meter->subjects; at != NULL; at = at->next)
        at->was_held = false;
    for (size_t i = 0; i < count; i++) {
        struct dyno_subject *subject = atomic_load(&variants[i]->account);
        if (subject == NULL)
            continue;
        (void)pthread_mutex_lock(&subject->lock);
        dyno_residency_set(&subject->residency, bytes_of(variants[i]), dyno_clock_ns());
        if (subject->held_from_ns == 0)
            subject->held_from_ns = wall_ns();
        subject->was_held = true;
        (void)pthread_mutex_unlock(&subject->lock);
    }
    for (struct dyno_subject *at = meter->subjects; at != NULL; at = at->next) {
        (void)pthread_mutex_lock(&at->lock);
        if (!at->was_held)
            dyno_residency_set(&at->residency, 0, dyno_clock_ns());
        (void)pthread_mutex_unlock(&at->lock);
    }
    (void)pthread_mutex_unlock(&meter->lock);
    for (size_t i = 0; i < count; i++)
        dyno_variant_unref(variants[i]);
    dyno_arena_destroy(arena);
}

/* --- time --- */

/* A span of an account, of a device that has a name where it is a GPU. */
struct span {
    struct dyno_record record; /* kind, device_ns open */
    uint64_t end_ns;
};

static void tell_time(struct dyno_meter *meter, enum dyno_record_kind kind, const struct span *span,
                      dyno_u128 now, dyno_u128 *told)
{
    if (now <= *told) /* a cold start can be told before its time is read here */
        return;
    struct dyno_record record = span->record;
    record.kind = kind;
    record.device_ns = (uint64_t)(now - *told);
    dyno_meter_append(meter, &record, NULL);
    *told = now;
}

static struct span begin_span(const struct dyno_meter_account *account)
{
    const uint64_t now_ns = wall_ns();
    struct span span = {.end_ns = now_ns > account->told_ns ? now_ns : account->told_ns};
    struct dyno_record *record = &span.record;
    record->start_ns = account->told_ns;
    record->queue_ns = span.end_ns - account->told_ns; /* a clock set back: 0 */
    record->flags = account->device->is_gpu ? 0 : DYNO_RECORD_CORE_NS;
    record->names[DYNO_NAME_DEVICE - 1] = (uint32_t)atomic_load(&account->name);
    return span;
}

static void tell_device(struct dyno_meter *meter, struct dyno_meter_account *account)
{
    struct dyno_timeline_sums sums;
    if (account->device->is_gpu && atomic_load(&account->name) == 0)
        return; /* nobody has used it: it is told of when somebody has */
    const struct span span = begin_span(account);
    dyno_device_read(account->device, &sums);
    const uint64_t cold_ns = atomic_load(&account->cold_ns);
    account->told.platform_ns += cold_ns - account->cold_told_ns;
    account->cold_told_ns = cold_ns;
    tell_time(meter, DYNO_RECORD_PLATFORM, &span, sums.platform_ns, &account->told.platform_ns);
    tell_time(meter, DYNO_RECORD_IDLE, &span, sums.idle_ns, &account->told.idle_ns);
    account->told_ns = span.end_ns;
}

/* It never happens; but then bills would be wrong, and nobody would know. */
static void check_accounts(struct dyno_meter *meter)
{
    struct dyno_err err = {0};
    if (dyno_meter_check(meter, &err) == DYNO_OK || meter->has_told_imbalance)
        return;
    meter->has_told_imbalance = true;
    dyno_log(DYNO_LOG_ERROR, "the accounts of a device do not add up: %s", err.text);
}

void dyno_meter_tick(struct dyno_meter *meter)
{
    check_accounts(meter);
    (void)pthread_mutex_lock(&meter->lock);
    for (struct dyno_subject *at = meter->subjects; at != NULL; at = at->next)
        tell_held(meter, at);
    (void)pthread_mutex_unlock(&meter->lock);
    for (int i = 0; i < meter->account_count; i++)
        tell_device(meter, &meter->accounts[i]);
}

void *dyno_meter_keep_time(void *arg)
{
    struct dyno_meter *meter = arg;
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    for (int i = 0; i < meter->account_count; i++)
        meter->accounts[i].told_ns = wall_ns();
    (void)pthread_mutex_lock(&meter->lock);
    while (!meter->is_ending) {
        until.tv_sec += 1;
        (void)pthread_cond_timedwait(&meter->tick, &meter->lock, &until);
        if (meter->is_ending)
            break;
        (void)pthread_mutex_unlock(&meter->lock);
        if (meter->options.awaits_fleet)
            dyno_meter_fleet_expire(meter->fleet);
        note_held(meter);
        if (until.tv_sec % TICK_S == 0)
            dyno_meter_tick(meter);
        if (until.tv_sec % LOOK_S == 0)
            dyno_meter_look_at_book(meter);
        if (dyno_cert_shelf_ends(meter) ||
            (until.tv_sec % LOOK_S == 0 && dyno_cert_shelf_has_changed(meter)))
            dyno_meter_reload(meter);
        (void)pthread_mutex_lock(&meter->lock);
    }
    (void)pthread_mutex_unlock(&meter->lock);
    dyno_meter_tick(meter);
    return NULL;
}
