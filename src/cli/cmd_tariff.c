/* cmd_tariff.c - dyno tariff: a book of tariffs, checked and explained. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "cli/billing.h"
#include "rate/invoice.h"

struct options {
    struct dyno_cli_list positional;
    bool json;
};

static const struct dyno_flag flags[] = {
    DYNO_FLAG_JSON(options),
};

static const int speed_ups[] = {1, 2, 3, 4, 5};

/* So many EPU-hours, or so many device-hours, at a speed-up; rounded once. */
static dyno_i128 amount_at(const struct dyno_tariff *tariff, int speed_up, uint64_t hours)
{
    dyno_i128 nano = tariff->device_hour;
    if (tariff->kind == DYNO_TARIFF_DEVICE_HOUR)
        return nano;
    const struct dyno_price price = dyno_tariff_price(tariff, speed_up * DYNO_PPM);
    const struct dyno_ratio ratio = {.a = price.nano,
                                     .b = 1,
                                     .nums = {price.num, hours},
                                     .num_count = 2,
                                     .dens = {price.den},
                                     .den_count = 1};
    (void)dyno_ratio_round(&ratio, DYNO_ROUND_HALF_AWAY, &nano);
    return nano;
}

static dyno_i128 price_at(const struct dyno_tariff *tariff, int speed_up)
{
    return amount_at(tariff, speed_up, 1);
}

/* What a busy device-hour earns: s EPU-hours. */
static dyno_i128 earned_at(const struct dyno_tariff *tariff, int speed_up)
{
    return amount_at(tariff, speed_up, (uint64_t)speed_up);
}

static const char *term(const struct dyno_tariff *tariff, char out[64])
{
    char from[DYNO_TIME_TEXT_ROOM];
    char until[DYNO_TIME_TEXT_ROOM];
    (void)snprintf(out, 64, "%s%.20s%s%.20s", tariff->from_s > 0 ? "from " : "",
                   tariff->from_s > 0 ? dyno_time_text(tariff->from_s, from) : "",
                   tariff->from_s > 0 ? " until " : "until ",
                   tariff->until_s < DYNO_TARIFF_FOREVER ? dyno_time_text(tariff->until_s, until)
                                                         : "further notice");
    return out;
}

static void print_factors(const char *what, const struct dyno_factor *factors, size_t count)
{
    char text[DYNO_MONEY_ROOM];
    if (count == 0)
        return;
    printf("  %s", what);
    for (size_t i = 0; i < count; i++)
        printf("%s %s x %s", i > 0 ? "," : "", factors[i].name,
               dyno_decimal_text(factors[i].factor, 9, 0, text));
    printf("\n");
}

/* The same work takes 1/s of the time: what that saves the platform against what it gives away. */
static void print_cost(const struct dyno_tariff *tariff)
{
    char cost[DYNO_MONEY_ROOM];
    char most[DYNO_MONEY_ROOM];
    if (tariff->cost_hour < 0)
        return;
    printf("  a device-hour costs the platform %s",
           dyno_decimal_text(tariff->cost_hour, 9, tariff->currency->decimals, cost));
    const struct dyno_ratio ratio = {.a = tariff->cost_hour,
                                     .b = DYNO_PPM,
                                     .dens = {(uint64_t)tariff->device_hour},
                                     .den_count = 1};
    dyno_i128 ppm = 0;
    if (tariff->kind == DYNO_TARIFF_GAIN_SHARE && tariff->device_hour > 0 &&
        dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &ppm))
        printf("; of the same work more is left to it than unoptimised as long as the share is "
               "below %s",
               dyno_decimal_text(ppm, 6, 0, most));
    printf("\n");
}

static void print_terms(const struct dyno_tariff *tariff)
{
    struct dyno_strbuf says = {0};
    dyno_tariff_say(tariff, &says);
    printf("  %s\n", dyno_strbuf_text(&says));
    dyno_strbuf_fini(&says);
    print_factors("classes:", tariff->classes, tariff->class_count);
    print_factors("precisions:", tariff->precisions, tariff->precision_count);
    print_cost(tariff);
}

