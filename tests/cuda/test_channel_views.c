/* test_channel_views.c - concatenations and slices of channels in place, on a driver that writes
 * down what it is asked for (record.h): which steps are gone, and engine files that lie about
 * views.
 */
#include "engine/format.h"
#include "needs_nvrtc.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED 77

#define ENGINE_PATH "/tmp/dyno-test-channel-views-XXXXXX"
static char engine_path[] = ENGINE_PATH;

/* --- plans --- */

/* As in YOLOv8 and v5: halves of a convolution, one of them through two more and added to itself
 * (C2f), then poolings of poolings (SPPF); everything is concatenated.  64 channels, but `odd`. */
static message detector(bool odd)
{
    static const int64_t pads[4] = {1, 1, 1, 1};
    static const int64_t three[2] = {3, 3};
    static const int64_t halves[2] = {16, 16};
    static const char *const pools[] = {"s", "p1", "p2", "p3"};
    const int64_t last = odd ? 13 : 16;
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "N,16,9,9");
    put_output(&graph, "y", DYNO_F32, NULL);
    put_weight(&graph, "w0", 32, 16, 1, 1);
    put_weight(&graph, "w1", 16, 16, 1, 1);
    put_weight(&graph, "w2", last, 16, 1, 1);
    put_weight(&graph, "w3", 16, 32 + last, 1, 1);
    put_weight(&graph, "w4", 8, 64, 1, 1);
    put_i64s(&graph, "halves", halves, 2);
    put_node(&graph, "Conv", "first", "x,w0", "c");
    put_node_attr(&graph, "Split", "split", "c,halves", "a,b", attr_int("axis", 1));
    put_node(&graph, "Conv", "one", "b,w1", "d");
    put_node(&graph, "Add", "residual", "d,b", "e");
    put_node(&graph, "Conv", "two", "e,w2", "f");
    put_node_attr(&graph, "Concat", "join", "a,b,f", "g", attr_int("axis", 1));
    put_node(&graph, "Conv", "three", "g,w3", "s");
    for (int i = 1; i < 4; i++) {
        message pool = node_of("", "MaxPool", "pool", pools[i - 1], pools[i]);
        message attr = attr_ints("kernel_shape", three, 2);
        put_message(&pool, 5, &attr);
        attr = attr_ints("pads", pads, 4);
        put_message(&pool, 5, &attr);
        put_message(&graph, 1, &pool);
    }
    put_node_attr(&graph, "Concat", "all", "s,p1,p2,p3", "h", attr_int("axis", 1));
    put_node(&graph, "Conv", "last", "h,w4", "y");
    return model_of(&graph, 17);
}

static uint32_t count_steps(const struct dyno_plan *plan, enum dyno_op_id op)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++)
        count += plan->steps[i].op == op;
    return count;
}

static uint32_t find(const struct dyno_plan *plan, const char *name, uint8_t kind)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (strcmp(plan->tensors[i].name, name) == 0 && plan->tensors[i].layout.kind == kind)
            return i;
    }
    CHECK_MSG(false, "no tensor '%s'", name);
    return 0;
}

/* Rows between two convolutions: what a framework with channels first has to turn for. */
static message turned(int64_t channels)
{
    static const int64_t there[4] = {0, 2, 3, 1};
    static const int64_t back[4] = {0, 3, 1, 2};
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "N,16,H,9");
    put_output(&graph, "y", DYNO_F32, NULL);
    put_weight(&graph, "w0", channels, 16, 1, 1);
    put_weight(&graph, "w1", 16, channels, 1, 1);
    put_node(&graph, "Conv", "first", "x,w0", "a");
    put_node_attr(&graph, "Transpose", "turn", "a", "b", attr_ints("perm", there, 4));
    put_node_attr(&graph, "Softmax", "rows", "b", "c", attr_int("axis", -1));
    put_node_attr(&graph, "Transpose", "unturn", "c", "d", attr_ints("perm", back, 4));
    put_node(&graph, "Conv", "last", "d,w1", "y");
    return model_of(&graph, 17);
}

/* Is it channels from `offset` on of that tensor, or does it have memory of its own? */
static void check_place(const struct dyno_plan *plan, const char *name, const char *base,
                        int64_t offset)
{
    const struct dyno_plan_tensor *tensor = &plan->tensors[find(plan, name, DYNO_LAYOUT_LAST)];
    int64_t value = -1;
    if (base == NULL) {
        CHECK_MSG(tensor->base == DYNO_NO_TENSOR, "%s is a view", name);
        return;
    }
    CHECK_MSG(tensor->base == find(plan, base, DYNO_LAYOUT_LAST) &&
                  dyno_expr_is_const(plan->exprs, tensor->view_offset, &value) && value == offset,
              "%s: offset %lld", name, (long long)value);
}

