/* pb_part.c - the pieces that protobuf messages are made of. */
#include "serve/v2/pb_part.h"

#include "base/utf8.h"

enum dyno_status dyno_v2_pb_text(const struct dyno_pb_field *field, struct dyno_arena *arena,
                                 const char **text_out, struct dyno_err *err)
{
    const char *text = NULL;
    size_t bytes = 0;
    DYNO_TRY(dyno_pb_bytes(field, &text, &bytes, err));
    if (bytes > DYNO_V2_TEXT_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a name or text of more than %d bytes",
                         DYNO_V2_TEXT_BYTES_MAX);
    for (size_t at = 0; at < bytes;) {
        const size_t length = text[at] != 0 ? dyno_utf8_next(text + at, bytes - at) : 0;
        if (length == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "a name or text holds a zero byte or is not UTF-8");
        at += length;
    }
    *text_out = dyno_arena_strndup(arena, text, bytes);
    return *text_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

void dyno_v2_pb_put_message(struct dyno_strbuf *out, uint32_t number, struct dyno_strbuf *message)
{
    if (!dyno_strbuf_ok(message))
        out->failed = true;
    dyno_pb_put_bytes(out, number, dyno_strbuf_text(message), message->bytes);
    dyno_strbuf_fini(message);
}
