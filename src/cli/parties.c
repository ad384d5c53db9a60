/* parties.c - names and addresses as lines of JSON, which is hostile. */
#include "cli/parties.h"

#include <stdlib.h>
#include <string.h>

#include "meter/ledger/group.h"

#define CUSTOMERS_MAX 100000

static int compare(const void *left, const void *right)
{
    const struct dyno_customer *a = left;
    const struct dyno_customer *b = right;
    return strcmp(a->tenant, b->tenant);
}

enum dyno_status dyno_party_read(const struct dyno_json *object, const char *key,
                                 struct dyno_arena *arena, struct dyno_party *party_out,
                                 struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(object, key);
    *party_out = (struct dyno_party){0};
    if (list == NULL || list->kind != DYNO_JSON_ARRAY || list->count > DYNO_PARTY_LINES_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be an array of at most %d lines of text", key,
                         DYNO_PARTY_LINES_MAX);
    const char **lines = dyno_arena_alloc(arena, list->count + 1, sizeof(*lines));
    if (lines == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        if (at->kind != DYNO_JSON_STRING || !dyno_name_ok(at->text, at->text_bytes))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "%s: a line has 1 to %d bytes of text without control characters", key,
                             DYNO_NAME_BYTES_MAX);
        lines[party_out->line_count++] = at->text;
    }
    party_out->lines = lines;
    return DYNO_OK;
}

static enum dyno_status read_customer(const struct dyno_json *row, struct dyno_arena *arena,
                                      struct dyno_parties *parties, struct dyno_err *err)
{
    struct dyno_customer *customer = &parties->customers[parties->customer_count];
    const struct dyno_json *tenant = dyno_json_find(row, "tenant");
    if (tenant == NULL || tenant->kind != DYNO_JSON_STRING ||
        !dyno_name_ok(tenant->text, tenant->text_bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "customers: each wants its tenant, a name");
    *customer = (struct dyno_customer){.tenant = tenant->text};
    const enum dyno_status status = dyno_party_read(row, "lines", arena, &customer->party, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "customers: tenant '%.128s'", tenant->text);
    parties->customer_count++;
    return status;
}

enum dyno_status dyno_parties_read(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_parties *parties_out, struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(object, "customers");
    *parties_out = (struct dyno_parties){0};
    DYNO_TRY(dyno_party_read(object, "seller", arena, &parties_out->seller, err));
    if (list == NULL || list->kind != DYNO_JSON_ARRAY || list->count > CUSTOMERS_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "customers must be an array of at most %d objects",
                         CUSTOMERS_MAX);
    parties_out->customers =
        dyno_arena_alloc(arena, list->count + 1, sizeof(*parties_out->customers));
    if (parties_out->customers == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next)
        DYNO_TRY(read_customer(at, arena, parties_out, err));
    const size_t count = parties_out->customer_count;
    if (count > 0)
        qsort(parties_out->customers, count, sizeof(*parties_out->customers), compare);
    for (size_t i = 1; i < count; i++)
        if (compare(&parties_out->customers[i - 1], &parties_out->customers[i]) == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "customers: tenant '%.128s' is there twice",
                             parties_out->customers[i].tenant);
    return DYNO_OK;
}

enum dyno_status dyno_parties_load(const char *path, struct dyno_arena *arena,
                                   struct dyno_parties *parties_out, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    const char *text = NULL;
    size_t bytes = 0;
    DYNO_TRY(dyno_closing_load(path, arena, &text, &bytes, err));
    enum dyno_status status = dyno_json_parse(text, bytes, arena, &root, err);
    if (status == DYNO_OK)
        status = dyno_parties_read(root, arena, parties_out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

struct dyno_party dyno_parties_find(const struct dyno_parties *parties, const char *tenant)
{
    const struct dyno_customer key = {.tenant = tenant};
    const struct dyno_customer *found =
        parties->customer_count > 0
            ? bsearch(&key, parties->customers, parties->customer_count, sizeof(key), compare)
            : NULL;
    return found != NULL ? found->party : (struct dyno_party){0};
}

enum dyno_status dyno_parties_of(const struct dyno_parties *parties,
                                 const struct dyno_statement *statement, struct dyno_arena *arena,
                                 struct dyno_parties *parties_out, struct dyno_err *err)
{
    *parties_out = (struct dyno_parties){.seller = parties->seller};
    parties_out->customers =
        dyno_arena_alloc(arena, statement->account_count + 1, sizeof(*parties_out->customers));
    if (parties_out->customers == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < statement->account_count; i++) {
        const char *tenant = statement->accounts[i].tenant;
        const struct dyno_party party = dyno_parties_find(parties, tenant);
        if (party.line_count > 0)
            parties_out->customers[parties_out->customer_count++] =
                (struct dyno_customer){tenant, party};
    }
    return DYNO_OK;
}

static bool same_lines(const struct dyno_party *a, const struct dyno_party *b)
{
    bool same = a->line_count == b->line_count;
    for (size_t i = 0; same && i < a->line_count; i++)
        same = strcmp(a->lines[i], b->lines[i]) == 0;
    return same;
}

bool dyno_parties_same(const struct dyno_parties *a, const struct dyno_parties *b)
{
    bool same = same_lines(&a->seller, &b->seller) && a->customer_count == b->customer_count;
    for (size_t i = 0; same && i < a->customer_count; i++)
        same = strcmp(a->customers[i].tenant, b->customers[i].tenant) == 0 &&
               same_lines(&a->customers[i].party, &b->customers[i].party);
    return same;
}

void dyno_parties_json(const struct dyno_parties *parties, struct dyno_json_writer *json)
{
    dyno_json_put_strs(json, "seller", parties->seller.lines, parties->seller.line_count);
    dyno_json_put_array_begin(json, "customers");
    for (size_t i = 0; i < parties->customer_count; i++) {
        const struct dyno_customer *customer = &parties->customers[i];
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "tenant", customer->tenant);
        dyno_json_put_strs(json, "lines", customer->party.lines, customer->party.line_count);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}
