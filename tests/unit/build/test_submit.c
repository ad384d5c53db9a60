/* test_submit.c - runs through the public API that are submitted: waited for, cancelled, in their
 * order, from many threads at once. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "unit/build/context_case.h"

/* Runs submitted to contexts of one pool go one after the other, whatever engine they are of. */
static void test_pool_in_order(void)
{
    struct dyno_err err = {0};
    message model = small_conv_net();
    struct dyno_built other = chain_build(&model, (struct dyno_build_options){.pool = pool}, &err);
    dyno_strbuf_fini(&model);
    struct dyno_context *contexts[6];
    struct dyno_array outputs[6] = {{.data = NULL}};
    struct dyno_run_times times[6];
    for (int i = 0; i < 6; i++) {
        contexts[i] = new_context(i % 2 == 0 ? conv.engine : other.engine);
        CHECK(dyno_context_submit(contexts[i], &images[1 + i % BATCHES], &outputs[i], NULL, NULL,
                                  NULL) == DYNO_OK);
    }
    for (int i = 0; i < 6; i++) {
        while (!dyno_context_poll(contexts[i]))
            (void)sched_yield();
        CHECK(dyno_context_wait(contexts[i], &times[i], NULL) == DYNO_OK);
        CHECK(is_right(&outputs[i], 1 + i % BATCHES));
        CHECK(i == 0 || times[i].start_ns >= times[i - 1].end_ns);
        dyno_context_destroy(contexts[i]);
    }
    dyno_built_fini(&other);
}

/* --- submitted runs --- */

/* What a callback saw; `hold` keeps the thread that called it until it is posted. */
struct seen {
    atomic_int count;
    enum dyno_status status;
    struct dyno_run_times times;
    char text[DYNO_ERR_TEXT_BYTES];
    pthread_t thread;
    sem_t called, let_go;
    sem_t *hold;
};

static void seen_init(struct seen *seen, sem_t *hold)
{
    memset(seen, 0, sizeof(*seen));
    (void)sem_init(&seen->called, 0, 0);
    (void)sem_init(&seen->let_go, 0, 0);
    seen->hold = hold;
}

static void on_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err)
{
    struct seen *seen = arg;
    seen->status = status;
    seen->times = *times;
    seen->thread = pthread_self();
    (void)snprintf(seen->text, sizeof(seen->text), "%s", err->text);
    sem_t *const hold = seen->hold; /* without one `seen` may be gone once we have called */
    atomic_fetch_add(&seen->count, 1);
    (void)sem_post(&seen->called);
    if (hold != NULL) {
        (void)sem_wait(hold);
        (void)sem_post(&seen->let_go);
    }
}

