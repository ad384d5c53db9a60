/* text.c - the words of the text form: names, numbers, types, data. */
#include "ir/text.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 63
/* What all constants of one text may take: a short text must not ask for gigabytes. */
#define DATA_BYTES_MAX   ((size_t)64 << 20)

enum dyno_status dyno_text_place(struct dyno_text *in)
{
    unsigned line = 1;
    unsigned column = 1;
    for (size_t i = 0; i < in->pos; i++) {
        column = in->text[i] == '\n' ? 1 : column + 1;
        line += in->text[i] == '\n';
    }
    dyno_err_prefix(in->err, "%u:%u", line, column);
    return DYNO_E_FORMAT;
}

void dyno_text_space(struct dyno_text *in)
{
    while (in->pos < in->bytes) {
        const char c = in->text[in->pos];
        if (c == '/' && in->pos + 1 < in->bytes && in->text[in->pos + 1] == '/') {
            while (in->pos < in->bytes && in->text[in->pos] != '\n')
                in->pos++;
        } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            in->pos++;
        } else {
            return;
        }
    }
}

char dyno_text_peek(struct dyno_text *in)
{
    dyno_text_space(in);
    return in->pos < in->bytes ? in->text[in->pos] : '\0';
}

bool dyno_text_eat(struct dyno_text *in, char c)
{
    if (in->pos >= in->bytes || dyno_text_peek(in) != c || c == '\0')
        return false;
    in->pos++;
    return true;
}

enum dyno_status dyno_text_expect(struct dyno_text *in, char c)
{
    return dyno_text_eat(in, c) ? DYNO_OK : DYNO_TEXT_FAIL(in, "'%c' is expected here", c);
}

static size_t name_bytes(const struct dyno_text *in)
{
    size_t end = in->pos;
    while (end < in->bytes && dyno_text_is_name(in->text[end]))
        end++;
    return end - in->pos;
}

bool dyno_text_eat_word(struct dyno_text *in, const char *word)
{
    dyno_text_space(in);
    const size_t bytes = strlen(word);
    if (name_bytes(in) != bytes || memcmp(in->text + in->pos, word, bytes) != 0)
        return false;
    in->pos += bytes;
    return true;
}

