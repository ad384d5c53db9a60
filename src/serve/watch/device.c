/* device.c - a lock around a timeline. */
#include "serve/watch/device.h"

#include "base/clock.h"

void dyno_device_init(struct dyno_device *device, uint32_t cores)
{
    (void)pthread_mutex_init(&device->lock, NULL);
    device->is_gpu = cores == 0;
    device->runs = NULL;
    dyno_timeline_init(&device->timeline, device->is_gpu ? 1 : cores, dyno_clock_ns());
}

void dyno_device_fini(struct dyno_device *device)
{
    (void)pthread_mutex_destroy(&device->lock);
}

static void link_run(struct dyno_device *device, struct dyno_device_run *run)
{
    run->prev = NULL;
    run->next = device->runs;
    if (device->runs != NULL)
        device->runs->prev = run;
    device->runs = run;
}

static void unlink_run(struct dyno_device *device, struct dyno_device_run *run)
{
    if (run->prev != NULL)
        run->prev->next = run->next;
    else
        device->runs = run->next;
    if (run->next != NULL)
        run->next->prev = run->prev;
}

/* The clock is read under the lock, so that times do not go back. */
void dyno_device_begin(struct dyno_device *device, uint32_t threads, bool is_platform,
                       struct dyno_device_run *run)
{
    if (device == NULL)
        return;
    (void)pthread_mutex_lock(&device->lock);
    run->begin_ns = dyno_clock_ns();
    run->is_platform = is_platform;
    if (device->is_gpu)
        link_run(device, run);
    else
        dyno_timeline_begin(&device->timeline, run->begin_ns, threads, is_platform, &run->mark);
    (void)pthread_mutex_unlock(&device->lock);
}

/* The time that it kept the GPU busy: before its end, or where another run has had that, behind
 * it, up to now.  (Runs follow each other on a GPU, but how long it takes until one's end is
 * noticed varies.) */
static uint64_t charge_busy(struct dyno_device *device, struct dyno_device_run *run,
                            uint64_t end_ns, uint64_t busy_ns)
{
    struct dyno_timeline *timeline = &device->timeline;
    const uint64_t present_ns = dyno_clock_ns();
    uint64_t start_ns = end_ns > busy_ns ? end_ns - busy_ns : 0;
    unlink_run(device, run);
    start_ns = start_ns > timeline->now_ns ? start_ns : timeline->now_ns;
    if (busy_ns == 0 || present_ns <= start_ns)
        return 0;
    end_ns = present_ns - start_ns > busy_ns ? start_ns + busy_ns : present_ns;
    dyno_timeline_begin(timeline, start_ns, 1, run->is_platform, &run->mark);
    return dyno_timeline_end(timeline, end_ns, &run->mark);
}

uint64_t dyno_device_end(struct dyno_device *device, struct dyno_device_run *run, uint64_t end_ns,
                         uint64_t busy_ns)
{
    uint64_t ns = 0;
    if (device == NULL)
        return 0;
    (void)pthread_mutex_lock(&device->lock);
    if (device->is_gpu)
        ns = charge_busy(device, run, end_ns, busy_ns);
    else
        ns = dyno_timeline_end(&device->timeline, dyno_clock_ns(), &run->mark);
    (void)pthread_mutex_unlock(&device->lock);
    return ns;
}

/* Up to when everything is known. */
static uint64_t known_ns(const struct dyno_device *device)
{
    uint64_t ns = dyno_clock_ns();
    for (const struct dyno_device_run *at = device->runs; at != NULL; at = at->next)
        ns = at->begin_ns < ns ? at->begin_ns : ns;
    return ns > device->timeline.now_ns ? ns : device->timeline.now_ns;
}

void dyno_device_read(struct dyno_device *device, struct dyno_timeline_sums *sums_out)
{
    (void)pthread_mutex_lock(&device->lock);
    dyno_timeline_read(&device->timeline, known_ns(device), sums_out);
    (void)pthread_mutex_unlock(&device->lock);
}
