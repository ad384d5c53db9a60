/* json_parse.c - JSON in, as a tree in an arena, from the reader's tokens. */
#include <string.h>

#include "base/json.h"
#include "base/map.h"

struct parser {
    struct dyno_json_reader reader;
    struct dyno_arena *arena;
    struct dyno_err *err;
};

static enum dyno_status take_items(struct parser *parser, struct dyno_json *container);

static enum dyno_status take_text(struct parser *parser, const struct dyno_json_raw *raw,
                                  const char **text_out, size_t *bytes_out)
{
    char *text = dyno_arena_alloc(parser->arena, raw->bytes + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(parser->err);
    *bytes_out = dyno_json_unescape(raw, text);
    *text_out = text;
    return DYNO_OK;
}

static enum dyno_status take_value(struct parser *parser, const struct dyno_json_token *token,
                                   struct dyno_json *value)
{
    switch (token->kind) {
    case DYNO_JSON_TOKEN_OBJECT:
        value->kind = DYNO_JSON_OBJECT;
        return take_items(parser, value);
    case DYNO_JSON_TOKEN_ARRAY:
        value->kind = DYNO_JSON_ARRAY;
        return take_items(parser, value);
    case DYNO_JSON_TOKEN_STRING:
        value->kind = DYNO_JSON_STRING;
        return take_text(parser, &token->raw, &value->text, &value->text_bytes);
    case DYNO_JSON_TOKEN_NUMBER:
        value->kind = DYNO_JSON_NUMBER;
        value->is_int = token->is_int;
        value->integer = token->integer;
        value->number = token->number;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_BOOL:
        value->kind = DYNO_JSON_BOOL;
        value->boolean = token->boolean;
        return DYNO_OK;
    case DYNO_JSON_TOKEN_NULL:
    case DYNO_JSON_TOKEN_CLOSE:
    case DYNO_JSON_TOKEN_END:
        break;
    }
    DYNO_ASSERT(token->kind == DYNO_JSON_TOKEN_NULL);
    return DYNO_OK;
}

static enum dyno_status take_key(struct parser *parser, const struct dyno_json_token *token,
                                 struct dyno_map *keys, struct dyno_json *item)
{
    DYNO_TRY(take_text(parser, &token->key, &item->key, &item->key_bytes));
    if (dyno_map_find(keys, item->key, item->key_bytes, NULL))
        return dyno_json_refuse(&parser->reader, parser->err, "key appears twice in one object");
    return dyno_map_put(keys, item->key, item->key_bytes, 0) ? DYNO_OK : DYNO_NOMEM(parser->err);
}

/* Until the container's end. */
static enum dyno_status take_items(struct parser *parser, struct dyno_json *container)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_map keys = {0};
    const struct dyno_json **link = &container->first;
    for (;;) {
        struct dyno_json_token token;
        status = dyno_json_read(&parser->reader, &token, parser->err);
        if (status != DYNO_OK || token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        struct dyno_json *item = dyno_arena_alloc(parser->arena, 1, sizeof(*item));
        status = item != NULL ? DYNO_OK : DYNO_NOMEM(parser->err);
        if (status == DYNO_OK && token.has_key)
            status = take_key(parser, &token, &keys, item);
        if (status == DYNO_OK)
            status = take_value(parser, &token, item);
        if (status != DYNO_OK)
            break;
        *link = item;
        link = &item->next;
        container->count++;
    }
    dyno_map_fini(&keys);
    return status;
}

enum dyno_status dyno_json_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                 const struct dyno_json **root_out, struct dyno_err *err)
{
    struct parser parser = {.arena = arena, .err = err};
    struct dyno_json_token token;
    *root_out = NULL;
    struct dyno_json *root = dyno_arena_alloc(arena, 1, sizeof(*root));
    if (root == NULL)
        return DYNO_NOMEM(err);
    dyno_json_reader_init(&parser.reader, text, bytes);
    DYNO_TRY(dyno_json_read(&parser.reader, &token, err));
    DYNO_TRY(take_value(&parser, &token, root));
    DYNO_TRY(dyno_json_read(&parser.reader, &token, err));
    *root_out = root;
    return DYNO_OK;
}

const struct dyno_json *dyno_json_find(const struct dyno_json *object, const char *key)
{
    if (object == NULL || object->kind != DYNO_JSON_OBJECT)
        return NULL;
    const size_t bytes = strlen(key);
    for (const struct dyno_json *member = object->first; member != NULL; member = member->next)
        if (member->key_bytes == bytes && memcmp(member->key, key, bytes) == 0)
            return member;
    return NULL;
}
