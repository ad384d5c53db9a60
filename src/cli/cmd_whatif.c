/* cmd_whatif.c - dyno whatif: the usage of a ledger under other tariffs, side by side. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "cli/billing.h"
#include "rate/compare.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_bill_options bill;
    struct dyno_cli_list tariff_specs, engines;
    const char *svg, *precision;
    bool json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAGS_LEDGER(options),
    DYNO_FLAG_TARIFFS(options),
    {.name = "--tariff",
     .value = "NAME|KIND,p=3,a=0.5,q=2,c=1.8",
     .help = "Everybody by this tariff of the book; or each one's own at another price: a kind "
             "(device-hour, flat-epu, gain-share) with p the price of a device-hour, a the users' "
             "share, q the price of an EPU-hour, c the cost of a device-hour. What it does not say "
             "(and classes, tiers, minimum and the rest) stays each one's own, or is that of the "
             "book's first tariff, by name, that says it. May be given again",
     .kind = DYNO_FLAG_LIST,
     AT(tariff_specs)},
    {.name = "--certificate",
     .value = "ADDRESS",
     .help = "As if this engine certificate of --certificates stood in the place of those of its "
             "model; of other models, in every further one. May be given again",
     .kind = DYNO_FLAG_LIST,
     AT(engines)},
    {.name = "--precision",
     .value = "NAME",
     .help = "As if engines of this precision had served, wherever --certificates has one of the "
             "model",
     .kind = DYNO_FLAG_STR,
     AT(precision)},
    {.name = "--svg",
     .value = "FILE",
     .help = "Draw it, too; the file must not be there yet",
     .kind = DYNO_FLAG_STR,
     AT(svg)},
    DYNO_FLAG_JSON(options),
};

struct work {
    const struct options *options;
    struct dyno_bill_options bill; /* with what was not said */
    struct dyno_usage_source *source;
    struct dyno_arena *arena;
    const struct dyno_tariff_book *book;
    struct dyno_scenario scenarios[DYNO_SCENARIOS_MAX];
    size_t count;
    bool is_used; /* in any scenario, somebody used or owes something */
    struct dyno_grade *instead;
    size_t instead_count;
};

/* --- a tariff out of a flag --- */

/* What "kind,p=3,a=0.5" says; -1: nothing. */
struct said {
    enum dyno_tariff_kind kind;
    int64_t values[4];
};

static const struct {
    char letter;
    const char *field, *what;
    size_t at; /* of the number in a tariff */
} letters[] = {
    {'p', "device_hour", "price of a device-hour", offsetof(struct dyno_tariff, device_hour)},
    {'a', "share", "users' share", offsetof(struct dyno_tariff, share_ppm)},
    {'q', "epu_hour", "price of an EPU-hour", offsetof(struct dyno_tariff, epu_hour)},
    {'c', "cost_hour", "cost of a device-hour", offsetof(struct dyno_tariff, cost_hour)}};

static int64_t *number_of(struct dyno_tariff *tariff, size_t i)
{
    return (int64_t *)(void *)((char *)tariff + letters[i].at);
}

/* The value of `letter`; NULL: it is not said. */
static const char *value_of(const struct work *work, const char *spec, char letter)
{
    const char *at = strchr(spec, ',');
    for (; at != NULL; at = strchr(at + 1, ','))
        if (at[1] == letter && at[2] == '=')
            return dyno_arena_strndup(work->arena, at + 3, strcspn(at + 3, ","));
    return NULL;
}

static enum dyno_status check_letters(const char *spec, struct dyno_err *err)
{
    const char *at = strchr(spec, ',');
    bool is_said[128] = {false};
    for (; at != NULL; at = strchr(at + 1, ',')) {
        if (at[1] == 0 || strchr("paqc", at[1]) == NULL || at[2] != '=')
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "--tariff=%s: after the kind it knows p=, a=, q=, c=", spec);
        if (is_said[(size_t)at[1]])
            return DYNO_FAIL(err, DYNO_E_ARG, "--tariff=%s: %c= is there twice", spec, at[1]);
        is_said[(size_t)at[1]] = true;
    }
    return DYNO_OK;
}

/* What is no tariff of the book is to be a kind. */
static enum dyno_status check_kind(const struct work *work, const char *spec, struct dyno_err *err)
{
    const size_t bytes = strcspn(spec, ",");
    for (int kind = 0; kind <= DYNO_TARIFF_GAIN_SHARE; kind++) {
        const char *text = dyno_tariff_kind_text((enum dyno_tariff_kind)kind);
        if (strlen(text) == bytes && strncmp(text, spec, bytes) == 0)
            return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "--tariff=%s: '%.*s' is no tariff of %s and no kind: device-hour, flat-epu or "
                     "gain-share",
                     spec, (int)bytes, spec, work->bill.tariffs);
}

