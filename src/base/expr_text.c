/* expr_text.c - expressions as a person writes them, and back. */
#include <ctype.h>
#include <string.h>

#include "base/expr_pool.h"

#define PRINT_DEPTH_MAX 200
#define PRINT_BYTES_MAX ((size_t)64 * 1024) /* shared parts are printed each time */
#define PARSE_DEPTH_MAX 200
#define NAME_BYTES_MAX  1024

/* How tightly an operator binds. */
enum { BIND_SUM, BIND_PRODUCT, BIND_ATOM };

static const char *const function_names[DYNO_EXPR_OP_COUNT] = {
    [DYNO_EXPR_MIN] = "min", [DYNO_EXPR_MAX] = "max",       [DYNO_EXPR_EQ] = "eq",
    [DYNO_EXPR_LT] = "lt",   [DYNO_EXPR_SELECT] = "select",
};

/* --- printing --- */

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '?';
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '?' || c == '.' || c == ':';
}

static void print_name(const char *name, struct dyno_strbuf *out)
{
    bool is_plain = is_name_start(name[0]);
    for (const char *at = name; *at != 0; at++)
        is_plain = is_plain && is_name_char(*at);
    if (is_plain) {
        dyno_strbuf_puts(out, name);
        return;
    }
    dyno_strbuf_puts(out, "'");
    for (const char *at = name; *at != 0; at++) {
        if (*at == '\'' || *at == '\\')
            dyno_strbuf_puts(out, "\\");
        dyno_strbuf_add(out, at, 1);
    }
    dyno_strbuf_puts(out, "'");
}

struct printer {
    const struct dyno_exprs *exprs;
    struct dyno_strbuf *out;
    size_t start_bytes;
    int depth;
};

static void print_node(struct printer *printer, dyno_expr e, int outer);

static void print_call(struct printer *printer, const struct dyno_expr_node *node)
{
    const dyno_expr args[3] = {node->a, node->b, node->c};
    const int count = node->op == DYNO_EXPR_SELECT ? 3 : 2;
    dyno_strbuf_puts(printer->out, function_names[node->op]);
    for (int i = 0; i < count; i++) {
        dyno_strbuf_puts(printer->out, i == 0 ? "(" : ", ");
        print_node(printer, args[i], BIND_SUM);
    }
    dyno_strbuf_puts(printer->out, ")");
}

/* A constant or a product with a negative constant in front: printed after a minus sign. */
static bool is_negative(const struct dyno_exprs *exprs, dyno_expr e)
{
    if (exprs->nodes[e].op == DYNO_EXPR_MUL)
        e = exprs->nodes[e].a;
    return exprs->nodes[e].op == DYNO_EXPR_CONST && exprs->nodes[e].value < 0;
}

static void print_negated(struct printer *printer, dyno_expr e)
{
    const struct dyno_exprs *exprs = printer->exprs;
    const bool is_product = exprs->nodes[e].op == DYNO_EXPR_MUL;
    const dyno_expr coef = is_product ? exprs->nodes[e].a : e;
    const uint64_t value = 0 - (uint64_t)exprs->nodes[coef].value;
    if (!is_product || value != 1)
        dyno_strbuf_printf(printer->out, "%llu", (unsigned long long)value);
    if (is_product) {
        const dyno_expr rest = exprs->nodes[e].b;
        const bool is_plain_product = exprs->nodes[rest].op == DYNO_EXPR_MUL;
        dyno_strbuf_puts(printer->out, value != 1 ? "*" : "");
        print_node(printer, rest, is_plain_product ? BIND_PRODUCT : BIND_ATOM);
    }
}

static void print_sum(struct printer *printer, const struct dyno_expr_node *node)
{
    print_node(printer, node->a, BIND_SUM);
    if (is_negative(printer->exprs, node->b)) {
        dyno_strbuf_puts(printer->out, " - ");
        print_negated(printer, node->b);
    } else {
        dyno_strbuf_puts(printer->out, " + ");
        print_node(printer, node->b, BIND_PRODUCT);
    }
}

