/* test_control.c - tenants, keys and use: what is written is read again, what is wrong is refused.
 */
#include "control_case.h"

static struct dyno_arena *arena;

static const struct dyno_tenant *read_one(struct dyno_control *control, const char *name,
                                          int64_t today)
{
    struct dyno_tenant *tenant = NULL;
    struct dyno_err err = {0};
    size_t count = 0;
    CHECK_MSG(dyno_control_read(control, name, today, arena, &tenant, &count, &err) == DYNO_OK,
              "%s", err.text);
    REQUIRE(count == 1);
    return tenant;
}

static size_t count_all(struct dyno_control *control)
{
    struct dyno_tenant *tenants = NULL;
    size_t count = 0;
    CHECK(dyno_control_read(control, NULL, 0, arena, &tenants, &count, NULL) == DYNO_OK);
    for (size_t i = 1; i < count; i++)
        CHECK(tenants[i].id > tenants[i - 1].id);
    return count;
}

/* --- tenants --- */

static void test_add_and_read(void)
{
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    struct stat info = {0};
    uint8_t digest[DYNO_DIGEST_BYTES];
    CHECK(stat(case_path, &info) == 0 && (info.st_mode & 0777) == 0600);
    dyno_control_close(control);
    control = case_open(false);
    const struct dyno_tenant *a = read_one(control, "a", 0);
    CHECK(a->id == 1 && a->enabled && a->rate_per_s == 2.5 && a->burst == 7);
    CHECK(a->permits == (DYNO_PERMIT_INFER | DYNO_PERMIT_METRICS) && a->concurrent_max == 3);
    CHECK_STR(a->class_name, "realtime");
    CHECK(a->period == DYNO_PERIOD_MONTH && a->quota_requests == 1000);
    CHECK(a->quota_device_ns == 5000000000 && a->model_count == 2);
    CHECK_STR(a->models[0], "bert.v2");
    CHECK_STR(a->models[1], "resnet");
    CHECK(a->key_count == 1 && a->keys[0].ends_s == 0 && a->keys[0].created_s > 0);
    CHECK_STR(a->keys[0].id, key.id);
    CHECK(dyno_key_digest(key.text, DYNO_KEY_TEXT_BYTES, digest) &&
          dyno_digest_same(digest, a->keys[0].digest));
    const struct dyno_tenant *b = read_one(control, "b", 0);
    CHECK(b->id == 2 && b->permits == (DYNO_PERMIT_INFER | DYNO_PERMIT_READ));
    CHECK(b->model_count == 0 && b->rate_per_s == 0 && b->quota_requests == 0);
    CHECK_STR(b->class_name, "standard");
    CHECK(count_all(control) == 2);
    dyno_control_close(control);
}

static void test_secrets_are_not_kept(void)
{
    struct dyno_key key;
    size_t bytes = 0;
    dyno_control_close(case_make(&key));
    char *data = case_slurp(&bytes);
    const char *secret = key.text + strlen(DYNO_KEY_PREFIX) + DYNO_KEY_ID_BYTES + 1;
    CHECK(memmem(data, bytes, key.id, DYNO_KEY_ID_BYTES) != NULL);
    CHECK(memmem(data, bytes, secret, 16) == NULL);
    free(data);
}

static void test_set(void)
{
    static const char *const models[] = {"x", "y", "x"};
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    struct dyno_tenant change = {.name = "a", .rate_per_s = 9, .models = models, .model_count = 3};
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_RATE, NULL) == DYNO_OK);
    const struct dyno_tenant *a = read_one(control, "a", 0);
    CHECK(a->rate_per_s == 9 && a->burst == 7 && a->model_count == 2 && a->enabled);
    CHECK_STR(a->class_name, "realtime");
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_MODELS | DYNO_TENANT_ENABLED, NULL) ==
          DYNO_OK);
    a = read_one(control, "a", 0);
    CHECK(a->model_count == 2 && !a->enabled && a->rate_per_s == 9);
    CHECK_STR(a->models[0], "x");
    change = (struct dyno_tenant){.name = "a",
                                  .enabled = true,
                                  .permits = DYNO_PERMIT_CONTROL,
                                  .class_name = "batch",
                                  .burst = 1,
                                  .concurrent_max = 2,
                                  .quota_requests = 3,
                                  .quota_device_ns = 4};
    CHECK(dyno_control_set(control, &change, 1023, NULL) == DYNO_OK);
    a = read_one(control, "a", 0);
    CHECK(a->enabled && a->permits == DYNO_PERMIT_CONTROL && a->rate_per_s == 0 && a->burst == 1);
    CHECK(a->concurrent_max == 2 && a->period == DYNO_PERIOD_DAY && a->quota_requests == 3);
    CHECK(a->quota_device_ns == 4 && a->model_count == 0 && a->key_count == 1);
    CHECK_STR(a->class_name, "batch");
    CHECK(read_one(control, "b", 0)->enabled);
    dyno_control_close(control);
}

