/* test_model_config.c - config.json: what it says of variants and builds, and what it may not say.
 */
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
    CHECK(int8.device == NULL && none.device == NULL);
    CHECK(parse("{\"variants\": {\"a\": {\"device\": \"cuda\"}, \"b\": {\"device\": \"cuda:12\"}}}",
                arena, &config, NULL) == DYNO_OK);
    CHECK_STR(dyno_model_variant_of(&config, "a").device, "cuda:0");
    CHECK_STR(dyno_model_variant_of(&config, "b").device, "cuda:12");
    CHECK(parse("{\"pinned\": true, \"variants\": {\"a\": {\"pinned\": false}}}", arena, &config,
                NULL) == DYNO_OK);
    CHECK(dyno_model_variant_of(&config, "a").is_pinned &&
          dyno_model_variant_of(&config, "b").is_pinned);
}

static void test_build(struct dyno_arena *arena)
{
    struct dyno_model_config config;
    const struct dyno_make_wish *build = &config.build;
    CHECK(parse("{}", arena, &config, NULL) == DYNO_OK);
    CHECK(build->max_batch == 0 && build->opt_batch == 0 && !build->has_level && !build->exact &&
          !build->no_baseline && build->min_shapes == NULL);
    CHECK(parse("{\"build\": {\"max_batch\": 8, \"opt_batch\": 4, \"level\": 0, \"exact\": true,"
                "\"baseline\": false}}",
                arena, &config, NULL) == DYNO_OK);
    CHECK(build->max_batch == 8 && build->opt_batch == 4 && build->has_level && build->level == 0 &&
          build->exact && build->no_baseline);
    CHECK(parse("{\"build\": {\"shapes\": {\"x\": [1, 3], \"y:0\": [], \"z\": {\"max\": [8], "
                "\"min\": [1], \"opt\": [4]}}}}",
                arena, &config, NULL) == DYNO_OK);
    CHECK_STR(build->min_shapes, "x:1x3,y:0:scalar,z:1");
    CHECK_STR(build->opt_shapes, "x:1x3,y:0:scalar,z:4");
    CHECK_STR(build->max_shapes, "x:1x3,y:0:scalar,z:8");
    /* The largest batch of the model, where nothing else is said of shapes. */
    CHECK(parse("{\"max_batch_size\": 16}", arena, &config, NULL) == DYNO_OK);
    CHECK(build->max_batch == 16);
    CHECK(parse("{\"max_batch_size\": 16, \"build\": {\"max_batch\": 4}}", arena, &config, NULL) ==
          DYNO_OK);
    CHECK(build->max_batch == 4);
    CHECK(parse("{\"max_batch_size\": 16, \"build\": {\"shapes\": {\"x\": [1]}}}", arena, &config,
                NULL) == DYNO_OK);
    CHECK(build->max_batch == 0);
}

static void test_build_for_a_gpu(struct dyno_arena *arena)
{
    struct dyno_model_config config;
    const struct dyno_make_wish *build = &config.build;
    CHECK(parse("{\"build\": {}}", arena, &config, NULL) == DYNO_OK);
    CHECK(build->device == NULL && !build->fp16 && !build->bf16 && !build->tf32 && !build->lean &&
          build->accuracy_budget == 0.0 && build->layer_precisions == NULL &&
          dyno_make_wish_of_gpu(build) == NULL);
    CHECK(
        parse(
            "{\"build\": {\"device\": \"cuda:1\", \"fp16\": true, \"tf32\": true, \"bf16\": false, "
            "\"accuracy_budget\": 0.02, \"layer_precisions\": {\"*oftmax*\": \"fp32\", "
            "\"a:0\": \"fp16\"}}}",
            arena, &config, NULL) == DYNO_OK);
    CHECK_STR(build->device, "cuda:1");
    CHECK(build->fp16 && build->tf32 && !build->bf16 && !build->lean &&
          build->accuracy_budget == 0.02);
    CHECK_STR(build->layer_precisions, "*oftmax*:fp32,a:0:fp16");
    CHECK_STR(dyno_make_wish_of_gpu(build), "fp16");
    CHECK(parse("{\"build\": {\"device\": \"cuda\", \"lean\": true}}", arena, &config, NULL) ==
          DYNO_OK);
    CHECK_STR(build->device, "cuda:0");
    CHECK_STR(dyno_make_wish_of_gpu(build), "lean");
    CHECK(parse("{\"build\": {\"device\": \"cpu\"}}", arena, &config, NULL) == DYNO_OK);
    CHECK_STR(build->device, "cpu");
}

