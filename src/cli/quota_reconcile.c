/* quota_reconcile.c - as its server would start and end. */
#include "cli/quota_reconcile.h"

#include <sys/stat.h>

#include "control/budget.h"
#include "meter/ledger/ledger.h"
#include "meter/ledger/reader.h"

static enum dyno_status make_counters(struct dyno_control *control, struct dyno_quota *quota,
                                      struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_counter *counters[2 * DYNO_TENANT_BUDGETS_MAX];
    struct dyno_tenant *tenants = NULL;
    struct dyno_tenant_budget *budgets = NULL;
    size_t count = 0;
    size_t budget_count = 0;
    size_t own = 0;
    DYNO_TRY(dyno_control_read(control, NULL, 0, arena, &tenants, &count, err));
    DYNO_TRY(dyno_control_read_budgets(control, NULL, arena, &budgets, &budget_count, err));
    DYNO_TRY(dyno_quota_check(quota, budgets, budget_count, err));
    for (size_t i = 0; i < count; i++)
        DYNO_TRY(
            dyno_quota_counters(quota, &tenants[i], budgets, budget_count, counters, &own, err));
    return DYNO_OK;
}

/* While the ledger is open nobody else writes it. */
enum dyno_status dyno_cli_reconcile(struct dyno_control *control,
                                    const struct dyno_quota_options *options,
                                    struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_ledger_options ledger_options = {.folder = options->ledger,
                                                       .node = options->node};
    struct dyno_ledger *ledger = NULL;
    struct dyno_quota *quota = NULL;
    struct dyno_err late = {0};
    const char *const folders[] = {options->ledger};
    const char **paths = NULL;
    size_t path_count = 0;
    struct stat info;
    /* Opening one that is not there would make it. */
    if (stat(options->ledger, &info) != 0 || !S_ISDIR(info.st_mode))
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "\"%s\" is no folder of a ledger", options->ledger);
    DYNO_TRY(dyno_ledger_paths(folders, 1, arena, &paths, &path_count, err));
    enum dyno_status status = dyno_quota_create(options, &quota, err);
    if (status == DYNO_OK)
        status = make_counters(control, quota, arena, err);
    if (status == DYNO_OK)
        status = dyno_ledger_open(&ledger_options, &ledger, err);
    if (status == DYNO_OK)
        status = dyno_quota_reconcile(quota, dyno_ledger_epoch(ledger), err);
    dyno_quota_destroy(quota);
    if (dyno_ledger_close(ledger, &late) != DYNO_OK && status == DYNO_OK)
        status = DYNO_FAIL(err, late.status, "%s", late.text);
    return status;
}
