/* term.c - terms of certificates against the records that cite them. */
#include "meter/cert/term.h"

struct dyno_cert_term dyno_cert_term_of(const struct dyno_cert *cert)
{
    return (struct dyno_cert_term){dyno_cert_expires_s(cert), cert->threads};
}

enum dyno_status dyno_cert_term_read(const char *folder, const char *address,
                                     enum dyno_cert_kind kind, struct dyno_cert_term *term_out,
                                     struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    struct dyno_cert *cert = NULL;
    *term_out = (struct dyno_cert_term){.ends_s = INT64_MAX};
    dyno_strbuf_printf(&path, "%s/%s.%s.json", folder, address, dyno_cert_kind_text(kind));
    const enum dyno_status status =
        dyno_strbuf_ok(&path) ? dyno_cert_load(dyno_strbuf_text(&path), &cert, NULL) : DYNO_E_NOMEM;
    dyno_strbuf_fini(&path);
    if (status == DYNO_E_NOMEM)
        return DYNO_NOMEM(err);
    if (status == DYNO_OK)
        *term_out = dyno_cert_term_of(cert);
    dyno_cert_destroy(cert);
    return DYNO_OK;
}

uint64_t dyno_cert_term_bound(const struct dyno_cert_term *term, uint64_t reference_ns,
                              uint64_t device_ns, bool is_core)
{
    const uint64_t own_ns = is_core && term->threads > 1 ? device_ns / term->threads : device_ns;
    return reference_ns < own_ns ? reference_ns : own_ns;
}
