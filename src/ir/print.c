/* print.c - the text form of a graph (docs/ir.md). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "ir/text.h"

struct printer {
    struct dyno_strbuf *out;
    const struct dyno_exprs *exprs;
    uint8_t *seen; /* by value id: constants and host values printed */
    int depth;
};

/* --- words --- */

static void print_string(struct dyno_strbuf *out, const char *text, size_t bytes)
{
    dyno_strbuf_puts(out, "\"");
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            dyno_strbuf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            dyno_strbuf_printf(out, "\\x%02x", c);
        else
            dyno_strbuf_add(out, &text[i], 1);
    }
    dyno_strbuf_puts(out, "\"");
}

static void print_value(struct dyno_strbuf *out, const struct dyno_value *value)
{
    if (value == NULL) {
        dyno_strbuf_puts(out, "_");
        return;
    }
    /* "//" begins a comment. */
    bool bare = value->name[0] != '\0' && strncmp(value->name, "//", 2) != 0;
    for (const char *c = value->name; *c != '\0' && bare; c++)
        bare = dyno_text_is_name(*c);
    dyno_strbuf_puts(out, "%");
    if (bare)
        dyno_strbuf_puts(out, value->name);
    else
        print_string(out, value->name, strlen(value->name));
}

/* The fewest digits that read back as the same number. */
static void print_float(struct dyno_strbuf *out, double value, bool is_f64)
{
    char text[40];
    const int last = is_f64 ? 17 : 9;
    for (int digits = 6; digits <= last; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (isnan(value) ||
            (is_f64 ? strtod(text, NULL) == value : strtof(text, NULL) == (float)value))
            break;
    }
    dyno_strbuf_puts(out, text);
}

static void print_type(const struct printer *printer, const struct dyno_type *type)
{
    static const char *const kinds[] = {
        [DYNO_TYPE_TENSOR] = "", [DYNO_TYPE_SEQUENCE] = "seq ", [DYNO_TYPE_OPTIONAL] = "opt "};
    struct dyno_strbuf *out = printer->out;
    dyno_strbuf_printf(out, "%s%s[", kinds[type->kind], dyno_dtype_text(type->dtype));
    if (type->rank < 0)
        dyno_strbuf_puts(out, "*");
    for (int i = 0; i < type->rank; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : "");
        dyno_expr_print(printer->exprs, type->dims[i], out);
    }
    dyno_strbuf_puts(out, "]");
}

static void print_indent(const struct printer *printer)
{
    for (int i = 0; i < printer->depth; i++)
        dyno_strbuf_puts(printer->out, "  ");
}

/* --- data --- */

static void print_element(struct dyno_strbuf *out, const struct dyno_tensor *tensor, size_t idx)
{
    if (tensor->dtype == DYNO_STR) {
        const struct dyno_str *item = (const struct dyno_str *)tensor->data + idx;
        print_string(out, item->text, item->bytes);
    } else if (tensor->dtype == DYNO_U64) {
        dyno_strbuf_printf(out, "%llu",
                           (unsigned long long)dyno_elem_load_i64(DYNO_U64, tensor->data, idx));
    } else if (dyno_dtype_is_float(tensor->dtype)) {
        print_float(out, dyno_elem_load_f64(tensor->dtype, tensor->data, idx),
                    tensor->dtype == DYNO_F64);
    } else {
        dyno_strbuf_printf(out, "%lld",
                           (long long)dyno_elem_load_i64(tensor->dtype, tensor->data, idx));
    }
}

