/* rate.c - usage into sums: which tariff is in force, which line it belongs to. */
#include "rate/rate.h"

#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/mem.h"
#include "rate/internal.h"

static const char *const usage_texts[] = {
#define X(sym, name) name,
    DYNO_USAGE_KINDS(X)
#undef X
};

const char *dyno_usage_kind_text(enum dyno_usage_kind kind)
{
    return usage_texts[kind];
}

enum dyno_status dyno_rater_create(const struct dyno_rater_options *options,
                                   struct dyno_rater **rater_out, struct dyno_err *err)
{
    *rater_out = NULL;
    if (options->next_s <= options->first_s)
        return DYNO_FAIL(err, DYNO_E_ARG, "a period must end after it begins");
    for (size_t i = 0; i < options->credit_count; i++)
        if (options->credits[i].nano < 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "the credit of tenant '%.128s' is below 0",
                             options->credits[i].tenant);
    struct dyno_rater *rater = dyno_alloc(1, sizeof(*rater));
    if (rater == NULL)
        return DYNO_NOMEM(err);
    rater->options = *options;
    rater->memo.tenant = UINT32_MAX;
    *rater_out = rater;
    return DYNO_OK;
}

void dyno_rater_destroy(struct dyno_rater *rater)
{
    if (rater == NULL)
        return;
    dyno_sums_fini(&rater->sums);
    dyno_free(rater);
}

/* The tariff of a tenant at a time, remembered: neighbours in a ledger mostly have the same. */
enum dyno_status dyno_rater_tariff(struct dyno_rater *rater, const struct dyno_usage *usage,
                                   const struct dyno_tariff **tariff_out, struct dyno_err *err)
{
    const uint32_t tenant = usage->key.tenant;
    const int64_t time_s = usage->start_s;
    const struct dyno_rater_options *options = &rater->options;
    struct dyno_rater_memo *memo = &rater->memo;
    if (memo->tenant == tenant && memo->time_s == time_s) {
        *tariff_out = memo->tariff;
        return DYNO_OK;
    }
    const char *name = options->names[tenant];
    const struct dyno_tariff *tariff = options->tariff != NULL
                                           ? dyno_tariff_at(options->book, options->tariff, time_s)
                                           : dyno_tariff_of(options->book, name, time_s);
    char when[DYNO_TIME_TEXT_ROOM];
    if (tariff == NULL && options->tariff != NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no tariff '%.128s' in force at %s",
                         options->tariff, dyno_time_text(time_s, when));
    if (tariff == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "tenant '%.128s' has no tariff in force at %s",
                         name, dyno_time_text(time_s, when));
    *memo = (struct dyno_rater_memo){.tenant = tenant, .time_s = time_s, .tariff = tariff};
    *tariff_out = tariff;
    return DYNO_OK;
}

/* Does the record name this version of this tariff?  One that names none does not contradict. */
static bool names_tariff(struct dyno_rater *rater, const struct dyno_usage *usage,
                         const struct dyno_tariff *tariff)
{
    struct dyno_rater_claim *claim = &rater->claim;
    if (usage->claimed == 0 || rater->options.tariff != NULL)
        return true;
    if (claim->claimed != usage->claimed || claim->tariff != tariff) {
        const char *text = rater->options.names[usage->claimed];
        const char *slash = strrchr(text, '/');
        char version[32];
        (void)snprintf(version, sizeof(version), "%lld", (long long)tariff->version);
        *claim = (struct dyno_rater_claim){
            usage->claimed, tariff,
            slash != NULL && strlen(tariff->name) == (size_t)(slash - text) &&
                memcmp(tariff->name, text, (size_t)(slash - text)) == 0 &&
                strcmp(slash + 1, version) == 0};
    }
    return claim->is_same;
}

static enum dyno_status check(const struct dyno_rater *rater, const struct dyno_usage *usage,
                              struct dyno_err *err)
{
    const struct dyno_usage_key *key = &usage->key;
    const uint32_t all[] = {key->tenant,    key->model,       key->variant,  key->class_name,
                            key->precision, key->certificate, usage->claimed};
    char when[DYNO_TIME_TEXT_ROOM];
    for (size_t i = 0; i < DYNO_COUNT(all); i++)
        if (all[i] >= rater->options.name_count)
            return DYNO_FAIL(err, DYNO_E_ARG, "usage names %u, and there are %zu names", all[i],
                             rater->options.name_count);
    if ((unsigned)usage->kind >= DYNO_USAGE_KIND_COUNT)
        return DYNO_FAIL(err, DYNO_E_ARG, "usage of kind %d, which is none", (int)usage->kind);
    if (usage->start_s < 0 || usage->start_s >= rater->options.next_s)
        return DYNO_FAIL(err, DYNO_E_ARG, "usage at %s is after the period",
                         dyno_time_text(usage->start_s, when));
    return DYNO_OK;
}

enum dyno_status dyno_rater_add(struct dyno_rater *rater, const struct dyno_usage *usage,
                                struct dyno_err *err)
{
    const struct dyno_tariff *tariff = NULL;
    struct dyno_sum *sum = NULL;
    DYNO_TRY(check(rater, usage, err));
    DYNO_TRY(dyno_rater_tariff(rater, usage, &tariff, err));
    const bool is_late = usage->start_s < rater->options.first_s;
    /* What a closed hour's requests came to is not known any more: its floor stays as it was. */
    if (usage->kind == DYNO_USAGE_RESIDENCY && (tariff->floor_factor == 0 || is_late))
        return DYNO_OK;
    const struct dyno_sum key = {
        .key = usage->key,
        .kind = usage->kind,
        .tariff = (uint32_t)(tariff - rater->options.book->tariffs),
        .is_late = is_late,
        .is_taken_back = usage->is_taken_back,
        .hour = tariff->floor_factor > 0 ? (int32_t)(usage->start_s / 3600) : 0,
    };
    DYNO_TRY(dyno_sums_at(&rater->sums, &key, &sum, err));
    sum->requests += usage->requests;
    sum->items += usage->items;
    sum->lapsed += usage->is_lapsed;
    sum->suspended += usage->is_suspended;
    sum->unclaimed += usage->kind == DYNO_USAGE_DELIVERED && !names_tariff(rater, usage, tariff);
    sum->core_ns += (dyno_u128)usage->device_ns * (usage->is_core ? 1U : tariff->device_cores);
    sum->reference_ns += usage->reference_ns;
    sum->byte_ns += usage->byte_ns;
    return DYNO_OK;
}
