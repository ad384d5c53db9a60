/* reflection.c - answers out of the tables. */
#include "serve/v2/reflection.h"

#include <stdlib.h>
#include <string.h>

#include "serve/v2/pb_part.h"

/* Of ServerReflectionRequest; all but the host are one choice. */
enum request_field {
    REQUEST_HOST = 1,
    REQUEST_FILE_BY_NAME = 3,
    REQUEST_FILE_OF_SYMBOL = 4,
    REQUEST_FILE_OF_EXTENSION = 5,
    REQUEST_EXTENSIONS_OF_TYPE = 6,
    REQUEST_SERVICES = 7,
};

/* Of ServerReflectionResponse. */
enum response_field {
    RESPONSE_HOST = 1,
    RESPONSE_REQUEST = 2,
    RESPONSE_FILES = 4,
    RESPONSE_EXTENSIONS = 5,
    RESPONSE_SERVICES = 6,
    RESPONSE_ERROR = 7,
};

/* Statuses of gRPC, as error_code has them. */
enum {
    INVALID_ARGUMENT = 3,
    NOT_FOUND = 5,
};

bool dyno_v2_has_service(const char *name)
{
    for (size_t i = 0; i < dyno_v2_proto_service_count; i++)
        if (strcmp(dyno_v2_proto_services[i], name) == 0)
            return true;
    return false;
}

static void put_error(struct dyno_strbuf *out, int code, const char *text)
{
    struct dyno_strbuf error = {0};
    dyno_pb_put_varint(&error, 1, (uint64_t)code);
    dyno_pb_put_text(&error, 2, text);
    dyno_v2_pb_put_message(out, RESPONSE_ERROR, &error);
}

/* A name that a request asks for; not NUL-terminated. */
struct name {
    const char *text;
    size_t bytes;
};

static int compare(const struct name *name, const char *with)
{
    const size_t bytes = strlen(with);
    const size_t common = name->bytes < bytes ? name->bytes : bytes;
    const int order = common > 0 ? memcmp(name->text, with, common) : 0;
    return order != 0 ? order : (name->bytes > bytes) - (name->bytes < bytes);
}

static int compare_symbol(const void *name, const void *symbol)
{
    return compare(name, *(const char *const *)symbol);
}

static const struct dyno_v2_proto_file *file_of_symbol(const struct name *name)
{
    for (size_t i = 0; i < dyno_v2_proto_file_count; i++) {
        const struct dyno_v2_proto_file *file = &dyno_v2_proto_files[i];
        if (bsearch(name, file->symbols, file->symbol_count, sizeof(*file->symbols),
                    compare_symbol) != NULL)
            return file;
    }
    return NULL;
}

static const struct dyno_v2_proto_file *file_by_name(const struct name *name)
{
    for (size_t i = 0; i < dyno_v2_proto_file_count; i++)
        if (compare(name, dyno_v2_proto_files[i].name) == 0)
            return &dyno_v2_proto_files[i];
    return NULL;
}

/* A file and those that it needs. */
static void put_files(struct dyno_strbuf *out, const struct dyno_v2_proto_file *file,
                      const char *missing)
{
    struct dyno_strbuf files = {0};
    if (file == NULL) {
        put_error(out, NOT_FOUND, missing);
        return;
    }
    dyno_pb_put_bytes(&files, 1, file->descriptor, file->descriptor_bytes);
    for (size_t i = 0; i < dyno_v2_proto_file_count; i++)
        if ((file->needs >> i & 1U) != 0)
            dyno_pb_put_bytes(&files, 1, dyno_v2_proto_files[i].descriptor,
                              dyno_v2_proto_files[i].descriptor_bytes);
    dyno_v2_pb_put_message(out, RESPONSE_FILES, &files);
}

/* There are no extensions of messages here, but of a type that is known that can be said. */
static void put_extensions(struct dyno_strbuf *out, const struct name *type)
{
    struct dyno_strbuf numbers = {0};
    if (file_of_symbol(type) == NULL) {
        put_error(out, NOT_FOUND, "there is no such type");
        return;
    }
    dyno_pb_put_bytes(&numbers, 1, type->text, type->bytes);
    dyno_v2_pb_put_message(out, RESPONSE_EXTENSIONS, &numbers);
}

static void put_services(struct dyno_strbuf *out)
{
    struct dyno_strbuf list = {0};
    for (size_t i = 0; i < dyno_v2_proto_service_count; i++) {
        struct dyno_strbuf service = {0};
        dyno_pb_put_text(&service, 1, dyno_v2_proto_services[i]);
        dyno_v2_pb_put_message(&list, 1, &service);
    }
    dyno_v2_pb_put_message(out, RESPONSE_SERVICES, &list);
}

/* The last choice on the wire counts. */
static enum dyno_status take_request(const void *body, size_t bytes, struct name *host,
                                     struct dyno_pb_field *choice, struct dyno_err *err)
{
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    const char *text = NULL;
    size_t text_bytes = 0;
    dyno_pb_init(&reader, body, bytes);
    for (bool more = true;;) {
        DYNO_TRY(dyno_pb_next(&reader, &field, &more, err));
        if (!more)
            return DYNO_OK;
        if (field.number > REQUEST_SERVICES || field.number == 2)
            continue;
        DYNO_TRY(dyno_pb_bytes(&field, &text, &text_bytes, err));
        if (field.number == REQUEST_HOST)
            *host = (struct name){.text = text, .bytes = text_bytes};
        else
            *choice = field;
    }
}

enum dyno_status dyno_v2_reflect(const void *body, size_t bytes, struct dyno_strbuf *out,
                                 struct dyno_err *err)
{
    struct name host = {.text = "", .bytes = 0};
    struct dyno_pb_field choice = {0};
    if (bytes > DYNO_V2_REFLECT_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "a request of reflection of %zu bytes, at most %d are taken", bytes,
                         DYNO_V2_REFLECT_BYTES_MAX);
    DYNO_TRY(take_request(body, bytes, &host, &choice, err));
    const struct name name = {.text = (const char *)choice.data, .bytes = choice.bytes};
    dyno_pb_put_bytes(out, RESPONSE_HOST, host.text, host.bytes);
    dyno_pb_put_bytes(out, RESPONSE_REQUEST, bytes > 0 ? body : "", bytes);
    switch (choice.number) {
    case REQUEST_FILE_BY_NAME:
        put_files(out, file_by_name(&name), "there is no such file");
        break;
    case REQUEST_FILE_OF_SYMBOL:
        put_files(out, file_of_symbol(&name), "there is no such symbol");
        break;
    case REQUEST_FILE_OF_EXTENSION:
        put_error(out, NOT_FOUND, "there is no such extension");
        break;
    case REQUEST_EXTENSIONS_OF_TYPE:
        put_extensions(out, &name);
        break;
    case REQUEST_SERVICES:
        put_services(out);
        break;
    default:
        put_error(out, INVALID_ARGUMENT, "the request asks for nothing");
        break;
    }
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}
