/* advise_certs.c - certificates by what they say of a model's engines. */
#include "cli/advise_certs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "rate/tariff.h"

#define SUFFIX    ".engine.json"
#define CERTS_MAX ((size_t)100000)

static enum dyno_status add(struct dyno_advise_certs *certs, const struct dyno_cert *cert,
                            const struct dyno_cert_state *state, struct dyno_advise_cert **item_out,
                            struct dyno_err *err)
{
    if (certs->count == CERTS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "at most %zu certificates are looked at", CERTS_MAX);
    if (certs->count == certs->room) {
        const size_t room = certs->room > 0 ? certs->room * 2 : 16;
        struct dyno_advise_cert *grown = dyno_arena_alloc(certs->arena, room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        if (certs->count > 0)
            memcpy(grown, certs->items, certs->count * sizeof(*grown));
        certs->items = grown;
        certs->room = room;
    }
    struct dyno_advise_cert *item = &certs->items[certs->count];
    const size_t bytes = strlen(cert->model_name);
    const bool has_ending = bytes > 5 && strcmp(cert->model_name + bytes - 5, ".onnx") == 0;
    const int64_t low_ppm = (int64_t)dyno_cert_claimed_speedup_1e6(cert);
    const int64_t high_ppm =
        (int64_t)dyno_cert_billed_speedup_1e6(cert, (uint64_t)DYNO_TARIFF_SPEED_UP_MAX);
    *item = (struct dyno_advise_cert){
        .model = cert->model,
        .engine = cert->engine,
        .reference = cert->reference,
        .model_name =
            dyno_arena_strndup(certs->arena, cert->model_name, has_ending ? bytes - 5 : bytes),
        .device_class = dyno_arena_strdup(certs->arena, cert->device_class),
        .speed = {low_ppm < high_ppm ? low_ppm : high_ppm, high_ppm},
        .batch = cert->batch,
        .threads = cert->threads,
        .is_on_gpu = cert->gpu.compute != 0,
        .is_trial = cert->outcome == DYNO_CERT_TRIAL,
        .issued_s = cert->issued_s,
        .ends_s = dyno_cert_expires_s(cert),
        .state = *state,
    };
    dyno_cert_hex(&cert->address, item->address);
    if (item->model_name == NULL || item->device_class == NULL)
        return DYNO_NOMEM(err);
    certs->count++;
    *item_out = item;
    return DYNO_OK;
}

/* --- a folder --- */

static enum dyno_status take_file(struct dyno_advise_certs *certs, const char *folder,
                                  const char *name, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    struct dyno_cert *cert = NULL;
    struct dyno_cert_state state;
    struct dyno_advise_cert *item = NULL;
    enum dyno_status status = DYNO_OK;
    dyno_strbuf_printf(&path, "%s/%s", folder, name);
    if (!dyno_strbuf_ok(&path))
        status = DYNO_NOMEM(err);
    else if (dyno_cert_load(dyno_strbuf_text(&path), &cert, NULL) == DYNO_OK &&
             cert->kind == DYNO_CERT_ENGINE && cert->outcome != DYNO_CERT_REFUSED &&
             dyno_cert_state_read(cert, folder, certs->at_s, &state, NULL) == DYNO_OK)
        status = add(certs, cert, &state, &item, err);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&path);
    return status;
}

enum dyno_status dyno_advise_certs_load(struct dyno_advise_certs *certs, const char *folder,
                                        struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot read \"%s\": %s", folder,
                         strerror(errno));
    for (const struct dirent *entry = readdir(dir); entry != NULL && status == DYNO_OK;
         entry = readdir(dir)) {
        const size_t bytes = strlen(entry->d_name);
        if (bytes >= sizeof(SUFFIX) &&
            strcmp(entry->d_name + bytes - (sizeof(SUFFIX) - 1), SUFFIX) == 0)
            status = take_file(certs, folder, entry->d_name, err);
    }
    (void)closedir(dir);
    return status;
}

/* --- a probe --- */

