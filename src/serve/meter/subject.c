/* subject.c - what the ledger calls an engine, and what its requests are worth. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/meter/internal.h"

#define HANDLE_MASK UINT64_C(0xffffff)

/* --- making one --- */

static enum dyno_status name(struct dyno_subject *subject, enum dyno_name_kind kind,
                             const char *text, struct dyno_err *err)
{
    return dyno_ledger_name(subject->meter->ledger, kind, text, &subject->names[kind - 1], err);
}

/* Which of the engine's inputs is each of the certificate's; false: one is missing. */
static bool match_inputs(struct dyno_subject *subject, const struct dyno_variant *variant,
                         const struct dyno_cert *reference)
{
    for (uint32_t i = 0; i < reference->input_count; i++) {
        size_t k = 0;
        while (k < variant->input_count &&
               strcmp(variant->inputs[k].name, reference->inputs[i].name) != 0)
            k++;
        if (k == variant->input_count)
            return false;
        subject->inputs[i] = (uint32_t)k;
    }
    return true;
}

/* What was measured on one GPU says nothing of another that runs the engine, too. */
static bool is_of_device(const struct dyno_subject *subject, const struct dyno_cert *reference)
{
    const bool on_gpu = !subject->is_core;
    if (on_gpu != (reference->gpu.compute != 0))
        return false;
    if (!on_gpu || strcmp(reference->processor, subject->gpu) == 0)
        return true;
    dyno_log(DYNO_LOG_WARN, "the certificates of '%s' are of '%s' and count nothing on '%s'",
             subject->model, reference->processor, subject->gpu);
    return false;
}

static enum dyno_status take_certs(struct dyno_subject *subject, const struct dyno_variant *variant,
                                   struct dyno_err *err)
{
    const struct dyno_cert *engine = NULL;
    const struct dyno_cert *reference = NULL;
    char address[DYNO_CERT_HEX_ROOM];
    (void)pthread_mutex_lock(&subject->meter->lock);
    dyno_cert_shelf_find(subject->meter->shelf, &subject->engine, &engine, &reference);
    (void)pthread_mutex_unlock(&subject->meter->lock);
    if (reference == NULL || !is_of_device(subject, reference) ||
        !match_inputs(subject, variant, reference))
        return DYNO_OK;
    dyno_cert_hex(&reference->address, address);
    DYNO_TRY(name(subject, DYNO_NAME_REFERENCE, address, err));
    if (engine != NULL) {
        dyno_cert_hex(&engine->address, address);
        DYNO_TRY(name(subject, DYNO_NAME_CERTIFICATE, address, err));
    }
    subject->reference = reference;
    subject->certificate = engine;
    subject->ends_s = dyno_cert_expires_s(reference);
    if (engine != NULL && dyno_cert_expires_s(engine) < subject->ends_s)
        subject->ends_s = dyno_cert_expires_s(engine);
    if (engine != NULL)
        subject->speed_up_ppm =
            (int64_t)dyno_cert_billed_speedup_1e6(engine, (uint64_t)DYNO_TARIFF_SPEED_UP_MAX);
    return DYNO_OK;
}

/* The class of its device: a GPU's is what its driver calls it. */
static enum dyno_status name_device(struct dyno_subject *subject,
                                    const struct dyno_variant *variant, struct dyno_err *err)
{
    const char *device = subject->meter->options.device_class;
    struct dyno_card_figures figures;
    if (variant->gpu != NULL) {
        dyno_card_look(variant->gpu->card, &figures);
        memcpy(subject->gpu, figures.name, sizeof(subject->gpu));
        DYNO_TRY(name(subject, DYNO_NAME_DEVICE, subject->gpu, err));
        atomic_store(&subject->account->name, subject->names[DYNO_NAME_DEVICE - 1]);
        return DYNO_OK;
    }
    return device != NULL ? name(subject, DYNO_NAME_DEVICE, device, err) : DYNO_OK;
}

