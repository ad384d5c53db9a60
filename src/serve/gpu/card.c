/* card.c - the child of one GPU: started, heard, ended. */
#include "serve/gpu/card.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/gpu/look.h"
#include "serve/gpu/process.h"

#define HELLO_NS     UINT64_C(60000000000) /* a driver may take long to start */
#define QUICK_NS     UINT64_C(10000000000) /* who falls sooner falls in a row */
#define QUICK_FREE   2                     /* so many in a row are replaced at once */
#define DELAY_MIN_NS UINT64_C(250000000)
#define DELAY_MAX_NS UINT64_C(5000000000)

enum state { CARD_DOWN, CARD_STARTING, CARD_UP };

struct dyno_card {
    struct dyno_card_options options;
    pthread_t thread;
    bool has_thread;
    int wake_fd; /* the thread has something to look at */
    struct dyno_gpu_message heard;
    struct dyno_look look;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* state, attempt_count */
    enum state state;
    int socket; /* while there is a child */
    pid_t pid;
    uint64_t epoch;         /* of the child: counts them */
    uint64_t attempt_count; /* starts that came to something, or to nothing */
    bool is_wanted, is_ending;
    bool is_fresh; /* the child is as it was started: it has been told nothing */
    uint64_t up_ns, next_ns;
    unsigned quick_count;
    uint64_t call_count, restart_count;
    struct dyno_card_call *calls;
    struct dyno_err why; /* there is no child */
    char name[128];
    uint64_t memory_bytes;
};

const char *dyno_card_device(const struct dyno_card *card)
{
    return card->options.device;
}

void dyno_card_look(struct dyno_card *card, struct dyno_card_figures *figures_out)
{
    (void)pthread_mutex_lock(&card->lock);
    *figures_out = (struct dyno_card_figures){.device = card->options.device,
                                              .memory_bytes = card->memory_bytes,
                                              .restart_count = card->restart_count,
                                              .pid = card->state == CARD_UP ? (int)card->pid : 0};
    memcpy(figures_out->name, card->name, sizeof(card->name));
    (void)pthread_mutex_unlock(&card->lock);
    figures_out->has_facts = dyno_look_read(&card->look, &figures_out->facts);
}

static void wake(const struct dyno_card *card)
{
    const uint64_t one = 1;
    (void)!write(card->wake_fd, &one, sizeof(one));
}

/* --- calls --- */

static void link_call(struct dyno_card *card, struct dyno_card_call *call)
{
    call->prev = NULL;
    call->next = card->calls;
    if (card->calls != NULL)
        card->calls->prev = call;
    card->calls = call;
}

static void unlink_call(struct dyno_card *card, struct dyno_card_call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        card->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    call->next = call->prev = NULL;
}

static enum dyno_status not_there(const struct dyno_card *card, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_BUSY, "GPU %s is being started again: %s", card->options.device,
                     card->why.text[0] != 0 ? card->why.text : "its driver has just begun");
}

enum dyno_status dyno_card_send(struct dyno_card *card, uint64_t epoch, struct dyno_card_call *call,
                                struct dyno_gpu_message *message, int fd, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&card->lock);
    if (card->state != CARD_UP || card->epoch != epoch) {
        status = not_there(card, err);
    } else {
        call->number = message->call = ++card->call_count;
        call->verb = message->verb;
        /* A look does nothing to the child, and may be late. */
        const bool is_look = message->verb == DYNO_GPU_LOOK;
        call->end_ns = card->options.timeout_ns != 0 && !is_look
                           ? dyno_clock_ns() + card->options.timeout_ns
                           : 0;
        card->is_fresh = card->is_fresh && is_look;
        link_call(card, call);
        if (dyno_gpu_send(card->socket, message, fd, NULL) != DYNO_OK) {
            unlink_call(card, call);
            status =
                DYNO_FAIL(err, DYNO_E_BUSY, "GPU %s takes no more commands", card->options.device);
        }
    }
    (void)pthread_mutex_unlock(&card->lock);
    /* The call may be over by now, and gone. */
    if (status == DYNO_OK && card->options.timeout_ns != 0)
        wake(card); /* it waits no longer than that */
    return status;
}

