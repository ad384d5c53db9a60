/* settle.c - what the ledger says after the mark: posted, taken back, never told.
 *
 * A record counts when a statement over the ledger would charge it: it went well, its answer is
 * known to have left, and no void is of it; or it is a cold start of a tenant.  Up to `posted_seq`
 * of the mark's epoch all that went well and had no void yet is in the shares; so each record makes
 * a difference of one, none, or minus one.  The files are read twice, from where the mark is: once
 * for voids and for how far answers have left, once for the records.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "meter/cert/term.h"
#include "meter/ledger/reader.h"
#include "quota/internal.h"

#define EPOCHS_MAX 65536 /* starts since the mark; more were never told of anything */

/* What a certificate says that matters to a price. */
struct grade {
    const char *precision, *device_class;
    int64_t speed_up_ppm;
};

struct epoch {
    uint32_t epoch;
    uint64_t sent_seq;
};

struct settle {
    struct dyno_quota *quota;
    const struct dyno_lease_mark *mark;
    struct dyno_arena *arena;
    const char **paths;
    size_t path_count;
    struct dyno_map tenants; /* name -> first of its counters */
    struct dyno_map grades;  /* address -> struct grade */
    struct dyno_map terms;   /* address -> struct dyno_cert_term, of both kinds */
    struct dyno_map voids;   /* struct dyno_record_id -> seq of the void */
    struct epoch *epochs;    /* rising */
    size_t epoch_count, epoch_room;
    struct dyno_ledger_names names; /* of the file that is open */
    uint64_t count;
};

/* --- what is looked for --- */

