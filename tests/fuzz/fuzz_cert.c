/* fuzz_cert.c - any bytes as a certificate: refused with a sentence, or its very text comes out
 * again.  Built as fuzz_onnx.c is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "meter/cert/cert.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct dyno_err err = {0};
    struct dyno_cert *cert = NULL;
    struct dyno_strbuf text = {0};
    const enum dyno_status status = dyno_cert_parse((const char *)data, bytes, &cert, &err);
    bool ok = status == DYNO_OK || (err.text[0] != '\0' && cert == NULL);
    if (status == DYNO_OK) {
        dyno_cert_text(cert, &text);
        ok = text.bytes == bytes && memcmp(text.text, data, bytes) == 0;
    }
    dyno_strbuf_fini(&text);
    dyno_cert_destroy(cert);
    if (!ok || dyno_mem_live_count() != 0) {
        (void)fprintf(stderr, "status %d, text '%s', %llu blocks left\n", (int)status, err.text,
                      (unsigned long long)dyno_mem_live_count());
        abort();
    }
    return 0;
}

#ifdef DYNO_FUZZ_REPLAY
int main(int argc, char **argv)
{
    return replay(argc, argv, NULL, LLVMFuzzerTestOneInput);
}
#endif
