/* compare.c - tariffs side by side as a table and as JSON. */
#include "rate/compare.h"

#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "rate/invoice.h"

bool dyno_compare_next(const struct dyno_scenario *scenarios, size_t count,
                       struct dyno_compare_row *row)
{
    row->tenant = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct dyno_statement *statement = scenarios[i].statement;
        row->accounts[i] =
            row->at[i] < statement->account_count ? &statement->accounts[row->at[i]] : NULL;
        if (row->accounts[i] != NULL &&
            (row->tenant == NULL || strcmp(row->accounts[i]->tenant, row->tenant) < 0))
            row->tenant = row->accounts[i]->tenant;
    }
    for (size_t i = 0; i < count; i++) {
        if (row->accounts[i] != NULL && strcmp(row->accounts[i]->tenant, row->tenant) == 0)
            row->at[i]++;
        else
            row->accounts[i] = NULL;
    }
    return row->tenant != NULL;
}

/* Device time that the same work would have taken unoptimised, less what it took. */
static dyno_i128 freed_ns(const struct dyno_statement *statement)
{
    return (dyno_i128)statement->reference_ns - (dyno_i128)statement->device_ns;
}

static const char *hours(dyno_i128 ns, char out[DYNO_MONEY_ROOM])
{
    char size[DYNO_MONEY_ROOM];
    (void)dyno_hours_text((dyno_u128)(ns < 0 ? -ns : ns), size);
    (void)snprintf(out, DYNO_MONEY_ROOM, "%s%.50s", ns < 0 ? "-" : "", size);
    return out;
}

/* --- figures --- */

/* For a person as amounts are charged; for a program exact. */
static const char *money(const struct dyno_currency *currency, dyno_i128 nano, bool is_exact,
                         char out[DYNO_MONEY_ROOM])
{
    return is_exact ? dyno_decimal_text(nano, 9, currency->decimals, out)
                    : dyno_minor_text(currency, dyno_money_minor(currency, nano), out);
}

struct row {
    const char *title;
    const char *(*text)(const struct dyno_statement *statement, bool is_exact,
                        char out[DYNO_MONEY_ROOM]);
};

static const char *say_charged(const struct dyno_statement *statement, bool is_exact,
                               char out[DYNO_MONEY_ROOM])
{
    (void)is_exact;
    return dyno_minor_text(statement->currency, statement->charged_minor, out);
}

/* "" when a tariff does not say what a device-hour costs. */
static const char *say_cost(const struct dyno_statement *statement, bool is_exact,
                            char out[DYNO_MONEY_ROOM])
{
    out[0] = 0;
    return statement->cost_nano < 0
               ? out
               : money(statement->currency, statement->cost_nano, is_exact, out);
}

/* Revenue less what the device time cost. */
static const char *say_margin(const struct dyno_statement *statement, bool is_exact,
                              char out[DYNO_MONEY_ROOM])
{
    const dyno_i128 nano = statement->revenue_nano - statement->cost_nano;
    out[0] = 0;
    return statement->cost_nano < 0 ? out : money(statement->currency, nano, is_exact, out);
}

static const char *say_device(const struct dyno_statement *statement, bool is_exact,
                              char out[DYNO_MONEY_ROOM])
{
    (void)is_exact;
    return dyno_hours_text(statement->device_ns, out);
}

static const char *say_epu(const struct dyno_statement *statement, bool is_exact,
                           char out[DYNO_MONEY_ROOM])
{
    (void)is_exact;
    return dyno_hours_text(statement->reference_ns, out);
}

static const char *say_freed(const struct dyno_statement *statement, bool is_exact,
                             char out[DYNO_MONEY_ROOM])
{
    (void)is_exact;
    return hours(freed_ns(statement), out);
}

static const struct row rows[] = {
    {"all tenants pay", say_charged},     {"cost of the devices", say_cost},
    {"left to the platform", say_margin}, {"device-hours delivered", say_device},
    {"EPU-hours delivered", say_epu},     {"device-hours freed", say_freed}};

#define NAMES_LEAST  26 /* letters of the first column */
#define COLUMN_LEAST 18

static int wider(int width, const char *name)
{
    const size_t bytes = strlen(name);
    return bytes > (size_t)width ? (int)bytes : width;
}

/* Names stand whole, as what they differ in may be their end: scenarios above their columns, */
static int width_of(const struct dyno_scenario *scenarios, size_t count)
{
    int width = COLUMN_LEAST;
    for (size_t i = 0; i < count; i++)
        width = wider(width, scenarios[i].name);
    return width;
}

/* and tenants before their rows. */
static int first_width_of(const struct dyno_scenario *scenarios, size_t count)
{
    int width = NAMES_LEAST;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < scenarios[i].statement->account_count; k++)
            width = wider(width, scenarios[i].statement->accounts[k].tenant);
    return width;
}

/* --- a picture of text: # is paid and not left, = is left to the platform --- */

#define BAR_CELLS 48

