/* meter.c - records of requests. */
#include "serve/meter/meter.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/meter/internal.h"

/* --- opening --- */

static void on_head(void *arg, const struct dyno_head *head, const uint8_t *bytes,
                    const uint8_t *proof, size_t proof_bytes)
{
    const struct dyno_meter *meter = arg;
    dyno_head_board_take(meter->board, head, bytes, proof, proof_bytes);
}

static void told(void *arg, struct dyno_ledger_entry *entries)
{
    const struct dyno_meter *meter = arg;
    meter->options.durable(meter->options.arg, entries);
    if (meter->options.awaits_fleet)
        dyno_meter_fleet_await(meter->fleet, entries);
    else
        meter->options.told(meter->options.arg, entries);
}

static enum dyno_status open_fleet(struct dyno_meter *meter, struct dyno_err *err)
{
    const struct dyno_meter_options *options = &meter->options;
    const struct dyno_meter_fleet_options fleet = {.conninfo = options->fleet,
                                                   .ledger = options->ledger,
                                                   .is_awaited = options->awaits_fleet,
                                                   .wait_ns = options->fleet_wait_ns,
                                                   .is_strict = options->is_first_start,
                                                   .told = options->told,
                                                   .arg = options->arg};
    return options->fleet != NULL ? dyno_meter_fleet_create(&fleet, &meter->fleet, err) : DYNO_OK;
}

static void group_begins(void *arg)
{
    const struct dyno_meter *meter = arg;
    if (meter->options.quota != NULL)
        dyno_quota_group_begins(meter->options.quota);
}

/* All voids that the watermark has passed are posted by now. */
static void group_ends(void *arg, uint64_t last_seq)
{
    const struct dyno_meter *meter = arg;
    if (meter->options.quota != NULL)
        dyno_quota_group_ends(meter->options.quota, last_seq, dyno_ledger_sent_seq(meter->ledger));
    meter->options.committed(meter->options.arg, last_seq);
}

