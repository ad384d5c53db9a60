/* cert.c - certificates: making, asking, and files. */
#include "meter/cert/cert.h"

#include "base/calendar.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "meter/cert/internal.h"

struct dyno_cert *dyno_cert_create(enum dyno_cert_kind kind)
{
    struct dyno_cert *cert = dyno_alloc(1, sizeof(*cert));
    if (cert == NULL)
        return NULL;
    cert->kind = kind;
    cert->point_count = 1;
    cert->rule = cert->reason = "";
    cert->arena = dyno_arena_create();
    if (cert->arena == NULL) {
        dyno_free(cert);
        return NULL;
    }
    return cert;
}

void dyno_cert_destroy(struct dyno_cert *cert)
{
    if (cert == NULL)
        return;
    dyno_arena_destroy(cert->arena);
    dyno_free(cert);
}

/* --- texts --- */

const char *dyno_cert_kind_text(enum dyno_cert_kind kind)
{
    return kind == DYNO_CERT_REFERENCE ? "reference" : "engine";
}

const char *dyno_cert_outcome_text(enum dyno_cert_outcome outcome)
{
    static const char *const texts[] = {"accepted", "trial", "refused"};
    return texts[outcome];
}

void dyno_cert_hex(const struct dyno_cert_hash *hash, char out[DYNO_CERT_HEX_ROOM])
{
    (void)dyno_hex_text(hash->bytes, sizeof(hash->bytes), out);
}

bool dyno_cert_unhex(const char *text, size_t bytes, struct dyno_cert_hash *hash_out)
{
    if (bytes != 2 * sizeof(hash_out->bytes))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        uint32_t digit = 0;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else
            return false;
        uint8_t *byte = &hash_out->bytes[i / 2];
        *byte = (uint8_t)(i % 2 == 0 ? digit << 4 : *byte | digit);
    }
    return true;
}

/* The number of `count` digits at `text`; -1 when they are not digits. */
static int64_t digits(const char *text, int count)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

bool dyno_cert_time(const char *text, int64_t *time_s_out)
{
    char again[DYNO_TIME_TEXT_ROOM];
    *time_s_out = 0;
    if (strlen(text) != strlen("2026-01-31T12:00:00Z"))
        return false;
    const int64_t year = digits(text, 4);
    const int64_t month = digits(text + 5, 2);
    const int64_t day = digits(text + 8, 2);
    const int64_t hour = digits(text + 11, 2);
    const int64_t minute = digits(text + 14, 2);
    const int64_t second = digits(text + 17, 2);
    if (year < 1970 || month < 1 || month > 12)
        return false;
    /* Days since 1970 of the civil date, counted in years that begin with March. */
    const int64_t y = year - (month <= 2 ? 1 : 0);
    const int64_t m = month + (month <= 2 ? 9 : -3);
    const int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
    *time_s_out = days * DYNO_DAY_S + hour * 3600 + minute * 60 + second;
    /* What is no date ("2026-02-30") or no time is written as another one. */
    return *time_s_out >= 0 && strcmp(dyno_time_text(*time_s_out, again), text) == 0;
}

/* --- asking --- */

const struct dyno_cert_point *dyno_cert_points(const struct dyno_cert *cert)
{
    return cert->attempts[cert->attempt_count - 1].points;
}

int64_t dyno_cert_expires_s(const struct dyno_cert *cert)
{
    return cert->issued_s + (int64_t)cert->term_days * DYNO_DAY_S;
}

uint64_t dyno_cert_billed_speedup_1e6(const struct dyno_cert *cert, uint64_t most_1e6)
{
    const uint64_t speedup = cert->speedup_1e6[2] < most_1e6 ? cert->speedup_1e6[2] : most_1e6;
    return speedup > 1000000 ? speedup : 1000000;
}

uint64_t dyno_cert_claimed_speedup_1e6(const struct dyno_cert *cert)
{
    return cert->speedup_1e6[0] > 1000000 ? cert->speedup_1e6[0] : 1000000;
}

static enum dyno_status check_hash(const char *what, const struct dyno_cert_hash *is,
                                   const struct dyno_cert_hash *want, struct dyno_err *err)
{
    char is_hex[DYNO_CERT_HEX_ROOM];
    char want_hex[DYNO_CERT_HEX_ROOM];
    if (want == NULL || dyno_cert_same(is, want))
        return DYNO_OK;
    dyno_cert_hex(is, is_hex);
    dyno_cert_hex(want, want_hex);
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "the certificate is of another %s: of %.16s, not of %.16s", what, is_hex,
                     want_hex);
}

