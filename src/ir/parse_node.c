/* parse_node.c - reads one node of the text form: outputs, call, attributes, tail, regions. */
#include <string.h>

#include "ir/text.h"

/* --- outputs and inputs --- */

static bool declare(struct dyno_text *in, struct dyno_value *value, size_t pos)
{
    struct dyno_text_declared *declared = dyno_arena_alloc(in->graph->arena, 1, sizeof(*declared));
    if (declared == NULL)
        return false;
    *declared = (struct dyno_text_declared){
        .value = value, .type = value->type, .pos = pos, .next = in->declared};
    in->declared = declared;
    return true;
}

static enum dyno_status read_outs(struct dyno_text *in)
{
    in->values.count = 0;
    do {
        struct dyno_value *value = NULL;
        if (!dyno_text_eat_word(in, "_"))
            DYNO_TRY(dyno_text_new_value(in, false, &value));
        if (!dyno_text_add_value(in, value))
            return DYNO_NOMEM(in->err);
        if (value != NULL && dyno_text_eat(in, ':')) {
            const size_t pos = in->pos;
            DYNO_TRY(dyno_text_type(in, &value->type));
            if (!declare(in, value, pos))
                return DYNO_NOMEM(in->err);
        }
    } while (dyno_text_eat(in, ','));
    return DYNO_OK;
}

static enum dyno_status read_ins(struct dyno_text *in)
{
    DYNO_TRY(dyno_text_expect(in, '('));
    if (dyno_text_eat(in, ')'))
        return DYNO_OK;
    do {
        struct dyno_value *value = NULL;
        if (!dyno_text_eat_word(in, "_"))
            DYNO_TRY(dyno_text_value(in, &value));
        if (!dyno_text_add_value(in, value))
            return DYNO_NOMEM(in->err);
    } while (dyno_text_eat(in, ','));
    return dyno_text_expect(in, ')');
}

/* "Conv", "dyno.LayerNorm", "ai.onnx.ml.Scaler". */
static enum dyno_status read_op(struct dyno_text *in, enum dyno_op_id *op_out)
{
    const char *name = NULL;
    DYNO_TRY(dyno_text_name(in, &name));
    const char *dot = strrchr(name, '.');
    const char *domain =
        dot != NULL ? dyno_arena_strndup(in->graph->arena, name, (size_t)(dot - name)) : "";
    if (domain == NULL)
        return DYNO_NOMEM(in->err);
    const int op = dyno_op_find(domain, dot != NULL ? dot + 1 : name);
    if (op < 0)
        return DYNO_TEXT_FAIL(in, "there is no operator '%s'", name);
    *op_out = (enum dyno_op_id)op;
    return DYNO_OK;
}

/* --- attributes --- */

/* Items of a list of unknown length; at: room for the attribute's own struct. */
static enum dyno_status read_list(struct dyno_text *in, enum dyno_attr_kind kind, void *at)
{
    const size_t item_bytes = kind == DYNO_ATTR_I64S   ? sizeof(int64_t)
                              : kind == DYNO_ATTR_F32S ? sizeof(float)
                                                       : sizeof(struct dyno_str);
    uint32_t count = 0;
    uint32_t capacity = 8;
    char *items = dyno_arena_alloc(in->graph->arena, capacity, item_bytes);
    if (items == NULL)
        return DYNO_NOMEM(in->err);
    DYNO_TRY(dyno_text_expect(in, '['));
    while (dyno_text_peek(in) != ']') {
        double real = 0;
        if (count != 0)
            DYNO_TRY(dyno_text_expect(in, ','));
        if (count == capacity) {
            char *larger = dyno_arena_alloc(in->graph->arena, (size_t)capacity * 2, item_bytes);
            if (larger == NULL)
                return DYNO_NOMEM(in->err);
            memcpy(larger, items, capacity * item_bytes);
            items = larger;
            capacity *= 2;
        }
        void *item = items + count * item_bytes;
        if (kind == DYNO_ATTR_I64S) {
            DYNO_TRY(dyno_text_int(in, item));
        } else if (kind == DYNO_ATTR_STRS) {
            DYNO_TRY(dyno_text_string(in, item));
        } else {
            DYNO_TRY(dyno_text_float(in, &real));
            *(float *)item = (float)real;
        }
        count++;
    }
    if (kind == DYNO_ATTR_I64S)
        *(struct dyno_i64s *)at = (struct dyno_i64s){(const int64_t *)(void *)items, count};
    else if (kind == DYNO_ATTR_F32S)
        *(struct dyno_f32s *)at = (struct dyno_f32s){(const float *)(void *)items, count};
    else
        *(struct dyno_strs *)at = (struct dyno_strs){(const struct dyno_str *)(void *)items, count};
    return dyno_text_expect(in, ']');
}

