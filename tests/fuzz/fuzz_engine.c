/* fuzz_engine.c - any bytes as an engine file: a plan that verifies or a sentence.
 *
 * Each input is read twice: as it is, and with checksums that fit, so that changes get past them to
 * the records.  Built as fuzz_onnx.c is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/format.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Where the section table says the checksums are, make them fit; and the size in the header. */
static void mend(uint8_t *bytes, size_t n)
{
    const size_t entry =
        DYNO_ENGINE_HEADER_BYTES + (DYNO_SECTION_CRC - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES + 8;
    uint64_t covered = 0;
    if (n < entry + sizeof(covered))
        return;
    memcpy(bytes + 16, &n, sizeof(n));
    memcpy(&covered, bytes + entry, sizeof(covered));
    if (covered > n)
        return;
    size_t at = (size_t)covered;
    for (size_t start = 0; start < covered && at + 4 <= n; start += DYNO_ENGINE_CHUNK_BYTES) {
        const size_t left = (size_t)covered - start;
        const size_t share = left < DYNO_ENGINE_CHUNK_BYTES ? left : DYNO_ENGINE_CHUNK_BYTES;
        const uint32_t crc = dyno_crc32c(0, bytes + start, share);
        memcpy(bytes + at, &crc, sizeof(crc));
        at += sizeof(crc);
    }
    const uint32_t crc = dyno_crc32c(0, bytes + covered, at - (size_t)covered);
    if (at + sizeof(crc) <= n)
        memcpy(bytes + at, &crc, sizeof(crc));
}

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
    mend(copy, bytes);
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
    return replay(argc, argv, LLVMFuzzerTestOneInput);
}
#endif
