/* ledger_ship.c - dyno ledger ship: a ledger's files into the fleet, by hand. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/progress.h"
#include "cli/ledger_command.h"
#include "meter/fleet/ship.h"

static enum dyno_status ship_all(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                 struct dyno_progress *progress, struct dyno_err *err)
{
    const struct dyno_shipped *shipped = dyno_shipper_shipped(shipper);
    DYNO_TRY(dyno_shipper_begin(shipper, fleet, err));
    for (;;) {
        const uint64_t groups = shipped->groups;
        bool is_all = false;
        DYNO_TRY(dyno_shipper_read(shipper, err));
        DYNO_TRY(dyno_shipper_send(shipper, fleet, &is_all, err));
        dyno_progress_step(progress, shipped->groups - groups, "");
        if (is_all)
            return DYNO_OK;
    }
}

static enum dyno_status print(const struct dyno_shipped *shipped, bool as_json,
                              struct dyno_err *err)
{
    if (!as_json) {
        printf("shipped %" PRIu64 " groups with %" PRIu64 " records: the fleet has node %" PRIu32
               " up to record %" PRIu32 "-%" PRIu32 "-%" PRIu64 "\n",
               shipped->groups, shipped->records, shipped->node, shipped->node, shipped->epoch,
               shipped->seq);
        return DYNO_OK;
    }
    const struct dyno_ledger_number rows[] = {{"node", shipped->node},
                                              {"groups", shipped->groups},
                                              {"records", shipped->records},
                                              {"epoch", shipped->epoch},
                                              {"seq", shipped->seq}};
    return dyno_ledger_print_numbers(rows, DYNO_COUNT(rows), err);
}

enum dyno_status dyno_ledger_run_ship(struct dyno_ledger_work *work, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    const struct dyno_fleet_options to = {
        .conninfo = options->fleet, .timeout_ms = 60000, .writes = true};
    const struct dyno_cli_list *given = &options->positional;
    struct dyno_shipper *shipper = NULL;
    struct dyno_fleet *fleet = NULL;
    struct dyno_progress progress;
    if (options->fleet == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--fleet-ledger=CONNINFO is missing");
    if (given->count < 2)
        return DYNO_FAIL(err, DYNO_E_ARG, "ship wants the folder of a ledger, or files of one");
    DYNO_TRY(dyno_shipper_create(given->items + 1, given->count - 1, &shipper, err));
    enum dyno_status status = dyno_fleet_open(&to, &fleet, err);
    if (status == DYNO_OK) {
        dyno_progress_begin(&progress, "ship", 0);
        status = ship_all(shipper, fleet, &progress, err);
        dyno_progress_end(&progress);
    }
    if (status == DYNO_OK)
        status = print(dyno_shipper_shipped(shipper), options->json, err);
    dyno_fleet_close(fleet);
    dyno_shipper_destroy(shipper);
    return status;
}
