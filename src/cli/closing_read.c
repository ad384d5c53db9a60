/* closing_read.c - closings and final invoices out of their JSON, which is hostile. */
#include <string.h>

#include "base/calendar.h"
#include "base/hex.h"
#include "cli/parties.h"
#include "meter/ledger/head.h"

#define ROWS_MAX 1000000

/* --- members --- */

static enum dyno_status text_of(const struct dyno_json *object, const char *key,
                                const char **text_out, struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    if (member == NULL || member->kind != DYNO_JSON_STRING ||
        strlen(member->text) != member->text_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a text", key);
    *text_out = member->text;
    return DYNO_OK;
}

static enum dyno_status count_of(const struct dyno_json *object, const char *key, uint64_t max,
                                 uint64_t *count_out, struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    if (member == NULL || member->kind != DYNO_JSON_NUMBER || !member->is_int ||
        member->integer < 0 || (uint64_t)member->integer > max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a whole number from 0 to %llu", key,
                         (unsigned long long)max);
    *count_out = (uint64_t)member->integer;
    return DYNO_OK;
}

static enum dyno_status form_of(const struct dyno_json *object, const char *key, uint32_t least,
                                uint32_t *form_out, struct dyno_err *err)
{
    uint64_t form = 0;
    if (count_of(object, key, DYNO_RATE_FORM, &form, NULL) != DYNO_OK || form < least)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "%s must be a form that this program knows, at most %u", key,
                         DYNO_RATE_FORM);
    *form_out = (uint32_t)form;
    return DYNO_OK;
}

static enum dyno_status time_of(const struct dyno_json *object, const char *key,
                                int64_t *time_s_out, struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(text_of(object, key, &text, err));
    return dyno_time_parse(text, time_s_out)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a time, as 2026-11-01T00:00:00Z", key);
}

/* A day on which it can have been made. */
static enum dyno_status day_of_issue(const struct dyno_json *object, int64_t next_s,
                                     int64_t *day_s_out, struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(text_of(object, "issued", &text, err));
    return strlen(text) == 10 && dyno_time_parse(text, day_s_out) &&
                   *day_s_out + DYNO_DAY_S > next_s
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT,
                           "issued must be a day that is not before the period's end");
}

static enum dyno_status nano_of(const struct dyno_json *object, const char *key, int64_t *nano_out,
                                struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(text_of(object, key, &text, err));
    return dyno_decimal_parse(text, 9, key, nano_out, err);
}

/* 64 digits, or nothing where nothing is allowed. */
static enum dyno_status sha_of(const struct dyno_json *object, const char *key, bool may_be_empty,
                               const char **text_out, struct dyno_err *err)
{
    uint8_t bytes[32];
    DYNO_TRY(text_of(object, key, text_out, err));
    const size_t digits = strlen(*text_out);
    return (digits == 0 && may_be_empty) ||
                   (digits == 64 && dyno_hex_parse(*text_out, digits, bytes))
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a SHA-256, 64 hexadecimal digits", key);
}

static enum dyno_status list_of(const struct dyno_json *object, const char *key,
                                const struct dyno_json **list_out, struct dyno_err *err)
{
    *list_out = dyno_json_find(object, key);
    return *list_out != NULL && (*list_out)->kind == DYNO_JSON_ARRAY &&
                   (*list_out)->count <= ROWS_MAX
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be an array of at most %d objects", key,
                           ROWS_MAX);
}

/* --- heads --- */

