/* usage_grade.c - certificates read for a bill. */
#include "cli/usage_grade.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "meter/cert/state.h"
#include "rate/tariff.h"

#define SUFFIX     ".engine.json"
#define GRADES_MAX 100000

static enum dyno_status fill(const struct dyno_cert *cert, const char *folder,
                             struct dyno_arena *arena, struct dyno_grade *out, struct dyno_err *err)
{
    *out = (struct dyno_grade){
        .speed_up_ppm =
            (int64_t)dyno_cert_billed_speedup_1e6(cert, (uint64_t)DYNO_TARIFF_SPEED_UP_MAX),
        .true_ppm = (int64_t)cert->speedup_1e6[1],
        .address = cert->address,
        .model = cert->model,
        .reference = cert->reference,
        .issued_s = cert->issued_s,
        .is_known = true,
        .is_trial = cert->outcome == DYNO_CERT_TRIAL,
    };
    (void)snprintf(out->precision, sizeof(out->precision), "%.31s", cert->precision);
    (void)snprintf(out->device_class, sizeof(out->device_class), "%.255s", cert->device_class);
    return dyno_cert_term_of(cert, folder, arena, &out->term, err);
}

enum dyno_status dyno_grade_load(const char *folder, const char *address, struct dyno_arena *arena,
                                 struct dyno_grade *grade_out, struct dyno_err *err)
{
    struct dyno_cert *cert = NULL;
    struct dyno_strbuf path = {0};
    if (folder == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "the ledger cites certificate %.64s: --certificates=DIR is missing",
                         address);
    dyno_strbuf_printf(&path, "%s/%s" SUFFIX, folder, address);
    enum dyno_status status = dyno_strbuf_ok(&path)
                                  ? dyno_cert_load(dyno_strbuf_text(&path), &cert, err)
                                  : DYNO_NOMEM(err);
    dyno_strbuf_fini(&path);
    if (status != DYNO_OK)
        return status;
    /* A trial can be looked at, and is told of. */
    const struct dyno_cert_want want = {.to_bill = cert->outcome != DYNO_CERT_TRIAL};
    status = dyno_cert_check(cert, &want, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%.64s", address);
    else
        status = fill(cert, folder, arena, grade_out, err);
    dyno_cert_destroy(cert);
    return status;
}

/* Is it of this precision, not suspended, and to be billed by?  One that cannot be read is passed
 * over.
 */
static bool is_wanted(const char *folder, const char *name, const char *precision, int64_t now_s,
                      struct dyno_arena *arena, struct dyno_grade *out)
{
    struct dyno_strbuf path = {0};
    struct dyno_cert *cert = NULL;
    struct dyno_cert_state state;
    const struct dyno_cert_want want = {.to_bill = true}; /* its term may be that of another time */
    dyno_strbuf_printf(&path, "%s/%s", folder, name);
    const bool is_good =
        dyno_strbuf_ok(&path) && dyno_cert_load(dyno_strbuf_text(&path), &cert, NULL) == DYNO_OK &&
        cert->kind == DYNO_CERT_ENGINE && strcmp(cert->precision, precision) == 0 &&
        dyno_cert_check(cert, &want, NULL) == DYNO_OK &&
        dyno_cert_state_read(cert, folder, now_s, &state, NULL) == DYNO_OK &&
        state.kind != DYNO_CERT_SUSPENDED && fill(cert, folder, arena, out, NULL) == DYNO_OK;
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&path);
    return is_good;
}

