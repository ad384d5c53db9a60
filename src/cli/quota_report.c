/* quota_report.c - budgets as text and JSON. */
#include "cli/quota_report.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/wide.h"
#include "cli/command.h"
#include "rate/charge.h"

static bool is_work(const struct dyno_tenant_budget *budget)
{
    return strcmp(budget->unit, DYNO_BUDGET_EPU) == 0;
}

static const char *unit_text(const struct dyno_tenant_budget *budget)
{
    return is_work(budget) ? "EPU-hours" : budget->unit;
}

static const char *amount_text(const struct dyno_tenant_budget *budget, int64_t amount,
                               char out[DYNO_MONEY_ROOM])
{
    const struct dyno_currency *currency = dyno_currency_find(budget->unit);
    if (is_work(budget))
        return dyno_epu_text(amount > 0 ? (dyno_u128)amount : 0, out);
    return dyno_decimal_text(amount, 9, currency != NULL ? currency->decimals : 2, out);
}

static int64_t left_of(const struct dyno_budget_state *state)
{
    const int64_t left = state->budget->amount - state->sums.used - state->sums.reserved;
    return left > 0 ? left : 0;
}

static double percent_of(const struct dyno_budget_state *state)
{
    if (state->budget->amount == 0)
        return 100;
    return (double)state->sums.used * 100.0 / (double)state->budget->amount;
}

/* --- JSON --- */

static void put_amount(struct dyno_json_writer *json, const char *key,
                       const struct dyno_tenant_budget *budget, int64_t amount)
{
    char text[DYNO_MONEY_ROOM];
    dyno_json_put_str_or_null(json, key, amount_text(budget, amount, text));
}

static void put_state(struct dyno_json_writer *json, const struct dyno_budget_state *state)
{
    const struct dyno_tenant_budget *budget = state->budget;
    char when[DYNO_TIME_TEXT_ROOM];
    char exact[DYNO_U128_TEXT_ROOM];
    const bool renews = budget->term != DYNO_TERM_NONE;
    dyno_json_object_begin(json);
    dyno_json_put_i64(json, "id", budget->id);
    dyno_json_put_str_or_null(json, "tenant", state->tenant_name);
    dyno_json_put_bool(json, "of_every_tenant", budget->tenant == 0);
    dyno_json_put_str_or_null(json, "model", budget->model[0] != 0 ? budget->model : NULL);
    dyno_json_put_str_or_null(json, "class",
                              budget->class_name[0] != 0 ? budget->class_name : NULL);
    dyno_json_put_str(json, "unit", is_work(budget) ? "epu-hours" : budget->unit);
    dyno_json_put_str(json, "period", dyno_term_text(budget->term));
    dyno_json_put_bool(json, "hard", budget->is_hard);
    dyno_json_put_array_begin(json, "alerts");
    for (size_t i = 0; i < budget->alert_count; i++)
        dyno_json_u64(json, budget->alerts[i]);
    dyno_json_array_end(json);
    put_amount(json, "amount", budget, budget->amount);
    put_amount(json, "used", budget, state->sums.used);
    /* To the reference-ns, or the nano-unit. */
    dyno_json_put_str(json, is_work(budget) ? "used_reference_ns" : "used_nano",
                      dyno_i128_text(state->sums.used, exact));
    put_amount(json, "reserved", budget, state->sums.reserved);
    put_amount(json, "left", budget, left_of(state));
    put_amount(json, "leased", budget, budget->is_hard ? state->sums.leased : 0);
    dyno_json_put_f64(json, "used_percent", percent_of(state));
    dyno_json_put_str_or_null(json, "renewed",
                              renews ? dyno_time_text(state->span.next_s, when) : NULL);
    dyno_json_put_str(json, "created", dyno_time_text(budget->created_s, when));
    dyno_json_object_end(json);
}

/* --- text --- */

static void print_scope(const struct dyno_tenant_budget *budget)
{
    struct dyno_strbuf scope = {0};
    dyno_budget_print_scope(budget, &scope);
    printf("%s%s", scope.bytes > 0 ? " " : "", dyno_strbuf_text(&scope));
    dyno_strbuf_fini(&scope);
}

