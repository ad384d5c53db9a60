/* make_cert.c - certificates of made-up samples, for tests of what reads them.
 *
 *   make_cert FOLDER SPEEDUP [trial] [biased]
 *
 * Writes a reference and an engine certificate and prints the addresses of the two.  biased: the
 * A/A control fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/meter/cert_case.h"

static void stop(const char *what)
{
    (void)fprintf(stderr, "make_cert: %s\n", what);
    exit(1);
}

int main(int argc, char **argv)
{
    struct cert_case c = cert_good;
    struct dyno_cert_hash reference = {{0}};
    if (argc < 3)
        stop("wants FOLDER and SPEEDUP");
    c.speedup = strtod(argv[2], NULL);
    c.axis_count = 0;
    c.runs = 0;
    for (int i = 3; i < argc; i++) {
        c.is_trial = c.is_trial || strcmp(argv[i], "trial") == 0;
        c.bias = strcmp(argv[i], "biased") == 0 ? 0.02 : c.bias;
    }
    for (int kind = DYNO_CERT_REFERENCE; kind <= DYNO_CERT_ENGINE; kind++) {
        struct dyno_err err = {0};
        struct dyno_strbuf path = {0};
        char hex[DYNO_CERT_HEX_ROOM];
        struct dyno_cert *cert = cert_case_make((enum dyno_cert_kind)kind, &c, 7);
        cert->reference = reference;
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