static void print_product(struct printer *printer, dyno_expr e)
{
    const struct dyno_exprs *exprs = printer->exprs;
    const struct dyno_expr_node *node = &exprs->nodes[e];
    if (is_negative(exprs, e)) {
        dyno_strbuf_puts(printer->out, "-");
        print_negated(printer, e);
        return;
    }
    const bool left_is_product = exprs->nodes[node->a].op == DYNO_EXPR_MUL;
    print_node(printer, node->a, left_is_product ? BIND_PRODUCT : BIND_ATOM);
    dyno_strbuf_puts(printer->out, "*");
    const bool coef_first = exprs->nodes[node->a].op == DYNO_EXPR_CONST;
    const bool right_is_product = exprs->nodes[node->b].op == DYNO_EXPR_MUL;
    print_node(printer, node->b, coef_first && right_is_product ? BIND_PRODUCT : BIND_ATOM);
}

static int binding(const struct dyno_exprs *exprs, dyno_expr e)
{
    const struct dyno_expr_node *node = &exprs->nodes[e];
    if (node->op == DYNO_EXPR_ADD || is_negative(exprs, e))
        return BIND_SUM;
    const bool is_product =
        node->op == DYNO_EXPR_MUL || node->op == DYNO_EXPR_FLOORDIV || node->op == DYNO_EXPR_MOD;
    return is_product ? BIND_PRODUCT : BIND_ATOM;
}

static void print_bare(struct printer *printer, dyno_expr e)
{
    const struct dyno_expr_node *node = &printer->exprs->nodes[e];
    switch (node->op) {
    case DYNO_EXPR_CONST:
        dyno_strbuf_printf(printer->out, "%lld", (long long)node->value);
        break;
    case DYNO_EXPR_SYMBOL:
        print_name(printer->exprs->symbols[node->value].name, printer->out);
        break;
    case DYNO_EXPR_ADD:
        print_sum(printer, node);
        break;
    case DYNO_EXPR_MUL:
        print_product(printer, e);
        break;
    case DYNO_EXPR_FLOORDIV:
    case DYNO_EXPR_MOD:
        print_node(printer, node->a, BIND_PRODUCT);
        dyno_strbuf_puts(printer->out, node->op == DYNO_EXPR_MOD ? "%" : "//");
        print_node(printer, node->b, BIND_ATOM);
        break;
    case DYNO_EXPR_MIN:
    case DYNO_EXPR_MAX:
    case DYNO_EXPR_EQ:
    case DYNO_EXPR_LT:
    case DYNO_EXPR_SELECT:
        print_call(printer, node);
        break;
    case DYNO_EXPR_OP_COUNT:
        break;
    }
}

static void print_node(struct printer *printer, dyno_expr e, int outer)
{
    if (printer->depth == PRINT_DEPTH_MAX ||
        printer->out->bytes - printer->start_bytes > PRINT_BYTES_MAX) {
        dyno_strbuf_puts(printer->out, "...");
        return;
    }
    printer->depth++;
    const bool in_parens = binding(printer->exprs, e) < outer;
    dyno_strbuf_puts(printer->out, in_parens ? "(" : "");
    print_bare(printer, e);
    dyno_strbuf_puts(printer->out, in_parens ? ")" : "");
    printer->depth--;
}

void dyno_expr_print(const struct dyno_exprs *exprs, dyno_expr e, struct dyno_strbuf *out)
{
    if (e == DYNO_EXPR_NONE) {
        dyno_strbuf_puts(out, "?");
        return;
    }
    struct printer printer = {.exprs = exprs, .out = out, .start_bytes = out->bytes};
    print_node(&printer, e, BIND_SUM);
}

/* --- parsing --- */

