/* usage_source.c - two passes over the files of a ledger. */
#include "cli/usage_source.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/map.h"
#include "base/mem.h"
#include "cli/billing.h"
#include "cli/factors_file.h"
#include "meter/ledger/reader.h"

#define NS_A_S UINT64_C(1000000000)

/* What is known of one epoch of a node: how far its answers have left; now, and at the closing. */
struct span {
    struct dyno_invoice_source source;
    uint64_t sent_seq, billed_sent_seq;
};

/* A certificate that records cite, by its name. */
struct grade {
    struct dyno_grade grade;
    uint32_t precision; /* index of its name */
};

struct dyno_usage_source {
    struct dyno_usage_source_options options;
    struct dyno_arena *arena;
    struct dyno_ledger_files own; /* when none were given */
    const struct dyno_ledger_files *files;
    uint64_t *ends; /* of each file: groups from this number on came while it was read */
    struct dyno_ledger_file *file;        /* that is open now */
    const struct dyno_usage_bound *bound; /* of its node; NULL: it is read to its end */
    struct dyno_map name_indices;
    const char **names;
    struct grade *grades; /* by name, of certificates */
    size_t name_count, name_room;
    struct dyno_map
        voids; /* keys: struct dyno_record_id as bytes; values: the group that says it */
    struct span *spans;
    struct dyno_invoice_source *sources;
    size_t span_count, span_room;
    bool has_trials;
    struct dyno_swaps swaps;
    struct dyno_factors factors; /* of options.factors */
    uint32_t device;             /* the name that factor_1e9 is of; UINT32_MAX: none yet */
    uint64_t factor_1e9;
};

/* The text of a record's names in this source's numbers, of one file. */
struct file_names {
    struct dyno_ledger_names names;
    uint32_t *indices[DYNO_NAME_KINDS]; /* by id; as many as names */
    uint32_t counts[DYNO_NAME_KINDS];
};

/* --- names --- */

static enum dyno_status intern(struct dyno_usage_source *source, const char *text,
                               uint32_t *idx_out, struct dyno_err *err)
{
    uint64_t found = 0;
    if (dyno_map_find(&source->name_indices, text, strlen(text), &found)) {
        *idx_out = (uint32_t)found;
        return DYNO_OK;
    }
    if (source->name_count == source->name_room) {
        const size_t room = source->name_room > 0 ? source->name_room * 2 : 64;
        const char **names =
            dyno_realloc(source->names, source->name_count * sizeof(*names), room, sizeof(*names));
        if (names == NULL)
            return DYNO_NOMEM(err);
        source->names = names;
        struct grade *grades = dyno_realloc(source->grades, source->name_count * sizeof(*grades),
                                            room, sizeof(*grades));
        if (grades == NULL)
            return DYNO_NOMEM(err);
        source->grades = grades;
        source->name_room = room;
    }
    const char *copy = dyno_arena_strdup(source->arena, text);
    if (copy == NULL ||
        !dyno_map_put(&source->name_indices, copy, strlen(copy), source->name_count))
        return DYNO_NOMEM(err);
    source->names[source->name_count] = copy;
    *idx_out = (uint32_t)source->name_count++;
    return DYNO_OK;
}

/* --- certificates --- */

static enum dyno_status load_grade(struct dyno_usage_source *source, uint32_t name,
                                   struct dyno_err *err)
{
    struct dyno_grade grade;
    uint32_t precision = 0;
    DYNO_TRY(dyno_grade_load(source->options.certificates, source->names[name], &grade, err));
    DYNO_TRY(intern(source, grade.precision, &precision, err));
    source->grades[name] = (struct grade){grade, precision};
    return DYNO_OK;
}

/* One that is not there matters when a record of the time asked for cites it. */
static void try_grade(struct dyno_usage_source *source, uint32_t name)
{
    struct dyno_err ignored = {0};
    if (!source->grades[name].grade.is_known && source->options.certificates != NULL)
        (void)load_grade(source, name, &ignored);
}