static enum dyno_status list_tenants(struct settle *work, struct dyno_err *err)
{
    for (struct dyno_counter *at = work->quota->counters; at != NULL; at = at->next) {
        const char *name = at->tenant_name;
        at->next_of_tenant = dyno_map_find_ptr(&work->tenants, name, strlen(name));
        if (!dyno_map_put_ptr(&work->tenants, name, strlen(name), at))
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static struct epoch *find_epoch(struct settle *work, uint32_t epoch)
{
    for (size_t i = work->epoch_count; i-- > 0;)
        if (work->epochs[i].epoch == epoch)
            return &work->epochs[i];
    return NULL;
}

static enum dyno_status note_epoch(struct settle *work, const struct dyno_group *group,
                                   struct dyno_err *err)
{
    struct epoch *found = find_epoch(work, group->epoch);
    if (found == NULL) {
        if (work->epoch_count == work->epoch_room) {
            const size_t room = work->epoch_room > 0 ? work->epoch_room * 2 : 16;
            if (room > EPOCHS_MAX)
                return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d starts that were never counted",
                                 EPOCHS_MAX);
            struct epoch *grown = dyno_realloc(work->epochs, work->epoch_count * sizeof(*grown),
                                               room, sizeof(*grown));
            if (grown == NULL)
                return DYNO_NOMEM(err);
            work->epochs = grown;
            work->epoch_room = room;
        }
        found = &work->epochs[work->epoch_count++];
        *found = (struct epoch){.epoch = group->epoch};
    }
    if (group->sent_seq > found->sent_seq)
        found->sent_seq = group->sent_seq;
    return DYNO_OK;
}

/* Where reading begins: after this record of the mark's epoch. */
static uint64_t first_doubt(struct settle *work)
{
    const struct epoch *epoch = find_epoch(work, work->mark->epoch);
    const uint64_t settled = work->mark->settled_seq;
    return epoch != NULL && epoch->sent_seq < settled ? epoch->sent_seq : settled;
}

/* --- walking --- */

typedef enum dyno_status visit_fn(struct settle *work, const struct dyno_ledger_group *group,
                                  struct dyno_err *err);

/* Is all of a group before the doubt? */
static bool is_settled(const struct settle *work, const struct dyno_group *group, uint64_t doubt)
{
    if (group->epoch != work->mark->epoch)
        return group->epoch < work->mark->epoch;
    return group->first_seq + group->record_count <= doubt + 1;
}

static enum dyno_status walk_file(struct settle *work, const char *path, uint64_t doubt,
                                  visit_fn *visit, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    uint64_t number = 0;
    bool found = true;
    bool is_tail = false;
    enum dyno_status status = dyno_ledger_file_open(path, &file, err);
    while (status == DYNO_OK) {
        struct dyno_ledger_group group;
        status = is_tail ? dyno_ledger_file_group(file, number, &group, &found, err)
                         : dyno_ledger_file_header(file, number, &group, &found, err);
        if (status != DYNO_OK || !found)
            break;
        const bool is_old = !is_tail && is_settled(work, &group.group, doubt);
        if (!is_tail && (!is_old || group.group.entry_count > 0))
            status = dyno_ledger_file_group(file, number, &group, &found, err);
        is_tail = !is_old;
        if (status == DYNO_OK && group.group.entry_count > 0)
            status = dyno_ledger_names_add(&work->names, &group.items, err);
        if (status == DYNO_OK && !is_old)
            status = visit(work, &group, err);
        number = group.group.number + 1;
    }
    dyno_ledger_names_fini(&work->names);
    work->names = (struct dyno_ledger_names){0};
    dyno_ledger_file_close(file);
    return status;
}

static enum dyno_status walk(struct settle *work, size_t first, uint64_t doubt, visit_fn *visit,
                             struct dyno_err *err)
{
    for (size_t i = first; i < work->path_count; i++)
        DYNO_TRY(walk_file(work, work->paths[i], doubt, visit, err));
    return DYNO_OK;
}

/* The last file that nothing after the doubt is before. */
static enum dyno_status find_first(struct settle *work, uint64_t doubt, size_t *first_out,
                                   struct dyno_err *err)
{
    const struct dyno_lease_mark *mark = work->mark;
    size_t at = mark->epoch != 0 ? work->path_count : 0;
    *first_out = 0;
    while (at-- > 0) {
        struct dyno_ledger_file *file = NULL;
        DYNO_TRY(dyno_ledger_file_open(work->paths[at], &file, err));
        const struct dyno_opening *opening = dyno_ledger_file_opening(file);
        const bool is_before = opening->last_epoch < mark->epoch ||
                               (opening->last_epoch == mark->epoch && opening->last_seq <= doubt);
        dyno_ledger_file_close(file);
        if (is_before) {
            *first_out = at;
            break;
        }
    }
    return DYNO_OK;
}

static enum dyno_status record_at(const struct dyno_ledger_group *group, uint32_t i,
                                  struct dyno_record *record, struct dyno_err *err)
{
    return dyno_record_decode(group->items.records + (size_t)i * DYNO_RECORD_BYTES, record, err);
}

/* The first pass. */
static enum dyno_status survey(struct settle *work, const struct dyno_ledger_group *group,
                               struct dyno_err *err)
{
    DYNO_TRY(note_epoch(work, &group->group, err));
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        DYNO_TRY(record_at(group, i, &record, err));
        if (record.kind != DYNO_RECORD_VOID)
            continue;
        const struct dyno_record_id *id =
            dyno_arena_memdup(work->arena, &record.voids, sizeof(record.voids));
        if (id == NULL || !dyno_map_put(&work->voids, (const char *)id, sizeof(*id), record.id.seq))
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

/* --- amounts --- */

static enum dyno_status load_grade(struct settle *work, const char *address,
                                   const struct grade **grade_out, struct dyno_err *err)
{
    struct dyno_cert *cert = NULL;
    struct dyno_strbuf path = {0};
    const char *folder = work->quota->options.certificates;
    *grade_out = dyno_map_find_ptr(&work->grades, address, strlen(address));
    if (*grade_out != NULL)
        return DYNO_OK;
    if (folder == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "the ledger cites certificate %.64s: --certificates=DIR is missing",
                         address);
    struct grade *grade = dyno_arena_alloc(work->arena, 1, sizeof(*grade));
    const char *own = dyno_arena_strdup(work->arena, address);
    dyno_strbuf_printf(&path, "%s/%s.engine.json", folder, address);
    enum dyno_status status = grade != NULL && own != NULL && dyno_strbuf_ok(&path)
                                  ? dyno_cert_load(dyno_strbuf_text(&path), &cert, err)
                                  : DYNO_NOMEM(err);
    dyno_strbuf_fini(&path);
    if (status == DYNO_OK) {
        grade->precision = dyno_arena_strdup(work->arena, cert->precision);
        grade->device_class = dyno_arena_strdup(work->arena, cert->device_class);
        grade->speed_up_ppm =
            (int64_t)dyno_cert_billed_speedup_1e6(cert, (uint64_t)DYNO_TARIFF_SPEED_UP_MAX);
        if (grade->precision == NULL || grade->device_class == NULL ||
            !dyno_map_put_ptr(&work->grades, own, strlen(own), grade))
            status = DYNO_NOMEM(err);
    }
    dyno_cert_destroy(cert);
    *grade_out = grade;
    return status;
}

static const char *name_of(const struct settle *work, const struct dyno_record *record,
                           enum dyno_name_kind kind)
{
    const char *text = dyno_ledger_names_text(&work->names, kind, dyno_record_name(record, kind));
    return text != NULL ? text : "";
}

/* Of the certificate that a record cites. */
static enum dyno_status grade_of(struct settle *work, const struct dyno_record *record,
                                 const struct grade **grade_out, struct dyno_err *err)
{
    static const struct grade none = {"", "", DYNO_PPM};
    const char *address = name_of(work, record, DYNO_NAME_CERTIFICATE);
    *grade_out = &none;
    return address[0] != 0 ? load_grade(work, address, grade_out, err) : DYNO_OK;
}

static enum dyno_status find_term(struct settle *work, const char *address,
                                  enum dyno_cert_kind kind, const struct dyno_cert_term **term_out,
                                  struct dyno_err *err)
{
    *term_out = dyno_map_find_ptr(&work->terms, address, strlen(address));
    if (*term_out != NULL)
        return DYNO_OK;
    struct dyno_cert_term *term = dyno_arena_alloc(work->arena, 1, sizeof(*term));
    const char *own = dyno_arena_strdup(work->arena, address);
    if (term == NULL || own == NULL || !dyno_map_put_ptr(&work->terms, own, strlen(own), term))
        return DYNO_NOMEM(err);
    *term_out = term;
    return dyno_cert_term_read(work->quota->options.certificates, address, kind, work->arena, term,
                               err);
}

/* What a record delivered; of one that cites a certificate which did not count then, as an invoice
 * counts it. */
static enum dyno_status delivered(struct settle *work, const struct dyno_record *record,
                                  uint64_t *reference_ns, struct dyno_err *err)
{
    static const struct {
        enum dyno_name_kind name;
        enum dyno_cert_kind kind;
    } cited[] = {{DYNO_NAME_CERTIFICATE, DYNO_CERT_ENGINE},
                 {DYNO_NAME_REFERENCE, DYNO_CERT_REFERENCE}};
    const bool is_core = (record->flags & DYNO_RECORD_CORE_NS) != 0;
    const int64_t start_s = (int64_t)(record->start_ns / 1000000000U);
    *reference_ns = record->reference_ns;
    for (size_t i = 0; i < DYNO_COUNT(cited) && work->quota->options.certificates != NULL; i++) {
        const struct dyno_cert_term *term = NULL;
        const char *address = name_of(work, record, cited[i].name);
        if (address[0] == 0 || record->reference_ns == 0)
            continue;
        DYNO_TRY(find_term(work, address, cited[i].kind, &term, err));
        if (dyno_cert_term_at(term, start_s) == DYNO_CERT_IN_FORCE)
            continue;
        *reference_ns =
            dyno_cert_term_bound(term, record->reference_ns, record->device_ns, is_core);
        break;
    }
    return DYNO_OK;
}

/* A record's work in units of the reference device. */
static enum dyno_status tie(struct settle *work, const struct dyno_record *record,
                            uint64_t *reference_ns, struct dyno_err *err)
{
    const struct grade *grade = NULL;
    const char *device = name_of(work, record, DYNO_NAME_DEVICE);
    DYNO_TRY(delivered(work, record, reference_ns, err));
    if (work->quota->options.factors == NULL || record->reference_ns == 0)
        return DYNO_OK;
    if (device[0] == 0) {
        DYNO_TRY(grade_of(work, record, &grade, err));
        device = grade->device_class;
    }
    const uint64_t factor = dyno_quota_factor(work->quota, device);
    if (factor == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s has no row of device '%.64s'",
                         work->quota->options.factors, device);
    *reference_ns = dyno_quota_tied(*reference_ns, factor);
    return DYNO_OK;
}

static enum dyno_status find_rate(struct settle *work, const struct dyno_record *record,
                                  const struct dyno_counter *counter, struct dyno_rate *rate,
                                  struct dyno_err *err)
{
    const struct grade *grade = NULL;
    DYNO_TRY(grade_of(work, record, &grade, err));
    const struct dyno_tariff_book *book = dyno_quota_book(work->quota);
    const struct dyno_tariff *tariff =
        book != NULL
            ? dyno_tariff_of(book, counter->tenant_name, (int64_t)(record->start_ns / 1000000000U))
            : NULL;
    *rate = (struct dyno_rate){0}; /* what no tariff prices nobody is charged */
    if (tariff == NULL || strcmp(tariff->currency->code, counter->unit) != 0)
        return DYNO_OK;
    if (record->kind == DYNO_RECORD_PLATFORM
            ? !dyno_rate_of_cold_start(tariff, rate)
            : !dyno_rate_of(tariff, grade->speed_up_ppm, name_of(work, record, DYNO_NAME_CLASS),
                            grade->precision, rate))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a price of tariff '%.128s' is too large",
                         tariff->name);
    return DYNO_OK;
}

static bool applies(const struct settle *work, const struct dyno_counter *counter,
                    const struct dyno_record *record)
{
    const uint64_t start_s = record->start_ns / 1000000000U;
    return (counter->model[0] == 0 ||
            strcmp(counter->model, name_of(work, record, DYNO_NAME_MODEL)) == 0) &&
           (counter->class_name[0] == 0 ||
            strcmp(counter->class_name, name_of(work, record, DYNO_NAME_CLASS)) == 0) &&
           start_s >= (uint64_t)counter->key.created_s;
}

static enum dyno_status add(struct settle *work, const struct dyno_record *record, int sign,
                            struct dyno_err *err)
{
    const char *tenant = name_of(work, record, DYNO_NAME_TENANT);
    struct dyno_counter *counter = dyno_map_find_ptr(&work->tenants, tenant, strlen(tenant));
    struct dyno_rate rate = {0};
    bool has_rate = false;
    uint64_t reference_ns = 0;
    if (counter != NULL)
        DYNO_TRY(tie(work, record, &reference_ns, err));
    for (; counter != NULL; counter = counter->next_of_tenant) {
        const struct dyno_term_span span =
            dyno_term_at(counter->term, (int64_t)(record->start_ns / 1000000000U));
        struct dyno_budget_slot *slot = dyno_counter_slot(counter, span.number);
        if (slot == NULL || !applies(work, counter, record) ||
            (counter->is_work && record->kind == DYNO_RECORD_PLATFORM))
            continue;
        if (!counter->is_work && !has_rate)
            DYNO_TRY(find_rate(work, record, counter, &rate, err));
        has_rate = has_rate || !counter->is_work;
        const dyno_u128 amount =
            counter->is_work
                ? dyno_quota_work(reference_ns)
                : dyno_quota_money(&rate, reference_ns, dyno_quota_core_ns(record, &rate));
        dyno_slot_post(slot, 0, sign * (dyno_i128)amount);
        work->count++;
    }
    return DYNO_OK;
}

/* The second pass. */
static enum dyno_status judge(struct settle *work, const struct dyno_ledger_group *group,
                              struct dyno_err *err)
{
    const struct dyno_lease_mark *mark = work->mark;
    const struct epoch *epoch = find_epoch(work, group->group.epoch);
    const bool is_marked = group->group.epoch == mark->epoch;
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        uint64_t void_seq = 0;
        DYNO_TRY(record_at(group, i, &record, err));
        /* A cold start has no answer that could be lost. */
        const bool is_cold =
            record.kind == DYNO_RECORD_PLATFORM && dyno_record_name(&record, DYNO_NAME_TENANT) != 0;
        if (!is_cold && (record.kind != DYNO_RECORD_USAGE || record.outcome != DYNO_OUTCOME_OK))
            continue;
        const bool is_void =
            dyno_map_find(&work->voids, (const char *)&record.id, sizeof(record.id), &void_seq);
        const bool is_in =
            is_cold || (!is_void && epoch != NULL && record.id.seq <= epoch->sent_seq);
        const bool was_in = is_marked && record.id.seq <= mark->posted_seq &&
                            !(is_void && void_seq <= mark->posted_seq);
        if (is_in != was_in)
            DYNO_TRY(add(work, &record, is_in ? 1 : -1, err));
    }
    return DYNO_OK;
}

