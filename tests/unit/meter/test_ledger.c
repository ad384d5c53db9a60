/* test_ledger.c - a ledger is written, by many threads, across starts and files, and verifies. */
#include <fcntl.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/le.h"
#include "ledger_case.h"
#include "random.h"

static void check_good(const char *path, struct dyno_verify_report *report)
{
    struct dyno_err err = {0};
    CHECK_MSG(case_verify(path, report, &err) == DYNO_OK, "%s", err.text);
}

static void test_one(void)
{
    struct dyno_verify_report report;
    const struct dyno_ledger_options options = case_options();
    struct dyno_ledger *ledger = case_open(&options);
    struct dyno_ledger *second = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_ledger_admits(ledger));
    CHECK(dyno_ledger_open(&options, &second, &err) == DYNO_E_BUSY && second == NULL);
    CHECK(strstr(err.text, "another process writes") != NULL);
    case_append(ledger, 0, 1000, true);
    CHECK(dyno_ledger_durable_seq(ledger) == 1000);
    check_good(case_folder, &report); /* while it is open */
    CHECK(report.records == 1000 && report.usage == 1000 && !report.has_end);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.records == 1000 && report.epochs == 1 && report.unconfirmed == 0);
    CHECK(report.heads == 2 && report.signed_heads == 0 && report.has_end && report.node == 7);
    dyno_u128 device_ns = 0;
    for (uint64_t n = 0; n < 1000; n++)
        device_ns += 2000000 + n;
    CHECK(report.device_ns == device_ns);
}

/* Epochs grow also when the clock goes back; a ledger belongs to one node. */
static uint64_t set_clock(void *arg)
{
    return *(const uint64_t *)arg;
}

static void test_starts(void)
{
    struct dyno_verify_report report;
    uint64_t now_ns = 1764401000000000000;
    struct dyno_ledger_options options = case_options();
    uint32_t last_epoch = 0;
    case_clear();
    options.now_ns = set_clock;
    options.arg = &now_ns;
    for (int i = 0; i < 4; i++) {
        struct dyno_ledger *ledger = case_open(&options);
        CHECK(dyno_ledger_epoch(ledger) > last_epoch);
        last_epoch = dyno_ledger_epoch(ledger);
        case_append(ledger, 0, 10, i % 2 == 0);
        now_ns -= 3600000000000; /* an hour back, while it is open */
        case_append(ledger, 10, 10, i % 2 == 0);
        case_close(ledger);
    }
    CHECK(last_epoch == 1764401003);
    check_good(case_folder, &report);
    CHECK(report.epochs == 4 && report.files == 4 && report.records == 80);
    CHECK(report.unconfirmed == 40 && report.heads == 8);
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    options.node = 8;
    CHECK(dyno_ledger_open(&options, &ledger, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "is of node 7, not of node 8") != NULL);
}

/* Files of a few records each: one epoch goes on over them. */
static void test_files(void)
{
    char path[160];
    struct dyno_verify_report report;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.segment_records_max = 50;
    options.group_records_max = 16;
    struct dyno_ledger *ledger = case_open(&options);
    for (uint64_t n = 0; n < 10; n++)
        case_append(ledger, 30 * n, 30, true);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.records == 300 && report.epochs == 1 && report.files >= 4);
    CHECK(report.heads == report.files + 1 && report.unconfirmed == 0);
    for (uint32_t number = 1; number <= report.files; number++) { /* each verifies alone */
        struct dyno_verify_report one;
        case_segment(number, path);
        check_good(path, &one);
        CHECK(one.has_end && one.heads == (number == 1 ? 2 : 1) && one.files == 1);
    }
    case_segment(2, path); /* a file that is gone is missed */
    CHECK(unlink(path) == 0);
    struct dyno_err err = {0};
    CHECK(case_verify(case_folder, &report, &err) == DYNO_E_MISMATCH);
    CHECK_MSG(strstr(err.text, "which does not follow file 1") != NULL, "%s", err.text);
}

/* Servers with little to do have a record a group: those files end sooner. */
static void test_many_groups(void)
{
    struct dyno_verify_report report;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.group_records_max = 1;
    options.segment_groups_max = 10;
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 50, true);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.records == 50 && report.files >= 5);
}

/* --- many threads --- */

#define THREADS   4
#define PER_ROUND 64
#define ROUNDS    20

struct client {
    pthread_t thread;
    struct dyno_ledger *ledger;
    uint64_t first;
    bool is_listing; /* hands over a list, and is told one */
    uint64_t seqs[PER_ROUND * ROUNDS];
};

