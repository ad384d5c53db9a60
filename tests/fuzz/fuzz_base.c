/* fuzz_base.c - any bytes as a .npy file, as JSON, as an expression and as protobuf fields; the
 * first byte says which.  Built as fuzz_onnx.c is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/expr.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/pbwire.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static enum dyno_status read_expr(const char *text, size_t bytes, struct dyno_err *err)
{
    struct dyno_exprs *pool = dyno_exprs_create();
    dyno_expr e = DYNO_EXPR_NONE;
    if (pool == NULL)
        abort();
    const enum dyno_status status = dyno_expr_parse(pool, text, bytes, &e, err);
    struct dyno_strbuf out = {0};
    dyno_expr_print(pool, e, &out);
    dyno_strbuf_fini(&out);
    dyno_exprs_destroy(pool);
    return status;
}

static enum dyno_status read_fields(const void *data, size_t bytes, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    enum dyno_status status = DYNO_OK;
    size_t count = 0;
    dyno_pb_init(&reader, data, bytes);
    for (bool more = true; more && status == DYNO_OK;)
        status = dyno_pb_next(&reader, &field, &more, err);
    if (status == DYNO_OK && bytes != 0)
        (void)dyno_pb_varints_count(
            &(struct dyno_pb_field){
                .number = 1, .wire = DYNO_PB_LEN, .data = reader.start, .bytes = bytes},
            &count, NULL);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tensor tensor;
    const struct dyno_json *root = NULL;
    enum dyno_status status = DYNO_OK;
    if (bytes == 0 || arena == NULL) {
        dyno_arena_destroy(arena);
        return 0;
    }
    const char *rest = (const char *)data + 1;
    if (data[0] == 'n')
        status = dyno_npy_parse(rest, bytes - 1, arena, &tensor, &err);
    else if (data[0] == 'j')
        status = dyno_json_parse(rest, bytes - 1, arena, &root, &err);
    else if (data[0] == 'e')
        status = read_expr(rest, bytes - 1, &err);
    else
        status = read_fields(rest, bytes - 1, &err);
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
