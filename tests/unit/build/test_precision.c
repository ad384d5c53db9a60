/* test_precision.c - names, patterns, and which rule holds for which step. */
#include "build/precision.h"

#include "base/mem.h"
#include "test.h"

static void test_patterns(void)
{
    CHECK(dyno_pattern_fits("conv1", "conv1") && !dyno_pattern_fits("conv1", "conv10"));
    CHECK(!dyno_pattern_fits("conv1", "a/conv1") && dyno_pattern_fits("*conv1", "a/conv1"));
    CHECK(dyno_pattern_fits("*", "") && dyno_pattern_fits("*", "anything") &&
          dyno_pattern_fits("", "") && !dyno_pattern_fits("", "x"));
    CHECK(dyno_pattern_fits("a*b*c", "abc") && dyno_pattern_fits("a*b*c", "a--bb--c") &&
          dyno_pattern_fits("a*b*c", "abcbc") && !dyno_pattern_fits("a*b*c", "acb"));
    CHECK(dyno_pattern_fits("a**", "a") && !dyno_pattern_fits("a*b", "a"));
    /* No name makes it slow: what fails goes back to the last star alone. */
    CHECK(!dyno_pattern_fits("*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

/* Steps "first" (of the nodes "a" and "b") and "second" (of "c"). */
static struct dyno_plan *make_plan(void)
{
    static const char *const ab[] = {"a", "b"};
    static const char *const c[] = {"c"};
    struct dyno_plan *plan = dyno_plan_create();
    REQUIRE(plan != NULL);
    plan->steps = dyno_arena_alloc(plan->arena, 2, sizeof(*plan->steps));
    plan->step_count = 2;
    plan->steps[0] = (struct dyno_step){.name = "first", .origins = ab, .origin_count = 2};
    plan->steps[1] = (struct dyno_step){.name = "second", .origins = c, .origin_count = 1};
    return plan;
}

static void check(const struct dyno_layer_precision *rules, uint32_t count, uint32_t first,
                  uint32_t second)
{
    struct dyno_plan *plan = make_plan();
    struct dyno_err err = {0};
    uint32_t got[2] = {99, 99};
    CHECK_MSG(dyno_layer_precisions(plan, rules, count, 3, got, &err) == DYNO_OK, "%s", err.text);
    CHECK_MSG(got[0] == first && got[1] == second, "%u, %u", got[0], got[1]);
    dyno_plan_destroy(plan);
}

static void test_rules(void)
{
    check(NULL, 0, 3, 3);
    check((struct dyno_layer_precision[]){{"first", 0}}, 1, 0, 3);
    check((struct dyno_layer_precision[]){{"b", 1}}, 1, 1, 3);
    check((struct dyno_layer_precision[]){{"*", 0}}, 1, 0, 0);
    /* A name goes before a pattern, wherever it stands; of equals the last holds. */
    check((struct dyno_layer_precision[]){{"c", 2}, {"*", 0}}, 2, 0, 2);
    check((struct dyno_layer_precision[]){{"*", 0}, {"c", 2}}, 2, 0, 2);
    check((struct dyno_layer_precision[]){{"f*", 1}, {"*t", 2}}, 2, 2, 3);
    check((struct dyno_layer_precision[]){{"a", 1}, {"b", 2}}, 2, 2, 3);
    /* What the build does not allow no rule does. */
    check((struct dyno_layer_precision[]){{"c", 7}}, 1, 3, 3);
}

static void test_unknown(void)
{
    const struct dyno_layer_precision rules[] = {{"*", 0}, {"third", 0}};
    struct dyno_plan *plan = make_plan();
    struct dyno_err err = {0};
    uint32_t got[2];
    CHECK(dyno_layer_precisions(plan, rules, 2, 3, got, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "a precision is given for 'third', which is no layer of the model");
    dyno_plan_destroy(plan);
}

int main(void)
{
    test_patterns();
    test_rules();
    test_unknown();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