static dyno_i128 nano_of(const struct dyno_statement *statement)
{
    return statement->charged_minor * (dyno_i128)dyno_currency_minor(statement->currency);
}

static int cells_of(dyno_i128 nano, dyno_i128 most)
{
    return nano > 0 ? (int)((nano * BAR_CELLS + most / 2) / most) : 0;
}

static void draw(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out)
{
    dyno_i128 most = 1;
    bool knows_cost = true;
    int width = NAMES_LEAST;
    char text[DYNO_MONEY_ROOM];
    if (scenarios[0].statement->currency == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        const dyno_i128 nano = nano_of(scenarios[i].statement);
        most = nano > most ? nano : most;
        width = wider(width, scenarios[i].name);
        knows_cost = knows_cost && scenarios[i].statement->cost_nano >= 0;
    }
    for (size_t i = 0; i < count; i++) {
        const struct dyno_statement *statement = scenarios[i].statement;
        const int all = cells_of(nano_of(statement), most);
        const int left =
            knows_cost ? cells_of(statement->revenue_nano - statement->cost_nano, most) : 0;
        dyno_strbuf_printf(out, "%-*s ", width, scenarios[i].name);
        for (int k = 0; k < all; k++)
            dyno_strbuf_puts(out, k < left ? "=" : "#");
        dyno_strbuf_printf(out, " %s\n", say_charged(statement, false, text));
    }
    dyno_strbuf_puts(out, knows_cost ? "What all tenants pay; = of it is left to the platform.\n"
                                     : "What all tenants pay.\n");
}

static void print_tenants(const struct dyno_scenario *scenarios, size_t count, int first_width,
                          int width, struct dyno_strbuf *out)
{
    const struct dyno_currency *currency = scenarios[0].statement->currency;
    struct dyno_compare_row row = {.tenant = NULL};
    char text[DYNO_MONEY_ROOM];
    while (dyno_compare_next(scenarios, count, &row)) {
        dyno_strbuf_printf(out, "%-*s", first_width, row.tenant);
        for (size_t i = 0; i < count; i++) {
            const dyno_i128 minor = row.accounts[i] != NULL ? row.accounts[i]->total_minor : 0;
            dyno_strbuf_printf(out, " %*s", width, dyno_minor_text(currency, minor, text));
        }
        dyno_strbuf_puts(out, "\n");
    }
}

void dyno_compare_text(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out)
{
    const struct dyno_currency *currency = scenarios[0].statement->currency;
    const int first_width = first_width_of(scenarios, count);
    const int width = width_of(scenarios, count);
    char text[DYNO_MONEY_ROOM];
    dyno_strbuf_printf(out, "%-*s", first_width, "");
    for (size_t i = 0; i < count; i++)
        dyno_strbuf_printf(out, " %*s", width, scenarios[i].name);
    dyno_strbuf_puts(out, "\n");
    print_tenants(scenarios, count, first_width, width, out);
    for (size_t k = 0; k < DYNO_COUNT(rows); k++) {
        dyno_strbuf_printf(out, "%-*s", first_width, rows[k].title);
        for (size_t i = 0; i < count; i++)
            dyno_strbuf_printf(out, " %*s", width,
                               rows[k].text(scenarios[i].statement, false, text));
        dyno_strbuf_puts(out, "\n");
    }
    if (currency != NULL)
        dyno_strbuf_printf(out, "Amounts in %s.\n\n", currency->code);
    draw(scenarios, count, out);
}

/* --- JSON --- */

static void print_scenario(const struct dyno_scenario *scenario, struct dyno_json_writer *json)
{
    static const char *const keys[] = {"charged",      "cost",      "margin",
                                       "device_hours", "epu_hours", "device_hours_freed"};
    const struct dyno_statement *statement = scenario->statement;
    char text[DYNO_MONEY_ROOM];
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "tariff", scenario->name);
    dyno_json_put_object_begin(json, "tenants");
    for (size_t i = 0; i < statement->account_count; i++)
        dyno_json_put_str(
            json, statement->accounts[i].tenant,
            dyno_minor_text(statement->currency, statement->accounts[i].total_minor, text));
    dyno_json_object_end(json);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        dyno_json_put_str(json, keys[i], rows[i].text(statement, true, text));
    dyno_json_put_str(json, "residue", dyno_decimal_text(statement->residue_nano, 9, 0, text));
    dyno_json_object_end(json);
}

void dyno_compare_json(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out)
{
    const struct dyno_statement *first = scenarios[0].statement;
    struct dyno_json_writer json = {.out = out, .indent = 2};
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "from", dyno_time_text(first->first_s, when));
    dyno_json_put_str(&json, "until", dyno_time_text(first->next_s, when));
    dyno_json_put_str(&json, "currency", first->currency != NULL ? first->currency->code : "");
    dyno_json_put_array_begin(&json, "scenarios");
    for (size_t i = 0; i < count; i++)
        print_scenario(&scenarios[i], &json);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
}