static void test_submit_and_poll(void)
{
    struct dyno_context *context = new_context(conv.engine);
    struct dyno_array output = {.data = NULL};
    struct dyno_run_times times;
    CHECK(dyno_context_poll(context) == 1);
    CHECK(dyno_context_cancel(context) == 0);
    for (int round = 0; round < 20; round++) {
        const uint64_t before_ns = dyno_clock_ns();
        output = (struct dyno_array){.data = NULL};
        CHECK(dyno_context_submit(context, &images[5], &output, NULL, NULL, NULL) == DYNO_OK);
        while (round % 2 == 0 && dyno_context_poll(context) == 0) {
        }
        CHECK(dyno_context_wait(context, &times, NULL) == DYNO_OK);
        CHECK(dyno_context_poll(context) == 1);
        CHECK(is_right(&output, 5));
        CHECK(times.submit_ns >= before_ns && times.start_ns >= times.submit_ns);
        CHECK(times.end_ns >= times.start_ns && times.end_ns <= dyno_clock_ns());
    }
    struct dyno_array wrong = images[5];
    struct dyno_err err = {0};
    wrong.dims[2] = 8;
    CHECK(dyno_context_submit(context, &wrong, &output, NULL, NULL, &err) == DYNO_OK);
    CHECK(dyno_context_wait(context, NULL, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "input 'x': dimension 2 is 8, wants 9");
    dyno_context_destroy(context);
}

static void test_callback(void)
{
    struct dyno_context *context = new_context(conv.engine);
    struct dyno_array output = {.data = NULL};
    struct seen seen;
    seen_init(&seen, NULL);
    CHECK(dyno_context_submit(context, &images[2], &output, on_done, &seen, NULL) == DYNO_OK);
    (void)sem_wait(&seen.called);
    CHECK(seen.status == DYNO_OK && is_right(&output, 2));
    CHECK(seen.times.submit_ns <= seen.times.start_ns && seen.times.start_ns <= seen.times.end_ns);
    CHECK(!pthread_equal(seen.thread, pthread_self()));
    CHECK(dyno_context_poll(context) == 1);
    struct dyno_array wrong = images[2];
    wrong.rank = 2;
    CHECK(dyno_context_submit(context, &wrong, &output, on_done, &seen, NULL) == DYNO_OK);
    (void)sem_wait(&seen.called);
    CHECK(seen.status == DYNO_E_ARG);
    CHECK_STR(seen.text, "input 'x': has 2 dimensions, wants 4");
    dyno_context_destroy(context);
    CHECK(atomic_load(&seen.count) == 2);
    (void)sem_destroy(&seen.called);
}

/* Keeps the engine's own thread inside a callback, so that what is submitted stays queued. */
struct plug {
    struct dyno_context *context;
    struct dyno_array output;
    struct seen seen;
    sem_t hold;
};

static void plug_in(struct plug *plug)
{
    (void)sem_init(&plug->hold, 0, 0);
    seen_init(&plug->seen, &plug->hold);
    plug->context = new_context(conv.engine);
    plug->output = (struct dyno_array){.data = NULL};
    CHECK(dyno_context_submit(plug->context, &images[1], &plug->output, on_done, &plug->seen,
                              NULL) == DYNO_OK);
    (void)sem_wait(&plug->seen.called);
}

static void plug_out(struct plug *plug)
{
    (void)sem_post(&plug->hold);
    dyno_context_destroy(plug->context);
    (void)sem_wait(&plug->seen.let_go); /* its callback has done with our stack */
    CHECK(atomic_load(&plug->seen.count) == 1);
}

static void test_cancel(void)
{
    struct plug plug;
    struct seen seen;
    struct dyno_err err = {0};
    struct dyno_array output = {.data = NULL};
    struct dyno_context *context = new_context(conv.engine);
    plug_in(&plug);
    seen_init(&seen, NULL);
    CHECK(dyno_context_submit(context, &images[3], &output, on_done, &seen, NULL) == DYNO_OK);
    CHECK(dyno_context_poll(context) == 0 && atomic_load(&seen.count) == 0);
    CHECK(dyno_context_submit(context, &images[3], &output, NULL, NULL, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "this context has a run in flight already");
    err = (struct dyno_err){0};
    CHECK(dyno_context_run(context, &images[3], &output, &err) == DYNO_E_ARG);
    CHECK(dyno_context_cancel(context) == 1);
    CHECK(atomic_load(&seen.count) == 1 && seen.status == DYNO_E_CANCELLED);
    CHECK(pthread_equal(seen.thread, pthread_self()));
    CHECK(seen.times.start_ns == 0 && output.data == NULL);
    CHECK(dyno_context_cancel(context) == 0 && dyno_context_poll(context) == 1);
    /* Without a callback: told by wait. */
    CHECK(dyno_context_submit(context, &images[3], &output, NULL, NULL, NULL) == DYNO_OK);
    CHECK(dyno_context_cancel(context) == 1 && dyno_context_poll(context) == 1);
    err = (struct dyno_err){0};
    CHECK(dyno_context_wait(context, NULL, &err) == DYNO_E_CANCELLED);
    CHECK_STR(err.text, "cancelled before it started");
    CHECK(dyno_context_run(context, &images[3], &output, NULL) == DYNO_OK && is_right(&output, 3));
    plug_out(&plug);
    CHECK(atomic_load(&seen.count) == 1);
    dyno_context_destroy(context);
}

/* wait and destroy run what has not started, on the thread that calls them. */
static void test_wait_runs(void)
{
    struct plug plug;
    struct seen seen;
    struct dyno_array output = {.data = NULL};
    struct dyno_context *context = new_context(conv.engine);
    plug_in(&plug);
    seen_init(&seen, NULL);
    CHECK(dyno_context_submit(context, &images[6], &output, on_done, &seen, NULL) == DYNO_OK);
    CHECK(dyno_context_wait(context, NULL, NULL) == DYNO_OK);
    CHECK(atomic_load(&seen.count) == 1 && pthread_equal(seen.thread, pthread_self()));
    CHECK(is_right(&output, 6));
    CHECK(dyno_context_submit(context, &images[4], &output, on_done, &seen, NULL) == DYNO_OK);
    dyno_context_destroy(context);
    CHECK(atomic_load(&seen.count) == 2 && seen.status == DYNO_OK);
    plug_out(&plug);
}

/* First in, first out, whatever is taken out of the middle. */
static void test_order(void)
{
    enum { COUNT = 6 };
    struct plug plug;
    struct dyno_context *contexts[COUNT];
    struct dyno_array outputs[COUNT] = {{.data = NULL}};
    struct seen seen[COUNT];
    plug_in(&plug);
    for (int i = 0; i < COUNT; i++) {
        contexts[i] = new_context(conv.engine);
        seen_init(&seen[i], NULL);
        CHECK(dyno_context_submit(contexts[i], &images[1 + i % BATCHES], &outputs[i], on_done,
                                  &seen[i], NULL) == DYNO_OK);
    }
    CHECK(dyno_context_cancel(contexts[5]) == 1);
    CHECK(dyno_context_cancel(contexts[2]) == 1);
    CHECK(dyno_context_cancel(contexts[0]) == 1);
    plug_out(&plug);
    for (int i = 0; i < COUNT; i++)
        (void)sem_wait(&seen[i].called);
    for (int i = 0; i < COUNT; i++) {
        const bool cancelled = i == 0 || i == 2 || i == 5;
        CHECK(seen[i].status == (cancelled ? DYNO_E_CANCELLED : DYNO_OK));
        CHECK(cancelled || is_right(&outputs[i], 1 + i % BATCHES));
    }
    CHECK(seen[1].times.end_ns <= seen[3].times.start_ns);
    CHECK(seen[3].times.end_ns <= seen[4].times.start_ns);
    for (int i = 0; i < COUNT; i++) {
        dyno_context_destroy(contexts[i]);
        CHECK(atomic_load(&seen[i].count) == 1);
    }
}

/* A callback hands on to another context. */
struct relay {
    struct dyno_context *next;
    struct dyno_array *output;
    struct seen last;
};

static void hand_on(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err)
{
    struct relay *relay = arg;
    (void)times;
    (void)err;
    CHECK(status == DYNO_OK);
    CHECK(dyno_context_submit(relay->next, &images[2], relay->output, on_done, &relay->last,
                              NULL) == DYNO_OK);
}

static void test_relay(void)
{
    struct dyno_array outputs[2] = {{.data = NULL}};
    struct relay relay = {.next = new_context(conv.engine), .output = &outputs[1]};
    struct dyno_context *first = new_context(conv.engine);
    seen_init(&relay.last, NULL);
    CHECK(dyno_context_submit(first, &images[1], &outputs[0], hand_on, &relay, NULL) == DYNO_OK);
    (void)sem_wait(&relay.last.called);
    CHECK(is_right(&outputs[0], 1) && is_right(&outputs[1], 2));
    dyno_context_destroy(first);
    dyno_context_destroy(relay.next);
}

/* The context goes as soon as its run is done, again and again: nobody touches it later. */
static void test_destroy_at_once(void)
{
    for (int round = 0; round < 200; round++) {
        struct seen seen;
        struct dyno_array output = {.data = NULL};
        struct dyno_context *context = new_context(conv.engine);
        seen_init(&seen, NULL);
        CHECK(dyno_context_submit(context, &images[1], &output, on_done, &seen, NULL) == DYNO_OK);
        if (round % 2 == 0)
            while (dyno_context_poll(context) == 0) {
            }
        dyno_context_destroy(context);
        (void)sem_wait(&seen.called);
        CHECK(atomic_load(&seen.count) == 1 && seen.status == DYNO_OK);
    }
}

/* --- many threads --- */

struct client {
    pthread_t thread;
    int idx;
    int wrong_count;
};

static void *serve_client(void *arg)
{
    struct client *client = arg;
    struct dyno_context *context = NULL;
    if (dyno_context_create(conv.engine, pool, &context, NULL) != DYNO_OK) {
        client->wrong_count = -1;
        return NULL;
    }
    for (int round = 0; round < 40; round++) {
        const int batch = 1 + (round * 7 + client->idx) % BATCHES;
        struct dyno_array output = {.data = NULL};
        enum dyno_status status = DYNO_OK;
        if (round % 3 == 0) {
            status = dyno_context_run(context, &images[batch], &output, NULL);
        } else {
            status = dyno_context_submit(context, &images[batch], &output, NULL, NULL, NULL);
            if (status == DYNO_OK)
                status = dyno_context_wait(context, NULL, NULL);
        }
        client->wrong_count += status != DYNO_OK || !is_right(&output, batch);
    }
    dyno_context_destroy(context);
    return NULL;
}

static void test_many_threads(void)
{
    struct client clients[5];
    for (int i = 0; i < (int)DYNO_COUNT(clients); i++) {
        clients[i] = (struct client){.idx = i};
        REQUIRE(pthread_create(&clients[i].thread, NULL, serve_client, &clients[i]) == 0);
    }
    for (size_t i = 0; i < DYNO_COUNT(clients); i++) {
        (void)pthread_join(clients[i].thread, NULL);
        CHECK_MSG(clients[i].wrong_count == 0, "thread %zu: %d", i, clients[i].wrong_count);
    }
}

int main(void)
{
    context_case_begin();
    test_pool_in_order();
    test_submit_and_poll();
    test_callback();
    test_cancel();
    test_wait_runs();
    test_order();
    test_relay();
    test_destroy_at_once();
    test_many_threads();
    return context_case_end();
}