static void test_in_place(uint32_t precisions)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    message model = detector(false);
    struct dyno_built built = chain_build(
        &model, (struct dyno_build_options){.device = "cuda", .precisions = precisions}, &err);
    const struct dyno_plan *plan = built.engine->plan;
    CHECK(count_steps(plan, DYNO_OP_concat) == 0 && count_steps(plan, DYNO_OP_slice) == 0 &&
          count_steps(plan, DYNO_OP_split) == 0);
    CHECK(count_steps(plan, DYNO_OP_reorder) == 2);
    /* What was cut goes on with those that were cut from it. */
    check_place(plan, "g", NULL, 0);
    check_place(plan, "c", "g", 0);
    check_place(plan, "a", "g", 0);
    check_place(plan, "b", "g", 16);
    check_place(plan, "f", "g", 32);
    check_place(plan, "h", NULL, 0);
    check_place(plan, "s", "h", 0);
    check_place(plan, "p3", "h", 48);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* 13 channels are no whole blocks: their concatenation copies, another does not. */
static void test_odd(void)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    message model = detector(true);
    struct dyno_built built =
        chain_build(&model, (struct dyno_build_options){.device = "cuda"}, &err);
    const struct dyno_plan *plan = built.engine->plan;
    CHECK(count_steps(plan, DYNO_OP_concat) == 1 && count_steps(plan, DYNO_OP_slice) == 0);
    check_place(plan, "a", "c", 0);
    check_place(plan, "b", "c", 16);
    check_place(plan, "p3", "h", 48);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* Channels last are rows of another order of axes, where they are whole blocks: no step turns them,
 * at any of the open sizes. */
static void test_turned(int64_t channels, uint32_t precisions)
{
    struct record *record = record_start(90);
    struct dyno_err err = {0};
    message model = turned(channels);
    struct dyno_built built = chain_build(
        &model, (struct dyno_build_options){.device = "cuda", .precisions = precisions}, &err);
    const struct dyno_plan *plan = built.engine->plan;
    const bool whole = channels % 8 == 0;
    CHECK(count_steps(plan, DYNO_OP_transpose) == (whole ? 0 : 2));
    CHECK(!whole || count_steps(plan, DYNO_OP_reorder) == 2); /* of the input and the output */
    if (whole) {
        CHECK(plan->tensors[find(plan, "b", DYNO_LAYOUT_ROW)].base ==
              find(plan, "a", DYNO_LAYOUT_LAST));
        CHECK(plan->tensors[find(plan, "d", DYNO_LAYOUT_LAST)].base ==
              find(plan, "c", DYNO_LAYOUT_ROW));
    }
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0);
    record_end();
}

/* --- engines that lie --- */

static void build_file(message model)
{
    struct dyno_err err = {0};
    (void)record_start(90);
    const int fd = mkstemp(engine_path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    struct dyno_built built = chain_build(
        &model, (struct dyno_build_options){.device = "cuda", .precisions = DYNO_PRECISION_F16},
        &err);
    CHECK_MSG(dyno_engine_write(built.engine->plan, &built.report.target, engine_path, &err) ==
                  DYNO_OK,
              "%s", err.text);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    record_end();
}

static struct dyno_plan_tensor *last_of(struct dyno_plan *plan, const char *name)
{
    return &plan->tensors[find(plan, name, DYNO_LAYOUT_LAST)];
}

static void nothing(struct dyno_plan *plan)
{
    (void)plan;
}
static void inside_a_block(struct dyno_plan *plan)
{
    last_of(plan, "p2")->view_offset = dyno_expr_const(plan->exprs, 36);
}
static void behind_the_base(struct dyno_plan *plan)
{
    last_of(plan, "p3")->view_offset = dyno_expr_const(plan->exprs, 56);
}
static void far_behind_the_base(struct dyno_plan *plan)
{
    last_of(plan, "p3")->view_offset = dyno_expr_const(plan->exprs, INT64_MAX - 7);
}
static void before_the_base(struct dyno_plan *plan)
{
    last_of(plan, "p3")->view_offset = dyno_expr_const(plan->exprs, -8);
}
static void ends_inside_a_block(struct dyno_plan *plan)
{
    last_of(plan, "p1")->dims[1] = dyno_expr_const(plan->exprs, 12);
}
static void fewer_positions(struct dyno_plan *plan)
{
    last_of(plan, "h")->dims[3] = dyno_expr_const(plan->exprs, 8);
}
static void smaller_batch(struct dyno_plan *plan)
{
    last_of(plan, "h")->dims[0] = dyno_expr_const(plan->exprs, 1);
}
static void on_its_input(struct dyno_plan *plan)
{
    last_of(plan, "p1")->view_offset = last_of(plan, "s")->view_offset;
}
static void on_its_operand(struct dyno_plan *plan)
{
    last_of(plan, "e")->base = find(plan, "g", DYNO_LAYOUT_LAST);
    last_of(plan, "e")->view_offset = last_of(plan, "b")->view_offset;
}
static void of_a_view(struct dyno_plan *plan)
{
    last_of(plan, "p3")->base = find(plan, "s", DYNO_LAYOUT_LAST);
}
static void of_rows(struct dyno_plan *plan)
{
    last_of(plan, "p3")->base = find(plan, "x", DYNO_LAYOUT_ROW);
}

static void part_of_a_block(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (strchr("abcd", plan->tensors[i].name[0]) != NULL)
            plan->tensors[i].dims[plan->tensors[i].layout.kind == DYNO_LAYOUT_LAST ? 1 : 3] =
                dyno_expr_const(plan->exprs, 20);
    }
}
static void more_rows(struct dyno_plan *plan)
{
    plan->tensors[find(plan, "b", DYNO_LAYOUT_ROW)].dims[0] = dyno_expr_const(plan->exprs, 3);
}
static void odd_offset(struct dyno_plan *plan)
{
    plan->tensors[find(plan, "b", DYNO_LAYOUT_ROW)].view_offset = dyno_expr_const(plan->exprs, 8);
}
static void behind_the_rows(struct dyno_plan *plan)
{
    last_of(plan, "d")->view_offset = dyno_expr_const(plan->exprs, 16);
}
static void other_elements(struct dyno_plan *plan)
{
    last_of(plan, "d")->layout.elem = 0;
    last_of(plan, "d")->layout.block = 4;
}
static void on_what_is_turned(struct dyno_plan *plan)
{
    struct dyno_plan_tensor *rows = &plan->tensors[find(plan, "c", DYNO_LAYOUT_ROW)];
    last_of(plan, "d")->base = find(plan, "a", DYNO_LAYOUT_LAST);
    rows->base = find(plan, "a", DYNO_LAYOUT_LAST);
    rows->view_offset = dyno_expr_const(plan->exprs, 0);
}