/* --- the names of a file --- */

static void drop_names(struct file_names *names)
{
    dyno_ledger_names_fini(&names->names);
    for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
        dyno_free(names->indices[i]);
    *names = (struct file_names){0};
}

/* Put what a group added to its file's names into the source's. */
static enum dyno_status add_names(struct dyno_usage_source *source, struct file_names *names,
                                  const struct dyno_items *items, struct dyno_err *err)
{
    if (items->entry_count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_names_add(&names->names, items, err));
    for (uint32_t kind = 0; kind < DYNO_NAME_KINDS; kind++) {
        const uint32_t count = names->names.kinds[kind].count;
        if (count == names->counts[kind])
            continue;
        const size_t used = names->indices[kind] != NULL ? names->counts[kind] + 1U : 0;
        uint32_t *grown =
            dyno_realloc(names->indices[kind], used * sizeof(*grown), count + 1U, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        names->indices[kind] = grown;
        for (; names->counts[kind] < count; names->counts[kind]++)
            DYNO_TRY(intern(source, names->names.kinds[kind].texts[names->counts[kind]],
                            &grown[names->counts[kind] + 1], err));
        if (kind + 1 == DYNO_NAME_CERTIFICATE)
            for (uint32_t id = 1; id <= count; id++)
                try_grade(source, grown[id]);
    }
    return DYNO_OK;
}

/* 0 is "": the first name of all. */
static enum dyno_status name_of(const struct file_names *names, const struct dyno_record *record,
                                enum dyno_name_kind kind, uint32_t *idx_out, struct dyno_err *err)
{
    const uint32_t id = dyno_record_name(record, kind);
    if (id > names->counts[kind - 1])
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "a record has a %s of number %u, which is none",
                         dyno_name_kind_text(kind), id);
    *idx_out = id > 0 ? names->indices[kind - 1][id] : 0;
    return DYNO_OK;
}

/* --- spans --- */

static enum dyno_status span_of(struct dyno_usage_source *source, uint32_t node, uint32_t epoch,
                                struct span **span_out, struct dyno_err *err)
{
    for (size_t i = source->span_count; i-- > 0;) {
        const struct dyno_invoice_source *at = &source->spans[i].source;
        if (at->node == node && at->epoch == epoch) {
            *span_out = &source->spans[i];
            return DYNO_OK;
        }
    }
    if (source->span_count == source->span_room) {
        const size_t room = source->span_room > 0 ? source->span_room * 2 : 16;
        struct span *grown =
            dyno_realloc(source->spans, source->span_count * sizeof(*grown), room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        source->spans = grown;
        source->span_room = room;
    }
    *span_out = &source->spans[source->span_count++];
    **span_out = (struct span){.source = {.node = node, .epoch = epoch, .root = ""}};
    return DYNO_OK;
}

static enum dyno_status find_bound(struct dyno_usage_source *source, struct dyno_err *err)
{
    const uint32_t node = dyno_ledger_file_opening(source->file)->node;
    source->bound = NULL;
    for (size_t i = 0; i < source->options.bound_count; i++)
        if (source->options.bounds[i].node == node)
            source->bound = &source->options.bounds[i];
    return source->bound != NULL || source->options.bound_count == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "it is of node %u, which has no part in this",
                           node);
}

static bool is_read(const struct dyno_usage_source *source, uint64_t group)
{
    return source->bound == NULL || group < source->bound->group_count;
}

/* Was it there when the last period was closed? */
static bool was_read(const struct dyno_usage_source *source, uint64_t group)
{
    return source->bound != NULL && group < source->bound->billed_count;
}

