/* pb_part.h - the pieces that protobuf messages are made of.  Inside v2 only. */
#ifndef DYNO_SERVE_V2_PB_PART_H
#define DYNO_SERVE_V2_PB_PART_H

#include "base/pbwire.h"
#include "serve/v2/infer.h"

/* A field of type string into the arena.  E_FORMAT: another wire type, a zero byte, not UTF-8;
 * E_LIMIT: more than DYNO_V2_TEXT_BYTES_MAX. */
enum dyno_status dyno_v2_pb_text(const struct dyno_pb_field *field, struct dyno_arena *arena,
                                 const char **text_out, struct dyno_err *err);

/* A nested message that was written aside, which is emptied; for calls that are rare. */
void dyno_v2_pb_put_message(struct dyno_strbuf *out, uint32_t number, struct dyno_strbuf *message);

#endif /* DYNO_SERVE_V2_PB_PART_H */