static enum dyno_status read_spelling(struct dyno_text *in, const struct dyno_attr *attr,
                                      int32_t *value_out)
{
    const char *name = NULL;
    DYNO_TRY(dyno_text_name(in, &name));
    for (int32_t i = 0; attr->names[i] != NULL; i++) {
        if (strcmp(attr->names[i], name) == 0) {
            *value_out = i;
            return DYNO_OK;
        }
    }
    return DYNO_TEXT_FAIL(in, "'%s' is no value of attribute %s", name, attr->name);
}

static enum dyno_status read_tensor(struct dyno_text *in, const struct dyno_tensor **tensor_out)
{
    struct dyno_type type;
    struct dyno_tensor tensor;
    *tensor_out = NULL;
    if (dyno_text_eat_word(in, "_"))
        return DYNO_OK;
    DYNO_TRY(dyno_text_type(in, &type));
    DYNO_TRY(dyno_text_data(in, &type, &tensor));
    *tensor_out = dyno_arena_memdup(in->graph->arena, &tensor, sizeof(tensor));
    return *tensor_out != NULL ? DYNO_OK : DYNO_NOMEM(in->err);
}

static enum dyno_status read_attr(struct dyno_text *in, const struct dyno_attr *attr, void *at)
{
    double real = 0;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        return dyno_text_int(in, at);
    case DYNO_ATTR_F32:
        DYNO_TRY(dyno_text_float(in, &real));
        *(float *)at = (float)real;
        return DYNO_OK;
    case DYNO_ATTR_ENUM:
        return read_spelling(in, attr, at);
    case DYNO_ATTR_STR:
        return dyno_text_string(in, at);
    case DYNO_ATTR_I64S:
    case DYNO_ATTR_F32S:
    case DYNO_ATTR_STRS:
        return read_list(in, attr->kind, at);
    case DYNO_ATTR_TENSOR:
        return read_tensor(in, at);
    }
    return DYNO_TEXT_FAIL(in, "attribute %s is of a kind without text", attr->name);
}

static enum dyno_status read_attrs(struct dyno_text *in, struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    if (!dyno_text_eat(in, '{'))
        return DYNO_OK;
    do {
        const char *name = NULL;
        const struct dyno_attr *attr = NULL;
        DYNO_TRY(dyno_text_name(in, &name));
        for (size_t i = 0; i < op->attr_count && attr == NULL; i++) {
            if (strcmp(op->attrs[i].name, name) == 0)
                attr = &op->attrs[i];
        }
        if (attr == NULL)
            return DYNO_TEXT_FAIL(in, "%s has no attribute '%s'", op->onnx_name, name);
        DYNO_TRY(dyno_text_expect(in, '='));
        DYNO_TRY(read_attr(in, attr, (char *)node->attrs + attr->offset_bytes));
    } while (dyno_text_eat(in, ','));
    return dyno_text_expect(in, '}');
}

/* --- tails --- */

