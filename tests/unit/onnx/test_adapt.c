/* test_adapt.c - old forms of operators give what their own opset promised. */
#include "base/mem.h"
#include "ir/interpret.h"
#include "model.h"
#include "test.h"

#define VALUES_MAX 16

/* A model of one node with input x, run by the oracle; output y must be `want`. */
struct old_node {
    const char *op;
    int64_t opset;
    const char *ins; /* "x" first; others are initialisers put by the test */
    const char *outs;
    const char *dims; /* of x */
    float x[VALUES_MAX];
    float want[VALUES_MAX];
    int64_t want_dims[4];
    int want_rank;
};

static enum dyno_status run(struct dyno_graph *graph, const struct old_node *row,
                            struct dyno_tensor *out, struct dyno_arena *arena, struct dyno_err *err)
{
    float copy[VALUES_MAX];
    const struct dyno_value *input = graph->inputs[0];
    struct dyno_tensor x = {.dtype = DYNO_F32, .rank = input->type.rank, .data = copy};
    const struct dyno_tensor *ins[1] = {&x};
    memcpy(copy, row->x, sizeof(copy));
    for (int i = 0; i < x.rank; i++) {
        if (!dyno_value_dim(graph, input, i, &x.dims[i]))
            return DYNO_E_ARG;
    }
    return dyno_graph_interpret(graph, ins, out, arena, NULL, NULL, err);
}

static void compare(const struct old_node *row, const struct dyno_tensor *out)
{
    CHECK_MSG(out->dtype == DYNO_F32 && out->rank == row->want_rank, "%s-%d: rank %d, want %d",
              row->op, (int)row->opset, out->rank, row->want_rank);
    for (int i = 0; i < row->want_rank && i < out->rank; i++)
        CHECK_MSG(out->dims[i] == row->want_dims[i], "%s-%d: axis %d is %d", row->op,
                  (int)row->opset, i, (int)out->dims[i]);
    if (test_fail_count != 0)
        return;
    REQUIRE(out->data != NULL);
    const int64_t count = dyno_tensor_count(out);
    for (int64_t i = 0; i < count && i < VALUES_MAX; i++) {
        const float got = ((const float *)out->data)[i];
        const float gap = got - row->want[i];
        CHECK_MSG(gap < 1e-5F && gap > -1e-5F, "%s-%d: element %d is %g, want %g", row->op,
                  (int)row->opset, (int)i, (double)got, (double)row->want[i]);
    }
}

/* `graph` holds the initialisers; attrs are consumed. */
static void check(const struct old_node *row, message *graph, message *attrs, int attr_count)
{
    message node = node_of("", row->op, "old", row->ins, row->outs);
    struct dyno_onnx_model *model = NULL;
    struct dyno_err err = {0};
    struct dyno_tensor out = {.rank = 0};
    struct dyno_arena *arena = dyno_arena_create();
    for (int i = 0; i < attr_count; i++)
        put_message(&node, 5, &attrs[i]);
    put_message(graph, 1, &node);
    put_input(graph, "x", DYNO_F32, row->dims);
    put_output(graph, "y", DYNO_F32, NULL);
    message bytes = model_of(graph, row->opset);
    enum dyno_status status =
        dyno_onnx_import_bytes(dyno_strbuf_text(&bytes), bytes.bytes, NULL, NULL, &model, &err);
    CHECK_MSG(status == DYNO_OK, "%s-%d: %s", row->op, (int)row->opset, err.text);
    if (status == DYNO_OK && arena != NULL) {
        status = run(dyno_onnx_model_graph(model), row, &out, arena, &err);
        CHECK_MSG(status == DYNO_OK, "%s-%d: %s", row->op, (int)row->opset, err.text);
    }
    if (status == DYNO_OK)
        compare(row, &out);
    dyno_arena_destroy(arena);
    dyno_onnx_model_close(model);
    dyno_strbuf_fini(&bytes);
    CHECK(dyno_mem_live_count() == 0);
}

static void put_floats(message *graph, const char *name, const int64_t *dims, size_t rank,
                       const float *values, size_t count)
{
    put_init(graph, tensor_raw(name, DYNO_F32, dims, rank, values, count * sizeof(float)));
}

static void put_ints(message *graph, const char *name, const int64_t *values, int64_t count)
{
    put_init(graph, tensor_raw(name, DYNO_I64, &count, 1, values, (size_t)count * sizeof(int64_t)));
}

