/* usage_give.c - what records are to a bill: the second pass over the files. */
#include <string.h>

#include "cli/usage_internal.h"

#define NS_A_S UINT64_C(1000000000)

/* What a record is to a bill, as it is known now or was known when the last period was closed;
 * false: nothing (a void, the platform's own, what is idle). */
static bool kind_of(const struct dyno_usage_source *source, const struct dyno_record *record,
                    const struct dyno_usage_span *span, bool was, enum dyno_usage_kind *kind_out)
{
    const char *key = (const char *)&record->id;
    uint64_t group = 0;
    if (record->kind == DYNO_RECORD_RESIDENCY) {
        *kind_out = DYNO_USAGE_RESIDENCY; /* the platform's, where nobody used it */
        return dyno_record_name(record, DYNO_NAME_TENANT) != 0 || source->options.gives_idle;
    }
    if (record->kind == DYNO_RECORD_PLATFORM) { /* for a tenant: an engine that it waited for */
        *kind_out = DYNO_USAGE_COLD_START;
        return dyno_record_name(record, DYNO_NAME_TENANT) != 0;
    }
    if (record->kind != DYNO_RECORD_USAGE)
        return false;
    const bool is_void = dyno_map_find(&source->voids, key, sizeof(record->id), &group) &&
                         (!was || dyno_usage_was_read(source, group));
    if (is_void || record->id.seq > (was ? span->billed_sent_seq : span->sent_seq))
        *kind_out = DYNO_USAGE_UNCONFIRMED;
    else if (record->outcome == DYNO_OUTCOME_OK)
        *kind_out = DYNO_USAGE_DELIVERED;
    else
        *kind_out = record->outcome == DYNO_OUTCOME_CACHED ? DYNO_USAGE_CACHED : DYNO_USAGE_FAILED;
    return true;
}

/* What a device delivered, in the reference device's reference-ns, rounded down.  The device is
 * what the record says, or else what its certificate is of. */
static enum dyno_status convert(struct dyno_usage_source *source,
                                const struct dyno_usage_names *names,
                                const struct dyno_record *record, struct dyno_usage *usage,
                                struct dyno_err *err)
{
    const uint32_t certificate = usage->key.certificate;
    uint32_t device = 0;
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_DEVICE, &device, err));
    const char *text = device == 0 && certificate != 0
                           ? source->grades[certificate].grade.device_class
                           : source->names[device];
    if (device != source->device || certificate != source->device_certificate) {
        source->factor_1e9 = dyno_factors_find(&source->factors, text);
        source->device = device;
        source->device_certificate = certificate;
    }
    if (source->factor_1e9 == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s has no row of device '%.64s'",
                         source->options.factors, text);
    usage->reference_ns =
        (uint64_t)((dyno_u128)usage->reference_ns * DYNO_FACTOR_ONE / source->factor_1e9);
    return DYNO_OK;
}

/* A certificate counts for no request after its term, nor while it is suspended, whatever the
 * record says: a doubt never costs the customer, so the price stays and the work is what the device
 * took, if that is less. */
static enum dyno_status bound_lapsed(struct dyno_usage_source *source, struct dyno_usage *usage,
                                     struct dyno_err *err)
{
    const struct dyno_cert_term *term = NULL;
    enum dyno_cert_state_kind was = DYNO_CERT_IN_FORCE;
    if (usage->key.certificate != 0) {
        term = &source->grades[usage->key.certificate].grade.term;
        was = dyno_cert_term_at(term, usage->start_s);
    }
    if (was == DYNO_CERT_IN_FORCE && usage->reference != 0) {
        DYNO_TRY(dyno_usage_reference_term(source, usage->reference, &term, err));
        was = dyno_cert_term_at(term, usage->start_s);
    }
    if (was == DYNO_CERT_IN_FORCE)
        return DYNO_OK;
    usage->is_lapsed = was == DYNO_CERT_EXPIRED;
    usage->is_suspended = was == DYNO_CERT_SUSPENDED;
    usage->is_certified = false;
    usage->reference_ns =
        dyno_cert_term_bound(term, usage->reference_ns, usage->device_ns, usage->is_core);
    return DYNO_OK;
}

/* The same work by another engine: its device time goes by the two speed-ups; what it delivered is
 * the model's, and stays.  So does the time of loading: that is no work. */
static enum dyno_status swap_in(struct dyno_usage_source *source,
                                const struct dyno_usage_names *names,
                                const struct dyno_record *record, struct dyno_usage *usage,
                                struct dyno_err *err)
{
    const struct dyno_grade *was =
        usage->key.certificate != 0 ? &source->grades[usage->key.certificate].grade : NULL;
    const struct dyno_grade *instead = NULL;
    char address[DYNO_CERT_HEX_ROOM];
    uint32_t reference = 0;
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_REFERENCE, &reference, err));
    DYNO_TRY(dyno_swaps_find(&source->swaps, usage->key.certificate, was, reference,
                             source->names[reference], &instead, err));
    if (instead == NULL)
        return DYNO_OK;
    dyno_cert_hex(&instead->address, address);
    usage->key.certificate = (uint32_t)dyno_usage_source_find(source, address);
    usage->device_ns = dyno_grade_device_ns(was, instead, usage->device_ns);
    return DYNO_OK;
}

/* What a certificate says is in a price, and where a record names no device its factor is that of
 * the certificate's. */
static bool wants_grade(const struct dyno_usage_source *source, const struct dyno_record *record,
                        uint64_t reference_ns)
{
    const struct dyno_usage_source_options *options = &source->options;
    return options->certificates != NULL || !options->is_counted ||
           (options->factors != NULL && reference_ns > 0 &&
            dyno_record_name(record, DYNO_NAME_DEVICE) == 0);
}

