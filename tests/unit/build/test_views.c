/* test_views.c - test_views [SEEDS [cuda]]: Concat, Slice, Split and reshapes in place: random
 * graphs against the oracle, on the CPU or on a GPU.
 *
 * Channel counts that are and are not multiples of the block, batches of one and more, fixed and
 * open; the chain decides layouts itself, so both kinds of views must appear among the cases. */
#include "backend/cuda/nvrtc.h"
#include "chain.h"

#define SKIPPED    77
#define VALUES_MAX 48

/* A graph being made of values [N, channels, H, W]. */
struct maker {
    message graph;
    int channels[VALUES_MAX];
    bool used[VALUES_MAX];
    uint32_t count;
    uint32_t serial; /* of constants */
    uint32_t random;
};

static uint32_t kinds_seen[3]; /* of views, by layout */
static uint32_t turned_seen;   /* of views that lie otherwise than their base */

static uint32_t pick(struct maker *maker, uint32_t bound)
{
    maker->random = maker->random * 1664525U + 1013904223U;
    return (maker->random >> 8) % bound;
}

static const char *name_of(uint32_t value)
{
    static char names[4][16];
    static uint32_t turn;
    char *name = names[turn++ % 4];
    (void)snprintf(name, sizeof(names[0]), "v%u", value);
    return name;
}

static uint32_t any_value(struct maker *maker)
{
    const uint32_t value = pick(maker, maker->count);
    maker->used[value] = true;
    return value;
}

static uint32_t new_value(struct maker *maker, int channels)
{
    REQUIRE(maker->count < VALUES_MAX);
    maker->channels[maker->count] = channels;
    maker->used[maker->count] = false;
    return maker->count++;
}

static void add_conv(struct maker *maker)
{
    static const int outs[] = {16, 16, 32, 48, 5, 17, 24, 3};
    static const int64_t pads[4] = {1, 1, 1, 1};
    const uint32_t in = any_value(maker);
    const int channels = outs[pick(maker, DYNO_COUNT(outs))];
    const int64_t size =
        (int64_t)channels * maker->channels[in] * 9 <= 2048 && pick(maker, 2) != 0 ? 3 : 1;
    char weight[16];
    char ins[64];
    if ((int64_t)channels * maker->channels[in] * size * size > 2048)
        return;
    (void)snprintf(weight, sizeof(weight), "w%u", maker->serial++);
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(in), weight);
    put_weight(&maker->graph, weight, channels, maker->channels[in], size, size);
    message attr = size == 3 ? attr_ints("pads", pads, 4) : attr_int("group", 1);
    put_node_attr(&maker->graph, "Conv", weight, ins, name_of(new_value(maker, channels)), attr);
}

static void add_unary(struct maker *maker)
{
    static const char *const ops[] = {"Relu", "Sigmoid", "Tanh", "Neg"};
    const uint32_t in = any_value(maker);
    put_node(&maker->graph, ops[pick(maker, DYNO_COUNT(ops))], "unary", name_of(in),
             name_of(new_value(maker, maker->channels[in])));
}

static void add_pool(struct maker *maker)
{
    static const int64_t three[2] = {3, 3};
    static const int64_t pads[4] = {1, 1, 1, 1};
    const uint32_t in = any_value(maker);
    const uint32_t out = new_value(maker, maker->channels[in]);
    message node = node_of("", "MaxPool", "pool", name_of(in), name_of(out));
    message attr = attr_ints("kernel_shape", three, 2);
    put_message(&node, 5, &attr);
    attr = attr_ints("pads", pads, 4);
    put_message(&node, 5, &attr);
    put_message(&maker->graph, 1, &node);
}

static void add_concat(struct maker *maker)
{
    const uint32_t parts = 2 + pick(maker, 3);
    char ins[80] = "";
    int channels = 0;
    for (uint32_t i = 0; i < parts; i++) {
        const uint32_t in = any_value(maker);
        channels += maker->channels[in];
        (void)snprintf(ins + strlen(ins), sizeof(ins) - strlen(ins), "%s%s", i > 0 ? "," : "",
                       name_of(in));
    }
    put_node_attr(&maker->graph, "Concat", "join", ins, name_of(new_value(maker, channels)),
                  attr_int("axis", pick(maker, 2) != 0 ? 1 : -3));
}

