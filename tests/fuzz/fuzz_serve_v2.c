/* fuzz_serve_v2.c - any bytes as a body of the protocol; the first byte says which: j JSON, b JSON
 * with binary tensors (two bytes of length first), p ModelInferRequest, n a control message, c a
 * model's configuration.  What was decoded is encoded again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "replay.h"
#include "serve/model/repository.h"
#include "serve/v2/control.h"

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

/* Every byte of every tensor is read, and the tensors are written as outputs. */
static void use(const struct dyno_infer *infer, struct dyno_arena *arena)
{
    volatile uint8_t sum = 0;
    struct dyno_strbuf out = {0};
    size_t raw_bytes = 0;
    char head[16];
    struct dyno_v2_wanted *wanted =
        dyno_arena_alloc(arena, infer->input_count + 1, sizeof(*wanted));
    struct dyno_v2_tensor *outputs =
        dyno_arena_alloc(arena, infer->input_count + 1, sizeof(*outputs));
    for (size_t i = 0; i < infer->input_count; i++) {
        const struct dyno_v2_tensor *tensor = &infer->inputs[i];
        if (tensor->place.region != NULL)
            goto out;
        for (size_t k = 0; k < tensor->bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)tensor->data)[k]);
        wanted[i].is_binary = i % 2 != 0;
        outputs[i] = *tensor; /* results are aligned, what lies in a body is not */
        outputs[i].data = dyno_arena_memdup(arena, tensor->data, tensor->bytes);
        (void)dyno_v2_pb_raw_head(tensor->bytes, head);
    }
    const struct dyno_infer_answer answer = {.model = "m",
                                             .version = "1",
                                             .id = infer->id,
                                             .variant = "v",
                                             .outputs = outputs,
                                             .wanted = wanted,
                                             .output_count = infer->input_count};
    (void)!dyno_v2_json_encode(&answer, &out, &raw_bytes, NULL);
    dyno_strbuf_clear(&out);
    dyno_v2_pb_encode(&answer, &out);
out:
    dyno_strbuf_fini(&out);
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
    if (kind == 'n')
        return dyno_v2_pb_names(data, bytes, arena, &names, err);
    if (kind == 'c')
        return dyno_model_config_parse(data, bytes, arena, &config, err);
    if (kind == 'p') {
        status = dyno_v2_pb_decode(data, bytes, arena, &memory.memory, &infer, err);
    } else {
        if (kind == 'b' && bytes >= 2) {
            json_bytes = (uint8_t)data[0] * 256U + (uint8_t)data[1];
            data += 2;
            bytes -= 2;
        }
        status = dyno_v2_json_decode(data, bytes, json_bytes, arena, &memory.memory, &infer, err);
    }
    if (status == DYNO_OK)
        use(&infer, arena);
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
    const enum dyno_status status = decode(data[0], (const char *)data + 1, bytes - 1, arena, &err);
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
