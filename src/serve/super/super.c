/* super.c - fork, wait, fork again. */
#include "serve/super/super.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/super/notify.h"

#define QUICK_NS     UINT64_C(1000000000) /* who falls sooner after being ready falls in a row */
#define QUICK_FREE   2                    /* so many in a row are replaced at once */
#define DELAY_MIN_NS UINT64_C(250000000)
#define DELAY_MAX_NS UINT64_C(5000000000)

enum stage { STARTING, STARTED, READY, STOPPING };

struct shared {
    atomic_uint restarts;
    atomic_int stage;
    atomic_uint_fast64_t ready_ns;
    atomic_bool was_started; /* some worker was */
    struct dyno_wanted wanted;
};

struct dyno_super {
    struct shared *shared;
    bool has_supervisor;
    int signal_fd;
    int told_fd; /* the worker's stage has changed */

    pid_t worker;      /* 0: none */
    uint64_t start_ns; /* without one: when the next is started */
    unsigned quick_count;
    bool is_ready_told; /* to the service manager */
    bool is_told;       /* to end, by a signal */
    bool is_stopping, is_over;
    int exit_code;
    int *listeners;
    size_t listener_count;
};

enum dyno_status dyno_super_create(struct dyno_super **super_out, struct dyno_err *err)
{
    struct dyno_super *super = dyno_alloc(1, sizeof(*super));
    *super_out = NULL;
    if (super == NULL)
        return DYNO_NOMEM(err);
    void *shared = mmap(NULL, sizeof(*super->shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        dyno_free(super);
        return DYNO_NOMEM(err);
    }
    super->shared = shared;
    super->signal_fd = -1;
    super->told_fd = -1;
    *super_out = super;
    return DYNO_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void dyno_super_destroy(struct dyno_super *super)
{
    if (super == NULL)
        return;
    close_fd(&super->signal_fd);
    close_fd(&super->told_fd);
    (void)munmap(super->shared, sizeof(*super->shared));
    dyno_free(super);
}

/* --- the worker's side --- */

static void tell(struct dyno_super *super, enum stage stage)
{
    const uint64_t one = 1;
    atomic_store(&super->shared->stage, stage);
    if (super->has_supervisor)
        (void)!write(super->told_fd, &one, sizeof(one));
    else if (stage == READY)
        dyno_notify("READY=1");
    else if (stage == STOPPING)
        dyno_notify("STOPPING=1");
}

bool dyno_super_started(struct dyno_super *super)
{
    tell(super, STARTED);
    return !atomic_exchange(&super->shared->was_started, true);
}

void dyno_super_ready(struct dyno_super *super)
{
    atomic_store(&super->shared->ready_ns, dyno_clock_ns());
    tell(super, READY);
}

void dyno_super_stopping(struct dyno_super *super)
{
    tell(super, STOPPING);
}

uint64_t dyno_super_restarts(const struct dyno_super *super)
{
    return atomic_load_explicit(&super->shared->restarts, memory_order_relaxed);
}

struct dyno_wanted *dyno_super_wanted(struct dyno_super *super)
{
    return &super->shared->wanted;
}

/* --- the supervisor's side --- */

static void begin_to_stop(struct dyno_super *super)
{
    if (super->is_stopping)
        return;
    super->is_stopping = true;
    for (size_t i = 0; i < super->listener_count; i++)
        close_fd(&super->listeners[i]);
    dyno_notify("STOPPING=1");
    super->is_over = super->worker == 0;
}

static void hear_worker(struct dyno_super *super)
{
    uint64_t count = 0;
    (void)!read(super->told_fd, &count, sizeof(count));
    const int stage = atomic_load(&super->shared->stage);
    if (stage == READY && !super->is_ready_told) {
        super->is_ready_told = true;
        dyno_notify("READY=1");
    }
    if (stage == STOPPING)
        begin_to_stop(super);
}

static void on_signal(struct dyno_super *super, int number)
{
    if (number == SIGCHLD)
        return;
    if (number == SIGTERM || number == SIGINT) {
        begin_to_stop(super);
        number = super->is_told ? SIGKILL : number;
        super->is_told = true;
    }
    if (super->worker != 0)
        (void)kill(super->worker, number);
}

static void describe(int status, char *text, size_t bytes)
{
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (name != NULL)
        (void)snprintf(text, bytes, "SIG%s%s", name, WCOREDUMP(status) ? ", core dumped" : "");
    else if (WIFSIGNALED(status))
        (void)snprintf(text, bytes, "signal %d", WTERMSIG(status));
    else
        (void)snprintf(text, bytes, "exit code %d", WEXITSTATUS(status));
}

/* When the next worker is started.  Two that fall in a row may be two bad requests; more are a
 * cause that a new worker meets again. */
static uint64_t delay_ns(struct dyno_super *super)
{
    const uint64_t now_ns = dyno_clock_ns();
    const uint64_t ready_ns = atomic_load(&super->shared->ready_ns);
    const bool is_quick = ready_ns == 0 || ready_ns > now_ns || now_ns - ready_ns < QUICK_NS;
    super->quick_count = is_quick ? super->quick_count + 1 : 0;
    if (super->quick_count <= QUICK_FREE)
        return 0;
    const unsigned doublings = super->quick_count - QUICK_FREE - 1;
    const uint64_t wait_ns = doublings < 16 ? DELAY_MIN_NS << doublings : DELAY_MAX_NS;
    return wait_ns < DELAY_MAX_NS ? wait_ns : DELAY_MAX_NS;
}

static void plan_next(struct dyno_super *super, const char *what)
{
    const uint64_t wait_ns = delay_ns(super);
    super->start_ns = dyno_clock_ns() + wait_ns;
    if (wait_ns == 0)
        dyno_log(DYNO_LOG_ERROR, "%s; another one is started", what);
    else
        dyno_log(DYNO_LOG_ERROR, "%s; %u in a row: another one is started in %.2g s", what,
                 super->quick_count, (double)wait_ns * 1e-9);
}

static void on_death(struct dyno_super *super, int status)
{
    char reason[64];
    char what[128];
    const bool is_first = super->start_ns == 0;
    const bool failed_to_start = is_first && !atomic_load(&super->shared->was_started);
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    describe(status, reason, sizeof(reason));
    (void)snprintf(what, sizeof(what), "worker %d fell: %s", (int)super->worker, reason);
    super->worker = 0;
    super->is_over = super->is_stopping || code == 0 || (failed_to_start && WIFEXITED(status));
    if (!super->is_over) {
        plan_next(super, what);
        return;
    }
    super->exit_code = code;
    if (WIFSIGNALED(status))
        dyno_log(DYNO_LOG_ERROR, "%s, while it was to end", what);
}

/* Whatever has ended: as the first process of a container we are everybody's parent. */
static void reap(struct dyno_super *super)
{
    int status = 0;
    for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0;)
        if (child == super->worker)
            on_death(super, status);
}

static void be_worker(struct dyno_super *super, pid_t parent, const sigset_t *child_signal)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before we asked to be told */
        (void)kill(getpid(), SIGTERM);
    close_fd(&super->signal_fd);
    (void)pthread_sigmask(SIG_UNBLOCK, child_signal, NULL);
}

