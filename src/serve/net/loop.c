/* loop.c - epoll, a heap of timers, a list that other threads push to. */
#include "serve/net/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define EVENTS_MAX 128

struct dyno_loop {
    int epoll_fd;
    struct dyno_watch wake; /* an eventfd */
    _Atomic(struct dyno_mail *) mail;
    atomic_bool is_asleep; /* or about to be: whoever has mail for it wakes it */
    atomic_bool stop;
    struct dyno_timer **heap;
    size_t heap_count, heap_room;
    struct dyno_turn *turns;
    struct dyno_slab *slab;
    uint64_t now_ns;
    /* The events of one wake-up: an unwatched one is blanked. */
    struct epoll_event events[EVENTS_MAX];
    int event_idx, event_count;
    char *buffer;
};

/* Its number is left: edge-triggered, each write is an event of its own. */
static void wake_ready(struct dyno_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
}

static void wake(struct dyno_loop *loop)
{
    const uint64_t one = 1;
    (void)!write(loop->wake.fd, &one, sizeof(one));
}

enum dyno_status dyno_loop_create(struct dyno_loop **loop_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    *loop_out = NULL;
    struct dyno_loop *loop = dyno_alloc(1, sizeof(*loop));
    if (loop == NULL)
        return DYNO_NOMEM(err);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake =
        (struct dyno_watch){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ready = wake_ready};
    loop->buffer = dyno_alloc_raw(DYNO_LOOP_BUFFER_BYTES, 1);
    loop->slab = dyno_slab_create();
    loop->now_ns = dyno_clock_ns();
    if (loop->buffer == NULL || loop->slab == NULL)
        status = DYNO_NOMEM(err);
    else if (loop->epoll_fd < 0 || loop->wake.fd < 0)
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot make an event loop: %s", strerror(errno));
    else
        status = dyno_loop_watch(loop, &loop->wake, EPOLLIN, err);
    if (status != DYNO_OK) {
        dyno_loop_destroy(loop);
        return status;
    }
    *loop_out = loop;
    return DYNO_OK;
}

void dyno_loop_destroy(struct dyno_loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->wake.fd >= 0)
        (void)close(loop->wake.fd);
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    dyno_slab_destroy(loop->slab);
    dyno_free(loop->buffer);
    dyno_free(loop->heap);
    dyno_free(loop);
}

uint64_t dyno_loop_now_ns(const struct dyno_loop *loop)
{
    return loop->now_ns;
}

char *dyno_loop_buffer(struct dyno_loop *loop)
{
    return loop->buffer;
}

struct dyno_slab *dyno_loop_slab(struct dyno_loop *loop)
{
    return loop->slab;
}

/* --- descriptors --- */

enum dyno_status dyno_loop_watch(struct dyno_loop *loop, struct dyno_watch *watch, uint32_t events,
                                 struct dyno_err *err)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot watch a descriptor: %s", strerror(errno));
    return DYNO_OK;
}

