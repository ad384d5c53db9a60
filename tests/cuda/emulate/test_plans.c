/* test_plans.c - test_plans [COUNT]: engines whose steps run plans of cuDNN's, with other
 * parameters and other texts, on the emulated GPU: a result or a sentence, and a GPU that goes on.
 */
#include "backend/cuda/cudnn_conv.h"
#include "backend/cuda/nvrtc.h"
#include "engine/engine.h"
#include "engine/format.h"
#include "engine_inputs.h"
#include "unit/build/chain.h"

#define SKIPPED    77
#define ARRAYS_MAX 16
#define TEXT_AT    256 /* of the packed form: behind what the plan is for */

static uint32_t ran_count, refused_count, step_count;

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Another digit in the place of one, or another sign anywhere. */
static void change_text(char *text, size_t bytes, uint32_t *state)
{
    static const char signs[] = "0123456789-,:[]{}\"x";
    const bool of_digits = next(state) % 2 == 0;
    size_t at = next(state) % bytes;
    for (size_t i = 0; of_digits && i < bytes && (text[at] < '0' || text[at] > '9'); i++)
        at = (at + 1) % bytes;
    text[at] = of_digits ? (char)('0' + next(state) % 10) : signs[next(state) % sizeof(signs)];
}

static void change_step(struct dyno_plan *plan, struct dyno_step *step, uint32_t *state)
{
    char *packed = dyno_arena_memdup(plan->arena, step->packed, (size_t)step->tactic.packed_bytes);
    REQUIRE(packed != NULL);
    step->packed = packed;
    switch (next(state) % 4) {
    case 0:
        step->tactic.cfg[next(state) % DYNO_TACTIC_CFGS] ^= 1U << next(state) % 32;
        break;
    case 1:
        packed[next(state) % sizeof(struct dyno_cudnn_conv)] ^= (char)(1U << next(state) % 8);
        break;
    default:
        change_text(packed + TEXT_AT, strlen(packed + TEXT_AT), state);
        break;
    }
}

static void change(struct dyno_plan *plan, uint32_t seed)
{
    uint32_t state = seed * 2654435761U + 7U;
    step_count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct dyno_kernel *kernel = dyno_kernel_find(plan->steps[i].tactic.kernel);
        if (kernel->library != DYNO_LIBRARY_cudnn)
            continue;
        step_count++;
        if (seed != 0 && next(&state) % 2 == 0)
            change_step(plan, &plan->steps[i], &state);
    }
}

static enum dyno_status run(struct dyno_engine *engine, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[ARRAYS_MAX] = {{0}};
    struct dyno_array outputs[ARRAYS_MAX] = {{0}};
    enum dyno_status status = dyno_context_create(engine, NULL, &context, err);
    if (status == DYNO_OK && engine_inputs_make(engine, 0, inputs)) {
        for (int i = 0; i < 3 && status == DYNO_OK; i++) /* by steps, as a graph, again */
            status = dyno_context_run(context, inputs, outputs, err);
        ran_count += status == DYNO_OK;
    }
    dyno_context_destroy(context);
    for (int i = 0; i < ARRAYS_MAX; i++)
        free(inputs[i].data);
    return status;
}

static void try_engine(const struct dyno_file_map *map, uint32_t seed)
{
    struct dyno_err err = {0};
    struct dyno_plan *plan = NULL;
    struct dyno_engine *engine = NULL;
    struct dyno_target here;
    char warning[512];
    dyno_target_detect(&here, NULL);
    enum dyno_status status =
        dyno_engine_read(map->data, map->bytes, &here, &plan, warning, sizeof(warning), &err);
    REQUIRE(status == DYNO_OK);
    change(plan, seed);
    status = dyno_engine_from_plan(plan, &engine, &err);
    if (status == DYNO_OK)
        status = run(engine, &err);
    dyno_engine_close(engine);
    refused_count += status != DYNO_OK;
    CHECK_MSG(status == DYNO_OK || (err.status == status && err.text[0] != 0),
              "change %u: no sentence", seed);
    CHECK_MSG(status != DYNO_E_IO || strstr(err.text, "cuDNN") != NULL, "change %u: %s", seed,
              err.text);
}

