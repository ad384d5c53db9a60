/* advice.c - waste as money, and the rule that makes advice stand and fall. */
#include "rate/advice.h"

#include "rate/charge.h"

bool dyno_speed_is_under(const struct dyno_speed *speed, int64_t limit_ppm)
{
    return !dyno_speed_is_known(speed) || speed->high_ppm < limit_ppm;
}

/* What the time cost, times (could - now) / could. */
static bool saved(const struct dyno_advice_time *time, int64_t now_ppm, int64_t could_ppm,
                  dyno_i128 *nano_out)
{
    *nano_out = 0;
    if (could_ppm <= now_ppm)
        return true;
    const struct dyno_ratio ratio = {
        .a = time->device_hour,
        .b = (dyno_i128)time->ns,
        .nums = {(uint64_t)(could_ppm - now_ppm)},
        .num_count = 1,
        .dens = {DYNO_NS_AN_HOUR, time->cores, (uint64_t)could_ppm},
        .den_count = 3,
    };
    return dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, nano_out);
}

enum dyno_status dyno_waste_add(struct dyno_waste *waste, const struct dyno_advice_time *time,
                                const struct dyno_speed *now, const struct dyno_speed *could,
                                struct dyno_err *err)
{
    const struct dyno_speed at = dyno_speed_is_known(now) ? *now : DYNO_SPEED_UNOPTIMISED;
    struct dyno_waste more = {0};
    DYNO_ASSERT(time->cores > 0 && time->device_hour >= 0);
    /* All of it: what a speed-up without end would save. */
    bool fits = time->ns >> 126 == 0 && saved(time, 0, DYNO_PPM, &more.cost_nano);
    if (fits && dyno_speed_is_known(could)) {
        fits = saved(time, at.high_ppm, could->low_ppm, &more.nano) &&
               saved(time, at.low_ppm, could->high_ppm, &more.high_nano);
        more.low_nano = dyno_speed_is_known(now) ? more.nano : 0;
    } else {
        more.nano = more.high_nano = more.cost_nano;
    }
    if (!fits || __builtin_add_overflow(waste->cost_nano, more.cost_nano, &waste->cost_nano))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "what device time cost is past all reason");
    /* None of these is larger than the cost. */
    waste->nano += more.nano;
    waste->low_nano += more.low_nano;
    waste->high_nano += more.high_nano;
    return DYNO_OK;
}

/* --- the rule --- */

void dyno_advice_step(struct dyno_advice *advice, const struct dyno_advice_window *window,
                      int64_t least)
{
    const bool is_waste = window->waste_nano > 0 && window->waste_nano >= least;
    const bool is_calm = window->doubt_nano == 0 || window->doubt_nano < least - least / 2;
    advice->waste_row = is_waste ? advice->waste_row + 1 : 0;
    advice->calm_row = is_calm ? advice->calm_row + 1 : 0;
    advice->count++;
    if (!advice->stands &&
        (advice->waste_row >= DYNO_ADVICE_ROW || (is_waste && window->is_decided))) {
        advice->stands = true;
        advice->since = advice->count - advice->waste_row;
    } else if (advice->stands && advice->calm_row >= DYNO_ADVICE_ROW) {
        advice->stands = false;
    }
}
