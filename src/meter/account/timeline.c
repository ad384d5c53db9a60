/* timeline.c - time is added up a unit of demand; a run takes the difference of two readings. */
#include "meter/account/timeline.h"

#define FRACTION_BITS 32

void dyno_timeline_init(struct dyno_timeline *timeline, uint32_t capacity, uint64_t now_ns)
{
    DYNO_ASSERT(capacity >= 1 && capacity <= DYNO_CAPACITY_MAX);
    *timeline = (struct dyno_timeline){.capacity = capacity, .start_ns = now_ns, .now_ns = now_ns};
}

static void advance(struct dyno_timeline *timeline, uint64_t now_ns)
{
    if (now_ns < timeline->now_ns) {
        timeline->late_ns += timeline->now_ns - now_ns;
        return;
    }
    const uint64_t past_ns = now_ns - timeline->now_ns;
    const uint64_t used =
        timeline->demand < timeline->capacity ? timeline->demand : timeline->capacity;
    timeline->now_ns = now_ns;
    timeline->idle_ns += (dyno_u128)past_ns * (timeline->capacity - used);
    if (timeline->demand == 0)
        return;
    /* What does not divide is carried: below `demand` units of 2^-32 ns each time. */
    const dyno_u128 charged = ((dyno_u128)past_ns * used) << FRACTION_BITS;
    timeline->per_demand += charged / timeline->demand;
    timeline->carry += (uint64_t)(charged % timeline->demand);
    timeline->running += charged - charged % timeline->demand;
}

void dyno_timeline_begin(struct dyno_timeline *timeline, uint64_t now_ns, uint32_t demand,
                         bool is_platform, struct dyno_timeline_run *run)
{
    DYNO_ASSERT(demand >= 1 && demand <= DYNO_CAPACITY_MAX);
    advance(timeline, now_ns);
    *run = (struct dyno_timeline_run){timeline->per_demand, demand, is_platform};
    timeline->demand += demand;
    timeline->run_count++;
}

uint64_t dyno_timeline_end(struct dyno_timeline *timeline, uint64_t now_ns,
                           const struct dyno_timeline_run *run)
{
    DYNO_ASSERT(timeline->run_count > 0 && timeline->demand >= run->demand);
    advance(timeline, now_ns);
    const dyno_u128 own = (timeline->per_demand - run->begin) * run->demand;
    const dyno_u128 charged = own + timeline->carry;
    const uint64_t charged_ns = (uint64_t)(charged >> FRACTION_BITS);
    DYNO_ASSERT(timeline->running >= own);
    timeline->running -= own;
    timeline->carry = (uint64_t)(charged - ((dyno_u128)charged_ns << FRACTION_BITS));
    timeline->demand -= run->demand;
    timeline->run_count--;
    /* When nothing runs, every fraction has found its whole nanosecond. */
    DYNO_ASSERT(timeline->run_count > 0 || (timeline->running == 0 && timeline->carry == 0));
    if (run->is_platform)
        timeline->platform_ns += charged_ns;
    else
        timeline->tenants_ns += charged_ns;
    return charged_ns;
}

void dyno_timeline_read(struct dyno_timeline *timeline, uint64_t now_ns,
                        struct dyno_timeline_sums *sums_out)
{
    advance(timeline, now_ns);
    *sums_out = (struct dyno_timeline_sums){
        .wall_ns = (dyno_u128)(timeline->now_ns - timeline->start_ns) * timeline->capacity,
        .tenants_ns = timeline->tenants_ns,
        .platform_ns = timeline->platform_ns,
        .idle_ns = timeline->idle_ns,
        .running_ns = (timeline->running + timeline->carry) >> FRACTION_BITS,
    };
}

enum dyno_status dyno_timeline_check(const struct dyno_timeline_sums *sums, struct dyno_err *err)
{
    char wall[DYNO_U128_TEXT_ROOM];
    char found[DYNO_U128_TEXT_ROOM];
    const dyno_u128 sum = sums->tenants_ns + sums->platform_ns + sums->running_ns + sums->idle_ns;
    if (sum == sums->wall_ns)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "tenants, platform, running and idle have %s ns, the device had %s",
                     dyno_u128_text(sum, found), dyno_u128_text(sums->wall_ns, wall));
}
