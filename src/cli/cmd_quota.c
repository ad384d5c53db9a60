/* cmd_quota.c - dyno quota: budgets of work and money, and what of them is used. */
#include <stdio.h>
#include <string.h>

#include "cli/billing.h"
#include "cli/quota_reconcile.h"
#include "cli/quota_report.h"
#include "rate/money.h"

#define BUSY_MS   5000
#define NOT_GIVEN (-1)

struct options {
    struct dyno_cli_list positional;
    const char *control_db, *epu_hours, *money, *currency, *period, *model, *class_name, *alerts;
    const char *tariffs, *budget_db, *ledger, *certificates, *factors;
    int64_t id, over, node;
    bool every, soft, hard, json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--control-db",
     .value = "FILE",
     .help = "The control database (dyno tenant)",
     .kind = DYNO_FLAG_STR,
     AT(control_db)},
    {.name = "--budget-db",
     .value = "CONNINFO",
     .help = "What is used, out of the PostgreSQL database that the servers of a fleet have "
             "(--budget-db)",
     .kind = DYNO_FLAG_STR,
     AT(budget_db)},
    {.name = "--every",
     .help = "set: of every tenant, each one for itself; a budget of a tenant's own with the same "
             "scope and period stands in its place",
     .kind = DYNO_FLAG_BOOL,
     AT(every)},
    {.name = "--epu-hours",
     .value = "N",
     .help = "set, topup: so much work, with at most 9 decimals",
     .kind = DYNO_FLAG_STR,
     AT(epu_hours)},
    {.name = "--money",
     .value = "N",
     .help = "set, topup: so much money, with at most 9 decimals; servers want --tariffs",
     .kind = DYNO_FLAG_STR,
     AT(money)},
    {.name = "--currency",
     .value = "CODE",
     .help = "Of --money, as USD; with --tariffs it is the book's",
     .kind = DYNO_FLAG_STR,
     AT(currency)},
    {.name = "--tariffs",
     .value = "FILE",
     .help = "The book of tariffs that servers have: money is in its currency",
     .kind = DYNO_FLAG_STR,
     AT(tariffs)},
    {.name = "--period",
     .value = "day|month|none",
     .help = "When it is full again, in UTC; none: prepaid, until it is topped up",
     .kind = DYNO_FLAG_STR,
     AT(period)},
    {.name = "--model",
     .value = "NAME",
     .help = "For requests of this model; without it, of all",
     .kind = DYNO_FLAG_STR,
     AT(model)},
    {.name = "--class",
     .value = "NAME",
     .help = "For requests of this service class; without it, of all",
     .kind = DYNO_FLAG_STR,
     AT(class_name)},
    {.name = "--hard",
     .help = "set: requests are refused when it is used up, as by new budgets",
     .kind = DYNO_FLAG_BOOL,
     AT(hard)},
    {.name = "--soft", .help = "set: it only alerts", .kind = DYNO_FLAG_BOOL, AT(soft)},
    {.name = "--alerts",
     .value = "LIST",
     .help = "set: percents at which servers log a line, once a period, as 50,80,100, or none; new "
             "budgets have 80,100",
     .kind = DYNO_FLAG_STR,
     AT(alerts)},
    {.name = "--id",
     .value = "N",
     .help = "topup, remove: this one of the tenant's budgets",
     .kind = DYNO_FLAG_INT,
     AT(id),
     .fallback = NOT_GIVEN,
     .min = 1,
     .max = 9007199254740991.0},
    {.name = "--over",
     .value = "PERCENT",
     .help = "list: those that are used to so much, or more",
     .kind = DYNO_FLAG_INT,
     AT(over),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_BUDGET_PERCENT_MAX},
    {.name = "--ledger",
     .value = "DIR",
     .help = "reconcile: of the node that does not come back",
     .kind = DYNO_FLAG_STR,
     AT(ledger)},
    {.name = "--node",
     .value = "N",
     .help = "reconcile: its number",
     .kind = DYNO_FLAG_INT,
     AT(node),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = 4294967295.0},
    {.name = "--factors",
     .value = "FILE",
     .help = "reconcile: the table that ties devices, where its server had one",
     .kind = DYNO_FLAG_STR,
     AT(factors)},
    {.name = "--certificates",
     .value = "DIR",
     .help = "reconcile: folder of the certificates that its records cite, where there are budgets "
             "of money",
     .kind = DYNO_FLAG_STR,
     AT(certificates)},
    DYNO_FLAG_JSON(options),
};

