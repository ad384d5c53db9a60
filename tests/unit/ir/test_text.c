/* test_text.c - the text form: what is printed reads back as the same; garbage is refused. */
#include "test.h"

#include "base/mem.h"
#include "ir/graph.h"

static struct dyno_graph *parse(const char *text)
{
    struct dyno_graph *graph = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_parse(text, strlen(text), &graph, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    return graph;
}

/* Print, read, print: `want` both times (NULL: as given). */
static void check_round_trip(const char *text, const char *want)
{
    struct dyno_graph *graph = parse(text);
    REQUIRE(graph != NULL);
    struct dyno_strbuf first = {0};
    dyno_graph_print(graph, &first);
    CHECK_STR(dyno_strbuf_text(&first), want != NULL ? want : text);
    struct dyno_graph *again = parse(dyno_strbuf_text(&first));
    REQUIRE(again != NULL);
    struct dyno_strbuf second = {0};
    dyno_graph_print(again, &second);
    CHECK_STR(dyno_strbuf_text(&second), dyno_strbuf_text(&first));
    dyno_strbuf_fini(&first);
    dyno_strbuf_fini(&second);
    dyno_graph_destroy(graph);
    dyno_graph_destroy(again);
}

static void test_round_trips(void)
{
    check_round_trip(
        "range \"batch\" = 1..64\n"
        "graph \"a \\\"b\\\"\" (%x: f32[batch, 3], %s: i64[*]) {\n"
        "  const %w: f32[1, 3] = [1, -0.5, 1e-30]\n"
        "  %\"a b\": f32[batch, 3] = Mul(%x, %w) then { relu; add $0 %w; clip $1 -1 inf }\n"
        "  %y: f32[batch, 3] = Add(%\"a b\", %x) @\"//n\" from \"p\", \"q\"\n"
        "  return %y, %s\n"
        "}\n",
        NULL);
    /* Inferred types, comments, defaults left out. */
    check_round_trip("graph \"g\"(%x:f32[2]){ // a comment\n %y=LeakyRelu(%x){alpha=0.01}\n"
                     "%z = LeakyRelu(%y) {alpha = 0.5}\nreturn %z}",
                     "graph \"g\" (%x: f32[2]) {\n"
                     "  %y: f32[2] = LeakyRelu(%x)\n"
                     "  %z: f32[2] = LeakyRelu(%y) {alpha = 0.5}\n"
                     "  return %z\n"
                     "}\n");
    check_round_trip("graph \"g\" (%x: f32[n]) {\n"
                     "  host %h: i64[2] = [n, 2*n + 1]\n"
                     "  const %b: bool[2] = [1, 0]\n"
                     "  const %t: str[1] = [\"a\\x0ab\"]\n"
                     "  %y: i64[2] = Identity(%h)\n"
                     "  %z: bool[2] = Identity(%b)\n"
                     "  %u: str[1] = Identity(%t)\n"
                     "  return %y, %z, %u\n"
                     "}\n",
                     NULL);
}

static void test_large_constant(void)
{
    struct dyno_graph *graph = parse("graph \"g\" (%x: f32[32, 32]) {\n"
                                     "  const %w: f32[32, 32] = random(7)\n"
                                     "  %y = Add(%x, %w)\n"
                                     "  return %y\n}\n");
    REQUIRE(graph != NULL);
    struct dyno_strbuf out = {0};
    dyno_graph_print(graph, &out);
    CHECK(strstr(dyno_strbuf_text(&out), "= <4 KiB, fnv ") != NULL);
    dyno_strbuf_fini(&out);
    dyno_graph_destroy(graph);
}

static void check_refused(const char *text, const char *sentence)
{
    struct dyno_graph *graph = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_parse(text, strlen(text), &graph, &err);
    CHECK(status == DYNO_E_FORMAT && graph == NULL);
    CHECK_MSG(strstr(err.text, sentence) != NULL, "\"%s\" lacks \"%s\"", err.text, sentence);
    dyno_graph_destroy(graph);
}

#define HEAD "graph \"g\" (%x: f32[2]) {\n"

static void test_garbage(void)
{
    check_refused("", "1:1: a graph is expected");
    check_refused("graph \"g\" (%x: f32[2]) { return %y }", "1:35: there is no value 'y' yet");
    check_refused(HEAD "%y = Nonsense(%x)\nreturn %y}", "2:14: there is no operator 'Nonsense'");
    check_refused(HEAD "%x = Relu(%x)\nreturn %x}", "there is a value 'x' already");
    check_refused(HEAD "%y = Relu(%x) {k = 1}\nreturn %y}", "Relu has no attribute 'k'");
    check_refused(HEAD "%y: f32[3] = Relu(%x)\nreturn %y}", "is not what its node gives");
    check_refused(HEAD "%y = Relu(%x, %x)\nreturn %y}", "wants at most 1");
    check_refused(HEAD "%y = Relu(_)\nreturn %y}", "input 0 is absent");
    check_refused(HEAD "const %c: f32[99999999999] = zeros\nreturn %c}", "64 MiB");
    check_refused(HEAD "const %c: f32[2] = [1]\nreturn %c}", "',' is expected");
    check_refused(HEAD "%y = Relu(%x) then { add $1 1 }\nreturn %y}", "no register 1 yet");
    check_refused(HEAD "%y = Relu(%x) @\"a\"\n%z = Relu(%y) @\"a\"\nreturn %z}",
                  "there is a node 'a' already");
    check_refused(HEAD "return %x} x", "text after the graph");
    check_refused("graph \"g", "does not end");
    check_refused("graph \"g\" (%x: f32[1,1,1,1,1,1,1,1,1]) { return %x }", "at most 8 axes");
}

/* Every prefix and every flipped byte of a text gives a graph or a sentence, never a crash. */
static void test_mangled(void)
{
    static const char text[] = "range \"n\" = 1..9\n"
                               "graph \"g\" (%x: f32[n, 3]) {\n"
                               "  const %w: f32[3] = [1, 2, 3]\n"
                               "  host %h: i64[1] = [3*n]\n"
                               "  %y: f32[n, 3] = Add(%x, %w) then { relu; mul $0 %w } @\"k\"\n"
                               "  return %y, %h\n}\n";
    char copy[sizeof(text)];
    for (size_t bytes = 0; bytes + 2 < sizeof(text); bytes++) {
        struct dyno_graph *graph = NULL;
        CHECK(dyno_graph_parse(text, bytes, &graph, NULL) != DYNO_OK);
    }
    static const char marks[] = "%[](){},;:=\"\\\n 0-x'?";
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        for (size_t mark = 0; mark + 1 < sizeof(marks); mark++) {
            struct dyno_graph *graph = NULL;
            memcpy(copy, text, sizeof(text));
            copy[i] = marks[mark];
            (void)dyno_graph_parse(copy, sizeof(text) - 1, &graph, NULL);
            dyno_graph_destroy(graph);
        }
    }
}

/* Each allocation fails once: a clean refusal, nothing left behind. */
static void test_out_of_memory(void)
{
    static const char text[] = HEAD "const %w: f32[2] = [1, 2]\n"
                                    "%a = Add(%x, %w) then { relu; mul %w }\n"
                                    "%b = Mul(%a, %a) from \"p\", \"q\"\nreturn %b}";
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1; nth < 100000; nth++) {
        struct dyno_graph *graph = NULL;
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_graph_parse(text, sizeof(text) - 1, &graph, NULL);
        dyno_mem_fail_at(0);
        if (status == DYNO_OK) {
            dyno_graph_destroy(graph);
            CHECK(nth > 4 && dyno_mem_live_count() == live);
            return;
        }
        CHECK(status == DYNO_E_NOMEM && graph == NULL && dyno_mem_live_count() == live);
    }
    CHECK(!"parsing never came to its end");
}

int main(void)
{
    test_round_trips();
    test_large_constant();
    test_garbage();
    test_mangled();
    test_out_of_memory();
    return TEST_RESULT();
}
