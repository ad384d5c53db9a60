/* proto_read.c - what all messages are made of: lists, strings, numbers, pairs. */
#include "onnx/proto_read.h"

#include <string.h>

#define DEPTH_MAX 32 /* graphs inside attributes inside graphs, types inside types */

void *dyno_list_extend(struct dyno_reading *in, struct dyno_list *list, size_t item_bytes,
                       size_t more)
{
    if (more > UINT32_MAX - list->count)
        return NULL;
    if (list->at == NULL || list->count + more > list->capacity) {
        uint64_t capacity = list->capacity < 4 ? 4 : (uint64_t)list->capacity * 2;
        if (capacity < list->count + more)
            capacity = list->count + more;
        if (capacity > UINT32_MAX)
            capacity = UINT32_MAX;
        void *grown = dyno_arena_alloc(in->arena, capacity, item_bytes);
        if (grown == NULL)
            return NULL;
        if (list->at != NULL)
            memcpy(grown, list->at, list->count * item_bytes);
        list->at = grown;
        list->capacity = (uint32_t)capacity;
    }
    void *added = (char *)list->at + list->count * item_bytes;
    list->count += (uint32_t)more;
    return added;
}

enum dyno_status dyno_read_str(struct dyno_reading *in, const struct dyno_pb_field *field,
                               struct dyno_str *str_out)
{
    return dyno_pb_bytes(field, &str_out->text, &str_out->bytes, in->err);
}

enum dyno_status dyno_read_name(struct dyno_reading *in, const struct dyno_pb_field *field,
                                const char **name_out)
{
    struct dyno_str str;
    DYNO_TRY(dyno_read_str(in, field, &str));
    if (str.bytes > 0 && memchr(str.text, '\0', str.bytes) != NULL)
        return DYNO_FAIL(in->err, DYNO_E_FORMAT, "a name holds a NUL byte (field %u)",
                         field->number);
    *name_out = str.bytes == 0 ? "" : dyno_arena_strndup(in->arena, str.text, str.bytes);
    return *name_out != NULL ? DYNO_OK : DYNO_NOMEM(in->err);
}

enum dyno_status dyno_read_name_item(struct dyno_reading *in, const struct dyno_pb_field *field,
                                     struct dyno_list *names)
{
    const char **name = dyno_list_extend(in, names, sizeof(*name), 1);
    if (name == NULL)
        return DYNO_NOMEM(in->err);
    return dyno_read_name(in, field, name);
}

enum dyno_status dyno_read_ints(struct dyno_reading *in, const struct dyno_pb_field *field,
                                struct dyno_list *ints)
{
    size_t count = 0;
    DYNO_TRY(dyno_pb_varints_count(field, &count, in->err));
    uint64_t *at = dyno_list_extend(in, ints, sizeof(*at), count);
    if (at == NULL)
        return DYNO_NOMEM(in->err);
    dyno_pb_varints_read(field, at);
    return DYNO_OK;
}

enum dyno_status dyno_read_floats(struct dyno_reading *in, const struct dyno_pb_field *field,
                                  struct dyno_list *floats)
{
    size_t count = 0;
    DYNO_TRY(dyno_pb_fixed_count(field, sizeof(float), &count, in->err));
    float *at = dyno_list_extend(in, floats, sizeof(*at), count);
    if (at == NULL)
        return DYNO_NOMEM(in->err);
    dyno_pb_fixed_read(field, sizeof(float), at);
    return DYNO_OK;
}

enum dyno_status dyno_read_enter(struct dyno_reading *in, const struct dyno_pb_reader *reader,
                                 const struct dyno_pb_field *field,
                                 struct dyno_pb_reader *nested_out)
{
    if (field->wire != DYNO_PB_LEN)
        return DYNO_FAIL(in->err, DYNO_E_FORMAT, "field %u has wire type %d, wants a message",
                         field->number, (int)field->wire);
    *nested_out = dyno_pb_nested(reader, field);
    return DYNO_OK;
}

enum dyno_status dyno_read_descend(struct dyno_reading *in)
{
    if (in->depth >= DEPTH_MAX)
        return DYNO_FAIL(in->err, DYNO_E_LIMIT, "messages are nested more than %d deep", DEPTH_MAX);
    in->depth++;
    return DYNO_OK;
}

enum dyno_status dyno_read_entry_item(struct dyno_reading *in, const struct dyno_pb_reader *outer,
                                      const struct dyno_pb_field *outer_field,
                                      struct dyno_list *entries)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = false;
    DYNO_TRY(dyno_read_enter(in, outer, outer_field, &reader));
    struct dyno_proto_entry *entry = dyno_list_extend(in, entries, sizeof(*entry), 1);
    if (entry == NULL)
        return DYNO_NOMEM(in->err);
    entry->key = entry->value = "";
    for (;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, in->err));
        if (!more)
            return DYNO_OK;
        if (field.number == 1)
            DYNO_TRY(dyno_read_name(in, &field, &entry->key));
        else if (field.number == 2)
            DYNO_TRY(dyno_read_name(in, &field, &entry->value));
    }
}