static void print_data(struct dyno_strbuf *out, const struct dyno_tensor *tensor)
{
    const int64_t count = dyno_tensor_count(tensor);
    const bool is_complex = tensor->dtype == DYNO_C64 || tensor->dtype == DYNO_C128;
    if (count > DYNO_TEXT_ELEMS_MAX || is_complex) {
        size_t bytes = 0;
        (void)dyno_dtype_bytes(tensor->dtype, (uint64_t)count, &bytes);
        /* Strings are hashed by count alone: their items hold addresses. */
        const uint32_t hash =
            tensor->dtype == DYNO_STR ? (uint32_t)count : dyno_fnv1a32(tensor->data, bytes);
        dyno_strbuf_printf(out, "<%zu %s, fnv %08x>", bytes >= 1024 ? bytes / 1024 : bytes,
                           bytes >= 1024 ? "KiB" : "B", hash);
        return;
    }
    dyno_strbuf_puts(out, "[");
    for (int64_t i = 0; i < count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : "");
        print_element(out, tensor, (size_t)i);
    }
    dyno_strbuf_puts(out, "]");
}

/* --- attributes --- */

static bool at_fallback(const struct dyno_attr *attr, const void *at)
{
    if (attr->required)
        return false;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        return *(const int64_t *)at == (int64_t)attr->fallback;
    case DYNO_ATTR_F32:
        return *(const float *)at == (float)attr->fallback;
    case DYNO_ATTR_ENUM:
        return *(const int32_t *)at == (int32_t)attr->fallback;
    case DYNO_ATTR_STR:
        return ((const struct dyno_str *)at)->bytes == 0;
    case DYNO_ATTR_I64S:
        return ((const struct dyno_i64s *)at)->at == NULL;
    case DYNO_ATTR_F32S:
        return ((const struct dyno_f32s *)at)->at == NULL;
    case DYNO_ATTR_STRS:
        return ((const struct dyno_strs *)at)->at == NULL;
    case DYNO_ATTR_TENSOR:
        return *(const struct dyno_tensor *const *)at == NULL;
    }
    return false;
}

static void print_list(struct dyno_strbuf *out, const struct dyno_attr *attr, const void *at)
{
    dyno_strbuf_puts(out, "[");
    if (attr->kind == DYNO_ATTR_I64S) {
        const struct dyno_i64s *list = at;
        for (uint32_t i = 0; i < list->count; i++)
            dyno_strbuf_printf(out, "%s%lld", i != 0 ? ", " : "", (long long)list->at[i]);
    } else if (attr->kind == DYNO_ATTR_F32S) {
        const struct dyno_f32s *list = at;
        for (uint32_t i = 0; i < list->count; i++) {
            dyno_strbuf_puts(out, i != 0 ? ", " : "");
            print_float(out, (double)list->at[i], false);
        }
    } else {
        const struct dyno_strs *list = at;
        for (uint32_t i = 0; i < list->count; i++) {
            dyno_strbuf_puts(out, i != 0 ? ", " : "");
            print_string(out, list->at[i].text, list->at[i].bytes);
        }
    }
    dyno_strbuf_puts(out, "]");
}

static void print_attr(struct dyno_strbuf *out, const struct dyno_attr *attr, const void *at)
{
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        dyno_strbuf_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case DYNO_ATTR_F32:
        print_float(out, (double)*(const float *)at, false);
        break;
    case DYNO_ATTR_ENUM:
        dyno_strbuf_puts(out, attr->names[*(const int32_t *)at]);
        break;
    case DYNO_ATTR_STR:
        print_string(out, ((const struct dyno_str *)at)->text,
                     ((const struct dyno_str *)at)->bytes);
        break;
    case DYNO_ATTR_I64S:
    case DYNO_ATTR_F32S:
    case DYNO_ATTR_STRS:
        print_list(out, attr, at);
        break;
    case DYNO_ATTR_TENSOR: {
        const struct dyno_tensor *tensor = *(const struct dyno_tensor *const *)at;
        if (tensor == NULL) {
            dyno_strbuf_puts(out, "_");
            break;
        }
        dyno_strbuf_printf(out, "%s[", dyno_dtype_text(tensor->dtype));
        for (int i = 0; i < tensor->rank; i++)
            dyno_strbuf_printf(out, "%s%lld", i != 0 ? ", " : "", (long long)tensor->dims[i]);
        dyno_strbuf_puts(out, "] ");
        print_data(out, tensor);
        break;
    }
    }
}

