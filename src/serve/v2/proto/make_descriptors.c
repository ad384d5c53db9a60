/* make_descriptors.c - a program of the build: .proto files become data for reflection.
 *
 *     make_descriptors OUT.c FOLDER FILE.proto ...      (imported files before those that import)
 *
 * Reads the part of proto3 that our files use: packages, imports, messages and enums in each other,
 * fields, repeated ones, maps, oneofs, services with streams.  What it does not know is an error
 * with file and line.  Each file is read twice: for its names, then for its descriptors
 * (google/protobuf/descriptor.proto), in which every type is named in full.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/pbwire.h"

#define FILES_MAX   16
#define SYMBOLS_MAX 4096
#define NAME_BYTES  256

enum type_kind {
    TYPE_STRING = 9,
    TYPE_MESSAGE = 11,
    TYPE_ENUM = 14,
};

enum label {
    LABEL_ONE = 1,
    LABEL_REPEATED = 3,
};

struct symbol {
    const char *name; /* in full, without a dot before it */
    int type;         /* TYPE_MESSAGE, TYPE_ENUM; 0: nothing that a field may have */
    int file;
};

struct file {
    const char *name;
    struct dyno_file_map map;
    int imports[FILES_MAX]; /* direct */
    int import_count;
    struct dyno_strbuf descriptor;
};

static struct dyno_arena *arena;
static struct symbol symbols[SYMBOLS_MAX];
static int symbol_count;
static const char *services[64];
static int service_count;
static struct file files[FILES_MAX];
static int file_count;

/* --- tokens --- */

/* Where the one file that is read stands. */
static struct {
    const char *at, *end;
    int file, line;
    bool is_naming; /* the first of the two readings */
    char token[NAME_BYTES];
} in;

static _Noreturn void refuse(const char *what, const char *detail)
{
    (void)fprintf(stderr, "%s:%d: %s%s\n", files[in.file].name, in.line, what, detail);
    exit(1);
}