static void add_split(struct maker *maker)
{
    const uint32_t in = any_value(maker);
    const int channels = maker->channels[in];
    if (channels < 3)
        return;
    const int first =
        channels > 16 && pick(maker, 2) != 0 ? 16 : 1 + (int)pick(maker, (uint32_t)channels - 1U);
    const int64_t sizes[2] = {first, channels - first};
    char constant[16];
    char ins[64];
    char outs[64];
    (void)snprintf(constant, sizeof(constant), "k%u", maker->serial++);
    put_i64s(&maker->graph, constant, sizes, 2);
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(in), constant);
    const uint32_t a = new_value(maker, first);
    const uint32_t b = new_value(maker, channels - first);
    (void)snprintf(outs, sizeof(outs), "%s,%s", name_of(a), name_of(b));
    put_node_attr(&maker->graph, "Split", "cut", ins, outs, attr_int("axis", 1));
}

static void add_slice(struct maker *maker)
{
    const uint32_t in = any_value(maker);
    const int channels = maker->channels[in];
    const int start =
        channels > 16 && pick(maker, 2) != 0 ? 16 : (int)pick(maker, (uint32_t)channels);
    const int end = start + 1 + (int)pick(maker, (uint32_t)(channels - start));
    const int64_t numbers[3] = {start, end, 1};
    char names[3][16];
    char ins[96];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%u", maker->serial++);
        put_i64s(&maker->graph, names[i], &numbers[i], 1);
    }
    (void)snprintf(ins, sizeof(ins), "%s,%s,%s,%s", name_of(in), names[0], names[1], names[2]);
    put_node(&maker->graph, "Slice", "range", ins, name_of(new_value(maker, end - start)));
}

/* [N, C, H, W] -> [N, C*H*W] -> back: two reshapes. */
static void add_reshape(struct maker *maker)
{
    const uint32_t in = any_value(maker);
    const int64_t there[2] = {0, -1};
    const int64_t back[4] = {0, maker->channels[in], 6, 5};
    char names[3][16];
    char ins[64];
    for (int i = 0; i < 3; i++)
        (void)snprintf(names[i], sizeof(names[i]), "k%u", maker->serial++);
    put_i64s(&maker->graph, names[0], there, 2);
    put_i64s(&maker->graph, names[1], back, 4);
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(in), names[0]);
    put_node(&maker->graph, "Reshape", "flat", ins, names[2]);
    (void)snprintf(ins, sizeof(ins), "%s,%s", names[2], names[1]);
    put_node(&maker->graph, "Reshape", "unflat", ins,
             name_of(new_value(maker, maker->channels[in])));
}

/* Channels behind the positions, something that is done row by row there, and back. */
static void add_turn(struct maker *maker)
{
    static const int64_t there[4] = {0, 2, 3, 1};
    static const int64_t back[4] = {0, 3, 1, 2};
    const uint32_t in = any_value(maker);
    char names[2][16];
    for (int i = 0; i < 2; i++)
        (void)snprintf(names[i], sizeof(names[i]), "k%u", maker->serial++);
    put_node_attr(&maker->graph, "Transpose", "turn", name_of(in), names[0],
                  attr_ints("perm", there, 4));
    put_node_attr(&maker->graph, "Softmax", "rows", names[0], names[1], attr_int("axis", -1));
    put_node_attr(&maker->graph, "Transpose", "unturn", names[1],
                  name_of(new_value(maker, maker->channels[in])), attr_ints("perm", back, 4));
}

/* Means of channels, done as rows, times the channels. */
static void add_gate(struct maker *maker)
{
    const uint32_t in = any_value(maker);
    const int64_t rows[2] = {0, maker->channels[in]};
    const int64_t back[4] = {0, maker->channels[in], 1, 1};
    char names[6][16];
    char ins[64];
    for (int i = 0; i < 6; i++)
        (void)snprintf(names[i], sizeof(names[i]), "k%u", maker->serial++);
    put_i64s(&maker->graph, names[0], rows, 2);
    put_i64s(&maker->graph, names[1], back, 4);
    put_node(&maker->graph, "GlobalAveragePool", "mean", name_of(in), names[2]);
    (void)snprintf(ins, sizeof(ins), "%s,%s", names[2], names[0]);
    put_node(&maker->graph, "Reshape", "flat", ins, names[3]);
    put_node_attr(&maker->graph, "Softmax", "share", names[3], names[4], attr_int("axis", -1));
    (void)snprintf(ins, sizeof(ins), "%s,%s", names[4], names[1]);
    put_node(&maker->graph, "Reshape", "unflat", ins, names[5]);
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(in), names[5]);
    put_node(&maker->graph, "Mul", "gate", ins, name_of(new_value(maker, maker->channels[in])));
}