static void test_remove(void)
{
    struct dyno_key key;
    struct dyno_err err = {0};
    struct dyno_control *control = case_make(&key);
    const struct dyno_use_row row = {.tenant = 2, .day = 1, .use = {1, 1}};
    CHECK(dyno_control_add_use(control, &row, 1, NULL) == DYNO_OK);
    CHECK(dyno_control_remove(control, "b", NULL) == DYNO_OK);
    CHECK(dyno_control_remove(control, "b", &err) == DYNO_E_NOT_FOUND);
    CHECK_STR(err.text, "there is no tenant 'b'");
    CHECK(count_all(control) == 1);
    const struct dyno_tenant tenant = dyno_tenant_defaults("b");
    CHECK(dyno_control_add(control, &tenant, &key, NULL) == DYNO_OK);
    const struct dyno_tenant *b = read_one(control, "b", 1);
    CHECK(b->id == 3 && b->key_count == 1 && b->day_use.requests == 0); /* another b */
    dyno_control_close(control);
    /* Nothing of the first b is left. */
    CHECK(case_sql("CREATE TABLE one (x CHECK (x = 0));"
                   "INSERT INTO one SELECT count(*) FROM tenant_key WHERE tenant = 2;"
                   "INSERT INTO one SELECT count(*) FROM tenant_use WHERE tenant = 2"));
}

static void test_refusals(void)
{
    static const char *const bad_models[] = {"fine", "not/fine"};
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    const struct {
        struct dyno_tenant tenant;
        const char *says;
    } rows[] = {
        {{.name = "a", .class_name = "c"}, "there is a tenant 'a' already"},
        {{.name = "", .class_name = "c"}, "'' is no name of a tenant: letters, digits"},
        {{.name = "a b", .class_name = "c"}, "is no name of a tenant"},
        {{.name = "n", .class_name = "a\nb"}, "is no name of a service class"},
        {{.name = "n", .class_name = "c", .models = bad_models, .model_count = 2},
         "'not/fine' is no name of a model"},
        {{.name = "n", .class_name = "c", .model_count = DYNO_TENANT_MODELS_MAX + 1},
         "models are more than the"},
        {{.name = "n", .class_name = "c", .permits = 16}, "no such rights"},
        {{.name = "n", .class_name = "c", .rate_per_s = -1}, "a rate lies between 0 and"},
        {{.name = "n", .class_name = "c", .rate_per_s = __builtin_nan("")}, "a rate lies between"},
        {{.name = "n", .class_name = "c", .burst = DYNO_COUNT_MAX + 1}, "at most 1000000000"},
        {{.name = "n", .class_name = "c", .concurrent_max = UINT32_MAX}, "at most 1000000000"},
        {{.name = "n", .class_name = "c", .period = (enum dyno_period)2}, "a day or a month"},
        {{.name = "n", .class_name = "c", .quota_requests = UINT64_MAX}, "a quota is at most"},
        {{.name = "n", .class_name = "c", .quota_device_ns = UINT64_MAX}, "a quota is at most"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct dyno_err err = {0};
        CHECK(dyno_control_add(control, &rows[i].tenant, &key, &err) ==
              (i == 0 ? DYNO_E_EXISTS : DYNO_E_ARG));
        CHECK_MSG(strstr(err.text, rows[i].says) != NULL, "row %zu: %s", i, err.text);
        CHECK(key.text[0] == 0 && key.text[20] == 0);
    }
    struct dyno_tenant change = {.name = "nobody"};
    struct dyno_err err = {0};
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_RATE, &err) == DYNO_E_NOT_FOUND);
    change = (struct dyno_tenant){.name = "a", .rate_per_s = 2e9};
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_RATE, NULL) == DYNO_E_ARG);
    CHECK(read_one(control, "a", 0)->rate_per_s == 2.5 && count_all(control) == 2);
    dyno_control_close(control);
}

