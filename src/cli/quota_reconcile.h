/* quota_reconcile.h - the budgets of a node that does not come back. */
#ifndef DYNO_CLI_QUOTA_RECONCILE_H
#define DYNO_CLI_QUOTA_RECONCILE_H

#include "base/arena.h"
#include "control/control.h"
#include "quota/quota.h"

/* Count what the ledger of options->node has, and give back what the node had leased.  E_BUSY: a
 * server writes that ledger; errors of dyno_ledger_open and dyno_quota_reconcile. */
enum dyno_status dyno_cli_reconcile(struct dyno_control *control,
                                    const struct dyno_quota_options *options,
                                    struct dyno_arena *arena, struct dyno_err *err);

#endif /* DYNO_CLI_QUOTA_RECONCILE_H */
