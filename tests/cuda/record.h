/* record.h - a driver without a GPU: memory is the host's, launches are written down.
 *
 * It stands in for libcuda through dyno_cu_replace, so everything above the driver runs as it does
 * on a GPU, except that kernels compute nothing.  Any thread; what happened is read, and the next
 * failure set, while nobody calls it.
 */
#ifndef DYNO_TESTS_CUDA_RECORD_H
#define DYNO_TESTS_CUDA_RECORD_H

#include <stdatomic.h>

#include "backend/cuda/device.h"

#define RECORD_LAUNCHES_MAX 4096

struct record_launch {
    unsigned grid[3], threads, shared_bytes;
    size_t params_bytes;
    uint64_t params_hash;
    bool captured;         /* into a graph, not run at once */
    uint32_t follow_count; /* launches there that it follows */
};

struct record {
    int compute;   /* of the GPU that it plays: 90 */
    int sm_count;  /* 132 */
    int gpu_count; /* such GPUs: 1 */
    int driver;    /* CUDA version that it is for: 13000 */
    bool has_no_pools;
    /* what happened */
    struct record_launch launches[RECORD_LAUNCHES_MAX];
    atomic_uint launch_count;
    atomic_uint run_count; /* launches that ran, those of graphs at each launch of the graph */
    atomic_uint graph_count, graph_launch_count;
    atomic_uint copy_in_count, copy_out_count;
    atomic_uint_fast64_t copied_in_bytes, copied_out_bytes;
    atomic_uint locked_count;        /* ranges of the caller's memory that are page-locked now */
    atomic_uint wait_count;          /* streams that were told to wait for an event */
    atomic_uint module_count;        /* loaded now */
    atomic_uint device_wait_count;   /* calls that may wait for all streams of a GPU */
    atomic_bool is_busy;             /* copies or launches since the last wait */
    atomic_uint early_free_count;    /* of a pool, meanwhile */
    atomic_uint trim_count;          /* pools that were told to keep nothing */
    atomic_uint_fast64_t idle_bytes; /* that pools hold for nobody */
    atomic_int opened_gpu;           /* the last one whose context was taken */
    atomic_int_fast64_t live_count;  /* handles and blocks that are not given back */
    atomic_uint_fast64_t call_count;
    uint64_t fail_at;  /* this call fails (1: the next) ... */
    int fail_code;     /* ... with this code */
    bool stays_broken; /* ... and so does every call after it */
    atomic_bool failed;
};

/* Start anew with this machine, and be the driver from now on. */
struct record *record_start(int compute);
/* The machine's own driver again. */
void record_end(void);

#endif /* DYNO_TESTS_CUDA_RECORD_H */