static enum dyno_status start(struct dyno_meter *meter, struct dyno_err *err)
{
    const struct dyno_head_board_options board = {.ledger = meter->options.ledger,
                                                  .node = meter->options.node,
                                                  .publish = meter->options.publish};
    DYNO_TRY(dyno_head_board_create(&board, &meter->board, err));
    const struct dyno_ledger_options ledger = {.folder = meter->options.ledger,
                                               .node = meter->options.node,
                                               .key_path = meter->options.key_path,
                                               .on_head = on_head,
                                               .told = told,
                                               .group_begins = group_begins,
                                               .group_ends = group_ends,
                                               .arg = meter};
    DYNO_TRY(dyno_ledger_open(&ledger, &meter->ledger, err));
    DYNO_TRY(dyno_head_board_check(meter->board, err));
    dyno_meter_begin_tariffs(meter);
    DYNO_TRY(dyno_cert_shelf_read(meter, err));
    DYNO_TRY(open_fleet(meter, err));
    DYNO_TRY(dyno_recheck_start(meter, err));
    const int code = pthread_create(&meter->thread, NULL, dyno_meter_keep_time, meter);
    meter->has_thread = code == 0;
    return code == 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

enum dyno_status dyno_meter_create(const struct dyno_meter_options *options,
                                   struct dyno_meter **meter_out, struct dyno_err *err)
{
    pthread_condattr_t monotonic;
    *meter_out = NULL;
    struct dyno_meter *meter = dyno_alloc(1, sizeof(*meter));
    if (meter == NULL)
        return DYNO_NOMEM(err);
    meter->options = *options;
    meter->accounts[0].device = options->device;
    for (int i = 0; i < options->gpu_count; i++)
        meter->accounts[1 + i].device = options->gpus[i];
    meter->account_count = 1 + options->gpu_count;
    (void)pthread_mutex_init(&meter->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&meter->tick, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    const enum dyno_status status = start(meter, err);
    if (status != DYNO_OK) {
        struct dyno_err ignored = {0};
        (void)dyno_meter_destroy(meter, &ignored);
        return status;
    }
    *meter_out = meter;
    return DYNO_OK;
}

enum dyno_status dyno_meter_destroy(struct dyno_meter *meter, struct dyno_err *err)
{
    if (meter == NULL)
        return DYNO_OK;
    (void)pthread_mutex_lock(&meter->lock);
    meter->is_ending = true;
    (void)pthread_cond_signal(&meter->tick);
    (void)pthread_mutex_unlock(&meter->lock);
    if (meter->has_thread)
        (void)pthread_join(meter->thread, NULL);
    dyno_recheck_stop(meter);
    dyno_meter_fleet_keep_off(meter->fleet, true);
    const enum dyno_status status = dyno_ledger_close(meter->ledger, err);
    dyno_meter_fleet_keep_off(meter->fleet, false);
    dyno_meter_fleet_destroy(meter->fleet);
    while (meter->subjects != NULL) {
        struct dyno_subject *next = meter->subjects->next;
        dyno_subject_destroy(meter->subjects);
        meter->subjects = next;
    }
    dyno_head_board_destroy(meter->board); /* the ledger made its last head into it */
    dyno_cert_shelf_destroy(meter->shelf);
    (void)pthread_cond_destroy(&meter->tick);
    (void)pthread_mutex_destroy(&meter->lock);
    dyno_free(meter);
    return status;
}

/* --- engines --- */

static bool is_of(const struct dyno_subject *subject, const struct dyno_variant *variant,
                  const struct dyno_cert_hash *engine)
{
    const char *slash = strchr(subject->variant, '/');
    return dyno_cert_same(&subject->engine, engine) &&
           strcmp(subject->model, variant->model) == 0 && slash != NULL &&
           strcmp(slash + 1, variant->name) == 0 &&
           strlen(variant->version) == (size_t)(slash - subject->variant) &&
           strncmp(subject->variant, variant->version, strlen(variant->version)) == 0;
}

/* Read again, a certificate is another piece of memory. */
static bool same_cert(const struct dyno_cert *a, const struct dyno_cert *b)
{
    return a == b || (a != NULL && b != NULL && dyno_cert_same(&a->address, &b->address));
}

/* One engine under one name is one subject, as long as its certificates are the same. */
static struct dyno_subject *find(struct dyno_meter *meter, const struct dyno_variant *variant,
                                 const struct dyno_cert_hash *engine)
{
    const struct dyno_cert *cert = NULL;
    const struct dyno_cert *reference = NULL;
    (void)pthread_mutex_lock(&meter->lock);
    dyno_cert_shelf_find(meter->shelf, engine, &cert, &reference);
    struct dyno_subject *subject = meter->subjects;
    while (subject != NULL &&
           !(is_of(subject, variant, engine) && same_cert(subject->reference, reference) &&
             same_cert(subject->certificate, cert) &&
             subject->account == &meter->accounts[variant->device]))
        subject = subject->next;
    (void)pthread_mutex_unlock(&meter->lock);
    return subject;
}

static enum dyno_status adopt(struct dyno_meter *meter, struct dyno_variant *variant,
                              const struct dyno_cert_hash *engine, struct dyno_err *err)
{
    struct dyno_subject *subject = find(meter, variant, engine);
    if (subject == NULL) {
        DYNO_TRY(dyno_subject_create(meter, variant, engine, &subject, err));
        (void)pthread_mutex_lock(&meter->lock);
        subject->next = meter->subjects;
        meter->subjects = subject;
        (void)pthread_mutex_unlock(&meter->lock);
    }
    atomic_store(&variant->account, subject);
    return DYNO_OK;
}

enum dyno_status dyno_meter_adopt(struct dyno_meter *meter, struct dyno_variant *variant,
                                  struct dyno_err *err)
{
    struct dyno_cert_hash engine;
    DYNO_TRY(dyno_engine_identity(variant->engine, engine.bytes, err));
    return adopt(meter, variant, &engine, err);
}

enum dyno_status dyno_meter_each_variant(struct dyno_meter *meter,
                                         const struct dyno_subject *subject,
                                         dyno_meter_variant_fn *fn, void *arg, struct dyno_err *err)
{
    struct dyno_variant **variants = NULL;
    size_t count = 0;
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status =
        arena != NULL ? meter->options.ready(meter->options.arg, arena, &variants, &count, err)
                      : DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_subject *now = atomic_load(&variants[i]->account);
        if (status == DYNO_OK && now != NULL && (subject == NULL || now == subject))
            status = fn(meter, variants[i], arg, err);
        dyno_variant_unref(variants[i]);
    }
    dyno_arena_destroy(arena);
    return status;
}

/* By the certificates that there are now. */
static enum dyno_status adopt_again(struct dyno_meter *meter, struct dyno_variant *variant,
                                    void *arg, struct dyno_err *err)
{
    const struct dyno_subject *subject = atomic_load(&variant->account);
    (void)arg;
    return adopt(meter, variant, &subject->engine, err);
}

void dyno_meter_reload(struct dyno_meter *meter)
{
    struct dyno_err err = {0};
    if (meter == NULL)
        return;
    dyno_meter_look_at_book(meter);
    if (meter->options.certificates == NULL)
        return;
    if (dyno_cert_shelf_read(meter, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_ERROR, "certificates: %s", err.text);
    if (dyno_meter_each_variant(meter, NULL, adopt_again, NULL, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_ERROR, "an engine keeps its certificates: %s", err.text);
}

/* --- requests --- */

const char *dyno_meter_refusal(const struct dyno_meter *meter)
{
    if (!dyno_ledger_admits(meter->ledger))
        return "usage cannot be written down: the disk is full";
    if (meter->options.awaits_fleet && !dyno_meter_fleet_admits(meter->fleet))
        return "usage cannot be written down: the fleet's ledger is away";
    return NULL;
}

uint32_t dyno_meter_epoch(const struct dyno_meter *meter)
{
    return dyno_ledger_epoch(meter->ledger);
}

void dyno_meter_quote(struct dyno_variant *variant, const struct dyno_array *inputs,
                      uint64_t core_ns, struct dyno_meter_quote *quote_out)
{
    dyno_subject_quote(atomic_load(&variant->account), inputs, core_ns, quote_out);
}

static enum dyno_outcome outcome_of(const struct dyno_meter_request *request)
{
    return request->is_good        ? DYNO_OUTCOME_OK
           : request->is_cancelled ? DYNO_OUTCOME_CANCELLED
                                   : DYNO_OUTCOME_FAILED;
}

static int64_t start_s_of(const struct dyno_meter_request *request)
{
    return (int64_t)(request->wall_ns / 1000000000U);
}

static void value(struct dyno_meter *meter, struct dyno_subject *subject,
                  const struct dyno_meter_request *request, struct dyno_record *record)
{
    if (!request->is_good)
        return;
    const struct dyno_epu epu =
        dyno_subject_epu(subject, request->inputs, request->core_ns, start_s_of(request));
    record->reference_ns = epu.reference_ns;
    if (epu.basis == DYNO_EPU_OUTSIDE) {
        record->flags |= DYNO_RECORD_OUT_OF_RANGE;
        atomic_fetch_add_explicit(&meter->outside_count, 1, memory_order_relaxed);
    } else if (epu.basis == DYNO_EPU_UNCERTIFIED) {
        record->flags |= DYNO_RECORD_UNCERTIFIED;
        atomic_fetch_add_explicit(&meter->uncertified_count, 1, memory_order_relaxed);
    } else if (atomic_load_explicit(&subject->wants_sample, memory_order_relaxed)) {
        dyno_sample_take(subject, request->variant, request->inputs);
    }
}

/* A record on its own way, where nobody waits for it. */
struct copy {
    struct dyno_ledger_entry entry; /* first */
    struct dyno_meter *meter;
    struct dyno_reservation reservation;
};

/* Its answer left before it. */
static void on_copy_done(struct dyno_ledger_entry *entry)
{
    struct copy *copy = (struct copy *)(void *)entry;
    const bool is_usage = entry->record.kind == DYNO_RECORD_USAGE;
    if (entry->status == DYNO_OK && entry->record.kind != DYNO_RECORD_VOID)
        dyno_quota_post(&entry->record, &copy->reservation);
    else if (entry->status == DYNO_OK)
        dyno_quota_void(&copy->reservation);
    if (is_usage && entry->status == DYNO_OK)
        (void)dyno_ledger_sent(copy->meter->ledger, &entry->record.id.seq, 1, NULL);
    dyno_quota_release(&copy->reservation);
    dyno_free(copy);
}

void dyno_meter_append(struct dyno_meter *meter, const struct dyno_record *record,
                       struct dyno_reservation *reservation)
{
    struct copy *copy = dyno_alloc(1, sizeof(*copy));
    if (copy == NULL) {
        dyno_log(DYNO_LOG_ERROR, "a usage record is lost: out of memory");
        return;
    }
    copy->meter = meter;
    copy->entry.record = *record;
    if (reservation != NULL)
        dyno_reservation_move(&copy->reservation, reservation);
    copy->entry.done = on_copy_done;
    dyno_ledger_append(meter->ledger, &copy->entry);
}

const char *dyno_meter_tenant_name(const struct dyno_meter_request *request)
{
    return request->tenant[0] != 0 ? request->tenant : "guest";
}

/* The ledger's names stand behind a lock; a request finds its own without. */
static bool name_tenant(struct dyno_meter *meter, const struct dyno_meter_request *request,
                        struct dyno_record *record)
{
    const uint64_t id = request->tenant_id;
    const uint64_t mask = ((uint64_t)1 << DYNO_HANDLE_BITS) - 1;
    atomic_uint_fast64_t *slot = &meter->tenants[id % DYNO_TENANTS_KEPT];
    const uint64_t kept = atomic_load_explicit(slot, memory_order_relaxed);
    uint32_t *handle = &record->names[DYNO_NAME_TENANT - 1];
    if (kept != 0 && kept >> DYNO_HANDLE_BITS == id) {
        *handle = (uint32_t)(kept & mask);
        return true;
    }
    const char *name = dyno_meter_tenant_name(request);
    if (dyno_ledger_name(meter->ledger, DYNO_NAME_TENANT, name, handle, NULL) != DYNO_OK)
        return false;
    if (*handle <= mask && id >> (64 - DYNO_HANDLE_BITS) == 0)
        atomic_store_explicit(slot, id << DYNO_HANDLE_BITS | *handle, memory_order_relaxed);
    return true;
}

static bool name_class(struct dyno_meter *meter, const struct dyno_meter_request *request,
                       struct dyno_record *record)
{
    atomic_uint_fast32_t *slot = &meter->classes[request->class_idx];
    uint32_t *handle = &record->names[DYNO_NAME_CLASS - 1];
    *handle = (uint32_t)atomic_load_explicit(slot, memory_order_relaxed);
    if (*handle != 0)
        return true;
    if (dyno_ledger_name(meter->ledger, DYNO_NAME_CLASS, request->class_name, handle, NULL) !=
        DYNO_OK)
        return false;
    atomic_store_explicit(slot, *handle, memory_order_relaxed);
    return true;
}

/* The request waited until its engine was loaded: the tenant's cold start, told once.  On the
 * device's account it is the platform's, so the ticks leave it out. */
static void tell_cold_start(struct dyno_meter *meter, const struct dyno_meter_request *request,
                            const struct dyno_record *usage)
{
    struct dyno_meter_account *account = &meter->accounts[request->variant->device];
    const uint64_t core_ns = atomic_exchange(&request->variant->load_core_ns, 0);
    if (core_ns == 0)
        return;
    struct dyno_record record = {.kind = DYNO_RECORD_PLATFORM,
                                 .flags = usage->flags & DYNO_RECORD_CORE_NS,
                                 .start_ns = usage->start_ns,
                                 .queue_ns = core_ns / account->device->timeline.capacity,
                                 .device_ns = core_ns};
    memcpy(record.names, usage->names, sizeof(record.names));
    record.names[DYNO_NAME_SHAPE - 1] = 0;
    atomic_fetch_add(&account->cold_ns, core_ns);
    struct dyno_reservation load = {0};
    if (request->reservation != NULL)
        load = dyno_quota_cold_start(request->reservation);
    dyno_meter_append(meter, &record, &load);
}

bool dyno_meter_record(struct dyno_meter *meter, const struct dyno_meter_request *request,
                       struct dyno_ledger_entry *entry)
{
    struct dyno_subject *subject = atomic_load(&request->variant->account);
    struct dyno_record *record = &entry->record;
    *record = (struct dyno_record){
        .kind = DYNO_RECORD_USAGE,
        .outcome = outcome_of(request),
        .flags = subject->is_core ? DYNO_RECORD_CORE_NS : 0,
        .items = dyno_subject_items(subject, request->variant, request->inputs),
        .batch_count = request->batch_count,
        .batch_id = request->batch_id,
        .start_ns = request->wall_ns,
        .queue_ns = request->queue_ns,
        .device_ns = request->core_ns};
    memcpy(record->names, subject->names, sizeof(record->names));
    if (start_s_of(request) >= subject->ends_s) /* its engine has no other yet */
        record->names[DYNO_NAME_REFERENCE - 1] = record->names[DYNO_NAME_CERTIFICATE - 1] = 0;
    const bool is_named = name_tenant(meter, request, record) && name_class(meter, request, record);
    if (!is_named) { /* out of memory: the request fails, and is nobody's */
        entry->status = DYNO_E_NOMEM;
        return false;
    }
    record->names[DYNO_NAME_TARIFF - 1] = dyno_meter_tariff(meter, request);
    record->names[DYNO_NAME_SHAPE - 1] =
        dyno_subject_shape(subject, request->variant, request->inputs);
    if (request->has_waited)
        tell_cold_start(meter, request, record);
    value(meter, subject, request, record);
    dyno_subject_use(subject, dyno_record_name(record, DYNO_NAME_TENANT), request->core_ns);
    atomic_fetch_add_explicit(&meter->record_count, 1, memory_order_relaxed);
    entry->status = DYNO_OK;
    if (!meter->options.is_relaxed)
        return true;
    record->flags |= DYNO_RECORD_RELAXED;
    dyno_meter_append(meter, record, request->reservation);
    return false;
}

void dyno_meter_hand_over(struct dyno_meter *meter, struct dyno_ledger_entry *entries)
{
    dyno_ledger_append(meter->ledger, entries);
}

bool dyno_meter_awaits(const struct dyno_ledger_entry *entry)
{
    /* One that the fleet did not take in time is durable here. */
    return entry->record.id.seq != 0 && (entry->status == DYNO_OK || entry->status == DYNO_E_BUSY);
}

void dyno_meter_left(struct dyno_meter *meter, const uint64_t *seqs, size_t count)
{
    struct dyno_err err = {0};
    if (dyno_ledger_sent(meter->ledger, seqs, count, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_WARN, "%s", err.text);
}

void dyno_meter_lost(struct dyno_meter *meter, const struct dyno_ledger_entry *entry,
                     struct dyno_reservation *reservation)
{
    const struct dyno_record_id *id = &entry->record.id;
    dyno_meter_append(meter,
                      &(struct dyno_record){.id = {.node = id->node},
                                            .kind = DYNO_RECORD_VOID,
                                            .start_ns = entry->record.start_ns,
                                            .voids = *id},
                      reservation);
}

void dyno_meter_heads(struct dyno_meter *meter, struct dyno_strbuf *out)
{
    dyno_head_board_print(meter->board, out);
}

enum dyno_status dyno_meter_check(struct dyno_meter *meter, struct dyno_err *err)
{
    struct dyno_timeline_sums sums;
    for (int i = 0; i < meter->account_count; i++) {
        dyno_device_read(meter->accounts[i].device, &sums);
        DYNO_TRY(dyno_timeline_check(&sums, err));
    }
    return DYNO_OK;
}

void dyno_meter_read(struct dyno_meter *meter, struct dyno_meter_figures *figures_out)
{
    *figures_out =
        (struct dyno_meter_figures){.record_count = atomic_load(&meter->record_count),
                                    .durable_seq = dyno_ledger_durable_seq(meter->ledger),
                                    .uncertified_count = atomic_load(&meter->uncertified_count),
                                    .outside_count = atomic_load(&meter->outside_count),
                                    .admits = dyno_ledger_admits(meter->ledger)};
    figures_out->has_fleet = meter->fleet != NULL;
    if (meter->fleet != NULL)
        dyno_meter_fleet_read(meter->fleet, &figures_out->fleet);
    dyno_device_read(meter->options.device, &figures_out->sums);
    dyno_recheck_read(meter, figures_out);
    figures_out->is_balanced = dyno_meter_check(meter, NULL) == DYNO_OK;
}