static void test_attributes_to_inputs(void)
{
    message none = {0};
    message attrs[3];
    attrs[0] = attr_float("min", -1.0F);
    attrs[1] = attr_float("max", 1.0F);
    check(&(struct old_node){"Clip", 6 + 1, "x", "y", "3", {-2, 0.5F, 3}, {-1, 0.5F, 1}, {3}, 1},
          &none, attrs, 2);
    attrs[0] = attr_float("max", 1.0F);
    check(&(struct old_node){"Clip", 10, "x", "y", "3", {-2, 0.5F, 3}, {-2, 0.5F, 1}, {3}, 1},
          &none, attrs, 1);
    attrs[0] = attr_ints("axes", (const int64_t[]){0}, 1);
    check(&(struct old_node){"Squeeze", 11, "x", "y", "1,2", {1, 2}, {1, 2}, {2}, 1}, &none, attrs,
          1);
    attrs[0] = attr_ints("axes", (const int64_t[]){0, 2}, 2);
    check(&(struct old_node){"Unsqueeze", 12, "x", "y", "2", {1, 2}, {1, 2}, {1, 2, 1}, 3}, &none,
          attrs, 1);
    attrs[0] = attr_ints("axes", (const int64_t[]){1}, 1);
    attrs[1] = attr_int("keepdims", 0);
    check(&(struct old_node){"ReduceSum", 12, "x", "y", "2,2", {1, 2, 3, 4}, {3, 7}, {2}, 1}, &none,
          attrs, 2);
    attrs[0] = attr_ints("axes", (const int64_t[]){0}, 1);
    check(&(struct old_node){"ReduceMax", 17, "x", "y", "2,2", {1, 2, 3, 4}, {3, 4}, {1, 2}, 2},
          &none, attrs, 1);
    attrs[0] = attr_ints("starts", (const int64_t[]){1}, 1);
    attrs[1] = attr_ints("ends", (const int64_t[]){3}, 1);
    attrs[2] = attr_ints("axes", (const int64_t[]){0}, 1);
    check(&(struct old_node){"Slice", 9, "x", "y", "4", {1, 2, 3, 4}, {2, 3}, {2}, 1}, &none, attrs,
          3);
    attrs[0] = attr_ints("pads", (const int64_t[]){1, 2}, 2);
    attrs[1] = attr_float("value", 9.0F);
    check(&(struct old_node){"Pad", 10, "x", "y", "1", {1}, {9, 1, 9, 9}, {4}, 1}, &none, attrs, 2);
    attrs[0] = attr_ints("split", (const int64_t[]){1, 2}, 2);
    check(&(struct old_node){"Split", 11, "x", "y,z", "3", {1, 2, 3}, {1}, {1}, 1}, &none, attrs,
          1);
    check(&(struct old_node){"Split", 17, "x", "y,z", "4", {1, 2, 3, 4}, {1, 2}, {2}, 1}, &none,
          NULL, 0);
    attrs[0] = attr_float("ratio", 0.5F);
    check(&(struct old_node){"Dropout", 7, "x", "y", "2", {1, 2}, {1, 2}, {2}, 1}, &none, attrs, 1);
    attrs[0] = attr_int("k", 1);
    check(&(struct old_node){"TopK", 9, "x", "y,i", "3", {1, 5, 2}, {5}, {1}, 1}, &none, attrs, 1);
}

/* Before opset 13: everything from the axis on is one row. */
static void test_softmax(void)
{
    message none = {0};
    message attrs[1];
    check(&(struct old_node){"Softmax",
                             11,
                             "x",
                             "y",
                             "1,2,2",
                             {0, 0, 0, 0},
                             {0.25F, 0.25F, 0.25F, 0.25F},
                             {1, 2, 2},
                             3},
          &none, NULL, 0);
    attrs[0] = attr_int("axis", 2);
    check(
        &(struct old_node){
            "Softmax", 12, "x", "y", "1,2,2", {0, 0, 0, 0}, {0.5F, 0.5F, 0.5F, 0.5F}, {1, 2, 2}, 3},
        &none, attrs, 1);
    check(
        &(struct old_node){
            "Hardmax", 11, "x", "y", "1,2,2", {1, 4, 3, 2}, {0, 1, 0, 0}, {1, 2, 2}, 3},
        &none, NULL, 0);
    check(&(struct old_node){"LogSoftmax",
                             9,
                             "x",
                             "y",
                             "2,1,2",
                             {0, 0, 1, 1},
                             {-0.6931472F, -0.6931472F, -0.6931472F, -0.6931472F},
                             {2, 1, 2},
                             3},
          &none, NULL, 0);
}

