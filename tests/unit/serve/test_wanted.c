/* test_wanted.c - names come and go, and a writer that dies leaves only whole ones. */
#include "serve/super/wanted.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "test.h"

static struct dyno_wanted *create(void)
{
    void *at = mmap(NULL, sizeof(struct dyno_wanted), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void destroy(struct dyno_wanted *wanted)
{
    (void)munmap(wanted, sizeof(*wanted));
}

/* The names, each followed by a space. */
static const char *text_of(const struct dyno_wanted *wanted)
{
    static char text[4096];
    const char *const *names = NULL;
    size_t count = 0;
    struct dyno_arena *arena = dyno_arena_create();
    text[0] = 0;
    CHECK(dyno_wanted_list(wanted, arena, &names, &count, NULL) == DYNO_OK);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", names[i]);
    dyno_arena_destroy(arena);
    return text;
}

static void test_come_and_go(void)
{
    char name[DYNO_WANTED_NAME_BYTES_MAX + 2];
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    CHECK(strcmp(text_of(wanted), "") == 0);
    CHECK(dyno_wanted_set(wanted, "a", false) && strcmp(text_of(wanted), "") == 0);
    CHECK(dyno_wanted_set(wanted, "a", true) && dyno_wanted_set(wanted, "b", true) &&
          dyno_wanted_set(wanted, "a", true) && dyno_wanted_set(wanted, "c", true));
    CHECK(strcmp(text_of(wanted), "a b c ") == 0);
    CHECK(dyno_wanted_set(wanted, "b", false) && dyno_wanted_set(wanted, "b", false));
    CHECK(strcmp(text_of(wanted), "a c ") == 0);
    CHECK(dyno_wanted_set(wanted, "dd", true) && strcmp(text_of(wanted), "a dd c ") == 0);
    CHECK(dyno_wanted_set(wanted, "d", true) && strcmp(text_of(wanted), "a dd c d ") == 0);
    memset(name, 'x', sizeof(name));
    name[DYNO_WANTED_NAME_BYTES_MAX + 1] = 0;
    CHECK(!dyno_wanted_set(wanted, name, true) && !dyno_wanted_set(wanted, name, false));
    name[DYNO_WANTED_NAME_BYTES_MAX] = 0;
    CHECK(dyno_wanted_set(wanted, name, true) && strstr(text_of(wanted), name) != NULL);
    destroy(wanted);
}

static void test_full(void)
{
    char name[16];
    bool all_fit = true;
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    for (int i = 0; i < DYNO_WANTED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        all_fit = all_fit && dyno_wanted_set(wanted, name, true);
    }
    CHECK(all_fit && !dyno_wanted_set(wanted, "one more", true));
    CHECK(dyno_wanted_set(wanted, "m77", true) && dyno_wanted_set(wanted, "m78", false));
    CHECK(dyno_wanted_set(wanted, "one more", true) && !dyno_wanted_set(wanted, "another", true));
    destroy(wanted);
}

static void test_damage(void)
{
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    for (int i = 0; i < 4; i++)
        CHECK(dyno_wanted_set(wanted, (const char *[]){"a", "b", "c", "d"}[i], true));
    memset(wanted->slots[0].name, 'x', sizeof(wanted->slots[0].name)); /* no end */
    wanted->slots[1].name[0] = 0;
    atomic_store(&wanted->slots[2].is_used, 7);
    CHECK(strcmp(text_of(wanted), "d ") == 0);
    CHECK(dyno_wanted_set(wanted, "e", true) && strcmp(text_of(wanted), "e d ") == 0);
    atomic_store(&wanted->used_count, 1U << 31);
    CHECK(strcmp(text_of(wanted), "e d ") == 0);
    CHECK(dyno_wanted_set(wanted, "f", true) && strcmp(text_of(wanted), "e f d ") == 0);
    destroy(wanted);
}

/* What is in the table after each step of the writer. */
static const char *const stages[] = {"first second ", "first ", "first third-and-longer ",
                                     "first third-and-longer fourth "};

static void write_stages(struct dyno_wanted *wanted)
{
    (void)dyno_wanted_set(wanted, "second", false);
    (void)dyno_wanted_set(wanted, "third-and-longer", true);
    (void)dyno_wanted_set(wanted, "fourth", true);
}

/* The writer is stopped after every instruction: a reader there finds one of the stages. */
static void test_writer_dies_anywhere(void)
{
    size_t stage = 0;
    int status = 0;
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    CHECK(dyno_wanted_set(wanted, "first", true) && dyno_wanted_set(wanted, "second", true));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
            (void)raise(SIGSTOP);
        write_stages(wanted);
        _exit(0);
    }
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        const char *text = text_of(wanted);
        while (stage + 1 < DYNO_COUNT(stages) && strcmp(text, stages[stage]) != 0)
            stage++;
        if (strcmp(text, stages[stage]) != 0)
            break;
        (void)ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
    }
    CHECK(WIFEXITED(status) && strcmp(text_of(wanted), stages[DYNO_COUNT(stages) - 1]) == 0);
    if (WIFSTOPPED(status))
        (void)kill(child, SIGKILL);
    destroy(wanted);
}

int main(void)
{
    test_come_and_go();
    test_full();
    test_damage();
    test_writer_dies_anywhere();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
