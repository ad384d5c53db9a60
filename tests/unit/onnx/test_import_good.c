/* test_import_good.c - models that are right: what becomes of them. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "model.h"
#include "test.h"

/* Import and print; the model's bytes are kept for as long as the model lives. */
struct imported {
    message bytes;
    struct dyno_onnx_model *model;
    struct dyno_graph *graph;
    struct dyno_strbuf text;
};

static struct imported import_with(message *graph, int64_t opset, const char *folder,
                                   const struct dyno_onnx_options *options)
{
    struct imported got = {.bytes = model_of(graph, opset)};
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_onnx_import_bytes(
        dyno_strbuf_text(&got.bytes), got.bytes.bytes, folder, options, &got.model, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(got.model != NULL);
    got.graph = dyno_onnx_model_graph(got.model);
    dyno_graph_print(got.graph, &got.text);
    return got;
}

static void release(struct imported *got)
{
    dyno_onnx_model_close(got->model);
    dyno_strbuf_fini(&got->bytes);
    dyno_strbuf_fini(&got->text);
    CHECK(dyno_mem_live_count() == 0);
}

static const struct dyno_node *find_node(const struct dyno_graph *graph, const char *op)
{
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        if (strcmp(dyno_ops[node->op]->onnx_name, op) == 0)
            return node;
    }
    return NULL;
}

/* The dimension as text: "12", "N", ... */
static const char *dim_text(const struct dyno_graph *graph, const struct dyno_value *value,
                            int axis)
{
    static struct dyno_strbuf text;
    static char copy[128];
    dyno_strbuf_clear(&text);
    if (axis < value->type.rank)
        dyno_expr_print(graph->exprs, value->type.dims[axis], &text);
    (void)snprintf(copy, sizeof(copy), "%s", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    return copy;
}

static void test_simple(void)
{
    message graph = {0};
    const float ones[2] = {1.0F, 2.0F};
    put_input(&graph, "x", DYNO_F32, "N,2");
    put_init(&graph, tensor_raw("w", DYNO_F32, (const int64_t[]){2}, 1, ones, sizeof(ones)));
    put_node(&graph, "Add", "plus", "x,w", "y");
    put_output(&graph, "y", DYNO_F32, "N,2");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    CHECK(got.graph->node_count == 1 && got.graph->input_count == 1);
    CHECK(got.graph->output_count == 1);
    CHECK_STR(got.graph->first->name, "plus");
    CHECK_STR(got.graph->first->origins[0], "plus");
    CHECK_STR(got.graph->outputs[0]->name, "y");
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 0), "N");
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 1), "2");
    CHECK_STR(dyno_onnx_model_producer(got.model), "the tests");
    CHECK(dyno_onnx_model_opset(got.model) == 17);
    const struct dyno_tensor *w = dyno_value_constant(got.graph->first->ins[1]);
    REQUIRE(w != NULL);
    CHECK(((const float *)w->data)[1] == 2.0F);
    release(&got);
}

/* Aligned raw data is used where it lies; other data is copied. */
static void test_in_place(void)
{
    int in_place = 0;
    int copied = 0;
    for (int shift = 0; shift < 4; shift++) {
        message graph = {0};
        const float data[2] = {1.0F, 2.0F};
        dyno_pb_put_bytes(&graph, 2, "name", (size_t)shift + 1);
        put_input(&graph, "x", DYNO_F32, "2");
        put_init(&graph, tensor_raw("w", DYNO_F32, (const int64_t[]){2}, 1, data, sizeof(data)));
        put_node(&graph, "Add", "", "x,w", "y");
        put_output(&graph, "y", DYNO_F32, "2");
        struct imported got = import_with(&graph, 17, NULL, NULL);
        const struct dyno_tensor *w = dyno_value_constant(got.graph->first->ins[1]);
        const char *at = w->data;
        const bool inside = at >= dyno_strbuf_text(&got.bytes) &&
                            at < dyno_strbuf_text(&got.bytes) + got.bytes.bytes;
        CHECK((uintptr_t)at % sizeof(float) == 0);
        CHECK(((const float *)w->data)[1] == 2.0F);
        in_place += inside;
        copied += !inside;
        CHECK_STR(got.graph->first->name, "Add_0");
        release(&got);
    }
    CHECK(in_place == 1 && copied == 3);
}