static const struct {
    const char *text, *says;
} bad[] = {
    {"{\"build\": []}", "build must be an object"},
    {"{\"build\": {\"max_batch\": -1}}",
     "build.max_batch must be a whole number between 0 and 1048576"},
    {"{\"build\": {\"max_batch\": 1.5}}",
     "build.max_batch must be a whole number between 0 and 1048576"},
    {"{\"build\": {\"max_batch\": 2, \"opt_batch\": 3}}",
     "build.opt_batch is more than build.max_batch"},
    {"{\"build\": {\"opt_batch\": 3}}", "build.opt_batch is more than build.max_batch"},
    {"{\"build\": {\"level\": 6}}", "build.level must be a whole number between 0 and 5"},
    {"{\"build\": {\"exact\": 1}}", "build.exact must be true or false"},
    {"{\"build\": {\"threads\": 1}}",
     "build.threads is not known (there are max_batch, opt_batch, level, exact, baseline, shapes, "
     "device, fp16, bf16, tf32, lean, accuracy_budget, layer_precisions)"},
    {"{\"build\": {\"device\": \"gpu\"}}", "build.device must be cpu, cuda or cuda:N"},
    {"{\"build\": {\"device\": \"cuda:01\"}}", "build.device must be cpu, cuda or cuda:N"},
    {"{\"build\": {\"device\": 0}}", "build.device must be cpu, cuda or cuda:N"},
    {"{\"build\": {\"fp16\": 1}}", "build.fp16 must be true or false"},
    {"{\"build\": {\"lean\": \"yes\"}}", "build.lean must be true or false"},
    {"{\"build\": {\"device\": \"cpu\", \"tf32\": true}}",
     "build.tf32 goes with a GPU, and build.device is cpu"},
    {"{\"build\": {\"layer_precisions\": {\"a\": \"fp32\"}, \"device\": \"cpu\"}}",
     "build.layer_precisions goes with a GPU, and build.device is cpu"},
    {"{\"build\": {\"accuracy_budget\": 0.02}}",
     "build.accuracy_budget goes with fp16, bf16 or tf32: all else is f32"},
    {"{\"build\": {\"accuracy_budget\": 1, \"fp16\": true}}",
     "build.accuracy_budget must be a number between 0 and 0.999"},
    {"{\"build\": {\"layer_precisions\": []}}",
     "build.layer_precisions must be an object of precisions by layer"},
    {"{\"build\": {\"layer_precisions\": {\"a\": \"int8\"}}}",
     "build.layer_precisions.a must be fp32, fp16 or bf16, and no comma be in its name"},
    {"{\"build\": {\"layer_precisions\": {\"a,b\": \"fp32\"}}}",
     "build.layer_precisions.a,b must be fp32, fp16 or bf16, and no comma be in its name"},
    {"{\"build\": {\"shapes\": {}}}", "build.shapes must be an object of shapes by input"},
    {"{\"build\": {\"shapes\": {\"x\": [-1]}}}",
     "a size in build.shapes must be a whole number between 0 and 2147483647"},
    {"{\"build\": {\"shapes\": {\"x,y\": [1]}}}",
     "build.shapes.x,y must be an array of sizes, or an object with such arrays as min, opt and max"},
    {"{\"build\": {\"shapes\": {\"x\": {\"min\": [1], \"max\": [1], \"mid\": [1]}}}}",
     "build.shapes.x must be an array of sizes, or an object with such arrays as min, opt and max"},
    {"{\"build\": {\"shapes\": {\"x\": \"1x3\"}}}",
     "build.shapes.x must be an array of sizes, or an object with such arrays as min, opt and max"},
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
     "variants.a.acuracy: a variant has accuracy, pinned and device"},
    {"{\"variants\": {\"a\": {\"device\": 1}}}", "variants.a.device must be cuda or cuda:N"},
    {"{\"variants\": {\"a\": {\"device\": \"cpu\"}}}", "variants.a.device must be cuda or cuda:N"},
    {"{\"variants\": {\"a\": {\"device\": \"cuda:01\"}}}",
     "variants.a.device must be cuda or cuda:N"},
    {"{\"variants\": {\"a\": {\"device\": \"cuda:1x\"}}}",
     "variants.a.device must be cuda or cuda:N"},
    {"{\"variants\": {\"a\": {\"device\": \"cuda:1\\u0000\"}}}",
     "variants.a.device must be cuda or cuda:N"},
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
    test_build(arena);
    test_build_for_a_gpu(arena);
    test_refusals(arena);
    dyno_arena_destroy(arena);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
