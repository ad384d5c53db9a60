/* text.h - what the printer and the reader of the text form share (docs/ir.md). */
#ifndef DYNO_IR_TEXT_H
#define DYNO_IR_TEXT_H

#include "ir/internal.h"

#define DYNO_TEXT_ELEMS_MAX 64 /* constants with more elements are not printed whole */

/* Of a bare name. */
static inline bool dyno_text_is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '-';
}

/* The least value of a symbol whose range is not stated. */
static inline int64_t dyno_text_symbol_min(const char *name)
{
    return name[0] == '?' ? 0 : 1;
}

/* --- the reader --- */

struct dyno_text_values {
    struct dyno_value **at;
    uint32_t count, capacity;
};
struct dyno_text_declared {
    struct dyno_value *value;
    struct dyno_type type;
    size_t pos;
    struct dyno_text_declared *next;
};
struct dyno_text {
    const char *text;
    size_t bytes;
    size_t pos;
    struct dyno_graph *graph; /* the innermost one */
    int depth;
    size_t data_bytes;              /* of constants so far: the text asks for more than it holds */
    struct dyno_text_values values; /* inputs or outputs of the node being read */
    struct dyno_text_declared *declared;
    struct dyno_err *err;
};

/* A sentence with "line:column: " before it. */
#define DYNO_TEXT_FAIL(in, ...)                                               \
    (dyno_err_set((in)->err, DYNO_E_FORMAT, __FILE__, __LINE__, __VA_ARGS__), \
     dyno_failed(DYNO_E_FORMAT, dyno_text_place(in)))
/* Put the place before the recorded text; DYNO_E_FORMAT. */
enum dyno_status dyno_text_place(struct dyno_text *in);

void dyno_text_space(struct dyno_text *in);
/* The next character after space; '\0' at the end. */
char dyno_text_peek(struct dyno_text *in);
/* Skip `c` if it comes next. */
bool dyno_text_eat(struct dyno_text *in, char c);
enum dyno_status dyno_text_expect(struct dyno_text *in, char c);
/* Skip the word if it comes next as a whole. */
bool dyno_text_eat_word(struct dyno_text *in, const char *word);
/* A bare name, copied into the arena. */
enum dyno_status dyno_text_name(struct dyno_text *in, const char **name_out);
/* A quoted string, copied into the arena. */
enum dyno_status dyno_text_string(struct dyno_text *in, struct dyno_str *string_out);
enum dyno_status dyno_text_int(struct dyno_text *in, int64_t *value_out);
enum dyno_status dyno_text_float(struct dyno_text *in, double *value_out);
/* The expression up to the next ',' or ']' outside parentheses. */
enum dyno_status dyno_text_expr(struct dyno_text *in, dyno_expr *e_out);
enum dyno_status dyno_text_type(struct dyno_text *in, struct dyno_type *type_out);
/* The contents of a tensor whose type is given by `type`, whose sizes must be constants. */
enum dyno_status dyno_text_data(struct dyno_text *in, const struct dyno_type *type,
                                struct dyno_tensor *tensor_out);
/* '%' and the name of a value that exists already / of a new one. */
enum dyno_status dyno_text_value(struct dyno_text *in, struct dyno_value **value_out);
enum dyno_status dyno_text_new_value(struct dyno_text *in, bool is_input,
                                     struct dyno_value **value_out);
bool dyno_text_add_value(struct dyno_text *in, struct dyno_value *value);

enum dyno_status dyno_text_node(struct dyno_text *in);
/* "graph" ... "}" into a graph that exists. */
enum dyno_status dyno_text_graph(struct dyno_text *in, struct dyno_graph *graph);

#endif /* DYNO_IR_TEXT_H */