/* A file, as a plan that was read borrows from its bytes. */
static void make_engine(uint32_t precisions, struct dyno_file_map *map_out)
{
    char path[] = "/tmp/dyno-test-cudnn-XXXXXX";
    struct dyno_err err = {0};
    const int64_t dims[4] = {2, 3, 9, 9};
    struct dyno_profile_input profile = {.name = "x", .rank = 4};
    memcpy(profile.min, dims, sizeof(dims));
    memcpy(profile.opt, dims, sizeof(dims));
    memcpy(profile.max, dims, sizeof(dims));
    const struct dyno_build_options options = {
        .device = "cuda", .precisions = precisions, .profile = &profile, .profile_count = 1};
    message model = small_conv_net();
    struct dyno_built built = chain_build(&model, options, &err);
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    REQUIRE(dyno_engine_write(built.engine->plan, &built.report.target, path, &err) == DYNO_OK);
    REQUIRE(dyno_file_map(path, map_out, &err) == DYNO_OK);
    (void)unlink(path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
}

static const struct dyno_cudnn_conv conv = {.elem = DYNO_F16,
                                            .last = 1,
                                            .batch = 1,
                                            .c = 8,
                                            .h = 4,
                                            .w = 4,
                                            .m = 8,
                                            .oh = 4,
                                            .ow = 4,
                                            .groups = 1,
                                            .kh = 1,
                                            .kw = 1,
                                            .sh = 1,
                                            .sw = 1,
                                            .dh = 1,
                                            .dw = 1};

/* Other sizes are put into a text; another window is another step's. */
static void check_sizes(const struct dyno_cudnn_session *session, const char *json, size_t bytes)
{
    struct dyno_err err = {0};
    struct dyno_cudnn_plan plan;
    struct dyno_cudnn_conv larger = conv;
    larger.batch = 3;
    larger.h = larger.oh = 5;
    CHECK(dyno_cudnn_plan_make(session, &larger, json, bytes, &plan, &err) == DYNO_OK);
    dyno_cudnn_plan_drop(session, &plan);
    larger.sh = 2;
    CHECK(dyno_cudnn_plan_make(session, &larger, json, bytes, &plan, &err) == DYNO_E_FORMAT);
    CHECK_MSG(strcmp(err.text, "the plan for cuDNN: its tensors or its window are not those of the "
                               "step") == 0,
              "%s", err.text);
}

/* Texts that are none, or of other tensors. */
static void check_refused(const struct dyno_cudnn_session *session)
{
    struct dyno_err err = {0};
    struct dyno_cudnn_plan plan;
    static const char *const none[] = {
        "{\"operationGraph\":{\"tensors\":[],\"nodes\":[{\"pad\":[0,0],\"stride\":[1,1],"
        "\"dilation\":[1,1]}]}}",
        "{\"operationGraph\":{\"tensors\":[{\"name\":\"4\",\"isVirtual\":false,\"dim\":[1,1,1,1],"
        "\"stride\":[1,1,1,1],\"dataType\":\"CUDNN_DATA_HALF\"}],\"nodes\":[{\"pad\":[0,0],"
        "\"stride\":[1,1],\"dilation\":[1,1]}]}}",
        "{\"operationGraph\":{\"tensors\":[{\"name\":\"1\",\"isVirtual\":true,\"dim\":[1,1,1,1],"
        "\"stride\":[1,1,1,1]}],\"nodes\":[{\"pad\":[0,0],\"stride\":[1,1],\"dilation\":[1,1]}]}}",
    };
    for (size_t i = 0; i < DYNO_COUNT(none); i++)
        CHECK(dyno_cudnn_plan_make(session, &conv, none[i], strlen(none[i]), &plan, &err) ==
              DYNO_E_FORMAT);
    static const char virtual
        [] = "{\"operationGraph\":{\"tensors\":[{\"name\":\"6\",\"isVirtual\":true,\"dim\":[9,9,9,9],"
             "\"stride\":[1,1,1,1]}],\"nodes\":[{\"pad\":[0,0],\"stride\":[1,1],\"dilation\":[1,1]}]}}";
    err = (struct dyno_err){0};
    CHECK(dyno_cudnn_plan_make(session, &conv, virtual, strlen(virtual), &plan, &err) == DYNO_E_IO);
    CHECK_MSG(strcmp(err.text,
                     "cuDNN failed to make the plan: CUDNN_STATUS_BAD_PARAM (2000: this is "
                     "no plan)") == 0,
              "%s", err.text);
}

/* In f32 what rounds to TF32 is left out; a framework that does not measure takes the first. */
static void check_f32(struct dyno_cudnn_session *session)
{
    struct dyno_err err = {0};
    const struct dyno_cudnn_choice *choices = NULL;
    struct dyno_cudnn_conv larger = conv;
    int count = 0;
    larger.batch = 3;
    larger.h = larger.oh = 5;
    larger.elem = DYNO_F32;
    REQUIRE(dyno_cudnn_conv_choices(session, &larger, &choices, &count, &err) == DYNO_OK);
    CHECK(count == 2 && choices[0].engine == 5 && choices[0].is_winograd && choices[1].engine == 4);
    larger.eager = 1;
    REQUIRE(dyno_cudnn_conv_choices(session, &larger, &choices, &count, &err) == DYNO_OK);
    CHECK(count == 1 && choices[0].engine == 5);
}

static void check_texts(void)
{
    struct dyno_cuda *cuda = NULL;
    struct dyno_err err = {0};
    void *opaque = NULL;
    const struct dyno_cudnn_choice *choices = NULL;
    struct dyno_cudnn_plan plan;
    int count = 0;
    REQUIRE(dyno_cuda_open(0, &cuda, &err) == DYNO_OK);
    struct dyno_cuda_libraries *libraries = dyno_cuda_libraries_create(cuda, NULL);
    REQUIRE(dyno_cuda_libraries_get(libraries, DYNO_LIBRARY_cudnn, &opaque, &err) == DYNO_OK);
    struct dyno_cudnn_session *session = opaque;
    REQUIRE(dyno_cudnn_conv_choices(session, &conv, &choices, &count, &err) == DYNO_OK);
    REQUIRE(count == 2); /* tensor cores, and the one with a workspace */
    CHECK(choices[0].engine == 7 && choices[1].engine == 4 && choices[1].workspace_bytes == 1000);
    const char *json = choices[1].json;
    const size_t bytes = choices[1].json_bytes;
    CHECK(dyno_cudnn_plan_make(session, &conv, json, bytes, &plan, &err) == DYNO_OK);
    CHECK(plan.plan != NULL && plan.workspace_bytes == 1000);
    dyno_cudnn_plan_drop(session, &plan);
    for (size_t n = 0; n < bytes; n++)
        CHECK(dyno_cudnn_plan_make(session, &conv, json, n, &plan, &err) == DYNO_E_FORMAT);
    check_sizes(session, json, bytes);
    check_refused(session);
    check_f32(session);
    dyno_cuda_libraries_destroy(libraries);
    dyno_cuda_close(cuda);
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    struct dyno_file_map maps[2];
    int version = 0;
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        printf("skipped: %s\n", err.text);
        return SKIPPED;
    }
    check_texts();
    make_engine(DYNO_PRECISION_F16, &maps[0]);
    make_engine(0, &maps[1]);
    for (int i = 0; i < 2; i++) {
        try_engine(&maps[i], 0);
        CHECK_MSG(step_count >= 2, "%u steps", step_count);
    }
    CHECK(ran_count == 2 && refused_count == 0);
    for (uint32_t seed = 1; seed <= count; seed++)
        try_engine(&maps[seed % 2], seed);
    printf("%u changes: %u runs, %u refused\n", count, ran_count, refused_count);
    CHECK(ran_count > count / 10 && refused_count > count / 10);
    ran_count = 0;
    try_engine(&maps[0], 0);
    CHECK(ran_count == 1);
    dyno_file_unmap(&maps[0]);
    dyno_file_unmap(&maps[1]);
    return TEST_RESULT();
}
