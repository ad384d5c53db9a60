/* test_journal.c - lines stay whole and in order, or are dropped and counted. */
#include "serve/watch/journal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "test.h"

#define THREADS      3
#define LINES        20000
#define ATTEMPTS_MAX 20

static char folder[] = "/tmp/dyno-journal-XXXXXX";
static char path[64], renamed[64];

struct writer {
    struct dyno_journal *journal;
    int idx;
};

static void *write_lines(void *arg)
{
    const struct writer *writer = arg;
    char line[256];
    for (int i = 0; i < LINES; i++) {
        const int bytes =
            snprintf(line, sizeof(line), "%d %d %.*s", writer->idx, i, i % 100,
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        dyno_journal_add(writer->journal, writer->idx, line, (size_t)bytes);
        if (i % 50 == 0)
            usleep(100);
    }
    return NULL;
}

/* Lines of each thread in order; how many there are. */
static uint64_t check_lines(const char *name, int *last)
{
    char line[256];
    uint64_t count = 0;
    FILE *file = fopen(name, "r");
    REQUIRE(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *at = line;
        const long idx = strtol(at, &at, 10);
        REQUIRE(at == line + 1 && idx >= 0 && idx < THREADS);
        const long number = strtol(at, &at, 10);
        CHECK(number > last[idx] && strlen(at) == (size_t)(number % 100 + 2));
        last[idx] = (int)number;
        count++;
    }
    (void)fclose(file);
    return count;
}

static void test_threads_and_rotation(void)
{
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    struct dyno_journal *journal = NULL;
    struct dyno_err err = {0};
    int last[THREADS] = {-1, -1, -1};
    const struct dyno_journal_options options = {.path = path, .thread_count = THREADS};
    REQUIRE(dyno_journal_create(&options, &journal, &err) == DYNO_OK);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.journal = journal, .idx = i};
        REQUIRE(pthread_create(&threads[i], NULL, write_lines, &writers[i]) == 0);
    }
    usleep(20000);
    REQUIRE(rename(path, renamed) == 0);
    dyno_journal_reopen(journal);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    const uint64_t dropped = dyno_journal_dropped(journal);
    dyno_journal_destroy(journal);
    CHECK(check_lines(renamed, last) + check_lines(path, last) + dropped ==
          (uint64_t)THREADS * LINES);
    CHECK(dyno_mem_live_count() == 0);
    (void)unlink(path);
    (void)unlink(renamed);
}

static void wait_until_dropped(struct dyno_journal *journal, uint64_t count)
{
    const uint64_t end_ns = dyno_clock_ns() + UINT64_C(10000000000);
    while (dyno_journal_dropped(journal) < count && dyno_clock_ns() < end_ns)
        usleep(1000);
    CHECK(dyno_journal_dropped(journal) == count);
}

/* A file that may not grow: what is left of a line stands alone, and the next ones are whole. */
static void test_torn(void)
{
    char line[100];
    char text[512] = "";
    struct dyno_err err = {0};
    struct dyno_journal *journal = NULL;
    struct rlimit limit;
    const struct dyno_journal_options options = {.path = path, .thread_count = 1};
    memset(line, 'a', sizeof(line));
    (void)signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    REQUIRE(dyno_journal_create(&options, &journal, &err) == DYNO_OK);
    const struct rlimit small = {.rlim_cur = 150, .rlim_max = limit.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    dyno_journal_add(journal, 0, line, sizeof(line));
    dyno_journal_add(journal, 0, line, sizeof(line));
    wait_until_dropped(journal, 1);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    dyno_journal_add(journal, 0, "end", 3);
    dyno_journal_destroy(journal);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    const size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    CHECK_MSG(bytes == 155 && strcmp(text + 150, "\nend\n") == 0, "%zu bytes: %s", bytes, text);
    (void)unlink(path);
    CHECK(dyno_mem_live_count() == 0);
}

/* Each allocation is lost once. */
static void test_memory(void)
{
    struct dyno_journal *journal = NULL;
    const struct dyno_journal_options options = {.path = path, .thread_count = 2};
    enum dyno_status status = DYNO_E_NOMEM;
    uint64_t nth = 1;
    for (; nth <= ATTEMPTS_MAX && status != DYNO_OK; nth++) {
        struct dyno_err err = {0};
        dyno_mem_fail_at(nth);
        status = dyno_journal_create(&options, &journal, &err);
        dyno_mem_fail_at(0);
        CHECK(status == DYNO_OK || (status == DYNO_E_NOMEM && journal == NULL));
        CHECK(status == DYNO_OK || dyno_mem_live_count() == 0);
    }
    REQUIRE(status == DYNO_OK);
    CHECK(nth == 6);
    dyno_journal_destroy(journal);
    dyno_journal_destroy(NULL);
    CHECK(dyno_mem_live_count() == 0);
    (void)unlink(path);
}

static void test_missing_folder(void)
{
    char inner[96];
    struct dyno_err err = {0};
    struct dyno_journal *journal = NULL;
    struct dyno_journal_options options = {.path = inner, .thread_count = 1};
    (void)snprintf(inner, sizeof(inner), "%s/none/log", folder);
    CHECK(dyno_journal_create(&options, &journal, &err) == DYNO_E_IO && journal == NULL);
    CHECK_MSG(strstr(err.text, inner) != NULL, "%s", err.text);
    options.may_wait = true;
    REQUIRE(dyno_journal_create(&options, &journal, &err) == DYNO_OK);
    dyno_journal_add(journal, 0, "lost", 4);
    wait_until_dropped(journal, 1);
    dyno_journal_destroy(journal);
    CHECK(dyno_mem_live_count() == 0);
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    (void)snprintf(renamed, sizeof(renamed), "%s/log.1", folder);
    test_threads_and_rotation();
    test_torn();
    test_memory();
    test_missing_folder();
    (void)rmdir(folder);
    return TEST_RESULT();
}
