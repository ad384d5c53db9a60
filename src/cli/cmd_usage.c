/* cmd_usage.c - dyno usage: what a ledger says was used, by tenant, model, variant and class. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "cli/billing.h"
#include "rate/sums.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_bill_options bill;
    const char *tenant;
    bool json;
};

static const struct dyno_flag flags[] = {
    DYNO_FLAGS_LEDGER(options),
    {.name = "--tenant",
     .value = "NAME",
     .help = "Of this tenant only",
     .kind = DYNO_FLAG_STR,
     DYNO_FLAG_AT(options, tenant)},
    DYNO_FLAG_JSON(options),
};

struct work {
    const struct options *options;
    struct dyno_usage_source *source;
    int64_t tenant; /* index of the name; -1: all */
    struct dyno_sums sums;
    bool has_cores, has_devices; /* time of cores, as on a CPU; of whole devices */
};

static enum dyno_status add(void *arg, const struct dyno_usage *usage, struct dyno_err *err)
{
    struct work *work = arg;
    struct dyno_sum *sum = NULL;
    if (work->tenant >= 0 && usage->key.tenant != (uint32_t)work->tenant)
        return DYNO_OK;
    const bool has_time = usage->kind != DYNO_USAGE_RESIDENCY;
    const struct dyno_sum key = {
        .key = usage->key, .kind = usage->kind, .is_device = has_time && !usage->is_core};
    DYNO_TRY(dyno_sums_at(&work->sums, &key, &sum, err));
    sum->requests += usage->requests;
    sum->items += usage->items;
    sum->core_ns += usage->device_ns;
    work->has_cores = work->has_cores || (has_time && usage->is_core);
    work->has_devices = work->has_devices || (has_time && !usage->is_core);
    sum->reference_ns += usage->reference_ns;
    sum->byte_ns += usage->byte_ns;
    return DYNO_OK;
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct dyno_sum *a = *(const struct dyno_sum *const *)left;
    const struct dyno_sum *b = *(const struct dyno_sum *const *)right;
    const struct dyno_usage_source *source = ((const struct work *)arg)->source;
    const uint32_t pairs[][2] = {{a->key.tenant, b->key.tenant},
                                 {a->key.model, b->key.model},
                                 {a->key.variant, b->key.variant},
                                 {a->key.class_name, b->key.class_name},
                                 {a->key.certificate, b->key.certificate}};
    for (size_t i = 0; i < DYNO_COUNT(pairs); i++) {
        const int by_name = strcmp(dyno_usage_source_name(source, pairs[i][0]),
                                   dyno_usage_source_name(source, pairs[i][1]));
        if (by_name != 0)
            return by_name;
    }
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->is_device < b->is_device ? -1 : a->is_device > b->is_device;
}

/* Whose time it is: that of cores and that of devices are never added up, nor told alike. */
static const char *unit_of(const struct work *work, const struct dyno_sum *sum)
{
    return sum->is_device || !work->has_cores ? "device" : "core";
}

static bool same_names(const struct dyno_sum *a, const struct dyno_sum *b)
{
    return a->key.tenant == b->key.tenant && a->key.model == b->key.model &&
           a->key.variant == b->key.variant && a->key.class_name == b->key.class_name;
}

/* Is there a row with the same names, and another certificate?  They follow one another. */
static bool has_twin(const struct dyno_sum *const *sums, size_t count, size_t at)
{
    size_t first = at;
    size_t last = at;
    while (first > 0 && same_names(sums[first - 1], sums[at]))
        first--;
    while (last + 1 < count && same_names(sums[last + 1], sums[at]))
        last++;
    return sums[first]->key.certificate != sums[last]->key.certificate;
}

static void print_certificate(const char *certificate)
{
    if (certificate[0] != 0)
        printf("%-16s by certificate %s\n", "", certificate);
    else
        printf("%-16s by no engine certificate\n", "");
}

