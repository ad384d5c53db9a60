/* small_models.h - a few ONNX models of some nodes each, for tests of the whole chain.
 *
 * Bytes of a model; the caller calls dyno_strbuf_fini.  Weights are small and all different.
 */
#ifndef DYNO_TESTS_SMALL_MODELS_H
#define DYNO_TESTS_SMALL_MODELS_H

#include "unit/onnx/model.h"

static inline message small_weight(const char *name, const int64_t *dims, size_t rank)
{
    float values[2048];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    if (count > DYNO_COUNT(values))
        abort();
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((i * 37 + count) % 23) / 32.0F - 0.34F;
    return tensor_raw(name, DYNO_F32, dims, rank, values, count * sizeof(float));
}

static inline void put_weight(message *graph, const char *name, int64_t d0, int64_t d1, int64_t d2,
                              int64_t d3)
{
    const int64_t dims[4] = {d0, d1, d2, d3};
    size_t rank = 4;
    while (rank > 1 && dims[rank - 1] == 0)
        rank--;
    put_init(graph, small_weight(name, dims, rank));
}

static inline void put_i64s(message *graph, const char *name, const int64_t *values, size_t count)
{
    const int64_t dims[1] = {(int64_t)count};
    put_init(graph, tensor_raw(name, DYNO_I64, dims, 1, values, count * sizeof(*values)));
}

/* x[N,3,9,9]: convolutions, a split, a concat, a residual, pools, a product -> y[N,7]. */
static inline message small_conv_net(void)
{
    static const int64_t pads[4] = {1, 1, 1, 1};
    static const int64_t two[2] = {2, 2};
    static const int64_t halves[2] = {8, 8};
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "N,3,9,9");
    put_output(&graph, "y", DYNO_F32, "N,7");
    put_weight(&graph, "w0", 16, 3, 3, 3);
    put_weight(&graph, "b0", 16, 0, 0, 0);
    put_weight(&graph, "w1", 8, 8, 1, 1);
    put_weight(&graph, "w2", 8, 8, 3, 3);
    put_weight(&graph, "m", 16, 7, 0, 0);
    put_weight(&graph, "c", 7, 0, 0, 0);
    put_i64s(&graph, "halves", halves, 2);
    put_node_attr(&graph, "Conv", "stem", "x,w0,b0", "s", attr_ints("pads", pads, 4));
    put_node(&graph, "Relu", "act", "s", "r");
    put_node_attr(&graph, "Split", "split", "r,halves", "p,q", attr_int("axis", 1));
    put_node(&graph, "Conv", "left", "p,w1", "l");
    put_node_attr(&graph, "Conv", "right", "q,w2", "t", attr_ints("pads", pads, 4));
    put_node(&graph, "Add", "residual", "t,q", "u");
    put_node_attr(&graph, "Concat", "join", "l,u", "j", attr_int("axis", 1));
    message pool = node_of("", "MaxPool", "pool", "j", "k");
    message attr = attr_ints("kernel_shape", two, 2);
    put_message(&pool, 5, &attr);
    attr = attr_ints("strides", two, 2);
    put_message(&pool, 5, &attr);
    put_message(&graph, 1, &pool);
    put_node(&graph, "GlobalAveragePool", "mean", "k", "g");
    put_node(&graph, "Flatten", "flat", "g", "f");
    put_node(&graph, "Gemm", "head", "f,m,c", "y");
    return model_of(&graph, 17);
}

/* x[B,S,16]: shapes computed while running, two heads of products, softmax, normalised -> y. */
static inline message small_token_net(void)
{
    static const int64_t split[2] = {2, 8};
    static const int64_t order[4] = {0, 2, 1, 3};
    static const int64_t all[1] = {16};
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "B,S,16");
    put_output(&graph, "y", DYNO_F32, "B,S,16");
    put_weight(&graph, "wq", 16, 16, 0, 0);
    put_weight(&graph, "wk", 16, 16, 0, 0);
    put_weight(&graph, "gain", 16, 0, 0, 0);
    put_weight(&graph, "bias", 16, 0, 0, 0);
    put_i64s(&graph, "heads", split, 2);
    put_i64s(&graph, "width", all, 1);
    put_node(&graph, "Shape", "shape", "x", "sizes");
    const int64_t ends[3] = {0, 2, 0};
    put_i64s(&graph, "zero", ends, 1);
    put_i64s(&graph, "two", ends + 1, 1);
    put_node(&graph, "Slice", "leading", "sizes,zero,two,zero", "bs");
    put_node_attr(&graph, "Concat", "target", "bs,heads", "to", attr_int("axis", 0));
    put_node_attr(&graph, "Concat", "back", "bs,width", "from", attr_int("axis", 0));
    put_node(&graph, "MatMul", "query", "x,wq", "q0");
    put_node(&graph, "MatMul", "key", "x,wk", "k0");
    put_node(&graph, "Reshape", "q_split", "q0,to", "q1");
    put_node(&graph, "Reshape", "k_split", "k0,to", "k1");
    put_node_attr(&graph, "Transpose", "q_turn", "q1", "q2", attr_ints("perm", order, 4));
    static const int64_t turned[4] = {0, 2, 3, 1};
    put_node_attr(&graph, "Transpose", "k_turn", "k1", "k2", attr_ints("perm", turned, 4));
    put_node(&graph, "MatMul", "scores", "q2,k2", "s");
    put_node_attr(&graph, "Softmax", "soft", "s", "p", attr_int("axis", -1));
    put_node(&graph, "MatMul", "mix", "p,q2", "o");
    put_node_attr(&graph, "Transpose", "o_turn", "o", "o1", attr_ints("perm", order, 4));
    put_node(&graph, "Reshape", "merge", "o1,from", "o2");
    put_node(&graph, "Add", "residual", "o2,x", "h");
    put_node_attr(&graph, "LayerNormalization", "norm", "h,gain,bias", "y", attr_int("axis", -1));
    return model_of(&graph, 17);
}

/* x[N,4]: what is positive, where: shapes that only the run tells. */
static inline message small_open_net(void)
{
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "N,4");
    put_output(&graph, "where", DYNO_I64, "2,K");
    put_output(&graph, "y", DYNO_F32, "N,4");
    put_output(&graph, "pairs", DYNO_I64, "K,2");
    const float zero[1] = {0.0F};
    put_init(&graph, tensor_raw("zero", DYNO_F32, NULL, 0, zero, sizeof(zero)));
    put_node(&graph, "Relu", "act", "x", "y");
    put_node(&graph, "Greater", "test", "y,zero", "mask");
    put_node(&graph, "NonZero", "list", "mask", "where");
    static const int64_t turned[2] = {1, 0};
    put_node_attr(&graph, "Transpose", "turn", "where", "pairs", attr_ints("perm", turned, 2));
    return model_of(&graph, 17);
}

#endif /* DYNO_TESTS_SMALL_MODELS_H */
