/* test_graph.c - surgery: names, uses, order, and what the verifier finds. */
#include "test.h"

#include "ir/graph.h"

static struct dyno_graph *parse(const char *text)
{
    struct dyno_graph *graph = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_parse(text, strlen(text), &graph, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(graph != NULL);
    return graph;
}

static struct dyno_value *value(const struct dyno_graph *graph, const char *name)
{
    struct dyno_value *found = dyno_graph_find_value(graph, name);
    REQUIRE(found != NULL);
    return found;
}

static bool is_sound(const struct dyno_graph *graph)
{
    struct dyno_err err = {0};
    return dyno_graph_verify(graph, &err) == DYNO_OK;
}

static const char chain[] = "graph \"g\" (%x: f32[2, 3]) {\n"
                            "  %a = Relu(%x)\n"
                            "  %b = Sigmoid(%a)\n"
                            "  %c = Add(%a, %b)\n"
                            "  return %c\n}\n";

static void test_names(void)
{
    struct dyno_graph *graph = dyno_graph_create("g");
    REQUIRE(graph != NULL);
    CHECK_STR(dyno_graph_value(graph, "a")->name, "a");
    CHECK_STR(dyno_graph_value(graph, "a")->name, "a_1");
    CHECK_STR(dyno_graph_value(graph, "a_2")->name, "a_2");
    CHECK_STR(dyno_graph_value(graph, "a")->name, "a_3");
    char name[16];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        CHECK(dyno_graph_value(graph, name) != NULL);
    }
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        CHECK_STR(value(graph, name)->name, name);
    }
    struct dyno_graph *region = dyno_graph_region(graph, "r");
    REQUIRE(region != NULL);
    CHECK_STR(dyno_graph_value(region, "a")->name, "a_4");
    CHECK(dyno_graph_find_value(graph, "a_4") == NULL);
    CHECK(dyno_graph_find_value(region, "a_4") != NULL);
    CHECK(dyno_graph_find_value(region, "a") == value(graph, "a"));
    dyno_graph_destroy(graph);
}

static void test_uses(void)
{
    struct dyno_graph *graph = parse(chain);
    struct dyno_value *a = value(graph, "a");
    struct dyno_value *b = value(graph, "b");
    struct dyno_value *c = value(graph, "c");
    CHECK(dyno_value_use_count(a) == 2 && dyno_value_sole_user(a) == NULL);
    CHECK(dyno_value_sole_user(b) == c->producer);
    CHECK(dyno_value_is_output(c) && !dyno_value_is_output(a));
    CHECK(dyno_value_sole_user(c) == NULL);

    dyno_node_set_in(c->producer, 0, b);
    CHECK(dyno_value_use_count(a) == 1 && dyno_value_use_count(b) == 2);
    /* More inputs than fit at first: the uses move and stay linked. */
    c->producer->tail.instr_count = 1;
    c->producer->tail.instrs[0] = (struct dyno_tail_instr){.op = DYNO_PW_relu};
    c->producer->tail.instrs[0].operands[0].kind = DYNO_OPERAND_REG;
    for (uint32_t i = 2; i < 40; i++)
        CHECK(dyno_node_add_in(c->producer, a) == i);
    CHECK(dyno_value_use_count(a) == 39 && is_sound(graph));
    dyno_node_truncate_ins(c->producer, 2);
    CHECK(dyno_value_use_count(a) == 1 && is_sound(graph));
    dyno_graph_destroy(graph);
}

static void test_replace_and_forward(void)
{
    struct dyno_graph *graph = parse("graph \"g\" (%x: f32[2]) {\n"
                                     "  %a = Relu(%x)\n"
                                     "  %y = Identity(%a)\n"
                                     "  %z = Neg(%a)\n"
                                     "  %u = Identity(%x)\n"
                                     "  return %y, %z, %u\n}\n");
    struct dyno_value *y = value(graph, "y");
    struct dyno_node *relu = value(graph, "a")->producer;
    CHECK(dyno_value_forward(y, value(graph, "a")));
    CHECK(y->producer == relu && relu->outs[0] == y && graph->outputs[0] == y);
    CHECK(value(graph, "z")->producer->ins[0] == y);
    CHECK(dyno_graph_drop_dead(graph) == 1 && is_sound(graph));
    CHECK(dyno_graph_find_value(graph, "a") == NULL);
    /* An input cannot take the name of an output. */
    CHECK(!dyno_value_forward(value(graph, "u"), value(graph, "x")));
    CHECK(!dyno_value_forward(value(graph, "z"), y));
    CHECK(is_sound(graph));
    dyno_value_replace(value(graph, "u"), value(graph, "x"));
    CHECK(graph->outputs[2] == graph->inputs[0]);
    CHECK(dyno_graph_drop_dead(graph) == 1 && is_sound(graph));
    dyno_graph_destroy(graph);
}

