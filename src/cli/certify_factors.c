/* certify_factors.c - dyno certify --factors: a row of the table of devices, out of two reference
 * certificates of one model. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/certify.h"
#include "meter/cert/factor_file.h"
#include "meter/cert/store.h"

static enum dyno_status write_table(const char *path, const struct dyno_factors *factors,
                                    struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    dyno_factors_print(factors, &text);
    return dyno_file_write_text(path, &text, err);
}

/* The first device that is certified with a table is its reference; the row names what others are
 * measured against. */
static enum dyno_status begin_table(const char *path, const struct dyno_cert *cert,
                                    struct dyno_err *err)
{
    char address[DYNO_CERT_HEX_ROOM];
    char from[DYNO_CERT_HEX_ROOM + 32];
    dyno_cert_hex(&cert->address, address);
    (void)snprintf(from, sizeof(from), "reference certificate %s", address);
    struct dyno_factor_row row = {.device_class = cert->device_class,
                                  .factor_1e9 = DYNO_FACTOR_ONE,
                                  .source = DYNO_FACTOR_DEFINITION,
                                  .from = from};
    const struct dyno_factors factors = {cert->device_class, &row, 1};
    return write_table(path, &factors, err);
}

static enum dyno_status add_row(const char *path, struct dyno_factors *factors,
                                const struct dyno_cert *cert, const char *folder,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_cert_query query = {.kind = DYNO_CERT_REFERENCE,
                                          .want = {.model = &cert->model,
                                                   .device_class = factors->reference,
                                                   .now_s = cert->issued_s,
                                                   .to_bill = true}};
    struct dyno_cert *there = NULL;
    if (strcmp(cert->device_class, factors->reference) == 0)
        return DYNO_OK; /* it is the one that others are told in */
    DYNO_TRY(dyno_cert_find(folder, &query, &there, err));
    if (there == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "%s: \"%s\" has no reference certificate of this model on the reference "
                         "device '%.64s': put it there, for the row of '%.64s'",
                         path, folder, factors->reference, cert->device_class);
    enum dyno_status status = dyno_factors_add(factors, cert, there, arena, err);
    if (status == DYNO_OK)
        status = write_table(path, factors, err);
    dyno_cert_destroy(there);
    return status;
}

enum dyno_status dyno_certify_note_factor(const char *path, const struct dyno_cert *cert,
                                          const char *folder, struct dyno_err *err)
{
    struct dyno_factors factors;
    if (cert->kind != DYNO_CERT_REFERENCE || cert->outcome != DYNO_CERT_ACCEPTED)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--factors wants a reference certificate that may be billed by");
    if (access(path, F_OK) != 0)
        return begin_table(path, cert, err);
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_factors_load(path, arena, &factors, err);
    if (status == DYNO_OK)
        status = add_row(path, &factors, cert, folder, arena, err);
    dyno_arena_destroy(arena);
    return status;
}
