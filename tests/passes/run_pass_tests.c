/* run_pass_tests.c - runs the cases of *.ir files.
 *
 *     run_pass_tests [--accept] FILE...
 *
 * A file holds cases, each begun by a line "--- title": a graph, a line "=== passes", the graph
 * that is expected.  `passes` is a list of names; `clean` stands for the whole clean group, `all`
 * for everything.  --accept writes what came out as what is expected.
 *
 * Beside the text, each case checks that the graph computes the same before and after (on random
 * inputs, open sizes from 2 on), that both texts read back, and that every allocation may fail.
 */
#include "test.h"

#include <math.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "ir/interpret.h"
#include "passes/pass.h"

#define PASSES_MAX 16

struct test_case {
    const char *title; /* to the end of its line */
    const char *before;
    size_t before_bytes;
    const char *passes; /* to the end of its line */
    const char *after;
    size_t after_bytes;
};

static const char *current; /* "file: title" of the case, for messages */

static struct dyno_graph *parse(const char *text, size_t bytes)
{
    struct dyno_graph *graph = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_graph_parse(text, bytes, &graph, &err);
    CHECK_MSG(status == DYNO_OK, "%s: %s", current, err.text);
    return graph;
}

/* --- running passes --- */

static enum dyno_status run_passes(struct dyno_graph *graph, const char *passes,
                                   struct dyno_err *err)
{
    char names[256];
    (void)snprintf(names, sizeof(names), "%.*s", (int)strcspn(passes, "\n"), passes);
    char *state = NULL;
    for (char *name = strtok_r(names, " ", &state); name != NULL;
         name = strtok_r(NULL, " ", &state)) {
        const bool is_group = strcmp(name, "clean") == 0 || strcmp(name, "all") == 0;
        const struct dyno_passes_options options = {.baseline = strcmp(name, "clean") == 0,
                                                    .only = is_group ? NULL : name};
        DYNO_TRY(dyno_passes_run(graph, &options, err));
    }
    return DYNO_OK;
}

/* --- the same results before and after --- */

/* Sizes for the inputs: 2, 3, 4 for the symbols in turn, inside their ranges. */
static void choose_dims(const struct dyno_graph *graph, const struct dyno_value *input,
                        struct dyno_tensor *tensor)
{
    tensor->dtype = input->type.dtype;
    tensor->rank = input->type.rank;
    for (int i = 0; i < tensor->rank; i++) {
        if (dyno_expr_is_const(graph->exprs, input->type.dims[i], &tensor->dims[i]))
            continue;
        const struct dyno_expr_node node = dyno_exprs_node(graph->exprs, input->type.dims[i]);
        int64_t min = 0;
        int64_t max = 0;
        REQUIRE(node.op == DYNO_EXPR_SYMBOL);
        (void)dyno_exprs_symbol(graph->exprs, (size_t)node.value, &min, &max);
        const int64_t size = 2 + node.value % 3;
        tensor->dims[i] = size < min ? min : (size > max ? max : size);
    }
}

static bool is_close(const struct dyno_tensor *a, const struct dyno_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i])
            return false;
    }
    if (!dyno_dtype_is_float(a->dtype))
        return dyno_tensors_equal(a, b);
    const size_t count = (size_t)dyno_tensor_count(a);
    for (size_t i = 0; i < count; i++) {
        const double x = dyno_elem_load_f64(a->dtype, a->data, i);
        const double y = dyno_elem_load_f64(b->dtype, b->data, i);
        if (x != y && !(isnan(x) && isnan(y)) && !(fabs(x - y) <= 1e-5 * (1.0 + fabs(x))))
            return false;
    }
    return true;
}

static void check_same_results(const struct dyno_graph *before, const struct dyno_graph *after)
{
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor ins[16];
    struct dyno_tensor outs[2][16];
    const struct dyno_tensor *at[16];
    struct dyno_err err = {0};
    REQUIRE(arena != NULL && before->input_count <= 16 && before->output_count <= 16);
    CHECK_MSG(before->input_count == after->input_count &&
                  before->output_count == after->output_count,
              "%s", current);
    for (uint32_t i = 0; i < before->input_count; i++) {
        size_t bytes = 0;
        ins[i] = (struct dyno_tensor){0};
        choose_dims(before, before->inputs[i], &ins[i]);
        REQUIRE(dyno_dtype_bytes(ins[i].dtype, (uint64_t)dyno_tensor_count(&ins[i]), &bytes));
        ins[i].data = dyno_arena_alloc(arena, bytes, 1);
        REQUIRE(ins[i].data != NULL);
        dyno_tensor_fill_random(&ins[i], i + 1);
        at[i] = &ins[i];
    }
    const struct dyno_graph *const graphs[2] = {before, after};
    enum dyno_status status = DYNO_OK;
    for (int i = 0; i < 2 && status == DYNO_OK; i++)
        status = dyno_graph_interpret(graphs[i], at, outs[i], arena, NULL, NULL, &err);
    CHECK_MSG(status == DYNO_OK, "%s: %s", current, err.text);
    for (uint32_t i = 0; i < before->output_count && status == DYNO_OK; i++) {
        CHECK_MSG(is_close(&outs[0][i], &outs[1][i]), "%s: output %u differs", current, i);
        CHECK_STR(after->outputs[i]->name, before->outputs[i]->name);
    }
    dyno_arena_destroy(arena);
}

/* --- one case --- */