/* Every typed field of TensorProto, packed and one by one. */
static void check_typed(int dtype, uint32_t field, bool packed, int64_t first, int64_t second)
{
    message graph = {0};
    message tensor = tensor_base("w", dtype, (const int64_t[]){2}, 1);
    const int64_t values[2] = {first, second};
    message list = {0};
    for (int i = 0; i < 2; i++) {
        const float single = (float)values[i];
        const double twice = (double)values[i];
        if (field == 4 && !packed)
            dyno_pb_put_f32(&tensor, field, single);
        else if (field == 4)
            dyno_strbuf_add(&list, (const char *)&single, sizeof(single));
        else if (field == 10 && !packed)
            dyno_pb_put_f64(&tensor, field, twice);
        else if (field == 10)
            dyno_strbuf_add(&list, (const char *)&twice, sizeof(twice));
        else if (!packed)
            dyno_pb_put_varint(&tensor, field, (uint64_t)values[i]);
        else
            dyno_strbuf_add(&list, (const char[]){(char)values[i]}, 1);
    }
    if (packed)
        put_message(&tensor, field, &list);
    put_init(&graph, tensor);
    put_node(&graph, "Identity", "", "w", "y");
    put_output(&graph, "y", dtype, "2");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    const struct dyno_tensor *w = dyno_value_constant(got.graph->first->ins[0]);
    REQUIRE(w != NULL);
    CHECK(w->dtype == (enum dyno_dtype)dtype);
    const bool half = dtype == DYNO_F16 || dtype == DYNO_BF16;
    const enum dyno_dtype as = half ? DYNO_U16 : w->dtype;
    CHECK((int64_t)dyno_elem_load_f64(as, w->data, 0) == first);
    CHECK((int64_t)dyno_elem_load_f64(as, w->data, 1) == second);
    release(&got);
}

static void test_typed_data(void)
{
    static const struct {
        int dtype;
        uint32_t field;
    } rows[] = {{DYNO_F32, 4}, {DYNO_I32, 5},  {DYNO_I8, 5},   {DYNO_U8, 5},
                {DYNO_U16, 5}, {DYNO_I16, 5},  {DYNO_F16, 5},  {DYNO_BF16, 5},
                {DYNO_I64, 7}, {DYNO_F64, 10}, {DYNO_U64, 11}, {DYNO_U32, 11}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        check_typed(rows[i].dtype, rows[i].field, true, 3, 100);
        check_typed(rows[i].dtype, rows[i].field, false, 3, 100);
    }
    check_typed(DYNO_I64, 7, false, -5, INT64_C(1) << 40);
    check_typed(DYNO_I8, 5, false, -5, 7);
    check_typed(DYNO_BOOL, 5, true, 0, 1);
}

static void test_constants(void)
{
    message graph = {0};
    put_node_attr(&graph, "Constant", "", "", "a",
                  attr_floats("value_floats", (const float[]){1.0F, 2.0F}, 2));
    put_node_attr(&graph, "Constant", "", "", "b", attr_float("value_float", 3.0F));
    put_node(&graph, "Add", "", "a,b", "y");
    put_node_attr(&graph, "Constant", "", "", "z", attr_int("value_int", 7));
    put_output(&graph, "y", DYNO_F32, "2");
    put_output(&graph, "z", DYNO_I64, "");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    CHECK(dyno_value_constant(got.graph->first->ins[0]) != NULL);
    CHECK_STR(got.graph->outputs[1]->name, "z");
    CHECK_STR(dyno_ops[got.graph->outputs[1]->producer->op]->onnx_name, "Identity");
    release(&got);
}