struct visit {
    dyno_usage_take_fn *take;
    void *arg;
    bool takes_back; /* what is given now */
};

static enum dyno_status give(struct dyno_usage_source *source, const struct dyno_usage_names *names,
                             const struct dyno_record *record, enum dyno_usage_kind kind,
                             const struct visit *visit, struct dyno_err *err)
{
    struct dyno_usage usage = {
        .kind = kind,
        .start_s = (int64_t)(record->start_ns / NS_A_S),
        .is_core = (record->flags & DYNO_RECORD_CORE_NS) != 0,
        .requests = kind != DYNO_USAGE_RESIDENCY && kind != DYNO_USAGE_COLD_START,
        .items = record->items,
        .device_ns = kind == DYNO_USAGE_RESIDENCY ? 0 : record->device_ns,
        .reference_ns = kind == DYNO_USAGE_DELIVERED ? record->reference_ns : 0,
        .is_taken_back = visit->takes_back,
        .node = record->id.node,
        .epoch = record->id.epoch,
        .seq = record->id.seq,
        .batch_count = record->batch_count,
    };
    struct dyno_usage_key *key = &usage.key;
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_DEVICE, &usage.device, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_REFERENCE, &usage.reference, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_TENANT, &key->tenant, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_MODEL, &key->model, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_VARIANT, &key->variant, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_CLASS, &key->class_name, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_CERTIFICATE, &key->certificate, err));
    DYNO_TRY(dyno_usage_name_of(names, record, DYNO_NAME_TARIFF, &usage.claimed, err));
    usage.is_certified =
        (usage.reference != 0 || key->certificate != 0) && kind == DYNO_USAGE_DELIVERED &&
        (record->flags & (DYNO_RECORD_OUT_OF_RANGE | DYNO_RECORD_UNCERTIFIED)) == 0;
    if (key->certificate != 0 && wants_grade(source, record, usage.reference_ns) &&
        !source->grades[key->certificate].grade.is_known)
        DYNO_TRY(dyno_usage_load_grade(source, key->certificate, err));
    if (source->options.certificates != NULL && kind == DYNO_USAGE_DELIVERED)
        DYNO_TRY(bound_lapsed(source, &usage, err));
    if (source->options.factors != NULL && usage.reference_ns > 0)
        DYNO_TRY(convert(source, names, record, &usage, err));
    if (source->swaps.instead_count > 0 && kind != DYNO_USAGE_COLD_START)
        DYNO_TRY(swap_in(source, names, record, &usage, err));
    if (key->certificate != 0 && source->grades[key->certificate].grade.is_known) {
        key->precision = source->grades[key->certificate].precision;
        source->has_trials = source->has_trials || source->grades[key->certificate].grade.is_trial;
    }
    if (kind == DYNO_USAGE_RESIDENCY) {
        key->class_name = key->certificate = key->precision = 0;
        usage.byte_ns = record->memory_byte_ns;
    }
    return visit->take(visit->arg, &usage, err);
}

/* A record of a time that was closed: only what the closing did not see, or saw otherwise. */
static enum dyno_status give_late(struct dyno_usage_source *source,
                                  const struct dyno_usage_names *names,
                                  const struct dyno_record *record,
                                  const struct dyno_usage_span *span, bool was_there,
                                  struct visit *visit, struct dyno_err *err)
{
    enum dyno_usage_kind kind = DYNO_USAGE_FAILED;
    enum dyno_usage_kind was = DYNO_USAGE_FAILED;
    if (!kind_of(source, record, span, false, &kind))
        return DYNO_OK;
    if (!was_there)
        return give(source, names, record, kind, visit, err);
    (void)kind_of(source, record, span, true, &was);
    if (kind == was)
        return DYNO_OK;
    if (kind == DYNO_USAGE_DELIVERED)
        return give(source, names, record, kind, visit, err);
    if (was != DYNO_USAGE_DELIVERED)
        return DYNO_OK;
    visit->takes_back = true;
    const enum dyno_status status = give(source, names, record, was, visit, err);
    visit->takes_back = false;
    return status;
}

/* The second pass. */
static enum dyno_status tell(struct dyno_usage_source *source, struct dyno_usage_names *names,
                             const struct dyno_ledger_group *group, void *arg, struct dyno_err *err)
{
    struct visit *visit = arg;
    struct dyno_usage_span *span = NULL;
    if (group->group.record_count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_usage_span_of(source, group->group.node, group->group.epoch, &span, err));
    const bool was_there = dyno_usage_was_read(source, group->group.number);
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        enum dyno_usage_kind kind = DYNO_USAGE_FAILED;
        DYNO_TRY(dyno_usage_record_at(group, i, &record, err));
        const int64_t start_s = (int64_t)(record.start_ns / NS_A_S);
        if (start_s >= source->options.next_s)
            continue;
        if (start_s >= source->options.first_s) {
            if (kind_of(source, &record, span, false, &kind))
                DYNO_TRY(give(source, names, &record, kind, visit, err));
        } else if (source->bound != NULL && start_s >= source->options.billed_s) {
            DYNO_TRY(give_late(source, names, &record, span, was_there, visit, err));
        }
    }
    return DYNO_OK;
}

enum dyno_status dyno_usage_source_each(struct dyno_usage_source *source, dyno_usage_take_fn *take,
                                        void *arg, struct dyno_err *err)
{
    struct visit visit = {.take = take, .arg = arg};
    return dyno_usage_walk(source, false, tell, &visit, err);
}