/* --- keys --- */

static void test_rotate(void)
{
    struct dyno_key first;
    struct dyno_key second;
    struct dyno_key third;
    struct dyno_err err = {0};
    struct dyno_control *control = case_make(&first);
    const int64_t now_s = dyno_now_s();
    CHECK(dyno_control_rotate(control, "a", 1000, &second, NULL) == DYNO_OK);
    const struct dyno_tenant *a = read_one(control, "a", 0);
    REQUIRE(a->key_count == 2);
    const struct dyno_key_row *old = &a->keys[strcmp(a->keys[0].id, first.id) == 0 ? 0 : 1];
    const struct dyno_key_row *fresh = old == &a->keys[0] ? &a->keys[1] : &a->keys[0];
    CHECK(old->ends_s >= now_s + 1000 && old->ends_s < now_s + 1100 && fresh->ends_s == 0);
    CHECK_STR(fresh->id, second.id);
    /* A longer grace time does not bring back what has less. */
    CHECK(dyno_control_rotate(control, "a", 1000000, &third, NULL) == DYNO_OK);
    a = read_one(control, "a", 0);
    REQUIRE(a->key_count == 3);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(a->keys[i].id, first.id) == 0)
            CHECK(a->keys[i].ends_s < now_s + 1100);
    CHECK(dyno_control_rotate(control, "a", 0, &third, NULL) == DYNO_OK);
    a = read_one(control, "a", 0);
    REQUIRE(a->key_count == 1);
    CHECK_STR(a->keys[0].id, third.id);
    CHECK(read_one(control, "b", 0)->keys[0].ends_s == 0);
    CHECK(dyno_control_rotate(control, "c", 0, &third, &err) == DYNO_E_NOT_FOUND);
    CHECK(third.text[0] == 0);
    CHECK(dyno_control_rotate(control, "a", -1, &third, NULL) == DYNO_E_ARG);
    CHECK(dyno_control_rotate(control, "a", INT64_MAX, &third, NULL) == DYNO_E_ARG);
    for (int i = 1; i < DYNO_TENANT_KEYS_MAX; i++)
        CHECK(dyno_control_rotate(control, "a", 1000, &third, NULL) == DYNO_OK);
    err = (struct dyno_err){0};
    CHECK(dyno_control_rotate(control, "a", 1000, &third, &err) == DYNO_E_LIMIT);
    CHECK(strstr(err.text, "has 64 keys that are valid") != NULL);
    CHECK(read_one(control, "a", 0)->key_count == DYNO_TENANT_KEYS_MAX);
    dyno_control_close(control);
}

static void test_revoke(void)
{
    struct dyno_key first;
    struct dyno_key second;
    struct dyno_err err = {0};
    struct dyno_control *control = case_make(&first);
    CHECK(dyno_control_rotate(control, "a", 1000, &second, NULL) == DYNO_OK);
    CHECK(dyno_control_revoke(control, "b", first.id, &err) == DYNO_E_NOT_FOUND);
    CHECK(strstr(err.text, "tenant 'b' has no key ") == err.text);
    CHECK(dyno_control_revoke(control, "a", first.id, NULL) == DYNO_OK);
    CHECK(dyno_control_revoke(control, "a", first.id, NULL) == DYNO_E_NOT_FOUND);
    const struct dyno_tenant *a = read_one(control, "a", 0);
    CHECK(a->key_count == 1);
    CHECK_STR(a->keys[0].id, second.id);
    CHECK(dyno_control_revoke(control, "a", NULL, NULL) == DYNO_OK);
    CHECK(read_one(control, "a", 0)->key_count == 0);
    CHECK(dyno_control_revoke(control, "a", NULL, NULL) == DYNO_OK); /* there are none: so it is */
    CHECK(read_one(control, "b", 0)->key_count == 1);
    /* Who takes the whole key for its id does not find it in a sentence. */
    err = (struct dyno_err){0};
    CHECK(dyno_control_revoke(control, "a", second.text, &err) == DYNO_E_ARG);
    CHECK(strstr(err.text, second.text + 20) == NULL);
    CHECK(dyno_control_revoke(control, "c", NULL, NULL) == DYNO_E_NOT_FOUND);
    dyno_control_close(control);
}

