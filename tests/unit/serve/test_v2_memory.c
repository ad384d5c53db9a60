/* test_v2_memory.c - each allocation of what decodes and answers requests fails once. */
#include "base/mem.h"
#include "serve/v2/control.h"
#include "serve/v2/generate.h"
#include "serve/v2/reflection.h"
#include "serve/v2/settings.h"
#include "test.h"

struct memory {
    struct dyno_v2_memory memory; /* first */
    struct dyno_arena *arena;
};

static void *take(struct dyno_v2_memory *memory, size_t bytes)
{
    return dyno_arena_alloc(((struct memory *)(void *)memory)->arena, bytes, 1);
}

/* One thing that is done with an arena; E_NOMEM, or E_BUSY where memory was asked of `take`. */
typedef enum dyno_status try_fn(struct dyno_arena *arena, struct dyno_strbuf *out);

static const struct dyno_v2_tensor inputs[] = {
    {.name = "x", .dtype = DYNO_F32, .rank = 2, .dims = {-1, 4}},
    {.name = "t", .dtype = DYNO_STR, .rank = 1, .dims = {-1}},
};

static enum dyno_status generate(struct dyno_arena *arena, struct dyno_strbuf *out)
{
    static const char body[] =
        "{\"id\":\"7\",\"x\":[1,2,3,4],\"t\":\"a\",\"parameters\":{\"p\":\"v\"}}";
    struct memory memory = {.memory.take = take, .arena = arena};
    struct dyno_infer infer;
    struct dyno_v2_wanted wanted[2] = {{0}};
    DYNO_TRY(dyno_v2_generate_decode(body, strlen(body), inputs, 2, arena, &memory.memory, &infer,
                                     NULL));
    const struct dyno_infer_answer answer = {.model = "m",
                                             .version = "1",
                                             .id = infer.id,
                                             .variant = "v",
                                             .outputs = infer.inputs,
                                             .wanted = wanted,
                                             .output_count = infer.input_count};
    DYNO_TRY(dyno_v2_generate_encode(&answer, out, NULL));
    CHECK_STR(dyno_strbuf_text(out), "{\"id\":\"7\",\"model_name\":\"m\",\"model_version\":\"1\","
                                     "\"variant\":\"v\",\"x\":[1.0,2.0,3.0,4.0],\"t\":\"a\"}");
    return DYNO_OK;
}

static enum dyno_status settings(struct dyno_arena *arena, struct dyno_strbuf *out)
{
    /* settings["a"] = {bool_param: true}, settings["b"] = {value: ["x", "y"]}, model_name "m" */
    static const char body[] = "\x0a\x07\x0a\x01"
                               "a\x12\x02\x08\x01\x0a\x0b\x0a\x01"
                               "b\x12\x06\x0a\x01x\x0a\x01y\x12\x01m";
    const struct dyno_v2_setting *asked = NULL;
    const char *model = NULL;
    DYNO_TRY(dyno_v2_pb_settings(body, sizeof(body) - 1, arena, &asked, &model, NULL));
    CHECK_STR(model, "m");
    CHECK(strcmp(asked->name, "a") == 0 && asked->boolean && asked->next->next->next == NULL);
    CHECK(strcmp(asked->next->text, "x") == 0 && strcmp(asked->next->next->text, "y") == 0);
    dyno_v2_pb_put_settings(out, asked, 1, false);
    const struct dyno_v2_region region = {.name = "r", .key = "k", .bytes = 1};
    dyno_v2_pb_put_region(out, &region);
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_E_NOMEM;
}

static enum dyno_status json_settings(struct dyno_arena *arena, struct dyno_strbuf *out)
{
    static const char body[] = "{\"a\":true,\"b\":[\"x\",\"y\"],\"c\":[],\"d\":null}";
    const struct dyno_json *root = NULL;
    const struct dyno_v2_setting *asked = NULL;
    struct dyno_json_writer json = {.out = out, .indent = -1};
    DYNO_TRY(dyno_json_parse(body, strlen(body), arena, &root, NULL));
    DYNO_TRY(dyno_v2_json_settings(root, arena, &asked, NULL));
    CHECK(asked->next->next->next->kind == DYNO_V2_SETTING_NONE);
    dyno_v2_json_put_settings(&json, asked, 1);
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_E_NOMEM;
}

static enum dyno_status names(struct dyno_arena *arena, struct dyno_strbuf *out)
{
    static const char body[] = "\x12\x01m\x1a\x08\x0a\x01p\x12\x03\x1a\x01v";
    struct dyno_v2_names got;
    (void)out;
    DYNO_TRY(dyno_v2_pb_names(body, sizeof(body) - 1, arena, &got, NULL));
    CHECK(strcmp(got.params->name, "p") == 0 && strcmp(got.params->text, "v") == 0 &&
          got.params->next == NULL);
    return DYNO_OK;
}

static enum dyno_status reflect(struct dyno_arena *arena, struct dyno_strbuf *out)
{
    static const char body[] = "\x22\x15inference.ModelConfig";
    static const char list[] = "\x3a";
    (void)arena;
    DYNO_TRY(dyno_v2_reflect(list, 2, out, NULL)); /* its NUL is the length */
    return dyno_v2_reflect(body, sizeof(body) - 1, out, NULL);
}

static void try_all(try_fn *fn, uint64_t least)
{
    enum dyno_status status = DYNO_E_NOMEM;
    uint64_t nth = 0;
    while ((status == DYNO_E_NOMEM || status == DYNO_E_BUSY) && nth < 500) {
        struct dyno_strbuf out = {0};
        dyno_mem_fail_at(++nth);
        struct dyno_arena *arena = dyno_arena_create();
        status = arena != NULL ? fn(arena, &out) : DYNO_E_NOMEM;
        dyno_mem_fail_at(0);
        dyno_strbuf_fini(&out);
        dyno_arena_destroy(arena);
        CHECK(dyno_mem_live_count() == 0);
    }
    CHECK_MSG(status == DYNO_OK && nth > least, "status %d after %llu", (int)status,
              (unsigned long long)nth);
}

int main(void)
{
    try_all(generate, 2);
    try_all(settings, 4);
    try_all(json_settings, 2);
    try_all(names, 1);
    try_all(reflect, 6);
    return TEST_RESULT();
}
