/* test_maker.c - wishes for engines are built in order, ended, told of, and not built in vain.  The
 * builder is a script.
 */
#include "serve/model/maker.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/model/engine_cache.h"
#include "test.h"

static const char script[] =
    "#!/bin/sh\n"
    "here=$(dirname \"$0\")\n"
    "if test $1 = inspect; then\n"
    "  echo \"asked $2 $3 $4\" >>\"$here/log\"\n"
    "  test -f \"$here/gpu\" && exec cat \"$here/gpu\"\n"
    "  echo 'dyno inspect: there is no driver' >&2; exit 78\n"
    "fi\n"
    "stage=tuned\n"
    "for a; do case $a in\n"
    "  --saveEngine=*) out=${a#*=};;\n"
    "  --onnx=*) onnx=${a#*=};;\n"
    "  --baseline) stage=baseline;;\n"
    "  --device=*|--fp16) more=\"$more $a\";;\n"
    "esac; done\n"
    "echo \"$stage $(basename \"$(dirname \"$(dirname \"$onnx\")\")\")$more\" >>\"$here/log\"\n"
    "what=$(cat \"$onnx\")\n"
    "case $stage-$what in\n"
    "  *-broken) echo 'dyno build: the model is broken' >&2; exit 65;;\n"
    "  baseline-bare) echo 'dyno build: no library for it' >&2; exit 69;;\n"
    "  tuned-half) echo 'dyno build: no kernel for it' >&2; exit 69;;\n"
    "  tuned-slow) echo $$ >\"$here/pid\"; echo half >\"$out.tmp-1\"; exec sleep 600;;\n"
    "  tuned-changes) echo fine >\"$onnx\"; touch -d '1 hour ago' \"$onnx\";;\n"
    "esac\n"
    "echo engine >\"$out\"\n";

static char folder[64];

/* --- what was told --- */

struct story {
    pthread_mutex_t lock;
    char text[4096]; /* "m/1 tuned there, ..." */
    char reason[1024], path[1024];
    uint64_t ticket;
};
static struct story story = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void told(void *arg, const struct dyno_made *made)
{
    static const char *const states[] = {"builds", "there", "failed"};
    static const char *const stages[] = {"baseline", "tuned"};
    struct story *to = arg;
    (void)pthread_mutex_lock(&to->lock);
    const size_t used = strlen(to->text);
    (void)snprintf(to->text + used, sizeof(to->text) - used, "%s/%d %s %s, ", made->model,
                   (int)made->version, stages[made->stage], states[made->state]);
    (void)snprintf(to->reason, sizeof(to->reason), "%s", made->reason);
    (void)snprintf(to->path, sizeof(to->path), "%s", made->path);
    to->ticket = made->ticket;
    (void)pthread_mutex_unlock(&to->lock);
}

static uint64_t last_ticket(void)
{
    (void)pthread_mutex_lock(&story.lock);
    const uint64_t ticket = story.ticket;
    (void)pthread_mutex_unlock(&story.lock);
    return ticket;
}

static bool was_told(const char *what)
{
    (void)pthread_mutex_lock(&story.lock);
    const bool was = strstr(story.text, what) != NULL;
    (void)pthread_mutex_unlock(&story.lock);
    return was;
}

static bool wait_for(const char *what)
{
    const uint64_t start_ns = dyno_clock_ns();
    while (!was_told(what) && dyno_clock_ns() - start_ns < UINT64_C(300000000000))
        (void)usleep(2000);
    const bool is_there = was_told(what);
    CHECK_MSG(is_there, "no '%s' in '%s'", what, story.text);
    REQUIRE(is_there); /* or each of them would be waited for in vain */
    return is_there;
}

static void forget(void)
{
    (void)pthread_mutex_lock(&story.lock);
    story.text[0] = story.reason[0] = story.path[0] = 0;
    (void)pthread_mutex_unlock(&story.lock);
}

/* --- files --- */

