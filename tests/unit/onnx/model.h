/* model.h - ONNX models written field by field, for the importer's tests.
 *
 * A message is a strbuf; helpers append one field or one sub-message (which they consume).
 */
#ifndef DYNO_TESTS_UNIT_ONNX_MODEL_H
#define DYNO_TESTS_UNIT_ONNX_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "base/pbwire.h"
#include "onnx/import.h"

typedef struct dyno_strbuf message;

static inline void put_message(message *out, uint32_t number, message *sub)
{
    dyno_pb_put_bytes(out, number, dyno_strbuf_text(sub), sub->bytes);
    dyno_strbuf_fini(sub);
}

/* Each name of the comma-separated list as one field; "-" stands for an empty name. */
static inline void put_names(message *out, uint32_t number, const char *names)
{
    while (names[0] != '\0') {
        const size_t bytes = strcspn(names, ",");
        dyno_pb_put_bytes(out, number, names, bytes == 1 && names[0] == '-' ? 0 : bytes);
        names += bytes + (names[bytes] == ',');
    }
}

/* --- attributes --- */

static inline message attr_base(const char *name, uint64_t type)
{
    message attr = {0};
    dyno_pb_put_text(&attr, 1, name);
    dyno_pb_put_varint(&attr, 20, type);
    return attr;
}

static inline message attr_int(const char *name, int64_t value)
{
    message attr = attr_base(name, 2);
    dyno_pb_put_varint(&attr, 3, (uint64_t)value);
    return attr;
}

static inline message attr_float(const char *name, float value)
{
    message attr = attr_base(name, 1);
    dyno_pb_put_f32(&attr, 2, value);
    return attr;
}

static inline message attr_text(const char *name, const char *value)
{
    message attr = attr_base(name, 3);
    dyno_pb_put_text(&attr, 4, value);
    return attr;
}

static inline message attr_ints(const char *name, const int64_t *values, size_t count)
{
    message attr = attr_base(name, 7);
    for (size_t i = 0; i < count; i++)
        dyno_pb_put_varint(&attr, 8, (uint64_t)values[i]);
    return attr;
}

static inline message attr_floats(const char *name, const float *values, size_t count)
{
    message attr = attr_base(name, 6);
    for (size_t i = 0; i < count; i++)
        dyno_pb_put_f32(&attr, 7, values[i]);
    return attr;
}

static inline message attr_message(const char *name, uint64_t type, uint32_t number, message *sub)
{
    message attr = attr_base(name, type);
    put_message(&attr, number, sub);
    return attr;
}

static inline message attr_ref(const char *name, uint64_t type, const char *ref)
{
    message attr = attr_base(name, type);
    dyno_pb_put_text(&attr, 21, ref);
    return attr;
}

/* --- tensors, types --- */

static inline message tensor_base(const char *name, int dtype, const int64_t *dims, size_t rank)
{
    message tensor = {0};
    for (size_t i = 0; i < rank; i++)
        dyno_pb_put_varint(&tensor, 1, (uint64_t)dims[i]);
    dyno_pb_put_varint(&tensor, 2, (uint64_t)dtype);
    dyno_pb_put_text(&tensor, 8, name);
    return tensor;
}

static inline message tensor_raw(const char *name, int dtype, const int64_t *dims, size_t rank,
                                 const void *data, size_t bytes)
{
    message tensor = tensor_base(name, dtype, dims, rank);
    dyno_pb_put_bytes(&tensor, 9, data, bytes);
    return tensor;
}

/* dims: "N,3,?" - numbers, names, "?" for a size nobody names; NULL: no shape; "": a scalar. */
static inline message value_info(const char *name, int dtype, const char *dims)
{
    message tensor = {0};
    message type = {0};
    message info = {0};
    message shape = {0};
    dyno_pb_put_varint(&tensor, 1, (uint64_t)dtype);
    for (const char *at = dims; at != NULL && at[0] != '\0';) {
        message dim = {0};
        const size_t bytes = strcspn(at, ",");
        if ((at[0] >= '0' && at[0] <= '9') || at[0] == '-')
            dyno_pb_put_varint(&dim, 1, (uint64_t)strtoll(at, NULL, 10));
        else if (at[0] != '?')
            dyno_pb_put_bytes(&dim, 2, at, bytes);
        put_message(&shape, 1, &dim);
        at += bytes + (at[bytes] == ',');
    }
    if (dims != NULL)
        put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    dyno_pb_put_text(&info, 1, name);
    put_message(&info, 2, &type);
    return info;
}

/* --- nodes, graphs, models --- */

static inline message node_of(const char *domain, const char *op, const char *name, const char *ins,
                              const char *outs)
{
    message node = {0};
    put_names(&node, 1, ins);
    put_names(&node, 2, outs);
    dyno_pb_put_text(&node, 3, name);
    dyno_pb_put_text(&node, 4, op);
    dyno_pb_put_text(&node, 7, domain);
    return node;
}

static inline void put_node(message *graph, const char *op, const char *name, const char *ins,
                            const char *outs)
{
    message node = node_of("", op, name, ins, outs);
    put_message(graph, 1, &node);
}

/* With one attribute, which is consumed. */
static inline void put_node_attr(message *graph, const char *op, const char *name, const char *ins,
                                 const char *outs, message attr)
{
    message node = node_of("", op, name, ins, outs);
    put_message(&node, 5, &attr);
    put_message(graph, 1, &node);
}

static inline void put_input(message *graph, const char *name, int dtype, const char *dims)
{
    message info = value_info(name, dtype, dims);
    put_message(graph, 11, &info);
}

static inline void put_output(message *graph, const char *name, int dtype, const char *dims)
{
    message info = value_info(name, dtype, dims);
    put_message(graph, 12, &info);
}

static inline void put_init(message *graph, message tensor)
{
    put_message(graph, 5, &tensor);
}

static inline void put_opset(message *model, uint32_t number, const char *domain, int64_t version)
{
    message opset = {0};
    dyno_pb_put_text(&opset, 1, domain);
    dyno_pb_put_varint(&opset, 2, (uint64_t)version);
    put_message(model, number, &opset);
}

/* The graph is consumed. */
static inline message model_of(message *graph, int64_t opset)
{
    message model = {0};
    dyno_pb_put_varint(&model, 1, 8);
    dyno_pb_put_text(&model, 2, "the tests");
    put_opset(&model, 8, "", opset);
    put_message(&model, 7, graph);
    return model;
}

/* Problems found, one a line. */
struct findings {
    uint32_t count;
    struct dyno_strbuf lines;
};

static inline void note_finding(void *arg, const char *text)
{
    struct findings *findings = arg;
    findings->count++;
    dyno_strbuf_printf(&findings->lines, "%s\n", text);
}

#endif /* DYNO_TESTS_UNIT_ONNX_MODEL_H */