struct parser {
    struct dyno_exprs *exprs;
    const char *start;
    const char *at;
    const char *end;
    int depth;
    struct dyno_err *err;
};

static enum dyno_status parse_sum(struct parser *parser, dyno_expr *e_out);

static enum dyno_status refuse(struct parser *parser, const char *want)
{
    const size_t left = (size_t)(parser->end - parser->at);
    return DYNO_FAIL(parser->err, DYNO_E_FORMAT,
                     "expression \"%.*s\": %s expected at column %zu, found \"%.*s\"",
                     (int)(parser->end - parser->start > 200 ? 200 : parser->end - parser->start),
                     parser->start, want, (size_t)(parser->at - parser->start) + 1,
                     (int)(left > 20 ? 20 : left), parser->at);
}

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->end && isspace((unsigned char)*parser->at))
        parser->at++;
}

static bool accept(struct parser *parser, const char *token)
{
    skip_blanks(parser);
    const size_t bytes = strlen(token);
    if ((size_t)(parser->end - parser->at) < bytes || memcmp(parser->at, token, bytes) != 0)
        return false;
    parser->at += bytes;
    return true;
}

static enum dyno_status parse_number(struct parser *parser, bool is_negative_number,
                                     dyno_expr *e_out)
{
    uint64_t value = 0;
    const uint64_t limit = (uint64_t)INT64_MAX + (is_negative_number ? 1 : 0);
    for (; parser->at < parser->end && isdigit((unsigned char)*parser->at); parser->at++) {
        const uint64_t digit = (uint64_t)(*parser->at - '0');
        if (value > (limit - digit) / 10)
            return refuse(parser, "a number below 2^63");
        value = value * 10 + digit;
    }
    *e_out = dyno_expr_const(parser->exprs, (int64_t)(is_negative_number ? 0 - value : value));
    return DYNO_OK;
}

static enum dyno_status parse_call(struct parser *parser, enum dyno_expr_op op, dyno_expr *e_out)
{
    dyno_expr args[3] = {0};
    const int count = op == DYNO_EXPR_SELECT ? 3 : 2;
    for (int i = 0; i < count; i++) {
        if (i != 0 && !accept(parser, ","))
            return refuse(parser, "','");
        DYNO_TRY(parse_sum(parser, &args[i]));
    }
    if (!accept(parser, ")"))
        return refuse(parser, "')'");
    if (op == DYNO_EXPR_MIN)
        *e_out = dyno_expr_min(parser->exprs, args[0], args[1]);
    else if (op == DYNO_EXPR_MAX)
        *e_out = dyno_expr_max(parser->exprs, args[0], args[1]);
    else if (op == DYNO_EXPR_EQ)
        *e_out = dyno_expr_eq(parser->exprs, args[0], args[1]);
    else if (op == DYNO_EXPR_LT)
        *e_out = dyno_expr_lt(parser->exprs, args[0], args[1]);
    else
        *e_out = dyno_expr_select(parser->exprs, args[0], args[1], args[2]);
    return DYNO_OK;
}

static enum dyno_status parse_name(struct parser *parser, dyno_expr *e_out)
{
    char name[NAME_BYTES_MAX];
    size_t bytes = 0;
    const bool is_quoted = *parser->at == '\'';
    parser->at += is_quoted;
    while (parser->at < parser->end &&
           (is_quoted ? *parser->at != '\'' : is_name_char(*parser->at))) {
        if (is_quoted && *parser->at == '\\' && parser->end - parser->at > 1)
            parser->at++;
        if (bytes == sizeof(name) - 1 || *parser->at == 0)
            return refuse(parser, "a symbol name of at most 1023 bytes without NUL");
        name[bytes++] = *parser->at++;
    }
    name[bytes] = 0;
    if (is_quoted && !accept(parser, "'"))
        return refuse(parser, "a closing quote");
    if (!is_quoted && bytes == 1 && name[0] == '?') {
        *e_out = DYNO_EXPR_NONE;
        return DYNO_OK;
    }
    if (!is_quoted) {
        for (int op = 0; op < DYNO_EXPR_OP_COUNT; op++)
            if (function_names[op] != NULL && strcmp(function_names[op], name) == 0 &&
                accept(parser, "("))
                return parse_call(parser, (enum dyno_expr_op)op, e_out);
    }
    *e_out = dyno_expr_symbol(parser->exprs, name, 1, INT64_MAX);
    return DYNO_OK;
}