enum dyno_status dyno_cert_check(const struct dyno_cert *cert, const struct dyno_cert_want *want,
                                 struct dyno_err *err)
{
    char from[DYNO_TIME_TEXT_ROOM];
    char to[DYNO_TIME_TEXT_ROOM];
    DYNO_TRY(check_hash("model", &cert->model, want->model, err));
    if (want->engine != NULL && cert->kind != DYNO_CERT_ENGINE)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "it is a reference certificate, which says nothing of an engine");
    DYNO_TRY(check_hash("engine", &cert->engine, want->engine, err));
    if (want->device_class != NULL && strcmp(cert->device_class, want->device_class) != 0)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the certificate is of the device class '%s', this is '%s'",
                         cert->device_class, want->device_class);
    if (want->now_s != 0 &&
        (want->now_s < cert->issued_s || want->now_s >= dyno_cert_expires_s(cert)))
        return DYNO_FAIL(err, DYNO_E_DENIED, "the certificate stands from %s to %s only",
                         dyno_time_text(cert->issued_s, from),
                         dyno_time_text(dyno_cert_expires_s(cert), to));
    if (want->to_bill && cert->outcome == DYNO_CERT_TRIAL)
        return DYNO_FAIL(err, DYNO_E_DENIED, "the certificate is a trial: nothing is billed by it");
    if (want->to_bill && cert->outcome == DYNO_CERT_REFUSED)
        return DYNO_FAIL(err, DYNO_E_DENIED, "the certificate is refused: %s", cert->reason);
    return DYNO_OK;
}

static bool same_input(const struct dyno_cert_input *a, const struct dyno_cert_input *b)
{
    bool same =
        strcmp(a->name, b->name) == 0 && strcmp(a->type, b->type) == 0 && a->rank == b->rank;
    for (uint32_t d = 0; same && d < a->rank; d++)
        same = a->min[d] == b->min[d] && a->opt[d] == b->opt[d] && a->max[d] == b->max[d];
    return same;
}

static bool same_axis(const struct dyno_cert_axis *a, const struct dyno_cert_axis *b)
{
    bool same = a->place_count == b->place_count && a->point_count == b->point_count;
    for (uint32_t i = 0; same && i < a->place_count; i++)
        same = a->places[i].input == b->places[i].input && a->places[i].dim == b->places[i].dim;
    for (uint32_t i = 0; same && i < a->point_count; i++)
        same = a->points[i] == b->points[i];
    return same;
}

enum dyno_status dyno_cert_check_pair(const struct dyno_cert *engine,
                                      const struct dyno_cert *reference, struct dyno_err *err)
{
    char cited[DYNO_CERT_HEX_ROOM];
    char found[DYNO_CERT_HEX_ROOM];
    if (engine->kind != DYNO_CERT_ENGINE || reference->kind != DYNO_CERT_REFERENCE)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "a pair is an engine certificate and the reference certificate it cites");
    dyno_cert_hex(&engine->reference, cited);
    dyno_cert_hex(&reference->address, found);
    if (!dyno_cert_same(&engine->reference, &reference->address))
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "the engine certificate cites the reference certificate %.16s, this is "
                         "%.16s",
                         cited, found);
    bool same = engine->input_count == reference->input_count &&
                engine->axis_count == reference->axis_count;
    for (uint32_t i = 0; same && i < engine->input_count; i++)
        same = same_input(&engine->inputs[i], &reference->inputs[i]);
    for (uint32_t a = 0; same && a < engine->axis_count; a++)
        same = same_axis(&engine->axes[a], &reference->axes[a]);
    const char *differs = NULL;
    if (!dyno_cert_same(&engine->model, &reference->model))
        differs = "model";
    else if (!dyno_cert_same(&engine->baseline, &reference->baseline))
        differs = "baseline";
    else if (strcmp(engine->device_class, reference->device_class) != 0 ||
             engine->threads != reference->threads || engine->gpu.compute != reference->gpu.compute)
        differs = "device";
    else if (!same)
        differs = "range of shapes";
    else if (engine->batch > reference->batch)
        differs = "batch";
    if (differs != NULL)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "the engine certificate and the reference certificate that it cites are "
                         "not of the same %s",
                         differs);
    return DYNO_OK;
}

/* --- files --- */

enum dyno_status dyno_cert_load(const char *path, struct dyno_cert **cert_out, struct dyno_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct dyno_file_map map;
    struct dyno_cert_hash named;
    char hex[DYNO_CERT_HEX_ROOM];
    *cert_out = NULL;
    DYNO_TRY(dyno_file_map(path, &map, err));
    enum dyno_status status = dyno_cert_parse(map.data, map.bytes, cert_out, err);
    dyno_file_unmap(&map);
    if (status == DYNO_OK && dyno_cert_unhex(name, strlen(name) < 64 ? 0 : 64, &named) &&
        !dyno_cert_same(&named, &(*cert_out)->address)) {
        dyno_cert_hex(&(*cert_out)->address, hex);
        status = DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "edited: its text has the address %.16s, not the one of its name", hex);
        dyno_cert_destroy(*cert_out);
        *cert_out = NULL;
    }
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

enum dyno_status dyno_cert_save(const struct dyno_cert *cert, const char *folder,
                                struct dyno_strbuf *path_out, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(&cert->address, hex);
    dyno_strbuf_clear(path_out);
    dyno_strbuf_printf(path_out, "%s/%s.%s.json", folder, hex,
                       cert->outcome == DYNO_CERT_REFUSED ? dyno_cert_outcome_text(cert->outcome)
                                                          : dyno_cert_kind_text(cert->kind));
    dyno_cert_text(cert, &text);
    const enum dyno_status status =
        dyno_strbuf_ok(&text) && dyno_strbuf_ok(path_out)
            ? dyno_file_write_atomic(dyno_strbuf_text(path_out), dyno_strbuf_text(&text),
                                     text.bytes, err)
            : DYNO_NOMEM(err);
    dyno_strbuf_fini(&text);
    return status;
}