enum dyno_status dyno_text_name(struct dyno_text *in, const char **name_out)
{
    dyno_text_space(in);
    const size_t bytes = name_bytes(in);
    if (bytes == 0)
        return DYNO_TEXT_FAIL(in, "a name is expected here");
    *name_out = dyno_arena_strndup(in->graph->arena, in->text + in->pos, bytes);
    if (*name_out == NULL)
        return DYNO_NOMEM(in->err);
    in->pos += bytes;
    return DYNO_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a string, escaped or not; -1 when the escape is wrong or the text ends. */
static int string_char(struct dyno_text *in)
{
    if (in->pos >= in->bytes)
        return -1;
    const char c = in->text[in->pos++];
    if (c != '\\')
        return (unsigned char)c;
    const size_t left = in->bytes - in->pos;
    if (left >= 1 && (in->text[in->pos] == '"' || in->text[in->pos] == '\\'))
        return (unsigned char)in->text[in->pos++];
    if (left < 3 || in->text[in->pos] != 'x')
        return -1;
    const int high = hex_digit(in->text[in->pos + 1]);
    const int low = hex_digit(in->text[in->pos + 2]);
    if (high < 0 || low < 0)
        return -1;
    in->pos += 3;
    return high * 16 + low;
}

enum dyno_status dyno_text_string(struct dyno_text *in, struct dyno_str *string_out)
{
    DYNO_TRY(dyno_text_expect(in, '"'));
    /* No longer than what is between the quotes, escaped. */
    size_t end = in->pos;
    while (end < in->bytes && in->text[end] != '"')
        end += in->text[end] == '\\' ? 2 : 1;
    if (end >= in->bytes)
        return DYNO_TEXT_FAIL(in, "the string does not end");
    char *text = dyno_arena_alloc(in->graph->arena, end - in->pos + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(in->err);
    size_t bytes = 0;
    while (in->pos < end) {
        const int c = string_char(in);
        if (c < 0)
            return DYNO_TEXT_FAIL(in, "a string may hold \\\", \\\\ and \\xHH, no other escape");
        text[bytes++] = (char)c;
    }
    in->pos = end + 1;
    *string_out = (struct dyno_str){.text = text, .bytes = bytes};
    return DYNO_OK;
}

/* The characters of a number, NUL-terminated. */
static enum dyno_status number(struct dyno_text *in, char *text_out)
{
    dyno_text_space(in);
    size_t bytes = 0;
    while (in->pos + bytes < in->bytes && bytes < NUMBER_BYTES_MAX) {
        const char c = in->text[in->pos + bytes];
        /* "1..64" is two numbers. */
        const bool is_range =
            c == '.' && in->pos + bytes + 1 < in->bytes && in->text[in->pos + bytes + 1] == '.';
        if ((!dyno_text_is_name(c) && c != '+') || is_range)
            break;
        text_out[bytes++] = c;
    }
    text_out[bytes] = '\0';
    if (bytes == 0)
        return DYNO_TEXT_FAIL(in, "a number is expected here");
    return DYNO_OK;
}

enum dyno_status dyno_text_int(struct dyno_text *in, int64_t *value_out)
{
    char text[NUMBER_BYTES_MAX + 1];
    DYNO_TRY(number(in, text));
    int64_t value = 0;
    const bool negative = text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (text[i] == '\0')
        return DYNO_TEXT_FAIL(in, "'%s' is not an integer", text);
    for (; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9')
            return DYNO_TEXT_FAIL(in, "'%s' is not an integer", text);
        const int64_t digit = text[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return DYNO_TEXT_FAIL(in, "%s does not fit into 64 bits", text);
    }
    in->pos += strlen(text);
    *value_out = value;
    return DYNO_OK;
}

enum dyno_status dyno_text_float(struct dyno_text *in, double *value_out)
{
    char text[NUMBER_BYTES_MAX + 1];
    char *end = NULL;
    DYNO_TRY(number(in, text));
    *value_out = strtod(text, &end);
    if (*end != '\0')
        return DYNO_TEXT_FAIL(in, "'%s' is not a number", text);
    in->pos += strlen(text);
    return DYNO_OK;
}

/* Symbols that the expression names and that are known only while running may be 0. */
static bool enter_open_symbols(struct dyno_text *in, size_t end)
{
    for (size_t i = in->pos; i < end; i++) {
        if (in->text[i] != '?')
            continue;
        size_t stop = i + 1;
        while (stop < end && dyno_text_is_name(in->text[stop]) && in->text[stop] != '-' &&
               in->text[stop] != '/')
            stop++;
        const char *name = dyno_arena_strndup(in->graph->arena, in->text + i, stop - i);
        if (name == NULL || dyno_expr_symbol(in->graph->exprs, name, dyno_text_symbol_min(name),
                                             INT64_MAX) == DYNO_EXPR_NONE)
            return false;
        i = stop - 1;
    }
    return true;
}

enum dyno_status dyno_text_expr(struct dyno_text *in, dyno_expr *e_out)
{
    dyno_text_space(in);
    size_t end = in->pos;
    bool is_quoted = false;
    for (int depth = 0; end < in->bytes; end++) {
        const char c = in->text[end];
        if (c == '\'')
            is_quoted = !is_quoted;
        else if (c == '\\' && is_quoted && end + 1 < in->bytes)
            end++;
        if (is_quoted)
            continue;
        depth += (c == '(') - (c == ')');
        if (c == '\n' || (depth <= 0 && (c == ',' || c == ']')))
            break;
    }
    if (!enter_open_symbols(in, end))
        return DYNO_NOMEM(in->err);
    const enum dyno_status status =
        dyno_expr_parse(in->graph->exprs, in->text + in->pos, end - in->pos, e_out, in->err);
    if (status == DYNO_E_NOMEM)
        return status;
    if (status != DYNO_OK)
        return dyno_text_place(in);
    if (*e_out == DYNO_EXPR_NONE)
        return DYNO_NOMEM(in->err);
    in->pos = end;
    return DYNO_OK;
}

enum dyno_status dyno_text_type(struct dyno_text *in, struct dyno_type *type_out)
{
    struct dyno_type type = {.kind = DYNO_TYPE_TENSOR};
    if (dyno_text_eat_word(in, "seq"))
        type.kind = DYNO_TYPE_SEQUENCE;
    else if (dyno_text_eat_word(in, "opt"))
        type.kind = DYNO_TYPE_OPTIONAL;
    dyno_text_space(in);
    const size_t bytes = name_bytes(in);
    type.dtype = dyno_dtype_parse(in->text + in->pos, bytes);
    if (type.dtype == DYNO_DTYPE_NONE)
        return DYNO_TEXT_FAIL(in, "an element type is expected here");
    in->pos += bytes;
    DYNO_TRY(dyno_text_expect(in, '['));
    if (dyno_text_eat(in, '*')) {
        type.rank = -1;
    } else if (dyno_text_peek(in) != ']') {
        do {
            if (type.rank == DYNO_RANK_MAX)
                return DYNO_TEXT_FAIL(in, "a tensor has at most %d axes", DYNO_RANK_MAX);
            DYNO_TRY(dyno_text_expr(in, &type.dims[type.rank]));
            type.rank++;
        } while (dyno_text_eat(in, ','));
    }
    DYNO_TRY(dyno_text_expect(in, ']'));
    *type_out = type;
    return DYNO_OK;
}

/* --- data --- */

static enum dyno_status read_items(struct dyno_text *in, struct dyno_tensor *tensor, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double real = 0;
        int64_t whole = 0;
        if (i != 0)
            DYNO_TRY(dyno_text_expect(in, ','));
        if (tensor->dtype == DYNO_STR) {
            DYNO_TRY(dyno_text_string(in, (struct dyno_str *)tensor->data + i));
        } else if (dyno_dtype_is_float(tensor->dtype)) {
            DYNO_TRY(dyno_text_float(in, &real));
            dyno_elem_store_f64(tensor->dtype, tensor->data, i, real);
        } else {
            DYNO_TRY(dyno_text_int(in, &whole));
            dyno_elem_store_i64(tensor->dtype, tensor->data, i, whole);
        }
    }
    return DYNO_OK;
}

/* splitmix64 (Vigna): good enough to look like data, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void dyno_tensor_fill_random(struct dyno_tensor *tensor, uint64_t seed)
{
    const size_t count = (size_t)dyno_tensor_count(tensor);
    uint64_t state = seed;
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = next_random(&state) >> 40; /* 24 of them */
        if (dyno_dtype_is_float(tensor->dtype))
            dyno_elem_store_f64(tensor->dtype, tensor->data, i, (double)bits / 8388608.0 - 1.0);
        else
            dyno_elem_store_i64(tensor->dtype, tensor->data, i,
                                (int64_t)(tensor->dtype == DYNO_BOOL ? bits & 1 : bits & 7));
    }
}

