/* fuzz_serve_v2.c - any bytes as a body of the protocol; the first byte says which: j JSON, b JSON
 * with binary tensors (two bytes of length first), p ModelInferRequest, g a request to generate, n
 * a control message, c a model's configuration, s settings as protobuf, t settings and a region as
 * JSON, o a region as protobuf, r reflection, l the elements of an output to classify (type, count
 * and rows first).  What was decoded is encoded again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "replay.h"
#include "serve/model/repository.h"
#include "serve/v2/classify.h"
#include "serve/v2/control.h"
#include "serve/v2/generate.h"
#include "serve/v2/reflection.h"
#include "serve/v2/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct memory {
    struct dyno_v2_memory memory; /* first */
    struct dyno_arena *arena;
    size_t left_bytes;
};

static void *take(struct dyno_v2_memory *memory, size_t bytes)
{
    struct memory *own = (struct memory *)(void *)memory;
    if (bytes > own->left_bytes)
        return NULL;
    own->left_bytes -= bytes;
    return dyno_arena_alloc(own->arena, bytes, 1);
}

static void classify(const struct dyno_v2_tensor *tensor, uint32_t count, bool is_batch,
                     struct memory *memory)
{
    static const char *names[] = {"a", "", "c"};
    const struct dyno_v2_labels labels = {.items = names, .count = DYNO_COUNT(names)};
    struct dyno_v2_tensor classes;
    struct dyno_err err = {0};
    if (dyno_v2_classify(tensor, is_batch, count, &labels, &memory->memory, &classes, &err) !=
        DYNO_OK)
        return;
    if (!dyno_v2_bytes_fit(classes.data, classes.bytes,
                           (uint64_t)(classes.dims[0] * (is_batch ? classes.dims[1] : 1))))
        abort();
}

/* Every byte of every tensor is read, and the tensors are written as outputs. */
static void use(const struct dyno_infer *infer, struct memory *memory)
{
    volatile uint8_t sum = 0;
    struct dyno_arena *arena = memory->arena;
    struct dyno_strbuf out = {0};
    size_t raw_bytes = 0;
    char head[16];
    struct dyno_v2_wanted *wanted =
        dyno_arena_alloc(arena, infer->input_count + 1, sizeof(*wanted));
    struct dyno_v2_tensor *outputs =
        dyno_arena_alloc(arena, infer->input_count + 1, sizeof(*outputs));
    for (size_t i = 0; i < infer->input_count; i++) {
        const struct dyno_v2_tensor *tensor = &infer->inputs[i];
        wanted[i].is_binary = i % 2 != 0;
        outputs[i] = *tensor; /* results are aligned, what lies in a body is not */
        if (tensor->place.region != NULL) {
            outputs[i].bytes = 0;
            continue;
        }
        for (size_t k = 0; k < tensor->bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[k]);
        outputs[i].data = dyno_arena_memdup(arena, tensor->data, tensor->bytes);
        (void)dyno_v2_pb_raw_head(tensor->bytes, head);
        classify(&outputs[i], 3, tensor->rank > 0, memory);
    }
    const struct dyno_infer_answer answer = {.model = "m",
                                             .version = "1",
                                             .id = infer->id,
                                             .variant = "v",
                                             .outputs = outputs,
                                             .wanted = wanted,
                                             .output_count = infer->input_count,
                                             .is_of_stream = true};
    if (dyno_v2_json_encode(&answer, &out, &raw_bytes, NULL) == DYNO_OK &&
        out.bytes > dyno_v2_json_bytes_max(&answer) + 65536 * (1 + answer.output_count))
        abort();
    dyno_strbuf_clear(&out);
    dyno_v2_pb_encode(&answer, &out);
    dyno_strbuf_clear(&out);
    for (size_t i = 0; i < infer->input_count; i++) /* the generate extension has no regions */
        if (infer->inputs[i].place.region != NULL)
            goto out;
    (void)!dyno_v2_generate_encode(&answer, &out, NULL);
out:
    dyno_strbuf_fini(&out);
}

static enum dyno_status generate(const char *data, size_t bytes, struct memory *memory,
                                 struct dyno_infer *infer, struct dyno_err *err)
{
    static const struct dyno_v2_tensor inputs[] = {
        {.name = "x", .dtype = DYNO_F32, .rank = 2, .dims = {-1, 4}},
        {.name = "b", .dtype = DYNO_I8, .rank = 3, .dims = {-1, 1, -1}},
        {.name = "t", .dtype = DYNO_STR, .rank = 1, .dims = {-1}},
        {.name = "k", .dtype = DYNO_U64, .rank = 1, .dims = {2}},
        {.name = "h", .dtype = DYNO_F16, .rank = 1, .dims = {-1}},
        {.name = "o", .dtype = DYNO_BOOL, .rank = 0},
        {.name = "z", .dtype = DYNO_F64, .rank = 2, .dims = {0, -1}},
    };
    return dyno_v2_generate_decode(data, bytes, inputs, DYNO_COUNT(inputs), memory->arena,
                                   &memory->memory, infer, err);
}

