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

/* The orders, each followed by a space: MODEL[/VERSION][:VARIANT], to unload with a - before it. */
static const char *text_of(const struct dyno_wanted *wanted)
{
    static char text[4096];
    struct dyno_wanted_order *orders = NULL;
    size_t count = 0;
    struct dyno_arena *arena = dyno_arena_create();
    text[0] = 0;
    CHECK(dyno_wanted_list(wanted, arena, &orders, &count, NULL) == DYNO_OK);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_wanted_order *at = &orders[i];
        char version[24] = "";
        if (at->version != 0)
            (void)snprintf(version, sizeof(version), "/%llu", at->version);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s%s%s ",
                       at->is_load ? "" : "-", at->model, version, at->variant[0] != 0 ? ":" : "",
                       at->variant);
    }
    dyno_arena_destroy(arena);
    return text;
}

static bool set_part(struct dyno_wanted *wanted, const char *model, unsigned long long version,
                     const char *variant, bool is_load)
{
    const struct dyno_wanted_order order = {
        .model = model, .variant = variant, .version = version, .is_load = is_load};
    return dyno_wanted_set(wanted, &order);
}

static bool set(struct dyno_wanted *wanted, const char *model, bool is_load)
{
    return set_part(wanted, model, 0, "", is_load);
}

static void test_come_and_go(void)
{
    char name[DYNO_WANTED_NAME_BYTES_MAX + 2];
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    CHECK(strcmp(text_of(wanted), "") == 0);
    CHECK(set(wanted, "a", false) && strcmp(text_of(wanted), "") == 0);
    CHECK(set(wanted, "a", true) && set(wanted, "b", true) && set(wanted, "a", true) &&
          set(wanted, "c", true));
    CHECK(strcmp(text_of(wanted), "a b c ") == 0);
    CHECK(set(wanted, "b", false) && set(wanted, "b", false));
    CHECK(strcmp(text_of(wanted), "a c ") == 0);
    CHECK(set(wanted, "dd", true) && strcmp(text_of(wanted), "a c dd ") == 0);
    CHECK(set(wanted, "d", true) && strcmp(text_of(wanted), "a c dd d ") == 0);
    memset(name, 'x', sizeof(name));
    name[DYNO_WANTED_NAME_BYTES_MAX + 1] = 0;
    CHECK(!set(wanted, name, true) && !set(wanted, name, false));
    name[DYNO_WANTED_NAME_BYTES_MAX] = 0;
    CHECK(set(wanted, name, true) && strstr(text_of(wanted), name) != NULL);
    destroy(wanted);
}

static void test_parts(void)
{
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    CHECK(set_part(wanted, "a", 3, "", true) && set_part(wanted, "a", 3, "x", true) &&
          set_part(wanted, "b", 0, "x", true) && set_part(wanted, "a", 12, "", true));
    CHECK(strcmp(text_of(wanted), "a/3 a/3:x b:x a/12 ") == 0);
    /* Without a whole that it belongs to there is nothing to say of what is unloaded. */
    CHECK(set_part(wanted, "a", 12, "", false) && set_part(wanted, "c", 1, "", false));
    CHECK(strcmp(text_of(wanted), "a/3 a/3:x b:x ") == 0);
    CHECK(set_part(wanted, "a", 3, "x", false) && set_part(wanted, "b", 2, "x", false));
    CHECK(strcmp(text_of(wanted), "a/3 -a/3:x b:x -b/2:x ") == 0);
    CHECK(set_part(wanted, "a", 3, "x", true));
    CHECK(strcmp(text_of(wanted), "a/3 a/3:x b:x -b/2:x ") == 0);
    /* The whole stands for its parts, and takes them with it. */
    CHECK(set(wanted, "a", true) && strcmp(text_of(wanted), "b:x -b/2:x a ") == 0);
    CHECK(set_part(wanted, "a", 3, "", false) && set_part(wanted, "a", 3, "y", true));
    CHECK(strcmp(text_of(wanted), "b:x -b/2:x a -a/3 a/3:y ") == 0);
    CHECK(set(wanted, "b", false) && set_part(wanted, "a", 3, "", true));
    CHECK(strcmp(text_of(wanted), "a a/3 ") == 0);
    CHECK(set(wanted, "a", false) && strcmp(text_of(wanted), "") == 0);
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
        all_fit = all_fit && set(wanted, name, true);
    }
    CHECK(all_fit && !set(wanted, "one more", true));
    CHECK(set(wanted, "m77", true) && set(wanted, "m78", false));
    CHECK(set(wanted, "one more", true) && !set(wanted, "another", true));
    destroy(wanted);
}

static void test_damage(void)
{
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    for (int i = 0; i < 4; i++)
        CHECK(set(wanted, (const char *[]){"a", "b", "c", "d"}[i], true));
    memset(wanted->slots[0].model, 'x', sizeof(wanted->slots[0].model)); /* no end */
    wanted->slots[1].model[0] = 0;
    atomic_store(&wanted->slots[2].use, 7);
    CHECK(strcmp(text_of(wanted), "d ") == 0);
    CHECK(set(wanted, "e", true) && strcmp(text_of(wanted), "d e ") == 0);
    atomic_store(&wanted->used_count, 1U << 31);
    CHECK(strcmp(text_of(wanted), "d e ") == 0);
    CHECK(set(wanted, "f", true) && strcmp(text_of(wanted), "d e f ") == 0);
    destroy(wanted);
}

/* What is in the table after each step of the writer. */
static const char *const stages[] = {"first second ", "first ", "first third-and-longer ",
                                     "first third-and-longer fourth "};

static void write_stages(struct dyno_wanted *wanted)
{
    (void)set(wanted, "second", false);
    (void)set(wanted, "third-and-longer", true);
    (void)set(wanted, "fourth", true);
}

/* The writer is stopped after every instruction: a reader there finds one of the stages. */
static void test_writer_dies_anywhere(void)
{
    size_t stage = 0;
    int status = 0;
    struct dyno_wanted *wanted = create();
    REQUIRE(wanted != NULL);
    CHECK(set(wanted, "first", true) && set(wanted, "second", true));
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
    test_parts();
    test_full();
    test_damage();
    test_writer_dies_anywhere();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
