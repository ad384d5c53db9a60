/* quota_report.h - what budgets have, and what of them is used, as dyno quota tells it. */
#ifndef DYNO_CLI_QUOTA_REPORT_H
#define DYNO_CLI_QUOTA_REPORT_H

#include "base/arena.h"
#include "control/lease.h"

struct dyno_quota_report {
    const char *tenant; /* NULL: all */
    int64_t id;         /* of one budget; 0: all */
    int64_t over;       /* percent used at least; below 0: any */
    bool is_table;      /* a line each */
    bool is_json;
};

/* To standard output; the store says what is used. */
enum dyno_status dyno_quota_report_print(struct dyno_control *control,
                                         struct dyno_lease_store *store,
                                         const struct dyno_quota_report *report,
                                         struct dyno_arena *arena, struct dyno_err *err);

#endif /* DYNO_CLI_QUOTA_REPORT_H */