static void add_sum(struct maker *maker)
{
    const uint32_t a = any_value(maker);
    char ins[64];
    for (uint32_t tries = 0; tries < 8; tries++) {
        const uint32_t b = pick(maker, maker->count);
        if (maker->channels[a] != maker->channels[b])
            continue;
        maker->used[b] = true;
        (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(a), name_of(b));
        put_node(&maker->graph, "Add", "sum", ins, name_of(new_value(maker, maker->channels[a])));
        return;
    }
}

/* A part is read, is added to what comes of it, and all go into a concatenation: C2f of YOLOv8. */
static void add_block(struct maker *maker)
{
    static const int halves[] = {8, 16, 16, 32, 4, 5};
    const uint32_t in = any_value(maker);
    const int half = halves[pick(maker, DYNO_COUNT(halves))];
    const int64_t sizes[2] = {half, half};
    char constant[16], weights[2][16], ins[96], outs[64];
    if (maker->count + 6 > VALUES_MAX || 2 * half * maker->channels[in] > 2048)
        return;
    for (int i = 0; i < 2; i++)
        (void)snprintf(weights[i], sizeof(weights[i]), "w%u", maker->serial++);
    (void)snprintf(constant, sizeof(constant), "k%u", maker->serial++);
    put_weight(&maker->graph, weights[0], 2 * (int64_t)half, maker->channels[in], 1, 1);
    put_weight(&maker->graph, weights[1], half, half, 1, 1);
    put_i64s(&maker->graph, constant, sizes, 2);
    const uint32_t x = new_value(maker, 2 * half), a = new_value(maker, half);
    const uint32_t b = new_value(maker, half), c = new_value(maker, half);
    const uint32_t sum = new_value(maker, half);
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(in), weights[0]);
    put_node(&maker->graph, "Conv", weights[0], ins, name_of(x));
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(x), constant);
    (void)snprintf(outs, sizeof(outs), "%s,%s", name_of(a), name_of(b));
    put_node_attr(&maker->graph, "Split", "halves", ins, outs, attr_int("axis", 1));
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(b), weights[1]);
    put_node(&maker->graph, "Conv", weights[1], ins, name_of(c));
    (void)snprintf(ins, sizeof(ins), "%s,%s", name_of(c), name_of(b));
    put_node(&maker->graph, "Add", "residual", ins, name_of(sum));
    (void)snprintf(ins, sizeof(ins), "%s,%s,%s", name_of(a), name_of(b), name_of(sum));
    maker->used[a] = maker->used[b] = maker->used[c] = maker->used[sum] = true;
    maker->used[x] = true;
    put_node_attr(&maker->graph, "Concat", "join", ins, name_of(new_value(maker, 3 * half)),
                  attr_int("axis", 1));
}

/* What nobody reads is an output; now and then something that is read, too. */
static message random_model(struct maker *maker, bool open_batch, int64_t batch)
{
    static void (*const adders[])(struct maker *) = {
        add_conv,  add_conv,  add_unary,   add_pool, add_concat, add_concat, add_split,
        add_slice, add_slice, add_reshape, add_sum,  add_block,  add_turn,   add_gate};
    char dims[32];
    const int channels = 1 + (int)pick(maker, 20);
    if (open_batch)
        (void)snprintf(dims, sizeof(dims), "N,%d,6,5", channels);
    else
        (void)snprintf(dims, sizeof(dims), "%d,%d,6,5", (int)batch, channels);
    put_input(&maker->graph, "v0", DYNO_F32, dims);
    (void)new_value(maker, channels);
    const uint32_t ops = 4 + pick(maker, 12);
    add_conv(maker);
    for (uint32_t i = 0; i < ops && maker->count < VALUES_MAX - 2; i++)
        adders[pick(maker, DYNO_COUNT(adders))](maker);
    for (uint32_t v = 1; v < maker->count; v++) {
        if (!maker->used[v] || pick(maker, 8) == 0)
            put_output(&maker->graph, name_of(v), DYNO_F32, NULL);
    }
    return model_of(&maker->graph, 17);
}