void dyno_loop_unwatch(struct dyno_loop *loop, struct dyno_watch *watch)
{
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = loop->event_idx + 1; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

/* --- timers: a binary heap, each timer knows its place --- */

static void heap_set(struct dyno_loop *loop, size_t idx, struct dyno_timer *timer)
{
    loop->heap[idx] = timer;
    timer->heap_idx = idx + 1;
}

static void heap_up(struct dyno_loop *loop, size_t idx, struct dyno_timer *timer)
{
    while (idx > 0 && loop->heap[(idx - 1) / 2]->at_ns > timer->at_ns) {
        heap_set(loop, idx, loop->heap[(idx - 1) / 2]);
        idx = (idx - 1) / 2;
    }
    heap_set(loop, idx, timer);
}

static void heap_down(struct dyno_loop *loop, size_t idx, struct dyno_timer *timer)
{
    for (;;) {
        size_t child = 2 * idx + 1;
        if (child >= loop->heap_count)
            break;
        if (child + 1 < loop->heap_count && loop->heap[child + 1]->at_ns < loop->heap[child]->at_ns)
            child++;
        if (loop->heap[child]->at_ns >= timer->at_ns)
            break;
        heap_set(loop, idx, loop->heap[child]);
        idx = child;
    }
    heap_set(loop, idx, timer);
}

void dyno_loop_disarm(struct dyno_loop *loop, struct dyno_timer *timer)
{
    if (timer->heap_idx == 0)
        return;
    const size_t idx = timer->heap_idx - 1;
    struct dyno_timer *last = loop->heap[--loop->heap_count];
    timer->heap_idx = 0;
    if (last == timer)
        return;
    if (idx > 0 && loop->heap[(idx - 1) / 2]->at_ns > last->at_ns)
        heap_up(loop, idx, last);
    else
        heap_down(loop, idx, last);
}

bool dyno_loop_arm(struct dyno_loop *loop, struct dyno_timer *timer, uint64_t at_ns)
{
    dyno_loop_disarm(loop, timer);
    if (loop->heap_count == loop->heap_room) {
        const size_t room = loop->heap_room == 0 ? 64 : loop->heap_room * 2;
        void *moved = dyno_realloc(loop->heap, loop->heap_count * sizeof(struct dyno_timer *), room,
                                   sizeof(struct dyno_timer *));
        if (moved == NULL)
            return false;
        loop->heap = moved;
        loop->heap_room = room;
    }
    timer->at_ns = at_ns;
    heap_up(loop, loop->heap_count++, timer);
    return true;
}

static void fire_timers(struct dyno_loop *loop)
{
    while (loop->heap_count > 0 && loop->heap[0]->at_ns <= loop->now_ns) {
        struct dyno_timer *timer = loop->heap[0];
        dyno_loop_disarm(loop, timer);
        timer->fire(timer);
    }
}

static int sleep_ms(const struct dyno_loop *loop)
{
    if (loop->heap_count == 0)
        return -1;
    const uint64_t at_ns = loop->heap[0]->at_ns;
    const uint64_t now_ns = dyno_clock_ns();
    if (at_ns <= now_ns)
        return 0;
    const uint64_t ms = (at_ns - now_ns + 999999) / 1000000;
    return ms < 3600000 ? (int)ms : 3600000;
}

/* --- mailbox --- */

void dyno_loop_post_list(struct dyno_loop *loop, struct dyno_mail *last, struct dyno_mail *first)
{
    struct dyno_mail *head = atomic_load_explicit(&loop->mail, memory_order_relaxed);
    do {
        first->next = head;
    } while (!atomic_compare_exchange_weak(&loop->mail, &head, last));
    /* Whoever fills an empty box rings, and only where somebody sleeps; the loop empties it whole.
     * It says that it sleeps before it looks into the box for the last time. */
    if (head == NULL && atomic_exchange(&loop->is_asleep, false))
        wake(loop);
}

void dyno_loop_post(struct dyno_loop *loop, struct dyno_mail *mail)
{
    dyno_loop_post_list(loop, mail, mail);
}

/* False: there was none. */
static bool deliver(struct dyno_loop *loop)
{
    if (atomic_load_explicit(&loop->mail, memory_order_relaxed) == NULL)
        return false;
    struct dyno_mail *mail = atomic_exchange_explicit(&loop->mail, NULL, memory_order_acquire);
    struct dyno_mail *in_order = NULL;
    while (mail != NULL) {
        struct dyno_mail *next = mail->next;
        mail->next = in_order;
        in_order = mail;
        mail = next;
    }
    while (in_order != NULL) {
        struct dyno_mail *next = in_order->next;
        in_order->deliver(in_order);
        in_order = next;
    }
    return true;
}

/* --- turning --- */

void dyno_loop_at_end(struct dyno_loop *loop, struct dyno_turn *turn)
{
    if (turn->is_queued)
        return;
    turn->is_queued = true;
    turn->next = loop->turns;
    loop->turns = turn;
}

/* A turn that queues itself again waits for the next one. */
static void end_turn(struct dyno_loop *loop)
{
    struct dyno_turn *turns = loop->turns;
    loop->turns = NULL;
    while (turns != NULL) {
        struct dyno_turn *turn = turns;
        turns = turn->next;
        turn->is_queued = false;
        turn->end(turn);
    }
}

/* What others have for this thread is older than what it would do next: an answer whose wait is
 * over leaves before more is read. */
static void deliver_first(struct dyno_loop *loop)
{
    if (deliver(loop))
        end_turn(loop);
}

void dyno_loop_stop(struct dyno_loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}

/* How many events there are, at once or after a while. */
static int wait_for_events(struct dyno_loop *loop, int wait_ms_max)
{
    int wait_ms = loop->turns != NULL ? 0 : sleep_ms(loop);
    if (wait_ms < 0 || (wait_ms_max >= 0 && wait_ms > wait_ms_max))
        wait_ms = wait_ms_max;
    if (wait_ms != 0) {
        atomic_store(&loop->is_asleep, true);
        if (atomic_load(&loop->mail) != NULL)
            wait_ms = 0;
    }
    const int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, wait_ms);
    atomic_store_explicit(&loop->is_asleep, false, memory_order_relaxed);
    return count;
}

void dyno_loop_turn(struct dyno_loop *loop, int wait_ms_max)
{
    const int count = wait_for_events(loop, wait_ms_max);
    loop->now_ns = dyno_clock_ns();
    loop->event_count = count > 0 ? count : 0;
    loop->event_idx = -1; /* none of them is being told */
    deliver_first(loop);
    for (loop->event_idx = 0; loop->event_idx < loop->event_count; loop->event_idx++) {
        const struct epoll_event *event = &loop->events[loop->event_idx];
        struct dyno_watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->ready(watch, event->events);
        deliver_first(loop);
    }
    loop->event_count = 0;
    fire_timers(loop);
    end_turn(loop);
}

void dyno_loop_run(struct dyno_loop *loop)
{
    while (!atomic_load_explicit(&loop->stop, memory_order_relaxed))
        dyno_loop_turn(loop, -1);
}
