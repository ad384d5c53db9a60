/* test_retime.c - which alternatives are tried in a whole graph, in which order, and what counts.
 */
#include "tune/retime.h"

#include "base/mem.h"
#include "test.h"

static const struct dyno_retime_bounds many = {.trials = DYNO_RETIME_TRIALS_MAX, .seconds = 8.0};

/* --- which --- */

static struct dyno_rival rival(uint32_t group, uint32_t step_count, float chosen_us, float us)
{
    static uint64_t number;
    return (struct dyno_rival){.group = group,
                               .step_count = step_count,
                               .chosen_us = chosen_us,
                               .us = us,
                               .key = {.hi = 7, .lo = ++number}};
}

static void test_near(void)
{
    /* within 15 per cent, or a microsecond */
    CHECK(dyno_retime_is_near(11.4F, 10.0F) && !dyno_retime_is_near(11.6F, 10.0F));
    CHECK(dyno_retime_is_near(3.9F, 3.0F) && !dyno_retime_is_near(4.1F, 3.0F));
    CHECK(dyno_retime_is_near(2.0F, 3.0F)); /* what lost by its larger packed form */
}

static void test_order(void)
{
    struct dyno_rival rivals[] = {
        rival(4, 1, 20.0F, 20.0F),   /* promises 3 us */
        rival(9, 1, 50.0F, 60.0F),   /* too far */
        rival(2, 6, 10.0F, 10.5F),   /* 6 x 1 us */
        rival(7, 1, 100.0F, 101.0F), /* 14 us */
        rival(2, 6, 10.0F, 11.6F),   /* too far */
        rival(8, 1, 20.0F, 20.0F),   /* 3 us, after that of group 4 */
    };
    static const uint32_t wanted[] = {7, 2, 4, 8};
    CHECK(dyno_retime_order(rivals, DYNO_COUNT(rivals), &many) == 4);
    for (int i = 0; i < 4; i++)
        CHECK(rivals[i].group == wanted[i]);
}

/* However they come, the same. */
static void test_order_is_one(void)
{
    enum { COUNT = 60 };
    struct dyno_rival first[COUNT], again[COUNT];
    uint32_t state = 1;
    for (int i = 0; i < COUNT; i++) {
        state = state * 1664525U + 1013904223U;
        first[i] = rival(state >> 8 & 7, 1 + (state >> 8 & 7), 10.0F, 10.0F + (float)(state >> 30));
    }
    for (int i = 0; i < COUNT; i++)
        again[i] = first[(i * 7 + 3) % COUNT];
    const int count = dyno_retime_order(first, COUNT, &many);
    CHECK(count > 10 && dyno_retime_order(again, COUNT, &many) == count);
    for (int i = 0; i < count; i++)
        CHECK(first[i].key.lo == again[i].key.lo && first[i].group == again[i].group);
}

static void test_how_many(void)
{
    struct dyno_rival rivals[40];
    const struct dyno_retime_bounds five = {.trials = 5, .seconds = 1.0};
    /* of one group the nearest three */
    for (int i = 0; i < 6; i++)
        rivals[i] = rival(3, 2, 10.0F, 11.0F - 0.1F * (float)i);
    CHECK(dyno_retime_order(rivals, 6, &many) == 3);
    CHECK(rivals[0].us == 10.5F && rivals[2].us == 11.0F - 0.1F * 3.0F);
    for (uint32_t i = 0; i < 40; i++)
        rivals[i] = rival(i, 1, 10.0F, 10.0F);
    CHECK(dyno_retime_order(rivals, 40, &five) == 5 && rivals[4].group == 4);
    CHECK(dyno_retime_order(rivals, 0, &five) == 0);
}

/* --- how long --- */

static void test_bounds(void)
{
    for (int level = -1; level < 4; level++)
        CHECK(dyno_retime_bounds(level, 0.0).trials == 0);
    const struct dyno_retime_bounds at4 = dyno_retime_bounds(4, 0.0);
    const struct dyno_retime_bounds at5 = dyno_retime_bounds(5, 0.0);
    CHECK(at4.trials > 0 && at4.trials < at5.trials && at4.seconds < at5.seconds);
    CHECK(at5.trials <= DYNO_RETIME_TRIALS_MAX && dyno_retime_bounds(6, 0.0).trials == at5.trials);
    /* what a user says goes before, except that what was not timed has no alternatives */
    CHECK(dyno_retime_bounds(0, 9.0).trials == 0 && dyno_retime_bounds(5, -1.0).trials == 0);
    CHECK(dyno_retime_bounds(1, 9.0).trials > 0 && dyno_retime_bounds(1, 9.0).seconds == 9.0);
    CHECK(dyno_retime_bounds(5, 9.0).seconds == 9.0);
}

static void test_time(void)
{
    CHECK(dyno_retime_has_time(&many, 0.0, 0.0, 400.0));
    CHECK(dyno_retime_has_time(&many, 7.0, 0.5, 400.0));
    CHECK(!dyno_retime_has_time(&many, 7.6, 0.5, 400.0)); /* it takes half a second to prepare */
    CHECK(!dyno_retime_has_time(&many, 0.0, 0.0, 400e3)); /* not one trial of such a graph */
    CHECK(!dyno_retime_has_time(&many, 8.1, 0.0, 0.0));
}

/* --- what counts --- */