static enum dyno_status open_and_run(void (*edit)(struct dyno_plan *), struct dyno_err *err)
{
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    struct dyno_file_map map;
    struct dyno_plan *plan = NULL;
    char warning[256];
    struct dyno_target here;
    const int64_t dims[4] = {2, 16, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    const struct dyno_array input = chain_array(arena, dims, 4, 1);
    struct dyno_array output = {.data = NULL};
    dyno_target_detect(&here, NULL);
    REQUIRE(dyno_file_map(engine_path, &map, err) == DYNO_OK);
    REQUIRE(dyno_engine_read(map.data, map.bytes, &here, &plan, warning, sizeof(warning), err) ==
            DYNO_OK);
    edit(plan);
    enum dyno_status status = dyno_plan_verify(plan, err);
    if (status != DYNO_OK)
        dyno_plan_destroy(plan);
    else
        status = dyno_engine_from_plan(plan, &engine, err);
    if (status == DYNO_OK)
        status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK)
        status = dyno_context_run(context, &input, &output, err);
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    dyno_file_unmap(&map);
    dyno_arena_destroy(arena);
    return status;
}

struct lie {
    void (*edit)(struct dyno_plan *);
    const char *says;
};

static void try_lies(message model, const struct lie *lies, size_t count)
{
    struct dyno_err err = {0};
    build_file(model);
    struct record *record = record_start(90);
    CHECK_MSG(open_and_run(nothing, &err) == DYNO_OK && record->run_count > 0, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        record = record_start(90);
        err = (struct dyno_err){0};
        CHECK_MSG(open_and_run(lies[i].edit, &err) == DYNO_E_FORMAT &&
                      strstr(err.text, lies[i].says) != NULL,
                  "lie %zu: %s", i, err.text);
        CHECK(record->run_count == 0 && record->live_count == 0);
    }
    record_end();
    (void)unlink(engine_path);
    memcpy(engine_path, ENGINE_PATH, sizeof(engine_path));
}

static void test_lies(void)
{
    static const struct lie lies[] = {
        {inside_a_block, "does not fit into"},      {behind_the_base, "does not fit into"},
        {far_behind_the_base, "does not fit into"}, {before_the_base, "does not fit into"},
        {ends_inside_a_block, "does not fit into"}, {fewer_positions, "does not fit into"},
        {smaller_batch, "does not fit into"},       {on_its_input, "lies on input 0"},
        {on_its_operand, "lies on input"},          {of_a_view, "is a view of the view"},
        {of_rows, "cannot be a view of"},
    };
    static const struct lie turned_lies[] = {
        {part_of_a_block, "does not fit into"},  {more_rows, "does not fit into"},
        {odd_offset, "does not fit into"},       {behind_the_rows, "does not fit into"},
        {other_elements, "cannot be a view of"}, {on_what_is_turned, "lies on input 0"},
    };
    try_lies(detector(false), lies, DYNO_COUNT(lies));
    try_lies(turned(32), turned_lies, DYNO_COUNT(turned_lies));
}
int main(void)
{
    if (nvrtc_is_missing())
        return SKIPPED;
    test_in_place(0);
    test_in_place(DYNO_PRECISION_F16);
    test_odd();
    test_turned(32, 0);
    test_turned(32, DYNO_PRECISION_F16);
    test_turned(13, DYNO_PRECISION_F16);
    test_lies();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
