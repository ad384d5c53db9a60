/* test_regions.c - If, Loop and Scan: their types, their meaning, and If inlined. */
#include "test.h"

#include "base/mem.h"
#include "ir/interpret.h"

static float x_data[6] = {1, 2, 3, 4, 5, 6};
static const struct dyno_tensor x = {.dtype = DYNO_F32, .rank = 2, .dims = {3, 2}, .data = x_data};

static struct dyno_graph *parse(const char *text)
{
    struct dyno_graph *graph = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_parse(text, strlen(text), &graph, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(graph != NULL);
    struct dyno_strbuf out = {0};
    struct dyno_strbuf again = {0};
    dyno_graph_print(graph, &out);
    struct dyno_graph *copy = NULL;
    CHECK_MSG(dyno_graph_parse(out.text, out.bytes, &copy, &err) == DYNO_OK, "%s\n%s", err.text,
              out.text);
    if (copy != NULL)
        dyno_graph_print(copy, &again);
    CHECK_STR(dyno_strbuf_text(&again), dyno_strbuf_text(&out));
    dyno_strbuf_fini(&out);
    dyno_strbuf_fini(&again);
    dyno_graph_destroy(copy);
    return graph;
}

static void run(const struct dyno_graph *graph, const struct dyno_tensor *const *ins,
                struct dyno_tensor *outs, struct dyno_arena *arena)
{
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_interpret(graph, ins, outs, arena, NULL, NULL, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(status == DYNO_OK);
}

static float f32(const struct dyno_tensor *tensor, int idx)
{
    return ((const float *)tensor->data)[idx];
}

static const char if_text[] = "graph \"g\" (%c: bool[], %x: f32[3, 2]) {\n"
                              "  const %k: f32[1] = [10]\n"
                              "  %n = Neg(%x)\n"
                              "  %y, %z = If(%c) [\n"
                              "    graph \"then\" () { %a = Add(%n, %k) return %a, %n }\n"
                              "    graph \"else\" () { %b = Mul(%x, %k) return %b, %k }\n"
                              "  ]\n"
                              "  return %y, %z\n}\n";

static void test_if(void)
{
    struct dyno_graph *graph = parse(if_text);
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor outs[2];
    uint8_t way = 1;
    const struct dyno_tensor cond = {.dtype = DYNO_BOOL, .data = &way};
    const struct dyno_tensor *const ins[] = {&cond, &x};
    REQUIRE(arena != NULL);
    /* Branches of different rank: the rank is open. */
    CHECK(graph->outputs[0]->type.rank == 2 && graph->outputs[1]->type.rank == -1);
    run(graph, ins, outs, arena);
    CHECK(f32(&outs[0], 5) == 4.0F && outs[1].rank == 2 && f32(&outs[1], 5) == -6.0F);
    way = 0;
    run(graph, ins, outs, arena);
    CHECK(f32(&outs[0], 5) == 60.0F && outs[1].rank == 1 && f32(&outs[1], 0) == 10.0F);
    dyno_arena_destroy(arena);
    dyno_graph_destroy(graph);
}

static void test_inline(void)
{
    for (uint32_t branch = 0; branch < 2; branch++) {
        struct dyno_graph *graph = parse(if_text);
        struct dyno_err err = {0};
        CHECK(dyno_node_inline_region(graph->last, branch));
        CHECK(dyno_graph_infer(graph, &err) == DYNO_OK);
        (void)dyno_graph_drop_dead(graph);
        CHECK_MSG(dyno_graph_verify(graph, &err) == DYNO_OK, "%s", err.text);
        CHECK_STR(graph->outputs[0]->name, "y");
        CHECK_STR(graph->outputs[1]->name, "z");
        CHECK(graph->outputs[0]->producer->graph == graph);
        CHECK(dyno_graph_find_value(graph, branch == 0 ? "b" : "a") == NULL);
        dyno_graph_destroy(graph);
    }
}

static const char loop_text[] =
    "graph \"g\" (%x: f32[3, 2]) {\n"
    "  const %limit: i64[] = [9]\n  const %start: f32[1, 1] = [3]\n"
    "  const %most: f32[1, 1] = [20]\n  const %none: i64[0] = []\n"
    "  %s, %g, %all = Loop(%limit, _, %start, %start) [\n"
    "    graph \"body\" (%i: i64[], %on: bool[], %v: f32[*], %w: f32[*]) {\n"
    "      %d = Add(%v, %v)\n      %l = Less(%d, %most)\n      %r = Reshape(%l, %none)\n"
    "      %grown = Concat(%w, %v) {axis = 0}\n"
    "      return %r, %d, %grown, %v\n"
    "    }\n  ]\n  return %s, %g, %all\n}\n";

/* Doubles %s while it is below 20, stacks what it was, and grows %g by a row each turn. */
static void test_loop(void)
{
    struct dyno_graph *graph = parse(loop_text);
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor outs[3];
    const struct dyno_tensor *const ins[] = {&x};
    int64_t size = 0;
    REQUIRE(arena != NULL);
    const struct dyno_type *grown = &graph->outputs[1]->type;
    CHECK(grown->rank == 2 && !dyno_value_dim(graph, graph->outputs[1], 0, &size));
    CHECK(dyno_value_dim(graph, graph->outputs[1], 1, &size) && size == 1);
    CHECK(graph->outputs[2]->type.rank == 3);
    /* Inferring again changes nothing. */
    const dyno_expr open = grown->dims[0];
    CHECK(dyno_graph_infer(graph, NULL) == DYNO_OK && grown->dims[0] == open);
    run(graph, ins, outs, arena);
    CHECK(f32(&outs[0], 0) == 24.0F);
    CHECK(outs[1].dims[0] == 4 && f32(&outs[1], 3) == 12.0F);
    CHECK(outs[2].dims[0] == 3 && outs[2].dims[1] == 1 && f32(&outs[2], 2) == 12.0F);
    dyno_arena_destroy(arena);
    dyno_graph_destroy(graph);
}

/* Running sums along axis 1, backwards, stacked along axis 1. */
static void test_scan(void)
{
    struct dyno_graph *graph =
        parse("graph \"g\" (%x: f32[3, n]) {\n"
              "  const %zero: f32[3] = zeros\n"
              "  %last, %sums = Scan(%zero, %x) {num_scan_inputs = 1, scan_input_axes = [1], "
              "scan_input_directions = [1], scan_output_axes = [-1]} [\n"
              "    graph \"body\" (%s: f32[3], %v: f32[3]) { %t = Add(%s, %v) return %t, %t }\n"
              "  ]\n  return %last, %sums\n}\n");
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor outs[2];
    const struct dyno_tensor *const ins[] = {&x};
    REQUIRE(arena != NULL);
    CHECK(graph->outputs[1]->type.rank == 2);
    CHECK(graph->outputs[1]->type.dims[1] == graph->inputs[0]->type.dims[1]);
    run(graph, ins, outs, arena);
    CHECK(f32(&outs[0], 0) == 3.0F && f32(&outs[0], 2) == 11.0F);
    CHECK(outs[1].dims[0] == 3 && outs[1].dims[1] == 2);
    CHECK(f32(&outs[1], 0) == 2.0F && f32(&outs[1], 1) == 3.0F && f32(&outs[1], 4) == 6.0F);
    dyno_arena_destroy(arena);
    dyno_graph_destroy(graph);
}

static void test_out_of_memory(void)
{
    struct dyno_graph *graph = parse(loop_text);
    const struct dyno_tensor *const ins[] = {&x};
    const uint64_t live = dyno_mem_live_count();
    enum dyno_status status = DYNO_E_NOMEM;
    for (uint64_t nth = 1; status == DYNO_E_NOMEM && nth < 1000; nth++) {
        struct dyno_arena *arena = dyno_arena_create();
        struct dyno_tensor outs[3];
        REQUIRE(arena != NULL);
        dyno_mem_fail_at(nth);
        status = dyno_graph_interpret(graph, ins, outs, arena, NULL, NULL, NULL);
        dyno_mem_fail_at(0);
        dyno_arena_destroy(arena);
        CHECK(dyno_mem_live_count() == live);
    }
    CHECK(status == DYNO_OK);
    dyno_graph_destroy(graph);
}

int main(void)
{
    test_if();
    test_inline();
    test_loop();
    test_scan();
    test_out_of_memory();
    return TEST_RESULT();
}
