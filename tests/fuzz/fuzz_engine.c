/* fuzz_engine.c - any bytes as an engine file: a plan that verifies or a sentence.
 *
 * Each input is read twice: as it is, and with checksums that fit, so that changes get past them to
 * the records.  Built as fuzz_onnx.c is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "engine_bytes.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_once(const uint8_t *bytes, size_t n)
{
    const struct dyno_target here = {.isa_mask = UINT64_MAX, .thread_count = 1};
    struct dyno_plan *plan = NULL;
    struct dyno_err err = {0};
    char warning[256];
    const enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), &err);
    const bool consistent = (status == DYNO_OK) == (plan != NULL);
    const bool told = status == DYNO_OK || (err.status == status && err.text[0] != '\0');
    dyno_plan_destroy(plan);
    if (!consistent || !told) {
        (void)fprintf(stderr, "status %d, text '%s'\n", (int)status, err.text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* Not from base/mem.h, whose header would hide reads past the end from the sanitizers. */
    void *copy = NULL;
    if (posix_memalign(&copy, DYNO_ENGINE_ALIGN_BYTES, bytes + (bytes == 0)) != 0)
        return 0;
    memcpy(copy, data, bytes);
    read_once(copy, bytes);
    engine_bytes_mend(copy, bytes);
    read_once(copy, bytes);
    free(copy);
    if (dyno_mem_live_count() != 0) {
        (void)fprintf(stderr, "%llu blocks left\n", (unsigned long long)dyno_mem_live_count());
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
