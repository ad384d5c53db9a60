/* usage_source.c - two passes over the files of ledgers: this is the first, and the walking. */
#include "cli/usage_source.h"

#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "cli/billing.h"
#include "cli/usage_internal.h"
#include "meter/cert/factor_file.h"

#define NS_A_S UINT64_C(1000000000)

/* --- spans --- */

enum dyno_status dyno_usage_span_of(struct dyno_usage_source *source, uint32_t node, uint32_t epoch,
                                    struct dyno_usage_span **span_out, struct dyno_err *err)
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
        struct dyno_usage_span *grown =
            dyno_realloc(source->spans, source->span_count * sizeof(*grown), room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        source->spans = grown;
        source->span_room = room;
    }
    *span_out = &source->spans[source->span_count++];
    **span_out = (struct dyno_usage_span){.source = {.node = node, .epoch = epoch, .root = ""}};
    return DYNO_OK;
}

static const struct dyno_usage_bound *bound_of(const struct dyno_usage_source *source,
                                               uint32_t node)
{
    for (size_t i = 0; i < source->options.bound_count; i++)
        if (source->options.bounds[i].node == node)
            return &source->options.bounds[i];
    return NULL;
}

static enum dyno_status find_bound(struct dyno_usage_source *source, struct dyno_err *err)
{
    const uint32_t node = dyno_ledger_file_opening(source->file)->node;
    source->bound = bound_of(source, node);
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
bool dyno_usage_was_read(const struct dyno_usage_source *source, uint64_t group)
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
        struct dyno_usage_span *span = NULL;
        DYNO_TRY(dyno_ledger_file_head(source->file, from, &head, &found, err));
        if (!found || !is_read(source, head.head.group_count - 1))
            return DYNO_OK;
        DYNO_TRY(dyno_usage_span_of(source, head.head.node, head.head.epoch, &span, err));
        span->source.root = dyno_arena_strdup(
            source->arena, dyno_hex_text(head.head.root.bytes, DYNO_DIGEST_BYTES, hex));
        if (span->source.root == NULL)
            return DYNO_NOMEM(err);
        from = head.head.group_count + 1;
    }
}

/* --- walking --- */

/* The file's next group, and its names; which is the number after the one before, or else somebody
 * took groups out.  *found_out false: the file ends. */
static enum dyno_status next_group(struct dyno_usage_source *source, struct dyno_usage_names *names,
                                   uint64_t number, uint64_t end, struct dyno_ledger_group *group,
                                   bool *found_out, struct dyno_err *err)
{
    enum dyno_status status = dyno_ledger_file_group(source->file, number, group, found_out, err);
    if (status == DYNO_OK && *found_out &&
        (!is_read(source, group->group.number) || group->group.number >= end))
        *found_out = false;
    if (status != DYNO_OK || !*found_out)
        return status;
    if (group->group.number != number)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing", number);
    status = dyno_usage_names_add(source, names, &group->items, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "group %" PRIu64, number);
    return status;
}

static enum dyno_status walk_file(struct dyno_usage_source *source, const char *path,
                                  struct dyno_ledger_part *part, bool is_first,
                                  dyno_usage_group_fn *visit, void *arg, struct dyno_err *err)
{
    struct dyno_usage_names names = {0};
    uint64_t number = 0;
    bool found = true;
    enum dyno_status status =
        dyno_ledger_store_open(source->files->store, path, &source->file, err);
    if (status == DYNO_OK) {
        number = dyno_ledger_file_opening(source->file)->frontier.count;
        if (is_first) {
            *part = dyno_ledger_part_begin(source->file);
            part->name = path;
        }
        status = find_bound(source, err);
    }
    while (status == DYNO_OK) {
        struct dyno_ledger_group group;
        status = next_group(source, &names, number, is_first ? UINT64_MAX : part->end, &group,
                            &found, err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "\"%s\"", path);
            break;
        }
        if (!found)
            break;
        status = visit(source, &names, &group, arg, err);
        number++;
    }
    if (is_first)
        part->end = number;
    if (status == DYNO_OK && is_first)
        status = take_head(source, err);
    dyno_usage_names_drop(&names);
    dyno_ledger_file_close(source->file);
    source->file = NULL;
    return status;
}

enum dyno_status dyno_usage_walk(struct dyno_usage_source *source, bool is_first,
                                 dyno_usage_group_fn *visit, void *arg, struct dyno_err *err)
{
    for (size_t i = 0; i < source->files->count; i++)
        DYNO_TRY(walk_file(source, source->files->names[i], &source->parts[i], is_first, visit, arg,
                           err));
    return DYNO_OK;
}

