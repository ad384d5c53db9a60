/* test_interpret.c - the oracle: tails, host values, checks of what inputs and types promise. */
#include "test.h"

#include "base/mem.h"
#include "ir/interpret.h"

struct run {
    struct dyno_graph *graph;
    struct dyno_arena *arena;
    struct dyno_tensor outs[4];
    struct dyno_err err;
    enum dyno_status status;
};

static struct run run_graph(const char *text, const struct dyno_tensor *const *ins)
{
    struct run run = {.arena = dyno_arena_create()};
    run.status = dyno_graph_parse(text, strlen(text), &run.graph, &run.err);
    CHECK_MSG(run.status == DYNO_OK, "%s", run.err.text);
    REQUIRE(run.status == DYNO_OK && run.arena != NULL);
    run.status = dyno_graph_interpret(run.graph, ins, run.outs, run.arena, NULL, NULL, &run.err);
    return run;
}

static void done(struct run *run)
{
    dyno_graph_destroy(run->graph);
    dyno_arena_destroy(run->arena);
}

static float f32(const struct run *run, int out, int idx)
{
    return ((const float *)run->outs[out].data)[idx];
}

static int64_t i64(const struct run *run, int out, int idx)
{
    return dyno_elem_load_i64(run->outs[out].dtype, run->outs[out].data, (size_t)idx);
}

static float x_data[6] = {-1, 2, -3, 4, -5, 6};
static const struct dyno_tensor x = {.dtype = DYNO_F32, .rank = 2, .dims = {2, 3}, .data = x_data};

static void test_tail_and_host(void)
{
    const struct dyno_tensor *const ins[] = {&x};
    struct run run = run_graph("graph \"g\" (%x: f32[n, 3]) {\n"
                               "  const %w: f32[3] = [1, 10, 100]\n"
                               "  host %h: i64[2] = [n, 3*n + 1]\n"
                               "  %a = Relu(%x) then { mul %w; add $0 }\n"
                               "  %b = Neg(%a)\n"
                               "  return %b, %h, %w, %x\n}\n",
                               ins);
    CHECK_MSG(run.status == DYNO_OK, "%s", run.err.text);
    CHECK(run.outs[0].rank == 2 && run.outs[0].dims[0] == 2);
    CHECK(f32(&run, 0, 0) == 0.0F && f32(&run, 0, 1) == -22.0F && f32(&run, 0, 5) == -606.0F);
    CHECK(i64(&run, 1, 0) == 2 && i64(&run, 1, 1) == 7);
    CHECK(f32(&run, 2, 2) == 100.0F && f32(&run, 3, 4) == -5.0F);
    done(&run);
}

static void check_refused(const char *text, const char *sentence)
{
    const struct dyno_tensor *const ins[] = {&x};
    struct run run = run_graph(text, ins);
    CHECK(run.status == DYNO_E_ARG);
    CHECK_MSG(strstr(run.err.text, sentence) != NULL, "%s", run.err.text);
    done(&run);
}

static void test_inputs_checked(void)
{
    check_refused("graph \"g\" (%x: f32[2, 4]) { return %x }", "axis 1 is 3, but its type says 4");
    check_refused("graph \"g\" (%x: f32[n, n]) { return %x }", "axis 1 is 3, but its type says 2");
    check_refused("graph \"g\" (%x: f32[6]) { return %x }", "has rank 2");
    check_refused("graph \"g\" (%x: i64[n, 3]) { return %x }", "is of f32");
    check_refused("range \"n\" = 4..8\ngraph \"g\" (%x: f32[n, 3]) { return %x }", "n is 4 to 8");
}

static int each_count;
static void count_each(void *arg, const struct dyno_node *node, const struct dyno_tensor *outs)
{
    CHECK(arg == &each_count && node->out_count == 1 && outs[0].data != NULL);
    each_count++;
}

/* Intermediate results do not outlive their readers, and no failing allocation leaves anything. */
static void test_memory(void)
{
    static const char text[] = "graph \"g\" (%x: f32[2, 3]) {\n"
                               "  %a = Neg(%x)\n  %b = Neg(%a)\n  %c = Add(%a, %b)\n"
                               "  return %c\n}\n";
    struct dyno_graph *graph = NULL;
    REQUIRE(dyno_graph_parse(text, strlen(text), &graph, NULL) == DYNO_OK);
    const struct dyno_tensor *const ins[] = {&x};
    const uint64_t live = dyno_mem_live_count();
    enum dyno_status status = DYNO_E_NOMEM;
    for (uint64_t nth = 1; status == DYNO_E_NOMEM && nth < 1000; nth++) {
        struct dyno_arena *arena = dyno_arena_create();
        struct dyno_tensor out = {0};
        each_count = 0;
        REQUIRE(arena != NULL);
        dyno_mem_fail_at(nth);
        status = dyno_graph_interpret(graph, ins, &out, arena, count_each, &each_count, NULL);
        dyno_mem_fail_at(0);
        CHECK(status == DYNO_E_NOMEM || (status == DYNO_OK && each_count == 3));
        dyno_arena_destroy(arena);
        CHECK(dyno_mem_live_count() == live);
    }
    CHECK(status == DYNO_OK);
    dyno_graph_destroy(graph);
}

int main(void)
{
    test_tail_and_host();
    test_inputs_checked();
    test_memory();
    return TEST_RESULT();
}