static void print_text(const struct work *work, const struct dyno_sum *const *sums)
{
    const bool is_mixed = work->has_cores && work->has_devices;
    printf("%-16s %-24s %-12s %-10s %-12s %10s %10s %14s %14s %14s\n", "tenant", "model", "variant",
           "class", "kind", "requests", "items",
           is_mixed          ? "hours"
           : work->has_cores ? "core-hours"
                             : "device-hours",
           "EPU-hours", "GiB-hours");
    for (size_t i = 0; i < work->sums.count; i++) {
        const struct dyno_usage_key *key = &sums[i]->key;
        char device[DYNO_MONEY_ROOM];
        char epu[DYNO_MONEY_ROOM];
        char held[DYNO_MONEY_ROOM];
        printf("%-16s %-24s %-12s %-10s %-12s %10llu %10llu %14s %14s %14s\n",
               dyno_usage_source_name(work->source, key->tenant),
               dyno_usage_source_name(work->source, key->model),
               dyno_usage_source_name(work->source, key->variant),
               dyno_usage_source_name(work->source, key->class_name),
               dyno_usage_kind_text((enum dyno_usage_kind)sums[i]->kind),
               (unsigned long long)sums[i]->requests, (unsigned long long)sums[i]->items,
               dyno_hours_text(sums[i]->core_ns, device),
               dyno_hours_text(sums[i]->reference_ns, epu),
               dyno_hours_text(sums[i]->byte_ns >> 30, held));
        if (has_twin(sums, work->sums.count, i))
            print_certificate(dyno_usage_source_name(work->source, key->certificate));
        if (is_mixed && sums[i]->core_ns != 0)
            printf("%-16s the hours are those of %ss\n", "", unit_of(work, sums[i]));
    }
}

static enum dyno_status print_json(const struct work *work, const struct dyno_sum *const *sums,
                                   struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    char digits[DYNO_U128_TEXT_ROOM];
    char name[16];
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < work->sums.count; i++) {
        const struct dyno_usage_key *key = &sums[i]->key;
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "tenant", dyno_usage_source_name(work->source, key->tenant));
        dyno_json_put_str(&json, "model", dyno_usage_source_name(work->source, key->model));
        dyno_json_put_str(&json, "variant", dyno_usage_source_name(work->source, key->variant));
        dyno_json_put_str(&json, "class", dyno_usage_source_name(work->source, key->class_name));
        dyno_json_put_str(&json, "certificate",
                          dyno_usage_source_name(work->source, key->certificate));
        dyno_json_put_str(&json, "kind", dyno_usage_kind_text((enum dyno_usage_kind)sums[i]->kind));
        dyno_json_put_u64(&json, "requests", sums[i]->requests);
        dyno_json_put_u64(&json, "items", sums[i]->items);
        (void)snprintf(name, sizeof(name), "%s_ns", unit_of(work, sums[i]));
        dyno_json_put_str(&json, name, dyno_u128_text(sums[i]->core_ns, digits));
        dyno_json_put_str(&json, "reference_ns", dyno_u128_text(sums[i]->reference_ns, digits));
        dyno_json_put_str(&json, "memory_byte_ns", dyno_u128_text(sums[i]->byte_ns, digits));
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_strbuf_puts(&text, "\n");
    const enum dyno_status status = dyno_bill_write(NULL, &text, err);
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status print(struct work *work, struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_sum **sums =
        dyno_arena_alloc(arena, work->sums.count + 1, sizeof(const struct dyno_sum *));
    size_t count = 0;
    if (sums == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < work->sums.capacity; i++)
        if (work->sums.used[i])
            sums[count++] = &work->sums.slots[i];
    qsort_r(sums, count, sizeof(const struct dyno_sum *), compare, work);
    if (work->options->json)
        return print_json(work, sums, err);
    print_text(work, sums);
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    struct work work = {.options = options, .tenant = -1};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_bill_open(&options->bill, true, &work.source, err);
    if (status == DYNO_OK && options->tenant != NULL) {
        work.tenant = dyno_usage_source_tenant(work.source, options->tenant);
        if (work.tenant < 0)
            status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the ledger knows no tenant '%.128s'",
                               options->tenant);
    }
    if (status == DYNO_OK)
        status = dyno_usage_source_each(work.source, add, &work, err);
    if (status == DYNO_OK)
        status = print(&work, arena, err);
    dyno_sums_fini(&work.sums);
    dyno_usage_source_close(work.source);
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_usage = {
    .name = "usage",
    .summary = "What was used, out of a ledger: requests, device time, EPU",
    .text =
        "A row for each tenant, model, variant, class and kind. Records whose answer is not known "
        "to have left are unconfirmed.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
