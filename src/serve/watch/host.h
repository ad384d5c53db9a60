/* host.h - how busy the machine is, and its memory, as the kernel tells it.  Linux's /proc. */
#ifndef DYNO_SERVE_WATCH_HOST_H
#define DYNO_SERVE_WATCH_HOST_H

#include <pthread.h>
#include <stdint.h>

/* What was told last: use is between two looks.  Zeroed but for the lock. */
struct dyno_host {
    pthread_mutex_t lock;
    uint64_t busy_ticks, all_ticks;
    double use;
};
void dyno_host_init(struct dyno_host *host);
void dyno_host_fini(struct dyno_host *host);

struct dyno_host_figures {
    double cpu_use;                   /* 0..1, of all CPUs, since the look before */
    uint64_t total_bytes, used_bytes; /* 0: not known */
};
/* Any thread. */
void dyno_host_look(struct dyno_host *host, struct dyno_host_figures *figures_out);

#endif /* DYNO_SERVE_WATCH_HOST_H */