/* The input of the node that carries `value` for its tail. */
static enum dyno_status tail_input(struct dyno_text *in, struct dyno_node *node,
                                   struct dyno_operand *operand)
{
    struct dyno_value *value = NULL;
    DYNO_TRY(dyno_text_value(in, &value));
    uint32_t idx = node->own_in_count;
    while (idx < node->in_count && node->ins[idx] != value)
        idx++;
    if (idx == node->in_count)
        idx = dyno_node_add_in(node, value);
    if (idx == UINT32_MAX)
        return DYNO_NOMEM(in->err);
    if (idx > UINT16_MAX)
        return DYNO_TEXT_FAIL(in, "the node has too many inputs for a tail");
    *operand = (struct dyno_operand){.kind = DYNO_OPERAND_INPUT, .idx = (uint16_t)idx};
    return DYNO_OK;
}

static enum dyno_status read_operand(struct dyno_text *in, struct dyno_node *node,
                                     struct dyno_operand *operand)
{
    double real = 0;
    int64_t reg = 0;
    if (dyno_text_peek(in) == '%')
        return tail_input(in, node, operand);
    if (dyno_text_eat(in, '$')) {
        DYNO_TRY(dyno_text_int(in, &reg));
        if (reg < 0 || reg > node->tail.instr_count)
            return DYNO_TEXT_FAIL(in, "there is no register %lld yet", (long long)reg);
        *operand = (struct dyno_operand){.kind = DYNO_OPERAND_REG, .idx = (uint16_t)reg};
        return DYNO_OK;
    }
    DYNO_TRY(dyno_text_float(in, &real));
    *operand = (struct dyno_operand){.kind = DYNO_OPERAND_CONST, .value = (float)real};
    return DYNO_OK;
}

static enum dyno_status read_instr(struct dyno_text *in, struct dyno_node *node)
{
    struct dyno_tail_instr instr = {0};
    struct dyno_operand items[5] = {{0}};
    const char *name = NULL;
    int count = 0;
    DYNO_TRY(dyno_text_name(in, &name));
    while (instr.op < DYNO_PW_COUNT && strcmp(dyno_pw_infos[instr.op].name, name) != 0)
        instr.op++;
    if (instr.op == DYNO_PW_COUNT)
        return DYNO_TEXT_FAIL(in, "there is no instruction '%s'", name);
    const struct dyno_pw_info *info = &dyno_pw_infos[instr.op];
    const int wanted = info->operand_count + info->immediate_count;
    for (; count < wanted && dyno_text_peek(in) != ';' && dyno_text_peek(in) != '}'; count++)
        DYNO_TRY(read_operand(in, node, &items[count]));
    if (count < wanted - 1)
        return DYNO_TEXT_FAIL(in, "%s wants %d operands", name, wanted);
    if (count == wanted - 1) {
        memmove(&items[1], &items[0], sizeof(items[0]) * (size_t)count);
        items[0] = (struct dyno_operand){.kind = DYNO_OPERAND_REG,
                                         .idx = (uint16_t)node->tail.instr_count};
    }
    for (int i = info->operand_count; i < wanted; i++) {
        if (items[i].kind != DYNO_OPERAND_CONST)
            return DYNO_TEXT_FAIL(in, "the last %d operands of %s are numbers",
                                  info->immediate_count, name);
    }
    memcpy(instr.operands, items, sizeof(items[0]) * (size_t)info->operand_count);
    instr.p = info->immediate_count > 0 ? items[info->operand_count].value : 0.0F;
    instr.q = info->immediate_count > 1 ? items[info->operand_count + 1].value : 0.0F;
    node->tail.instrs[node->tail.instr_count++] = instr;
    return DYNO_OK;
}

static enum dyno_status read_tail(struct dyno_text *in, struct dyno_node *node)
{
    if (!dyno_text_eat_word(in, "then"))
        return DYNO_OK;
    DYNO_TRY(dyno_text_expect(in, '{'));
    do {
        if (dyno_text_peek(in) == '}')
            break;
        if (node->tail.instr_count == DYNO_TAIL_INSTRS_MAX)
            return DYNO_TEXT_FAIL(in, "a tail has at most %d instructions", DYNO_TAIL_INSTRS_MAX);
        DYNO_TRY(read_instr(in, node));
    } while (dyno_text_eat(in, ';'));
    return dyno_text_expect(in, '}');
}