/* The last head of a file is the root that an invoice shows for the epoch it ends in. */
static enum dyno_status take_head(struct dyno_usage_source *source, struct dyno_err *err)
{
    struct dyno_ledger_head head;
    uint64_t from = 0;
    bool found = true;
    for (;;) {
        char hex[2 * DYNO_DIGEST_BYTES + 1];
        struct span *span = NULL;
        DYNO_TRY(dyno_ledger_file_head(source->file, from, &head, &found, err));
        if (!found || !is_read(source, head.head.group_count - 1))
            return DYNO_OK;
        DYNO_TRY(span_of(source, head.head.node, head.head.epoch, &span, err));
        span->source.root = dyno_arena_strdup(
            source->arena, dyno_hex_text(head.head.root.bytes, DYNO_DIGEST_BYTES, hex));
        if (span->source.root == NULL)
            return DYNO_NOMEM(err);
        from = head.head.group_count + 1;
    }
}

/* --- walking --- */

typedef enum dyno_status group_fn(struct dyno_usage_source *source, struct file_names *names,
                                  const struct dyno_ledger_group *group, void *arg,
                                  struct dyno_err *err);

static enum dyno_status walk_file(struct dyno_usage_source *source, const char *path, uint64_t *end,
                                  bool is_first, group_fn *visit, void *arg, struct dyno_err *err)
{
    struct file_names names = {0};
    uint64_t number = 0;
    bool found = true;
    enum dyno_status status =
        dyno_ledger_store_open(source->files->store, path, &source->file, err);
    if (status == DYNO_OK)
        status = find_bound(source, err);
    while (status == DYNO_OK) {
        struct dyno_ledger_group group;
        status = dyno_ledger_file_group(source->file, number, &group, &found, err);
        if (status != DYNO_OK || !found || !is_read(source, group.group.number) ||
            (!is_first && group.group.number >= *end))
            break;
        status = add_names(source, &names, &group.items, err);
        if (status == DYNO_OK)
            status = visit(source, &names, &group, arg, err);
        number = group.group.number + 1;
    }
    if (is_first)
        *end = number;
    if (status == DYNO_OK && is_first)
        status = take_head(source, err);
    drop_names(&names);
    dyno_ledger_file_close(source->file);
    source->file = NULL;
    return status;
}

static enum dyno_status walk(struct dyno_usage_source *source, bool is_first, group_fn *visit,
                             void *arg, struct dyno_err *err)
{
    for (size_t i = 0; i < source->files->count; i++)
        DYNO_TRY(walk_file(source, source->files->names[i], &source->ends[i], is_first, visit, arg,
                           err));
    return DYNO_OK;
}

static enum dyno_status record_at(const struct dyno_ledger_group *group, uint32_t i,
                                  struct dyno_record *record, struct dyno_err *err)
{
    return dyno_record_decode(group->items.records + (size_t)i * DYNO_RECORD_BYTES, record, err);
}

