/* test_cost.c - what is predicted from what was seen. */
#include "serve/model/cost.h"

#include "test.h"

static const struct dyno_cost_key key = {.hash = 1, .elements = 100};

static bool is_near(uint64_t got, double want)
{
    return ((double)got > want * 0.97 && (double)got < want * 1.03) ||
           test_say("got %llu, want about %g", (unsigned long long)got, want);
}

static void test_nothing_seen(void)
{
    static struct dyno_cost cost;
    CHECK(dyno_cost_predict(&cost, &key, 1) == 0);
    CHECK(dyno_cost_predict(&cost, &key, 1000) == 0);
}

static void test_one_size_is_taken_in_proportion(void)
{
    static struct dyno_cost cost;
    dyno_cost_note(&cost, &key, 4, 4000);
    CHECK(dyno_cost_predict(&cost, &key, 4) == 4000);
    CHECK(is_near(dyno_cost_predict(&cost, &key, 8), 8000));
    CHECK(is_near(dyno_cost_predict(&cost, &key, 1), 1000));
    CHECK(is_near(dyno_cost_predict(&cost, &key, 4000), 4e6));
}

static void test_line(void)
{
    static struct dyno_cost cost;
    for (int i = 0; i < 50; i++)
        for (int rows = 1; rows <= 4; rows++)
            dyno_cost_note(&cost, &key, rows, 10000 + 1000 * (uint64_t)rows);
    CHECK(is_near(dyno_cost_predict(&cost, &key, 3), 13000));
    CHECK(is_near(dyno_cost_predict(&cost, &key, 64), 74000));
    CHECK(is_near(dyno_cost_predict(&cost, &key, 500), 510000));
}

/* More rows never take less than fewer rows took. */
static void test_is_monotone_above_what_was_seen(void)
{
    static struct dyno_cost cost;
    dyno_cost_note(&cost, &key, 1, 9000);
    dyno_cost_note(&cost, &key, 2, 3000);
    dyno_cost_note(&cost, &key, 4, 8000);
    CHECK(dyno_cost_predict(&cost, &key, 8) >= 8000);
    CHECK(dyno_cost_predict(&cost, &key, 3) >= 3000);
}

static void test_follows_a_change(void)
{
    static struct dyno_cost cost;
    for (int i = 0; i < 100; i++)
        dyno_cost_note(&cost, &key, 1, 1000);
    for (int i = 0; i < 100; i++)
        dyno_cost_note(&cost, &key, 1, 5000);
    CHECK(is_near(dyno_cost_predict(&cost, &key, 1), 5000));
}

static void test_shapes_apart(void)
{
    static struct dyno_cost cost;
    const struct dyno_cost_key large = {.hash = 2, .elements = 400};
    const struct dyno_cost_key unseen = {.hash = 3, .elements = 200};
    dyno_cost_note(&cost, &key, 1, 1000);
    dyno_cost_note(&cost, &large, 1, 4000);
    CHECK(dyno_cost_predict(&cost, &key, 1) == 1000);
    CHECK(dyno_cost_predict(&cost, &large, 1) == 4000);
    CHECK(is_near(dyno_cost_predict(&cost, &unseen, 1), 2000)); /* half of the large one */
    /* The shape that was not used for longest makes room. */
    for (uint64_t i = 0; i < DYNO_COST_SHAPES - 1; i++)
        dyno_cost_note(&cost, &(struct dyno_cost_key){.hash = 10 + i, .elements = 100}, 1, 700);
    CHECK(dyno_cost_predict(&cost, &large, 1) == 4000);
    CHECK(is_near(dyno_cost_predict(&cost, &key, 1), 700));
}

int main(void)
{
    test_nothing_seen();
    test_one_size_is_taken_in_proportion();
    test_line();
    test_is_monotone_above_what_was_seen();
    test_follows_a_change();
    test_shapes_apart();
    return TEST_RESULT();
}
