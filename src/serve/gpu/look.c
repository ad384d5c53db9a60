/* look.c - asking a child what its card tells. */
#include "serve/gpu/look.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

#define EVERY_NS UINT64_C(2000000000)  /* as Triton asks */
#define FIRST_NS UINT64_C(500000000)   /* after the child's start, which has something else to do */
#define OLD_NS   UINT64_C(10000000000) /* what was told before is not told any more */

/* Names of GPUs are letters, digits and dashes. */
static bool is_uuid(const struct dyno_device_facts *facts)
{
    size_t bytes = 0;
    while (bytes < sizeof(facts->uuid) && facts->uuid[bytes] != 0) {
        const char c = facts->uuid[bytes++];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-'))
            return false;
    }
    return bytes < sizeof(facts->uuid);
}

static const char *check(const struct dyno_card_call *call, const struct dyno_gpu_message *answer)
{
    const struct dyno_device_facts *facts = &answer->facts;
    const double values[] = {
        facts->energy_j,     facts->power_w,  facts->power_limit_w,     facts->busy,
        facts->memory_bytes, facts->core_mhz, facts->memory_used_bytes, facts->memory_mhz};
    (void)call;
    if (answer->tensor_count != 0)
        return "an answer with tensors";
    for (size_t i = 0; answer->status == DYNO_OK && i < DYNO_COUNT(values); i++)
        if (!isnan(values[i]) && !(values[i] >= 0.0 && values[i] < 1e18))
            return "what no card tells of itself";
    return answer->status != DYNO_OK || is_uuid(facts) ? NULL : "a name that no card has";
}

static void done(struct dyno_card_call *call, const struct dyno_gpu_message *answer,
                 const struct dyno_err *err)
{
    struct dyno_look *look = (struct dyno_look *)(void *)call;
    (void)err;
    (void)pthread_mutex_lock(&look->lock);
    look->is_asked = false;
    look->has_facts = answer != NULL && answer->status == DYNO_OK;
    if (look->has_facts) {
        look->facts = answer->facts;
        look->told_ns = dyno_clock_ns();
        if (look->first_j < 0.0 && !isnan(answer->facts.energy_j))
            look->first_j = answer->facts.energy_j;
    }
    (void)pthread_mutex_unlock(&look->lock);
}

void dyno_look_init(struct dyno_look *look)
{
    *look = (struct dyno_look){.call = {.check = check, .done = done}, .first_j = -1.0};
    (void)pthread_mutex_init(&look->lock, NULL);
}

void dyno_look_fini(struct dyno_look *look)
{
    (void)pthread_mutex_destroy(&look->lock);
}

void dyno_look_begin(struct dyno_look *look)
{
    look->next_ns = dyno_clock_ns() + FIRST_NS;
}

uint64_t dyno_look_step(struct dyno_look *look, struct dyno_card *card, uint64_t epoch)
{
    const uint64_t now_ns = dyno_clock_ns();
    if (now_ns < look->next_ns)
        return look->next_ns;
    look->next_ns = now_ns + EVERY_NS;
    (void)pthread_mutex_lock(&look->lock);
    const bool is_asked = look->is_asked;
    look->is_asked = true;
    (void)pthread_mutex_unlock(&look->lock);
    if (is_asked)
        return look->next_ns;
    look->message = (struct dyno_gpu_message){.verb = DYNO_GPU_LOOK};
    if (dyno_card_send(card, epoch, &look->call, &look->message, -1, NULL) != DYNO_OK) {
        (void)pthread_mutex_lock(&look->lock);
        look->is_asked = false;
        (void)pthread_mutex_unlock(&look->lock);
    }
    return look->next_ns;
}

bool dyno_look_read(struct dyno_look *look, struct dyno_device_facts *facts_out)
{
    (void)pthread_mutex_lock(&look->lock);
    const bool is_told = look->has_facts && dyno_clock_ns() - look->told_ns < OLD_NS;
    *facts_out = look->facts;
    facts_out->energy_j -= look->first_j;
    (void)pthread_mutex_unlock(&look->lock);
    return is_told;
}
