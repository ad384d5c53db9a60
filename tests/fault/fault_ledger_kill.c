/* fault_ledger_kill.c - a writer is killed again and again; its parent keeps the ids that it was
 * told.
 *
 *     fault_ledger_kill [KILLS]
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "../unit/meter/ledger_case.h"
#include "../unit/meter/random.h"
#include "meter/ledger/scan.h"

/* One record that the writer has told of: its id, and the number that it carries. */
struct told {
    uint32_t epoch, pad;
    uint64_t seq, number;
};

static int pipe_fd;

/* --- the writer --- */

#define THREADS 3
#define AT_ONCE 8

static void tell(struct dyno_ledger_entry *entry)
{
    const struct told told = {entry->record.id.epoch, 0, entry->record.id.seq,
                              entry->record.queue_ns};
    if (write(pipe_fd, &told, sizeof(told)) != (ssize_t)sizeof(told)) /* whole: below PIPE_BUF */
        _exit(4);
    case_done(entry);
}

struct client {
    struct dyno_ledger *ledger;
    uint64_t number; /* of its next record: unlike all others' */
};

static void *append_for_ever(void *opaque)
{
    struct client *client = opaque;
    struct case_entry entries[AT_ONCE] = {0};
    sem_t done;
    if (sem_init(&done, 0, 0) != 0)
        _exit(4);
    for (;;) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            entries[i].entry.record = case_record(client->ledger, client->number % 1000);
            entries[i].entry.record.queue_ns = client->number++;
            entries[i].entry.done = tell;
            entries[i].done = &done;
            dyno_ledger_append(client->ledger, &entries[i].entry);
        }
        for (size_t i = 0; i < AT_ONCE; i++)
            while (sem_wait(&done) != 0)
                ;
        for (size_t i = 0; i < AT_ONCE; i++)
            (void)dyno_ledger_sent(client->ledger, &entries[i].entry.record.id.seq, 1, NULL);
    }
    return NULL;
}

static _Noreturn void write_for_ever(uint64_t round)
{
    struct client clients[THREADS];
    pthread_t threads[THREADS];
    struct dyno_ledger_options options = case_options();
    options.segment_records_max = 500;
    options.sent_interval_ns = 1000000;
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    if (dyno_ledger_open(&options, &ledger, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        _exit(5);
    }
    for (uint64_t i = 0; i < THREADS; i++) {
        clients[i] = (struct client){ledger, (round * THREADS + i) << 32};
        if (pthread_create(&threads[i], NULL, append_for_ever, &clients[i]) != 0)
            _exit(4);
    }
    for (;;)
        (void)pause();
}

/* --- the parent --- */

static struct told *all;
static size_t all_count, all_room;

static void read_told(int fd)
{
    for (;;) {
        if (all_count + 64 > all_room) {
            all_room = 2 * all_room + 4096;
            all = realloc(all, all_room * sizeof(*all));
            REQUIRE(all != NULL);
        }
        const ssize_t got = read(fd, all + all_count, 64 * sizeof(*all));
        if (got <= 0)
            break;
        REQUIRE((size_t)got % sizeof(*all) == 0);
        all_count += (size_t)got / sizeof(*all);
    }
}

static void run_round(uint64_t round)
{
    int fds[2];
    int how = 0;
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20); /* the writer never waits for us */
    (void)fflush(NULL);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)close(fds[0]);
        pipe_fd = fds[1];
        write_for_ever(round);
    }
    (void)close(fds[1]);
    /* From the first moments of a start to some thousand records. */
    (void)usleep((useconds_t)random_below(random_below(2) == 0 ? 6000 : 25000));
    CHECK(kill(child, SIGKILL) == 0);
    read_told(fds[0]);
    REQUIRE(waitpid(child, &how, 0) == child);
    CHECK_MSG(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL, "round %llu: exit %d",
              (unsigned long long)round, WEXITSTATUS(how));
    (void)close(fds[0]);
}

static int compare_ids(const void *a, const void *b)
{
    const struct told *x = a;
    const struct told *y = b;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* --- what is in the ledger --- */

struct found {
    uint64_t *numbers;
    size_t count, room;
    size_t next; /* of `all`, in order of ids: the next one to come */
    size_t sent;
};

static enum dyno_status find(void *arg, const struct dyno_scanned *scanned, struct dyno_err *err)
{
    struct found *found = arg;
    const struct dyno_record *r = &scanned->record;
    (void)err;
    if (found->count == found->room) {
        found->room = 2 * found->room + 4096;
        found->numbers = realloc(found->numbers, found->room * sizeof(*found->numbers));
        REQUIRE(found->numbers != NULL);
    }
    found->numbers[found->count++] = r->queue_ns;
    found->sent += scanned->state == DYNO_RECORD_STATE_SENT;
    const struct told *told = found->next < all_count ? &all[found->next] : NULL;
    if (told != NULL && told->epoch == r->id.epoch && told->seq == r->id.seq) {
        CHECK(told->number == r->queue_ns);
        found->next++;
    }
    return DYNO_OK;
}

static void check_all(void)
{
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    struct found found = {0};
    struct dyno_arena *arena = dyno_arena_create();
    const char *given = case_folder;
    const char **paths = NULL;
    size_t count = 0;
    REQUIRE(arena != NULL);
    CHECK_MSG(case_verify(case_folder, &report, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(dyno_ledger_paths(&given, 1, arena, &paths, &count, &err) == DYNO_OK);
    qsort(all, all_count, sizeof(*all), compare_ids);
    for (size_t i = 1; i < all_count; i++)
        CHECK(compare_ids(&all[i - 1], &all[i]) != 0); /* no id was told twice */
    CHECK_MSG(dyno_ledger_scan(paths, count, find, &found, &err) == DYNO_OK, "%s", err.text);
    CHECK_MSG(found.next == all_count, "record %u-%llu was acknowledged and is missing",
              found.next < all_count ? (unsigned)all[found.next].epoch : 0U,
              found.next < all_count ? (unsigned long long)all[found.next].seq : 0ULL);
    qsort(found.numbers, found.count, sizeof(*found.numbers), compare_numbers);
    for (size_t i = 1; i < found.count; i++)
        CHECK(found.numbers[i - 1] != found.numbers[i]); /* no request is in it twice */
    printf("%zu records acknowledged, %zu in the ledger, %zu of them sent; %llu files, %llu "
           "epochs\n",
           all_count, found.count, found.sent, (unsigned long long)report.files,
           (unsigned long long)report.epochs);
    CHECK(found.count == report.records && found.sent <= all_count);
    free(found.numbers);
    dyno_arena_destroy(arena);
}

int main(int argc, char **argv)
{
    const uint64_t kills = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    case_begin();
    for (uint64_t round = 0; round < kills; round++)
        run_round(round);
    check_all();
    CHECK(all_count > kills);
    free(all);
    case_end();
    return TEST_RESULT();
}