static enum dyno_status parse_atom(struct parser *parser, dyno_expr *e_out)
{
    if (parser->depth == PARSE_DEPTH_MAX)
        return DYNO_FAIL(parser->err, DYNO_E_LIMIT, "expression is nested deeper than %d levels",
                         PARSE_DEPTH_MAX);
    enum dyno_status status = DYNO_OK;
    parser->depth++;
    skip_blanks(parser);
    const char next = parser->at < parser->end ? *parser->at : 0;
    if (accept(parser, "-")) {
        if (parser->at < parser->end && isdigit((unsigned char)*parser->at)) {
            status = parse_number(parser, true, e_out);
        } else {
            status = parse_atom(parser, e_out);
            *e_out = status == DYNO_OK
                         ? dyno_expr_sub(parser->exprs, dyno_expr_const(parser->exprs, 0), *e_out)
                         : DYNO_EXPR_NONE;
        }
    } else if (accept(parser, "(")) {
        status = parse_sum(parser, e_out);
        if (status == DYNO_OK && !accept(parser, ")"))
            status = refuse(parser, "')'");
    } else if (isdigit((unsigned char)next)) {
        status = parse_number(parser, false, e_out);
    } else if (next == '\'' || is_name_start(next)) {
        status = parse_name(parser, e_out);
    } else {
        status = refuse(parser, "a number, a name or '('");
    }
    parser->depth--;
    return status;
}

static enum dyno_status parse_product(struct parser *parser, dyno_expr *e_out)
{
    DYNO_TRY(parse_atom(parser, e_out));
    for (;;) {
        dyno_expr right = DYNO_EXPR_NONE;
        if (accept(parser, "*")) {
            DYNO_TRY(parse_atom(parser, &right));
            *e_out = dyno_expr_mul(parser->exprs, *e_out, right);
        } else if (accept(parser, "//")) {
            DYNO_TRY(parse_atom(parser, &right));
            *e_out = dyno_expr_floordiv(parser->exprs, *e_out, right);
        } else if (accept(parser, "%")) {
            DYNO_TRY(parse_atom(parser, &right));
            *e_out = dyno_expr_mod(parser->exprs, *e_out, right);
        } else {
            return DYNO_OK;
        }
    }
}

static enum dyno_status parse_sum(struct parser *parser, dyno_expr *e_out)
{
    DYNO_TRY(parse_product(parser, e_out));
    for (;;) {
        dyno_expr right = DYNO_EXPR_NONE;
        const bool is_plus = accept(parser, "+");
        if (!is_plus && !accept(parser, "-"))
            return DYNO_OK;
        DYNO_TRY(parse_product(parser, &right));
        *e_out = is_plus ? dyno_expr_add(parser->exprs, *e_out, right)
                         : dyno_expr_sub(parser->exprs, *e_out, right);
    }
}

enum dyno_status dyno_expr_parse(struct dyno_exprs *exprs, const char *text, size_t bytes,
                                 dyno_expr *e_out, struct dyno_err *err)
{
    struct parser parser = {
        .exprs = exprs, .start = text, .at = text, .end = text + bytes, .err = err};
    *e_out = DYNO_EXPR_NONE;
    DYNO_TRY(parse_sum(&parser, e_out));
    skip_blanks(&parser);
    return parser.at == parser.end ? DYNO_OK : refuse(&parser, "the end");
}
