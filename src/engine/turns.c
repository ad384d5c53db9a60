/* turns.c - numbers that are served in order, and an event between them. */
#include "engine/turns.h"

#include <pthread.h>

#include "backend/cuda/device.h"
#include "base/mem.h"
#include "engine/gpu_account.h"

struct dyno_turns {
    struct dyno_cuda *cuda;
    void *ended; /* the kernels of whoever had the last turn */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t given, serving;
};

enum dyno_status dyno_turns_create(const char *device, struct dyno_turns **turns_out,
                                   struct dyno_err *err)
{
    int ordinal = 0;
    *turns_out = NULL;
    if (!dyno_cuda_ordinal(device, &ordinal))
        return DYNO_FAIL(err, DYNO_E_ARG, "'%.64s' names no GPU: wants cuda or cuda:N", device);
    struct dyno_turns *turns = dyno_alloc(1, sizeof(*turns));
    if (turns == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&turns->lock, NULL);
    (void)pthread_cond_init(&turns->moved, NULL);
    enum dyno_status status = dyno_cuda_open(ordinal, &turns->cuda, err);
    if (status == DYNO_OK)
        status = dyno_cuda_enter(turns->cuda, err);
    if (status == DYNO_OK)
        status = dyno_cu_check(
            turns->cuda->cu, turns->cuda->cu->event_create(&turns->ended, DYNO_CU_EVENT_NO_TIMING),
            "to make an event", err);
    if (status == DYNO_OK)
        *turns_out = turns;
    else
        dyno_turns_destroy(turns);
    return status;
}

void dyno_turns_destroy(struct dyno_turns *turns)
{
    if (turns == NULL)
        return;
    if (turns->ended != NULL) {
        dyno_gpu_leave(turns->cuda);
        (void)turns->cuda->cu->event_destroy(turns->ended);
    }
    dyno_cuda_close(turns->cuda);
    (void)pthread_cond_destroy(&turns->moved);
    (void)pthread_mutex_destroy(&turns->lock);
    dyno_free(turns);
}

uint64_t dyno_turns_next(struct dyno_turns *turns)
{
    (void)pthread_mutex_lock(&turns->lock);
    const uint64_t number = turns->given++;
    (void)pthread_mutex_unlock(&turns->lock);
    return number;
}

static void wait_for(struct dyno_turns *turns, uint64_t number)
{
    (void)pthread_mutex_lock(&turns->lock);
    while (turns->serving != number)
        (void)pthread_cond_wait(&turns->moved, &turns->lock);
    (void)pthread_mutex_unlock(&turns->lock);
}

void dyno_turns_end(struct dyno_turns *turns)
{
    (void)pthread_mutex_lock(&turns->lock);
    turns->serving++;
    (void)pthread_cond_broadcast(&turns->moved);
    (void)pthread_mutex_unlock(&turns->lock);
}

void dyno_turns_pass(struct dyno_turns *turns, uint64_t number)
{
    wait_for(turns, number);
    dyno_turns_end(turns);
}

enum dyno_status dyno_turns_take(struct dyno_turns *turns, uint64_t number, void *stream,
                                 struct dyno_err *err)
{
    const struct dyno_cu *cu = turns->cuda->cu;
    wait_for(turns, number);
    return dyno_cu_check(cu, cu->stream_wait_event(stream, turns->ended, 0), "to take turns", err);
}

enum dyno_status dyno_turns_mark(struct dyno_turns *turns, void *stream, struct dyno_err *err)
{
    const struct dyno_cu *cu = turns->cuda->cu;
    return dyno_cu_check(cu, cu->event_record(turns->ended, stream), "to take turns", err);
}
