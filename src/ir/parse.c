/* parse.c - reads graphs in the text form (docs/ir.md). */
#include <string.h>

#include "ir/text.h"

#define NESTING_MAX 8

/* --- values --- */

bool dyno_text_add_value(struct dyno_text *in, struct dyno_value *value)
{
    struct dyno_text_values *values = &in->values;
    if (values->count == values->capacity) {
        const uint32_t capacity = values->capacity != 0 ? values->capacity * 2 : 16;
        struct dyno_value **at =
            dyno_arena_alloc(in->graph->arena, capacity, sizeof(struct dyno_value *));
        if (at == NULL)
            return false;
        if (values->count != 0)
            memcpy(at, values->at, values->count * sizeof(struct dyno_value *));
        values->at = at;
        values->capacity = capacity;
    }
    values->at[values->count++] = value;
    return true;
}

static enum dyno_status value_name(struct dyno_text *in, const char **name_out)
{
    DYNO_TRY(dyno_text_expect(in, '%'));
    if (dyno_text_peek(in) != '"')
        return dyno_text_name(in, name_out);
    struct dyno_str string;
    DYNO_TRY(dyno_text_string(in, &string));
    if (strlen(string.text) != string.bytes)
        return DYNO_TEXT_FAIL(in, "a name holds no \\x00");
    *name_out = string.text;
    return DYNO_OK;
}

enum dyno_status dyno_text_value(struct dyno_text *in, struct dyno_value **value_out)
{
    const char *name = NULL;
    DYNO_TRY(value_name(in, &name));
    *value_out = dyno_graph_find_value(in->graph, name);
    if (*value_out == NULL)
        return DYNO_TEXT_FAIL(in, "there is no value '%s' yet", name);
    return DYNO_OK;
}

enum dyno_status dyno_text_new_value(struct dyno_text *in, bool is_input,
                                     struct dyno_value **value_out)
{
    const char *name = NULL;
    DYNO_TRY(value_name(in, &name));
    struct dyno_value *value =
        is_input ? dyno_graph_add_input(in->graph, name) : dyno_graph_value(in->graph, name);
    if (value == NULL)
        return DYNO_NOMEM(in->err);
    if (strcmp(value->name, name) != 0)
        return DYNO_TEXT_FAIL(in, "there is a value '%s' already", name);
    *value_out = value;
    return DYNO_OK;
}

/* --- lines --- */

static enum dyno_status read_const(struct dyno_text *in)
{
    struct dyno_value *value = NULL;
    struct dyno_type type;
    struct dyno_tensor tensor;
    DYNO_TRY(dyno_text_new_value(in, false, &value));
    DYNO_TRY(dyno_text_expect(in, ':'));
    DYNO_TRY(dyno_text_type(in, &type));
    DYNO_TRY(dyno_text_expect(in, '='));
    DYNO_TRY(dyno_text_data(in, &type, &tensor));
    return dyno_value_make_constant(in->graph, value, &tensor) ? DYNO_OK : DYNO_NOMEM(in->err);
}

static enum dyno_status read_host(struct dyno_text *in)
{
    struct dyno_value *value = NULL;
    struct dyno_type type;
    int64_t count = 0;
    DYNO_TRY(dyno_text_new_value(in, false, &value));
    DYNO_TRY(dyno_text_expect(in, ':'));
    DYNO_TRY(dyno_text_type(in, &type));
    int64_t dims[DYNO_RANK_MAX];
    for (int i = 0; i < type.rank; i++) {
        if (!dyno_expr_is_const(in->graph->exprs, type.dims[i], &dims[i]))
            return DYNO_TEXT_FAIL(in, "the sizes of a host value must be numbers");
    }
    const bool is_int = dyno_dtype_is_int(type.dtype) || type.dtype == DYNO_BOOL;
    if (type.rank < 0 || !dyno_dims_count(dims, type.rank, &count) || count > DYNO_ELEMS_MAX ||
        !is_int || type.kind != DYNO_TYPE_TENSOR)
        return DYNO_TEXT_FAIL(in, "a host value is a tensor of at most %d integers",
                              DYNO_ELEMS_MAX);
    dyno_expr *elems = dyno_arena_alloc(in->graph->arena, (size_t)count, sizeof(*elems));
    if (elems == NULL)
        return DYNO_NOMEM(in->err);
    DYNO_TRY(dyno_text_expect(in, '='));
    DYNO_TRY(dyno_text_expect(in, '['));
    for (int64_t i = 0; i < count; i++) {
        if (i != 0)
            DYNO_TRY(dyno_text_expect(in, ','));
        DYNO_TRY(dyno_text_expr(in, &elems[i]));
    }
    type.elems = elems;
    type.elem_count = (uint32_t)count;
    value->type = type;
    return dyno_text_expect(in, ']');
}