/* Lose each allocation once: a status, and nothing left behind. */
static void check_out_of_memory(const struct test_case *test)
{
    for (uint64_t nth = 1; nth < 1000; nth++) {
        const uint64_t live = dyno_mem_live_count();
        struct dyno_graph *graph = parse(test->before, test->before_bytes);
        if (graph == NULL)
            return;
        dyno_mem_fail_at(nth);
        const enum dyno_status status = run_passes(graph, test->passes, NULL);
        dyno_mem_fail_at(0);
        dyno_graph_destroy(graph);
        CHECK_MSG(dyno_mem_live_count() == live, "%s: allocation %d", current, (int)nth);
        if (status == DYNO_OK)
            return;
        CHECK_MSG(status == DYNO_E_NOMEM, "%s: %s", current, dyno_status_text(status));
    }
    CHECK_MSG(false, "%s: never came to its end", current);
}

static void check_reads_back(const struct dyno_strbuf *text)
{
    /* Large constants do not. */
    if (strstr(dyno_strbuf_text(text), "= <") != NULL)
        return;
    struct dyno_graph *graph = parse(dyno_strbuf_text(text), text->bytes);
    struct dyno_strbuf again = {0};
    if (graph != NULL)
        dyno_graph_print(graph, &again);
    CHECK_STR(dyno_strbuf_text(&again), dyno_strbuf_text(text));
    dyno_strbuf_fini(&again);
    dyno_graph_destroy(graph);
}

/* What came out is added to *out as well. */
static void run_case(const struct test_case *test, bool accept, struct dyno_strbuf *out)
{
    struct dyno_graph *before = parse(test->before, test->before_bytes);
    struct dyno_graph *after = parse(test->before, test->before_bytes);
    struct dyno_strbuf text = {0};
    struct dyno_err err = {0};
    if (before != NULL && after != NULL) {
        enum dyno_status status = run_passes(after, test->passes, &err);
        CHECK_MSG(status == DYNO_OK, "%s: %s", current, err.text);
        status = dyno_graph_verify(after, &err);
        CHECK_MSG(status == DYNO_OK, "%s: %s", current, err.text);
        dyno_graph_print(after, &text);
        CHECK(dyno_strbuf_ok(&text));
        check_reads_back(&text);
        check_same_results(before, after);
        check_out_of_memory(test);
        const bool same =
            text.bytes == test->after_bytes && memcmp(text.text, test->after, text.bytes) == 0;
        CHECK_MSG(same || accept, "%s: came out as\n%s", current, dyno_strbuf_text(&text));
    }
    dyno_strbuf_printf(out, "--- %.*s\n%.*s=== %.*s\n%s", (int)strcspn(test->title, "\n"),
                       test->title, (int)test->before_bytes, test->before,
                       (int)strcspn(test->passes, "\n"), test->passes, dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    dyno_graph_destroy(before);
    dyno_graph_destroy(after);
}

/* --- files --- */

static void read_whole(const char *path, struct dyno_strbuf *out)
{
    FILE *file = fopen(path, "rb");
    char block[4096];
    REQUIRE(file != NULL);
    for (size_t got = 0; (got = fread(block, 1, sizeof(block), file)) != 0;)
        dyno_strbuf_add(out, block, got);
    (void)fclose(file);
    REQUIRE(dyno_strbuf_ok(out));
}

/* The line after `at` that begins with `mark`; the end of the text when there is none. */
static const char *find_line(const char *at, const char *mark)
{
    for (; *at != '\0'; at += *at == '\n') {
        if (strncmp(at, mark, strlen(mark)) == 0)
            return at;
        at += strcspn(at, "\n");
    }
    return at;
}

static const char *next_line(const char *at)
{
    at += strcspn(at, "\n");
    return *at == '\n' ? at + 1 : at;
}

static void run_file(const char *path, bool accept)
{
    struct dyno_strbuf text = {0};
    struct dyno_strbuf out = {0};
    read_whole(path, &text);
    const int failed_before = test_fail_count;
    const char *whole = dyno_strbuf_text(&text);
    const char *at = find_line(whole, "--- ");
    CHECK_MSG(*at != '\0', "%s holds no case", path);
    dyno_strbuf_add(&out, whole, (size_t)(at - whole));
    while (*at != '\0') {
        struct test_case test = {.title = at + 4, .before = next_line(at)};
        const char *middle = find_line(test.before, "=== ");
        char place[512];
        (void)snprintf(place, sizeof(place), "%s: %.*s", path, (int)strcspn(test.title, "\n"),
                       test.title);
        current = place;
        CHECK_MSG(*middle != '\0', "%s has no line ===", current);
        test.before_bytes = (size_t)(middle - test.before);
        test.passes = *middle != '\0' ? middle + 4 : middle;
        test.after = next_line(middle);
        at = find_line(test.after, "--- ");
        test.after_bytes = (size_t)(at - test.after);
        run_case(&test, accept, &out);
    }
    /* What is wrong beyond the text is not accepted. */
    if (accept && test_fail_count == failed_before && dyno_strbuf_ok(&out)) {
        FILE *file = fopen(path, "wb");
        REQUIRE(file != NULL);
        CHECK(fwrite(out.text, 1, out.bytes, file) == out.bytes);
        CHECK(fclose(file) == 0);
    }
    dyno_strbuf_fini(&text);
    dyno_strbuf_fini(&out);
}

int main(int argc, char **argv)
{
    const bool accept = argc > 1 && strcmp(argv[1], "--accept") == 0;
    for (int i = accept ? 2 : 1; i < argc; i++)
        run_file(argv[i], accept);
    return TEST_RESULT();
}
