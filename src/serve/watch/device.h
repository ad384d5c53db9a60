/* device.h - the time of the device that a server runs on, charged to runs as they begin and end.
 *
 * A lock around a timeline (meter/account/timeline.h), whose capacity is the threads that runs
 * share. Any thread.
 */
#ifndef DYNO_SERVE_WATCH_DEVICE_H
#define DYNO_SERVE_WATCH_DEVICE_H

#include <pthread.h>

#include "meter/account/timeline.h"

struct dyno_device {
    pthread_mutex_t lock;
    struct dyno_timeline timeline;
};

/* cores: at least 1. */
void dyno_device_init(struct dyno_device *device, uint32_t cores);
void dyno_device_fini(struct dyno_device *device);

/* A run on so many threads begins now.  All accept NULL, which charges nothing. */
void dyno_device_begin(struct dyno_device *device, uint32_t threads, bool is_platform,
                       struct dyno_timeline_run *run);
/* It is over: its core-ns. */
uint64_t dyno_device_end(struct dyno_device *device, const struct dyno_timeline_run *run);

void dyno_device_read(struct dyno_device *device, struct dyno_timeline_sums *sums_out);

#endif /* DYNO_SERVE_WATCH_DEVICE_H */
