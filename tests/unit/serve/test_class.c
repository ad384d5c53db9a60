/* test_class.c - rows of policy from text, and who may use which. */
#include "serve/sched/class.h"

#include "test.h"

static void test_defaults(void)
{
    struct dyno_classes classes;
    dyno_classes_init(&classes);
    CHECK(classes.count == 3 && classes.fallback == 1);
    CHECK(dyno_class_find(&classes, "realtime") == 0);
    CHECK(dyno_class_find(&classes, "batch") == 2);
    CHECK(dyno_class_find(&classes, "") == -1);
    CHECK(classes.rows[0].wants_accurate && !classes.rows[0].may_degrade);
    CHECK(classes.rows[1].wants_accurate && classes.rows[1].may_degrade);
    CHECK(!classes.rows[2].wants_accurate);
}

static void test_rows(void)
{
    struct dyno_classes classes;
    struct dyno_err err = {0};
    dyno_classes_init(&classes);
    CHECK(dyno_classes_set(&classes, "realtime,deadline=1.5s,weight=40", &err) == DYNO_OK);
    CHECK(classes.rows[0].deadline_ns == UINT64_C(1500000000) && classes.rows[0].weight == 40);
    CHECK(classes.rows[0].wants_accurate); /* what is not said stays */
    CHECK(dyno_classes_set(&classes, "night,prefer=cheap,degrade=no,accuracy=0.97", &err) ==
          DYNO_OK);
    CHECK(classes.count == 4 && dyno_class_find(&classes, "night") == 3);
    CHECK(!classes.rows[3].wants_accurate && !classes.rows[3].may_degrade);
    CHECK(classes.rows[3].accuracy > 0.96 && classes.rows[3].accuracy < 0.98);
    CHECK(dyno_classes_set(&classes, "realtime,deadline=0", &err) == DYNO_OK);
    CHECK(classes.rows[0].deadline_ns == 0);
}

static void test_bad_rows(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "begins with its name"},
        {"a b,weight=1", "begins with its name"},
        {"abcdefghijklmnopqrstuvwxyzabcdef,weight=1", "begins with its name"},
        {"x,weight=0", "weight wants a whole number"},
        {"x,weight=1001", "weight wants a whole number"},
        {"x,weight=2.5", "weight wants a whole number"},
        {"x,weight=", "weight wants a whole number"},
        {"x,weight", "weight wants a whole number"},
        {"x,accuracy=1.1", "accuracy wants a number"},
        {"x,accuracy=nan", "accuracy wants a number"},
        {"x,deadline=5", "deadline wants a time"},
        {"x,deadline=-5ms", "deadline wants a time"},
        {"x,deadline=1e300s", "deadline wants a time"},
        {"x,deadline=5m", "deadline wants a time"},
        {"x,prefer=best", "prefer wants accurate or cheap"},
        {"x,degrade=maybe", "degrade wants yes or no"},
        {"x,price=3", "price is not known"},
    };
    struct dyno_classes classes;
    dyno_classes_init(&classes);
    for (size_t i = 0; i < DYNO_COUNT(cases); i++) {
        struct dyno_err err = {0};
        CHECK_MSG(dyno_classes_set(&classes, cases[i].text, &err) == DYNO_E_ARG, "%s",
                  cases[i].text);
        CHECK_MSG(strstr(err.text, cases[i].says) != NULL, "'%s': %s", cases[i].text, err.text);
    }
    CHECK(classes.count == 3);
    for (int i = 3; i < DYNO_CLASSES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "c%d", i);
        CHECK(dyno_classes_set(&classes, name, NULL) == DYNO_OK);
    }
    CHECK(dyno_classes_set(&classes, "one-more", NULL) == DYNO_E_ARG);
    CHECK(dyno_classes_set(&classes, "c5,weight=3", NULL) == DYNO_OK);
}

static void choose(const struct dyno_classes *classes, int best, const char *sla, uint64_t priority,
                   enum dyno_status status, int want)
{
    const struct dyno_class_wish wish = {.sla = sla, .priority = priority};
    int got = -1;
    CHECK(dyno_class_choose(classes, best, &wish, &got, NULL) == status);
    if (status == DYNO_OK)
        CHECK_MSG(got == want, "got %d, want %d", got, want);
}

static void test_choice(void)
{
    struct dyno_classes classes;
    dyno_classes_init(&classes);
    choose(&classes, 0, NULL, 0, DYNO_OK, 1);
    choose(&classes, 2, NULL, 0, DYNO_OK, 2); /* standard is better than he may use */
    choose(&classes, 0, "realtime", 0, DYNO_OK, 0);
    choose(&classes, 1, "realtime", 0, DYNO_E_DENIED, 0);
    choose(&classes, 1, "batch", 1, DYNO_OK, 2); /* the name counts, not the number */
    choose(&classes, 0, "gold", 0, DYNO_E_ARG, 0);
    choose(&classes, 0, NULL, 1, DYNO_OK, 0);
    choose(&classes, 0, NULL, 3, DYNO_OK, 2);
    choose(&classes, 1, NULL, 1, DYNO_OK, 1);
    choose(&classes, 0, NULL, 4, DYNO_OK, 2);
    choose(&classes, 1, NULL, UINT64_MAX, DYNO_OK, 2);
}

int main(void)
{
    test_defaults();
    test_rows();
    test_bad_rows();
    test_choice();
    return TEST_RESULT();
}