static void skip_blanks(void)
{
    for (; in.at < in.end; in.at++) {
        if (in.at + 1 < in.end && in.at[0] == '/' && in.at[1] == '/')
            while (in.at < in.end && *in.at != '\n')
                in.at++;
        if (in.at == in.end || !isspace((unsigned char)*in.at))
            return;
        in.line += *in.at == '\n';
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* The next token: a word with dots, a number, a text without its quotes, one sign; "" at the end.
 */
static const char *next(void)
{
    size_t bytes = 0;
    skip_blanks();
    const char *from = in.at;
    if (in.at < in.end && *in.at == '"') {
        from = ++in.at;
        while (in.at < in.end && *in.at != '"' && *in.at != '\n')
            in.at++;
        bytes = (size_t)(in.at - from);
        if (in.at == in.end || *in.at != '"')
            refuse("text without end", "");
        in.at++;
    } else if (in.at < in.end && is_word(*in.at)) {
        while (in.at < in.end && is_word(*in.at))
            in.at++;
        bytes = (size_t)(in.at - from);
    } else if (in.at < in.end) {
        in.at++;
        bytes = 1;
    }
    if (bytes >= sizeof(in.token))
        refuse("a name is too long", "");
    memcpy(in.token, from, bytes);
    in.token[bytes] = 0;
    return in.token;
}

static bool is_next(const char *want)
{
    const char *at = in.at;
    const int line = in.line;
    if (strcmp(next(), want) == 0)
        return true;
    in.at = at;
    in.line = line;
    return false;
}

static void want(const char *token)
{
    if (!is_next(token))
        refuse("wants ", token);
}

static const char *keep(const char *text)
{
    const char *kept = dyno_arena_strdup(arena, text);
    if (kept == NULL)
        refuse("out of memory", "");
    return kept;
}

static const char *take_name(void)
{
    const char *token = next();
    if (!isalpha((unsigned char)token[0]))
        refuse("wants a name, not ", token);
    return keep(token);
}

static uint64_t take_number(uint64_t least)
{
    char *end = NULL;
    const char *token = next();
    const uint64_t value = strtoull(token, &end, 10);
    if (token[0] == 0 || *end != 0 || value < least || value > 0x1fffffff)
        refuse("wants a number, not ", token);
    return value;
}

/* --- names --- */

/* "scope.name" */
static const char *in_scope(const char *scope, const char *name)
{
    char full[2 * NAME_BYTES];
    (void)snprintf(full, sizeof(full), "%s%s%s", scope, scope[0] != 0 ? "." : "", name);
    return keep(full);
}

static const struct symbol *find_symbol(const char *full)
{
    for (int i = 0; i < symbol_count; i++)
        if (strcmp(symbols[i].name, full) == 0)
            return &symbols[i];
    return NULL;
}

static void declare(const char *full, int type)
{
    if (!in.is_naming)
        return;
    if (find_symbol(full) != NULL)
        refuse("twice: ", full);
    if (symbol_count == SYMBOLS_MAX)
        refuse("too many names", "");
    symbols[symbol_count++] = (struct symbol){.name = full, .type = type, .file = in.file};
}

static bool is_imported(int from, int to)
{
    bool found = from == to;
    for (int i = 0; i < files[from].import_count && !found; i++)
        found = is_imported(files[from].imports[i], to);
    return found;
}

/* What a name means inside a scope: the innermost declaration. */
static const struct symbol *resolve(const char *scope, const char *name)
{
    char outer[NAME_BYTES];
    (void)snprintf(outer, sizeof(outer), "%s", scope);
    for (;;) {
        const struct symbol *found = find_symbol(in_scope(outer, name));
        if (found != NULL && found->type != 0 && is_imported(in.file, found->file))
            return found;
        if (outer[0] == 0)
            refuse("unknown type ", name);
        char *dot = strrchr(outer, '.');
        *(dot != NULL ? dot : outer) = 0;
    }
}

/* --- descriptors --- */

static void put_message(struct dyno_strbuf *out, uint32_t number, struct dyno_strbuf *message)
{
    dyno_pb_put_bytes(out, number, dyno_strbuf_text(message), message->bytes);
    out->failed = out->failed || message->failed;
    dyno_strbuf_fini(message);
}

static int scalar_type(const char *name)
{
    static const char *const names[] = {"double",  "float",   "int64", "uint64", "int32",
                                        "fixed64", "fixed32", "bool",  "string", "",
                                        "",        "bytes",   "uint32"};
    for (size_t i = 0; i < DYNO_COUNT(names); i++)
        if (names[i][0] != 0 && strcmp(names[i], name) == 0)
            return (int)i + 1;
    return 0;
}

/* type = 5, and type_name = 6 for what is no scalar. */
static void put_type(struct dyno_strbuf *out, const char *scope, const char *type)
{
    const int scalar = scalar_type(type);
    if (scalar != 0) {
        dyno_pb_put_varint(out, 5, (uint64_t)scalar);
        return;
    }
    const struct symbol *symbol = resolve(scope, type);
    char full[NAME_BYTES + 1];
    (void)snprintf(full, sizeof(full), ".%s", symbol->name);
    dyno_pb_put_varint(out, 5, (uint64_t)symbol->type);
    dyno_pb_put_text(out, 6, full);
}

/* FieldDescriptorProto, without oneof_index. */
static void begin_field(struct dyno_strbuf *out, const char *scope, const char *name,
                        uint64_t number, enum label label, const char *type)
{
    dyno_pb_put_text(out, 1, name);
    dyno_pb_put_varint(out, 3, number);
    dyno_pb_put_varint(out, 4, (uint64_t)label);
    put_type(out, scope, type);
}

/* "TYPE name = number;" after its label; oneof -1: of none. */
static void take_field(struct dyno_strbuf *out, const char *scope, enum label label, int oneof)
{
    struct dyno_strbuf field = {0};
    const char *type = take_name();
    const char *name = take_name();
    want("=");
    const uint64_t number = take_number(1);
    want(";");
    declare(in_scope(scope, name), 0);
    if (in.is_naming)
        return;
    begin_field(&field, scope, name, number, label, type);
    if (oneof >= 0)
        dyno_pb_put_varint(&field, 9, (uint64_t)oneof);
    put_message(out, 2, &field);
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* "a_name" as "AName" and "Entry": what protobuf calls the message of a map's entries. */
static const char *entry_name(const char *field)
{
    char name[NAME_BYTES + 8];
    size_t to = 0;
    bool up = true;
    for (; *field != 0; field++) {
        if (*field != '_')
            name[to++] = up ? upper(*field) : *field;
        up = *field == '_';
    }
    memcpy(name + to, "Entry", 6);
    return keep(name);
}

/* After "map": "<KEY, VALUE> name = number;" */
static void take_map(struct dyno_strbuf *out, const char *scope)
{
    struct dyno_strbuf field = {0};
    struct dyno_strbuf entry = {0};
    struct dyno_strbuf part = {0};
    want("<");
    const char *key = take_name();
    want(",");
    const char *value = take_name();
    want(">");
    const char *name = take_name();
    want("=");
    const uint64_t number = take_number(1);
    want(";");
    const char *entry_of = entry_name(name);
    declare(in_scope(scope, name), 0);
    declare(in_scope(scope, entry_of), TYPE_MESSAGE);
    if (in.is_naming)
        return;
    begin_field(&field, scope, name, number, LABEL_REPEATED, entry_of);
    put_message(out, 2, &field);
    dyno_pb_put_text(&entry, 1, entry_of);
    begin_field(&part, scope, "key", 1, LABEL_ONE, key);
    put_message(&entry, 2, &part);
    begin_field(&part, scope, "value", 2, LABEL_ONE, value);
    put_message(&entry, 2, &part);
    dyno_pb_put_varint(&part, 7, 1); /* map_entry */
    put_message(&entry, 7, &part);
    put_message(out, 3, &entry);
}

/* After "oneof". */
static void take_oneof(struct dyno_strbuf *out, const char *scope, int idx)
{
    struct dyno_strbuf oneof = {0};
    const char *name = take_name();
    declare(in_scope(scope, name), 0);
    want("{");
    while (!is_next("}"))
        take_field(out, scope, LABEL_ONE, idx);
    if (in.is_naming)
        return;
    dyno_pb_put_text(&oneof, 1, name);
    put_message(out, 8, &oneof);
}

/* After "enum"; values belong to the scope around it. */
static void take_enum(struct dyno_strbuf *out, uint32_t number, const char *scope)
{
    struct dyno_strbuf descriptor = {0};
    const char *name = take_name();
    declare(in_scope(scope, name), TYPE_ENUM);
    dyno_pb_put_text(&descriptor, 1, name);
    want("{");
    while (!is_next("}")) {
        struct dyno_strbuf value = {0};
        const char *value_name = take_name();
        declare(in_scope(scope, value_name), 0);
        want("=");
        dyno_pb_put_text(&value, 1, value_name);
        dyno_pb_put_varint(&value, 2, take_number(0));
        want(";");
        put_message(&descriptor, 2, &value);
    }
    put_message(out, number, &descriptor);
}

/* After "message". */
static void take_message(struct dyno_strbuf *out, uint32_t number, const char *scope, int depth)
{
    struct dyno_strbuf descriptor = {0};
    const char *name = take_name();
    const char *own = in_scope(scope, name);
    int oneof_count = 0;
    if (depth == 8)
        refuse("messages too deep in each other", "");
    declare(own, TYPE_MESSAGE);
    dyno_pb_put_text(&descriptor, 1, name);
    want("{");
    while (!is_next("}")) {
        if (is_next("message"))
            take_message(&descriptor, 3, own, depth + 1);
        else if (is_next("enum"))
            take_enum(&descriptor, 4, own);
        else if (is_next("map"))
            take_map(&descriptor, own);
        else if (is_next("oneof"))
            take_oneof(&descriptor, own, oneof_count++);
        else
            take_field(&descriptor, own, is_next("repeated") ? LABEL_REPEATED : LABEL_ONE, -1);
    }
    put_message(out, number, &descriptor);
}

/* "(stream TYPE)": the type in full, and whether it is a stream. */
static const char *take_message_type(const char *scope, bool *is_stream)
{
    char full[NAME_BYTES + 1] = "";
    want("(");
    *is_stream = is_next("stream");
    const char *name = take_name();
    if (!in.is_naming)
        (void)snprintf(full, sizeof(full), ".%s", resolve(scope, name)->name);
    want(")");
    return keep(full);
}

/* After "service". */
static void take_service(struct dyno_strbuf *out, const char *scope)
{
    struct dyno_strbuf descriptor = {0};
    const char *name = take_name();
    const char *own = in_scope(scope, name);
    declare(own, 0);
    if (in.is_naming && service_count < (int)DYNO_COUNT(services))
        services[service_count++] = own;
    dyno_pb_put_text(&descriptor, 1, name);
    want("{");
    while (!is_next("}")) {
        struct dyno_strbuf method = {0};
        bool is_client_stream = false;
        bool is_server_stream = false;
        want("rpc");
        const char *method_name = take_name();
        declare(in_scope(own, method_name), 0);
        dyno_pb_put_text(&method, 1, method_name);
        dyno_pb_put_text(&method, 2, take_message_type(scope, &is_client_stream));
        want("returns");
        dyno_pb_put_text(&method, 3, take_message_type(scope, &is_server_stream));
        if (is_client_stream)
            dyno_pb_put_varint(&method, 5, 1);
        if (is_server_stream)
            dyno_pb_put_varint(&method, 6, 1);
        if (!is_next(";")) {
            want("{");
            want("}");
        }
        put_message(&descriptor, 2, &method);
    }
    put_message(out, 6, &descriptor);
}

static void take_import(struct file *file)
{
    const char *name = next();
    int idx = 0;
    while (idx < in.file && strcmp(files[idx].name, name) != 0)
        idx++;
    if (idx == in.file)
        refuse("imports what was not given before: ", name);
    if (in.is_naming)
        file->imports[file->import_count++] = idx;
    else
        dyno_pb_put_text(&file->descriptor, 3, name);
    want(";");
}

/* FileDescriptorProto. */
static void read_file(int idx, bool is_naming)
{
    struct file *file = &files[idx];
    struct dyno_strbuf *out = &file->descriptor;
    const char *package = "";
    in.at = file->map.data;
    in.end = in.at + file->map.bytes;
    in.file = idx;
    in.line = 1;
    in.is_naming = is_naming;
    dyno_strbuf_clear(out);
    dyno_pb_put_text(out, 1, file->name);
    want("syntax");
    want("=");
    want("proto3");
    want(";");
    while (skip_blanks(), in.at < in.end) {
        if (is_next("package")) {
            package = take_name();
            dyno_pb_put_text(out, 2, package);
            want(";");
        } else if (is_next("import")) {
            take_import(file);
        } else if (is_next("message")) {
            take_message(out, 4, package, 0);
        } else if (is_next("enum")) {
            take_enum(out, 5, package);
        } else if (is_next("service")) {
            take_service(out, package);
        } else {
            refuse("does not know ", next());
        }
    }
    dyno_pb_put_text(out, 12, "proto3");
}

/* --- the C file --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

static void write_file(FILE *out, int idx)
{
    const struct file *file = &files[idx];
    (void)fprintf(out, "/* %s */\nstatic const unsigned char descriptor_%d[] = {", file->name, idx);
    for (size_t i = 0; i < file->descriptor.bytes; i++)
        (void)fprintf(out, "%s%u,", i % 24 == 0 ? "\n    " : "",
                      (unsigned)(unsigned char)file->descriptor.text[i]);
    (void)fprintf(out, "\n};\nstatic const char *const symbols_%d[] = {\n", idx);
    for (int i = 0; i < symbol_count; i++)
        if (symbols[i].file == idx)
            (void)fprintf(out, "    \"%s\",\n", symbols[i].name);
    (void)fprintf(out, "};\n");
}

static void write_rows(FILE *out)
{
    (void)fprintf(out, "const struct dyno_v2_proto_file dyno_v2_proto_files[] = {\n");
    for (int i = 0; i < file_count; i++) {
        unsigned needs = 0;
        for (int k = 0; k < file_count; k++)
            needs |= k != i && is_imported(i, k) ? 1U << k : 0;
        (void)fprintf(out,
                      "    {\"%s\", descriptor_%d, sizeof(descriptor_%d), %uU, symbols_%d,\n"
                      "     DYNO_COUNT(symbols_%d)},\n",
                      files[i].name, i, i, needs, i, i);
    }
    (void)fprintf(out, "};\nconst size_t dyno_v2_proto_file_count = %d;\n", file_count);
    (void)fprintf(out, "const char *const dyno_v2_proto_services[] = {\n");
    for (int i = 0; i < service_count; i++)
        (void)fprintf(out, "    \"%s\",\n", services[i]);
    (void)fprintf(out, "};\nconst size_t dyno_v2_proto_service_count = %d;\n", service_count);
}

static bool write_all(const char *path)
{
    FILE *out = fopen(path, "w");
    if (out == NULL)
        return false;
    qsort(symbols, (size_t)symbol_count, sizeof(symbols[0]), by_name);
    (void)fprintf(out, "/* Made by make_descriptors from src/serve/v2/proto. */\n"
                       "#include \"serve/v2/reflection.h\"\n\n");
    for (int i = 0; i < file_count; i++)
        write_file(out, i);
    write_rows(out);
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    bool ok = argc > 3 && argc - 3 <= FILES_MAX;
    if (!ok)
        (void)fprintf(stderr, "make_descriptors OUT.c FOLDER FILE.proto ... (at most %d)\n",
                      FILES_MAX);
    arena = dyno_arena_create();
    for (; ok && file_count < argc - 3; file_count++) {
        struct file *file = &files[file_count];
        file->name = argv[3 + file_count];
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", argv[2], file->name);
        ok = arena != NULL && dyno_file_map(path, &file->map, &err) == DYNO_OK;
    }
    if (ok) {
        for (int i = 0; i < file_count; i++)
            read_file(i, true);
        for (int i = 0; i < file_count; i++) {
            read_file(i, false);
            ok = ok && dyno_strbuf_ok(&files[i].descriptor);
        }
        ok = ok && write_all(argv[1]);
        if (!ok)
            (void)fprintf(stderr, "%s cannot be written\n", argv[1]);
    } else if (err.text[0] != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    for (int i = 0; i < file_count; i++) {
        dyno_strbuf_fini(&files[i].descriptor);
        dyno_file_unmap(&files[i].map);
    }
    dyno_arena_destroy(arena);
    return ok ? 0 : 1;
}