static const char *at(const char *name)
{
    static char paths[4][256];
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

static const char *contents(const char *path)
{
    static char text[1024];
    memset(text, 0, sizeof(text));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, text, sizeof(text) - 1);
        (void)close(fd);
    }
    return text;
}

/* FOLDER/MODEL/1 with a model.onnx of that text. */
static const char *model(const char *name, const char *text)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];
    char file[300];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(paths[0]), "%s/%s/1", folder, name);
    (void)mkdir(path, 0700);
    (void)snprintf(file, sizeof(file), "%s/model.onnx", path);
    put(file, text);
    return path;
}

/* Nothing is left of what was begun. */
static bool has_drafts(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "ls %s/cache | grep -q draft", folder);
    return system(command) == 0;
}

/* --- the cases --- */

static const struct dyno_make_wish plain;
static bool last_is_pending; /* of the last wish */

static struct dyno_maker *create(struct dyno_engine_cache **cache_out, const char *builder)
{
    struct dyno_maker *maker = NULL;
    REQUIRE(dyno_engine_cache_open(at("cache"), 0, cache_out, NULL) == DYNO_OK);
    const struct dyno_maker_options options = {.builder = builder,
                                               .cache = *cache_out,
                                               .job_max = 1,
                                               .thread_count = 1,
                                               .told = told,
                                               .told_arg = &story};
    REQUIRE(dyno_maker_create(&options, &maker, NULL) == DYNO_OK);
    forget();
    (void)unlink(at("log"));
    (void)unlink(at("pid"));
    return maker;
}

static void end(struct dyno_maker *maker, struct dyno_engine_cache *cache)
{
    dyno_maker_destroy(maker);
    dyno_engine_cache_close(cache);
    CHECK(!has_drafts());
}

static void want(struct dyno_maker *maker, const char *name, const char *path, bool again)
{
    bool is_pending = false;
    CHECK(dyno_maker_want(maker, name, 1, path, &plain, again, &is_pending, NULL) == DYNO_OK);
    last_is_pending = is_pending;
}

static void test_both_stages(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    struct dyno_maker_stats stats;
    want(maker, "m", model("m", "fine"), false);
    CHECK(wait_for("m/1 tuned there"));
    CHECK_STR(story.text, "m/1 baseline builds, m/1 baseline there, m/1 tuned builds, "
                          "m/1 tuned there, ");
    CHECK(strncmp(story.path, at("cache/"), strlen(at("cache/"))) == 0);
    CHECK_STR(contents(story.path), "engine\n");
    CHECK(dyno_maker_is_current(maker, "m", 1, story.ticket));
    CHECK(!dyno_maker_is_current(maker, "m", 2, story.ticket));
    const struct dyno_make_wish other = {.exact = true};
    CHECK(!dyno_maker_is_outdated(maker, "m", 1, at("m/1"), &plain));
    CHECK(dyno_maker_is_outdated(maker, "m", 1, at("m/1"), &other));
    CHECK(!dyno_maker_is_outdated(maker, "m", 2, at("m/1"), &plain));
    (void)model("m", "fine, and another one");
    CHECK(dyno_maker_is_outdated(maker, "m", 1, at("m/1"), &plain));
    dyno_maker_drop(maker, "m", 0);
    CHECK(!dyno_maker_is_current(maker, "m", 1, story.ticket));
    dyno_maker_stats(maker, &stats);
    CHECK(stats.built_count == 2 && stats.miss_count == 2 && stats.failed_count == 0 &&
          stats.running_count == 0 && stats.waiting_count == 0 && stats.build_ns > 0);
    /* What lies in the cache now is no engine; it is built again. */
    want(maker, "m", model("m", "fine"), false);
    forget();
    CHECK(wait_for("m/1 tuned there"));
    CHECK_STR(contents(at("log")), "baseline m\ntuned m\nbaseline m\ntuned m\n");
    end(maker, cache);
}