static void *append_rounds(void *opaque)
{
    struct client *client = opaque;
    sem_t done;
    static _Thread_local struct case_entry entries[PER_ROUND];
    if (sem_init(&done, 0, 0) != 0)
        return NULL;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < PER_ROUND; i++) {
            entries[i].entry.record =
                case_record(client->ledger, client->first + round * PER_ROUND + i);
            entries[i].entry.done = client->is_listing ? NULL : case_done;
            entries[i].done = &done;
            if (!client->is_listing)
                dyno_ledger_append(client->ledger, &entries[i].entry);
        }
        if (client->is_listing) {
            for (size_t i = 1; i < PER_ROUND; i++)
                entries[i - 1].entry.next = &entries[i].entry;
            dyno_ledger_append(client->ledger, &entries[0].entry);
        }
        for (size_t i = 0; i < PER_ROUND; i++)
            while (sem_wait(&done) != 0)
                ;
        uint64_t *seqs = &client->seqs[round * PER_ROUND];
        for (size_t i = 0; i < PER_ROUND; i++) /* in no order of theirs */
            seqs[i] = entries[(i * 37) % PER_ROUND].entry.record.id.seq;
        if (client->is_listing)
            (void)dyno_ledger_sent(client->ledger, seqs, PER_ROUND, NULL);
        for (size_t i = 0; i < PER_ROUND && !client->is_listing; i++)
            (void)dyno_ledger_sent(client->ledger, &seqs[i], 1, NULL);
    }
    (void)sem_destroy(&done);
    return NULL;
}

static void tell_list(void *arg, struct dyno_ledger_entry *entries)
{
    (void)arg;
    while (entries != NULL) {
        struct dyno_ledger_entry *next = entries->next; /* case_done gives it back */
        entries->next = NULL;
        case_done(entries);
        entries = next;
    }
}

static void test_threads(void)
{
    static struct client clients[THREADS];
    static bool seen[THREADS * PER_ROUND * ROUNDS + 1];
    struct dyno_verify_report report;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.segment_records_max = 2000;
    options.told = tell_list;
    struct dyno_ledger *ledger = case_open(&options);
    for (size_t i = 0; i < THREADS; i++) {
        clients[i].ledger = ledger;
        clients[i].is_listing = i % 2 == 0;
        clients[i].first = 100000 * i;
        REQUIRE(pthread_create(&clients[i].thread, NULL, append_rounds, &clients[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(clients[i].thread, NULL) == 0);
    case_close(ledger);
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < PER_ROUND * ROUNDS; k++) { /* dense: each number once */
            const uint64_t seq = clients[i].seqs[k];
            REQUIRE(seq >= 1 && seq <= THREADS * PER_ROUND * ROUNDS);
            CHECK(!seen[seq]);
            seen[seq] = true;
        }
    check_good(case_folder, &report);
    CHECK(report.records == THREADS * PER_ROUND * ROUNDS && report.unconfirmed == 0);
    CHECK(report.files > 1);
}

/* --- answers that have not left --- */

static void test_sent(void)
{
    struct dyno_verify_report report;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.sent_interval_ns = 1000000;
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 3000, false);
    for (uint64_t seq = 3000; seq >= 2; seq--) /* all but the first: far ahead of the watermark */
        CHECK(dyno_ledger_sent(ledger, &seq, 1, NULL) == DYNO_OK);
    case_append(ledger, 3000, 1, false);
    check_good(case_folder, &report);
    CHECK(report.unconfirmed == 3001);
    CHECK(dyno_ledger_sent(ledger, &(uint64_t){1}, 1, NULL) == DYNO_OK);
    for (int i = 0; i < 2000 && report.unconfirmed != 1;
         i++) { /* told by itself, without records */
        (void)usleep(1000);
        check_good(case_folder, &report);
    }
    CHECK(report.unconfirmed == 1);
    /* The answer of the last one cannot leave: that is a record, and settles it. */
    struct case_entry gone = {.entry = {.record = {.kind = DYNO_RECORD_VOID}, .done = case_done}};
    sem_t done;
    CHECK(sem_init(&done, 0, 0) == 0);
    gone.done = &done;
    gone.entry.record.voids =
        (struct dyno_record_id){0, dyno_ledger_epoch(ledger), dyno_ledger_durable_seq(ledger)};
    dyno_ledger_append(ledger, &gone.entry);
    CHECK(sem_wait(&done) == 0);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.unconfirmed == 0 && report.voids == 1 && report.records == 3002);
    (void)sem_destroy(&done);
}

/* --- names --- */

