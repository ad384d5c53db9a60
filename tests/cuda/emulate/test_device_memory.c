/* test_device_memory.c - inputs and outputs that lie in the caller's own memory of a GPU, on the
 * emulated one: the same numbers as with memory of the host, and sentences where it cannot be.
 */
#include "backend/cuda/device.h"
#include "backend/cuda/nvrtc.h"
#include "engine/engine.h"
#include "engine/gpu.h"
#include "unit/build/chain.h"

#define SKIPPED 77
#define BATCH   3

static const int64_t dims[4] = {BATCH, 3, 9, 9};
static const int64_t open_dims[2] = {BATCH, 4};

/* An array of the host's, on the GPU. */
struct there {
    const struct dyno_cuda *cuda;
    struct dyno_array array;
};

static struct there put_there(const struct dyno_engine *engine, const struct dyno_array *from)
{
    struct dyno_err err = {0};
    uint64_t address = 0;
    struct there there = {.cuda = engine->gpu->cuda, .array = *from};
    REQUIRE(dyno_cuda_enter(there.cuda, &err) == DYNO_OK);
    REQUIRE(dyno_cuda_alloc(there.cuda, from->bytes, &address, &err) == DYNO_OK);
    REQUIRE(there.cuda->cu->copy_in(address, from->data, from->bytes, NULL) == DYNO_CU_OK);
    REQUIRE(there.cuda->cu->stream_wait(NULL) == DYNO_CU_OK);
    there.array.data = (void *)(uintptr_t)address;
    there.array.location = DYNO_IN_DEVICE;
    return there;
}

static void read_there(const struct there *there, void *to, size_t bytes)
{
    const uint64_t address = (uint64_t)(uintptr_t)there->array.data;
    REQUIRE(there->cuda->cu->copy_out(to, address, bytes, NULL) == DYNO_CU_OK);
    REQUIRE(there->cuda->cu->stream_wait(NULL) == DYNO_CU_OK);
}

static void free_there(const struct there *there)
{
    dyno_cuda_free(there->cuda, (uint64_t)(uintptr_t)there->array.data);
}

static void test_same_numbers(struct dyno_engine *engine, struct dyno_arena *arena)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    float want[BATCH * 7], got[BATCH * 7];
    const struct dyno_array x = chain_array(arena, dims, 4, 1);
    struct dyno_array y = {.data = want, .bytes = sizeof(want)};
    REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
    CHECK_MSG(dyno_context_run(context, &x, &y, &err) == DYNO_OK, "%s", err.text);
    memset(got, 0, sizeof(got));
    const struct there x_there = put_there(engine, &x);
    const struct there y_there = put_there(
        engine, &(struct dyno_array){.data = got, .bytes = sizeof(got), .dtype = DYNO_F32});
    /* By steps, as a graph, and in all four ways in turn. */
    for (int i = 0; i < 8; i++) {
        struct dyno_array out =
            i % 2 != 0 ? y_there.array : (struct dyno_array){.data = got, .bytes = sizeof(got)};
        memset(got, 0, sizeof(got));
        CHECK_MSG(dyno_context_run(context, i / 2 % 2 != 0 ? &x_there.array : &x, &out, &err) ==
                      DYNO_OK,
                  "%s", err.text);
        CHECK(out.rank == 2 && out.dims[0] == BATCH && out.dims[1] == 7);
        CHECK(out.bytes == sizeof(got));
        if (i % 2 != 0)
            read_there(&y_there, got, sizeof(got));
        for (int k = 0; k < BATCH * 7; k++)
            CHECK_MSG(got[k] == want[k], "way %d, element %d", i, k);
    }
    free_there(&x_there);
    free_there(&y_there);
    dyno_context_destroy(context);
}

static void fails(struct dyno_engine *engine, const struct dyno_array *x, struct dyno_array *outs,
                  enum dyno_status status, const char *says)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    REQUIRE(dyno_context_create(engine, NULL, &context, &err) == DYNO_OK);
    CHECK(dyno_context_run(context, x, outs, &err) == status);
    CHECK_MSG(strstr(err.text, says) != NULL, "%s", err.text);
    dyno_context_destroy(context);
}

static void test_where_it_cannot_be(struct dyno_engine *engine, struct dyno_arena *arena)
{
    struct dyno_array x = chain_array(arena, dims, 4, 1);
    struct dyno_array out = {.location = DYNO_IN_DEVICE};
    fails(engine, &x, &out, DYNO_E_ARG, "output 'y': lies in memory of the GPU, and its address");
    x.location = (enum dyno_location)2;
    out = (struct dyno_array){.data = NULL};
    fails(engine, &x, &out, DYNO_E_ARG, "input 'x': there is no location 2");
    /* Room that is too small, and an address that is none of the GPU's. */
    const struct there small =
        put_there(engine, &(struct dyno_array){.data = &out, .bytes = sizeof(float)});
    x.location = DYNO_IN_HOST;
    out = small.array;
    fails(engine, &x, &out, DYNO_E_ARG, "output 'y': room for 4 bytes, needs 84");
    x.location = DYNO_IN_DEVICE;
    out = (struct dyno_array){.data = NULL};
    fails(engine, &x, &out, DYNO_E_IO, "tensor 'x'");
    free_there(&small);
}

/* Of x[N,4] the CPU lists what is positive. */
static void test_steps_of_the_cpu(struct dyno_arena *arena)
{
    struct dyno_err err = {0};
    message model = small_open_net();
    const struct dyno_build_options options = {.device = "cuda"};
    struct dyno_built built = chain_build(&model, options, &err);
    const struct dyno_array x = chain_array(arena, open_dims, 2, 1);
    struct dyno_array outs[3] = {{.data = NULL}};
    const struct there there = put_there(built.engine, &x);
    outs[0] = there.array;
    fails(built.engine, &x, outs, DYNO_E_UNSUPPORTED, "output 'where': step 'list' touches it");
    struct dyno_built of_cpu =
        chain_build(&model, (struct dyno_build_options){.device = "cpu"}, &err);
    outs[0] = (struct dyno_array){.data = NULL};
    fails(of_cpu.engine, &there.array, outs, DYNO_E_ARG,
          "input 'x': lies in memory of a GPU, and the engine is for the CPU");
    free_there(&there);
    dyno_built_fini(&of_cpu);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

int main(void)
{
    struct dyno_err err = {0};
    int version = 0;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    struct dyno_arena *arena = dyno_arena_create();
    message model = small_conv_net();
    struct dyno_built built =
        chain_build(&model, (struct dyno_build_options){.device = "cuda"}, &err);
    test_same_numbers(built.engine, arena);
    test_where_it_cannot_be(built.engine, arena);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    test_steps_of_the_cpu(arena);
    dyno_arena_destroy(arena);
    return TEST_RESULT();
}
