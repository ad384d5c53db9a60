/* closing.c - closings as text, and the folder they lie in. */
#include "cli/closing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/hex.h"
#include "cli/parties.h"
#include "rate/document.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define CLOSINGS_MAX   100000

const char *dyno_sha256_text(const void *data, size_t bytes, char out[DYNO_SHA_TEXT_ROOM])
{
    struct dyno_sha256 sha;
    uint8_t digest[32];
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, data, bytes);
    dyno_sha256_final(&sha, digest);
    return dyno_hex_text(digest, sizeof(digest), out);
}

/* --- text --- */

static void put_nano(struct dyno_json_writer *json, const char *key, int64_t nano)
{
    char text[DYNO_MONEY_ROOM];
    dyno_json_put_str(json, key, dyno_decimal_text(nano, 9, 0, text));
}

static void print_credits(const struct dyno_closing *closing, struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "credits");
    for (size_t i = 0; i < closing->credit_count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "tenant", closing->credits[i].tenant);
        put_nano(json, "before", closing->credits[i].before_nano);
        put_nano(json, "left", closing->credits[i].left_nano);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

static void print_invoices(const struct dyno_closing *closing, struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "invoices");
    for (size_t i = 0; i < closing->invoice_count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "number", closing->invoices[i].number);
        dyno_json_put_str(json, "tenant", closing->invoices[i].tenant);
        dyno_json_put_str(json, "total", closing->invoices[i].total);
        dyno_json_put_str(json, "sha256", closing->invoices[i].sha256);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

void dyno_closing_print(const struct dyno_closing *closing, struct dyno_strbuf *out)
{
    struct dyno_json_writer json = {.out = out, .indent = 2};
    const struct dyno_invoice_closing *made_of = &closing->made_of;
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_json_object_begin(&json);
    dyno_json_put_u64(&json, "dyno_closing", made_of->form);
    dyno_json_put_u64(&json, "number", made_of->number);
    dyno_json_put_str(&json, "before", made_of->before);
    dyno_json_put_str(&json, "platform", closing->platform);
    dyno_json_put_str(&json, "from", dyno_time_text(closing->first_s, when));
    dyno_json_put_str(&json, "until", dyno_time_text(closing->next_s, when));
    dyno_json_put_str(&json, "billed_from", dyno_time_text(made_of->billed_from_s, when));
    if (made_of->form >= 3) {
        dyno_json_put_str(&json, "issued", dyno_day_text(made_of->issued_s, when));
        dyno_parties_json(&closing->parties, &json);
    }
    dyno_json_put_str(&json, "tariffs", made_of->tariffs);
    dyno_json_put_str(&json, "factors", made_of->factors);
    dyno_invoice_heads_json(made_of, &json);
    print_credits(closing, &json);
    print_invoices(closing, &json);
    dyno_json_put_str(&json, "currency", closing->currency);
    dyno_json_put_str(&json, "revenue", closing->revenue);
    dyno_json_put_str(&json, "charged", closing->charged);
    dyno_json_put_str(&json, "paid_by_credit", closing->paid_by_credit);
    dyno_json_put_str(&json, "residue", closing->residue);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
}

/* --- the folder --- */

const char *dyno_closing_path(struct dyno_arena *arena, const char *folder, const char *name,
                              const char *suffix)
{
    const size_t bytes = strlen(folder) + strlen(name) + strlen(suffix) + 3;
    char *path = dyno_arena_alloc(arena, bytes, 1);
    if (path != NULL)
        (void)snprintf(path, bytes, "%s/%s.%s", folder, name, suffix);
    return path;
}

const char *dyno_closing_path_of(struct dyno_arena *arena, const char *folder, uint64_t number)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "%08llu", (unsigned long long)number);
    return dyno_closing_path(arena, folder, name, "closing.json");
}

enum dyno_status dyno_closing_load(const char *path, struct dyno_arena *arena,
                                   const char **text_out, size_t *bytes_out, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    if (path == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_file_map(path, &map, err));
    enum dyno_status status = DYNO_OK;
    if (map.bytes > FILE_BYTES_MAX)
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "%s has more than %zu bytes", path, FILE_BYTES_MAX);
    *bytes_out = map.bytes;
    *text_out = status == DYNO_OK
                    ? dyno_arena_strndup(arena, map.bytes > 0 ? map.data : "", map.bytes)
                    : NULL;
    if (status == DYNO_OK && *text_out == NULL)
        status = DYNO_NOMEM(err);
    dyno_file_unmap(&map);
    return status;
}

