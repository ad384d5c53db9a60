/* record.h - a driver without a GPU: memory is the host's, launches are written down.
 *
 * It stands in for libcuda through dyno_cu_replace, so everything above the driver runs as it does
 * on a GPU, except that kernels compute nothing.  One thread.
 */
#ifndef DYNO_TESTS_CUDA_RECORD_H
#define DYNO_TESTS_CUDA_RECORD_H

#include "backend/cuda/device.h"

#define RECORD_LAUNCHES_MAX 4096

struct record_launch {
    unsigned grid[3], threads, shared_bytes;
    size_t params_bytes;
    bool captured;         /* into a graph, not run at once */
    uint32_t follow_count; /* launches there that it follows */
};

struct record {
    int compute;   /* of the GPU that it plays: 90 */
    int sm_count;  /* 132 */
    int gpu_count; /* such GPUs: 1 */
    /* what happened */
    struct record_launch launches[RECORD_LAUNCHES_MAX];
    uint32_t launch_count;
    uint32_t run_count; /* launches that ran, those of graphs at each launch of the graph */
    uint32_t graph_count, graph_launch_count;
    uint32_t copy_in_count, copy_out_count;
    uint64_t copied_in_bytes, copied_out_bytes;
    uint32_t module_count; /* loaded now */
    int opened_gpu;        /* the last one whose context was taken */
    int64_t live_count;    /* handles and blocks that are not given back */
    uint64_t call_count;
    uint64_t fail_at; /* this call fails (1: the next) ... */
    int fail_code;    /* ... with this code */
    bool failed;
};

/* Start anew with this machine, and be the driver from now on. */
struct record *record_start(int compute);
/* The machine's own driver again. */
void record_end(void);

#endif /* DYNO_TESTS_CUDA_RECORD_H */