/* The first pass. */
static enum dyno_status survey(struct dyno_usage_source *source, struct file_names *names,
                               const struct dyno_ledger_group *group, void *arg,
                               struct dyno_err *err)
{
    struct span *span = NULL;
    (void)names;
    (void)arg;
    DYNO_TRY(span_of(source, group->group.node, group->group.epoch, &span, err));
    if (group->group.sent_seq > span->sent_seq)
        span->sent_seq = group->group.sent_seq;
    if (was_read(source, group->group.number))
        span->billed_sent_seq = span->sent_seq;
    if (group->group.record_count > 0) {
        if (span->source.first_seq == 0)
            span->source.first_seq = group->group.first_seq;
        span->source.last_seq = group->group.first_seq + group->group.record_count - 1;
    }
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        if (group->items.records[(size_t)i * DYNO_RECORD_BYTES + 2] != DYNO_RECORD_VOID)
            continue; /* the kind lies there; the second pass checks it */
        DYNO_TRY(record_at(group, i, &record, err));
        if (dyno_map_find(&source->voids, (const char *)&record.voids, sizeof(record.voids), NULL))
            continue;
        const struct dyno_record_id *id =
            dyno_arena_memdup(source->arena, &record.voids, sizeof(record.voids));
        if (id == NULL ||
            !dyno_map_put(&source->voids, (const char *)id, sizeof(*id), group->group.number))
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static int64_t speed_up_ppm(void *arg, const char *certificate)
{
    const struct dyno_usage_source *source = arg;
    const int64_t idx = dyno_usage_source_find(source, certificate);
    return idx >= 0 ? source->grades[idx].grade.speed_up_ppm : DYNO_PPM;
}

/* --- usage --- */

/* What a record is to a bill, as it is known now or was known when the last period was closed;
 * false: nothing (a void, the platform's own, what is idle). */
static bool kind_of(const struct dyno_usage_source *source, const struct dyno_record *record,
                    const struct span *span, bool was, enum dyno_usage_kind *kind_out)
{
    const char *key = (const char *)&record->id;
    uint64_t group = 0;
    if (record->kind == DYNO_RECORD_RESIDENCY) {
        *kind_out = DYNO_USAGE_RESIDENCY;
        return dyno_record_name(record, DYNO_NAME_TENANT) != 0; /* else the platform's */
    }
    if (record->kind == DYNO_RECORD_PLATFORM) { /* for a tenant: an engine that it waited for */
        *kind_out = DYNO_USAGE_COLD_START;
        return dyno_record_name(record, DYNO_NAME_TENANT) != 0;
    }
    if (record->kind != DYNO_RECORD_USAGE)
        return false;
    const bool is_void = dyno_map_find(&source->voids, key, sizeof(record->id), &group) &&
                         (!was || was_read(source, group));
    if (is_void || record->id.seq > (was ? span->billed_sent_seq : span->sent_seq))
        *kind_out = DYNO_USAGE_UNCONFIRMED;
    else if (record->outcome == DYNO_OUTCOME_OK)
        *kind_out = DYNO_USAGE_DELIVERED;
    else
        *kind_out = record->outcome == DYNO_OUTCOME_CACHED ? DYNO_USAGE_CACHED : DYNO_USAGE_FAILED;
    return true;
}

/* What a device delivered, in the reference device's reference-ns, rounded down. */
static enum dyno_status convert(struct dyno_usage_source *source, const struct file_names *names,
                                const struct dyno_record *record, struct dyno_usage *usage,
                                struct dyno_err *err)
{
    uint32_t device = 0;
    DYNO_TRY(name_of(names, record, DYNO_NAME_DEVICE, &device, err));
    if (device != source->device) {
        source->factor_1e9 = dyno_factors_find(&source->factors, source->names[device]);
        source->device = device;
    }
    if (source->factor_1e9 == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s has no row of device '%.64s'",
                         source->options.factors, source->names[device]);
    usage->reference_ns =
        (uint64_t)((dyno_u128)usage->reference_ns * DYNO_FACTOR_ONE / source->factor_1e9);
    return DYNO_OK;
}

/* The same work by another engine: its device time goes by the two speed-ups; what it delivered is
 * the model's, and stays. */
static enum dyno_status swap_in(struct dyno_usage_source *source, const struct file_names *names,
                                const struct dyno_record *record, struct dyno_usage *usage,
                                struct dyno_err *err)
{
    const struct dyno_grade *was =
        usage->key.certificate != 0 ? &source->grades[usage->key.certificate].grade : NULL;
    const struct dyno_grade *instead = NULL;
    char address[DYNO_CERT_HEX_ROOM];
    uint32_t reference = 0;
    DYNO_TRY(name_of(names, record, DYNO_NAME_REFERENCE, &reference, err));
    DYNO_TRY(dyno_swaps_find(&source->swaps, usage->key.certificate, was, reference,
                             source->names[reference], &instead, err));
    if (instead == NULL)
        return DYNO_OK;
    dyno_cert_hex(&instead->address, address);
    usage->key.certificate = (uint32_t)dyno_usage_source_find(source, address);
    usage->device_ns = dyno_grade_device_ns(was, instead, usage->device_ns);
    return DYNO_OK;
}

struct visit {
    dyno_usage_take_fn *take;
    void *arg;
    bool takes_back; /* what is given now */
};

static enum dyno_status give(struct dyno_usage_source *source, const struct file_names *names,
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
    };
    struct dyno_usage_key *key = &usage.key;
    DYNO_TRY(name_of(names, record, DYNO_NAME_TENANT, &key->tenant, err));
    DYNO_TRY(name_of(names, record, DYNO_NAME_MODEL, &key->model, err));
    DYNO_TRY(name_of(names, record, DYNO_NAME_VARIANT, &key->variant, err));
    DYNO_TRY(name_of(names, record, DYNO_NAME_CLASS, &key->class_name, err));
    DYNO_TRY(name_of(names, record, DYNO_NAME_CERTIFICATE, &key->certificate, err));
    if (key->certificate != 0) {
        if (!source->grades[key->certificate].grade.is_known)
            DYNO_TRY(load_grade(source, key->certificate, err));
    }
    if (source->options.factors != NULL && usage.reference_ns > 0)
        DYNO_TRY(convert(source, names, record, &usage, err));
    if (source->swaps.instead_count > 0)
        DYNO_TRY(swap_in(source, names, record, &usage, err));
    if (key->certificate != 0) {
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
static enum dyno_status give_late(struct dyno_usage_source *source, const struct file_names *names,
                                  const struct dyno_record *record, const struct span *span,
                                  bool was_there, struct visit *visit, struct dyno_err *err)
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
static enum dyno_status tell(struct dyno_usage_source *source, struct file_names *names,
                             const struct dyno_ledger_group *group, void *arg, struct dyno_err *err)
{
    struct visit *visit = arg;
    struct span *span = NULL;
    if (group->group.record_count == 0)
        return DYNO_OK;
    DYNO_TRY(span_of(source, group->group.node, group->group.epoch, &span, err));
    const bool was_there = was_read(source, group->group.number);
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        enum dyno_usage_kind kind = DYNO_USAGE_FAILED;
        DYNO_TRY(record_at(group, i, &record, err));
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
    return walk(source, false, tell, &visit, err);
}

/* --- opening --- */

static enum dyno_status prepare(struct dyno_usage_source *source, struct dyno_err *err)
{
    uint32_t nothing = 0;
    DYNO_TRY(intern(source, "", &nothing, err));
    if (source->options.factors != NULL)
        DYNO_TRY(dyno_factors_load(source->options.factors, source->arena, &source->factors, err));
    source->files = source->options.files;
    if (source->files == NULL) {
        DYNO_TRY(dyno_ledger_files_open(source->options.ledgers, source->options.fleet, -1,
                                        source->arena, &source->own, err));
        source->files = &source->own;
    }
    source->ends = dyno_arena_alloc(source->arena, source->files->count + 1, sizeof(*source->ends));
    if (source->ends == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(walk(source, true, survey, NULL, err));
    source->sources =
        dyno_arena_alloc(source->arena, source->span_count + 1, sizeof(*source->sources));
    if (source->sources == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < source->span_count; i++)
        source->sources[i] = source->spans[i].source;
    return DYNO_OK;
}

enum dyno_status dyno_usage_source_open(const struct dyno_usage_source_options *options,
                                        struct dyno_usage_source **source_out, struct dyno_err *err)
{
    *source_out = NULL;
    struct dyno_usage_source *source = dyno_alloc(1, sizeof(*source));
    if (source == NULL)
        return DYNO_NOMEM(err);
    source->options = *options;
    source->device = UINT32_MAX;
    source->arena = dyno_arena_create();
    const enum dyno_status status = source->arena != NULL ? prepare(source, err) : DYNO_NOMEM(err);
    if (status != DYNO_OK) {
        dyno_usage_source_close(source);
        return status;
    }
    *source_out = source;
    return DYNO_OK;
}

void dyno_usage_source_close(struct dyno_usage_source *source)
{
    if (source == NULL)
        return;
    dyno_map_fini(&source->name_indices);
    dyno_map_fini(&source->voids);
    dyno_free(source->names);
    dyno_free(source->grades);
    dyno_free(source->spans);
    dyno_swaps_fini(&source->swaps);
    dyno_ledger_files_close(&source->own);
    dyno_arena_destroy(source->arena);
    dyno_free(source);
}

const char *dyno_usage_source_name(const struct dyno_usage_source *source, uint32_t idx)
{
    return source->names[idx];
}

int64_t dyno_usage_source_find(const struct dyno_usage_source *source, const char *name)
{
    uint64_t idx = 0;
    return dyno_map_find(&source->name_indices, name, strlen(name), &idx) ? (int64_t)idx : -1;
}

enum dyno_status dyno_usage_source_swap(struct dyno_usage_source *source,
                                        const struct dyno_grade *instead, size_t count,
                                        struct dyno_err *err)
{
    dyno_swaps_fini(&source->swaps);
    source->swaps = (struct dyno_swaps){.instead = instead, .instead_count = count};
    for (size_t i = 0; i < count; i++) {
        char address[DYNO_CERT_HEX_ROOM];
        uint32_t name = 0;
        uint32_t precision = 0;
        dyno_cert_hex(&instead[i].address, address);
        DYNO_TRY(intern(source, address, &name, err));
        DYNO_TRY(intern(source, instead[i].precision, &precision, err));
        source->grades[name] = (struct grade){instead[i], precision};
    }
    return DYNO_OK;
}

uint64_t dyno_usage_source_swapped(const struct dyno_usage_source *source)
{
    return source->swaps.found_count;
}

bool dyno_usage_source_has_trials(const struct dyno_usage_source *source)
{
    return source->has_trials;
}

const struct dyno_invoice_source *dyno_usage_source_spans(const struct dyno_usage_source *source,
                                                          size_t *count_out)
{
    *count_out = source->span_count;
    return source->sources;
}

/* --- rating --- */

static enum dyno_status add_to_rater(void *rater, const struct dyno_usage *usage,
                                     struct dyno_err *err)
{
    return dyno_rater_add(rater, usage, err);
}

enum dyno_status dyno_usage_source_rater(struct dyno_usage_source *source,
                                         const struct dyno_tariff_book *book, const char *tariff,
                                         const struct dyno_credit *credits, size_t credit_count,
                                         struct dyno_rater **rater_out, struct dyno_err *err)
{
    const struct dyno_rater_options options = {
        .book = book,
        .tariff = tariff,
        .names = source->names,
        .name_count = source->name_count,
        .speed_up_ppm = speed_up_ppm,
        .arg = source,
        .first_s = source->options.first_s,
        .next_s = source->options.next_s,
        .credits = credits,
        .credit_count = credit_count,
    };
    return dyno_rater_create(&options, rater_out, err);
}

enum dyno_status dyno_usage_source_rate(struct dyno_usage_source *source,
                                        const struct dyno_tariff_book *book, const char *tariff,
                                        const struct dyno_credit *credits, size_t credit_count,
                                        struct dyno_arena *arena,
                                        struct dyno_statement **statement_out, struct dyno_err *err)
{
    struct dyno_rater *rater = NULL;
    DYNO_TRY(dyno_usage_source_rater(source, book, tariff, credits, credit_count, &rater, err));
    enum dyno_status status = dyno_usage_source_each(source, add_to_rater, rater, err);
    if (status == DYNO_OK)
        status = dyno_rater_finish(rater, arena, statement_out, err);
    dyno_rater_destroy(rater);
    return status;
}

/* Here, and not in billing.c, which dyno tariff wants where nothing reads a ledger. */
enum dyno_status dyno_bill_open(const struct dyno_bill_options *options,
                                struct dyno_usage_source **source_out, struct dyno_err *err)
{
    struct dyno_usage_source_options source = {.ledgers = &options->ledgers,
                                               .fleet = options->fleet,
                                               .certificates = options->certificates,
                                               .factors = options->factors};
    DYNO_TRY(dyno_bill_period(options, &source.first_s, &source.next_s, err));
    return dyno_usage_source_open(&source, source_out, err);
}
