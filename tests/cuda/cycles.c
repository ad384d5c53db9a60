/* cycles.c - cycles ENGINE|tiny COUNT: load an engine for a GPU, run it, unload it, COUNT times; is
 * anything left behind?  "tiny": a small network, built here.
 *
 * Another load of it stays open throughout, as in a server: what is counted is an engine's coming
 * and going, not the driver's context.  The first tenth fills what is kept for good.  After it
 * neither this process nor the card may hold more than SLACK_BYTES more at the end; of the card,
 * where it tells and nobody else uses it.
 */
#include <math.h>
#include <sys/stat.h>

#include "unit/build/chain.h"

#define SLACK_BYTES 4194304.0

static double held_bytes(void)
{
    char line[128] = "";
    char *at = NULL;
    FILE *file = fopen("/proc/self/statm", "r");
    REQUIRE(file != NULL && fgets(line, sizeof(line), file) != NULL);
    (void)fclose(file);
    (void)strtol(line, &at, 10); /* pages in all, then those that are there */
    return (double)strtol(at, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

/* Zeros for every input at the profile's optimum. */
static void make_inputs(const struct dyno_engine *engine, struct dyno_arena *arena,
                        struct dyno_array *inputs)
{
    REQUIRE(dyno_engine_input_count(engine) <= 16 && dyno_engine_output_count(engine) <= 64);
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        struct dyno_io_info info;
        int64_t count = 0;
        dyno_engine_input(engine, i, &info);
        inputs[i] = (struct dyno_array){.dtype = info.dtype, .rank = info.rank};
        memcpy(inputs[i].dims, info.opt, sizeof(info.opt));
        REQUIRE(dyno_dims_count(info.opt, info.rank, &count) &&
                dyno_dtype_bytes((enum dyno_dtype)info.dtype, (uint64_t)count, &inputs[i].bytes));
        inputs[i].data = dyno_arena_alloc(arena, inputs[i].bytes + 1, 1);
        REQUIRE(inputs[i].data != NULL);
    }
}

/* Once; what the card holds while the engine is loaded (NAN: it does not tell). */
static double cycle(const char *path)
{
    struct dyno_err err = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    struct dyno_array inputs[16], outputs[64] = {{0}};
    struct dyno_device_facts facts;
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    if (dyno_engine_open(path, &engine, &err) != DYNO_OK ||
        dyno_context_create(engine, NULL, &context, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(EXIT_FAILURE);
    }
    make_inputs(engine, arena, inputs);
    CHECK_MSG(dyno_context_run(context, inputs, outputs, &err) == DYNO_OK, "%s", err.text);
    const bool tells = dyno_engine_device_facts(engine, &facts, NULL) == DYNO_OK;
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    dyno_arena_destroy(arena);
    return tells ? facts.memory_used_bytes : NAN;
}

static void make_file(char *path)
{
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
}

static void build_tiny(char *path)
{
    char model_path[] = "/tmp/dyno-cycles-model-XXXXXX";
    struct dyno_err err = {0};
    struct dyno_built built = {0};
    message model = small_conv_net();
    make_file(model_path);
    make_file(path);
    REQUIRE(dyno_file_write_atomic(model_path, dyno_strbuf_text(&model), model.bytes, &err) ==
            DYNO_OK);
    const struct dyno_build_options options = {
        .device = "cuda", .onnx_path = model_path, .engine_path = path};
    if (dyno_build(&options, &built, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(EXIT_FAILURE);
    }
    (void)unlink(model_path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

int main(int argc, char **argv)
{
    char tiny[] = "/tmp/dyno-cycles-XXXXXX";
    const long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 10) {
        (void)fprintf(stderr, "usage: cycles ENGINE|tiny COUNT (at least 10)\n");
        return 2;
    }
    const bool is_tiny = strcmp(argv[1], "tiny") == 0;
    if (is_tiny)
        build_tiny(tiny);
    struct dyno_err err = {0};
    struct dyno_engine *stays = NULL;
    if (dyno_engine_open(is_tiny ? tiny : argv[1], &stays, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    double held = 0.0, card = 0.0;
    for (long i = 0; i < count; i++) {
        const double used = cycle(is_tiny ? tiny : argv[1]);
        if (i == count / 10) {
            held = held_bytes();
            card = used;
        }
        if (i + 1 == count) {
            printf("%ld cycles: process %.2f -> %.2f MiB, card %.2f -> %.2f MiB\n", count,
                   held / 1048576.0, held_bytes() / 1048576.0, card / 1048576.0, used / 1048576.0);
            CHECK(held_bytes() - held < SLACK_BYTES);
            CHECK(isnan(used) || used - card < SLACK_BYTES);
        }
    }
    dyno_engine_close(stays);
    if (is_tiny)
        (void)unlink(tiny);
    return TEST_RESULT();
}