static void test_baselines_first(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    want(maker, "a", model("a", "a"), false);
    want(maker, "b", model("b", "b"), false);
    want(maker, "c", model("c", "c"), false);
    CHECK(wait_for("a/1 tuned there") && wait_for("b/1 tuned there") &&
          wait_for("c/1 tuned there"));
    CHECK_STR(contents(at("log")),
              "baseline a\nbaseline b\nbaseline c\ntuned a\ntuned b\ntuned c\n");
    end(maker, cache);
}

static void test_failures(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    const char *path = model("bad", "broken");
    want(maker, "bad", path, false);
    CHECK(wait_for("bad/1 baseline failed"));
    CHECK_STR(story.reason, "the model is broken");
    forget();
    CHECK(!dyno_maker_is_outdated(maker, "bad", 1, path, &plain));
    want(maker, "bad", path, false); /* told again, not tried again */
    CHECK(wait_for("bad/1 baseline failed"));
    CHECK_STR(story.reason, "the model is broken");
    CHECK_STR(contents(at("log")), "baseline bad\n");
    forget();
    want(maker, "bad", path, true);
    CHECK(wait_for("bad/1 baseline failed"));
    CHECK_STR(contents(at("log")), "baseline bad\nbaseline bad\n");
    forget();
    (void)model("bad", "fine now");
    want(maker, "bad", path, false); /* another file */
    CHECK(wait_for("bad/1 tuned there"));
    forget();
    want(maker, "half", model("half", "half"), false);
    CHECK(wait_for("half/1 tuned failed"));
    CHECK(was_told("half/1 baseline there"));
    CHECK_STR(story.reason, "no kernel for it");
    end(maker, cache);
    maker = create(&cache, "/nowhere/dyno");
    want(maker, "m", model("m", "m"), false);
    CHECK(wait_for("m/1 baseline failed"));
    CHECK_STR(story.reason, "the program 'dyno', which would build it, cannot be found: No such "
                            "file or directory");
    want(maker, "none", "/nowhere/model/1", false);
    CHECK(wait_for("none/1 baseline failed"));
    end(maker, cache);
}

/* The process of a slow build. */
static long builder_pid(void)
{
    for (int i = 0; i < 5000 && contents(at("pid"))[0] == 0; i++)
        (void)usleep(2000);
    return strtol(contents(at("pid")), NULL, 10);
}

static bool is_gone_now(long pid)
{
    char path[64];
    struct stat info;
    (void)snprintf(path, sizeof(path), "/proc/%ld", pid);
    return stat(path, &info) != 0;
}

static bool is_gone(long pid)
{
    for (int i = 0; i < 2500 && !is_gone_now(pid); i++)
        (void)usleep(2000);
    return is_gone_now(pid);
}

/* --- for a GPU --- */

static const struct dyno_make_wish on_gpu = {.device = "cuda:1", .fp16 = true};
static const struct dyno_make_wish maybe_on_gpu = {.device = "cuda:0", .is_device_assumed = true};

static void want_as(struct dyno_maker *maker, const char *name, const char *path,
                    const struct dyno_make_wish *wish)
{
    bool is_pending = false;
    forget();
    (void)unlink(at("log"));
    CHECK(dyno_maker_want(maker, name, 1, path, wish, true, &is_pending, NULL) == DYNO_OK);
}

