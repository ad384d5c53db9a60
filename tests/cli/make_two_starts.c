/* make_two_starts.c - a ledger for the cases of test_ledger.py.
 *
 *     make_two_starts FOLDER NODE RECORDS UNSENT SEGMENT_RECORDS [KEY.pem]
 *
 * Two starts; the answers of the last UNSENT records of the second have not left, and one record of
 * the first is void.
 */
#include "../unit/meter/ledger_case.h"

static void append_void(struct dyno_ledger *ledger, uint64_t seq)
{
    struct case_entry gone = {.entry = {.record = {.kind = DYNO_RECORD_VOID}, .done = case_done}};
    sem_t done;
    REQUIRE(sem_init(&done, 0, 0) == 0);
    gone.done = &done;
    gone.entry.record.voids = (struct dyno_record_id){0, dyno_ledger_epoch(ledger), seq};
    dyno_ledger_append(ledger, &gone.entry);
    REQUIRE(sem_wait(&done) == 0);
    (void)sem_destroy(&done);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    const uint64_t records = strtoull(argv[3], NULL, 10);
    const uint64_t unsent = strtoull(argv[4], NULL, 10);
    const struct dyno_ledger_options options = {
        .folder = argv[1],
        .node = (uint32_t)strtoul(argv[2], NULL, 10),
        .group_records_max = 32,
        .segment_records_max = strtoull(argv[5], NULL, 10),
        .key_path = argc > 6 ? argv[6] : NULL,
    };
    struct dyno_ledger *ledger = case_open(&options);
    printf("%u\n", (unsigned)dyno_ledger_epoch(ledger));
    case_append(ledger, 0, records, true);
    append_void(ledger, 2);
    case_close(ledger);
    ledger = case_open(&options);
    printf("%u\n", (unsigned)dyno_ledger_epoch(ledger));
    case_append(ledger, records, records - unsent, true);
    if (unsent > 0)
        case_append(ledger, 2 * records - unsent, unsent, false);
    case_close(ledger);
    return test_fail_count == 0 ? 0 : 1;
}