static void test_names(void)
{
    struct dyno_err err = {0};
    const struct dyno_ledger_options options = case_options();
    char text[DYNO_NAME_BYTES_MAX + 2];
    uint32_t first = 0;
    uint32_t again = 0;
    case_clear();
    struct dyno_ledger *ledger = case_open(&options);
    for (uint32_t i = 0; i < 5000; i++) { /* over several chunks */
        (void)snprintf(text, sizeof(text), "tenant-%u", (unsigned)i);
        CHECK(dyno_ledger_name(ledger, DYNO_NAME_TENANT, text, &first, NULL) == DYNO_OK);
        CHECK(first == i + 1);
    }
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_TENANT, "tenant-77", &again, NULL) == DYNO_OK);
    CHECK(again == 78);
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_MODEL, "tenant-77", &again, NULL) == DYNO_OK);
    CHECK(again == 5001); /* a model of that name is something else */
    memset(text, 'x', sizeof(text));
    text[DYNO_NAME_BYTES_MAX + 1] = 0;
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_MODEL, text, &again, &err) == DYNO_E_ARG);
    CHECK(strstr(err.text, "1 to 255 bytes") != NULL);
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_MODEL, "", &again, NULL) == DYNO_E_ARG);
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_MODEL, "a\nb", &again, NULL) == DYNO_E_ARG);
    CHECK(dyno_ledger_name(ledger, DYNO_NAME_MODEL, "\xff", &again, NULL) == DYNO_E_ARG);
    case_close(ledger);
}

/* More new names than a group may have: they go into the next one. */
static void test_many_names(void)
{
    struct dyno_verify_report report;
    const struct dyno_ledger_options options = case_options();
    static struct case_entry entries[3000];
    char text[256];
    sem_t done;
    case_clear();
    struct dyno_ledger *ledger = case_open(&options);
    CHECK(sem_init(&done, 0, 0) == 0);
    for (size_t i = 0; i < DYNO_COUNT(entries); i++) {
        entries[i].entry.record = case_record(ledger, i);
        (void)snprintf(text, sizeof(text), "%0250zu", i);
        CHECK(dyno_ledger_name(ledger, DYNO_NAME_TENANT, text, &entries[i].entry.record.names[0],
                               NULL) == DYNO_OK);
        entries[i].entry.done = case_done;
        entries[i].done = &done;
    }
    for (size_t i = 0; i < DYNO_COUNT(entries); i++)
        dyno_ledger_append(ledger, &entries[i].entry);
    for (size_t i = 0; i < DYNO_COUNT(entries); i++)
        CHECK(sem_wait(&done) == 0);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.records == DYNO_COUNT(entries) && report.groups > 4);
    (void)sem_destroy(&done);
}

/* --- heads, as they are published --- */

/* Somebody who has nothing but the heads, in the order in which they were made. */
struct watcher {
    bool has_head;
    struct dyno_head last;
    uint64_t count, wrong;
};

static void watch(void *arg, const struct dyno_head *head, const uint8_t *bytes,
                  const uint8_t *proof, size_t proof_bytes)
{
    struct watcher *watcher = arg;
    struct dyno_frontier before;
    struct dyno_frontier after;
    struct dyno_digest root;
    struct dyno_head decoded;
    bool ok = dyno_head_decode(bytes, DYNO_HEAD_BYTES, &decoded, NULL) == DYNO_OK &&
              decoded.group_count == head->group_count &&
              dyno_head_proof_decode(proof, proof_bytes, head->group_count, &before, &after,
                                     NULL) == DYNO_OK;
    dyno_frontier_root(&after, &root);
    ok = ok && dyno_digest_equal(&root, &decoded.root);
    dyno_frontier_root(&before, &root);
    ok = ok && (watcher->has_head ? before.count == watcher->last.group_count &&
                                        dyno_digest_equal(&root, &watcher->last.root)
                                  : before.count == 0);
    watcher->wrong += !ok;
    watcher->last = decoded;
    watcher->has_head = true;
    watcher->count++;
}

static void test_watcher(void)
{
    struct watcher watcher = {0};
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.on_head = watch;
    options.arg = &watcher;
    options.head_interval_ns = 1; /* after each group or so */
    options.segment_records_max = 40;
    for (uint64_t i = 0; i < 4; i++) {
        struct dyno_ledger *ledger = case_open(&options);
        for (uint64_t k = 0; k < 10; k++)
            case_append(ledger, 10 * k, 10, true);
        case_close(ledger);
    }
    CHECK_MSG(watcher.wrong == 0, "%llu of %llu heads do not go on from the one before",
              (unsigned long long)watcher.wrong, (unsigned long long)watcher.count);
    CHECK(watcher.count > 40);
    const struct dyno_verify_options verify = {.heads = &watcher.last, .head_count = 1};
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    CHECK_MSG(case_verify_with(case_folder, &verify, &report, &err) == DYNO_OK, "%s", err.text);
    CHECK(report.heads == watcher.count && report.seen_heads == 1);
}

/* --- readers --- */

