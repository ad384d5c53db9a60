/* remote.h - an engine that the child of a GPU has open, and instances of it.
 *
 * They are of one child: when that falls they are worth nothing, every run fails with E_BUSY, and
 * all that is left to do is to destroy them.  An instance has memory that it shares with the child,
 * which grows as runs need it; the child cannot make it smaller.
 */
#ifndef DYNO_SERVE_GPU_REMOTE_H
#define DYNO_SERVE_GPU_REMOTE_H

#include "serve/gpu/card.h"

struct dyno_remote_engine;
struct dyno_remote;

/* Start the card's child if there is none, and open the engine there.  file: a descriptor of its
 * file; engine: the same file, opened to be looked at (dyno_engine_inspect), which outlives this.
 * Both are of the caller.  Fails as the child does, without paths; E_BUSY. */
DYNO_NODISCARD enum dyno_status dyno_remote_engine_open(struct dyno_card *card, int file,
                                                        const struct dyno_engine *engine,
                                                        struct dyno_remote_engine **remote_out,
                                                        struct dyno_err *err);
void dyno_remote_engine_close(struct dyno_remote_engine *remote); /* after its instances */

/* What it holds in the child, as that told it last, without its file: of the host, which is more
 * by the memory that is shared; and of the GPU.  Any thread. */
uint64_t dyno_remote_engine_host_bytes(const struct dyno_remote_engine *remote);
uint64_t dyno_remote_engine_gpu_bytes(const struct dyno_remote_engine *remote);

DYNO_NODISCARD enum dyno_status dyno_remote_create(struct dyno_remote_engine *engine,
                                                   struct dyno_remote **remote_out,
                                                   struct dyno_err *err);
void dyno_remote_destroy(struct dyno_remote *remote); /* nothing runs; accepts NULL */

/* Of one run, CLOCK_MONOTONIC, from when the run before it had ended or its own copies began; those
 * of a GPU end in the order in which they are told.  device_ns: that the GPU was busy, by its
 * events. */
struct dyno_remote_times {
    uint64_t start_ns, end_ns, device_ns;
};

/* On the card's thread; outputs are in the shared memory until the next run.  May submit. */
typedef void dyno_remote_done_fn(void *arg, enum dyno_status status,
                                 const struct dyno_remote_times *times, const struct dyno_err *err);

/* The shared memory with room for `bytes`; NULL: there is none.  Inputs that are put there need not
 * be copied.  Nothing runs. */
char *dyno_remote_room(struct dyno_remote *remote, uint64_t bytes);

/* Inputs are copied to the shared memory, unless they lie there, at multiples of 64; `outputs` is
 * filled when it is done.  E_BUSY, and `done` is not called. */
DYNO_NODISCARD enum dyno_status dyno_remote_submit(struct dyno_remote *remote,
                                                   const struct dyno_array *inputs,
                                                   struct dyno_array *outputs,
                                                   dyno_remote_done_fn *done, void *done_arg,
                                                   struct dyno_err *err);

#endif /* DYNO_SERVE_GPU_REMOTE_H */
