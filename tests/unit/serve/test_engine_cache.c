/* test_engine_cache.c - engines are found, built once, kept within the limit; keys tell what
 * differs.
 */
#include "serve/model/engine_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "test.h"

static char folder[256];

/* A path in the test's folder. */
static const char *at(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static struct dyno_engine_key key_of(char digit)
{
    struct dyno_engine_key key = {{0}};
    memset(key.text, digit, 64);
    return key;
}

/* Its file in the folder. */
static const char *file_of(const char *cache, char digit)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s/%s.engine", cache, key_of(digit).text);
    return at(name);
}

static const char *used_of(const char *cache, char digit)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s/%s.used", cache, key_of(digit).text);
    return at(name);
}

static const char *draft_of(const char *cache, char digit)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s/draft-%s", cache, key_of(digit).text);
    return at(name);
}

static struct dyno_engine_cache *open_cache(const char *name, uint64_t bytes_max)
{
    struct dyno_err err = {0};
    struct dyno_engine_cache *cache = NULL;
    CHECK_MSG(dyno_engine_cache_open(at(name), bytes_max, &cache, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(cache != NULL);
    return cache;
}

static enum dyno_status hold(struct dyno_engine_cache *cache, char digit,
                             struct dyno_engine_hold *out)
{
    const struct dyno_engine_key key = key_of(digit);
    return dyno_engine_cache_hold(cache, &key, out, NULL);
}

static void build(struct dyno_engine_cache *cache, char digit, const char *text,
                  struct dyno_engine_hold *out)
{
    struct dyno_engine_draft draft;
    const struct dyno_engine_key key = key_of(digit);
    REQUIRE(dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_OK);
    put(draft.path, text);
    CHECK(dyno_engine_cache_commit(cache, &draft, out, NULL) == DYNO_OK && draft.path == NULL);
}

static void test_miss_build_hit(void)
{
    struct dyno_engine_hold held;
    struct dyno_engine_cache *cache = open_cache("new/deep/cache", 0);
    CHECK(hold(cache, 'a', &held) == DYNO_E_NOT_FOUND && held.path == NULL);
    build(cache, 'a', "an engine", &held);
    CHECK(strcmp(held.path, file_of("new/deep/cache", 'a')) == 0 && exists(held.path));
    dyno_engine_hold_release(&held);
    struct stat before;
    struct stat after;
    CHECK(stat(file_of("new/deep/cache", 'a'), &before) == 0);
    (void)usleep(20000);
    CHECK(hold(cache, 'a', &held) == DYNO_OK && exists(held.path));
    CHECK(stat(file_of("new/deep/cache", 'a'), &after) == 0); /* who reads it sees no change */
    CHECK(before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
          before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
    const struct dyno_engine_key key = key_of('a');
    dyno_engine_cache_remove(cache, &key);
    CHECK(!exists(held.path) && !exists(used_of("new/deep/cache", 'a')));
    dyno_engine_hold_release(&held);
    dyno_engine_hold_release(&held);
    CHECK(hold(cache, 'a', &held) == DYNO_E_NOT_FOUND);
    dyno_engine_cache_close(cache);
}

static void test_drafts(void)
{
    struct dyno_engine_draft draft;
    struct dyno_engine_draft other;
    struct dyno_engine_hold held;
    char path[512];
    struct dyno_engine_cache *cache = open_cache("drafts", 0);
    const struct dyno_engine_key key = key_of('b');
    REQUIRE(dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_OK);
    CHECK(dyno_engine_cache_begin(cache, &key, &other, NULL) == DYNO_E_BUSY && other.path == NULL);
    put(draft.path, "half");
    (void)snprintf(path, sizeof(path), "%s.tmp-1-1", draft.path);
    put(path, "rubbish");
    dyno_engine_cache_abort(cache, &draft);
    dyno_engine_cache_abort(cache, &draft);
    CHECK(!exists(draft_of("drafts", 'b')) && hold(cache, 'b', &held) == DYNO_E_NOT_FOUND);
    REQUIRE(dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_OK);
    CHECK(dyno_engine_cache_commit(cache, &draft, &held, NULL) == DYNO_E_IO); /* nothing is there */
    CHECK(!exists(draft_of("drafts", 'b')));
    dyno_engine_cache_close(cache);
}

/* A process that is killed while it builds leaves its draft; the next one begins anew. */
static void test_killed_builder(void)
{
    struct dyno_engine_draft draft;
    int told[2];
    char byte = 0;
    const struct dyno_engine_key key = key_of('c');
    struct dyno_engine_cache *cache = open_cache("killed", 0);
    for (int way = 0; way < 2; way++) {
        REQUIRE(pipe(told) == 0);
        const pid_t builder = fork();
        REQUIRE(builder >= 0);
        if (builder == 0) {
            if (dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_OK) {
                put(draft.path, "half");
                (void)!write(told[1], "x", 1);
            }
            (void)pause();
            _exit(0);
        }
        REQUIRE(read(told[0], &byte, 1) == 1);
        CHECK(dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_E_BUSY);
        (void)kill(builder, SIGKILL);
        (void)waitpid(builder, NULL, 0);
        CHECK(exists(draft_of("killed", 'c')));
        if (way == 0) {
            REQUIRE(dyno_engine_cache_begin(cache, &key, &draft, NULL) == DYNO_OK);
            CHECK(!exists(draft.path));
            dyno_engine_cache_abort(cache, &draft);
        } else {
            dyno_engine_cache_close(cache);
            cache = open_cache("killed", 0);
        }
        CHECK(!exists(draft_of("killed", 'c')));
        (void)close(told[0]);
        (void)close(told[1]);
    }
    dyno_engine_cache_close(cache);
}

/* Many processes want the same engines: each is built by one of them, and all get it whole. */
static void test_many_processes(void)
{
    enum { PROCESSES = 6 };
    pid_t pids[PROCESSES];
    dyno_engine_cache_close(open_cache("many", 0));
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        REQUIRE(pids[i] >= 0);
        if (pids[i] != 0)
            continue;
        struct dyno_engine_cache *cache = open_cache("many", 0);
        for (int n = 0; n < 10; n++) {
            const char digit = (char)('0' + n);
            struct dyno_engine_hold held = {0};
            struct dyno_engine_draft draft;
            const struct dyno_engine_key key = key_of(digit);
            char text[16] = "";
            while (held.path == NULL) {
                if (hold(cache, digit, &held) == DYNO_OK)
                    break;
                if (dyno_engine_cache_begin(cache, &key, &draft, NULL) != DYNO_OK)
                    continue;
                put(draft.path, "ha");
                (void)usleep(1000);
                put(draft.path, "whole");
                if (dyno_engine_cache_commit(cache, &draft, &held, NULL) != DYNO_OK)
                    _exit(2);
            }
            if (pread(held.fd, text, sizeof(text) - 1, 0) != 5 || strcmp(text, "whole") != 0)
                _exit(1);
            dyno_engine_hold_release(&held);
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
}

static void set_age(const char *path, long seconds)
{
    struct timespec times[2];
    (void)clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void test_limit(void)
{
    struct dyno_engine_hold held[5];
    struct dyno_engine_hold again;
    struct dyno_engine_cache *cache = open_cache("limit", 30);
    struct dyno_engine_cache *other = open_cache("limit", 30);
    for (int i = 0; i < 3; i++) {
        build(cache, (char)('a' + i), "ten bytes.", &held[i]);
        dyno_engine_hold_release(&held[i]);
        set_age(used_of("limit", (char)('a' + i)), 1000 - i);
    }
    put(at("limit/mine"), "somebody's file of more than thirty bytes");
    put(at("precious"), "0123456789012345678901234567890123456789");
    CHECK(symlink(at("precious"), file_of("limit", 'f')) == 0);
    CHECK(hold(cache, 'a', &again) == DYNO_OK); /* used now, and then let go */
    dyno_engine_hold_release(&again);
    CHECK(hold(other, 'b', &again) == DYNO_OK); /* in use by another server */
    set_age(used_of("limit", 'b'), 2000);
    build(cache, 'd', "ten bytes.", &held[3]);
    CHECK(exists(file_of("limit", 'a')) && exists(file_of("limit", 'b')) &&
          !exists(file_of("limit", 'c')) && exists(file_of("limit", 'd')));
    CHECK(exists(used_of("limit", 'a')) && !exists(used_of("limit", 'c')));
    build(cache, 'e', "a large one of more than thirty bytes", &held[4]);
    CHECK(!exists(file_of("limit", 'a')) && exists(file_of("limit", 'b')) &&
          exists(file_of("limit", 'd')) && exists(file_of("limit", 'e')));
    dyno_engine_hold_release(&again);
    dyno_engine_hold_release(&held[3]);
    dyno_engine_hold_release(&held[4]);
    CHECK(exists(at("limit/mine")) && exists(at("precious")) && exists(file_of("limit", 'f')));
    CHECK(hold(cache, 'f', &again) != DYNO_OK);
    dyno_engine_cache_close(other);
    dyno_engine_cache_close(cache);
}

static void test_folders(void)
{
    struct dyno_err err = {0};
    struct dyno_engine_cache *cache = NULL;
    char path[64];
    CHECK(mkdir(at("open"), 0700) == 0 && chmod(at("open"), 0777) == 0);
    CHECK(dyno_engine_cache_open(at("open"), 0, &cache, &err) == DYNO_E_DENIED && cache == NULL);
    put(at("file"), "");
    err = (struct dyno_err){0};
    CHECK(dyno_engine_cache_open(at("file"), 0, &cache, &err) == DYNO_E_IO);
    err = (struct dyno_err){0};
    CHECK(dyno_engine_cache_open(at("file/cache"), 0, &cache, &err) == DYNO_E_IO);
    CHECK(dyno_engine_cache_open("", 0, &cache, NULL) == DYNO_E_ARG);
    (void)setenv("HOME", "/home/h", 1);
    (void)unsetenv("XDG_CACHE_HOME");
    (void)unsetenv("CACHE_DIRECTORY");
    CHECK(dyno_engine_cache_default(path, sizeof(path)));
    CHECK_STR(path, "/home/h/.cache/dyno/engines");
    CHECK(!dyno_engine_cache_default(path, 10));
    (void)setenv("XDG_CACHE_HOME", "/x", 1);
    CHECK(dyno_engine_cache_default(path, sizeof(path)));
    CHECK_STR(path, "/x/dyno/engines");
    (void)setenv("CACHE_DIRECTORY", "/var/cache/dyno:/var/cache/more", 1);
    CHECK(dyno_engine_cache_default(path, sizeof(path)));
    CHECK_STR(path, "/var/cache/dyno/engines");
    (void)unsetenv("CACHE_DIRECTORY");
    (void)setenv("XDG_CACHE_HOME", "relative", 1);
    (void)unsetenv("HOME");
    CHECK(!dyno_engine_cache_default(path, sizeof(path)));
}

/* --- keys --- */

struct facts {
    uint64_t stamp;
    uint8_t sum[32];
};

static struct facts look(const char *name)
{
    struct facts facts = {0};
    struct dyno_err err = {0};
    CHECK_MSG(dyno_model_stamp(at(name), &facts.stamp, &err) == DYNO_OK, "%s", err.text);
    CHECK_MSG(dyno_model_sum(at(name), NULL, facts.sum, &err) == DYNO_OK, "%s", err.text);
    return facts;
}

static bool same_sum(const struct facts *a, const struct facts *b)
{
    return memcmp(a->sum, b->sum, sizeof(a->sum)) == 0;
}

static void test_sums(void)
{
    CHECK(mkdir(at("m"), 0700) == 0 && mkdir(at("m/data"), 0700) == 0);
    put(at("m/model.onnx"), "model");
    put(at("m/data/weights"), "weights");
    const struct facts first = look("m");
    put(at("m/fp32.engine"), "no part of it");
    put(at("m/fp32.engine.json"), "nor this");
    CHECK(symlink("nowhere", at("m/dangling")) == 0);
    CHECK(mkfifo(at("m/pipe"), 0600) == 0);
    const struct facts same = look("m");
    CHECK(first.stamp == same.stamp && same_sum(&first, &same));
    put(at("m/data/weights"), "weightz");
    set_age(at("m/data/weights"), 5);
    const struct facts data = look("m");
    CHECK(data.stamp != first.stamp && !same_sum(&data, &first));
    CHECK(rename(at("m/data/weights"), at("m/data/weight")) == 0);
    const struct facts renamed = look("m");
    CHECK(renamed.stamp != data.stamp && !same_sum(&data, &renamed));
    CHECK(rename(at("m/data/weight"), at("m/data/weights")) == 0);
    put(at("m/data/weights"), "weights");
    const struct facts back = look("m");
    CHECK(back.stamp != first.stamp && same_sum(&back, &first)); /* written anew, the same */
    /* Bytes that move from one file to the next are another model. */
    put(at("m/a"), "12");
    put(at("m/b"), "3");
    const struct facts one = look("m");
    put(at("m/a"), "1");
    put(at("m/b"), "23");
    const struct facts two = look("m");
    CHECK(!same_sum(&one, &two));
    atomic_bool is_cancelled = true;
    uint8_t sum[32];
    CHECK(dyno_model_sum(at("m"), &is_cancelled, sum, NULL) == DYNO_E_CANCELLED);
    CHECK(dyno_model_sum(at("none"), NULL, sum, NULL) == DYNO_E_IO);
    CHECK(symlink(".", at("m/loop")) == 0);
    CHECK(dyno_model_sum(at("m"), NULL, sum, NULL) == DYNO_E_LIMIT);
}

static void test_keys(void)
{
    uint8_t sum[32] = {1};
    const char *const args[] = {"--level=3", "--threads=2", NULL};
    const char *const joined[] = {"--level=3--threads=2", NULL};
    struct dyno_engine_key keys[7];
    put(at("builder"), "a program");
    CHECK(dyno_engine_key_make(sum, args, "", at("builder"), &keys[0], NULL) == DYNO_OK);
    CHECK(dyno_engine_key_make(sum, args, "", at("builder"), &keys[1], NULL) == DYNO_OK);
    CHECK_STR(keys[1].text, keys[0].text);
    CHECK(strspn(keys[0].text, "0123456789abcdef") == 64);
    CHECK(dyno_engine_key_make(sum, joined, "", at("builder"), &keys[1], NULL) == DYNO_OK);
    CHECK(dyno_engine_key_make(sum, args + 1, "", at("builder"), &keys[2], NULL) == DYNO_OK);
    put(at("builder"), "another program");
    CHECK(dyno_engine_key_make(sum, args, "", at("builder"), &keys[3], NULL) == DYNO_OK);
    sum[31] = 1;
    CHECK(dyno_engine_key_make(sum, args, "", at("builder"), &keys[4], NULL) == DYNO_OK);
    CHECK(dyno_engine_key_make(sum, args, "a GPU", at("builder"), &keys[5], NULL) == DYNO_OK);
    CHECK(dyno_engine_key_make(sum, args, "another", at("builder"), &keys[6], NULL) == DYNO_OK);
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < i; k++)
            CHECK(strcmp(keys[i].text, keys[k].text) != 0);
    struct dyno_err err = {0};
    CHECK(dyno_engine_key_make(sum, args, "", "/nowhere/dyno", &keys[0], &err) == DYNO_E_NOT_FOUND);
    CHECK(strstr(err.text, "/nowhere/dyno") != NULL);
}

int main(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/dyno-cache-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    test_miss_build_hit();
    test_drafts();
    test_killed_builder();
    test_many_processes();
    test_limit();
    test_sums();
    test_keys();
    test_folders();
    CHECK(dyno_mem_live_count() == 0);
    char command[512];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command) == 0 ? TEST_RESULT() : EXIT_FAILURE;
}
