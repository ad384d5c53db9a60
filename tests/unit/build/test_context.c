/* test_context.c - contexts through the public API: what they say of themselves, bindings, shapes
 * that are open, known while it runs, or wrong. */
#include <sched.h>

#include "unit/build/context_case.h"

/* --- asking and binding --- */

static void test_description(void)
{
    struct dyno_io_info info;
    struct dyno_step_info step;
    CHECK(dyno_engine_input_count(conv.engine) == 1);
    CHECK(dyno_engine_output_count(conv.engine) == 1);
    dyno_engine_input(conv.engine, 0, &info);
    CHECK_STR(info.name, "x");
    CHECK(info.dtype == DYNO_F32 && info.rank == 4);
    CHECK(info.min[0] < info.max[0] && info.min[1] == 3 && info.max[1] == 3 && info.opt[3] == 9);
    dyno_engine_output(conv.engine, 0, &info);
    CHECK_STR(info.name, "y");
    CHECK(info.rank == 2 && info.opt[1] == 7 && info.min[0] < info.max[0]);
    CHECK(dyno_engine_step_count(conv.engine) > 2);
    for (uint32_t i = 0; i < dyno_engine_step_count(conv.engine); i++) {
        dyno_engine_step(conv.engine, i, &step);
        CHECK(step.name != NULL && step.op != NULL && step.kernel != NULL);
        CHECK(step.origin_count == 0 || step.origins[0] != NULL);
    }
    CHECK_STR(dyno_engine_warning(conv.engine), "");
}

static void test_bind(void)
{
    struct dyno_context *context = new_context(conv.engine);
    struct dyno_array output = {.data = NULL};
    CHECK(dyno_context_arena_bytes(context) == 0);
    CHECK(dyno_context_bind(context, &images[4], &output, NULL) == DYNO_OK);
    CHECK(output.rank == 2 && output.dims[0] == 4 && output.dims[1] == 7 && output.dtype == 1);
    CHECK(output.bytes == sizeof(float) * 4 * 7 && output.data == NULL);
    const uint64_t four = dyno_context_arena_bytes(context);
    CHECK(four > 0 && dyno_context_tensor_bytes(context) > 0);
    CHECK(dyno_context_bind(context, &images[1], &output, NULL) == DYNO_OK);
    CHECK(output.dims[0] == 1 && dyno_context_arena_bytes(context) < four);
    dyno_context_destroy(context);
}

/* What contexts hold is counted on their engine, and is gone with them to the byte. */
static void test_memory(void)
{
    struct dyno_array output = {.data = NULL};
    const uint64_t bare = dyno_engine_memory_bytes(conv.engine);
    struct dyno_context *context = new_context(conv.engine);
    const uint64_t empty = dyno_engine_memory_bytes(conv.engine);
    CHECK(bare > 0 && empty > bare);
    CHECK(dyno_context_bind(context, &images[1], &output, NULL) == DYNO_OK);
    const uint64_t bound = dyno_engine_memory_bytes(conv.engine);
    CHECK(bound > empty);
    CHECK(dyno_context_run(context, &images[1], &output, NULL) == DYNO_OK);
    const uint64_t placed = dyno_engine_memory_bytes(conv.engine);
    CHECK(placed >= bound + dyno_context_arena_bytes(context));
    output.data = NULL;
    CHECK(dyno_context_submit(context, &images[5], &output, NULL, NULL, NULL) == DYNO_OK);
    while (!dyno_context_poll(context))
        (void)sched_yield();
    CHECK(dyno_context_wait(context, NULL, NULL) == DYNO_OK);
    CHECK(dyno_engine_memory_bytes(conv.engine) > placed);
    dyno_context_destroy(context);
    CHECK(dyno_engine_memory_bytes(conv.engine) == bare);
}

/* More sets of shapes than a context keeps, back and forth, into own and given memory. */
static void test_many_shapes(void)
{
    struct dyno_context *context = new_context(conv.engine);
    float room[BATCHES * 7];
    for (int round = 0; round < 60; round++) {
        const int batch = 1 + round * 5 % BATCHES;
        struct dyno_array output = {.data = NULL};
        if (round % 2 != 0)
            output = (struct dyno_array){.data = room, .bytes = sizeof(room)};
        CHECK(dyno_context_run(context, &images[batch], &output, NULL) == DYNO_OK);
        CHECK((output.data == room) == (round % 2 != 0));
        CHECK(is_right(&output, batch));
        for (int64_t other = 0; other < 3; other++) {
            const int64_t dims[4] = {7 + round % 20 + other, 3, 9, 9};
            struct dyno_array shape = {.dtype = DYNO_F32, .rank = 4};
            memcpy(shape.dims, dims, sizeof(dims));
            CHECK(dyno_context_bind(context, &shape, &output, NULL) == DYNO_OK);
            CHECK(output.dims[0] == dims[0]);
        }
    }
    dyno_context_destroy(context);
}