/* Nodes in the wrong order are put right. */
static void test_unsorted(void)
{
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "2");
    put_node(&graph, "Relu", "second", "h", "y");
    put_node(&graph, "Neg", "first", "x", "h");
    put_output(&graph, "y", DYNO_F32, "2");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    CHECK_STR(got.graph->first->name, "first");
    CHECK_STR(got.graph->last->name, "second");
    release(&got);
}

static void put_two_inputs(message *graph)
{
    put_input(graph, "x", DYNO_F32, "batch,?,3,-1");
    put_input(graph, "z", DYNO_F32, "batch,1,1,1");
    put_node(graph, "Add", "", "x,z", "y");
    put_output(graph, "y", DYNO_F32, NULL);
}

static void test_shapes(void)
{
    message graph = {0};
    int64_t min = 0;
    int64_t max = 0;
    put_two_inputs(&graph);
    struct imported got = import_with(&graph, 17, NULL, NULL);
    CHECK_STR(dim_text(got.graph, got.graph->inputs[0], 0), "batch");
    CHECK_STR(dim_text(got.graph, got.graph->inputs[0], 1), "x_1");
    CHECK_STR(dim_text(got.graph, got.graph->inputs[0], 2), "3");
    CHECK_STR(dim_text(got.graph, got.graph->inputs[0], 3), "x_3");
    CHECK(got.graph->inputs[0]->type.dims[0] == got.graph->inputs[1]->type.dims[0]);
    dyno_expr_range(got.graph->exprs, got.graph->inputs[0]->type.dims[0], &min, &max);
    CHECK(min == 1 && max == INT64_MAX);
    release(&got);

    const struct dyno_onnx_shape shape = {"x", 4, {-1, 8, 5, 9}};
    const struct dyno_onnx_profile profile = {"z", 4, {2, 1, 1, 1}, {6, 1, 1, 1}};
    const struct dyno_onnx_options options = {
        .shapes = &shape, .shape_count = 1, .profiles = &profile, .profile_count = 1};
    message again = {0};
    put_two_inputs(&again);
    got = import_with(&again, 17, NULL, &options);
    dyno_expr_range(got.graph->exprs, got.graph->inputs[0]->type.dims[0], &min, &max);
    CHECK(min == 2 && max == 6);
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 1), "8");
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 2), "5");
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 3), "9");
    release(&got);
}

/* A profile opens a dimension that the model fixes. */
static void test_profile_opens(void)
{
    message graph = {0};
    const struct dyno_onnx_profile profile = {"x", 2, {1, 2}, {4, 2}};
    const struct dyno_onnx_options options = {.profiles = &profile, .profile_count = 1};
    put_input(&graph, "x", DYNO_F32, "1,2");
    put_node(&graph, "Relu", "", "x", "y");
    put_output(&graph, "y", DYNO_F32, "1,2");
    struct imported got = import_with(&graph, 17, NULL, &options);
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 0), "x_0");
    CHECK_STR(dim_text(got.graph, got.graph->outputs[0], 1), "2");
    release(&got);
}

static void put_branch(message *node, const char *attr_name, const char *op, const char *in)
{
    message branch = {0};
    put_node(&branch, op, "", in, "inner");
    put_output(&branch, "inner", DYNO_F32, "2");
    message attr = attr_message(attr_name, 5, 6, &branch);
    put_message(node, 5, &attr);
}

static void put_if(message *graph, const char *cond)
{
    message node = node_of("", "If", "choice", cond, "y");
    put_branch(&node, "then_branch", "Relu", "x");
    put_branch(&node, "else_branch", "Neg", "x");
    put_message(graph, 1, &node);
    put_output(graph, "y", DYNO_F32, "2");
}

