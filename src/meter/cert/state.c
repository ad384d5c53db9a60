/* state.c - suspended or in force, in a file beside the certificate. */
#include "meter/cert/state.h"

#include <stdio.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/file.h"
#include "base/json.h"
#include "meter/cert/internal.h"

const char *dyno_cert_state_text(enum dyno_cert_state_kind kind)
{
    static const char *const texts[] = {"in force", "suspended", "expired"};
    return texts[kind];
}

static void path_of(const struct dyno_cert *cert, const char *folder, struct dyno_strbuf *path)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(&cert->address, hex);
    dyno_strbuf_printf(path, "%s/%s.state.json", folder, hex);
}

static const char *member(const struct dyno_json *root, const char *key)
{
    const struct dyno_json *value = dyno_json_find(root, key);
    return value != NULL && value->kind == DYNO_JSON_STRING ? value->text : "";
}

static enum dyno_status parse_before(const struct dyno_json *root, struct dyno_cert_state *state,
                                     struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(root, "before");
    int64_t last_s = INT64_MIN;
    if (list == NULL)
        return DYNO_OK;
    bool is_good = list->kind == DYNO_JSON_ARRAY && list->count <= DYNO_CERT_BEFORE_MAX;
    for (const struct dyno_json *at = list->first; is_good && at != NULL; at = at->next) {
        struct dyno_cert_span *span = &state->before[state->before_count++];
        is_good = dyno_cert_time(member(at, "from"), &span->from_s) &&
                  dyno_cert_time(member(at, "until"), &span->until_s) && span->from_s >= last_s &&
                  span->from_s < span->until_s;
        last_s = span->until_s;
    }
    return is_good
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT,
                           "'before' is no list of at most %u spans {from, until} in their order",
                           DYNO_CERT_BEFORE_MAX);
}

static enum dyno_status parse(const struct dyno_cert *cert, const struct dyno_file_map *map,
                              struct dyno_arena *arena, struct dyno_cert_state *state,
                              struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    char hex[DYNO_CERT_HEX_ROOM];
    DYNO_TRY(dyno_json_parse(map->data, map->bytes, arena, &root, err));
    dyno_cert_hex(&cert->address, hex);
    if (strcmp(member(root, "certificate"), hex) != 0)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the state is of another certificate");
    const char *text = member(root, "state");
    if (strcmp(text, dyno_cert_state_text(DYNO_CERT_SUSPENDED)) == 0)
        state->kind = DYNO_CERT_SUSPENDED;
    else if (strcmp(text, dyno_cert_state_text(DYNO_CERT_IN_FORCE)) != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'state' is neither 'in force' nor 'suspended'");
    if (!dyno_cert_time(member(root, "since"), &state->since_s))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'since' is not a time like 2026-01-31T12:00:00Z");
    (void)snprintf(state->reason, sizeof(state->reason), "%s", member(root, "reason"));
    for (char *at = state->reason; *at != 0; at++)
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    return parse_before(root, state, err);
}

static enum dyno_status read_file(const struct dyno_cert *cert, const char *path,
                                  struct dyno_cert_state *state, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status = arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_file_map(path, &map, err);
    if (status == DYNO_OK) {
        status = parse(cert, &map, arena, state, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "%s", path);
    }
    dyno_file_unmap(&map);
    dyno_arena_destroy(arena);
    return status;
}

/* What the file says, whatever the time. */
static enum dyno_status read_said(const struct dyno_cert *cert, const char *folder,
                                  struct dyno_cert_state *state_out, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    enum dyno_status status = DYNO_OK;
    *state_out = (struct dyno_cert_state){.since_s = cert->issued_s};
    path_of(cert, folder, &path);
    if (!dyno_strbuf_ok(&path))
        status = DYNO_NOMEM(err);
    else if (access(dyno_strbuf_text(&path), F_OK) == 0)
        status = read_file(cert, dyno_strbuf_text(&path), state_out, err);
    dyno_strbuf_fini(&path);
    return status;
}

enum dyno_status dyno_cert_state_read(const struct dyno_cert *cert, const char *folder,
                                      int64_t now_s, struct dyno_cert_state *state_out,
                                      struct dyno_err *err)
{
    const enum dyno_status status = read_said(cert, folder, state_out, err);
    if (status == DYNO_OK && now_s >= dyno_cert_expires_s(cert)) {
        state_out->kind = DYNO_CERT_EXPIRED;
        state_out->since_s = dyno_cert_expires_s(cert);
        (void)snprintf(state_out->reason, sizeof(state_out->reason), "its term of %u days is over",
                       cert->term_days);
    }
    return status;
}

/* A suspension that ends becomes one of those before; one that goes on began when it began. */
static enum dyno_status follow(const struct dyno_cert_state *was, struct dyno_cert_state *state,
                               struct dyno_err *err)
{
    state->before_count = was->before_count;
    memcpy(state->before, was->before, sizeof(was->before));
    if (was->kind != DYNO_CERT_SUSPENDED)
        return DYNO_OK;
    if (state->kind == DYNO_CERT_SUSPENDED) {
        state->since_s = was->since_s < state->since_s ? was->since_s : state->since_s;
        return DYNO_OK;
    }
    if (state->since_s <= was->since_s) /* a clock that was set back */
        state->since_s = was->since_s + 1;
    if (state->before_count == DYNO_CERT_BEFORE_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "it was suspended %u times: it stays so, make a new one",
                         DYNO_CERT_BEFORE_MAX + 1);
    state->before[state->before_count++] = (struct dyno_cert_span){was->since_s, state->since_s};
    return DYNO_OK;
}

static void print_before(const struct dyno_cert_state *state, struct dyno_json_writer *json)
{
    char text[DYNO_TIME_TEXT_ROOM];
    if (state->before_count == 0)
        return;
    dyno_json_put_array_begin(json, "before");
    for (uint32_t i = 0; i < state->before_count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "from", dyno_time_text(state->before[i].from_s, text));
        dyno_json_put_str(json, "until", dyno_time_text(state->before[i].until_s, text));
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

enum dyno_status dyno_cert_state_write(const struct dyno_cert *cert, const char *folder,
                                       const struct dyno_cert_state *state, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    struct dyno_cert_state was;
    struct dyno_cert_state now = *state;
    char since[DYNO_TIME_TEXT_ROOM];
    char hex[DYNO_CERT_HEX_ROOM];
    DYNO_ASSERT(state->kind != DYNO_CERT_EXPIRED);
    DYNO_TRY(read_said(cert, folder, &was, err));
    DYNO_TRY(follow(&was, &now, err));
    dyno_cert_hex(&cert->address, hex);
    path_of(cert, folder, &path);
    const char *const rows[][2] = {{"certificate", hex},
                                   {"state", dyno_cert_state_text(now.kind)},
                                   {"since", dyno_time_text(now.since_s, since)},
                                   {"reason", now.reason}};
    dyno_json_object_begin(&json);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        dyno_json_put_str(&json, rows[i][0], rows[i][1]);
    }
    print_before(&now, &json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(&text, "\n");
    const enum dyno_status status =
        dyno_strbuf_ok(&path) && dyno_strbuf_ok(&text)
            ? dyno_file_write_atomic(dyno_strbuf_text(&path), dyno_strbuf_text(&text), text.bytes,
                                     err)
            : DYNO_NOMEM(err);
    dyno_strbuf_fini(&text);
    dyno_strbuf_fini(&path);
    return status;
}
