/* certs.c - the certificates of a folder, those that may be billed by. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/calendar.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/meter/internal.h"

static bool ends_in(const char *name, const char *end)
{
    const size_t bytes = strlen(name);
    const size_t end_bytes = strlen(end);
    return bytes > end_bytes && strcmp(name + bytes - end_bytes, end) == 0;
}

/* A certificate, or what is said of one. */
static bool is_of_certificates(const char *name)
{
    return ends_in(name, ".reference.json") || ends_in(name, ".engine.json") ||
           ends_in(name, ".state.json");
}

/* Of names, sizes and times, in any order; 0: the folder cannot be read. */
static uint64_t stamp_of(const char *path)
{
    uint64_t stamp = 1;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (const struct dirent *at = readdir(folder); at != NULL; at = readdir(folder)) {
        struct stat file;
        if (!is_of_certificates(at->d_name) || fstatat(dirfd(folder), at->d_name, &file, 0) != 0)
            continue;
        const uint64_t parts[] = {dyno_hash64(0, at->d_name, strlen(at->d_name)),
                                  (uint64_t)file.st_ino, (uint64_t)file.st_size,
                                  (uint64_t)file.st_mtim.tv_sec, (uint64_t)file.st_mtim.tv_nsec};
        stamp += dyno_hash64(0, parts, sizeof(parts));
    }
    (void)closedir(folder);
    return stamp;
}

/* Its last seconds are left out: engines are given another one in time. */
static bool lasts(const struct dyno_cert *cert, int64_t now_s)
{
    return now_s + DYNO_CERT_AHEAD_S < dyno_cert_expires_s(cert);
}

static enum dyno_status keep(struct dyno_cert_shelf *shelf, struct dyno_cert *cert,
                             struct dyno_err *err)
{
    if (shelf->count == shelf->room) {
        const size_t room = shelf->room > 0 ? shelf->room * 2 : 16;
        struct dyno_cert **grown =
            dyno_realloc(shelf->certs, shelf->count * sizeof(*grown), room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        shelf->certs = grown;
        shelf->room = room;
    }
    shelf->certs[shelf->count++] = cert;
    return DYNO_OK;
}

/* One that is another device's, a trial, suspended or expired is told of and left out. */
static enum dyno_status judge(const struct dyno_meter *meter, const struct dyno_cert *cert,
                              struct dyno_err *err)
{
    struct dyno_cert_state state;
    const int64_t now_s = dyno_now_s();
    /* A GPU's is held against the GPU, when an engine is adopted there. */
    const bool of_cpu = cert->gpu.compute == 0;
    const struct dyno_cert_want want = {.device_class = of_cpu ? meter->options.device_class : NULL,
                                        .now_s = now_s,
                                        .to_bill = !meter->options.takes_trials};
    if (cert->outcome == DYNO_CERT_REFUSED)
        return DYNO_FAIL(err, DYNO_E_DENIED, "it was refused: %s", cert->reason);
    DYNO_TRY(dyno_cert_check(cert, &want, err));
    DYNO_TRY(dyno_cert_state_read(cert, meter->options.certificates, now_s, &state, err));
    if (state.kind != DYNO_CERT_IN_FORCE)
        return DYNO_FAIL(err, DYNO_E_DENIED, "it is %s", dyno_cert_state_text(state.kind));
    return DYNO_OK;
}

static void take(const struct dyno_meter *meter, struct dyno_cert_shelf *shelf, const char *name)
{
    struct dyno_err err = {0};
    struct dyno_strbuf path = {0};
    struct dyno_cert *cert = NULL;
    dyno_strbuf_printf(&path, "%s/%s", meter->options.certificates, name);
    enum dyno_status status = dyno_strbuf_ok(&path)
                                  ? dyno_cert_load(dyno_strbuf_text(&path), &cert, &err)
                                  : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        status = judge(meter, cert, &err);
    if (status == DYNO_OK)
        status = keep(shelf, cert, &err);
    if (status != DYNO_OK) {
        dyno_log(DYNO_LOG_WARN, "certificate %s is not used: %s", name, err.text);
        dyno_cert_destroy(cert);
    }
    dyno_strbuf_fini(&path);
}

static enum dyno_status read_folder(struct dyno_meter *meter, struct dyno_err *err)
{
    DIR *folder = opendir(meter->options.certificates);
    if (folder == NULL)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "%s: %s", meter->options.certificates,
                         strerror(errno));
    struct dyno_cert_shelf *shelf = dyno_alloc(1, sizeof(*shelf));
    if (shelf == NULL) {
        (void)closedir(folder);
        return DYNO_NOMEM(err);
    }
    for (const struct dirent *at = readdir(folder); at != NULL; at = readdir(folder))
        if (ends_in(at->d_name, ".reference.json") || ends_in(at->d_name, ".engine.json"))
            take(meter, shelf, at->d_name);
    (void)closedir(folder);
    (void)pthread_mutex_lock(&meter->lock);
    shelf->next = meter->shelf;
    meter->shelf = shelf;
    (void)pthread_mutex_unlock(&meter->lock);
    return DYNO_OK;
}

