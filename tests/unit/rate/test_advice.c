/* test_advice.c - what is waste, how much, and when advice stands and falls. */
#include "rate/advice.h"

#include "test.h"

#define HOUR_NS      UINT64_C(3600000000000)
#define S(low, high) ((struct dyno_speed){INT64_C(low), INT64_C(high)})
#define UNKNOWN      ((struct dyno_speed){0, 0})

static void test_waste(void)
{
    static const struct {
        struct dyno_speed now, could;
        int64_t claimed, low, high; /* nano-units of 3 USD an hour, one hour */
    } rows[] = {
        /* P * hours * (1 - 1/s): claimed at the lower end, at most at the upper. */
        {{1000000, 1000000}, {4000000, 4000000}, 2250000000, 2250000000, 2250000000},
        {{1000000, 1000000}, {4000000, 5000000}, 2250000000, 2250000000, 2400000000},
        /* 3 * (1 - 1.1/4), 3 * (1 - 1/5): the ends of what runs now count, too. */
        {{1000000, 1100000}, {4000000, 5000000}, 2175000000, 2175000000, 2400000000},
        /* No certificate: it may be as fast already. */
        {{0, 0}, {4000000, 5000000}, 2250000000, 0, 2400000000},
        /* Nobody knows what it could be: all of it is at stake. */
        {{1000000, 1000000}, {0, 0}, 3000000000, 0, 3000000000},
        {{0, 0}, {0, 0}, 3000000000, 0, 3000000000},
        /* Slower, as fast, or perhaps a little faster: nothing below 0. */
        {{2000000, 2100000}, {1500000, 1600000}, 0, 0, 0},
        {{4000000, 4000000}, {4000000, 4000000}, 0, 0, 0},
        {{3900000, 4100000}, {4000000, 4000000}, 0, 0, 75000000},
        /* 3 * (1 - 1/3), cut. */
        {{1000000, 1000000}, {3000001, 3000001}, 2000000333, 2000000333, 2000000333},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        const struct dyno_advice_time time = {HOUR_NS, 1, 3 * DYNO_NANO};
        const struct dyno_advice_time cores = {2 * HOUR_NS, 2, 3 * DYNO_NANO};
        struct dyno_waste waste = {0};
        REQUIRE(dyno_waste_add(&waste, &time, &rows[i].now, &rows[i].could, NULL) == DYNO_OK);
        CHECK_MSG(waste.cost_nano == 3 * DYNO_NANO && waste.nano == rows[i].claimed &&
                      waste.low_nano == rows[i].low && waste.high_nano == rows[i].high,
                  "row %zu: %lld, %lld to %lld", i, (long long)waste.nano,
                  (long long)waste.low_nano, (long long)waste.high_nano);
        CHECK(waste.low_nano <= waste.nano && waste.nano <= waste.high_nano);
        /* Two cores of two make a device; and it adds up. */
        REQUIRE(dyno_waste_add(&waste, &cores, &rows[i].now, &rows[i].could, NULL) == DYNO_OK);
        CHECK(waste.nano == 2 * rows[i].claimed && waste.high_nano == 2 * rows[i].high);
    }
}

static void test_waste_past_all_reason(void)
{
    const struct dyno_advice_time time = {~(dyno_u128)0 >> 2, 1, INT64_MAX};
    const struct dyno_advice_time wide = {~(dyno_u128)0, 1, 1};
    struct dyno_waste waste = {0};
    CHECK(dyno_waste_add(&waste, &time, &S(1000000, 1000000), &UNKNOWN, NULL) == DYNO_E_LIMIT);
    CHECK(dyno_waste_add(&waste, &wide, &S(1000000, 1000000), &UNKNOWN, NULL) == DYNO_E_LIMIT);
}

static void test_bounds(void)
{
    CHECK(dyno_speed_is_under(&UNKNOWN, DYNO_ADVICE_SLOW_PPM));
    CHECK(dyno_speed_is_under(&DYNO_SPEED_UNOPTIMISED, DYNO_ADVICE_SLOW_PPM));
    /* The upper bound is what counts: it may be as fast as that. */
    CHECK(dyno_speed_is_under(&S(1000000, 1199999), DYNO_ADVICE_SLOW_PPM));
    CHECK(!dyno_speed_is_under(&S(1000000, 1200000), DYNO_ADVICE_SLOW_PPM));
    CHECK(!dyno_speed_is_under(&S(3900000, 4100000), DYNO_ADVICE_CALM_PPM));
}

/* A window a letter: W waste, D decided waste, e just worth a word, m some, and under what is worth
 * one, n time between the two limits alone, h just half, l under half, . none.  What stands after
 * each, as + or -. */
static void check_run(const char *windows, const char *want, int64_t least)
{
    struct dyno_advice advice = {0};
    for (size_t i = 0; windows[i] != 0; i++) {
        struct dyno_advice_window window = {0};
        switch (windows[i]) {
        case 'D':
            window.is_decided = true;
            window.waste_nano = window.doubt_nano = 10 * least;
            break;
        case 'W':
            window.waste_nano = window.doubt_nano = 10 * least;
            break;
        case 'e':
            window.waste_nano = window.doubt_nano = least;
            break;
        case 'm':
            window.waste_nano = window.doubt_nano = least - 1;
            break;
        case 'n':
            window.doubt_nano = 10 * least;
            break;
        case 'h':
            window.waste_nano = window.doubt_nano = least / 2;
            break;
        case 'l':
            window.waste_nano = window.doubt_nano = least / 2 - 1;
            break;
        default:
            break;
        }
        dyno_advice_step(&advice, &window, least);
        CHECK_MSG(advice.stands == (want[i] == '+'), "%s: window %zu", windows, i);
    }
}

static void test_rule(void)
{
    static const struct {
        const char *windows, *want;
    } rows[] = {
        {"WWW", "--+"}, /* after three, not after two */
        {"WW.WW.WW", "--------"},
        {"WWnWWW", "-----+"}, /* in a row */
        {"eee", "--+"},       /* the threshold itself is worth a word */
        {"mmmmmm", "------"}, /* and less is not */
        {"nnnnnn", "------"},
        {"D", "+"},         /* a suspended certificate was decided on already */
        {"WWW..", "--+++"}, /* it falls after three, not after two */
        {"WWW...", "--+++-"},
        {"WWWlll", "--+++-"}, /* less than half of what is worth a word is calm */
        {"WWWhhhh", "--+++++"},
        {"WWWmmmm", "--+++++"}, /* what is between keeps what is */
        {"WWWnnnn", "--+++++"},
        {"WWW..m..n..W..", "--++++++++++++"},
        {"WWW...WW.WWW", "--+++------+"}, /* and then it wants three again */
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        check_run(rows[i].windows, rows[i].want, 1000);
}

static void test_no_threshold(void)
{
    const struct dyno_advice_window least = {.waste_nano = 1, .doubt_nano = 1};
    const struct dyno_advice_window none = {0};
    struct dyno_advice advice = {0};
    for (int i = 0; i < 5; i++)
        dyno_advice_step(&advice, &none, 0);
    CHECK(!advice.stands); /* nothing is no waste */
    for (int i = 0; i < 4; i++)
        dyno_advice_step(&advice, &least, 0);
    CHECK(advice.stands && advice.since == 5 && advice.count == 9);
    for (int i = 0; i < 3; i++)
        dyno_advice_step(&advice, &none, 0);
    CHECK(!advice.stands);
}

int main(void)
{
    test_waste();
    test_waste_past_all_reason();
    test_bounds();
    test_rule();
    test_no_threshold();
    return TEST_RESULT();
}
