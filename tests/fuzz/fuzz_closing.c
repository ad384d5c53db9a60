/* fuzz_closing.c - any bytes as a closing, a final invoice, and a table of devices; the first byte
 * says which (c, i, f).  Built as fuzz_onnx.c is.
 *
 * A closing or table that is accepted is printed, and read again, as the same text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/closing.h"
#include "meter/cert/factor.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void want_same(const struct dyno_strbuf *a, const struct dyno_strbuf *b)
{
    if (!dyno_strbuf_ok(a) || !dyno_strbuf_ok(b) ||
        strcmp(dyno_strbuf_text(a), dyno_strbuf_text(b)) != 0)
        abort();
}

static enum dyno_status try_closing(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_err *err)
{
    struct dyno_closing closing;
    struct dyno_strbuf first = {0};
    struct dyno_strbuf second = {0};
    DYNO_TRY(dyno_closing_parse(text, bytes, arena, &closing, err));
    dyno_closing_print(&closing, &first);
    if (dyno_closing_parse(dyno_strbuf_text(&first), first.bytes, arena, &closing, err) != DYNO_OK)
        abort();
    dyno_closing_print(&closing, &second);
    want_same(&first, &second);
    dyno_strbuf_fini(&first);
    dyno_strbuf_fini(&second);
    return DYNO_OK;
}

static enum dyno_status try_invoice(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_err *err)
{
    struct dyno_invoice_claim claim;
    return dyno_invoice_claim_parse(text, bytes, arena, &claim, err);
}

static enum dyno_status try_factors(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_err *err)
{
    struct dyno_factors factors;
    struct dyno_strbuf first = {0};
    struct dyno_strbuf second = {0};
    DYNO_TRY(dyno_factors_parse(text, bytes, arena, &factors, err));
    dyno_factors_print(&factors, &first);
    if (dyno_factors_parse(dyno_strbuf_text(&first), first.bytes, arena, &factors, err) != DYNO_OK)
        abort();
    dyno_factors_print(&factors, &second);
    want_same(&first, &second);
    dyno_strbuf_fini(&first);
    dyno_strbuf_fini(&second);
    return DYNO_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct {
        char letter;
        enum dyno_status (*fn)(const char *text, size_t bytes, struct dyno_arena *arena,
                               struct dyno_err *err);
    } rows[] = {{'c', try_closing}, {'i', try_invoice}, {'f', try_factors}};
    struct dyno_err err = {0};
    enum dyno_status status = DYNO_OK;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        abort();
    for (size_t i = 0; i < DYNO_COUNT(rows) && bytes > 0; i++)
        if (rows[i].letter == (char)data[0])
            status = rows[i].fn((const char *)data + 1, bytes - 1, arena, &err);
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