static void print_state(const struct dyno_budget_state *state)
{
    const struct dyno_tenant_budget *budget = state->budget;
    char text[DYNO_MONEY_ROOM];
    char when[DYNO_TIME_TEXT_ROOM];
    char alerts[DYNO_BUDGET_ALERTS_ROOM];
    printf("budget %lld of %s: %s %s", (long long)budget->id, state->tenant_name,
           amount_text(budget, budget->amount, text), unit_text(budget));
    print_scope(budget);
    printf("%s%s%s\n", budget->term == DYNO_TERM_NONE ? ", prepaid" : "",
           budget->is_hard ? "" : ", only alerts",
           budget->tenant == 0 ? ", as every tenant has" : "");
    printf("  used        %s (%.1f %%)\n", amount_text(budget, state->sums.used, text),
           percent_of(state));
    printf("  reserved    %s\n", amount_text(budget, state->sums.reserved, text));
    printf("  left        %s", amount_text(budget, left_of(state), text));
    if (budget->is_hard && state->sums.leased > 0)
        printf(", of which %s is leased by %lld server%s",
               amount_text(budget, state->sums.leased, text), (long long)state->sums.node_count,
               state->sums.node_count == 1 ? "" : "s");
    printf("\n");
    if (budget->term == DYNO_TERM_NONE)
        printf("  renewed     when it is topped up\n");
    else
        printf("  renewed     %s\n", dyno_time_text(state->span.next_s, when));
    (void)dyno_alerts_text(budget, alerts);
    printf("  alerts      %s\n", alerts[0] != 0 ? alerts : "none");
}

static void print_head(const struct dyno_budget_state *states, size_t count, int *width_out)
{
    int width = 6;
    for (size_t i = 0; i < count; i++)
        if ((int)strlen(states[i].tenant_name) > width)
            width = (int)strlen(states[i].tenant_name);
    *width_out = width;
    printf("%-*s  %6s  %-9s  %-6s  %18s  %18s  %18s  %7s  %s\n", width, "TENANT", "ID", "UNIT",
           "PERIOD", "AMOUNT", "USED", "LEFT", "USED %", "FOR");
}

static void print_row(const struct dyno_budget_state *state, int width)
{
    const struct dyno_tenant_budget *budget = state->budget;
    char amount[DYNO_MONEY_ROOM];
    char used[DYNO_MONEY_ROOM];
    char left[DYNO_MONEY_ROOM];
    printf("%-*s  %6lld  %-9s  %-6s  %18s  %18s  %18s  %7.1f  %s%s%s%s\n", width,
           state->tenant_name, (long long)budget->id, unit_text(budget),
           dyno_term_text(budget->term), amount_text(budget, budget->amount, amount),
           amount_text(budget, state->sums.used, used), amount_text(budget, left_of(state), left),
           percent_of(state), budget->model[0] != 0 ? budget->model : "all models",
           budget->class_name[0] != 0 ? ", " : "", budget->class_name,
           budget->is_hard ? "" : ", only alerts");
}

/* --- the report --- */

static bool is_told(const struct dyno_quota_report *report, const struct dyno_budget_state *state)
{
    return (report->id == 0 || state->budget->id == report->id) &&
           (report->over < 0 || percent_of(state) >= (double)report->over);
}

static enum dyno_status print_json(const struct dyno_quota_report *report,
                                   const struct dyno_budget_state *states, size_t count,
                                   struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        if (is_told(report, &states[i]))
            put_state(&json, &states[i]);
    dyno_json_array_end(&json);
    return dyno_cli_print(&text, err);
}

enum dyno_status dyno_quota_report_print(struct dyno_control *control,
                                         struct dyno_lease_store *store,
                                         const struct dyno_quota_report *report,
                                         struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_budget_state *states = NULL;
    size_t count = 0;
    size_t told = 0;
    int width = 0;
    DYNO_TRY(dyno_control_read_states(control, store, report->tenant, dyno_now_s(), arena, &states,
                                      &count, err));
    if (report->is_json)
        return print_json(report, states, count, err);
    for (size_t i = 0; i < count; i++) {
        if (!is_told(report, &states[i]))
            continue;
        if (report->is_table && told == 0)
            print_head(states, count, &width);
        if (report->is_table)
            print_row(&states[i], width);
        else
            print_state(&states[i]);
        told++;
    }
    if (told == 0 && report->id != 0)
        printf("budget %lld is there; no tenant has it\n", (long long)report->id);
    else if (told == 0 && report->tenant != NULL)
        printf("tenant %s has no such budget\n", report->tenant);
    return DYNO_OK;
}