/* As a book of a tariff, so that it is judged as any other; what its kind wants, and is not said,
 * stands there as 0. */
static enum dyno_status parse_spec(const struct work *work, const char *spec, struct said *said_out,
                                   struct dyno_err *err)
{
    const struct dyno_tariff_book *book = NULL;
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text};
    DYNO_TRY(check_kind(work, spec, err));
    DYNO_TRY(check_letters(spec, err));
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "tariffs");
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "name", "what if");
    dyno_json_put_i64(&json, "version", 1);
    dyno_json_put_str(&json, "currency", work->book->tariffs[0].currency->code);
    dyno_json_key(&json, "kind");
    dyno_json_strn(&json, spec, strcspn(spec, ","));
    for (size_t i = 0; i < DYNO_COUNT(letters); i++) {
        const char *value = value_of(work, spec, letters[i].letter);
        dyno_json_put_str(&json, letters[i].field, value != NULL ? value : "0");
    }
    dyno_json_object_end(&json);
    dyno_json_array_end(&json);
    dyno_json_put_array_begin(&json, "grants");
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    const enum dyno_status status =
        dyno_strbuf_ok(&text)
            ? dyno_tariff_book_parse(dyno_strbuf_text(&text), text.bytes, work->arena, &book, err)
            : DYNO_NOMEM(err);
    dyno_strbuf_fini(&text);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "--tariff=%s", spec);
        return status;
    }
    struct dyno_tariff parsed = book->tariffs[0];
    said_out->kind = parsed.kind;
    for (size_t i = 0; i < DYNO_COUNT(letters); i++)
        said_out->values[i] =
            value_of(work, spec, letters[i].letter) != NULL ? *number_of(&parsed, i) : -1;
    return DYNO_OK;
}

/* The first of the book, by name, that says the number; -1: none. */
static int64_t first_of(const struct dyno_tariff_book *book, size_t i)
{
    int64_t value = -1;
    for (size_t k = 0; k < book->tariff_count && value < 0; k++) {
        struct dyno_tariff tariff = book->tariffs[k];
        value = *number_of(&tariff, i);
    }
    return value;
}

static bool is_wanted(enum dyno_tariff_kind kind, char letter)
{
    return kind == DYNO_TARIFF_FLAT_EPU
               ? letter == 'q'
               : letter == 'p' || (kind == DYNO_TARIFF_GAIN_SHARE && letter == 'a');
}

/* The same tariff with another price: everything that the flag does not say stays as it is. */
static enum dyno_status price(const struct work *work, const char *spec, const struct said *said,
                              struct dyno_tariff *tariff, struct dyno_err *err)
{
    tariff->kind = said->kind;
    for (size_t i = 0; i < DYNO_COUNT(letters); i++) {
        int64_t *number = number_of(tariff, i);
        if (said->values[i] >= 0)
            *number = said->values[i];
        else if (*number < 0)
            *number = first_of(work->book, i);
        if (*number < 0 && is_wanted(said->kind, letters[i].letter))
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "--tariff=%s: %c= is missing, the %s: no tariff of %s says it", spec,
                             letters[i].letter, letters[i].what, work->bill.tariffs);
    }
    return DYNO_OK;
}

/* The book with other prices: who has which tariff stays, and so do its versions, classes, tiers,
 * least amounts.  Without grants it is the first tariff, for everybody and ever. */
