/* certify_card.c - a thread that asks a card for its clock. */
#include "cli/certify_card.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

#define PAUSE_NS 20000000L

struct dyno_certify_card {
    const struct dyno_engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    bool ends;
    double mhz_sum;
    uint32_t mhz_count;
    double start_j;
};

static struct dyno_device_facts look(const struct dyno_engine *engine)
{
    struct dyno_device_facts facts;
    if (dyno_engine_device_facts(engine, &facts, NULL) != DYNO_OK)
        facts.core_mhz = facts.energy_j = NAN;
    return facts;
}

static void *watch(void *arg)
{
    struct dyno_certify_card *card = arg;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (bool ends = false; !ends;) {
        const double mhz = look(card->engine).core_mhz;
        (void)pthread_mutex_lock(&card->lock);
        if (mhz > 0.0) {
            card->mhz_sum += mhz;
            card->mhz_count++;
        }
        ends = card->ends;
        (void)pthread_mutex_unlock(&card->lock);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

enum dyno_status dyno_certify_card_open(const struct dyno_engine *engine,
                                        struct dyno_certify_card **card_out, struct dyno_err *err)
{
    struct dyno_device_facts facts;
    *card_out = NULL;
    if (dyno_engine_device_facts(engine, &facts, NULL) != DYNO_OK)
        return DYNO_OK;
    struct dyno_certify_card *card = dyno_alloc(1, sizeof(*card));
    if (card == NULL)
        return DYNO_NOMEM(err);
    card->engine = engine;
    (void)pthread_mutex_init(&card->lock, NULL);
    const int code = pthread_create(&card->thread, NULL, watch, card);
    if (code != 0) {
        (void)pthread_mutex_destroy(&card->lock);
        dyno_free(card);
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a thread that watches the card did not start: %s",
                         strerror(code));
    }
    *card_out = card;
    return DYNO_OK;
}

void dyno_certify_card_close(struct dyno_certify_card *card)
{
    if (card == NULL)
        return;
    (void)pthread_mutex_lock(&card->lock);
    card->ends = true;
    (void)pthread_mutex_unlock(&card->lock);
    (void)pthread_join(card->thread, NULL);
    (void)pthread_mutex_destroy(&card->lock);
    dyno_free(card);
}

void dyno_certify_card_begin(struct dyno_certify_card *card)
{
    if (card == NULL)
        return;
    const double start_j = look(card->engine).energy_j;
    (void)pthread_mutex_lock(&card->lock);
    card->mhz_sum = 0.0;
    card->mhz_count = 0;
    card->start_j = start_j;
    (void)pthread_mutex_unlock(&card->lock);
}

struct dyno_certify_card_segment dyno_certify_card_end(struct dyno_certify_card *card)
{
    struct dyno_certify_card_segment segment = {.energy_j = NAN};
    if (card == NULL)
        return segment;
    const struct dyno_device_facts now = look(card->engine); /* of a short one the only clock */
    (void)pthread_mutex_lock(&card->lock);
    const double sum = card->mhz_sum + (now.core_mhz > 0.0 ? now.core_mhz : 0.0);
    const uint32_t count = card->mhz_count + (now.core_mhz > 0.0 ? 1U : 0U);
    segment.core_mhz = count > 0 ? sum / count : 0.0;
    segment.energy_j = now.energy_j - card->start_j;
    (void)pthread_mutex_unlock(&card->lock);
    return segment;
}