/* --- all of it --- */

static enum dyno_status settle(struct settle *work, struct dyno_err *err)
{
    const char *const folders[] = {work->quota->options.ledger};
    struct dyno_err none = {0};
    size_t first = 0;
    uint64_t doubt = work->mark->settled_seq;
    const enum dyno_status found =
        dyno_ledger_paths(folders, 1, work->arena, &work->paths, &work->path_count, &none);
    if (found == DYNO_E_NOT_FOUND)
        return DYNO_OK; /* a ledger that begins */
    if (found != DYNO_OK)
        return DYNO_FAIL(err, found, "%s", none.text);
    DYNO_TRY(list_tenants(work, err));
    for (;;) {
        DYNO_TRY(find_first(work, doubt, &first, err));
        DYNO_TRY(walk(work, first, doubt, survey, err));
        if (first_doubt(work) >= doubt)
            break;
        doubt = first_doubt(work); /* answers were not known to have left as far as was thought */
    }
    return walk(work, first, doubt, judge, err);
}

enum dyno_status dyno_quota_settle(struct dyno_quota *quota, const struct dyno_lease_mark *mark,
                                   struct dyno_err *err)
{
    struct settle work = {.quota = quota, .mark = mark, .arena = dyno_arena_create()};
    if (work.arena == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_lock(&quota->lock);
    const enum dyno_status status = quota->counters != NULL ? settle(&work, err) : DYNO_OK;
    (void)pthread_mutex_unlock(&quota->lock);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "budgets are counted by the ledger");
    else if (work.count > 0)
        dyno_log(DYNO_LOG_INFO, "%llu records of the ledger were counted to budgets",
                 (unsigned long long)work.count);
    dyno_map_fini(&work.tenants);
    dyno_map_fini(&work.grades);
    dyno_map_fini(&work.terms);
    dyno_map_fini(&work.voids);
    dyno_free(work.epochs);
    dyno_arena_destroy(work.arena);
    return status;
}
