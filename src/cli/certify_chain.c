/* certify_chain.c - a thread that times a chain of dependent additions. */
#include "cli/certify_chain.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "meter/cert/cert.h"

#define PAUSE_NS    50000000L
#define SECOND_NS   1000000000L
#define CHAIN_TRIES 3

struct dyno_certify_chain {
    dyno_certify_chain_fn *time;
    pthread_t thread;
    pid_t tid; /* 0 until the thread tells it */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the thread told its number, a segment began, or it all ends */
    bool ends;
    bool is_open;     /* a segment */
    uint64_t segment; /* which one */
    uint64_t sum_ns;
    uint64_t count;
};

uint64_t dyno_certify_chain_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < CHAIN_TRIES; i++) {
        uint64_t sum = 1;
        const uint64_t start_ns = dyno_clock_ns();
        for (uint32_t k = 0; k < DYNO_CERT_CHAIN_ADDS; k += 8) {
            for (int unrolled = 0; unrolled < 8; unrolled++) {
                sum += k;
                __asm__ volatile("" : "+r"(sum)); /* the compiler may not fold the chain */
            }
        }
        const uint64_t ns = dyno_clock_ns() - start_ns;
        least = ns < least ? ns : least;
    }
    return least > 0 ? least : 1;
}

/* Locked. */
static bool is_in(const struct dyno_certify_chain *chain, uint64_t segment)
{
    return !chain->ends && chain->is_open && chain->segment == segment;
}

/* Locked; false: the segment ended before the pause did. */
static bool pause_in(struct dyno_certify_chain *chain, uint64_t segment)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PAUSE_NS;
    if (until.tv_nsec >= SECOND_NS) {
        until.tv_nsec -= SECOND_NS;
        until.tv_sec++;
    }
    int code = 0;
    while (code == 0 && is_in(chain, segment))
        code = pthread_cond_timedwait(&chain->changed, &chain->lock, &until);
    return is_in(chain, segment);
}

static void *watch(void *arg)
{
    struct dyno_certify_chain *chain = arg;
    (void)pthread_setname_np(pthread_self(), "dyno-clock");
    (void)pthread_mutex_lock(&chain->lock);
    chain->tid = (pid_t)syscall(SYS_gettid);
    (void)pthread_cond_broadcast(&chain->changed);
    while (!chain->ends) {
        const uint64_t segment = chain->segment;
        if (!chain->is_open) {
            (void)pthread_cond_wait(&chain->changed, &chain->lock);
            continue;
        }
        if (!pause_in(chain, segment))
            continue;
        (void)pthread_mutex_unlock(&chain->lock);
        const uint64_t ns = chain->time();
        (void)pthread_mutex_lock(&chain->lock);
        if (is_in(chain, segment)) { /* else it tells of what came after */
            chain->sum_ns += ns;
            chain->count++;
        }
    }
    (void)pthread_mutex_unlock(&chain->lock);
    return NULL;
}

static void destroy(struct dyno_certify_chain *chain)
{
    (void)pthread_cond_destroy(&chain->changed);
    (void)pthread_mutex_destroy(&chain->lock);
    dyno_free(chain);
}

enum dyno_status dyno_certify_chain_open(dyno_certify_chain_fn *time,
                                         struct dyno_certify_chain **chain_out,
                                         struct dyno_err *err)
{
    pthread_condattr_t monotonic;
    *chain_out = NULL;
    struct dyno_certify_chain *chain = dyno_alloc(1, sizeof(*chain));
    if (chain == NULL)
        return DYNO_NOMEM(err);
    chain->time = time;
    (void)pthread_mutex_init(&chain->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&chain->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    const int code = pthread_create(&chain->thread, NULL, watch, chain);
    if (code != 0) {
        destroy(chain);
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a thread that watches the clock did not start: %s",
                         strerror(code));
    }
    (void)pthread_mutex_lock(&chain->lock);
    while (chain->tid == 0)
        (void)pthread_cond_wait(&chain->changed, &chain->lock);
    (void)pthread_mutex_unlock(&chain->lock);
    *chain_out = chain;
    return DYNO_OK;
}

void dyno_certify_chain_close(struct dyno_certify_chain *chain)
{
    if (chain == NULL)
        return;
    (void)pthread_mutex_lock(&chain->lock);
    chain->ends = true;
    (void)pthread_cond_broadcast(&chain->changed);
    (void)pthread_mutex_unlock(&chain->lock);
    (void)pthread_join(chain->thread, NULL);
    destroy(chain);
}

pid_t dyno_certify_chain_tid(const struct dyno_certify_chain *chain)
{
    return chain != NULL ? chain->tid : 0;
}

void dyno_certify_chain_begin(struct dyno_certify_chain *chain)
{
    if (chain == NULL)
        return;
    (void)pthread_mutex_lock(&chain->lock);
    chain->is_open = true;
    chain->segment++;
    chain->sum_ns = 0;
    chain->count = 0;
    (void)pthread_cond_broadcast(&chain->changed);
    (void)pthread_mutex_unlock(&chain->lock);
}

uint64_t dyno_certify_chain_end(struct dyno_certify_chain *chain)
{
    (void)pthread_mutex_lock(&chain->lock);
    chain->is_open = false; /* the thread need not wake for that */
    uint64_t sum_ns = chain->sum_ns;
    const uint64_t count = chain->count + 1;
    (void)pthread_mutex_unlock(&chain->lock);
    sum_ns += chain->time();
    return (sum_ns + count / 2) / count;
}