static void test_if(void)
{
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "2");
    put_input(&graph, "c", DYNO_BOOL, "");
    put_if(&graph, "c");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    const struct dyno_node *node = find_node(got.graph, "If");
    REQUIRE(node != NULL);
    CHECK(node->region_count == 2);
    CHECK_STR(dyno_ops[node->regions[0]->first->op]->onnx_name, "Relu");
    CHECK_STR(dyno_ops[node->regions[1]->first->op]->onnx_name, "Neg");
    CHECK(node->regions[0]->first->ins[0] == got.graph->inputs[0]);
    release(&got);

    message known = {0};
    const uint8_t off = 0;
    put_input(&known, "x", DYNO_F32, "2");
    put_init(&known, tensor_raw("c", DYNO_BOOL, NULL, 0, &off, 1));
    put_if(&known, "c");
    got = import_with(&known, 17, NULL, NULL);
    CHECK(find_node(got.graph, "If") == NULL);
    CHECK(find_node(got.graph, "Neg") != NULL && find_node(got.graph, "Relu") == NULL);
    CHECK_STR(got.graph->outputs[0]->name, "y");
    release(&got);
}

/* f(a, b) = LeakyRelu(a, alpha from the call) + b, and the name "h" is the function's own. */
static void test_function(void)
{
    message graph = {0};
    message call = node_of("mine", "F", "call", "x,x", "h");
    message alpha = attr_float("slope", 0.25F);
    put_message(&call, 5, &alpha);
    put_input(&graph, "x", DYNO_F32, "2");
    put_message(&graph, 1, &call);
    put_node(&graph, "Neg", "", "h", "y");
    put_output(&graph, "y", DYNO_F32, "2");
    message model = model_of(&graph, 17);
    put_opset(&model, 8, "mine", 1);
    message function = {0};
    dyno_pb_put_text(&function, 1, "F");
    dyno_pb_put_text(&function, 10, "mine");
    put_names(&function, 4, "a,b");
    put_names(&function, 5, "r");
    put_names(&function, 6, "slope");
    message leaky = node_of("", "LeakyRelu", "", "a", "h");
    message ref = attr_ref("alpha", 1, "slope");
    put_message(&leaky, 5, &ref);
    put_message(&function, 7, &leaky);
    message add = node_of("", "Add", "sum", "h,b", "r");
    put_message(&function, 7, &add);
    put_opset(&function, 9, "", 17);
    put_message(&model, 25, &function);

    struct dyno_onnx_model *imported = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status =
        dyno_onnx_import_bytes(dyno_strbuf_text(&model), model.bytes, NULL, NULL, &imported, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(imported != NULL);
    const struct dyno_graph *got = dyno_onnx_model_graph(imported);
    CHECK(got->node_count == 3);
    CHECK_STR(got->first->next->name, "call/sum");
    struct dyno_strbuf text = {0};
    dyno_graph_print(got, &text);
    CHECK_MSG(strstr(dyno_strbuf_text(&text), "0.25") != NULL, "%s", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    dyno_onnx_model_close(imported);
    dyno_strbuf_fini(&model);
}

static void test_sparse(void)
{
    message graph = {0};
    const float values[2] = {5.0F, 6.0F};
    const int64_t flat[2] = {1, 3};
    message sparse = {0};
    message part = tensor_raw("w", DYNO_F32, (const int64_t[]){2}, 1, values, sizeof(values));
    put_message(&sparse, 1, &part);
    part = tensor_raw("", DYNO_I64, (const int64_t[]){2}, 1, flat, sizeof(flat));
    put_message(&sparse, 2, &part);
    dyno_pb_put_varint(&sparse, 3, 2);
    dyno_pb_put_varint(&sparse, 3, 2);
    put_message(&graph, 15, &sparse);
    put_input(&graph, "x", DYNO_F32, "2,2");
    put_node(&graph, "Add", "", "x,w", "y");
    put_output(&graph, "y", DYNO_F32, "2,2");
    struct imported got = import_with(&graph, 17, NULL, NULL);
    const float *data = dyno_value_constant(got.graph->first->ins[1])->data;
    CHECK(data[0] == 0.0F && data[1] == 5.0F && data[2] == 0.0F && data[3] == 6.0F);
    release(&got);
}

static void put_entry(message *tensor, const char *key, const char *value)
{
    message entry = {0};
    dyno_pb_put_text(&entry, 1, key);
    dyno_pb_put_text(&entry, 2, value);
    put_message(tensor, 13, &entry);
}

static void test_external(void)
{
    char folder[] = "/tmp/dyno-test-XXXXXX";
    char path[64];
    struct dyno_err err = {0};
    const float data[4] = {0.0F, 0.0F, 3.0F, 4.0F};
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/w.bin", folder);
    REQUIRE(dyno_file_write_atomic(path, data, sizeof(data), &err) == DYNO_OK);
    message graph = {0};
    message tensor = tensor_base("w", DYNO_F32, (const int64_t[]){2}, 1);
    put_entry(&tensor, "location", "w.bin");
    put_entry(&tensor, "offset", "8");
    put_entry(&tensor, "length", "8");
    dyno_pb_put_varint(&tensor, 14, 1);
    put_init(&graph, tensor);
    put_input(&graph, "x", DYNO_F32, "2");
    put_node(&graph, "Add", "", "x,w", "y");
    put_output(&graph, "y", DYNO_F32, "2");
    struct imported got = import_with(&graph, 17, folder, NULL);
    const float *at = dyno_value_constant(got.graph->first->ins[1])->data;
    CHECK(at[0] == 3.0F && at[1] == 4.0F);
    CHECK(dyno_onnx_model_file_bytes(got.model) == got.bytes.bytes + sizeof(data));
    release(&got);
    (void)unlink(path);
    (void)rmdir(folder);
}

/* --- past 2 and 4 GiB: files with holes, which take no room --- */

static void test_large_external(void)
{
    const int64_t offset = (INT64_C(1) << 32) + 8;
    const float data[2] = {3.0F, 4.0F};
    char folder[] = "/tmp/dyno-test-XXXXXX";
    char path[64];
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/w.bin", folder);
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    CHECK(pwrite(fd, data, sizeof(data), offset) == (ssize_t)sizeof(data));
    (void)close(fd);
    message graph = {0};
    message tensor = tensor_base("w", DYNO_F32, (const int64_t[]){2}, 1);
    put_entry(&tensor, "location", "w.bin");
    put_entry(&tensor, "offset", "4294967304");
    dyno_pb_put_varint(&tensor, 14, 1);
    put_init(&graph, tensor);
    put_input(&graph, "x", DYNO_F32, "2");
    put_node(&graph, "Add", "", "x,w", "y");
    put_output(&graph, "y", DYNO_F32, "2");
    struct imported got = import_with(&graph, 17, folder, NULL);
    const float *at = dyno_value_constant(got.graph->first->ins[1])->data;
    CHECK(at[0] == 3.0F && at[1] == 4.0F);
    release(&got);
    (void)unlink(path);
    (void)rmdir(folder);
}

/* Key and length of a field whose `bytes` bytes follow elsewhere. */
static void put_header(message *out, uint32_t number, uint64_t bytes)
{
    uint64_t value = (uint64_t)number << 3 | DYNO_PB_LEN;
    for (int part = 0; part < 2; part++, value = bytes) {
        for (; value >= 0x80; value >>= 7)
            dyno_strbuf_add(out, (const char[]){(char)(value | 0x80)}, 1);
        dyno_strbuf_add(out, (const char[]){(char)value}, 1);
    }
}

/* A model of 3 GiB: its last initialiser is a hole. */
static void test_large_model(void)
{
    const int64_t bytes = INT64_C(3) << 30;
    char path[] = "/tmp/dyno-test-XXXXXX";
    struct dyno_onnx_model *model = NULL;
    struct dyno_err err = {0};
    message tensor = tensor_base("w", DYNO_U8, &bytes, 1);
    put_header(&tensor, 9, (uint64_t)bytes);
    message graph = {0};
    put_node(&graph, "Identity", "", "w", "y");
    put_output(&graph, "y", DYNO_U8, NULL);
    put_header(&graph, 5, tensor.bytes + (uint64_t)bytes);
    dyno_strbuf_add(&graph, dyno_strbuf_text(&tensor), tensor.bytes);
    message head = {0};
    dyno_pb_put_varint(&head, 1, 8);
    put_opset(&head, 8, "", 17);
    put_header(&head, 7, graph.bytes + (uint64_t)bytes);
    dyno_strbuf_add(&head, dyno_strbuf_text(&graph), graph.bytes);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    CHECK(write(fd, dyno_strbuf_text(&head), head.bytes) == (ssize_t)head.bytes);
    CHECK(ftruncate(fd, (off_t)head.bytes + bytes) == 0);
    (void)close(fd);
    const enum dyno_status status = dyno_onnx_import(path, NULL, &model, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    if (status == DYNO_OK) {
        const struct dyno_graph *got = dyno_onnx_model_graph(model);
        CHECK(dyno_value_constant(got->first->ins[0])->dims[0] == bytes);
        CHECK(dyno_onnx_model_file_bytes(model) == head.bytes + (uint64_t)bytes);
    }
    dyno_onnx_model_close(model);
    (void)unlink(path);
    dyno_strbuf_fini(&head);
    dyno_strbuf_fini(&graph);
    dyno_strbuf_fini(&tensor);
}

/* Lose each allocation once: out of memory is told, and nothing is left behind. */
static void check_faults(message *graph, int64_t opset)
{
    message model = model_of(graph, opset);
    enum dyno_status status = DYNO_E_NOMEM;
    uint64_t nth = 0;
    while (status != DYNO_OK && test_fail_count == 0) {
        struct dyno_onnx_model *imported = NULL;
        struct dyno_err err = {0};
        const uint64_t live = dyno_mem_live_count();
        dyno_mem_fail_at(++nth);
        status = dyno_onnx_import_bytes(dyno_strbuf_text(&model), model.bytes, NULL, NULL,
                                        &imported, &err);
        dyno_mem_fail_at(0);
        CHECK_MSG(status == DYNO_OK || status == DYNO_E_NOMEM, "allocation %d: status %d %s",
                  (int)nth, (int)status, err.text);
        CHECK((status == DYNO_OK) == (imported != NULL));
        dyno_onnx_model_close(imported);
        CHECK(dyno_mem_live_count() == live);
    }
    CHECK(nth > 5);
    dyno_strbuf_fini(&model);
}

static void test_faults(void)
{
    message graph = {0};
    put_input(&graph, "a", DYNO_F32, "N,?,2");
    put_input(&graph, "x", DYNO_F32, "2");
    put_input(&graph, "c", DYNO_BOOL, "");
    put_node(&graph, "Softmax", "s", "a", "h");
    put_node(&graph, "ReduceSum", "r", "h", "sum");
    put_if(&graph, "c");
    check_faults(&graph, 11);

    /* Many nodes, so that the arena and the tables grow on the way. */
    message many = {0};
    put_input(&many, "v0", DYNO_F32, "N,?,2");
    for (int i = 0; i < 100; i++) {
        char in[16];
        char out[16];
        (void)snprintf(in, sizeof(in), "v%d", i);
        (void)snprintf(out, sizeof(out), "v%d", i + 1);
        put_node_attr(&many, i % 2 == 0 ? "Softmax" : "Flatten", "", in, out, attr_int("axis", 1));
    }
    put_output(&many, "v100", DYNO_F32, NULL);
    check_faults(&many, 11);
}

int main(void)
{
    test_simple();
    test_in_place();
    test_typed_data();
    test_constants();
    test_unsorted();
    test_shapes();
    test_profile_opens();
    test_if();
    test_function();
    test_sparse();
    test_external();
    test_large_external();
    test_large_model();
    test_faults();
    return TEST_RESULT();
}