/* A caller that waits. */
struct ask {
    struct dyno_card_call call; /* first */
    struct dyno_gpu_message *message;
    pthread_mutex_t lock;
    pthread_cond_t is_over_cond;
    bool is_over;
    enum dyno_status status;
    struct dyno_err err;
};

static const char *check_ask(const struct dyno_card_call *call,
                             const struct dyno_gpu_message *answer)
{
    (void)call;
    return answer->tensor_count != 0 ? "an answer with tensors" : NULL;
}

static void ask_done(struct dyno_card_call *call, const struct dyno_gpu_message *answer,
                     const struct dyno_err *err)
{
    struct ask *ask = (struct ask *)(void *)call;
    (void)pthread_mutex_lock(&ask->lock);
    if (answer == NULL) {
        ask->status = err->status;
        ask->err = *err;
    } else {
        memcpy(ask->message, answer, dyno_gpu_message_bytes(answer));
        ask->status = (enum dyno_status)answer->status;
    }
    ask->is_over = true;
    (void)pthread_cond_signal(&ask->is_over_cond);
    (void)pthread_mutex_unlock(&ask->lock);
}

enum dyno_status dyno_card_ask(struct dyno_card *card, uint64_t epoch,
                               struct dyno_gpu_message *message, int fd, struct dyno_err *err)
{
    struct ask ask = {.call = {.check = check_ask, .done = ask_done}, .message = message};
    (void)pthread_mutex_init(&ask.lock, NULL);
    (void)pthread_cond_init(&ask.is_over_cond, NULL);
    enum dyno_status status = dyno_card_send(card, epoch, &ask.call, message, fd, err);
    if (status == DYNO_OK) {
        (void)pthread_mutex_lock(&ask.lock);
        while (!ask.is_over)
            (void)pthread_cond_wait(&ask.is_over_cond, &ask.lock);
        (void)pthread_mutex_unlock(&ask.lock);
        status = ask.status;
        if (ask.err.text[0] != 0)
            (void)DYNO_FAIL(err, status, "%s", ask.err.text);
        else if (status != DYNO_OK)
            (void)DYNO_FAIL(err, status, "%s", message->text);
    }
    (void)pthread_cond_destroy(&ask.is_over_cond);
    (void)pthread_mutex_destroy(&ask.lock);
    return status;
}

enum dyno_status dyno_card_start(struct dyno_card *card, uint64_t *epoch_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&card->lock);
    const uint64_t attempts = card->attempt_count;
    card->is_wanted = card->is_wanted || card->state == CARD_DOWN;
    wake(card);
    while (card->state != CARD_UP && card->attempt_count == attempts && !card->is_ending)
        (void)pthread_cond_wait(&card->changed, &card->lock);
    *epoch_out = card->epoch;
    if (card->state != CARD_UP)
        status = card->why.text[0] != 0 ? DYNO_FAIL(err, card->why.status, "%s", card->why.text)
                                        : DYNO_FAIL(err, DYNO_E_BUSY, "the server stops");
    (void)pthread_mutex_unlock(&card->lock);
    return status;
}

/* --- the child --- */

/* Until something can be read (1), the time is over (0), or there is something to look at (-1). */
static int wait_for(const struct dyno_card *card, int socket, uint64_t end_ns)
{
    struct pollfd fds[2] = {{socket, POLLIN, 0}, {card->wake_fd, POLLIN, 0}};
    const uint64_t now_ns = dyno_clock_ns();
    uint64_t count = 0;
    int ms = -1;
    if (end_ns != 0)
        ms = end_ns > now_ns ? (int)((end_ns - now_ns) / 1000000) + 1 : 0;
    const int got = poll(fds, 2, ms);
    if (got > 0 && (fds[1].revents & POLLIN) != 0)
        (void)!read(card->wake_fd, &count, sizeof(count));
    if (got > 0 && fds[0].revents != 0)
        return 1;
    return got == 0 && (end_ns == 0 || dyno_clock_ns() >= end_ns) ? 0 : -1;
}

static bool is_ending(struct dyno_card *card)
{
    (void)pthread_mutex_lock(&card->lock);
    const bool is = card->is_ending;
    (void)pthread_mutex_unlock(&card->lock);
    return is;
}