static enum dyno_status fill(struct dyno_subject *subject, const struct dyno_variant *variant,
                             struct dyno_err *err)
{
    char text[sizeof(variant->version) + sizeof(variant->name) + 1];
    (void)snprintf(text, sizeof(text), "%s/%s", variant->version, variant->name);
    subject->model = dyno_strdup(variant->model);
    subject->variant = dyno_strdup(text);
    if (subject->model == NULL || subject->variant == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(name(subject, DYNO_NAME_MODEL, subject->model, err));
    DYNO_TRY(name(subject, DYNO_NAME_VARIANT, subject->variant, err));
    DYNO_TRY(name_device(subject, variant, err));
    return take_certs(subject, variant, err);
}

enum dyno_status dyno_subject_create(struct dyno_meter *meter, const struct dyno_variant *variant,
                                     const struct dyno_cert_hash *engine,
                                     struct dyno_subject **subject_out, struct dyno_err *err)
{
    struct dyno_subject *subject = dyno_alloc(1, sizeof(*subject));
    *subject_out = NULL;
    if (subject == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&subject->lock, NULL);
    subject->meter = meter;
    subject->account = &meter->accounts[variant->device];
    subject->is_core = variant->device == 0;
    subject->engine = *engine;
    subject->speed_up_ppm = DYNO_PPM;
    subject->ends_s = INT64_MAX;
    dyno_residency_init(&subject->residency, 0, dyno_clock_ns());
    const enum dyno_status status = fill(subject, variant, err);
    if (status == DYNO_OK)
        *subject_out = subject;
    else
        dyno_subject_destroy(subject);
    return status;
}

void dyno_subject_destroy(struct dyno_subject *subject)
{
    if (subject == NULL)
        return;
    for (size_t i = 0; i < DYNO_USE_CHAINS; i++) {
        struct dyno_meter_use *use = atomic_load(&subject->uses[i]);
        while (use != NULL) {
            struct dyno_meter_use *next = use->next;
            dyno_free(use);
            use = next;
        }
    }
    dyno_sample_destroy(atomic_load(&subject->sample));
    dyno_free(subject->model);
    dyno_free(subject->variant);
    (void)pthread_mutex_destroy(&subject->lock);
    dyno_free(subject);
}

/* --- shapes --- */

static uint64_t hash_of(const struct dyno_array *inputs, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < count; i++)
        for (int d = 0; d < inputs[i].rank; d++) {
            hash = (hash ^ (uint64_t)inputs[i].dims[d]) * 0xff51afd7ed558ccdU;
            hash ^= hash >> 32;
        }
    return hash;
}

/* "1x3x224x224", or "x:1x3,y:2" with several inputs; cut where it is too long for a name. */
static void print(const struct dyno_variant *variant, const struct dyno_array *inputs,
                  char out[DYNO_NAME_BYTES_MAX + 1])
{
    size_t at = 0;
    const size_t room = DYNO_NAME_BYTES_MAX + 1;
    out[0] = 0;
    for (size_t i = 0; i < variant->input_count && at < room; i++) {
        if (variant->input_count > 1)
            at += (size_t)snprintf(out + at, room - at, "%s%.64s:", i > 0 ? "," : "",
                                   variant->inputs[i].name);
        for (int d = 0; d < inputs[i].rank && at < room; d++)
            at += (size_t)snprintf(out + at, room - at, "%s%lld", d > 0 ? "x" : "",
                                   (long long)inputs[i].dims[d]);
    }
}

uint32_t dyno_subject_shape(struct dyno_subject *subject, const struct dyno_variant *variant,
                            const struct dyno_array *inputs)
{
    const uint64_t hash = hash_of(inputs, variant->input_count);
    atomic_uint_fast64_t *slot = &subject->shapes[hash % DYNO_SHAPES_KEPT];
    const uint64_t kept = atomic_load_explicit(slot, memory_order_relaxed);
    char text[DYNO_NAME_BYTES_MAX + 1];
    uint32_t handle = 0;
    if (kept != 0 && (kept & ~HANDLE_MASK) == (hash & ~HANDLE_MASK))
        return (uint32_t)(kept & HANDLE_MASK);
    if (atomic_load_explicit(&subject->shape_count, memory_order_relaxed) >= DYNO_SHAPES_MAX)
        return 0;
    print(variant, inputs, text);
    if (text[0] == 0 ||
        dyno_ledger_name(subject->meter->ledger, DYNO_NAME_SHAPE, text, &handle, NULL) != DYNO_OK)
        return 0;
    /* Not exact: one that was pushed out of its slot counts again. */
    (void)atomic_fetch_add_explicit(&subject->shape_count, 1, memory_order_relaxed);
    if (handle <= HANDLE_MASK)
        atomic_store_explicit(slot, (hash & ~HANDLE_MASK) | handle, memory_order_relaxed);
    return handle;
}

