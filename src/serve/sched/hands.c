/* hands.c - a list of work and threads that empty it. */
#include "serve/sched/hands.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

struct dyno_hands {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct dyno_hand_work *first, *last;
    bool is_ending;
    int thread_count;
    pthread_t threads[];
};

static void *work(void *arg)
{
    struct dyno_hands *hands = arg;
    (void)pthread_mutex_lock(&hands->lock);
    for (;;) {
        struct dyno_hand_work *next = hands->first;
        if (next == NULL && hands->is_ending)
            break;
        if (next == NULL) {
            (void)pthread_cond_wait(&hands->came, &hands->lock);
            continue;
        }
        hands->first = next->next;
        (void)pthread_mutex_unlock(&hands->lock);
        next->carry_out(next);
        (void)pthread_mutex_lock(&hands->lock);
    }
    (void)pthread_mutex_unlock(&hands->lock);
    return NULL;
}

enum dyno_status dyno_hands_create(int thread_count, struct dyno_hands **hands_out,
                                   struct dyno_err *err)
{
    *hands_out = NULL;
    struct dyno_hands *hands =
        dyno_alloc(1, sizeof(*hands) + (size_t)thread_count * sizeof(hands->threads[0]));
    if (hands == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&hands->lock, NULL);
    (void)pthread_cond_init(&hands->came, NULL);
    int code = 0;
    while (hands->thread_count < thread_count && code == 0) {
        code = pthread_create(&hands->threads[hands->thread_count], NULL, work, hands);
        hands->thread_count += code == 0;
    }
    if (code != 0) {
        dyno_hands_destroy(hands);
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    }
    *hands_out = hands;
    return DYNO_OK;
}

void dyno_hands_destroy(struct dyno_hands *hands)
{
    if (hands == NULL)
        return;
    (void)pthread_mutex_lock(&hands->lock);
    hands->is_ending = true;
    (void)pthread_cond_broadcast(&hands->came);
    (void)pthread_mutex_unlock(&hands->lock);
    for (int i = 0; i < hands->thread_count; i++)
        (void)pthread_join(hands->threads[i], NULL);
    (void)pthread_cond_destroy(&hands->came);
    (void)pthread_mutex_destroy(&hands->lock);
    dyno_free(hands);
}

void dyno_hands_give(struct dyno_hands *hands, struct dyno_hand_work *work)
{
    work->next = NULL;
    (void)pthread_mutex_lock(&hands->lock);
    if (hands->first != NULL)
        hands->last->next = work;
    else
        hands->first = work;
    hands->last = work;
    (void)pthread_cond_signal(&hands->came);
    (void)pthread_mutex_unlock(&hands->lock);
}
