/* test_model_config.c - config.json: what it says of variants, and what it may not say. */
#include <string.h>

#include "base/mem.h"
#include "serve/model/repository.h"
#include "test.h"

static enum dyno_status parse(const char *text, struct dyno_arena *arena,
                              struct dyno_model_config *config, struct dyno_err *err)
{
    *config = (struct dyno_model_config){0};
    return dyno_model_config_parse(text, strlen(text), arena, config, err);
}

static void test_variants(struct dyno_arena *arena)
{
    struct dyno_model_config config;
    CHECK(parse("{\"variants\": {\"int8\": {\"accuracy\": 0.98, \"pinned\": true}, \"fp32\": {},"
                "\"low\": {\"accuracy\": 0}}}",
                arena, &config, NULL) == DYNO_OK);
    const struct dyno_model_variant int8 = dyno_model_variant_of(&config, "int8");
    const struct dyno_model_variant fp32 = dyno_model_variant_of(&config, "fp32");
    const struct dyno_model_variant none = dyno_model_variant_of(&config, "none");
    CHECK(int8.accuracy > 0.979 && int8.accuracy < 0.981 && int8.is_pinned);
    CHECK(fp32.accuracy >= 1.0 && !fp32.is_pinned && none.accuracy >= 1.0 && !none.is_pinned);
    CHECK(dyno_model_variant_of(&config, "low").accuracy <= 0.0);
    CHECK(parse("{\"pinned\": true, \"variants\": {\"a\": {\"pinned\": false}}}", arena, &config,
                NULL) == DYNO_OK);
    CHECK(dyno_model_variant_of(&config, "a").is_pinned &&
          dyno_model_variant_of(&config, "b").is_pinned);
}

static const struct {
    const char *text, *says;
} bad[] = {
    {"{\"variants\": []}", "variants must be an object of variants by name"},
    {"{\"variants\": {\"a\": 1}}", "variants.a must be an object"},
    {"{\"variants\": {\"../a\": {}}}", "variants.../a: that is not the name of a variant"},
    {"{\"variants\": {\"\": {}}}", "variants.: that is not the name of a variant"},
    {"{\"variants\": {\"a\": {\"accuracy\": 1.01}}}",
     "variants.a.accuracy must be a number between 0 and 1"},
    {"{\"variants\": {\"a\": {\"accuracy\": -1e-9}}}",
     "variants.a.accuracy must be a number between 0 and 1"},
    {"{\"variants\": {\"a\": {\"accuracy\": \"1\"}}}",
     "variants.a.accuracy must be a number between 0 and 1"},
    {"{\"variants\": {\"a\": {\"pinned\": 1}}}", "variants.a.pinned must be true or false"},
    {"{\"variants\": {\"a\": {\"acuracy\": 1}}}",
     "variants.a.acuracy: a variant has accuracy and pinned"},
    {"{\"pinned\": null}", "pinned must be true or false"},
};

static void test_refusals(struct dyno_arena *arena)
{
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        struct dyno_model_config config;
        struct dyno_err err = {0};
        CHECK(parse(bad[i].text, arena, &config, &err) == DYNO_E_FORMAT);
        CHECK_STR(err.text, bad[i].says);
    }
}

int main(void)
{
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_variants(arena);
    test_refusals(arena);
    dyno_arena_destroy(arena);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
