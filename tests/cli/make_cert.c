/* make_cert.c - certificates of made-up samples, for tests of what reads them.
 *
 *   make_cert FOLDER SPEEDUP [trial] [biased] [fp16] [device=CLASS] [item_ns=N] [ends=S]
 *             [engine=N] [processes=N]
 *   make_cert FOLDER SPEEDUP trial like=ENGINE_CERTIFICATE [ends_in=S]
 *
 * Writes a reference and an engine certificate and prints the addresses of the two.  biased: the
 * A/A control fails.  fp16: the precision of the engine, else as it is.  ends: when the term is
 * over, in seconds since 1970.  engine: all bytes of the hash of its file.  like: an engine
 * certificate of the same engine, with that speed-up; its term ends in so many seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "unit/meter/cert_case.h"

static void stop(const char *what)
{
    (void)fprintf(stderr, "make_cert: %s\n", what);
    exit(1);
}

/* The engine took 1 / speedup of the baseline in every block. */
static int make_like(const char *folder, const char *path, double speedup, const char *ends_in)
{
    struct dyno_err err = {0};
    struct dyno_strbuf saved = {0};
    struct dyno_cert *cert = NULL;
    if (dyno_cert_load(path, &cert, &err) != DYNO_OK)
        stop(err.text);
    const struct dyno_cert_series *series = &cert->attempts[0].points[0].speedup;
    for (uint32_t p = 0; p < series->count; p++) {
        for (uint32_t b = 0; b < series->processes[p].count; b++) {
            struct dyno_cert_segment *s = series->processes[p].blocks[b].segments;
            for (int i = 0; i < 4; i++) {
                s[i].items = cert->batch * 1000;
                s[i].ns = (uint64_t)(i == 0 || i == 3 ? 1e9 : 1e9 / speedup);
            }
        }
    }
    if (ends_in != NULL) {
        cert->term_days = 1;
        cert->issued_s = (int64_t)time(NULL) + strtol(ends_in, NULL, 10) - 86400;
    }
    if (dyno_cert_derive(cert, &err) != DYNO_OK ||
        dyno_cert_save(cert, folder, &saved, &err) != DYNO_OK)
        stop(err.text);
    printf("%s\n", dyno_strbuf_text(&saved));
    dyno_strbuf_fini(&saved);
    dyno_cert_destroy(cert);
    return 0;
}

int main(int argc, char **argv)
{
    struct cert_case c = cert_good;
    struct dyno_cert_hash reference = {{0}};
    bool is_fp16 = false;
    const char *device = NULL;
    int64_t ends_s = 0;
    int engine = -1;
    if (argc < 3)
        stop("wants FOLDER and SPEEDUP");
    c.speedup = strtod(argv[2], NULL);
    if (argc >= 5 && strncmp(argv[4], "like=", 5) == 0)
        return make_like(argv[1], argv[4] + 5, c.speedup,
                         argc == 6 && strncmp(argv[5], "ends_in=", 8) == 0 ? argv[5] + 8 : NULL);
    c.axis_count = 0;
    c.runs = 0;
    for (int i = 3; i < argc; i++) {
        c.is_trial = c.is_trial || strcmp(argv[i], "trial") == 0;
        c.bias = strcmp(argv[i], "biased") == 0 ? 0.02 : c.bias;
        is_fp16 = is_fp16 || strcmp(argv[i], "fp16") == 0;
        if (strncmp(argv[i], "device=", 7) == 0)
            device = argv[i] + 7;
        if (strncmp(argv[i], "item_ns=", 8) == 0)
            c.item_ns = strtod(argv[i] + 8, NULL);
        if (strncmp(argv[i], "engine=", 7) == 0)
            engine = (int)strtol(argv[i] + 7, NULL, 10);
        if (strncmp(argv[i], "processes=", 10) == 0)
            c.processes = (uint32_t)strtoul(argv[i] + 10, NULL, 10);
        if (strncmp(argv[i], "ends=", 5) == 0)
            ends_s = strtol(argv[i] + 5, NULL, 10);
    }
    for (int kind = DYNO_CERT_REFERENCE; kind <= DYNO_CERT_ENGINE; kind++) {
        struct dyno_err err = {0};
        struct dyno_strbuf path = {0};
        char hex[DYNO_CERT_HEX_ROOM];
        struct dyno_cert *cert = cert_case_make((enum dyno_cert_kind)kind, &c, 7);
        cert->reference = reference;
        if (device != NULL)
            cert->device_class = device;
        if (engine >= 0)
            memset(cert->engine.bytes, engine, sizeof(cert->engine.bytes));
        if (ends_s != 0)
            cert->issued_s = ends_s - (int64_t)cert->term_days * 86400;
        if (kind == DYNO_CERT_ENGINE && is_fp16)
            cert->precision = "fp16";
        if (dyno_cert_derive(cert, &err) != DYNO_OK ||
            dyno_cert_save(cert, argv[1], &path, &err) != DYNO_OK)
            stop(err.text);
        reference = cert->address;
        dyno_cert_hex(&cert->address, hex);
        printf("%s\n", hex);
        dyno_strbuf_fini(&path);
        dyno_cert_destroy(cert);
    }
    return 0;
}