/* --- names and regions --- */

static enum dyno_status plain_string(struct dyno_text *in, const char **text_out)
{
    struct dyno_str string;
    DYNO_TRY(dyno_text_string(in, &string));
    if (string.bytes == 0 || strlen(string.text) != string.bytes)
        return DYNO_TEXT_FAIL(in, "a name is not empty and holds no \\x00");
    *text_out = string.text;
    return DYNO_OK;
}

static enum dyno_status read_names(struct dyno_text *in, struct dyno_node *node)
{
    struct dyno_arena *arena = in->graph->arena;
    const char *name = NULL;
    if (dyno_text_eat(in, '@')) {
        DYNO_TRY(plain_string(in, &name));
        dyno_names_remove(in->graph->names, DYNO_NAME_NODE, node->name, node);
        node->name = dyno_names_add(in->graph->names, DYNO_NAME_NODE, name, node, in->graph);
        if (node->name == NULL)
            return DYNO_NOMEM(in->err);
        if (strcmp(node->name, name) != 0)
            return DYNO_TEXT_FAIL(in, "there is a node '%s' already", name);
        node->origins = dyno_arena_memdup(arena, &node->name, sizeof(node->name));
        if (node->origins == NULL)
            return DYNO_NOMEM(in->err);
    }
    if (!dyno_text_eat_word(in, "from"))
        return DYNO_OK;
    node->origin_count = 0;
    do {
        const size_t room = (size_t)node->origin_count + 1;
        const char **origins = dyno_arena_alloc(arena, room, sizeof(char *));
        if (origins == NULL)
            return DYNO_NOMEM(in->err);
        for (uint32_t i = 0; i < node->origin_count; i++)
            origins[i] = node->origins[i];
        DYNO_TRY(plain_string(in, &origins[node->origin_count]));
        node->origins = origins;
        node->origin_count++;
    } while (dyno_text_eat(in, ','));
    return DYNO_OK;
}

static enum dyno_status read_regions(struct dyno_text *in, struct dyno_node *node)
{
    if (!dyno_text_eat(in, '['))
        return DYNO_OK;
    while (dyno_text_eat_word(in, "graph")) {
        struct dyno_graph *region = dyno_graph_region(in->graph, "");
        if (region == NULL || !dyno_node_add_region(node, region))
            return DYNO_NOMEM(in->err);
        DYNO_TRY(dyno_text_graph(in, region));
    }
    return dyno_text_expect(in, ']');
}

/* --- the node --- */

/* A node named as its first output, its outputs being the first `out_count` of the values read. */
static struct dyno_node *make_node(struct dyno_text *in, enum dyno_op_id op, uint32_t out_count)
{
    const struct dyno_text_values *values = &in->values;
    const char *name = NULL;
    for (uint32_t i = 0; i < out_count && name == NULL; i++)
        name = values->at[i] != NULL ? values->at[i]->name : NULL;
    struct dyno_node *node = dyno_graph_node(in->graph, op, name, values->at + out_count,
                                             values->count - out_count, out_count, NULL, NULL);
    for (uint32_t i = 0; i < out_count && node != NULL; i++)
        dyno_node_set_out(node, i, values->at[i]);
    return node;
}

enum dyno_status dyno_text_node(struct dyno_text *in)
{
    enum dyno_op_id op = DYNO_OP_COUNT;
    DYNO_TRY(read_outs(in));
    const uint32_t out_count = in->values.count;
    DYNO_TRY(dyno_text_expect(in, '='));
    DYNO_TRY(read_op(in, &op));
    DYNO_TRY(read_ins(in));
    struct dyno_node *node = make_node(in, op, out_count);
    if (node == NULL)
        return DYNO_NOMEM(in->err);
    DYNO_TRY(read_attrs(in, node));
    DYNO_TRY(read_tail(in, node));
    DYNO_TRY(read_names(in, node));
    return read_regions(in, node);
}