static enum dyno_status book_of(const struct work *work, const char *spec,
                                const struct dyno_tariff_book **book_out, struct dyno_err *err)
{
    struct dyno_tariff_book *book = dyno_arena_memdup(work->arena, work->book, sizeof(*work->book));
    struct dyno_tariff *tariffs = dyno_arena_memdup(work->arena, work->book->tariffs,
                                                    work->book->tariff_count * sizeof(*tariffs));
    struct said said;
    if (book == NULL || tariffs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(parse_spec(work, spec, &said, err));
    if (book->grant_count == 0) {
        book->tariff_count = 1;
        tariffs[0].from_s = 0;
        tariffs[0].until_s = DYNO_TARIFF_FOREVER;
    }
    for (size_t i = 0; i < book->tariff_count; i++)
        DYNO_TRY(price(work, spec, &said, &tariffs[i], err));
    book->tariffs = tariffs;
    *book_out = book;
    return DYNO_OK;
}

/* --- scenarios --- */

static bool is_in_book(const struct dyno_tariff_book *book, const char *name)
{
    for (size_t i = 0; i < book->tariff_count; i++)
        if (strcmp(book->tariffs[i].name, name) == 0)
            return true;
    return false;
}

static enum dyno_status add(struct work *work, const char *name,
                            const struct dyno_tariff_book *book, const char *tariff,
                            struct dyno_err *err)
{
    struct dyno_statement *statement = NULL;
    if (work->count == DYNO_SCENARIOS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "at most %d tariffs stand side by side",
                         DYNO_SCENARIOS_MAX);
    DYNO_TRY(
        dyno_usage_source_rate(work->source, book, tariff, NULL, 0, work->arena, &statement, err));
    work->is_used = work->is_used || statement->account_count > 0;
    statement->currency = book->tariffs[0].currency; /* also where nobody owes anything */
    work->scenarios[work->count++] = (struct dyno_scenario){name, statement};
    return DYNO_OK;
}

/* The certificates that stand in for others, one after another. */
static enum dyno_status find_instead(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    const char *folder = work->bill.certificates;
    if (options->precision == NULL && options->engines.count == 0)
        return DYNO_OK;
    if (options->precision != NULL && options->engines.count > 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --certificate or --precision");
    if (folder == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--certificates=DIR is missing: the folder of what is to stand in");
    if (options->precision != NULL)
        return dyno_grades_find(folder, options->precision, dyno_now_s(), work->arena,
                                &work->instead, &work->instead_count, err);
    work->instead = dyno_arena_alloc(work->arena, options->engines.count, sizeof(*work->instead));
    if (work->instead == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < options->engines.count; i++)
        DYNO_TRY(dyno_grade_load(folder, options->engines.items[i], work->arena,
                                 &work->instead[work->instead_count++], err));
    return DYNO_OK;
}

/* Everything as it is, and then as if. */
static enum dyno_status add_swapped(struct work *work, struct dyno_err *err)
{
    if (work->instead_count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_usage_source_swap(work->source, work->instead, work->instead_count, err));
    if (work->book->grant_count > 0)
        DYNO_TRY(
            add(work,
                work->options->precision != NULL ? work->options->precision : "other certificates",
                work->book, NULL, err));
    return DYNO_OK;
}

static enum dyno_status make(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    DYNO_TRY(dyno_bill_book(work->bill.tariffs, work->arena, &work->book, err));
    if (work->book->tariff_count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s has no tariff", work->bill.tariffs);
    DYNO_TRY(find_instead(work, err));
    DYNO_TRY(dyno_bill_open(&work->bill, false, &work->source, err));
    if (work->book->grant_count > 0)
        DYNO_TRY(add(work, "in force", work->book, NULL, err));
    DYNO_TRY(add_swapped(work, err));
    for (uint32_t i = 0; i < options->tariff_specs.count; i++) {
        const char *spec = options->tariff_specs.items[i];
        const struct dyno_tariff_book *book = work->book;
        const char *tariff = spec; /* everybody by this one */
        if (!is_in_book(book, spec)) {
            DYNO_TRY(book_of(work, spec, &book, err));
            tariff = book->grant_count > 0 ? NULL : book->tariffs[0].name;
        }
        DYNO_TRY(add(work, spec, book, tariff, err));
    }
    if (work->count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is nothing to compare: --tariff");
    if (!work->is_used)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "nobody used anything in this period");
    if (work->instead_count > 0 && dyno_usage_source_swapped(work->source) == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "no record of this period is of a model that these certificates are of");
    return DYNO_OK;
}

/* The picture first: where it cannot be written, nothing is said. */
static enum dyno_status print(const struct work *work, struct dyno_err *err)
{
    struct dyno_strbuf out = {0};
    enum dyno_status status = DYNO_OK;
    if (work->options->svg != NULL) {
        dyno_compare_svg(work->scenarios, work->count, &out);
        status = dyno_bill_write(work->options->svg, &out, err);
        dyno_strbuf_clear(&out);
    }
    if (work->options->json)
        dyno_compare_json(work->scenarios, work->count, &out);
    else
        dyno_compare_text(work->scenarios, work->count, &out);
    if (status == DYNO_OK)
        status = dyno_bill_write(NULL, &out, err);
    dyno_strbuf_fini(&out);
    return status;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    struct work work = {.options = opaque, .arena = dyno_arena_create()};
    work.bill = work.options->bill;
    dyno_bill_defaults(&work.bill);
    enum dyno_status status = work.arena != NULL ? make(&work, err) : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = print(&work, err);
    dyno_usage_source_close(work.source);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_whatif = {
    .name = "whatif",
    .summary = "A ledger's usage under other tariffs: who pays what, what the platform earns",
    .text =
        "The first column is what is in force by the book; its amounts are those of the invoices. "
        "With --certificate or --precision the same follows as if other engines had served: the "
        "work is the same, its device time goes by the speed-ups. Device-hours freed are what the "
        "same work would have taken unoptimised, less what it took. Without --ledger, "
        "--certificates and --tariffs it looks at ledger, certificates and tariffs.json here.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
