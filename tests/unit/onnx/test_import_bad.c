/* test_import_bad.c - models that are wrong: each gets its sentence, all of them in one go. */
#include <unistd.h>

#include "base/mem.h"
#include "model.h"
#include "test.h"

/* Import must fail with `status`, and a finding or the error must say `want`. */
static void refuse_model(message *model, const char *folder,
                         const struct dyno_onnx_options *options, enum dyno_status status,
                         const char *want)
{
    struct findings findings = {0};
    struct dyno_onnx_options with = {0};
    struct dyno_onnx_model *imported = NULL;
    struct dyno_err err = {0};
    if (options != NULL)
        with = *options;
    with.problem = note_finding;
    with.problem_arg = &findings;
    const enum dyno_status got = dyno_onnx_import_bytes(dyno_strbuf_text(model), model->bytes,
                                                        folder, &with, &imported, &err);
    const char *lines = dyno_strbuf_text(&findings.lines);
    CHECK_MSG(got == status, "status %d (%s), want %d for: %s", (int)got, err.text, (int)status,
              want);
    CHECK(imported == NULL && err.status == got);
    CHECK_MSG(strstr(lines, want) != NULL || strstr(err.text, want) != NULL,
              "want \"%s\", got \"%s\" and findings\n%s", want, err.text, lines);
    CHECK_MSG(findings.count <= 1, "one mistake, %u findings:\n%s", findings.count, lines);
    dyno_strbuf_fini(&findings.lines);
    dyno_strbuf_fini(model);
    dyno_onnx_model_close(imported);
    CHECK(dyno_mem_live_count() == 0);
}

static void refuse(message *graph, enum dyno_status status, const char *want)
{
    message model = model_of(graph, 17);
    refuse_model(&model, NULL, NULL, status, want);
}

static message start(void)
{
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "2");
    return graph;
}

static void finish(message *graph, enum dyno_status status, const char *want)
{
    put_output(graph, "y", DYNO_F32, NULL);
    refuse(graph, status, want);
}

/* --- the wire --- */

static void test_wire(void)
{
    message graph = start();
    put_node(&graph, "Relu", "r", "x", "y");
    put_output(&graph, "y", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    for (size_t bytes = model.bytes - 1; bytes > 40; bytes -= 7) {
        struct dyno_onnx_model *imported = NULL;
        struct dyno_err err = {0};
        CHECK(dyno_onnx_import_bytes(dyno_strbuf_text(&model), bytes, NULL, NULL, &imported,
                                     &err) == DYNO_E_FORMAT);
        CHECK_MSG(strstr(err.text, "byte") != NULL, "%s", err.text);
        CHECK(imported == NULL);
    }
    dyno_strbuf_fini(&model);
    message empty = {0};
    refuse_model(&empty, NULL, NULL, DYNO_E_FORMAT, "no graph");

    struct dyno_onnx_model *imported = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_onnx_import("/nowhere/m.onnx", NULL, &imported, &err) == DYNO_E_NOT_FOUND);
    CHECK_MSG(strstr(err.text, "/nowhere/m.onnx") != NULL, "%s", err.text);
}

static void test_versions(void)
{
    static const struct {
        int64_t opset;
        const char *want;
    } rows[] = {{6, "node 0 Relu 'r': is of opset 6, only opsets 7 to 25 are supported"},
                {26, "is of opset 26"}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        message graph = start();
        put_node(&graph, "Relu", "r", "x", "h");
        put_node(&graph, "Relu", "s", "h", "y");
        put_output(&graph, "y", DYNO_F32, NULL);
        message model = model_of(&graph, rows[i].opset);
        refuse_model(&model, NULL, NULL, DYNO_E_UNSUPPORTED, rows[i].want);
    }
    message graph = start();
    message model = {0};
    put_node(&graph, "Relu", "r", "x", "y");
    put_output(&graph, "y", DYNO_F32, NULL);
    dyno_pb_put_varint(&model, 1, 99);
    put_opset(&model, 8, "", 17);
    put_message(&model, 7, &graph);
    refuse_model(&model, NULL, NULL, DYNO_E_UNSUPPORTED, "ONNX IR version 99");
}