/* The numbers beside a head are for people: they must be those of its bytes. */
static enum dyno_status read_head(const struct dyno_json *row, struct dyno_arena *arena,
                                  struct dyno_invoice_head *out, struct dyno_err *err)
{
    uint8_t bytes[DYNO_HEAD_BYTES];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    struct dyno_head head;
    uint64_t node = 0;
    const char *root_text = NULL;
    DYNO_TRY(count_of(row, "node", UINT32_MAX, &node, err));
    DYNO_TRY(count_of(row, "groups", INT64_MAX, &out->group_count, err));
    DYNO_TRY(count_of(row, "billed_groups", INT64_MAX, &out->billed_count, err));
    DYNO_TRY(text_of(row, "root", &root_text, err));
    DYNO_TRY(text_of(row, "head", &out->text, err));
    if (strlen(out->text) != 2 * sizeof(bytes) ||
        !dyno_hex_parse(out->text, 2 * sizeof(bytes), bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "head must have %zu hexadecimal digits",
                         2 * sizeof(bytes));
    DYNO_TRY(dyno_head_decode(bytes, sizeof(bytes), &head, err));
    DYNO_TRY(dyno_head_check(bytes, err));
    (void)dyno_hex_text(head.root.bytes, DYNO_DIGEST_BYTES, root);
    if (head.node != node || head.group_count != out->group_count || strcmp(root, root_text) != 0 ||
        out->billed_count > out->group_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its head says otherwise than what stands beside it");
    out->node = head.node;
    out->is_signed = head.is_signed;
    out->is_last = head.is_last;
    out->root = dyno_arena_strdup(arena, root);
    return out->root != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* What closings and final invoices have in common. */
static enum dyno_status read_made_of(const struct dyno_json *object, struct dyno_arena *arena,
                                     struct dyno_invoice_closing *out, struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(count_of(object, "number", INT64_MAX, &out->number, err));
    DYNO_TRY(sha_of(object, "before", true, &out->before, err));
    DYNO_TRY(time_of(object, "billed_from", &out->billed_from_s, err));
    DYNO_TRY(sha_of(object, "tariffs", false, &out->tariffs, err));
    DYNO_TRY(sha_of(object, "factors", true, &out->factors, err));
    DYNO_TRY(list_of(object, "heads", &list, err));
    struct dyno_invoice_head *heads = dyno_arena_alloc(arena, list->count + 1, sizeof(*heads));
    if (heads == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next)
        DYNO_TRY(read_head(at, arena, &heads[out->head_count++], err));
    out->heads = heads;
    return out->head_count > 0 ? DYNO_OK
                               : DYNO_FAIL(err, DYNO_E_FORMAT, "heads is empty: it is of nothing");
}

/* --- closings --- */

static enum dyno_status read_credits(const struct dyno_json *root, struct dyno_arena *arena,
                                     struct dyno_closing *out, struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(list_of(root, "credits", &list, err));
    out->credits = dyno_arena_alloc(arena, list->count + 1, sizeof(*out->credits));
    if (out->credits == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        struct dyno_closing_credit *credit = &out->credits[out->credit_count++];
        DYNO_TRY(text_of(at, "tenant", &credit->tenant, err));
        DYNO_TRY(nano_of(at, "before", &credit->before_nano, err));
        DYNO_TRY(nano_of(at, "left", &credit->left_nano, err));
        if (credit->left_nano < 0 || credit->left_nano > credit->before_nano)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "tenant '%.128s' has more credit left than before",
                             credit->tenant);
    }
    return DYNO_OK;
}

static enum dyno_status read_invoices(const struct dyno_json *root, struct dyno_arena *arena,
                                      struct dyno_closing *out, struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(list_of(root, "invoices", &list, err));
    out->invoices = dyno_arena_alloc(arena, list->count + 1, sizeof(*out->invoices));
    if (out->invoices == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        struct dyno_closing_invoice *invoice = &out->invoices[out->invoice_count++];
        DYNO_TRY(text_of(at, "number", &invoice->number, err));
        DYNO_TRY(text_of(at, "tenant", &invoice->tenant, err));
        DYNO_TRY(text_of(at, "total", &invoice->total, err));
        DYNO_TRY(sha_of(at, "sha256", false, &invoice->sha256, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_closing_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_closing *closing_out, struct dyno_err *err)
{
    struct dyno_closing *out = closing_out;
    const struct dyno_json *root = NULL;
    *out = (struct dyno_closing){0};
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    if (dyno_json_find(root, "dyno_closing") == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no closing of a period");
    DYNO_TRY(form_of(root, "dyno_closing", 1, &out->made_of.form, err));
    DYNO_TRY(read_made_of(root, arena, &out->made_of, err));
    DYNO_TRY(text_of(root, "platform", &out->platform, err));
    DYNO_TRY(time_of(root, "from", &out->first_s, err));
    DYNO_TRY(time_of(root, "until", &out->next_s, err));
    if (out->next_s <= out->first_s || out->made_of.billed_from_s > out->first_s)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its times are in no order");
    if (out->made_of.form >= 3) {
        DYNO_TRY(day_of_issue(root, out->next_s, &out->made_of.issued_s, err));
        DYNO_TRY(dyno_parties_read(root, arena, &out->parties, err));
    }
    DYNO_TRY(read_credits(root, arena, out, err));
    DYNO_TRY(read_invoices(root, arena, out, err));
    DYNO_TRY(text_of(root, "currency", &out->currency, err));
    DYNO_TRY(text_of(root, "revenue", &out->revenue, err));
    DYNO_TRY(text_of(root, "charged", &out->charged, err));
    DYNO_TRY(text_of(root, "paid_by_credit", &out->paid_by_credit, err));
    return text_of(root, "residue", &out->residue, err);
}

/* --- invoices --- */

static enum dyno_status read_parties(const struct dyno_json *root, struct dyno_arena *arena,
                                     struct dyno_invoice_claim *out, struct dyno_err *err)
{
    out->parties.customers = dyno_arena_alloc(arena, 1, sizeof(*out->parties.customers));
    if (out->parties.customers == NULL)
        return DYNO_NOMEM(err);
    out->parties.customers[0].tenant = out->tenant;
    out->parties.customer_count = 1;
    DYNO_TRY(dyno_party_read(root, "seller", arena, &out->parties.seller, err));
    return dyno_party_read(root, "customer", arena, &out->parties.customers[0].party, err);
}

enum dyno_status dyno_invoice_claim_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                          struct dyno_invoice_claim *claim_out,
                                          struct dyno_err *err)
{
    struct dyno_invoice_claim *out = claim_out;
    const struct dyno_json *root = NULL;
    *out = (struct dyno_invoice_claim){0};
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    const struct dyno_json *closing = dyno_json_find(root, "closing");
    if (closing == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no final invoice as JSON");
    out->made_of.form = 1; /* which did not say it */
    if (dyno_json_find(root, "dyno_invoice") != NULL)
        DYNO_TRY(form_of(root, "dyno_invoice", 2, &out->made_of.form, err));
    DYNO_TRY(text_of(root, "platform", &out->platform, err));
    DYNO_TRY(text_of(root, "number", &out->number, err));
    DYNO_TRY(text_of(root, "tenant", &out->tenant, err));
    DYNO_TRY(time_of(root, "from", &out->first_s, err));
    DYNO_TRY(time_of(root, "until", &out->next_s, err));
    if (out->made_of.form >= 3) {
        DYNO_TRY(day_of_issue(root, out->next_s, &out->made_of.issued_s, err));
        DYNO_TRY(read_parties(root, arena, out, err));
    }
    DYNO_TRY(nano_of(root, "credit_before", &out->credit_before_nano, err));
    DYNO_TRY(read_made_of(closing, arena, &out->made_of, err));
    return out->next_s > out->first_s && out->made_of.billed_from_s <= out->first_s &&
                   out->credit_before_nano >= 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "its times are in no order, or its credit below 0");
}