/* One call of the program. */
struct work {
    const struct options *options;
    const char *name; /* of a tenant; NULL: all, or every */
    struct dyno_control *control;
    struct dyno_lease_store *store; /* what was used */
    struct dyno_arena *arena;
    struct dyno_tenant_budget budget; /* scope and values that were given */
    uint32_t fields;
    bool has_amount, has_term, is_reconciling;
};

/* --- flags into values --- */

static enum dyno_status take_epu(struct work *work, struct dyno_err *err)
{
    int64_t nano = 0;
    DYNO_TRY(dyno_decimal_parse(work->options->epu_hours, 9, "--epu-hours", &nano, err));
    if (nano < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--epu-hours=%s is negative", work->options->epu_hours);
    if (nano > DYNO_BUDGET_AMOUNT_MAX / 3600)
        return DYNO_FAIL(err, DYNO_E_ARG, "--epu-hours=%s: a budget is at most 1,111,111",
                         work->options->epu_hours);
    memcpy(work->budget.unit, DYNO_BUDGET_EPU, sizeof(work->budget.unit));
    work->budget.amount = nano * 3600; /* an EPU-hour is 3.6e12 reference-ns */
    return DYNO_OK;
}

/* What the book says, and what was said, must be one. */
static enum dyno_status take_currency(struct work *work, struct dyno_err *err)
{
    const struct dyno_tariff_book *book = NULL;
    const char *code = work->options->currency;
    if (work->options->tariffs != NULL) {
        DYNO_TRY(dyno_bill_book(work->options->tariffs, work->arena, &book, err));
        const char *own = book->tariff_count > 0 ? book->tariffs[0].currency->code : code;
        if (code != NULL && own != NULL && strcmp(code, own) != 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "--currency=%s: the book of tariffs is in %s", code,
                             own);
        code = own;
    }
    if (code == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--money wants --currency=CODE, or --tariffs=FILE");
    if (dyno_currency_find(code) == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--currency=%.16s: there is no such currency", code);
    memcpy(work->budget.unit, code, sizeof(work->budget.unit));
    return DYNO_OK;
}

static enum dyno_status take_money(struct work *work, struct dyno_err *err)
{
    DYNO_TRY(dyno_decimal_parse(work->options->money, 9, "--money", &work->budget.amount, err));
    if (work->budget.amount < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--money=%s is negative", work->options->money);
    if (work->budget.amount > DYNO_BUDGET_AMOUNT_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "--money=%s: a budget is at most 4,000,000,000",
                         work->options->money);
    return take_currency(work, err);
}

static enum dyno_status take_amount(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    if (options->epu_hours != NULL && options->money != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --epu-hours or --money");
    if (options->money == NULL &&
        (options->currency != NULL || (options->tariffs != NULL && !work->is_reconciling)))
        return DYNO_FAIL(err, DYNO_E_ARG, "--currency and --tariffs want --money");
    work->has_amount = options->epu_hours != NULL || options->money != NULL;
    if (options->epu_hours != NULL)
        return take_epu(work, err);
    return options->money != NULL ? take_money(work, err) : DYNO_OK;
}

static enum dyno_status take_flags(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    struct dyno_tenant_budget *budget = &work->budget;
    *budget = (struct dyno_tenant_budget){
        .tenant_name = work->name != NULL ? work->name : "",
        .model = options->model != NULL ? options->model : "",
        .class_name = options->class_name != NULL ? options->class_name : "",
        .is_hard = !options->soft};
    if (options->soft && options->hard)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --soft or --hard");
    if ((options->model != NULL && options->model[0] == 0) ||
        (options->class_name != NULL && options->class_name[0] == 0))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--model and --class want a name: without them a budget "
                         "is for all");
    DYNO_TRY(take_amount(work, err));
    work->has_term = options->period != NULL;
    if (options->period != NULL)
        DYNO_TRY(dyno_term_parse(options->period, &budget->term, err));
    const char *alerts = options->alerts != NULL ? options->alerts : "80,100";
    DYNO_TRY(dyno_alerts_parse(strcmp(alerts, "none") == 0 ? "" : alerts, budget, err));
    work->fields = (work->has_amount ? DYNO_BUDGET_AMOUNT : 0U) |
                   (options->soft || options->hard ? DYNO_BUDGET_HARD : 0U) |
                   (options->alerts != NULL ? DYNO_BUDGET_ALERTS : 0U);
    return DYNO_OK;
}

/* --- actions --- */

static enum dyno_status report(const struct work *work, const char *tenant, int64_t id,
                               struct dyno_err *err)
{
    const struct dyno_quota_report report = {.tenant = tenant,
                                             .id = id,
                                             .over = work->options->over,
                                             .is_table = tenant == NULL && id == 0,
                                             .is_json = work->options->json};
    return dyno_quota_report_print(work->control, work->store, &report, work->arena, err);
}

static enum dyno_status set(struct work *work, struct dyno_err *err)
{
    int64_t id = 0;
    if (work->name == NULL && !work->options->every)
        return DYNO_FAIL(err, DYNO_E_ARG, "set wants the name of a tenant, or --every");
    if (work->name != NULL && work->options->every)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either the name of a tenant or --every");
    if (!work->has_amount)
        return DYNO_FAIL(err, DYNO_E_ARG, "set wants --epu-hours=N or --money=N");
    if (!work->has_term)
        return DYNO_FAIL(err, DYNO_E_ARG, "set wants --period=day, month or none");
    DYNO_TRY(dyno_control_set_budget(work->control, &work->budget, work->fields, &id, err));
    return report(work, work->name, id, err);
}

static enum dyno_status show(struct work *work, struct dyno_err *err)
{
    return report(work, work->name, 0, err);
}

/* The one budget of a tenant that the flags name. */
static enum dyno_status find_one(const struct work *work, int64_t *id_out, struct dyno_err *err)
{
    const struct options *options = work->options;
    struct dyno_tenant_budget *budgets = NULL;
    size_t count = 0;
    size_t found = 0;
    DYNO_TRY(
        dyno_control_read_budgets(work->control, work->name, work->arena, &budgets, &count, err));
    for (size_t i = 0; i < count; i++) {
        const struct dyno_tenant_budget *at = &budgets[i];
        if ((options->every ? at->tenant != 0 : at->tenant == 0) ||
            (options->id > 0 && at->id != options->id) ||
            (options->model != NULL && strcmp(at->model, options->model) != 0) ||
            (options->class_name != NULL && strcmp(at->class_name, options->class_name) != 0) ||
            (work->has_term && at->term != work->budget.term) ||
            (work->has_amount && strcmp(at->unit, work->budget.unit) != 0))
            continue;
        *id_out = at->id;
        found++;
    }
    const char *whose = options->every ? "every tenant" : work->name;
    if (found == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s has no such budget", whose);
    return found == 1 ? DYNO_OK
                      : DYNO_FAIL(err, DYNO_E_ARG, "%s has %zu such budgets: say which by --id",
                                  whose, found);
}

static enum dyno_status check_whose(const struct work *work, const char *action,
                                    struct dyno_err *err)
{
    if ((work->name != NULL) == work->options->every)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants the name of a tenant, or --every", action);
    return DYNO_OK;
}

static enum dyno_status top_up(struct work *work, struct dyno_err *err)
{
    int64_t id = 0;
    DYNO_TRY(check_whose(work, "topup", err));
    if (!work->has_amount)
        return DYNO_FAIL(err, DYNO_E_ARG, "topup wants --epu-hours=N or --money=N");
    if (!work->has_term && work->options->id < 0) {
        work->has_term = true; /* what else is there to top up */
        work->budget.term = DYNO_TERM_NONE;
    }
    DYNO_TRY(find_one(work, &id, err));
    DYNO_TRY(dyno_control_top_up(work->control, id, work->budget.amount, err));
    return report(work, work->name, id, err);
}

static enum dyno_status remove_one(struct work *work, struct dyno_err *err)
{
    int64_t id = 0;
    DYNO_TRY(check_whose(work, "remove", err));
    DYNO_TRY(find_one(work, &id, err));
    DYNO_TRY(dyno_control_remove_budget(work->control, id, err));
    printf(work->options->json ? "{\n  \"removed\": %lld\n}\n" : "budget %lld is removed\n",
           (long long)id);
    return DYNO_OK;
}

static enum dyno_status reconcile(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    const struct dyno_quota_options quota = {.control_db = options->control_db,
                                             .budget_db = options->budget_db,
                                             .tariffs = options->tariffs,
                                             .ledger = options->ledger,
                                             .certificates = options->certificates,
                                             .factors = options->factors,
                                             .node = (uint32_t)options->node};
    if (options->ledger == NULL || options->node < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "reconcile wants --ledger=DIR and --node=N");
    DYNO_TRY(dyno_cli_reconcile(work->control, &quota, work->arena, err));
    printf(options->json ? "{\n  \"reconciled\": %lld\n}\n"
                         : "node %lld: its ledger is counted, and it leases nothing\n",
           (long long)options->node);
    return DYNO_OK;
}

/* --- the command --- */

static const struct action {
    const char *name;
    enum dyno_status (*run)(struct work *work, struct dyno_err *err);
    bool wants_name, takes_name, takes_values, takes_amount, takes_id, takes_over, takes_ledger;
} actions[] = {
    {.name = "set", .run = set, .takes_name = true, .takes_values = true, .takes_amount = true},
    {.name = "list", .run = show, .takes_over = true},
    {.name = "show", .run = show, .wants_name = true, .takes_name = true, .takes_over = true},
    {.name = "topup", .run = top_up, .takes_name = true, .takes_amount = true, .takes_id = true},
    {.name = "remove",
     .run = remove_one,
     .takes_name = true,
     .takes_amount = true,
     .takes_id = true},
    {.name = "reconcile", .run = reconcile, .takes_ledger = true},
};

static enum dyno_status find_action(const struct options *options, const struct action **action_out,
                                    struct dyno_err *err)
{
    const char *name = options->positional.items[0];
    *action_out = NULL;
    for (size_t i = 0; i < DYNO_COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            *action_out = &actions[i];
    if (*action_out == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "it knows set, list, show, topup, remove and reconcile, not '%s'", name);
    const bool has_name = options->positional.count > 1;
    if (has_name && !(*action_out)->takes_name)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s is of all tenants and takes no name", name);
    if (!has_name && (*action_out)->wants_name)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants the name of a tenant", name);
    return DYNO_OK;
}

static enum dyno_status check_flags(const struct action *action, const struct work *work,
                                    struct dyno_err *err)
{
    const struct options *options = work->options;
    if (options->control_db == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--control-db=FILE is missing");
    if (!action->takes_values && (options->soft || options->hard || options->alerts != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --soft, --hard or --alerts: that is set",
                         action->name);
    if (!action->takes_amount && (work->has_amount || work->has_term || options->every ||
                                  options->model != NULL || options->class_name != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no budget: that is set", action->name);
    if (!action->takes_id && options->id > 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --id", action->name);
    if (!action->takes_ledger && (options->ledger != NULL || options->certificates != NULL ||
                                  options->factors != NULL || options->node >= 0))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s takes no --ledger, --node, --certificates or --factors", action->name);
    if (!action->takes_over && options->over >= 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --over", action->name);
    return DYNO_OK;
}

static enum dyno_status prepare(struct work *work, const struct action *action,
                                struct dyno_err *err)
{
    work->name = work->options->positional.count > 1 ? work->options->positional.items[1] : NULL;
    work->arena = dyno_arena_create();
    if (work->arena == NULL)
        return DYNO_NOMEM(err);
    work->is_reconciling = action->takes_ledger;
    DYNO_TRY(take_flags(work, err));
    DYNO_TRY(check_flags(action, work, err));
    const struct options *options = work->options;
    DYNO_TRY(dyno_control_open(options->control_db, false, BUSY_MS, &work->control, err));
    DYNO_TRY(options->budget_db != NULL
                 ? dyno_lease_open_pg(options->budget_db, NULL, &work->store, err)
                 : dyno_lease_open_control(options->control_db, BUSY_MS, &work->store, err));
    return action->run(work, err);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct action *action = NULL;
    struct work work = {.options = opaque};
    DYNO_TRY(find_action(work.options, &action, err));
    const enum dyno_status status = prepare(&work, action, err);
    dyno_lease_close(work.store);
    dyno_control_close(work.control);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_quota = {
    .name = "quota",
    .summary = "Budgets of tenants, in EPU-hours or money: set, shown, topped up",
    .positional = "set|list|show|topup|remove|reconcile [TENANT]",
    .positional_min = 1,
    .positional_max = 2,
    .text =
        "set makes the budget of a tenant, model, class, unit and period, or changes it; topup "
        "adds to a prepaid one; reconcile frees what a server that does not come back had leased, after "
        "counting its ledger. Servers (dyno serve --control-db --ledger) reserve before a "
        "request runs, refuse what is not left, and post what it was; what is changed is in "
        "force within a second. What is shown as used is some seconds late while servers run.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
