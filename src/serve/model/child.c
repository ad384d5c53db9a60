/* child.c - vfork, exec, wait. */
#include "serve/model/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define TEXT_BYTES    4096 /* of standard error are kept, the last ones */
#define LOOK_AGAIN_MS 20   /* where the kernel does not tell of the end */

struct child {
    const struct dyno_child_options *options;
    pid_t pid;
    int pid_fd;  /* -1: this kernel has none */
    int text_fd; /* its standard error; -1 at the end */
    int out_fd;  /* its standard output, which is kept; -1: nobody reads it, or it has ended */
    uint64_t start_ns;
    bool is_cancelled, is_late;
    char text[TEXT_BYTES], first[DYNO_CHILD_SAID_BYTES];
    size_t text_bytes, first_bytes, out_bytes;
    bool has_first; /* the whole line, or as much as is kept of it */
};

/* --- the new process --- */

struct start {
    const struct dyno_child_options *options;
    pid_t parent;
    int null_fd, out_fd, text_fd, failed_fd; /* all above 3 */
};

/* Where memory is short the builder goes, not the server. */
static void offer_to_oom(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        (void)close(fd);
    }
}

static void close_from(int first)
{
    if (close_range((unsigned)first, ~0U, 0) == 0)
        return;
    const long count = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < (count > 0 && count < 65536 ? (int)count : 65536); fd++)
        (void)close(fd);
}

/* In the new process, which shares memory with the old one until it executes: it may call what is
 * safe in a signal handler, and change nothing. */
_Noreturn static void become(const struct start *start)
{
    const struct sched_param lowest = {.sched_priority = 0};
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    const struct rlimit none = {0, 0};
    sigset_t empty;
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != start->parent) /* it is dead already */
        _exit(127);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)setpriority(PRIO_PROCESS, 0, 19);
    if (sched_setscheduler(0, SCHED_IDLE, &lowest) != 0)
        (void)sched_setscheduler(0, SCHED_BATCH, &lowest);
    offer_to_oom();
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &usual, NULL);
    if (dup2(start->null_fd, 0) == 0 && dup2(start->out_fd, 1) == 1 &&
        dup2(start->text_fd, 2) == 2 && dup3(start->failed_fd, 3, O_CLOEXEC) == 3) {
        close_from(4);
        (void)sigemptyset(&empty);
        (void)sigprocmask(SIG_SETMASK, &empty, NULL);
        (void)execve(start->options->path, (char *const *)(uintptr_t)start->options->args,
                     (char *const *)(uintptr_t)start->options->env);
        const int error = errno;
        (void)!write(3, &error, sizeof(error));
    }
    _exit(127);
}

/* Without vfork the page tables of all engines would be copied, and the threads that serve would
 * then copy each page that they write. */
static pid_t start_process(const struct start *start)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    /* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): posix_spawn sets no priority */
    const pid_t pid = vfork();
    if (pid == 0)
        become(start); /* NOLINT(clang-analyzer-unix.Vfork): on Linux it may do what this does */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* A pipe whose ends are above 3, so that none is in the way when they take their places. */
