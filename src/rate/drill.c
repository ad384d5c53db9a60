/* drill.c - from a line back to the usage that it is made of. */
#include <string.h>

#include "rate/internal.h"

bool dyno_line_has_usage(const struct dyno_line *line)
{
    return line->kind == DYNO_LINE_USAGE || line->kind == DYNO_LINE_COLD_START ||
           line->kind == DYNO_LINE_RESIDENCY;
}

/* A floor takes the memory of all classes and certificates together, a cold start their loading. */
static bool is_of_kind(const struct dyno_line *line, const struct dyno_usage *usage,
                       const char *const *names)
{
    if (line->kind == DYNO_LINE_RESIDENCY)
        return usage->kind == DYNO_USAGE_RESIDENCY;
    if (line->kind == DYNO_LINE_COLD_START)
        return usage->kind == DYNO_USAGE_COLD_START && usage->is_taken_back == line->is_taken_back;
    return usage->kind == line->usage && usage->is_taken_back == line->is_taken_back &&
           strcmp(names[usage->key.class_name], line->class_name) == 0 &&
           strcmp(names[usage->key.precision], line->precision) == 0 &&
           strcmp(names[usage->key.certificate], line->certificate) == 0;
}

enum dyno_status dyno_line_find(struct dyno_rater *rater, const struct dyno_account *account,
                                const struct dyno_line *line, const struct dyno_usage *usage,
                                bool *found_out, struct dyno_err *err)
{
    const struct dyno_rater_options *options = &rater->options;
    const char *const *names = options->names;
    const struct dyno_tariff *tariff = NULL;
    *found_out = false;
    if (!dyno_line_has_usage(line) || !is_of_kind(line, usage, names) ||
        (usage->start_s < options->first_s) != line->is_late ||
        strcmp(names[usage->key.tenant], account->tenant) != 0 ||
        strcmp(names[usage->key.model], line->model) != 0 ||
        strcmp(names[usage->key.variant], line->variant) != 0)
        return DYNO_OK;
    DYNO_TRY(dyno_rater_tariff(rater, usage, &tariff, err));
    *found_out = tariff == line->tariff;
    return DYNO_OK;
}

static bool is_by_device(const struct dyno_line *line)
{
    return line->kind == DYNO_LINE_COLD_START || line->tariff->kind == DYNO_TARIFF_DEVICE_HOUR;
}

dyno_u128 dyno_line_units(const struct dyno_line *line, const struct dyno_usage *usage)
{
    if (line->kind == DYNO_LINE_RESIDENCY)
        return usage->byte_ns;
    return is_by_device(line)
               ? (dyno_u128)usage->device_ns * (usage->is_core ? 1U : line->tariff->device_cores)
               : usage->reference_ns;
}

enum dyno_status dyno_line_part(const struct dyno_line *line, dyno_u128 units, dyno_i128 *nano_out,
                                struct dyno_err *err)
{
    struct dyno_ratio ratio = {0};
    *nano_out = 0;
    if (line->kind == DYNO_LINE_RESIDENCY) {
        /* What was charged counts towards the floor hour by hour: the rest is spread by memory. */
        const dyno_u128 all_s = line->byte_ns / 1000000000U;
        if (all_s == 0 || all_s > UINT64_MAX || units >= line->byte_ns) {
            *nano_out = units >= line->byte_ns ? line->nano : 0;
            return DYNO_OK;
        }
        ratio = (struct dyno_ratio){.a = line->nano,
                                    .b = (dyno_i128)(units / 1000000000U),
                                    .dens = {(uint64_t)all_s},
                                    .den_count = 1};
    } else {
        struct dyno_line part = *line;
        if (!dyno_line_is_charged(line))
            return DYNO_OK;
        part.core_ns = part.reference_ns = units;
        ratio = dyno_line_charge(&part);
    }
    return dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, nano_out)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "an amount is too large to be one");
}