static enum dyno_status read_one(const char *path, struct dyno_arena *arena, uint64_t number,
                                 const char *before, struct dyno_closing *closing,
                                 const char **sha_out, struct dyno_err *err)
{
    const char *text = NULL;
    size_t bytes = 0;
    char sha[DYNO_SHA_TEXT_ROOM];
    DYNO_TRY(dyno_closing_load(path, arena, &text, &bytes, err));
    enum dyno_status status = dyno_closing_parse(text, bytes, arena, closing, err);
    if (status == DYNO_OK && closing->made_of.number != number)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT, "it says that it is closing %llu",
                           (unsigned long long)closing->made_of.number);
    if (status == DYNO_OK && strcmp(closing->made_of.before, before) != 0)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "the closing before it is another one than when it was made");
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "%s", path);
        return status;
    }
    *sha_out = dyno_arena_strdup(arena, dyno_sha256_text(text, bytes, sha));
    return *sha_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* What the names in the folder say: how many closings there are, the last of them, and the last one
 * that an invoice is of. */
struct listed {
    uint64_t count, last, invoiced;
};

/* The number that a name begins with; 0: none.  *rest_out: what is behind it. */
static uint64_t number_of(const char *name, const char **rest_out)
{
    char *end = NULL;
    const bool has_digit = name[0] >= '0' && name[0] <= '9';
    const unsigned long long number = has_digit ? strtoull(name, &end, 10) : 0;
    *rest_out = has_digit ? end : name;
    return number;
}

static void list_name(const char *name, struct listed *listed)
{
    char again[48];
    const char *rest = NULL;
    const uint64_t number = number_of(name, &rest);
    if (rest[0] == '-' && number_of(rest + 1, &rest) > 0 && strcmp(rest, ".invoice.json") == 0) {
        listed->invoiced = number > listed->invoiced ? number : listed->invoiced;
        return;
    }
    (void)snprintf(again, sizeof(again), "%08llu.closing.json", (unsigned long long)number);
    if (strcmp(name, again) != 0)
        return;
    listed->count++;
    listed->last = number > listed->last ? number : listed->last;
}

/* Closings follow one another without a gap, and an invoice is written after its closing. */
static enum dyno_status check_listed(const char *folder, const struct listed *listed,
                                     struct dyno_arena *arena, struct dyno_err *err)
{
    uint64_t missing = 1;
    if (listed->last > CLOSINGS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%s has closing %llu: at most %d are read", folder,
                         (unsigned long long)listed->last, CLOSINGS_MAX);
    if (listed->invoiced > listed->last)
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "%s has an invoice of closing %llu and not that closing: it was removed",
                         folder, (unsigned long long)listed->invoiced);
    if (listed->count == listed->last)
        return DYNO_OK;
    for (; missing < listed->last; missing++) {
        const char *path = dyno_closing_path_of(arena, folder, missing);
        if (path == NULL)
            return DYNO_NOMEM(err);
        if (access(path, F_OK) != 0)
            break;
    }
    return DYNO_FAIL(err, DYNO_E_CORRUPT,
                     "%s has closing %llu and not closing %llu: it was removed", folder,
                     (unsigned long long)listed->last, (unsigned long long)missing);
}

static enum dyno_status count_closings(const char *folder, bool may_be_new,
                                       struct dyno_arena *arena, size_t *count_out,
                                       struct dyno_err *err)
{
    struct listed listed = {0};
    DIR *dir = opendir(folder);
    *count_out = 0;
    if (dir == NULL && errno == ENOENT)
        return may_be_new ? DYNO_OK
                          : DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                                      "--books=%s: there is no such folder (before anything is "
                                      "closed leave --books out)",
                                      folder);
    if (dir == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot read \"%s\": %s", folder,
                         strerror(errno));
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        list_name(entry->d_name, &listed);
    (void)closedir(dir);
    *count_out = listed.count;
    return check_listed(folder, &listed, arena, err);
}

enum dyno_status dyno_closings_read(const char *folder, bool may_be_new, struct dyno_arena *arena,
                                    struct dyno_closings *closings_out, struct dyno_err *err)
{
    size_t count = 0;
    const char *before = "";
    *closings_out = (struct dyno_closings){0};
    DYNO_TRY(count_closings(folder, may_be_new, arena, &count, err));
    closings_out->items = dyno_arena_alloc(arena, count + 1, sizeof(*closings_out->items));
    closings_out->sha256s = dyno_arena_alloc(arena, count + 1, sizeof(*closings_out->sha256s));
    if (closings_out->items == NULL || closings_out->sha256s == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++) {
        DYNO_TRY(read_one(dyno_closing_path_of(arena, folder, i + 1), arena, i + 1, before,
                          &closings_out->items[i], &closings_out->sha256s[i], err));
        before = closings_out->sha256s[i];
    }
    closings_out->count = count;
    return DYNO_OK;
}