static bool open_pipe(int ends[2])
{
    int made[2];
    if (pipe2(made, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(made[i], F_DUPFD_CLOEXEC, 4);
        (void)close(made[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static enum dyno_status start(struct child *child, struct dyno_err *err)
{
    const char *path = child->options->path;
    int text[2] = {-1, -1};
    int out[2] = {-1, -1};
    int failed[2] = {-1, -1};
    int error = 0;
    struct start start = {.options = child->options, .parent = getpid()};
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) /* a root without devices */
        null_fd = memfd_create("null", MFD_CLOEXEC);
    start.null_fd = null_fd >= 0 ? fcntl(null_fd, F_DUPFD_CLOEXEC, 4) : -1;
    enum dyno_status status = DYNO_OK;
    if (start.null_fd < 0 || !open_pipe(text) || !open_pipe(failed) ||
        (child->options->out != NULL && !open_pipe(out))) {
        status = DYNO_FAIL(err, DYNO_E_IO, "cannot start '%s': %s", path, strerror(errno));
        goto out;
    }
    start.text_fd = text[1];
    start.out_fd = out[1] >= 0 ? out[1] : start.null_fd;
    start.failed_fd = failed[1];
    child->pid = start_process(&start);
    if (child->pid < 0) {
        status = DYNO_FAIL(err, DYNO_E_IO, "cannot start '%s': %s", path, strerror(errno));
        goto out;
    }
    close_fd(&failed[1]);
    if (read(failed[0], &error, sizeof(error)) == (ssize_t)sizeof(error)) {
        (void)waitpid(child->pid, NULL, 0);
        status = DYNO_FAIL(err, DYNO_E_IO, "cannot execute '%s': %s", path, strerror(error));
        goto out;
    }
    child->pid_fd = pidfd_open(child->pid, 0);
    child->text_fd = text[0];
    text[0] = -1;
    (void)fcntl(child->text_fd, F_SETFL, O_NONBLOCK);
    child->out_fd = out[0];
    out[0] = -1;
    if (child->out_fd >= 0)
        (void)fcntl(child->out_fd, F_SETFL, O_NONBLOCK);
out:
    for (int i = 0; i < 2; i++) {
        close_fd(&text[i]);
        close_fd(&out[i]);
        close_fd(&failed[i]);
    }
    close_fd(&start.null_fd);
    if (null_fd >= 0)
        (void)close(null_fd);
    return status;
}

/* --- waiting --- */

/* Keep the first line. */
static void keep_first(struct child *child, const char *more, size_t bytes)
{
    const char *end = memchr(more, '\n', bytes);
    const size_t room = sizeof(child->first) - child->first_bytes;
    const size_t line_bytes = end != NULL ? (size_t)(end - more) : bytes;
    const size_t kept = line_bytes < room ? line_bytes : room;
    if (child->has_first)
        return;
    memcpy(child->first + child->first_bytes, more, kept);
    child->first_bytes += kept;
    child->has_first = end != NULL || child->first_bytes == sizeof(child->first);
}

/* The end of what it says is kept. */
static void keep_last(struct child *child, const char *more, size_t bytes)
{
    if (child->text_bytes + bytes > TEXT_BYTES) {
        const size_t gone = child->text_bytes + bytes - TEXT_BYTES;
        memmove(child->text, child->text + gone, child->text_bytes - gone);
        child->text_bytes -= gone;
    }
    memcpy(child->text + child->text_bytes, more, bytes);
    child->text_bytes += bytes;
}

/* The beginning of what it gives out is. */
static void keep_out(struct child *child, const char *more, size_t bytes)
{
    const struct dyno_child_options *options = child->options;
    const size_t room = options->out_room - 1 - child->out_bytes;
    const size_t kept = bytes < room ? bytes : room;
    memcpy(options->out + child->out_bytes, more, kept);
    child->out_bytes += kept;
}

/* All that is there of one of the two. */
static void hear(struct child *child, int *fd)
{
    char more[1024];
    while (*fd >= 0) {
        const ssize_t got = read(*fd, more, sizeof(more));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            close_fd(fd);
        } else if (fd == &child->out_fd) {
            keep_out(child, more, (size_t)got);
        } else {
            keep_first(child, more, (size_t)got);
            keep_last(child, more, (size_t)got);
        }
    }
}

/* Has it ended?  It stays a zombie, so that its number is nobody else's. */
static bool has_ended(const struct child *child)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
           info.si_pid == child->pid;
}

static int wait_ms(const struct child *child, bool is_killed)
{
    const uint64_t limit_ns = child->options->timeout_ns;
    const uint64_t gone_ns = dyno_clock_ns() - child->start_ns;
    int64_t left_ms = -1;
    if (limit_ns != 0 && !is_killed)
        left_ms = gone_ns >= limit_ns ? 0 : (int64_t)((limit_ns - gone_ns) / 1000000) + 1;
    if (child->pid_fd < 0 && (left_ms < 0 || left_ms > LOOK_AGAIN_MS))
        left_ms = LOOK_AGAIN_MS;
    return left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

static void wait_for_end(struct child *child)
{
    const struct dyno_child_options *options = child->options;
    bool is_killed = false;
    while (!has_ended(child)) {
        struct pollfd fds[4] = {{child->pid_fd, POLLIN, 0},
                                {child->text_fd, POLLIN, 0},
                                {is_killed ? -1 : options->cancel_fd, POLLIN, 0},
                                {child->out_fd, POLLIN, 0}};
        if (poll(fds, 4, wait_ms(child, is_killed)) < 0 && errno != EINTR)
            continue;
        if (fds[1].revents != 0)
            hear(child, &child->text_fd);
        if (fds[3].revents != 0)
            hear(child, &child->out_fd);
        if (is_killed)
            continue;
        child->is_cancelled = (fds[2].revents & POLLIN) != 0;
        child->is_late =
            options->timeout_ns != 0 && dyno_clock_ns() - child->start_ns >= options->timeout_ns;
        if (child->is_cancelled || child->is_late) {
            (void)kill(-child->pid, SIGKILL);
            is_killed = true;
        }
    }
}

/* --- what is told of it --- */

/* The last line that has something in it. */
static void last_line(const struct child *child, char *out, size_t room)
{
    const char *text = child->text;
    size_t end = child->text_bytes;
    while (end > 0 && (unsigned char)text[end - 1] <= ' ')
        end--;
    size_t start = end;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    dyno_utf8_clean(text + start, end - start, out, room);
}

static enum dyno_status judge(const struct child *child, const struct dyno_child_end *end,
                              struct dyno_err *err)
{
    const char *path = child->options->path;
    if (child->is_cancelled)
        return DYNO_FAIL(err, DYNO_E_CANCELLED, "'%s' was ended", path);
    if (child->is_late)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' was ended after %.0f s", path,
                         (double)child->options->timeout_ns * 1e-9);
    if (end->exit_code == 0)
        return DYNO_OK;
    if (end->signal != 0) {
        const char *name = sigabbrev_np(end->signal);
        return DYNO_FAIL(err, DYNO_E_IO, "'%s' was ended by SIG%s", path,
                         name != NULL ? name : "?");
    }
    if (end->said[0] != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "%s", end->said);
    return DYNO_FAIL(err, DYNO_E_IO, "'%s' ended with exit code %d", path, end->exit_code);
}

enum dyno_status dyno_child_run(const struct dyno_child_options *options,
                                struct dyno_child_end *end_out, struct dyno_err *err)
{
    struct child child = {
        .options = options, .pid_fd = -1, .text_fd = -1, .out_fd = -1, .start_ns = dyno_clock_ns()};
    int status = 0;
    DYNO_ASSERT(options->out == NULL || options->out_room > 0);
    *end_out = (struct dyno_child_end){0};
    if (options->out != NULL)
        memset(options->out, 0, options->out_room);
    DYNO_TRY(start(&child, err));
    wait_for_end(&child);
    (void)kill(-child.pid, SIGKILL); /* whatever it has left */
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    hear(&child, &child.text_fd);
    hear(&child, &child.out_fd);
    close_fd(&child.text_fd);
    close_fd(&child.out_fd);
    close_fd(&child.pid_fd);
    end_out->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end_out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    end_out->run_ns = dyno_clock_ns() - child.start_ns;
    last_line(&child, end_out->said, sizeof(end_out->said));
    dyno_utf8_clean(child.first, child.first_bytes, end_out->said_first,
                    sizeof(end_out->said_first));
    return judge(&child, end_out, err);
}