enum dyno_status dyno_grades_find(const char *folder, const char *precision, int64_t now_s,
                                  struct dyno_arena *arena, struct dyno_grade **grades_out,
                                  size_t *count_out, struct dyno_err *err)
{
    struct dyno_grade *grades = NULL;
    size_t count = 0;
    size_t room = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot read \"%s\": %s", folder,
                         strerror(errno));
    enum dyno_status status = DYNO_OK;
    for (const struct dirent *entry = readdir(dir); entry != NULL && status == DYNO_OK;
         entry = readdir(dir)) {
        struct dyno_grade grade;
        const size_t bytes = strlen(entry->d_name);
        if (bytes <= sizeof(SUFFIX) - 1 || count == GRADES_MAX ||
            strcmp(entry->d_name + bytes - (sizeof(SUFFIX) - 1), SUFFIX) != 0 ||
            !is_wanted(folder, entry->d_name, precision, now_s, arena, &grade))
            continue;
        if (count == room) {
            room = room > 0 ? room * 2 : 16;
            struct dyno_grade *grown = dyno_arena_alloc(arena, room, sizeof(*grown));
            if (grown == NULL)
                status = DYNO_NOMEM(err);
            else if (count > 0)
                memcpy(grown, grades, count * sizeof(*grown));
            grades = grown;
        }
        if (status == DYNO_OK)
            grades[count++] = grade;
    }
    (void)closedir(dir);
    if (status == DYNO_OK && count == 0)
        status =
            DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                      "\"%s\" has no engine certificate of precision %.31s that may be billed by",
                      folder, precision);
    *grades_out = grades;
    *count_out = count;
    return status;
}

uint64_t dyno_grade_device_ns(const struct dyno_grade *was, const struct dyno_grade *now,
                              uint64_t device_ns)
{
    const int64_t was_ppm = was != NULL ? was->true_ppm : DYNO_PPM;
    const int64_t now_ppm = now->true_ppm > 0 ? now->true_ppm : 1;
    return (uint64_t)((dyno_u128)device_ns * (uint64_t)was_ppm / (uint64_t)now_ppm);
}

/* --- one in the place of another --- */

struct dyno_swap {
    uint32_t certificate, reference;
    const struct dyno_grade *instead;
};

void dyno_swaps_fini(struct dyno_swaps *swaps)
{
    dyno_free(swaps->items);
    *swaps = (struct dyno_swaps){0};
}

static const struct dyno_grade *choose(const struct dyno_swaps *swaps, const struct dyno_grade *of,
                                       const char *reference)
{
    const struct dyno_grade *best = NULL;
    struct dyno_cert_hash cited;
    const bool has_cited = of == NULL && dyno_cert_unhex(reference, strlen(reference), &cited);
    for (size_t i = 0; i < swaps->instead_count; i++) {
        const struct dyno_grade *grade = &swaps->instead[i];
        const bool fits = of != NULL ? dyno_cert_same(&grade->model, &of->model) &&
                                           strcmp(grade->device_class, of->device_class) == 0
                                     : has_cited && dyno_cert_same(&grade->reference, &cited);
        if (fits && (best == NULL || grade->issued_s > best->issued_s ||
                     (grade->issued_s == best->issued_s &&
                      memcmp(&grade->address, &best->address, sizeof(best->address)) > 0)))
            best = grade;
    }
    return best;
}

enum dyno_status dyno_swaps_find(struct dyno_swaps *swaps, uint32_t certificate,
                                 const struct dyno_grade *grade, uint32_t reference,
                                 const char *reference_text, const struct dyno_grade **instead_out,
                                 struct dyno_err *err)
{
    size_t at = 0;
    while (at < swaps->count &&
           (swaps->items[at].certificate != certificate || swaps->items[at].reference != reference))
        at++;
    if (at == swaps->room) {
        const size_t room = swaps->room > 0 ? swaps->room * 2 : 16;
        struct dyno_swap *grown =
            dyno_realloc(swaps->items, swaps->count * sizeof(*grown), room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        swaps->items = grown;
        swaps->room = room;
    }
    if (at == swaps->count)
        swaps->items[swaps->count++] =
            (struct dyno_swap){certificate, reference, choose(swaps, grade, reference_text)};
    *instead_out = swaps->items[at].instead;
    swaps->found_count += *instead_out != NULL;
    return DYNO_OK;
}