static void test_sort(void)
{
    struct dyno_graph *graph = parse(chain);
    struct dyno_err err = {0};
    struct dyno_node *relu = value(graph, "a")->producer;
    struct dyno_node *add = value(graph, "c")->producer;
    dyno_node_move(relu, NULL);
    CHECK(graph->last == relu && !is_sound(graph));
    CHECK(dyno_graph_sort(graph, NULL) == DYNO_OK);
    CHECK(graph->first == relu && graph->last == add && is_sound(graph));
    dyno_node_set_in(relu, 0, add->outs[0]);
    CHECK(dyno_graph_sort(graph, &err) == DYNO_E_FORMAT && strstr(err.text, "a cycle") != NULL);
    dyno_graph_destroy(graph);
}

static void test_dead(void)
{
    struct dyno_graph *graph = parse("graph \"g\" (%x: f32[2]) {\n"
                                     "  const %w: f32[1] = [2]\n"
                                     "  %a = Mul(%x, %w)\n"
                                     "  %b = Neg(%a)\n"
                                     "  %c = Relu(%x)\n"
                                     "  return %c\n}\n");
    CHECK(dyno_graph_drop_dead(graph) == 2 && graph->node_count == 1);
    CHECK(dyno_graph_find_value(graph, "w") == NULL && is_sound(graph));
    CHECK(dyno_graph_drop_dead(graph) == 0);
    dyno_graph_destroy(graph);
}

static void test_origins(void)
{
    struct dyno_graph *graph = parse(chain);
    struct dyno_node *a = value(graph, "a")->producer;
    struct dyno_node *b = value(graph, "b")->producer;
    CHECK(dyno_node_add_origins(b, a) && dyno_node_add_origins(b, a));
    CHECK(b->origin_count == 2);
    CHECK_STR(b->origins[1], "a");
    struct dyno_node *like = dyno_graph_node(graph, a->op, "a", a->ins, 1, 1, NULL, b);
    REQUIRE(like != NULL);
    CHECK_STR(like->name, "a_1");
    CHECK(like->origin_count == 2);
    dyno_graph_destroy(graph);
}

/* Broken graphs are found out: one rule each. */
static void test_verifier(void)
{
    struct dyno_graph *graph = parse(chain);
    struct dyno_value *a = value(graph, "a");
    struct dyno_node *add = graph->last;
    CHECK(is_sound(graph));
    graph->node_count++;
    CHECK(!is_sound(graph));
    graph->node_count--;
    a->type.rank = 9;
    CHECK(!is_sound(graph));
    a->type.rank = 2;
    const dyno_expr dim = a->type.dims[1];
    a->type.dims[1] = DYNO_EXPR_NONE;
    CHECK(!is_sound(graph));
    a->type.dims[1] = dim;
    add->ins[0] = value(graph, "b"); /* behind the back of the uses */
    CHECK(!is_sound(graph));
    add->ins[0] = a;
    add->own_in_count = 3;
    CHECK(!is_sound(graph));
    add->own_in_count = 1;
    CHECK(!is_sound(graph));
    add->own_in_count = 2;
    add->origin_count = 0;
    CHECK(!is_sound(graph));
    add->origin_count = 1;
    const char *name = a->name;
    a->name = "b";
    CHECK(!is_sound(graph));
    a->name = name;
    add->tail.instr_count = 1;
    add->tail.instrs[0].operands[0] = (struct dyno_operand){.kind = DYNO_OPERAND_REG, .idx = 3};
    CHECK(!is_sound(graph));
    add->tail.instr_count = 0;
    CHECK(is_sound(graph));
    dyno_graph_destroy(graph);
}

int main(void)
{
    test_names();
    test_uses();
    test_replace_and_forward();
    test_sort();
    test_dead();
    test_origins();
    test_verifier();
    return TEST_RESULT();
}