static const char *whose(const struct dyno_tariff_grant *grant)
{
    return grant->tenant != NULL ? grant->tenant : "everybody else";
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whoever uses something while the tariff that he is granted has no version in force gets no
 * invoice: of time between two versions, and of a grant outside of them all, that is no intention.
 */
static void print_holes(const struct dyno_tariff_book *book, const struct dyno_tariff_grant *grant)
{
    const struct dyno_tariff *before = NULL;
    bool is_met = false;
    char from[DYNO_TIME_TEXT_ROOM];
    char until[DYNO_TIME_TEXT_ROOM];
    for (size_t i = 0; i < book->tariff_count; i++) {
        const struct dyno_tariff *tariff = &book->tariffs[i];
        if (strcmp(tariff->name, grant->tariff) != 0)
            continue;
        const int64_t hole_s = before != NULL ? later(before->until_s, grant->from_s) : 0;
        const int64_t end_s = earlier(tariff->from_s, grant->until_s);
        is_met = is_met ||
                 later(tariff->from_s, grant->from_s) < earlier(tariff->until_s, grant->until_s);
        if (before != NULL && hole_s < end_s)
            printf("Warning: no version of %s is in force from %s until %s, when %s has it\n",
                   grant->tariff, dyno_time_text(hole_s, from), dyno_time_text(end_s, until),
                   whose(grant));
        before = tariff;
    }
    if (!is_met)
        printf("Warning: no version of %s is in force at any time when %s has it\n", grant->tariff,
               whose(grant));
}

static void print_text(const struct dyno_tariff_book *book)
{
    char text[DYNO_MONEY_ROOM];
    char when[64];
    for (size_t i = 0; i < book->tariff_count; i++) {
        const struct dyno_tariff *tariff = &book->tariffs[i];
        printf("%s version %lld, %s, %s, %s\n", tariff->name, (long long)tariff->version,
               dyno_tariff_kind_text(tariff->kind), tariff->currency->code, term(tariff, when));
        print_terms(tariff);
        printf("  speed-up                    ");
        for (size_t k = 0; k < DYNO_COUNT(speed_ups); k++)
            printf(" %12d", speed_ups[k]);
        printf("\n  price of %s ", tariff->kind == DYNO_TARIFF_DEVICE_HOUR ? "a device-hour     "
                                                                           : "an EPU-hour       ");
        for (size_t k = 0; k < DYNO_COUNT(speed_ups); k++)
            printf(" %12s", dyno_decimal_text(price_at(tariff, speed_ups[k]), 9, 2, text));
        printf("\n  a busy device-hour earns    ");
        for (size_t k = 0; k < DYNO_COUNT(speed_ups); k++)
            printf(" %12s", dyno_decimal_text(earned_at(tariff, speed_ups[k]), 9, 2, text));
        printf("\n");
    }
    for (size_t i = 0; i < book->grant_count; i++) {
        const struct dyno_tariff_grant *grant = &book->grants[i];
        const struct dyno_tariff as_term = {.from_s = grant->from_s, .until_s = grant->until_s};
        printf("%s has %s, %s\n", whose(grant), grant->tariff, term(&as_term, when));
        print_holes(book, grant);
    }
}

static enum dyno_status print_json(const struct dyno_tariff_book *book, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    char amount[DYNO_MONEY_ROOM];
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < book->tariff_count; i++) {
        const struct dyno_tariff *tariff = &book->tariffs[i];
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "name", tariff->name);
        dyno_json_put_i64(&json, "version", tariff->version);
        dyno_json_put_str(&json, "kind", dyno_tariff_kind_text(tariff->kind));
        dyno_json_put_str(&json, "currency", tariff->currency->code);
        dyno_json_put_array_begin(&json, "prices");
        for (size_t k = 0; k < DYNO_COUNT(speed_ups); k++) {
            dyno_json_object_begin(&json);
            dyno_json_put_i64(&json, "speed_up", speed_ups[k]);
            dyno_json_put_str(&json, "price",
                              dyno_decimal_text(price_at(tariff, speed_ups[k]), 9, 2, amount));
            dyno_json_put_str(&json, "device_hour_earns",
                              dyno_decimal_text(earned_at(tariff, speed_ups[k]), 9, 2, amount));
            dyno_json_object_end(&json);
        }
        dyno_json_array_end(&json);
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_strbuf_puts(&text, "\n");
    const enum dyno_status status = dyno_bill_write(NULL, &text, err);
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    const struct dyno_tariff_book *book = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_bill_book(options->positional.items[0], arena, &book, err);
    if (status == DYNO_OK && options->json)
        status = print_json(book, err);
    else if (status == DYNO_OK)
        print_text(book);
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_tariff = {
    .name = "tariff",
    .summary = "Check a book of tariffs, and show its prices by speed-up",
    .positional = "FILE",
    .positional_min = 1,
    .positional_max = 1,
    .text = "The book is JSON (docs/tariffs.md). It is refused as a whole when something in it is "
            "wrong, with the tariff, the field and the rule.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