static enum dyno_status start(struct dyno_super *super, const sigset_t *child_signal,
                              bool *is_worker_out, struct dyno_err *err)
{
    const pid_t self = getpid();
    const bool is_first = super->start_ns == 0;
    atomic_store(&super->shared->stage, STARTING);
    atomic_store(&super->shared->ready_ns, 0);
    atomic_fetch_add(&super->shared->restarts, !is_first);
    const pid_t child = fork();
    *is_worker_out = child == 0;
    if (child == 0) {
        be_worker(super, self, child_signal);
    } else if (child > 0) {
        super->worker = child;
    } else {
        const int code = errno;
        char what[128];
        if (is_first)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a worker: %s", strerror(code));
        atomic_fetch_sub(&super->shared->restarts, 1);
        (void)snprintf(what, sizeof(what), "cannot start a worker: %s", strerror(code));
        plan_next(super, what);
    }
    return DYNO_OK;
}

/* Until a signal, a word of the worker, or the time to start the next one. */
static void wait_for_news(struct dyno_super *super)
{
    struct pollfd fds[] = {{.fd = super->signal_fd, .events = POLLIN},
                           {.fd = super->told_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    int timeout_ms = -1;
    if (super->worker == 0) {
        const uint64_t now_ns = dyno_clock_ns();
        timeout_ms = super->start_ns > now_ns ? (int)((super->start_ns - now_ns) / 1000000 + 1) : 0;
    }
    (void)poll(fds, DYNO_COUNT(fds), timeout_ms);
    /* Before the signals: a worker that said that it ends has not fallen. */
    hear_worker(super);
    while (read(super->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(super, (int)info.ssi_signo);
    reap(super);
}

static enum dyno_status open_fds(struct dyno_super *super, const sigset_t *signals,
                                 struct dyno_err *err)
{
    super->signal_fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    super->told_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (super->signal_fd < 0 || super->told_fd < 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start the supervisor: %s", strerror(errno));
    super->has_supervisor = true;
    return DYNO_OK;
}

enum dyno_status dyno_super_run(struct dyno_super *super, int *listeners, size_t listener_count,
                                bool *is_worker_out, int *exit_code_out, struct dyno_err *err)
{
    sigset_t signals;
    sigset_t child_signal;
    *is_worker_out = false;
    (void)sigemptyset(&child_signal);
    (void)sigaddset(&child_signal, SIGCHLD);
    signals = child_signal;
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGCHLD,
                 SIG_DFL); /* who started us may have left it ignored: nobody to wait for */
    DYNO_TRY(open_fds(super, &signals, err));
    super->listeners = listeners;
    super->listener_count = listener_count;
    while (!super->is_over) {
        if (super->worker == 0 && dyno_clock_ns() >= super->start_ns)
            DYNO_TRY(start(super, &child_signal, is_worker_out, err));
        if (*is_worker_out)
            return DYNO_OK;
        wait_for_news(super);
    }
    *exit_code_out = super->exit_code;
    return DYNO_OK;
}