/* The builder tells what it is, and is asked once for both engines. */
static void test_gpu(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    const char *path = model("m", "fine");
    char before[sizeof(story.path)];
    put(at("gpu"), "a card");
    want_as(maker, "m", path, &on_gpu);
    CHECK(wait_for("m/1 baseline builds"));
    CHECK(wait_for("m/1 tuned there"));
    CHECK_STR(contents(at("log")), "asked device cuda:1 --json\nbaseline m --device=cuda:1\n"
                                   "tuned m --fp16 --device=cuda:1\n");
    CHECK(!dyno_maker_is_outdated(maker, "m", 1, path, &on_gpu));
    CHECK(dyno_maker_is_outdated(maker, "m", 1, path, &plain));
    CHECK(dyno_maker_is_outdated(maker, "m", 1, path, &maybe_on_gpu));
    /* Of another card, or with another library, it is another engine. */
    memcpy(before, story.path, sizeof(before));
    put(at("gpu"), "a card, and another library");
    want_as(maker, "m", path, &on_gpu);
    CHECK(wait_for("m/1 tuned there") && strcmp(story.path, before) != 0);
    /* No library for the baseline: the tuned engine is the first, and on the CPU there is none. */
    want_as(maker, "bare", model("bare", "bare"), &on_gpu);
    CHECK(wait_for("bare/1 tuned there"));
    CHECK_STR(story.text, "bare/1 baseline builds, bare/1 tuned builds, bare/1 tuned there, ");
    want_as(maker, "bare", at("bare/1"), &plain);
    CHECK(wait_for("bare/1 baseline failed"));
    CHECK_STR(story.reason, "no library for it");
    end(maker, cache);
}

static void test_no_gpu(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    const char *path = model("m", "fine");
    (void)unlink(at("gpu"));
    want_as(maker, "m", path, &on_gpu);
    CHECK(wait_for("m/1 baseline failed"));
    CHECK_STR(story.reason, "there is no driver");
    CHECK_STR(contents(at("log")), "asked device cuda:1 --json\n");
    want_as(maker, "m", path, &maybe_on_gpu);
    CHECK(wait_for("m/1 tuned there"));
    CHECK_STR(contents(at("log")), "asked device cuda:0 --json\nbaseline m\ntuned m\n");
    const struct dyno_make_wish half = {
        .device = "cuda:0", .is_device_assumed = true, .fp16 = true};
    want_as(maker, "m", path, &half);
    CHECK(wait_for("m/1 baseline failed"));
    CHECK_STR(story.reason, "its configuration has build.fp16, which goes with a GPU, and it is "
                            "built for the CPU");
    const struct dyno_make_wish refused = {.refusal = "not here"};
    want_as(maker, "m", path, &refused);
    CHECK(wait_for("m/1 baseline failed"));
    CHECK_STR(story.reason, "not here");
    CHECK_STR(contents(at("log")), "");
    CHECK(!dyno_maker_is_outdated(maker, "m", 1, path, &refused));
    CHECK(dyno_maker_is_outdated(maker, "m", 1, path, &plain));
    end(maker, cache);
}

static void test_dropped(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    want(maker, "slow", model("slow", "slow"), false);
    want(maker, "late", model("late", "late"), false);
    const long pid = builder_pid();
    CHECK(pid > 0 && has_drafts());
    CHECK(last_is_pending);
    want(maker, "slow", at("slow/1"), true); /* goes on */
    CHECK(!last_is_pending && !is_gone_now(pid));
    struct dyno_maker_stats stats;
    dyno_maker_stats(maker, &stats);
    CHECK(stats.running_count == 1 && stats.waiting_count == 1);
    forget();
    dyno_maker_drop(maker, "slow", 1);
    CHECK(is_gone(pid));
    CHECK(wait_for("late/1 tuned there"));
    CHECK(!was_told("slow"));
    dyno_maker_stats(maker, &stats);
    CHECK(stats.cancelled_count == 1 && stats.failed_count == 0);
    end(maker, cache);
}

static void test_stopped(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    want(maker, "slow", model("slow", "slow"), false);
    const long pid = builder_pid();
    CHECK(pid > 0);
    forget();
    dyno_maker_stop(maker);
    CHECK(is_gone(pid) && !was_told("slow"));
    want(maker, "slow", at("slow/1"), true);
    (void)usleep(20000);
    CHECK(!was_told("slow"));
    end(maker, cache);
}

static void test_other_wish(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    const char *path = model("m", "slow");
    want(maker, "m", path, false);
    const long pid = builder_pid();
    const uint64_t ticket = last_ticket();
    (void)unlink(at("pid"));
    forget();
    const struct dyno_make_wish other = {.max_batch = 8};
    bool is_pending = false;
    CHECK(dyno_maker_want(maker, "m", 1, path, &other, false, &is_pending, NULL) == DYNO_OK);
    CHECK(is_pending && is_gone(pid) && !dyno_maker_is_current(maker, "m", 1, ticket));
    CHECK(builder_pid() > 0);
    end(maker, cache);
}