static void print_attrs(struct dyno_strbuf *out, const struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    const char *before = " {";
    for (size_t i = 0; i < op->attr_count; i++) {
        const void *at = (const char *)node->attrs + op->attrs[i].offset_bytes;
        if (at_fallback(&op->attrs[i], at))
            continue;
        dyno_strbuf_printf(out, "%s%s = ", before, op->attrs[i].name);
        print_attr(out, &op->attrs[i], at);
        before = ", ";
    }
    if (before[0] == ',')
        dyno_strbuf_puts(out, "}");
}

/* --- nodes --- */

static void print_instr(struct dyno_strbuf *out, const struct dyno_node *node, uint32_t idx)
{
    const struct dyno_tail_instr *instr = &node->tail.instrs[idx];
    const struct dyno_pw_info *info = &dyno_pw_infos[instr->op];
    dyno_strbuf_puts(out, info->name);
    for (int i = 0; i < info->operand_count; i++) {
        const struct dyno_operand *operand = &instr->operands[i];
        if (i == 0 && operand->kind == DYNO_OPERAND_REG && operand->idx == idx)
            continue;
        dyno_strbuf_puts(out, " ");
        if (operand->kind == DYNO_OPERAND_REG)
            dyno_strbuf_printf(out, "$%u", operand->idx);
        else if (operand->kind == DYNO_OPERAND_INPUT)
            print_value(out, node->ins[operand->idx]);
        else
            print_float(out, (double)operand->value, false);
    }
    const float immediates[2] = {instr->p, instr->q};
    for (int i = 0; i < info->immediate_count && i < (int)DYNO_COUNT(immediates); i++) {
        dyno_strbuf_puts(out, " ");
        print_float(out, (double)immediates[i], false);
    }
}

/* Its outputs with their types, "=", the op and its own inputs. */
static void print_call(const struct printer *printer, const struct dyno_node *node)
{
    struct dyno_strbuf *out = printer->out;
    const struct dyno_op *op = dyno_ops[node->op];
    for (uint32_t i = 0; i < node->out_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : "");
        print_value(out, node->outs[i]);
        if (node->outs[i] != NULL && node->outs[i]->type.dtype != DYNO_DTYPE_NONE) {
            dyno_strbuf_puts(out, ": ");
            print_type(printer, &node->outs[i]->type);
        }
    }
    dyno_strbuf_printf(out, " = %s%s%s(", op->domain, op->domain[0] != '\0' ? "." : "",
                       op->onnx_name);
    for (uint32_t i = 0; i < node->own_in_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : "");
        print_value(out, node->ins[i]);
    }
    dyno_strbuf_puts(out, ")");
}

/* Name and origins, where they say something. */
static void print_names(struct dyno_strbuf *out, const struct dyno_node *node)
{
    const struct dyno_value *first = NULL;
    for (uint32_t i = 0; i < node->out_count && first == NULL; i++)
        first = node->outs[i];
    if (first == NULL || strcmp(first->name, node->name) != 0) {
        dyno_strbuf_puts(out, " @");
        print_string(out, node->name, strlen(node->name));
    }
    if (node->origin_count == 1 && strcmp(node->origins[0], node->name) == 0)
        return;
    for (uint32_t i = 0; i < node->origin_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : " from ");
        print_string(out, node->origins[i], strlen(node->origins[i]));
    }
}

static void print_graph(struct printer *printer, const struct dyno_graph *graph);

static void print_node(struct printer *printer, const struct dyno_node *node)
{
    struct dyno_strbuf *out = printer->out;
    print_indent(printer);
    print_call(printer, node);
    print_attrs(out, node);
    for (uint32_t i = 0; i < node->tail.instr_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? "; " : " then { ");
        print_instr(out, node, i);
    }
    if (node->tail.instr_count != 0)
        dyno_strbuf_puts(out, " }");
    print_names(out, node);
    if (node->region_count != 0) {
        dyno_strbuf_puts(out, " [\n");
        printer->depth++;
        for (uint32_t i = 0; i < node->region_count; i++)
            print_graph(printer, node->regions[i]);
        printer->depth--;
        print_indent(printer);
        dyno_strbuf_puts(out, "]");
    }
    dyno_strbuf_puts(out, "\n");
}