/* Each is refused with the input's name and the rule, and the context works on. */
static void test_wrong_arrays(void)
{
    struct dyno_context *context = new_context(conv.engine);
    struct dyno_array good = images[2];
    struct wrong {
        struct dyno_array input;
        const char *says;
    } rows[] = {
        {good, "input 'x': is i64, wants f32"},
        {good, "input 'x': has 3 dimensions, wants 4"},
        {good, "input 'x': dimension 1 is 4, wants 3"},
        {good, "input 'x': dimension 0 is -1"},
        {good, "input 'x': holds 8 bytes, its shape wants 1944"},
        {good, "input 'x': holds 1944 bytes, its shape wants 1944"},
        {good, "input 'x': has -1 dimensions, wants 4"},
        {good, "input 'x': has 100 dimensions, wants 4"},
        {good, "input 'x': "},
    };
    rows[0].input.dtype = DYNO_I64;
    rows[1].input.rank = 3;
    rows[2].input.dims[1] = 4;
    rows[3].input.dims[0] = -1;
    rows[4].input.bytes = 8;
    rows[5].input.data = NULL;
    rows[6].input.rank = -1;
    rows[7].input.rank = 100;
    rows[8].input.dims[0] = INT64_MAX;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct dyno_err err = {0};
        struct dyno_array output = {.data = NULL};
        const enum dyno_status status = dyno_context_run(context, &rows[i].input, &output, &err);
        CHECK_MSG(status == DYNO_E_ARG || (i == 8 && status == DYNO_E_LIMIT), "row %zu: %d, %s", i,
                  (int)status, err.text);
        CHECK_MSG(strncmp(err.text, rows[i].says, strlen(rows[i].says)) == 0 || i == 8,
                  "row %zu: '%s'", i, err.text);
        output = (struct dyno_array){.data = NULL};
        CHECK(dyno_context_run(context, &good, &output, NULL) == DYNO_OK && is_right(&output, 2));
    }
    float small[13];
    struct dyno_err err = {0};
    struct dyno_array output = {.data = small, .bytes = sizeof(small)};
    CHECK(dyno_context_run(context, &good, &output, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "output 'y': room for 52 bytes, needs 56");
    dyno_context_destroy(context);
}