/* --- worth --- */

uint32_t dyno_subject_items(const struct dyno_subject *subject, const struct dyno_variant *variant,
                            const struct dyno_array *inputs)
{
    if (variant->input_count == 0)
        return 1;
    const struct dyno_array *first = &inputs[subject->reference != NULL ? subject->inputs[0] : 0];
    if (first->rank == 0)
        return 1;
    return first->dims[0] < UINT32_MAX ? (uint32_t)first->dims[0] : UINT32_MAX;
}

/* Reference time is that of the whole device, so where it is a request's own it is the time of all
 * cores, each a part of it. */
struct dyno_epu dyno_subject_epu(const struct dyno_subject *subject,
                                 const struct dyno_array *inputs, uint64_t core_ns, int64_t start_s)
{
    const struct dyno_cert *reference = start_s < subject->ends_s ? subject->reference : NULL;
    const int64_t *dims[DYNO_CERT_INPUTS_MAX];
    uint32_t ranks[DYNO_CERT_INPUTS_MAX];
    const struct dyno_epu_shape shape = {dims, ranks};
    const uint64_t device_ns = core_ns / subject->account->device->timeline.capacity;
    for (uint32_t i = 0; reference != NULL && i < reference->input_count; i++) {
        dims[i] = inputs[subject->inputs[i]].dims;
        ranks[i] = (uint32_t)inputs[subject->inputs[i]].rank;
    }
    return dyno_epu_of(reference, &shape, device_ns, true);
}

/* What its records say, or the certificate that they cite. */
static const char *device_of(const struct dyno_subject *subject)
{
    const char *device = subject->is_core ? subject->meter->options.device_class : subject->gpu;
    if (device != NULL)
        return device;
    return subject->certificate != NULL ? subject->certificate->device_class : "";
}

void dyno_subject_quote(const struct dyno_subject *subject, const struct dyno_array *inputs,
                        uint64_t core_ns, struct dyno_meter_quote *quote_out)
{
    const int64_t now_s = dyno_now_s();
    const struct dyno_cert *certificate = now_s < subject->ends_s ? subject->certificate : NULL;
    *quote_out = (struct dyno_meter_quote){
        .reference_ns = dyno_subject_epu(subject, inputs, core_ns, now_s).reference_ns,
        .precision = certificate != NULL ? certificate->precision : "",
        .speed_up_ppm = certificate != NULL ? subject->speed_up_ppm : DYNO_PPM,
        .device_class = device_of(subject),
        .subject = subject};
}

static struct dyno_meter_use *find_use(struct dyno_subject *subject, uint32_t tenant)
{
    struct dyno_meter_use *use =
        atomic_load_explicit(&subject->uses[tenant % DYNO_USE_CHAINS], memory_order_acquire);
    while (use != NULL && use->tenant != tenant)
        use = use->next;
    return use;
}

/* NULL: out of memory. */
static struct dyno_meter_use *add_use(struct dyno_subject *subject, uint32_t tenant)
{
    (void)pthread_mutex_lock(&subject->lock);
    struct dyno_meter_use *use = find_use(subject, tenant);
    if (use == NULL) {
        use = dyno_alloc(1, sizeof(*use));
        if (use != NULL) {
            use->tenant = tenant;
            use->next = atomic_load(&subject->uses[tenant % DYNO_USE_CHAINS]);
            atomic_store_explicit(&subject->uses[tenant % DYNO_USE_CHAINS], use,
                                  memory_order_release);
        }
    }
    (void)pthread_mutex_unlock(&subject->lock);
    return use;
}

void dyno_subject_use(struct dyno_subject *subject, uint32_t tenant, uint64_t core_ns)
{
    struct dyno_meter_use *use = find_use(subject, tenant);
    if (use == NULL)
        use = add_use(subject, tenant);
    if (use != NULL) /* else the others carry what is held */
        atomic_fetch_add_explicit(&use->core_ns, core_ns, memory_order_relaxed);
}