static enum dyno_status read_range(struct dyno_text *in)
{
    struct dyno_str name;
    int64_t min = 0;
    int64_t max = 0;
    DYNO_TRY(dyno_text_string(in, &name));
    if (name.bytes == 0 || strlen(name.text) != name.bytes)
        return DYNO_TEXT_FAIL(in, "a symbol's name is not empty and holds no \\x00");
    DYNO_TRY(dyno_text_expect(in, '='));
    DYNO_TRY(dyno_text_int(in, &min));
    DYNO_TRY(dyno_text_expect(in, '.'));
    DYNO_TRY(dyno_text_expect(in, '.'));
    DYNO_TRY(dyno_text_int(in, &max));
    if (min < 0 || min > max)
        return DYNO_TEXT_FAIL(in, "the range %lld..%lld is empty or below 0", (long long)min,
                              (long long)max);
    if (dyno_expr_symbol(in->graph->exprs, name.text, min, max) == DYNO_EXPR_NONE)
        return DYNO_NOMEM(in->err);
    return DYNO_OK;
}

static enum dyno_status read_inputs(struct dyno_text *in)
{
    DYNO_TRY(dyno_text_expect(in, '('));
    if (dyno_text_eat(in, ')'))
        return DYNO_OK;
    do {
        struct dyno_value *value = NULL;
        DYNO_TRY(dyno_text_new_value(in, true, &value));
        DYNO_TRY(dyno_text_expect(in, ':'));
        DYNO_TRY(dyno_text_type(in, &value->type));
    } while (dyno_text_eat(in, ','));
    return dyno_text_expect(in, ')');
}

static enum dyno_status read_return(struct dyno_text *in)
{
    if (dyno_text_peek(in) != '%')
        return DYNO_OK;
    do {
        struct dyno_value *value = NULL;
        DYNO_TRY(dyno_text_value(in, &value));
        if (!dyno_graph_add_output(in->graph, value))
            return DYNO_NOMEM(in->err);
    } while (dyno_text_eat(in, ','));
    return DYNO_OK;
}

static enum dyno_status read_lines(struct dyno_text *in)
{
    DYNO_TRY(dyno_text_expect(in, '{'));
    while (!dyno_text_eat_word(in, "return")) {
        if (dyno_text_eat_word(in, "const"))
            DYNO_TRY(read_const(in));
        else if (dyno_text_eat_word(in, "host"))
            DYNO_TRY(read_host(in));
        else
            DYNO_TRY(dyno_text_node(in));
    }
    DYNO_TRY(read_return(in));
    return dyno_text_expect(in, '}');
}

enum dyno_status dyno_text_graph(struct dyno_text *in, struct dyno_graph *graph)
{
    struct dyno_graph *outer = in->graph;
    struct dyno_str name;
    if (in->depth >= NESTING_MAX)
        return DYNO_TEXT_FAIL(in, "graphs nest deeper than %d", NESTING_MAX);
    in->depth++;
    in->graph = graph;
    DYNO_TRY(dyno_text_string(in, &name));
    graph->name = name.text;
    DYNO_TRY(read_inputs(in));
    DYNO_TRY(read_lines(in));
    in->graph = outer;
    in->depth--;
    return DYNO_OK;
}

/* --- the whole --- */

/* What the text says of a type must not contradict what the rules say. */
static enum dyno_status check_declared(struct dyno_text *in)
{
    const struct dyno_exprs *exprs = in->graph->exprs;
    for (const struct dyno_text_declared *it = in->declared; it != NULL; it = it->next) {
        const struct dyno_type *want = &it->type;
        const struct dyno_type *have = &it->value->type;
        bool agrees = want->dtype == have->dtype && want->kind == have->kind;
        agrees = agrees && (want->rank == have->rank || want->rank < 0 || have->rank < 0);
        for (int i = 0; agrees && i < want->rank && i < have->rank; i++) {
            int64_t a = 0;
            int64_t b = 0;
            if (dyno_expr_is_const(exprs, want->dims[i], &a) &&
                dyno_expr_is_const(exprs, have->dims[i], &b))
                agrees = a == b;
        }
        if (agrees)
            continue;
        in->pos = it->pos;
        return DYNO_TEXT_FAIL(in, "the type of '%s' is not what its node gives: %s of rank %d",
                              it->value->name, dyno_dtype_text(have->dtype), have->rank);
    }
    return DYNO_OK;
}

static enum dyno_status read_file(struct dyno_text *in)
{
    while (dyno_text_eat_word(in, "range"))
        DYNO_TRY(read_range(in));
    if (!dyno_text_eat_word(in, "graph"))
        return DYNO_TEXT_FAIL(in, "a graph is expected here");
    DYNO_TRY(dyno_text_graph(in, in->graph));
    dyno_text_space(in);
    if (in->pos != in->bytes)
        return DYNO_TEXT_FAIL(in, "there is text after the graph");
    DYNO_TRY(dyno_graph_infer(in->graph, in->err));
    DYNO_TRY(check_declared(in));
    return dyno_graph_verify(in->graph, in->err);
}

enum dyno_status dyno_graph_parse(const char *text, size_t bytes, struct dyno_graph **graph_out,
                                  struct dyno_err *err)
{
    struct dyno_graph *graph = dyno_graph_create("");
    struct dyno_text in = {.text = text, .bytes = bytes, .graph = graph, .err = err};
    *graph_out = NULL;
    if (graph == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = read_file(&in);
    if (status == DYNO_OK)
        *graph_out = graph;
    else
        dyno_graph_destroy(graph);
    return status;
}