enum dyno_status dyno_usage_record_at(const struct dyno_ledger_group *group, uint32_t i,
                                      struct dyno_record *record, struct dyno_err *err)
{
    return dyno_record_decode(group->items.records + (size_t)i * DYNO_RECORD_BYTES, record, err);
}

/* The first pass. */
static enum dyno_status survey(struct dyno_usage_source *source, struct dyno_usage_names *names,
                               const struct dyno_ledger_group *group, void *arg,
                               struct dyno_err *err)
{
    struct dyno_usage_span *span = NULL;
    (void)names;
    (void)arg;
    DYNO_TRY(dyno_usage_span_of(source, group->group.node, group->group.epoch, &span, err));
    if (group->group.sent_seq > span->sent_seq)
        span->sent_seq = group->group.sent_seq;
    if (dyno_usage_was_read(source, group->group.number))
        span->billed_sent_seq = span->sent_seq;
    if (group->group.record_count > 0) {
        if (group->group.first_seq <= span->source.last_seq)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "record %" PRIu32 "-%" PRIu32 "-%" PRIu64
                             " comes twice: its file is given twice",
                             group->group.node, group->group.epoch, group->group.first_seq);
        if (span->source.first_seq == 0)
            span->source.first_seq = group->group.first_seq;
        span->source.last_seq = group->group.first_seq + group->group.record_count - 1;
    }
    for (uint32_t i = 0; i < group->group.record_count; i++) {
        struct dyno_record record;
        if (group->items.records[(size_t)i * DYNO_RECORD_BYTES + 2] != DYNO_RECORD_VOID)
            continue; /* the kind lies there; the second pass checks it */
        DYNO_TRY(dyno_usage_record_at(group, i, &record, err));
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

/* --- is it whole? --- */

/* Files that are archived elsewhere, or were removed, are told as missing where the time that is
 * looked at needs them: what is left would be a smaller bill. */
static enum dyno_status check_whole(const struct dyno_usage_source *source, struct dyno_err *err)
{
    const int64_t first_s = source->options.first_s;
    const uint64_t from_ns = first_s <= 0 ? 0
                             : (uint64_t)first_s >= UINT64_MAX / NS_A_S
                                 ? UINT64_MAX
                                 : (uint64_t)first_s * NS_A_S;
    struct dyno_ledger_part *parts =
        dyno_arena_alloc(source->arena, source->files->count + 1, sizeof(*parts));
    size_t count = 0;
    if (parts == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < source->files->count; i++) {
        const struct dyno_usage_bound *bound = bound_of(source, source->parts[i].node);
        if (bound == NULL || source->parts[i].first < bound->group_count) /* it was read */
            parts[count++] = source->parts[i];
    }
    return dyno_ledger_parts_check(parts, count, from_ns, true, err);
}

/* --- opening --- */

static enum dyno_status prepare(struct dyno_usage_source *source, struct dyno_err *err)
{
    uint32_t nothing = 0;
    DYNO_TRY(dyno_usage_intern(source, "", &nothing, err));
    if (source->options.factors != NULL)
        DYNO_TRY(dyno_factors_load(source->options.factors, source->arena, &source->factors, err));
    source->files = source->options.files;
    if (source->files == NULL) {
        DYNO_TRY(dyno_ledger_files_open(source->options.ledgers, source->options.fleet, -1,
                                        source->arena, &source->own, err));
        source->files = &source->own;
    }
    source->parts =
        dyno_arena_alloc(source->arena, source->files->count + 1, sizeof(*source->parts));
    if (source->parts == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_usage_walk(source, true, survey, NULL, err));
    DYNO_TRY(check_whole(source, err));
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
    dyno_map_fini(&source->tenants);
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

int64_t dyno_usage_source_tenant(const struct dyno_usage_source *source, const char *name)
{
    uint64_t idx = 0;
    return dyno_map_find(&source->tenants, name, strlen(name), &idx) ? (int64_t)idx : -1;
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

static int64_t speed_up_ppm(void *arg, const char *certificate)
{
    const struct dyno_usage_source *source = arg;
    const int64_t idx = dyno_usage_source_find(source, certificate);
    return idx >= 0 ? source->grades[idx].grade.speed_up_ppm : DYNO_PPM;
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
        .form = source->options.form,
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
enum dyno_status dyno_bill_open(const struct dyno_bill_options *options, bool is_counted,
                                struct dyno_usage_source **source_out, struct dyno_err *err)
{
    struct dyno_usage_source_options source = {.ledgers = &options->ledgers,
                                               .fleet = options->fleet,
                                               .certificates = options->certificates,
                                               .is_counted = is_counted,
                                               .factors = options->factors};
    DYNO_TRY(dyno_bill_period(options, &source.first_s, &source.next_s, err));
    return dyno_usage_source_open(&source, source_out, err);
}