/* When the next of those that count now does no more. */
static int64_t next_end(const struct dyno_cert_shelf *shelf, int64_t now_s)
{
    int64_t next_s = INT64_MAX;
    for (size_t i = 0; shelf != NULL && i < shelf->count; i++) {
        const int64_t end_s = dyno_cert_expires_s(shelf->certs[i]);
        if (lasts(shelf->certs[i], now_s) && end_s < next_s)
            next_s = end_s;
    }
    return next_s;
}

enum dyno_status dyno_cert_shelf_read(struct dyno_meter *meter, struct dyno_err *err)
{
    if (meter->options.certificates == NULL)
        return DYNO_OK;
    const uint64_t stamp =
        stamp_of(meter->options.certificates); /* what changes meanwhile counts */
    const enum dyno_status status = read_folder(meter, err);
    (void)pthread_mutex_lock(&meter->lock);
    meter->shelf_stamp = stamp;
    meter->shelf_ends_s = next_end(meter->shelf, dyno_now_s());
    (void)pthread_mutex_unlock(&meter->lock);
    return status;
}

bool dyno_cert_shelf_has_changed(struct dyno_meter *meter)
{
    if (meter->options.certificates == NULL)
        return false;
    const uint64_t stamp = stamp_of(meter->options.certificates);
    (void)pthread_mutex_lock(&meter->lock);
    const bool has_changed = stamp != meter->shelf_stamp;
    (void)pthread_mutex_unlock(&meter->lock);
    return has_changed;
}

bool dyno_cert_shelf_ends(struct dyno_meter *meter)
{
    if (meter->options.certificates == NULL)
        return false;
    (void)pthread_mutex_lock(&meter->lock);
    const bool ends = dyno_now_s() + DYNO_CERT_AHEAD_S >= meter->shelf_ends_s;
    (void)pthread_mutex_unlock(&meter->lock);
    return ends;
}

void dyno_cert_shelf_destroy(struct dyno_cert_shelf *shelf)
{
    while (shelf != NULL) {
        struct dyno_cert_shelf *next = shelf->next;
        for (size_t i = 0; i < shelf->count; i++)
            dyno_cert_destroy(shelf->certs[i]);
        dyno_free(shelf->certs);
        dyno_free(shelf);
        shelf = next;
    }
}

static const struct dyno_cert *find(const struct dyno_cert_shelf *shelf, enum dyno_cert_kind kind,
                                    const struct dyno_cert_hash *hash,
                                    const struct dyno_cert_hash *(*of)(const struct dyno_cert *))
{
    const struct dyno_cert *newest = NULL;
    const int64_t now_s = dyno_now_s();
    for (size_t i = 0; i < shelf->count; i++) {
        const struct dyno_cert *cert = shelf->certs[i];
        if (cert->kind == kind && dyno_cert_same(of(cert), hash) && lasts(cert, now_s) &&
            (newest == NULL || cert->issued_s > newest->issued_s))
            newest = cert;
    }
    return newest;
}

static const struct dyno_cert_hash *engine_of(const struct dyno_cert *cert)
{
    return &cert->engine;
}

static const struct dyno_cert_hash *baseline_of(const struct dyno_cert *cert)
{
    return &cert->baseline;
}

static const struct dyno_cert_hash *address_of(const struct dyno_cert *cert)
{
    return &cert->address;
}

/* An engine certificate counts with the reference certificate that it cites; the baseline itself
 * has the latter alone. */
void dyno_cert_shelf_find(const struct dyno_cert_shelf *shelf, const struct dyno_cert_hash *engine,
                          const struct dyno_cert **engine_out,
                          const struct dyno_cert **reference_out)
{
    *engine_out = *reference_out = NULL;
    if (shelf == NULL)
        return;
    const struct dyno_cert *cert = find(shelf, DYNO_CERT_ENGINE, engine, engine_of);
    if (cert == NULL) {
        *reference_out = find(shelf, DYNO_CERT_REFERENCE, engine, baseline_of);
        return;
    }
    const struct dyno_cert *reference =
        find(shelf, DYNO_CERT_REFERENCE, &cert->reference, address_of);
    if (reference == NULL || dyno_cert_check_pair(cert, reference, NULL) != DYNO_OK)
        return;
    *engine_out = cert;
    *reference_out = reference;
}
