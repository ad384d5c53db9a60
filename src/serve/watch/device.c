/* device.c - a lock around a timeline. */
#include "serve/watch/device.h"

#include "base/clock.h"

void dyno_device_init(struct dyno_device *device, uint32_t cores)
{
    (void)pthread_mutex_init(&device->lock, NULL);
    dyno_timeline_init(&device->timeline, cores, dyno_clock_ns());
}

void dyno_device_fini(struct dyno_device *device)
{
    (void)pthread_mutex_destroy(&device->lock);
}

/* The clock is read under the lock, so that times do not go back. */
void dyno_device_begin(struct dyno_device *device, uint32_t threads, bool is_platform,
                       struct dyno_timeline_run *run)
{
    if (device == NULL)
        return;
    (void)pthread_mutex_lock(&device->lock);
    dyno_timeline_begin(&device->timeline, dyno_clock_ns(), threads, is_platform, run);
    (void)pthread_mutex_unlock(&device->lock);
}

uint64_t dyno_device_end(struct dyno_device *device, const struct dyno_timeline_run *run)
{
    if (device == NULL)
        return 0;
    (void)pthread_mutex_lock(&device->lock);
    const uint64_t ns = dyno_timeline_end(&device->timeline, dyno_clock_ns(), run);
    (void)pthread_mutex_unlock(&device->lock);
    return ns;
}

void dyno_device_read(struct dyno_device *device, struct dyno_timeline_sums *sums_out)
{
    (void)pthread_mutex_lock(&device->lock);
    dyno_timeline_read(&device->timeline, dyno_clock_ns(), sums_out);
    (void)pthread_mutex_unlock(&device->lock);
}