/* Another file under the same name: what is built of the old one is ended when somebody asks. */
static void test_other_file(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    const char *path = model("m", "slow");
    want(maker, "m", path, false);
    const long pid = builder_pid();
    (void)model("m", "quick");
    want(maker, "m", path, false);
    CHECK(last_is_pending && is_gone(pid));
    CHECK(wait_for("m/1 tuned there"));
    dyno_maker_retain(maker, "m", (const uint64_t[]){1, 3}, 2);
    CHECK(dyno_maker_is_current(maker, "m", 1, story.ticket));
    dyno_maker_retain(maker, "m", (const uint64_t[]){2, 3}, 2);
    CHECK(!dyno_maker_is_current(maker, "m", 1, story.ticket));
    end(maker, cache);
}

/* A model that is replaced while it is built is built again. */
static void test_changes(void)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = create(&cache, at("builder"));
    want(maker, "m", model("m", "changes"), false);
    CHECK(wait_for("m/1 tuned there"));
    CHECK_STR(contents(at("log")), "baseline m\ntuned m\nbaseline m\ntuned m\n");
    end(maker, cache);
}

/* Each allocation fails once, in whichever thread makes it: an error, or a failure that is told of,
 * and nothing is left behind. */
static bool try_without(uint64_t nth, const char *path, const struct dyno_make_wish *wish)
{
    struct dyno_engine_cache *cache = NULL;
    struct dyno_maker *maker = NULL;
    bool is_pending = false;
    forget();
    dyno_mem_fail_at(nth);
    enum dyno_status status = dyno_engine_cache_open(at("cache"), 0, &cache, NULL);
    const struct dyno_maker_options options = {.builder = at("builder"),
                                               .cache = cache,
                                               .job_max = 1,
                                               .thread_count = 1,
                                               .told = told,
                                               .told_arg = &story};
    if (status == DYNO_OK)
        status = dyno_maker_create(&options, &maker, NULL);
    if (status == DYNO_OK)
        status = dyno_maker_want(maker, "m", 1, path, wish, false, &is_pending, NULL);
    if (status == DYNO_OK)
        CHECK(wait_for("m/1 baseline failed"));
    else
        CHECK(status == DYNO_E_NOMEM);
    dyno_mem_fail_at(0);
    const bool is_whole = strcmp(story.reason, "the model is broken") == 0;
    CHECK(status != DYNO_OK || is_whole || strcmp(story.reason, "out of memory") == 0);
    dyno_maker_destroy(maker);
    dyno_engine_cache_close(cache);
    CHECK(dyno_mem_live_count() == 0);
    return is_whole;
}

static void test_memory(const struct dyno_make_wish *wish)
{
    const char *path = model("m", "broken");
    int lost_count = 0;
    bool is_whole = false;
    put(at("gpu"), "a card");
    for (uint64_t nth = 1; nth <= 48; nth++) { /* there are fewer, and one can be done without */
        is_whole = try_without(nth, path, wish);
        lost_count += !is_whole;
    }
    CHECK_MSG(lost_count > 10 && is_whole, "%d mattered", lost_count);
    CHECK(!has_drafts());
}

int main(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/dyno-maker-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    put(at("builder"), script);
    REQUIRE(chmod(at("builder"), 0700) == 0);
    test_both_stages();
    test_baselines_first();
    test_failures();
    test_gpu();
    test_no_gpu();
    test_dropped();
    test_stopped();
    test_other_wish();
    test_other_file();
    test_changes();
    test_memory(&plain);
    test_memory(&maybe_on_gpu);
    CHECK(dyno_mem_live_count() == 0);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command) == 0 ? TEST_RESULT() : EXIT_FAILURE;
}