/* One that stops in the middle of a group holds nobody up, and reads on what came since. */
static void test_reader(void)
{
    char path[160];
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_group group;
    bool found = false;
    uint64_t records = 0;
    const struct dyno_ledger_options options = case_options();
    case_clear();
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 10, true);
    case_segment(1, path);
    REQUIRE(dyno_ledger_file_open(path, &file, NULL) == DYNO_OK);
    CHECK(dyno_ledger_file_group(file, 1, &group, &found, NULL) == DYNO_OK && found);
    const uint64_t seq = group.group.first_seq;
    for (uint64_t i = 0; i < 20; i++) /* more than the log may hold, so it is moved, too */
        case_append(ledger, 10 + 4096 * i, 4096, true);
    CHECK(dyno_le_u64(group.items.records + 16) == seq); /* still there */
    for (uint64_t number = 0; found;) {
        CHECK(dyno_ledger_file_group(file, number, &group, &found, NULL) == DYNO_OK);
        records += found ? group.items.record_count : 0;
        number = group.group.number + 1;
    }
    CHECK(records == 10 + 20 * 4096);
    dyno_ledger_file_close(file);
    case_close(ledger);
}

static bool has_file(uint32_t number, const char *ending)
{
    char path[160];
    char name[176];
    case_segment(number, path);
    (void)snprintf(name, sizeof(name), "%s%s", path, ending);
    return access(name, F_OK) == 0;
}

/* Nor does one that has a file open when it is closed: it keeps its log until a later start. */
static void test_reader_of_closed(void)
{
    char path[160];
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_group group;
    struct dyno_verify_report report;
    bool found = false;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.segment_records_max = 10;
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 10, true);
    case_segment(1, path);
    REQUIRE(dyno_ledger_file_open(path, &file, NULL) == DYNO_OK);
    CHECK(dyno_ledger_file_group(file, 1, &group, &found, NULL) == DYNO_OK && found);
    const uint64_t start_ns = dyno_clock_ns();
    case_append(ledger, 10, 10, true); /* into the next file */
    CHECK(dyno_clock_ns() - start_ns < 2000000000);
    CHECK(has_file(2, "") && has_file(1, "-wal"));
    check_good(case_folder, &report);
    CHECK(report.records == 20);
    dyno_ledger_file_close(file);
    case_close(ledger);
    ledger = case_open(&options);
    case_close(ledger);
    CHECK(!has_file(1, "-wal") && !has_file(2, "-wal"));
    check_good(case_folder, &report);
    CHECK(report.records == 20);
}

/* --- what a broken-off start leaves --- */

static void test_unfinished(void)
{
    char path[160];
    struct dyno_verify_report report;
    const struct dyno_ledger_options options = case_options();
    case_clear();
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 5, true);
    case_close(ledger);
    case_segment(2, path); /* made, and nothing written */
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
    check_good(case_folder, &report); /* readers do not mind it */
    CHECK(report.files == 1 && report.records == 5);
    ledger = case_open(&options);
    case_append(ledger, 5, 5, true);
    case_close(ledger);
    check_good(case_folder, &report);
    CHECK(report.files == 2 && report.records == 10 && report.epochs == 2);
    case_segment(2, path);
    CHECK(truncate(path, 5000) == 0); /* damaged: a person must look */
    struct dyno_err err = {0};
    CHECK(dyno_ledger_open(&options, &ledger, &err) != DYNO_OK && ledger == NULL);
    CHECK_MSG(strstr(err.text, "00000002.ledger") != NULL, "%s", err.text);
}

static void test_out_of_memory(void)
{
    const struct dyno_ledger_options options = case_options();
    case_clear();
    int went_well = 0; /* in a row: some allocations of SQLite may fail and nothing happens */
    for (uint64_t nth = 1; went_well < 20; nth++) {
        struct dyno_ledger *ledger = NULL;
        struct dyno_err err = {0};
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_ledger_open(&options, &ledger, &err);
        dyno_mem_fail_at(0);
        CHECK_MSG((status == DYNO_OK) == (ledger != NULL) &&
                      (status == DYNO_OK || err.text[0] != 0),
                  "allocation %llu: %s", (unsigned long long)nth, err.text);
        went_well = status == DYNO_OK ? went_well + 1 : 0;
        if (ledger == NULL)
            continue;
        case_append(ledger, 0, 3, true);
        case_close(ledger);
    }
    struct dyno_verify_report report;
    check_good(case_folder, &report);
    CHECK(report.records >= 3);
}

int main(void)
{
    case_begin();
    test_one();
    test_starts();
    test_files();
    test_many_groups();
    test_threads();
    test_sent();
    test_names();
    test_many_names();
    test_watcher();
    test_reader();
    test_reader_of_closed();
    test_unfinished();
    test_out_of_memory();
    case_end();
    return TEST_RESULT();
}