/* --- names and structure --- */

static void test_structure(void)
{
    message graph = start();
    put_node(&graph, "Neg", "a", "q", "p");
    put_node(&graph, "Neg", "b", "p", "q");
    put_node(&graph, "Add", "c", "q,x", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Neg 'a' needs its own output: the graph has a cycle");

    graph = start();
    put_node(&graph, "Relu", "a", "x", "h");
    put_node(&graph, "Neg", "b", "x", "h");
    put_node(&graph, "Add", "c", "h,x", "y");
    finish(&graph, DYNO_E_FORMAT,
           "node 1 Neg 'b': output 0 'h' has the name of another value, names must be unique");

    graph = start();
    put_input(&graph, "x", DYNO_F32, "2");
    put_node(&graph, "Relu", "", "x", "y");
    finish(&graph, DYNO_E_FORMAT, "the name 'x' is given to two values");

    graph = start();
    put_node(&graph, "Relu", "r", "nothing", "y");
    finish(&graph, DYNO_E_FORMAT,
           "node 0 Relu 'r': input 0 'nothing' is not made by any node, input or initialiser");

    graph = start();
    put_node(&graph, "Relu", "r", "x", "h");
    finish(&graph, DYNO_E_FORMAT, "output 'y' is not made by any node");

    graph = start();
    put_node(&graph, "Relu", "r", "x", "y");
    refuse(&graph, DYNO_E_FORMAT, "the graph has no outputs");

    graph = start();
    put_node(&graph, "Relu", "r", "x", "y");
    put_output(&graph, "y", DYNO_F32, NULL);
    finish(&graph, DYNO_E_FORMAT, "output 'y' is listed twice");

    graph = start();
    put_node(&graph, "Relu", "bad\x01", "x", "h");
    dyno_pb_put_bytes(&graph, 2, "a\0b", 3);
    put_node(&graph, "Relu", "s", "h", "y");
    finish(&graph, DYNO_E_FORMAT, "a name holds a NUL byte");
}

static void test_operators(void)
{
    message graph = start();
    put_node(&graph, "Frobnicate", "f", "x", "h");
    put_node(&graph, "Relu", "r", "h", "y");
    finish(
        &graph, DYNO_E_UNSUPPORTED,
        "node 0 Frobnicate 'f': operator Frobnicate of domain 'ai.onnx', opset 17, is not known");

    graph = start();
    message node = node_of("com.acme", "Relu", "r", "x", "y");
    put_message(&graph, 1, &node);
    finish(&graph, DYNO_E_FORMAT, "the model imports no opset of its domain 'com.acme'");

    graph = start();
    node = node_of("com.acme", "Relu", "r", "x", "y");
    put_message(&graph, 1, &node);
    put_output(&graph, "y", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    put_opset(&model, 8, "com.acme", 1);
    refuse_model(&model, NULL, NULL, DYNO_E_UNSUPPORTED, "operator Relu of domain 'com.acme'");

    graph = start();
    put_node(&graph, "Relu", "r", "x,x", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Relu 'r': has 2 inputs, wants at most 1");

    graph = start();
    put_node(&graph, "Add", "a", "x", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Add 'a': has 1 inputs, wants at least 2");

    graph = start();
    put_node(&graph, "Relu", "r", "x", "y,z");
    finish(&graph, DYNO_E_FORMAT, "node 0 Relu 'r': has 2 outputs");

    graph = start();
    put_init(&graph, tensor_raw("i", DYNO_I64, NULL, 0, "12345678", 8));
    put_node(&graph, "Add", "a", "x,i", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Add 'a': inputs 0 and 1 are of types f32 and i64");

    graph = start();
    put_input(&graph, "z", DYNO_F32, "3");
    put_node(&graph, "Add", "a", "x,z", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Add 'a': sizes 2 and 3 meet");
}

static void test_attributes(void)
{
    message graph = start();
    put_node_attr(&graph, "LeakyRelu", "l", "x", "y", attr_float("beta", 1.0F));
    finish(&graph, DYNO_E_FORMAT, "node 0 LeakyRelu 'l': attribute 'beta' is not one of LeakyRelu");

    graph = start();
    put_node_attr(&graph, "LeakyRelu", "l", "x", "y", attr_int("alpha", 1));
    finish(&graph, DYNO_E_FORMAT,
           "node 0 LeakyRelu 'l': attribute alpha is an int, must be a float");

    graph = start();
    put_node_attr(&graph, "Gelu", "g", "x", "y", attr_text("approximate", "roughly"));
    put_output(&graph, "y", DYNO_F32, NULL);
    message model = model_of(&graph, 20);
    refuse_model(&model, NULL, NULL, DYNO_E_UNSUPPORTED,
                 "node 0 Gelu 'g': attribute approximate is 'roughly', must be one of none, tanh");

    graph = start();
    message node = node_of("", "LeakyRelu", "l", "x", "y");
    for (int i = 0; i < 2; i++) {
        message attr = attr_float("alpha", 1.0F);
        put_message(&node, 5, &attr);
    }
    put_message(&graph, 1, &node);
    finish(&graph, DYNO_E_FORMAT, "node 0 LeakyRelu 'l': attribute 'alpha' is given twice");

    graph = start();
    put_node_attr(&graph, "LeakyRelu", "l", "x", "y", attr_ref("alpha", 1, "slope"));
    finish(&graph, DYNO_E_FORMAT, "only functions have such references");

    graph = start();
    put_node(&graph, "Cast", "c", "x", "y");
    finish(&graph, DYNO_E_FORMAT, "node 0 Cast 'c': the required attribute to is missing");
}

/* --- tensors --- */

static void refuse_init(message tensor, enum dyno_status status, const char *want)
{
    message graph = start();
    put_init(&graph, tensor);
    put_node(&graph, "Add", "", "x,w", "y");
    finish(&graph, status, want);
}

static void test_tensors(void)
{
    const float data[2] = {1.0F, 2.0F};
    const int64_t two[1] = {2};
    refuse_init(tensor_raw("w", DYNO_F32, two, 1, data, 7), DYNO_E_FORMAT,
                "tensor 'w' has 7 bytes of raw data, its shape and type (f32) need 8");
    refuse_init(tensor_base("w", DYNO_F32, two, 1), DYNO_E_FORMAT,
                "tensor 'w' holds 0 items of f32 data, its shape needs 2");
    refuse_init(tensor_raw("w", DYNO_F32, (const int64_t[]){-2}, 1, data, 8), DYNO_E_FORMAT,
                "tensor 'w': dimension 0 is -2, may not be negative");
    refuse_init(tensor_raw("w", DYNO_F32, (const int64_t[]){INT64_MAX, 4}, 2, data, 8),
                DYNO_E_FORMAT, "tensor 'w': the product of its dimensions does not fit 63 bits");
    refuse_init(tensor_raw("w", 99, two, 1, data, 8), DYNO_E_FORMAT,
                "tensor 'w' has the unknown data type 99");
    refuse_init(tensor_raw("w", DYNO_F32, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 2}, 9, data, 8),
                DYNO_E_LIMIT, "tensor 'w' has 9 dimensions, at most 8 are held");
    refuse_init(tensor_raw("w", DYNO_STR, two, 1, data, 8), DYNO_E_FORMAT,
                "tensor 'w' of strings may not use raw data");

    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "-5");
    put_node(&graph, "Relu", "", "x", "y");
    finish(&graph, DYNO_E_FORMAT, "value 'x': dimension 0 is -5, may not be negative");

    message huge = {0};
    put_input(&huge, "x", DYNO_F32, "4611686018427387904,4");
    put_node(&huge, "Relu", "", "x", "y");
    finish(&huge, DYNO_E_FORMAT, "input 'x': the product of its dimensions does not fit 63 bits");

    message grown = {0};
    put_input(&grown, "x", DYNO_F32, "1099511627776,1");
    put_input(&grown, "z", DYNO_F32, "1,1099511627776");
    put_node(&grown, "Add", "a", "x,z", "y");
    finish(&grown, DYNO_E_LIMIT, "node 0 Add 'a': output 0 does not fit 63 bits");

    message wrong = start();
    put_node(&wrong, "Relu", "", "x", "y");
    put_output(&wrong, "y", DYNO_I64, NULL);
    refuse(&wrong, DYNO_E_FORMAT, "output 'y' is f32, but declared as i64");
}

static void refuse_external(const char *location, const char *folder, const char *want)
{
    message tensor = tensor_base("w", DYNO_F32, (const int64_t[]){2}, 1);
    message entry = {0};
    message graph = start();
    dyno_pb_put_text(&entry, 1, "location");
    dyno_pb_put_text(&entry, 2, location);
    put_message(&tensor, 13, &entry);
    dyno_pb_put_varint(&tensor, 14, 1);
    put_init(&graph, tensor);
    put_node(&graph, "Add", "", "x,w", "y");
    put_output(&graph, "y", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    const enum dyno_status status = folder == NULL                   ? DYNO_E_UNSUPPORTED
                                    : strstr(want, "cannot") != NULL ? DYNO_E_NOT_FOUND
                                                                     : DYNO_E_FORMAT;
    refuse_model(&model, folder, NULL, status, want);
}

static void test_external(void)
{
    refuse_external("w.bin", NULL, "the model has no folder");
    refuse_external("/etc/passwd", "/tmp", "must be a relative path inside the model's folder");
    refuse_external("a/../../etc/passwd", "/tmp", "must be a relative path");
    refuse_external("..", "/tmp", "must be a relative path");
    refuse_external("no-such-file", "/tmp", "cannot open external file");
    char folder[] = "/tmp/dyno-test-XXXXXX";
    char link[64];
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(link, sizeof(link), "%s/link", folder);
    REQUIRE(symlink("/etc/passwd", link) == 0);
    refuse_external("link", folder, "leads out of the model's folder");
    (void)unlink(link);
    FILE *file = fopen(link, "w");
    REQUIRE(file != NULL);
    (void)fputs("short", file);
    (void)fclose(file);
    refuse_external("link", folder, "bytes 0 to 8 are outside external file 'link' of 5 bytes");
    (void)unlink(link);
    (void)rmdir(folder);
}

/* --- what is asked of the inputs --- */

static void test_options(void)
{
    static const struct dyno_onnx_shape unknown = {"q", 1, {2}};
    static const struct dyno_onnx_shape rank = {"x", 2, {2, 2}};
    static const struct dyno_onnx_profile empty = {"x", 1, {4}, {2}};
    const struct dyno_onnx_options rows[] = {
        {.shapes = &unknown, .shape_count = 1},
        {.shapes = &rank, .shape_count = 1},
        {.profiles = &empty, .profile_count = 1},
    };
    static const char *const wants[] = {"asked for 'q', which is not an input",
                                        "input 'x' has 1 dimensions, the shape asked for it has 2",
                                        "the range 4..2 asked for dimension 0 is empty"};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        message graph = {0};
        put_input(&graph, "x", DYNO_F32, "N");
        put_node(&graph, "Relu", "", "x", "y");
        put_output(&graph, "y", DYNO_F32, NULL);
        message model = model_of(&graph, 17);
        refuse_model(&model, NULL, &rows[i], DYNO_E_ARG, wants[i]);
    }
}

/* --- functions and regions --- */

static void test_recursion(void)
{
    message graph = start();
    message call = node_of("mine", "F", "call", "x", "y");
    put_message(&graph, 1, &call);
    put_output(&graph, "y", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    message function = {0};
    put_opset(&model, 8, "mine", 1);
    dyno_pb_put_text(&function, 1, "F");
    dyno_pb_put_text(&function, 10, "mine");
    put_names(&function, 4, "a");
    put_names(&function, 5, "r");
    message again = node_of("mine", "F", "", "a", "r");
    put_message(&function, 7, &again);
    put_opset(&function, 9, "mine", 1);
    put_message(&model, 25, &function);
    refuse_model(&model, NULL, NULL, DYNO_E_FORMAT,
                 "function called by node 0 F 'call': node 0 F: calls function 'F' inside itself");
}

static void test_region(void)
{
    message graph = start();
    message branch = {0};
    message node = node_of("", "If", "choice", "c", "y");
    put_input(&graph, "c", DYNO_BOOL, "");
    put_node(&branch, "Relu", "inside", "nothing", "b");
    put_output(&branch, "b", DYNO_F32, NULL);
    message attr = attr_message("then_branch", 5, 6, &branch);
    put_message(&node, 5, &attr);
    message other = {0};
    put_node(&other, "Relu", "", "x", "b");
    put_output(&other, "b", DYNO_F32, NULL);
    attr = attr_message("else_branch", 5, 6, &other);
    put_message(&node, 5, &attr);
    put_message(&graph, 1, &node);
    finish(&graph, DYNO_E_FORMAT,
           "then_branch of node 0 If 'choice': node 0 Relu 'inside': input 0 'nothing'");
}

/* --- everything in one go --- */

static void test_all_at_once(void)
{
    struct findings findings = {0};
    const struct dyno_onnx_options options = {.problem = note_finding, .problem_arg = &findings};
    struct dyno_onnx_model *imported = NULL;
    struct dyno_err err = {0};
    message graph = start();
    put_node(&graph, "Frobnicate", "f", "x", "a");
    put_node(&graph, "Relu", "r", "a,x", "b"); /* not blamed: its input is unknown */
    put_node(&graph, "Add", "s", "x", "c");
    put_node_attr(&graph, "LeakyRelu", "l", "x", "d", attr_int("alpha", 1));
    put_node(&graph, "Neg", "n", "nothing", "e");
    put_output(&graph, "b", DYNO_F32, NULL);
    put_output(&graph, "missing", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    CHECK(dyno_onnx_import_bytes(dyno_strbuf_text(&model), model.bytes, NULL, &options, &imported,
                                 &err) == DYNO_E_FORMAT);
    CHECK_MSG(findings.count == 5, "%u:\n%s", findings.count, dyno_strbuf_text(&findings.lines));
    CHECK_MSG(strncmp(err.text, "5 problems: node 0 Frobnicate", 29) == 0, "%s", err.text);
    CHECK(strstr(err.text, "node 4 Neg 'n'") != NULL);
    dyno_strbuf_fini(&findings.lines);
    dyno_strbuf_fini(&model);
}

/* The list is bounded; the count is not. */
static void test_many(void)
{
    struct findings findings = {0};
    const struct dyno_onnx_options options = {.problem = note_finding, .problem_arg = &findings};
    struct dyno_onnx_model *imported = NULL;
    struct dyno_err err = {0};
    message graph = start();
    for (int i = 0; i < DYNO_ONNX_PROBLEMS_MAX + 50; i++)
        put_node(&graph, "Neg", "n", "nothing", "-");
    put_output(&graph, "x", DYNO_F32, NULL);
    message model = model_of(&graph, 17);
    CHECK(dyno_onnx_import_bytes(dyno_strbuf_text(&model), model.bytes, NULL, &options, &imported,
                                 &err) == DYNO_E_FORMAT);
    CHECK(findings.count == DYNO_ONNX_PROBLEMS_MAX);
    CHECK_MSG(strncmp(err.text, "250 problems: ", 14) == 0, "%s", err.text);
    dyno_strbuf_fini(&findings.lines);
    dyno_strbuf_fini(&model);
    CHECK(dyno_mem_live_count() == 0);
}

int main(void)
{
    test_wire();
    test_versions();
    test_structure();
    test_operators();
    test_attributes();
    test_tensors();
    test_external();
    test_options();
    test_recursion();
    test_region();
    test_all_at_once();
    test_many();
    return TEST_RESULT();
}
