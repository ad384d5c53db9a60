/* term.c - terms of certificates against the records that cite them. */
#include "meter/cert/term.h"

enum dyno_status dyno_cert_term_of(const struct dyno_cert *cert, const char *folder,
                                   struct dyno_arena *arena, struct dyno_cert_term *term_out,
                                   struct dyno_err *err)
{
    struct dyno_cert_state state;
    *term_out =
        (struct dyno_cert_term){.ends_s = dyno_cert_expires_s(cert), .threads = cert->threads};
    DYNO_TRY(dyno_cert_state_read(cert, folder, INT64_MIN, &state, err));
    const bool goes_on = state.kind == DYNO_CERT_SUSPENDED;
    const uint32_t count = state.before_count + (goes_on ? 1 : 0);
    if (count == 0)
        return DYNO_OK;
    struct dyno_cert_span *spans = dyno_arena_alloc(arena, count, sizeof(*spans));
    if (spans == NULL)
        return DYNO_NOMEM(err);
    memcpy(spans, state.before, state.before_count * sizeof(*spans));
    if (goes_on)
        spans[count - 1] = (struct dyno_cert_span){state.since_s, INT64_MAX};
    term_out->suspended = spans;
    term_out->suspended_count = count;
    return DYNO_OK;
}

enum dyno_status dyno_cert_term_read(const char *folder, const char *address,
                                     enum dyno_cert_kind kind, struct dyno_arena *arena,
                                     struct dyno_cert_term *term_out, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    struct dyno_cert *cert = NULL;
    *term_out = (struct dyno_cert_term){.ends_s = INT64_MAX};
    dyno_strbuf_printf(&path, "%s/%s.%s.json", folder, address, dyno_cert_kind_text(kind));
    enum dyno_status status =
        dyno_strbuf_ok(&path) ? dyno_cert_load(dyno_strbuf_text(&path), &cert, NULL) : DYNO_E_NOMEM;
    dyno_strbuf_fini(&path);
    if (status == DYNO_E_NOMEM)
        return DYNO_NOMEM(err);
    status = status == DYNO_OK ? dyno_cert_term_of(cert, folder, arena, term_out, err) : DYNO_OK;
    dyno_cert_destroy(cert);
    return status;
}

enum dyno_cert_state_kind dyno_cert_term_at(const struct dyno_cert_term *term, int64_t time_s)
{
    if (time_s >= term->ends_s)
        return DYNO_CERT_EXPIRED;
    for (uint32_t i = 0; i < term->suspended_count; i++)
        if (time_s >= term->suspended[i].from_s && time_s < term->suspended[i].until_s)
            return DYNO_CERT_SUSPENDED;
    return DYNO_CERT_IN_FORCE;
}

uint64_t dyno_cert_term_bound(const struct dyno_cert_term *term, uint64_t reference_ns,
                              uint64_t device_ns, bool is_core)
{
    const uint64_t own_ns = is_core && term->threads > 1 ? device_ns / term->threads : device_ns;
    return reference_ns < own_ns ? reference_ns : own_ns;
}