static enum dyno_status fill(struct dyno_text *in, struct dyno_tensor *tensor, size_t count)
{
    if (dyno_text_eat(in, '[')) {
        DYNO_TRY(read_items(in, tensor, count));
        return dyno_text_expect(in, ']');
    }
    if (tensor->dtype == DYNO_STR)
        return DYNO_TEXT_FAIL(in, "a list of strings is expected here");
    if (dyno_text_eat_word(in, "zeros"))
        return DYNO_OK;
    if (dyno_text_eat_word(in, "ones")) {
        for (size_t i = 0; i < count; i++)
            dyno_elem_store_f64(tensor->dtype, tensor->data, i, 1.0);
        return DYNO_OK;
    }
    int64_t seed = 0;
    if (!dyno_text_eat_word(in, "random"))
        return DYNO_TEXT_FAIL(in, "a list, zeros, ones or random(seed) is expected here");
    DYNO_TRY(dyno_text_expect(in, '('));
    DYNO_TRY(dyno_text_int(in, &seed));
    DYNO_TRY(dyno_text_expect(in, ')'));
    dyno_tensor_fill_random(tensor, (uint64_t)seed);
    return DYNO_OK;
}

enum dyno_status dyno_text_data(struct dyno_text *in, const struct dyno_type *type,
                                struct dyno_tensor *tensor_out)
{
    struct dyno_tensor tensor = {.dtype = type->dtype, .rank = type->rank};
    int64_t count = 0;
    size_t bytes = 0;
    for (int i = 0; i < type->rank; i++) {
        if (!dyno_expr_is_const(in->graph->exprs, type->dims[i], &tensor.dims[i]))
            return DYNO_TEXT_FAIL(in, "the sizes of a constant must be numbers");
    }
    if (type->rank < 0 || type->kind != DYNO_TYPE_TENSOR || type->dtype == DYNO_C64 ||
        type->dtype == DYNO_C128)
        return DYNO_TEXT_FAIL(in, "a constant of this type has no text");
    if (!dyno_dims_count(tensor.dims, tensor.rank, &count) ||
        !dyno_dtype_bytes(tensor.dtype, (uint64_t)count, &bytes) ||
        bytes > DATA_BYTES_MAX - in->data_bytes)
        return DYNO_TEXT_FAIL(in, "the constants of this text take more than 64 MiB");
    in->data_bytes += bytes;
    tensor.data = dyno_arena_alloc(in->graph->arena, bytes, 1);
    if (tensor.data == NULL)
        return DYNO_NOMEM(in->err);
    DYNO_TRY(fill(in, &tensor, (size_t)count));
    *tensor_out = tensor;
    return DYNO_OK;
}
