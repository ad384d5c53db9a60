/* test_trace.c - what is a traceparent and what is none. */
#include "serve/watch/trace.h"

#include "test.h"

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void test_parse(void)
{
    static const struct {
        const char *text, *want; /* NULL: malformed */
    } cases[] = {
        {"00-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01"},
        {"00-" ID "-" PARENT "-ff", "00-" ID "-" PARENT "-ff"},
        {"01-" ID "-" PARENT "-03", "00-" ID "-" PARENT "-01"},
        {"fe-" ID "-" PARENT "-fa-x-y", "00-" ID "-" PARENT "-00"},
        {"ff-" ID "-" PARENT "-01", NULL},
        {"01-" ID "-" PARENT "-01x", NULL},
        {"00-" ID "-" PARENT "-01-x", NULL},
        {"00-" ID "-" PARENT "-0", NULL},
        {"00-" ID "-" PARENT "-0g", NULL},
        {"0G-" ID "-" PARENT "-01", NULL},
        {"00-" ID "-" PARENT "_01", NULL},
        {"00_" ID "-" PARENT "-01", NULL},
        {"00-" ID "_" PARENT "-01", NULL},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
        {"00-00000000000000000000000000000000-" PARENT "-01", NULL},
        {"00-" ID "-0000000000000000-01", NULL},
        {" 00-" ID "-" PARENT "-01", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[DYNO_TRACE_BYTES + 1] = "";
        const bool is_good = dyno_trace_parse(cases[i].text, out);
        CHECK_MSG(is_good == (cases[i].want != NULL), "%s", cases[i].text);
        CHECK_STR(out, is_good ? cases[i].want : "");
    }
}

static void test_make(void)
{
    char first[DYNO_TRACE_BYTES + 1] = "";
    struct dyno_trace_source source = {0};
    REQUIRE(dyno_trace_source_init(&source));
    CHECK(source.state[0] != 0 && source.state[1] != 0);
    dyno_trace_make(&source, first);
    for (int i = 0; i < 1000; i++) {
        char text[DYNO_TRACE_BYTES + 1] = "";
        char parsed[DYNO_TRACE_BYTES + 1] = "";
        dyno_trace_make(&source, text);
        CHECK(dyno_trace_parse(text, parsed));
        CHECK_STR(parsed, text);
        CHECK(strcmp(text, first) != 0);
    }
}

int main(void)
{
    test_parse();
    test_make();
    return TEST_RESULT();
}