static void test_sampling(void)
{
    message graph = {0};
    message attrs[2];
    const float scales[4] = {1, 1, 1, 2};
    const int64_t four[1] = {4};
    attrs[0] = attr_floats("scales", scales, 4);
    check(
        &(struct old_node){
            "Upsample", 7, "x", "y", "1,1,1,2", {1, 2}, {1, 1, 2, 2}, {1, 1, 1, 4}, 4},
        &graph, attrs, 1);
    put_floats(&graph, "s", four, 1, scales, 4);
    check(
        &(struct old_node){
            "Upsample", 9, "x,s", "y", "1,1,1,2", {1, 2}, {1, 1, 2, 2}, {1, 1, 1, 4}, 4},
        &graph, NULL, 0);
    put_floats(&graph, "s", four, 1, scales, 4);
    attrs[0] = attr_text("mode", "linear");
    check(
        &(struct old_node){
            "Resize", 10, "x,s", "y", "1,1,1,2", {1, 2}, {1, 1.5F, 2, 2}, {1, 1, 1, 4}, 4},
        &graph, attrs, 1);
    /* Opset 11 gave empty tensors for what is absent. */
    put_floats(&graph, "none", (const int64_t[]){0}, 1, scales, 0);
    put_ints(&graph, "sizes", (const int64_t[]){1, 1, 1, 4}, 4);
    attrs[0] = attr_text("coordinate_transformation_mode", "asymmetric");
    attrs[1] = attr_text("nearest_mode", "floor");
    check(&(struct old_node){"Resize",
                             11,
                             "x,none,none,sizes",
                             "y",
                             "1,1,1,2",
                             {1, 2},
                             {1, 1, 2, 2},
                             {1, 1, 1, 4},
                             4},
          &graph, attrs, 2);
    const float grid[4] = {-1, 0, 1, 0};
    put_floats(&graph, "g", (const int64_t[]){1, 1, 2, 2}, 4, grid, 4);
    attrs[0] = attr_text("mode", "bilinear");
    attrs[1] = attr_int("align_corners", 1);
    check(
        &(struct old_node){
            "GridSample", 16, "x,g", "y", "1,1,1,2", {1, 2}, {1, 2}, {1, 1, 1, 2}, 4},
        &graph, attrs, 2);
}

static void test_normalisations(void)
{
    message graph = {0};
    message attrs[2];
    const int64_t two[1] = {2};
    const float ones[2] = {1, 1};
    const float zeros[2] = {0, 0};
    put_floats(&graph, "one", two, 1, ones, 2);
    put_floats(&graph, "zero", two, 1, zeros, 2);
    attrs[0] = attr_int("spatial", 1);
    attrs[1] = attr_float("epsilon", 0.0F);
    check(&(struct old_node){"BatchNormalization",
                             7,
                             "x,one,zero,zero,one",
                             "y,m,v",
                             "1,2",
                             {3, 4},
                             {3, 4},
                             {1, 2},
                             2},
          &graph, attrs, 2);
    /* Two groups of two channels: scale and bias of opset 18 are one a group. */
    const float scale[2] = {2, 3};
    const float bias[2] = {0, 1};
    put_floats(&graph, "s", two, 1, scale, 2);
    put_floats(&graph, "b", two, 1, bias, 2);
    attrs[0] = attr_int("num_groups", 2);
    attrs[1] = attr_float("epsilon", 0.0F);
    check(&(struct old_node){"GroupNormalization",
                             18,
                             "x,s,b",
                             "y",
                             "1,4,1",
                             {-1, 1, -1, 1},
                             {-2, 2, -2, 4},
                             {1, 4, 1},
                             3},
          &graph, attrs, 2);
}

static void test_others(void)
{
    message graph = {0};
    message attrs[1];
    const float nine[1] = {9};
    put_ints(&graph, "i", (const int64_t[]){1}, 1);
    put_floats(&graph, "u", (const int64_t[]){1}, 1, nine, 1);
    check(&(struct old_node){"Scatter", 10, "x,i,u", "y", "3", {1, 2, 3}, {1, 9, 3}, {3}, 1},
          &graph, NULL, 0);
    attrs[0] = attr_int("axis", 1);
    check(&(struct old_node){"DFT", 17, "x", "y", "1,2,1", {1, 2}, {3, 0, -1, 0}, {1, 2, 2}, 3},
          &graph, attrs, 1);
}

int main(void)
{
    test_attributes_to_inputs();
    test_softmax();
    test_sampling();
    test_normalisations();
    test_others();
    return TEST_RESULT();
}