/* Rounds in which the other saves so much, on a clock that slows down. */
static enum dyno_retime_verdict judge(const double *saves, int count, double *saves_us)
{
    struct dyno_retime_round rounds[DYNO_RETIME_ROUNDS];
    for (int i = 0; i < count; i++) {
        const double us = 360.0 + 20.0 * i;
        rounds[i] = (struct dyno_retime_round){
            .chosen_us = {us, us + 6.0},
            .other_us = {us + 2.0 - saves[i], us + 4.0 - saves[i]},
        };
    }
    return dyno_retime_judge(rounds, count, saves_us);
}

static void check_judge(int line, const double *saves, int count, enum dyno_retime_verdict wanted,
                        double wanted_us)
{
    double us = -1.0;
    const enum dyno_retime_verdict got = judge(saves, count, &us);
    CHECK_MSG(got == wanted, "line %d: %d, wants %d", line, (int)got, (int)wanted);
    CHECK_MSG(us > wanted_us - 1e-9 && us < wanted_us + 1e-9, "line %d: %g", line, us);
}

#define JUDGE(wanted, wanted_us, ...)                    \
    check_judge(__LINE__, (const double[]){__VA_ARGS__}, \
                (int)DYNO_COUNT(((const double[]){__VA_ARGS__})), DYNO_RETIME_##wanted, wanted_us)

static void test_judge(void)
{
    JUDGE(AGAIN, 0.0, 5.0); /* of one round no noise is known */
    JUDGE(AGAIN, 5.0, 5.0, 5.0);
    JUDGE(AGAIN, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0);
    JUDGE(TAKE, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0);
    JUDGE(TAKE, 5.0, 4.0, 6.0, 5.0, 5.0, 4.0, 6.0);
    /* as much on average, and no more than the noise */
    JUDGE(LEAVE, 5.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    JUDGE(LEAVE, 5.0, 12.0, -2.0, 8.0, 2.0, 12.0, -2.0);
    /* less than half a per cent of 413 us, however sure */
    JUDGE(LEAVE, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9);
    JUDGE(TAKE, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2, 2.2);
    /* out of reach: no more rounds */
    JUDGE(LEAVE, 0.0, 0.0, 0.0);
    JUDGE(LEAVE, -5.0, -5.0, -5.0);
    JUDGE(LEAVE, -20.0, -19.0, -20.0, -21.0);
    JUDGE(AGAIN, -5.0, -15.0, 5.0); /* not yet */
}

/* Half a microsecond is what events tell time by. */
static void test_judge_short(void)
{
    struct dyno_retime_round rounds[DYNO_RETIME_ROUNDS];
    double us = 0.0;
    for (int more = 0; more < 2; more++) {
        for (int i = 0; i < DYNO_RETIME_ROUNDS; i++) {
            const double other = more ? 9.4 : 9.6;
            rounds[i] = (struct dyno_retime_round){{10.0, 10.0}, {other, other}};
        }
        CHECK(dyno_retime_judge(rounds, DYNO_RETIME_ROUNDS, &us) ==
              (more ? DYNO_RETIME_TAKE : DYNO_RETIME_LEAVE));
    }
}

/* --- what was decided before --- */

static void test_cache(void)
{
    struct dyno_tune_cache *cache = dyno_tune_cache_create();
    const struct dyno_rival a = rival(1, 2, 10.0F, 10.0F);
    const struct dyno_rival b = rival(1, 2, 10.0F, 10.0F);
    const struct dyno_retime_bounds longer = {.trials = many.trials, .seconds = 9.0};
    const struct dyno_tune_key plan = {.hi = 3, .lo = 4};
    const struct dyno_tune_key start = dyno_retime_start(plan, false);
    const struct dyno_tune_key taken = dyno_retime_taken(start, &a);
    const struct dyno_tune_key branched = dyno_retime_start(plan, true);
    float us = 0.0F;
    REQUIRE(cache != NULL);
    CHECK(!dyno_retime_find(cache, start, &a, &us) && !dyno_retime_stops(cache, start, &a, &many));
    CHECK(dyno_retime_put(cache, start, &a, 3.5F) && dyno_retime_put(cache, start, &b, 0.0F) &&
          dyno_retime_put(cache, taken, &b, 1.5F));
    CHECK(dyno_retime_find(cache, start, &a, &us) && us == 3.5F);
    CHECK(dyno_retime_find(cache, start, &b, &us) && us == 0.0F);
    CHECK(dyno_retime_find(cache, taken, &b, &us) && us == 1.5F);
    CHECK(!dyno_retime_find(cache, branched, &a, &us)); /* another graph */
    /* Of two that disagree the one that left it is believed. */
    CHECK(dyno_retime_put(cache, start, &a, 0.0F) && dyno_retime_find(cache, start, &a, &us) &&
          us == 0.0F);
    CHECK(dyno_retime_put(cache, taken, &b, -2.0F) && dyno_retime_find(cache, taken, &b, &us) &&
          us == 0.0F);
    CHECK(dyno_retime_put_stop(cache, taken, &a, &many) &&
          dyno_retime_stops(cache, taken, &a, &many));
    CHECK(!dyno_retime_stops(cache, taken, &a, &longer) &&
          !dyno_retime_stops(cache, start, &a, &many) && !dyno_retime_find(cache, taken, &a, &us));
    dyno_tune_cache_destroy(cache);
}

int main(void)
{
    test_near();
    test_order();
    test_order_is_one();
    test_how_many();
    test_bounds();
    test_time();
    test_judge();
    test_judge_short();
    test_cache();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
