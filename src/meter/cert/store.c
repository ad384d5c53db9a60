/* store.c - a folder of certificates. */
#include "meter/cert/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "meter/cert/state.h"

/* Looks at a certificate; *cert_in_out NULL: it was taken. */
typedef enum dyno_status visit_fn(void *arg, struct dyno_cert **cert_in_out, struct dyno_err *err);

static bool is_named(const char *name, const char *ending)
{
    struct dyno_cert_hash hash;
    return strlen(name) == 64 + strlen(ending) && strcmp(name + 64, ending) == 0 &&
           dyno_cert_unhex(name, 64, &hash);
}

/* Every certificate FOLDER/ADDRESS<ending>. */
static enum dyno_status each(const char *folder, const char *ending, visit_fn *visit, void *arg,
                             struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_strbuf path = {0};
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot read folder '%s': %s", folder,
                         strerror(errno));
    struct dirent *entry = NULL;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a folder of this call alone
    while (status == DYNO_OK && (entry = readdir(dir)) != NULL) {
        struct dyno_err why = {0};
        struct dyno_cert *cert = NULL;
        if (!is_named(entry->d_name, ending))
            continue;
        dyno_strbuf_clear(&path);
        dyno_strbuf_printf(&path, "%s/%s", folder, entry->d_name);
        enum dyno_status read = dyno_strbuf_ok(&path)
                                    ? dyno_cert_load(dyno_strbuf_text(&path), &cert, &why)
                                    : DYNO_NOMEM(&why);
        if (read == DYNO_OK)
            status = visit(arg, &cert, err);
        else if (read == DYNO_E_NOMEM)
            status = DYNO_NOMEM(err);
        else
            dyno_log(DYNO_LOG_WARN, "%s", why.text);
        dyno_cert_destroy(cert);
    }
    (void)closedir(dir);
    dyno_strbuf_fini(&path);
    return status;
}

/* --- the one in force --- */

struct search {
    const char *folder;
    const struct dyno_cert_query *query;
    struct dyno_cert *found;
};

/* By date; those of one second by address, so that the order of a folder does not count. */
static bool is_before(const struct dyno_cert *a, const struct dyno_cert *b)
{
    if (a->issued_s != b->issued_s)
        return a->issued_s < b->issued_s;
    return memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes)) < 0;
}

static enum dyno_status visit_search(void *arg, struct dyno_cert **cert_in_out,
                                     struct dyno_err *err)
{
    struct search *search = arg;
    const struct dyno_cert_query *query = search->query;
    const struct dyno_cert *cert = *cert_in_out;
    struct dyno_cert_state state;
    (void)err;
    if (cert->kind != query->kind || cert->is_trial != query->is_trial ||
        dyno_cert_check(cert, &query->want, NULL) != DYNO_OK)
        return DYNO_OK;
    /* A state that cannot be read is one that nobody knows: not in force. */
    if (dyno_cert_state_read(cert, search->folder, query->want.now_s, &state, NULL) != DYNO_OK ||
        state.kind != DYNO_CERT_IN_FORCE)
        return DYNO_OK;
    if (search->found == NULL ||
        is_before(cert, search->found) == (query->kind == DYNO_CERT_REFERENCE)) {
        dyno_cert_destroy(search->found);
        search->found = *cert_in_out;
        *cert_in_out = NULL;
    }
    return DYNO_OK;
}

enum dyno_status dyno_cert_find(const char *folder, const struct dyno_cert_query *query,
                                struct dyno_cert **cert_out, struct dyno_err *err)
{
    char ending[32];
    struct search search = {.folder = folder, .query = query};
    DYNO_ASSERT(query->want.now_s != 0);
    (void)snprintf(ending, sizeof(ending), ".%s.json", dyno_cert_kind_text(query->kind));
    const enum dyno_status status = each(folder, ending, visit_search, &search, err);
    if (status != DYNO_OK) {
        dyno_cert_destroy(search.found);
        search.found = NULL;
    }
    *cert_out = search.found;
    return status;
}

/* --- what was refused before --- */

static enum dyno_status visit_refused(void *arg, struct dyno_cert **cert_in_out,
                                      struct dyno_err *err)
{
    struct dyno_cert *cert = arg;
    const struct dyno_cert *other = *cert_in_out;
    (void)err;
    if (other->kind == cert->kind && dyno_cert_same(&other->model, &cert->model) &&
        (cert->kind == DYNO_CERT_REFERENCE || dyno_cert_same(&other->engine, &cert->engine)) &&
        strcmp(other->device_class, cert->device_class) == 0 &&
        cert->earlier_count < DYNO_CERT_EARLIER_MAX)
        cert->earlier[cert->earlier_count++] = other->address;
    return DYNO_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct dyno_cert_hash));
}

enum dyno_status dyno_cert_add_earlier(const char *folder, struct dyno_cert *cert,
                                       struct dyno_err *err)
{
    cert->earlier = dyno_arena_alloc(cert->arena, DYNO_CERT_EARLIER_MAX, sizeof(*cert->earlier));
    cert->earlier_count = 0;
    if (cert->earlier == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(each(folder, ".refused.json", visit_refused, cert, err));
    if (cert->earlier_count > 0)
        qsort(cert->earlier, cert->earlier_count, sizeof(*cert->earlier), by_bytes);
    return DYNO_OK;
}