/* What a new child says. */
static enum dyno_status hear_hello(struct dyno_card *card, int socket, struct dyno_err *err)
{
    const uint64_t end_ns = dyno_clock_ns() + HELLO_NS;
    struct dyno_gpu_message *message = &card->heard;
    char text[DYNO_GPU_TEXT_BYTES];
    bool is_end = false;
    int fd = -1;
    int got = -1;
    while ((got = wait_for(card, socket, end_ns)) < 0)
        if (is_ending(card))
            return DYNO_FAIL(err, DYNO_E_BUSY, "the server stops");
    if (got == 0)
        return DYNO_FAIL(err, DYNO_E_BUSY, "its driver says nothing");
    DYNO_TRY(dyno_gpu_receive(socket, message, &fd, &is_end, err));
    if (fd >= 0)
        (void)close(fd);
    if (is_end)
        return DYNO_FAIL(err, DYNO_E_BUSY, "its driver ended before it had begun");
    dyno_utf8_clean(message->text, strlen(message->text), text, sizeof(text));
    if (fd >= 0 || message->verb != DYNO_GPU_HELLO || message->tensor_count != 0 ||
        message->status > DYNO_E_EXISTS || message->bytes > DYNO_GPU_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its driver begins with nonsense");
    if (message->status != DYNO_OK)
        return DYNO_FAIL(err, (enum dyno_status)message->status, "%s", text);
    (void)pthread_mutex_lock(&card->lock);
    (void)snprintf(card->name, sizeof(card->name), "%.127s", text);
    card->memory_bytes = message->bytes;
    (void)pthread_mutex_unlock(&card->lock);
    return DYNO_OK;
}

/* When the next child may be started. */
static void back_off(struct dyno_card *card, uint64_t now_ns)
{
    uint64_t delay_ns = 0;
    card->quick_count = now_ns - card->up_ns < QUICK_NS ? card->quick_count + 1 : 1;
    if (card->quick_count > QUICK_FREE) {
        const unsigned doublings = card->quick_count - QUICK_FREE - 1;
        delay_ns = doublings < 5 ? DELAY_MIN_NS << doublings : DELAY_MAX_NS;
        delay_ns = delay_ns < DELAY_MAX_NS ? delay_ns : DELAY_MAX_NS;
    }
    card->next_ns = now_ns + delay_ns;
}

static void start(struct dyno_card *card)
{
    struct dyno_err err = {0};
    char how[128] = "";
    int socket = -1;
    pid_t pid = 0;
    enum dyno_status status =
        dyno_gpu_spawn(card->options.program, card->options.device, &socket, &pid, &err);
    const bool is_there = status == DYNO_OK;
    if (is_there)
        status = hear_hello(card, socket, &err);
    if (is_there && status != DYNO_OK) {
        (void)close(socket);
        dyno_gpu_bury(pid, true, how, sizeof(how));
    }
    (void)pthread_mutex_lock(&card->lock);
    card->attempt_count++;
    card->is_wanted = false;
    card->restart_count += card->epoch > 0 && status == DYNO_OK;
    if (status == DYNO_OK) {
        card->state = CARD_UP;
        card->socket = socket;
        card->pid = pid;
        card->epoch++;
        card->up_ns = dyno_clock_ns();
        card->is_fresh = true;
        card->why = (struct dyno_err){0};
    } else {
        card->state = CARD_DOWN;
        card->why = (struct dyno_err){.status = status};
        (void)snprintf(card->why.text, sizeof(card->why.text), "%s", err.text);
        back_off(card, dyno_clock_ns());
    }
    (void)pthread_cond_broadcast(&card->changed);
    (void)pthread_mutex_unlock(&card->lock);
    if (status == DYNO_OK)
        dyno_log(DYNO_LOG_INFO, "GPU %s is driven by process %d: %s, %llu MiB",
                 card->options.device, (int)pid, card->name,
                 (unsigned long long)(card->memory_bytes >> 20));
    else
        dyno_log(DYNO_LOG_WARN, "GPU %s: %s", card->options.device, err.text);
}

/* --- hearing it --- */

static struct dyno_card_call *find_call(const struct dyno_card *card, uint64_t number)
{
    struct dyno_card_call *call = card->calls;
    while (call != NULL && call->number != number)
        call = call->next;
    return call;
}

/* Under the lock: whose answer is it?  NULL: nobody's, as *nonsense_out says. */
static struct dyno_card_call *judge(const struct dyno_card *card,
                                    const struct dyno_gpu_message *answer, int fd,
                                    const char **nonsense_out)
{
    struct dyno_card_call *call = find_call(card, answer->call);
    *nonsense_out = NULL;
    if (fd >= 0)
        *nonsense_out = "a descriptor";
    else if (call == NULL || call->verb != answer->verb)
        *nonsense_out = "an answer to nothing";
    else if (answer->status > DYNO_E_EXISTS)
        *nonsense_out = "a status that there is not";
    else if (answer->host_bytes > DYNO_GPU_BYTES_MAX || answer->gpu_bytes > DYNO_GPU_BYTES_MAX)
        *nonsense_out = "more memory than there is";
    else
        *nonsense_out = call->check(call, answer);
    return *nonsense_out == NULL ? call : NULL;
}

/* One message; false: the child is to end, or has. */
static bool hear(struct dyno_card *card, char *why_out, size_t room)
{
    struct dyno_err err = {0};
    struct dyno_gpu_message *answer = &card->heard;
    const char *nonsense = NULL;
    bool is_end = false;
    int fd = -1;
    const enum dyno_status status = dyno_gpu_receive(card->socket, answer, &fd, &is_end, &err);
    if (status == DYNO_E_BUSY)
        return true;
    if (status != DYNO_OK || is_end) {
        (void)snprintf(why_out, room, "%s",
                       is_end ? "" : "its driver answered nonsense: no message");
        return false;
    }
    char text[DYNO_GPU_TEXT_BYTES];
    dyno_utf8_clean(answer->text, strlen(answer->text), text, sizeof(text));
    memcpy(answer->text, text, sizeof(text));
    (void)pthread_mutex_lock(&card->lock);
    struct dyno_card_call *call = judge(card, answer, fd, &nonsense);
    if (call != NULL)
        unlink_call(card, call);
    (void)pthread_mutex_unlock(&card->lock);
    if (fd >= 0)
        (void)close(fd);
    if (call != NULL)
        call->done(call, answer, NULL);
    else
        (void)snprintf(why_out, room, "its driver answered nonsense: %s", nonsense);
    return call != NULL;
}

/* Under the lock: when the first command is too late; 0: none is. */
static uint64_t first_end(const struct dyno_card *card)
{
    uint64_t end_ns = 0;
    for (const struct dyno_card_call *at = card->calls; at != NULL; at = at->next)
        if (at->end_ns != 0 && (end_ns == 0 || at->end_ns < end_ns))
            end_ns = at->end_ns;
    return end_ns;
}

/* Until the child is to end; false: the server stops. */
static bool serve(struct dyno_card *card, char *why_out, size_t room)
{
    for (;;) {
        (void)pthread_mutex_lock(&card->lock);
        const uint64_t end_ns = first_end(card);
        const bool is_ending = card->is_ending;
        const bool is_over =
            is_ending && (card->calls == NULL ||
                          (card->calls == &card->look.call && card->look.call.next == NULL));
        (void)pthread_mutex_unlock(&card->lock);
        if (is_over)
            return false;
        const uint64_t look_ns = is_ending ? 0 : dyno_look_step(&card->look, card, card->epoch);
        const bool looks = look_ns != 0 && (end_ns == 0 || look_ns < end_ns);
        const int got = wait_for(card, card->socket, looks ? look_ns : end_ns);
        if (got == 0 && looks)
            continue;
        if (got > 0 && !hear(card, why_out, room))
            return true;
        if (got == 0) {
            (void)snprintf(why_out, room, "its driver did not answer for %.0f s",
                           (double)card->options.timeout_ns * 1e-9);
            return true;
        }
    }
}

/* All that it has not answered. */
static void fail_calls(struct dyno_card *card, const char *why)
{
    struct dyno_err err = {.status = DYNO_E_BUSY};
    (void)snprintf(err.text, sizeof(err.text), "GPU %s failed while this ran: %s",
                   card->options.device, why);
    for (;;) {
        (void)pthread_mutex_lock(&card->lock);
        struct dyno_card_call *call = card->calls;
        if (call != NULL)
            unlink_call(card, call);
        (void)pthread_mutex_unlock(&card->lock);
        if (call == NULL)
            return;
        call->done(call, NULL, &err);
    }
}

/* It is no more, for a reason of its own ("") or of ours. */
static void fall(struct dyno_card *card, const char *reason)
{
    char how[128] = "";
    char why[512];
    dyno_gpu_bury(card->pid, reason[0] != 0, how, sizeof(how));
    (void)snprintf(why, sizeof(why), "%s", reason[0] != 0 ? reason : how);
    (void)pthread_mutex_lock(&card->lock);
    const bool had_served = !card->is_fresh;
    (void)close(card->socket);
    card->socket = -1;
    card->state = CARD_DOWN;
    card->why = (struct dyno_err){.status = DYNO_E_BUSY};
    (void)snprintf(card->why.text, sizeof(card->why.text), "%s", why);
    back_off(card, dyno_clock_ns());
    (void)pthread_mutex_unlock(&card->lock);
    dyno_log(DYNO_LOG_ERROR, "GPU %s: %s; it is started again", card->options.device, why);
    fail_calls(card, why);
    if (had_served && card->options.fell != NULL)
        card->options.fell(card->options.fell_arg, card, why);
}

/* --- the thread --- */

/* Until a child is wanted and may be started; false: the server stops. */
static bool rest(struct dyno_card *card)
{
    for (;;) {
        (void)pthread_mutex_lock(&card->lock);
        const bool is_over = card->is_ending;
        const bool is_wanted = card->is_wanted;
        const uint64_t next_ns = card->next_ns;
        if (!is_over && is_wanted && dyno_clock_ns() >= next_ns)
            card->state = CARD_STARTING;
        const bool starts = card->state == CARD_STARTING;
        (void)pthread_mutex_unlock(&card->lock);
        if (is_over || starts)
            return starts;
        (void)wait_for(card, -1, is_wanted ? next_ns : 0);
    }
}

static void *keep(void *arg)
{
    struct dyno_card *card = arg;
    char why[256];
    while (rest(card)) {
        start(card);
        if (card->state != CARD_UP)
            continue;
        why[0] = 0;
        dyno_look_begin(&card->look);
        if (serve(card, why, sizeof(why))) {
            fall(card, why);
            continue;
        }
        (void)pthread_mutex_lock(&card->lock);
        card->state = CARD_DOWN;
        (void)close(card->socket);
        card->socket = -1;
        (void)pthread_mutex_unlock(&card->lock);
        dyno_gpu_bury(card->pid, false, why, sizeof(why));
    }
    return NULL;
}

enum dyno_status dyno_card_create(const struct dyno_card_options *options,
                                  struct dyno_card **card_out, struct dyno_err *err)
{
    *card_out = NULL;
    struct dyno_card *card = dyno_alloc(1, sizeof(*card));
    if (card == NULL)
        return DYNO_NOMEM(err);
    card->options = *options;
    card->socket = -1;
    dyno_look_init(&card->look);
    (void)pthread_mutex_init(&card->lock, NULL);
    (void)pthread_cond_init(&card->changed, NULL);
    card->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum dyno_status status = DYNO_OK;
    if (card->wake_fd < 0)
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "no event for a GPU: %s", strerror(errno));
    if (status == DYNO_OK) {
        const int code = pthread_create(&card->thread, NULL, keep, card);
        card->has_thread = code == 0;
        if (code != 0)
            status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    }
    if (status == DYNO_OK)
        *card_out = card;
    else
        dyno_card_destroy(card);
    return status;
}

void dyno_card_stop(struct dyno_card *card)
{
    (void)pthread_mutex_lock(&card->lock);
    card->is_ending = true;
    (void)pthread_cond_broadcast(&card->changed);
    (void)pthread_mutex_unlock(&card->lock);
    if (!card->has_thread)
        return;
    wake(card);
    (void)pthread_join(card->thread, NULL);
    card->has_thread = false;
}

void dyno_card_destroy(struct dyno_card *card)
{
    if (card == NULL)
        return;
    dyno_card_stop(card);
    if (card->wake_fd >= 0)
        (void)close(card->wake_fd);
    dyno_look_fini(&card->look);
    (void)pthread_cond_destroy(&card->changed);
    (void)pthread_mutex_destroy(&card->lock);
    dyno_free(card);
}