static enum dyno_status settings(uint8_t kind, const char *data, size_t bytes,
                                 struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_v2_setting *asked = NULL;
    const char *model = NULL;
    const struct dyno_json *root = NULL;
    struct dyno_v2_region region = {.name = "r"};
    struct dyno_strbuf out = {0};
    struct dyno_json_writer json = {.out = &out, .indent = -1};
    enum dyno_status status = DYNO_OK;
    if (kind == 's') {
        status = dyno_v2_pb_settings(data, bytes, arena, &asked, &model, err);
    } else if (kind == 'o') {
        status = dyno_v2_pb_region(data, bytes, arena, &region, err);
    } else {
        status = dyno_json_parse(data, bytes, arena, &root, err);
        if (status == DYNO_OK && root->kind == DYNO_JSON_OBJECT)
            status = dyno_v2_json_settings(root, arena, &asked, err);
        if (status == DYNO_OK && dyno_v2_json_region(root, &region, NULL) != DYNO_OK)
            region.key = NULL;
    }
    for (; status == DYNO_OK && asked != NULL; asked = asked->next) {
        dyno_v2_json_put_settings(&json, asked, 1);
        dyno_v2_pb_put_settings(&out, asked, 1, kind == 't');
        json = (struct dyno_json_writer){.out = &out, .indent = -1};
    }
    if (status == DYNO_OK && kind != 's' && region.key != NULL) {
        dyno_v2_json_put_region(&json, &region);
        dyno_v2_pb_put_region(&out, &region);
    }
    dyno_strbuf_fini(&out);
    return status;
}

static enum dyno_status reflect(const char *data, size_t bytes, struct dyno_err *err)
{
    struct dyno_strbuf out = {0};
    const enum dyno_status status = dyno_v2_reflect(data, bytes, &out, err);
    if (status == DYNO_OK && (out.bytes < bytes || out.bytes > bytes + 200000))
        abort();
    dyno_strbuf_fini(&out);
    return status;
}

/* Type, count, rows, then elements. */
static void classify_bytes(const char *data, size_t bytes, struct memory *memory)
{
    static const enum dyno_dtype types[] = {DYNO_F32, DYNO_F64, DYNO_F16, DYNO_BF16,
                                            DYNO_I8,  DYNO_U8,  DYNO_I64, DYNO_U64};
    if (bytes < 3)
        return;
    const enum dyno_dtype dtype = types[(uint8_t)data[0] % DYNO_COUNT(types)];
    const int64_t rows = (uint8_t)data[2];
    const size_t item_bytes = dyno_dtype_bits(dtype) / 8;
    const int64_t columns = rows > 0 ? (int64_t)((bytes - 3) / item_bytes) / rows : 3;
    const struct dyno_v2_tensor tensor = {.name = "y",
                                          .dtype = dtype,
                                          .rank = 2,
                                          .dims = {rows, columns},
                                          .data =
                                              dyno_arena_memdup(memory->arena, data + 3, bytes - 3),
                                          .bytes = (size_t)(rows * columns) * item_bytes};
    classify(&tensor, (uint8_t)data[1], true, memory);
    classify(&tensor, (uint8_t)data[1], false, memory);
}

static enum dyno_status decode(uint8_t kind, const char *data, size_t bytes,
                               struct dyno_arena *arena, struct dyno_err *err)
{
    struct memory memory = {
        .memory.take = take, .arena = arena, .left_bytes = (size_t)16 * 1024 * 1024};
    struct dyno_infer infer;
    struct dyno_v2_names names;
    struct dyno_model_config config = {0};
    size_t json_bytes = bytes;
    enum dyno_status status = DYNO_OK;
    switch (kind) {
    case 'n':
        return dyno_v2_pb_names(data, bytes, arena, &names, err);
    case 'c':
        return dyno_model_config_parse(data, bytes, arena, &config, err);
    case 'r':
        return reflect(data, bytes, err);
    case 's':
    case 't':
    case 'o':
        return settings(kind, data, bytes, arena, err);
    case 'l':
        classify_bytes(data, bytes, &memory);
        return DYNO_OK;
    default:
        break;
    }
    if (kind == 'p') {
        status = dyno_v2_pb_decode(data, bytes, arena, &memory.memory, &infer, err);
    } else if (kind == 'g') {
        status = generate(data, bytes, &memory, &infer, err);
    } else {
        if (kind == 'b' && bytes >= 2) {
            json_bytes = (uint8_t)data[0] * 256U + (uint8_t)data[1];
            data += 2;
            bytes -= 2;
        }
        status = dyno_v2_json_decode(data, bytes, json_bytes, arena, &memory.memory, &infer, err);
    }
    if (status == DYNO_OK)
        use(&infer, &memory);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    if (bytes == 0 || arena == NULL) {
        dyno_arena_destroy(arena);
        return 0;
    }
    const char *body = bytes > 1 ? (const char *)data + 1 : NULL; /* as a body of no bytes is */
    const enum dyno_status status = decode(data[0], body, bytes - 1, arena, &err);
    dyno_arena_destroy(arena);
    if ((status != DYNO_OK && err.text[0] == '\0') || dyno_mem_live_count() != 0) {
        (void)fprintf(stderr, "status %d, text '%s', %llu blocks left\n", (int)status, err.text,
                      (unsigned long long)dyno_mem_live_count());
        abort();
    }
    return 0;
}

#ifdef DYNO_FUZZ_REPLAY
int main(int argc, char **argv)
{
    return replay(argc, argv, NULL, LLVMFuzzerTestOneInput);
}
#endif