enum dyno_status dyno_advise_certs_probe(struct dyno_advise_certs *certs, const char *spec,
                                         struct dyno_err *err)
{
    const char *equals = strchr(spec, '=');
    const char *path = equals != NULL ? equals + 1 : spec;
    const char *slash = strrchr(path, '/');
    const char *folder =
        slash != NULL ? dyno_arena_strndup(certs->arena, path, (size_t)(slash - path) + 1) : ".";
    struct dyno_cert *cert = NULL;
    struct dyno_cert_state state;
    struct dyno_advise_cert *item = NULL;
    if (folder == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_cert_load(path, &cert, err);
    if (status == DYNO_OK && cert->kind != DYNO_CERT_ENGINE)
        status = DYNO_FAIL(err, DYNO_E_ARG, "%s is no engine certificate", path);
    else if (status == DYNO_OK && cert->outcome == DYNO_CERT_REFUSED)
        status = DYNO_FAIL(err, DYNO_E_DENIED, "%s was refused: it says nothing", path);
    if (status == DYNO_OK)
        status = dyno_cert_state_read(cert, folder, certs->at_s, &state, err);
    if (status == DYNO_OK)
        status = add(certs, cert, &state, &item, err);
    if (status == DYNO_OK) {
        item->probe = spec;
        item->of_model =
            equals != NULL ? dyno_arena_strndup(certs->arena, spec, (size_t)(equals - spec)) : NULL;
        if (equals != NULL && item->of_model == NULL)
            status = DYNO_NOMEM(err);
    }
    dyno_cert_destroy(cert);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "--probe=%s", spec);
    return status;
}

/* --- asking --- */

const struct dyno_advise_cert *dyno_advise_certs_find(const struct dyno_advise_certs *certs,
                                                      const char *address)
{
    for (size_t i = 0; i < certs->count; i++)
        if (strcmp(certs->items[i].address, address) == 0)
            return &certs->items[i];
    return NULL;
}

bool dyno_advise_cert_is_of(const struct dyno_advise_cert *cert, const struct dyno_advise_tie *tie)
{
    struct dyno_cert_hash reference;
    if (cert->is_on_gpu != tie->is_on_gpu ||
        (tie->device[0] != 0 && strcmp(cert->device_class, tie->device) != 0))
        return false;
    if (cert->of_model != NULL)
        return strcmp(cert->of_model, tie->model) == 0;
    if (tie->cited != NULL)
        return dyno_cert_same(&cert->model, &tie->cited->model) &&
               strcmp(cert->device_class, tie->cited->device_class) == 0;
    if (dyno_cert_unhex(tie->reference, strlen(tie->reference), &reference))
        return dyno_cert_same(&cert->reference, &reference);
    return strcmp(cert->model_name, tie->model) == 0;
}

/* The less, the better. */
static int tier_of(const struct dyno_advise_cert *cert)
{
    return cert->probe != NULL                      ? 0
           : cert->state.kind != DYNO_CERT_IN_FORCE ? 3
           : cert->is_trial                         ? 2
                                                    : 1;
}

const struct dyno_advise_cert *dyno_advise_certs_best(const struct dyno_advise_certs *certs,
                                                      const struct dyno_advise_tie *tie,
                                                      const struct dyno_advise_cert *except)
{
    const struct dyno_advise_cert *best = NULL;
    for (size_t i = 0; i < certs->count; i++) {
        const struct dyno_advise_cert *cert = &certs->items[i];
        if (!dyno_advise_cert_is_of(cert, tie) ||
            (except != NULL && (dyno_cert_same(&cert->engine, &except->engine) ||
                                strcmp(cert->address, except->address) == 0)))
            continue;
        if (best == NULL || tier_of(cert) < tier_of(best) ||
            (tier_of(cert) == tier_of(best) && (cert->speed.low_ppm > best->speed.low_ppm ||
                                                (cert->speed.low_ppm == best->speed.low_ppm &&
                                                 strcmp(cert->address, best->address) < 0))))
            best = cert;
    }
    return best;
}

const struct dyno_advise_cert *dyno_advise_certs_lapsed(const struct dyno_advise_certs *certs,
                                                        const struct dyno_advise_tie *tie)
{
    const struct dyno_advise_cert *newest = NULL;
    for (size_t i = 0; i < certs->count; i++) {
        const struct dyno_advise_cert *cert = &certs->items[i];
        if (cert->probe == NULL && cert->state.kind != DYNO_CERT_IN_FORCE &&
            dyno_advise_cert_is_of(cert, tie) &&
            (newest == NULL || cert->issued_s > newest->issued_s ||
             (cert->issued_s == newest->issued_s && strcmp(cert->address, newest->address) < 0)))
            newest = cert;
    }
    return newest;
}

bool dyno_advise_cert_is_estimate(const struct dyno_advise_cert *cert)
{
    return cert->is_trial || cert->state.kind != DYNO_CERT_IN_FORCE;
}
