/* test_child.c - a program is started, heard, judged, and gone. */
#include "serve/model/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

#define SECOND_NS UINT64_C(1000000000)

static const char *const env[] = {"PATH=/usr/bin:/bin", "MARK=here", NULL};

/* A shell script. */
static enum dyno_status run(const char *script, uint64_t timeout_ns, int cancel_fd,
                            struct dyno_child_end *end, struct dyno_err *err)
{
    const char *const args[] = {"sh", "-c", script, NULL};
    const struct dyno_child_options options = {.path = "/bin/sh",
                                               .args = args,
                                               .env = env,
                                               .timeout_ns = timeout_ns,
                                               .cancel_fd = cancel_fd};
    *err = (struct dyno_err){0};
    return dyno_child_run(&options, end, err);
}

static int fd_count(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static void test_ends(void)
{
    struct dyno_child_end end;
    struct dyno_err err;
    CHECK(run("exit 0", 0, -1, &end, &err) == DYNO_OK);
    CHECK(end.exit_code == 0 && end.signal == 0 && end.said[0] == 0 && end.run_ns > 0);
    CHECK(run("echo first >&2; echo the reason >&2; echo; exit 65", 0, -1, &end, &err) ==
          DYNO_E_IO);
    CHECK(end.exit_code == 65);
    CHECK_STR(end.said_first, "first");
    CHECK_STR(err.text, "the reason");
    CHECK(run("exit 3", 0, -1, &end, &err) == DYNO_E_IO);
    CHECK_STR(err.text, "'/bin/sh' ended with exit code 3");
    CHECK(run("kill -SEGV $$", 0, -1, &end, &err) == DYNO_E_IO && end.exit_code == -1 &&
          end.signal == SIGSEGV);
    CHECK_STR(err.text, "'/bin/sh' was ended by SIGSEGV");
}

static void test_what_it_says(void)
{
    struct dyno_child_end end;
    struct dyno_err err;
    CHECK(run("printf 'a\\033[1mb\\tc\\001\\377d\\177\\303\\244\\n\\n \\n' >&2", 0, -1, &end,
              &err) == DYNO_OK);
    CHECK_STR(end.said, "a?[1mb?c??d?\xc3\xa4");
    CHECK(run("head -c 3000000 /dev/zero | tr '\\0' x >&2", 0, -1, &end, &err) == DYNO_OK);
    CHECK(strlen(end.said) == DYNO_CHILD_SAID_BYTES - 1 &&
          strspn(end.said, "x") == strlen(end.said));
    CHECK_STR(end.said_first, end.said);
    CHECK(run("yes 2>&1 | head -c 3000000 >&2; echo; echo last >&2", 0, -1, &end, &err) == DYNO_OK);
    CHECK_STR(end.said, "last");
    CHECK_STR(end.said_first, "y");
    CHECK(run("printf 'a\\tb' >&2", 0, -1, &end, &err) == DYNO_OK);
    CHECK_STR(end.said_first, "a?b");
}

/* The beginning of its standard output, for who asks; all of it is read. */
static void test_what_it_gives(void)
{
    struct dyno_child_end end;
    char out[16];
    const char *script[] = {"sh", "-c", "printf 'a\\nb\\n'; echo no >&2", NULL};
    struct dyno_child_options options = {.path = "/bin/sh",
                                         .args = script,
                                         .env = env,
                                         .cancel_fd = -1,
                                         .out = out,
                                         .out_room = sizeof(out)};
    CHECK(dyno_child_run(&options, &end, NULL) == DYNO_OK);
    CHECK_STR(out, "a\nb\n");
    CHECK_STR(end.said, "no");
    script[2] = "head -c 3000000 /dev/zero | tr '\\0' x";
    CHECK(dyno_child_run(&options, &end, NULL) == DYNO_OK);
    CHECK_STR(out, "xxxxxxxxxxxxxxx");
    script[2] = ":";
    CHECK(dyno_child_run(&options, &end, NULL) == DYNO_OK);
    CHECK_STR(out, "");
    /* Not waited for when it is left to somebody. */
    script[2] = "echo b; exec >&-; exec sleep 0.1";
    CHECK(dyno_child_run(&options, &end, NULL) == DYNO_OK);
    CHECK_STR(out, "b\n");
}

static void test_not_started(void)
{
    struct dyno_err err = {0};
    struct dyno_child_end end;
    const char *const args[] = {"x", NULL};
    struct dyno_child_options options = {
        .path = "/nowhere/x", .args = args, .env = env, .cancel_fd = -1};
    CHECK(dyno_child_run(&options, &end, &err) == DYNO_E_IO);
    CHECK_STR(err.text, "cannot execute '/nowhere/x': No such file or directory");
    options.path = "/etc/passwd";
    err = (struct dyno_err){0};
    CHECK(dyno_child_run(&options, &end, &err) == DYNO_E_IO);
    CHECK_STR(err.text, "cannot execute '/etc/passwd': Permission denied");
    CHECK(waitpid(-1, NULL, WNOHANG) < 0); /* no zombie */
}

static void test_late(void)
{
    struct dyno_err err;
    struct dyno_child_end end;
    const uint64_t start_ns = dyno_clock_ns();
    CHECK(run("trap '' TERM; sleep 600", SECOND_NS / 5, -1, &end, &err) == DYNO_E_LIMIT);
    CHECK(end.signal == SIGKILL && dyno_clock_ns() - start_ns < 30 * SECOND_NS);
    CHECK_STR(err.text, "'/bin/sh' was ended after 0 s");
}

static void test_cancelled(void)
{
    struct dyno_err err;
    struct dyno_child_end end;
    const uint64_t one = 1;
    const int fd = eventfd(0, EFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    CHECK(run("sleep 600", 0, fd, &end, &err) == DYNO_E_CANCELLED && end.signal == SIGKILL);
    (void)close(fd);
}

static bool is_gone(long pid)
{
    char path[64];
    char text[256] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return true;
    const bool is_read = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    return !is_read || strstr(text, ") Z ") != NULL; /* dead, if nobody has reaped it */
}

static bool goes(long pid)
{
    for (int i = 0; i < 1000 && !is_gone(pid); i++)
        (void)usleep(10000);
    return is_gone(pid);
}

static void test_what_it_leaves(void)
{
    struct dyno_err err;
    struct dyno_child_end end;
    CHECK(run("sleep 600 & echo $! >&2", 0, -1, &end, &err) == DYNO_OK);
    const long pid = strtol(end.said, NULL, 10);
    CHECK(pid > 0 && goes(pid));
}

/* Signals, priority, environment, descriptors. */
static void test_how_it_starts(void)
{
    struct dyno_err err;
    struct dyno_child_end end;
    sigset_t some;
    sigset_t before;
    char script[256];
    const int leak = fcntl(0, F_DUPFD, 77);
    REQUIRE(leak >= 77);
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &some, &before);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(script, sizeof(script), "test ! -e /proc/$$/fd/%d && test ! -e /proc/$$/fd/3",
                   leak);
    CHECK(run(script, 0, -1, &end, &err) == DYNO_OK);
    CHECK(run("test \"$(tr '\\0' ' ' </proc/$$/environ)\" = 'PATH=/usr/bin:/bin MARK=here '", 0, -1,
              &end, &err) == DYNO_OK);
    CHECK(run("echo $(grep -E '^Sig(Blk|Ign):' /proc/self/status) >&2", 0, -1, &end, &err) ==
          DYNO_OK);
    CHECK_STR(end.said, "SigBlk: 0000000000000000 SigIgn: 0000000000000000");
    CHECK(run("set -- $(cat /proc/$$/stat); test $5 = $$ && echo yes ${19} ${41} >&2", 0, -1, &end,
              &err) == DYNO_OK);
    CHECK_STR(end.said, "yes 19 5");
    CHECK(run("cat /proc/$$/oom_score_adj >&2; read -r x; test -z \"$x\"", 0, -1, &end, &err) ==
          DYNO_OK);
    CHECK_STR(end.said, "1000");
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(leak);
}

/* Who runs one is killed: it goes, too. */
static void test_orphan(void)
{
    int ends[2];
    char text[32] = "";
    REQUIRE(pipe(ends) == 0);
    const pid_t runner = fork();
    REQUIRE(runner >= 0);
    if (runner == 0) {
        struct dyno_err err;
        struct dyno_child_end end;
        char script[64];
        (void)snprintf(script, sizeof(script), "echo $$ >/proc/%d/fd/%d; exec sleep 600",
                       (int)getpid(), ends[1]);
        (void)run(script, 0, -1, &end, &err);
        _exit(0);
    }
    REQUIRE(read(ends[0], text, sizeof(text) - 1) > 0);
    const long pid = strtol(text, NULL, 10);
    CHECK(pid > 0 && !is_gone(pid));
    (void)kill(runner, SIGKILL);
    (void)waitpid(runner, NULL, 0);
    CHECK(goes(pid));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const int before = fd_count();
    test_ends();
    test_what_it_says();
    test_what_it_gives();
    test_not_started();
    test_late();
    test_cancelled();
    test_what_it_leaves();
    test_how_it_starts();
    test_orphan();
    CHECK(fd_count() == before);
    return TEST_RESULT();
}