/* --- use --- */

static void test_use(void)
{
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    /* Days of January, the first of February, a tenant that is not there. */
    const struct dyno_use_row rows[] = {{1, 0, {1, 10}},  {1, 1, {2, 20}}, {1, 1, {3, 30}},
                                        {1, 31, {4, 40}}, {2, 1, {5, 50}}, {77, 1, {6, 60}}};
    CHECK(dyno_control_add_use(control, rows, DYNO_COUNT(rows), NULL) == DYNO_OK);
    const struct dyno_tenant *a = read_one(control, "a", 1);
    CHECK(a->day_use.requests == 5 && a->day_use.device_ns == 50);
    CHECK(a->month_use.requests == 6 && a->month_use.device_ns == 60);
    a = read_one(control, "a", 31);
    CHECK(a->day_use.requests == 4 && a->month_use.requests == 4);
    CHECK(read_one(control, "a", 5)->day_use.requests == 0);
    CHECK(read_one(control, "b", 1)->month_use.device_ns == 50);
    CHECK(dyno_control_add_use(control, rows, 1, NULL) == DYNO_OK);
    CHECK(read_one(control, "a", 0)->day_use.requests == 2);
    CHECK(dyno_control_forget_use(control, 1, NULL) == DYNO_OK);
    a = read_one(control, "a", 1);
    CHECK(a->month_use.requests == 5 && a->day_use.requests == 5);
    dyno_control_close(control);
}

/* --- others --- */

static bool changed(struct dyno_control *control)
{
    bool is_changed = false;
    CHECK(dyno_control_has_changed(control, &is_changed, NULL) == DYNO_OK);
    return is_changed;
}

static void test_watch(void)
{
    struct dyno_key key;
    char aside[96];
    struct dyno_control *writer = case_make(&key);
    struct dyno_control *reader = case_open(false);
    const struct dyno_use_row row = {.tenant = 1, .day = 1, .use = {1, 1}};
    CHECK(changed(reader) && !changed(reader));
    CHECK(dyno_control_revoke(writer, "a", NULL, NULL) == DYNO_OK);
    CHECK(changed(reader) && !changed(reader));
    CHECK(read_one(reader, "a", 0)->key_count == 0);
    CHECK(dyno_control_add_use(reader, &row, 1, NULL) == DYNO_OK);
    CHECK(!changed(reader)); /* its own doing */
    CHECK(count_all(writer) == 2 && !changed(reader));
    CHECK(!dyno_control_is_replaced(reader));
    dyno_control_close(writer);
    (void)snprintf(aside, sizeof(aside), "%s.aside", case_path);
    CHECK(rename(case_path, aside) == 0);
    CHECK(dyno_control_is_replaced(reader));
    CHECK(rename(aside, case_path) == 0);
    CHECK(!dyno_control_is_replaced(reader));
    dyno_control_close(reader);
}

static void test_locked(void)
{
    struct dyno_key key;
    struct dyno_err err = {0};
    struct dyno_control *control = NULL;
    struct dyno_db other;
    static const struct dyno_db_kind kind = {
        .what = "other", .application_id = 0x64796e63, .version = 2};
    dyno_control_close(case_make(&key));
    CHECK(dyno_db_open(&kind, case_path, false, 0, &other, NULL) == DYNO_OK);
    CHECK(dyno_control_open(case_path, false, 10, &control, NULL) == DYNO_OK);
    CHECK(dyno_db_begin(&other, true, NULL) == DYNO_OK);
    CHECK(dyno_control_revoke(control, "a", NULL, &err) == DYNO_E_BUSY);
    CHECK(strstr(err.text, "is locked by another process") != NULL);
    CHECK(read_one(control, "a", 0)->key_count == 1); /* reading goes on */
    CHECK(dyno_db_end(&other, DYNO_E_CANCELLED, NULL) == DYNO_E_CANCELLED);
    CHECK(dyno_control_revoke(control, "a", NULL, NULL) == DYNO_OK);
    dyno_control_close(control);
    dyno_db_close(&other);
}

int main(void)
{
    case_begin();
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_add_and_read();
    test_secrets_are_not_kept();
    test_set();
    test_remove();
    test_refusals();
    test_rotate();
    test_revoke();
    test_use();
    test_watch();
    test_locked();
    dyno_arena_destroy(arena);
    case_end();
    return TEST_RESULT();
}
