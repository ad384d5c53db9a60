/* process.h - the process that drives a GPU, as its parent has it. */
#ifndef DYNO_SERVE_GPU_PROCESS_H
#define DYNO_SERVE_GPU_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Execute `program` --drive-gpu `device`, with nothing open but /dev/null, standard error, and its
 * end of a socket pair at DYNO_GPU_FD (wire.h).  *socket_out: the other end, which does not wait;
 * the caller's, as the process is. */
DYNO_NODISCARD enum dyno_status dyno_gpu_spawn(const char *program, const char *device,
                                               int *socket_out, pid_t *pid_out,
                                               struct dyno_err *err);

/* The child is to be no more: killed at once, or, its socket being closed, after a while.  how_out:
 * how it ended, as a sentence about "its driver". */
void dyno_gpu_bury(pid_t pid, bool is_killed, char *how_out, size_t room);

#endif /* DYNO_SERVE_GPU_PROCESS_H */
