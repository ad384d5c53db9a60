/* device.h - the time of a device that a server runs on, charged to runs as they begin and end.
 *
 * A lock around a timeline (meter/account/timeline.h).  A CPU's capacity is the threads that runs
 * share, and a run is charged from its begin to its end.  A GPU has a capacity of 1, and what a run
 * kept busy of it is known when it is over, by its events: that much before its end is charged,
 * which no other run may have (kernels of runs follow each other on a GPU, and runs end in that
 * order).  So a GPU's account
 * is told as of the time when the oldest run in flight was begun.  Any thread.
 */
#ifndef DYNO_SERVE_WATCH_DEVICE_H
#define DYNO_SERVE_WATCH_DEVICE_H

#include <pthread.h>

#include "meter/account/timeline.h"

/* In the memory of whoever runs it, until it is over. */
struct dyno_device_run {
    struct dyno_timeline_run mark;
    struct dyno_device_run *next, *prev; /* of a GPU: in flight */
    uint64_t begin_ns;
    bool is_platform;
};

struct dyno_device {
    pthread_mutex_t lock;
    struct dyno_timeline timeline;
    bool is_gpu;
    struct dyno_device_run *runs; /* of a GPU */
};

/* cores: at least 1; 0: it is a GPU. */
void dyno_device_init(struct dyno_device *device, uint32_t cores);
void dyno_device_fini(struct dyno_device *device);

/* A run on so many threads begins now.  All accept NULL, which charges nothing. */
void dyno_device_begin(struct dyno_device *device, uint32_t threads, bool is_platform,
                       struct dyno_device_run *run);
/* It is over: its nanoseconds, of a CPU's cores.  busy_ns before end_ns (CLOCK_MONOTONIC) it kept a
 * GPU busy; of a CPU neither counts. */
uint64_t dyno_device_end(struct dyno_device *device, struct dyno_device_run *run, uint64_t end_ns,
                         uint64_t busy_ns);

void dyno_device_read(struct dyno_device *device, struct dyno_timeline_sums *sums_out);

#endif /* DYNO_SERVE_WATCH_DEVICE_H */