static void count_views(const struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        const uint32_t base = plan->tensors[i].base;
        if (base == DYNO_NO_TENSOR)
            continue;
        kinds_seen[plan->tensors[i].layout.kind]++;
        turned_seen += plan->tensors[base].layout.kind != plan->tensors[i].layout.kind;
    }
}

static void run_case(uint32_t seed, const message *model, const struct dyno_built *built,
                     int64_t batch, int channels, struct dyno_pool *pool, const char *what,
                     double error_max)
{
    struct dyno_err err = {0};
    struct dyno_array outputs[VALUES_MAX] = {{.data = NULL}};
    struct dyno_context *context = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    const int64_t dims[4] = {batch, channels, 6, 5};
    const struct dyno_array input = chain_array(arena, dims, 4, seed + (uint32_t)batch);
    const struct dyno_tensor *want = chain_oracle(model, &input, arena);
    REQUIRE(dyno_context_create(built->engine, pool, &context, &err) == DYNO_OK);
    CHECK_MSG(dyno_context_run(context, &input, outputs, &err) == DYNO_OK, "seed %u, %s: %s", seed,
              what, err.text);
    for (uint32_t i = 0; i < dyno_engine_output_count(built->engine) && err.text[0] == 0; i++) {
        struct dyno_io_info info;
        dyno_engine_output(built->engine, i, &info);
        const double error = chain_error(&outputs[i], &want[i]);
        CHECK_MSG(error < error_max, "seed %u, %s, batch %lld, output %s: error %g", seed, what,
                  (long long)batch, info.name, error);
    }
    dyno_context_destroy(context);
    dyno_arena_destroy(arena);
}

struct way {
    const char *what;
    struct dyno_build_options options;
    double error_max;
};

static void test_seed(uint32_t seed, const struct way *ways, size_t way_count,
                      struct dyno_pool *pool)
{
    const bool open_batch = seed % 3 == 0;
    const int64_t batch = 1 + seed % 4;
    struct maker maker = {.random = seed * 77 + 5};
    message model = random_model(&maker, open_batch, batch);
    for (size_t w = 0; w < way_count; w++) {
        struct dyno_err err = {0};
        struct dyno_build_options options = ways[w].options;
        options.pool = pool;
        struct dyno_built built = chain_build(&model, options, &err);
        count_views(built.engine->plan);
        run_case(seed, &model, &built, batch, maker.channels[0], pool, ways[w].what,
                 ways[w].error_max);
        if (open_batch)
            run_case(seed, &model, &built, batch + 2, maker.channels[0], NULL, ways[w].what,
                     ways[w].error_max);
        dyno_built_fini(&built);
    }
    dyno_strbuf_fini(&model);
}

int main(int argc, char **argv)
{
    static const struct way on_cpu[] = {
        {"all instruction sets", {.isa_mask = 0}, 1e-4},
        {"AVX2", {.isa_mask = DYNO_ISA_AVX2}, 1e-4},
        {"portable", {.isa_mask = UINT64_C(1) << 63}, 1e-4},
        {"baseline", {.baseline = true}, 1e-4},
    };
    static const struct way on_gpu[] = {
        {"f32", {.device = "cuda"}, 1e-4},
        {"f16", {.device = "cuda", .precisions = DYNO_PRECISION_F16}, 2e-2},
    };
    struct dyno_pool *pool = NULL;
    struct dyno_err err = {0};
    int version = 0;
    const uint32_t seeds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 150;
    const bool gpu = argc > 2;
    if (gpu && dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    REQUIRE(dyno_threads_create(2, 0, &pool, NULL) == DYNO_OK);
    for (uint32_t seed = 1; seed <= seeds; seed++)
        test_seed(seed, gpu ? on_gpu : on_cpu, gpu ? DYNO_COUNT(on_gpu) : DYNO_COUNT(on_cpu), pool);
    dyno_threads_destroy(pool);
    printf("views: %u row-major, %u blocked, %u channels last, %u in another layout\n",
           kinds_seen[DYNO_LAYOUT_ROW], kinds_seen[DYNO_LAYOUT_BLOCK], kinds_seen[DYNO_LAYOUT_LAST],
           turned_seen);
    CHECK(turned_seen > seeds / 10);
    CHECK(kinds_seen[DYNO_LAYOUT_ROW] > (gpu ? 2 : 20));
    CHECK(kinds_seen[gpu ? DYNO_LAYOUT_LAST : DYNO_LAYOUT_BLOCK] > (gpu ? seeds : 20));
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
