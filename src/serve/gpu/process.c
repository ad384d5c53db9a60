/* process.c - starting a child, and seeing it off. */
#include "serve/gpu/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve/gpu/wire.h"

#define LEAVE_MS 2000 /* for a child whose socket is closed */

enum dyno_status dyno_gpu_spawn(const char *program, const char *device, int *socket_out,
                                pid_t *pid_out, struct dyno_err *err)
{
    char *const args[] = {(char *)(uintptr_t) "dyno-serve", (char *)(uintptr_t) "--drive-gpu",
                          (char *)(uintptr_t)device, NULL};
    int pair[2];
    sigset_t all;
    sigset_t none;
    posix_spawnattr_t how;
    posix_spawn_file_actions_t files;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "no socket for GPU %s: %s", device, strerror(errno));
    (void)posix_spawnattr_init(&how);
    (void)posix_spawn_file_actions_init(&files);
    /* A group of its own: a terminal's SIGINT is the server's, which drains. */
    (void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigdefault(&how, &all);
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setpgroup(&how, 0);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_adddup2(&files, pair[1], DYNO_GPU_FD);
    (void)posix_spawn_file_actions_addclosefrom_np(&files, DYNO_GPU_FD + 1);
    const int code = posix_spawn(pid_out, program, &files, &how, args, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&how);
    (void)close(pair[1]);
    *socket_out = pair[0];
    if (code == 0) {
        (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
        return DYNO_OK;
    }
    (void)close(pair[0]);
    return DYNO_FAIL(err, DYNO_E_IO, "cannot execute '%s': %s", program, strerror(code));
}

/* It should end by itself, its socket being closed; false: it does not. */
static bool has_left(pid_t pid, int *status_out)
{
    const struct timespec step = {.tv_nsec = 2000000};
    for (int ms = 0; ms < LEAVE_MS; ms += 2) {
        const pid_t got = waitpid(pid, status_out, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        (void)nanosleep(&step, NULL);
    }
    return false;
}

void dyno_gpu_bury(pid_t pid, bool is_killed, char *how_out, size_t room)
{
    int status = 0;
    const bool is_stuck = !is_killed && !has_left(pid, &status);
    if (is_killed || is_stuck) {
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (is_stuck)
        (void)snprintf(how_out, room, "its driver heard nothing more and did not end");
    else if (WIFSIGNALED(status))
        (void)snprintf(how_out, room, "its driver was ended by SIG%s", name != NULL ? name : "?");
    else
        (void)snprintf(how_out, room, "its driver ended with exit code %d", WEXITSTATUS(status));
}