/* Two inputs that share a size. */
static void test_shared_size(void)
{
    struct dyno_err err = {0};
    message graph = {0};
    put_input(&graph, "a", DYNO_F32, "N");
    put_input(&graph, "b", DYNO_F32, "N");
    put_output(&graph, "y", DYNO_F32, "N");
    put_node(&graph, "Add", "add", "a,b", "y");
    message model = model_of(&graph, 17);
    struct dyno_built built = chain_build(&model, (struct dyno_build_options){0}, &err);
    struct dyno_context *context = new_context(built.engine);
    struct dyno_array output = {.data = NULL};
    const int64_t two[1] = {2};
    const int64_t three[1] = {3};
    struct dyno_array inputs[2] = {chain_array(arena, two, 1, 1), chain_array(arena, three, 1, 2)};
    CHECK(dyno_context_run(context, inputs, &output, &err) == DYNO_E_ARG);
    CHECK_MSG(strstr(err.text, "the same size 'N' is 2 elsewhere") != NULL, "%s", err.text);
    inputs[1] = inputs[0];
    CHECK(dyno_context_run(context, inputs, &output, &err) == DYNO_OK);
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

/* Texts that a step makes are alive when a later step has come and gone, and the run is over. */
static void test_texts(void)
{
    static const char *const want[2][2] = {{"1.5", "-2.0"}, {"3.0", "-4.0"}};
    struct dyno_err err = {0};
    message graph = {0};
    const float two[1] = {2.0F};
    put_input(&graph, "x", DYNO_F32, "2");
    put_output(&graph, "a", DYNO_STR, "2");
    put_output(&graph, "b", DYNO_STR, "2");
    put_init(&graph, tensor_raw("two", DYNO_F32, NULL, 0, two, sizeof(two)));
    put_node_attr(&graph, "Cast", "first", "x", "a", attr_int("to", 8));
    put_node(&graph, "Mul", "double", "x,two", "d");
    put_node_attr(&graph, "Cast", "second", "d", "b", attr_int("to", 8));
    message model = model_of(&graph, 17);
    struct dyno_built built = chain_build(&model, (struct dyno_build_options){0}, &err);
    struct dyno_context *context = new_context(built.engine);
    float values[2] = {1.5F, -2.0F};
    const struct dyno_array input = {
        .dtype = DYNO_F32, .rank = 1, .dims = {2}, .data = values, .bytes = sizeof(values)};
    for (int turn = 0; turn < 2; turn++) {
        struct dyno_array outputs[2] = {{.data = NULL}, {.data = NULL}};
        CHECK_MSG(dyno_context_run(context, &input, outputs, &err) == DYNO_OK, "%s", err.text);
        for (int i = 0; i < 4; i++) {
            const struct dyno_str *texts = outputs[i / 2].data;
            const char *text = want[i / 2][i % 2];
            CHECK_MSG(texts[i % 2].bytes == strlen(text) &&
                          memcmp(texts[i % 2].text, text, strlen(text)) == 0,
                      "output %d is '%.*s'", i, (int)texts[i % 2].bytes, texts[i % 2].text);
        }
    }
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

static void test_profile(void)
{
    struct dyno_context *context = new_context(conv.engine);
    struct dyno_array output = {.data = NULL};
    float us[64];
    REQUIRE(dyno_engine_step_count(conv.engine) <= DYNO_COUNT(us));
    dyno_context_profile(context, 1);
    CHECK(dyno_context_run(context, &images[3], &output, NULL) == DYNO_OK);
    CHECK(is_right(&output, 3));
    dyno_context_step_times(context, us);
    float sum = 0.0F;
    for (uint32_t i = 0; i < dyno_engine_step_count(conv.engine); i++) {
        CHECK(us[i] >= 0.0F);
        sum += us[i];
    }
    CHECK(sum > 0.0F);
    dyno_context_profile(context, 0);
    dyno_context_step_times(context, us);
    CHECK(us[0] == 0.0F);
    dyno_context_destroy(context);
}

/* --- shapes that only the run tells --- */

/* where = NonZero(x > 0), picked = Gather(where, i): fails in its second open step when i is out of
 * range.  The next run must not believe the shapes of the failed one. */
static void test_open_after_failure(void)
{
    static float few[8] = {1, -1, -1, -1, -1, -1, -1, -1};
    static float many[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    static int64_t zero;
    static int64_t far = 99;
    static const float none[1] = {0.0F};
    message graph = {0};
    struct dyno_err err = {0};
    put_input(&graph, "x", DYNO_F32, "2,4");
    put_input(&graph, "i", DYNO_I64, "1");
    put_output(&graph, "where", DYNO_I64, "2,K");
    put_output(&graph, "picked", DYNO_I64, "2,1");
    put_init(&graph, tensor_raw("none", DYNO_F32, NULL, 0, none, sizeof(none)));
    put_node(&graph, "Greater", "test", "x,none", "mask");
    put_node(&graph, "NonZero", "list", "mask", "where");
    put_node_attr(&graph, "Gather", "pick", "where,i", "picked", attr_int("axis", 1));
    message model = model_of(&graph, 17);
    struct dyno_built built = chain_build(&model, (struct dyno_build_options){.level = 0}, &err);
    struct dyno_context *context = new_context(built.engine);
    struct dyno_array inputs[2] = {
        {.data = few, .bytes = sizeof(few), .dtype = DYNO_F32, .rank = 2, .dims = {2, 4}},
        {.data = &far, .bytes = sizeof(far), .dtype = DYNO_I64, .rank = 1, .dims = {1}}};
    struct dyno_array outputs[2] = {{.data = NULL}};
    CHECK(dyno_context_run(context, inputs, outputs, &err) != DYNO_OK);
    CHECK_MSG(strstr(err.text, "pick") != NULL, "%s", err.text);
    inputs[0].data = many;
    inputs[1].data = &zero;
    memset(outputs, 0, sizeof(outputs));
    CHECK(dyno_context_bind(context, inputs, outputs, NULL) == DYNO_OK);
    CHECK(outputs[0].rank == -1);
    memset(outputs, 0, sizeof(outputs));
    CHECK(dyno_context_run(context, inputs, outputs, NULL) == DYNO_OK);
    CHECK(outputs[0].rank == 2 && outputs[0].dims[0] == 2 && outputs[0].dims[1] == 8);
    CHECK(outputs[0].bytes == 16 * sizeof(int64_t));
    for (int64_t k = 0; k < 8 && outputs[0].data != NULL; k++)
        CHECK(((int64_t *)outputs[0].data)[k] == k / 4 &&
              ((int64_t *)outputs[0].data)[8 + k] == k % 4);
    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

int main(void)
{
    context_case_begin();
    test_description();
    test_bind();
    test_memory();
    test_many_shapes();
    test_wrong_arrays();
    test_shared_size();
    test_texts();
    test_profile();
    test_open_after_failure();
    return context_case_end();
}
