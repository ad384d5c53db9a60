/* proto_read.h - shared by the files that read ONNX's messages, and by nobody else. */
#ifndef DYNO_ONNX_PROTO_READ_H
#define DYNO_ONNX_PROTO_READ_H

#include "base/pbwire.h"
#include "onnx/proto.h"

struct dyno_reading {
    struct dyno_arena *arena;
    struct dyno_err *err;
    int depth;
};

/* An array that grows in the arena. */
struct dyno_list {
    void *at;
    uint32_t count;
    uint32_t capacity;
};

/* Room for `more` items at the end, zeroed; NULL when out of memory. */
void *dyno_list_extend(struct dyno_reading *in, struct dyno_list *list, size_t item_bytes,
                       size_t more);

/* One field; those that take a list append to it. */
enum dyno_status dyno_read_str(struct dyno_reading *in, const struct dyno_pb_field *field,
                               struct dyno_str *str_out);
enum dyno_status dyno_read_name(struct dyno_reading *in, const struct dyno_pb_field *field,
                                const char **name_out);
enum dyno_status dyno_read_name_item(struct dyno_reading *in, const struct dyno_pb_field *field,
                                     struct dyno_list *names);
enum dyno_status dyno_read_ints(struct dyno_reading *in, const struct dyno_pb_field *field,
                                struct dyno_list *ints);
enum dyno_status dyno_read_floats(struct dyno_reading *in, const struct dyno_pb_field *field,
                                  struct dyno_list *floats);
enum dyno_status dyno_read_entry_item(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct dyno_list *entries);

/* A reader of the message in a field; other wire types are refused. */
enum dyno_status dyno_read_enter(struct dyno_reading *in, const struct dyno_pb_reader *reader,
                                 const struct dyno_pb_field *field,
                                 struct dyno_pb_reader *nested_out);
/* One level deeper (depth-- comes back up); too deep is refused. */
enum dyno_status dyno_read_descend(struct dyno_reading *in);

/* Messages. */
enum dyno_status dyno_read_tensor(struct dyno_reading *in, struct dyno_pb_reader reader,
                                  struct dyno_proto_tensor *tensor);
enum dyno_status dyno_read_sparse(struct dyno_reading *in, struct dyno_pb_reader reader,
                                  struct dyno_proto_sparse *sparse);
enum dyno_status dyno_read_type(struct dyno_reading *in, struct dyno_pb_reader reader,
                                struct dyno_proto_type *type);
enum dyno_status dyno_read_value_info(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct dyno_list *infos);

#endif /* DYNO_ONNX_PROTO_READ_H */