/* --- graphs --- */

static void print_free_value(struct printer *printer, const struct dyno_value *value)
{
    struct dyno_strbuf *out = printer->out;
    if (value == NULL || value->producer != NULL || printer->seen[value->id] != 0)
        return;
    const struct dyno_type *type = &value->type;
    if (type->constant == NULL && type->elems == NULL)
        return;
    printer->seen[value->id] = 1;
    print_indent(printer);
    dyno_strbuf_puts(out, type->constant != NULL ? "const " : "host ");
    print_value(out, value);
    dyno_strbuf_puts(out, ": ");
    print_type(printer, type);
    dyno_strbuf_puts(out, " = ");
    if (type->constant != NULL) {
        print_data(out, type->constant);
    } else {
        for (uint32_t i = 0; i < type->elem_count; i++) {
            dyno_strbuf_puts(out, i != 0 ? ", " : "[");
            dyno_expr_print(printer->exprs, type->elems[i], out);
        }
        dyno_strbuf_puts(out, type->elem_count != 0 ? "]" : "[]");
    }
    dyno_strbuf_puts(out, "\n");
}

/* The constants and host values that the graph and its regions use, in order of use. */
static void print_free_values(struct printer *printer, const struct dyno_graph *graph)
{
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->in_count; i++)
            print_free_value(printer, node->ins[i]);
        for (uint32_t i = 0; i < node->region_count; i++)
            print_free_values(printer, node->regions[i]);
    }
    for (uint32_t i = 0; i < graph->output_count; i++)
        print_free_value(printer, graph->outputs[i]);
}

static void print_graph(struct printer *printer, const struct dyno_graph *graph)
{
    struct dyno_strbuf *out = printer->out;
    print_indent(printer);
    dyno_strbuf_puts(out, "graph ");
    print_string(out, graph->name, strlen(graph->name));
    dyno_strbuf_puts(out, " (");
    for (uint32_t i = 0; i < graph->input_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : "");
        print_value(out, graph->inputs[i]);
        dyno_strbuf_puts(out, ": ");
        print_type(printer, &graph->inputs[i]->type);
    }
    dyno_strbuf_puts(out, ") {\n");
    printer->depth++;
    print_free_values(printer, graph);
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        print_node(printer, node);
    print_indent(printer);
    dyno_strbuf_puts(out, "return");
    for (uint32_t i = 0; i < graph->output_count; i++) {
        dyno_strbuf_puts(out, i != 0 ? ", " : " ");
        print_value(out, graph->outputs[i]);
    }
    dyno_strbuf_puts(out, "\n");
    printer->depth--;
    print_indent(printer);
    dyno_strbuf_puts(out, "}\n");
}

static void print_ranges(const struct printer *printer)
{
    const size_t count = dyno_exprs_symbol_count(printer->exprs);
    for (size_t i = 0; i < count; i++) {
        int64_t min = 0;
        int64_t max = 0;
        const char *name = dyno_exprs_symbol(printer->exprs, i, &min, &max);
        if (min == dyno_text_symbol_min(name) && max == INT64_MAX)
            continue;
        dyno_strbuf_puts(printer->out, "range ");
        print_string(printer->out, name, strlen(name));
        dyno_strbuf_printf(printer->out, " = %lld..%lld\n", (long long)min, (long long)max);
    }
}

void dyno_graph_print(const struct dyno_graph *graph, struct dyno_strbuf *out)
{
    struct printer printer = {.out = out, .exprs = graph->exprs};
    printer.seen = dyno_alloc((size_t)dyno_graph_top(graph)->value_id_count + 1, 1);
    if (printer.seen == NULL) {
        out->failed = true;
        return;
    }
    print_ranges(&printer);
    print_graph(&printer, graph);
    dyno_free(printer.seen);
}
