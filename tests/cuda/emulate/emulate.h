/* emulate.h - the parts of the emulated driver beneath its interface (api.h): the loading of
 * programs (image.c), the running of a launch (launch.c), and what a warp does together (warp.c).
 *
 * A tool of the tests.  One thread at a time is inside: the interface holds a lock.
 */
#ifndef DYNO_TESTS_EMULATE_H
#define DYNO_TESTS_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

enum {
    EMULATE_OK = 0,
    EMULATE_INVALID = 1,
    EMULATE_NO_MEMORY = 2,
    EMULATE_BAD_IMAGE = 200,
    EMULATE_NO_CONTEXT = 201,
    EMULATE_OTHER_GPU = 209,
    EMULATE_BAD_HANDLE = 400,
    EMULATE_NOT_FOUND = 500,
    EMULATE_NOT_READY = 600,
    EMULATE_BAD_ADDRESS = 700,
    EMULATE_BAD_LAUNCH = 701,
    EMULATE_MISALIGNED = 716,
    EMULATE_FAILED = 719,
    EMULATE_UNSUPPORTED = 801,
    EMULATE_CAPTURING = 900,
};

/* A loaded program: module and function at once. */
struct emulate_program {
    void *handle;
    const struct emulate_now **now;
    void (*enter)(const void *params);
    const struct emulate_about *about;
    int shared_max; /* dynamic bytes that a launch may have */
};

int emulate_program_load(const void *image, int compute, struct emulate_program **program_out);
void emulate_program_unload(struct emulate_program *program);

struct emulate_launch {
    const struct emulate_program *program;
    unsigned grid[3], threads, shared_bytes;
    const void *params;
};

/* All blocks, on this thread, one cluster after the other.  EMULATE_OK, or what became of it; the
 * reason is on standard error. */
int emulate_launch_run(const struct emulate_launch *what);

/* --- for warp.c --- */

#define EMULATE_LANES 32
#define EMULATE_WARPS 256 /* of a cluster */

struct emulate_warp {
    unsigned number, idx; /* in the cluster, in the block */
    bool is_late;         /* what runs on is done when it is waited for */
};
/* Everything that all lanes brought is there. */
void emulate_warp_do(enum emulate_op op, void *const lanes[EMULATE_LANES],
                     const struct emulate_warp *warp);
/* Before a cluster; the number of products that nobody waited for since the last call. */
unsigned emulate_warp_reset(void);
/* Shared memory of the block that runs.  Ends the launch when it is not all there. */
void *emulate_shared(unsigned at, unsigned bytes);
const float *emulate_f16_table(void);

#endif /* DYNO_TESTS_EMULATE_H */
