/* test_format_damage.c - engine files that are damaged, and those of other machines and builds. */
#include "unit/engine/format_case.h"

static enum dyno_status read_bytes(const uint8_t *bytes, size_t n, uint64_t isa_mask,
                                   struct dyno_err *err)
{
    struct dyno_target here = everything;
    here.isa_mask = isa_mask;
    struct dyno_plan *plan = NULL;
    char warning[512];
    const enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), err);
    CHECK((status == DYNO_OK) == (plan != NULL));
    dyno_plan_destroy(plan);
    return status;
}

/* Checksums that fit the bytes again, as an enemy would write them. */
static void mend(uint8_t *bytes, size_t n)
{
    uint64_t covered = 0;
    memcpy(&covered,
           bytes + DYNO_ENGINE_HEADER_BYTES +
               (DYNO_SECTION_CRC - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES + 8,
           sizeof(covered));
    if (covered > n || n - covered < 8)
        return;
    uint8_t *crcs = bytes + covered;
    size_t count = 0;
    for (uint64_t at = 0; at < covered && covered + (count + 2) * 4 <= n;
         at += DYNO_ENGINE_CHUNK_BYTES, count++) {
        const uint64_t left = covered - at;
        const size_t share =
            (size_t)(left < DYNO_ENGINE_CHUNK_BYTES ? left : DYNO_ENGINE_CHUNK_BYTES);
        const uint32_t crc = dyno_crc32c(0, bytes + at, share);
        memcpy(crcs + count * 4, &crc, 4);
    }
    const uint32_t crc = dyno_crc32c(0, crcs, count * 4);
    memcpy(crcs + count * 4, &crc, 4);
}

/* --- damage --- */

static void test_truncation(const uint8_t *bytes, size_t n)
{
    for (size_t length = 0; length < n; length++) {
        uint8_t *cut = dyno_alloc_raw(length + 1, 1);
        memcpy(cut, bytes, length);
        struct dyno_err err = {0};
        CHECK_MSG(read_bytes(cut, length, UINT64_MAX, &err) != DYNO_OK, "%zu bytes", length);
        CHECK(err.text[0] != 0);
        dyno_free(cut);
    }
    uint8_t *longer = dyno_alloc(n + 64, 1);
    memcpy(longer, bytes, n);
    CHECK(read_bytes(longer, n + 64, UINT64_MAX, NULL) == DYNO_E_CORRUPT);
    dyno_free(longer);
}

static void test_flips(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
        struct dyno_err err = {0};
        CHECK_MSG(read_bytes(bytes, n, UINT64_MAX, &err) != DYNO_OK, "bit %zu", i);
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0xff;
        CHECK_MSG(read_bytes(bytes, n, UINT64_MAX, NULL) != DYNO_OK, "byte %zu", i);
        bytes[i] ^= 0xff;
    }
    CHECK(read_bytes(bytes, n, UINT64_MAX, NULL) == DYNO_OK);
}

/* Bytes changed by someone who mends the checksums: refused with a sentence or a plan that verifies
 * (some bytes are free: a weight, a name); never a crash. */
static void test_mended(uint8_t *bytes, size_t n)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t *copy = dyno_alloc_raw(n, 1);
    size_t refused = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof(values); k++) {
            memcpy(copy, bytes, n);
            copy[i] = values[k];
            mend(copy, n);
            struct dyno_err err = {0};
            const enum dyno_status status = read_bytes(copy, n, UINT64_MAX, &err);
            CHECK(status == DYNO_OK || err.text[0] != 0);
            refused += status != DYNO_OK;
        }
        if (i + 4 <= n) {
            memcpy(copy, bytes, n);
            memset(copy + i, 0xff, 4);
            mend(copy, n);
            refused += read_bytes(copy, n, UINT64_MAX, NULL) != DYNO_OK;
        }
    }
    CHECK(refused > n);
    dyno_free(copy);
}

static void test_out_of_memory(const uint8_t *bytes, size_t n, const struct dyno_plan *plan)
{
    const uint64_t live = dyno_mem_live_count();
    for (int is_write = 0; is_write < 2; is_write++) {
        uint64_t nth = 1;
        for (;; nth++) {
            struct dyno_plan *back = NULL;
            struct dyno_err err = {0};
            char warning[512];
            dyno_mem_fail_at(nth);
            const enum dyno_status status = is_write
                                                ? dyno_engine_write(plan, &everything, path, &err)
                                                : dyno_engine_read(bytes, n, &everything, &back,
                                                                   warning, sizeof(warning), &err);
            dyno_mem_fail_at(0);
            CHECK(is_write || (status == DYNO_OK) == (back != NULL));
            dyno_plan_destroy(back);
            CHECK(dyno_mem_live_count() == live);
            if (status == DYNO_OK)
                break;
            CHECK_MSG(status == DYNO_E_NOMEM, "allocation %llu: %s", (unsigned long long)nth,
                      err.text);
            CHECK(nth < 1000);
        }
        CHECK(nth > 5);
    }
}

/* --- other machines, other builds --- */

static void test_foreign_machine(void)
{
    const struct dyno_kernel *kernel = kernel_with(DYNO_ISA_AVX2 | DYNO_ISA_AVX512);
    if (kernel == NULL)
        kernel = kernel_with(DYNO_ISA_AVX512);
    REQUIRE(kernel != NULL);
    struct dyno_plan *plan = make_plan(kernel);
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    struct dyno_err err = {0};
    CHECK(read_bytes(bytes, n, DYNO_ISA_AVX2, &err) == DYNO_E_TARGET);
    char cpu_name[128];
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    CHECK_MSG(strstr(err.text, "wants ") != NULL && strstr(err.text, "avx512;") != NULL, "%s",
              err.text);
    CHECK_MSG(strstr(err.text, "has avx2:") != NULL && strstr(err.text, cpu_name) != NULL, "%s",
              err.text);
    err = (struct dyno_err){0};
    CHECK(read_bytes(bytes, n, 0, &err) == DYNO_E_TARGET);
    CHECK_MSG(strstr(err.text, "has portable:") != NULL, "%s", err.text);
    CHECK(read_bytes(bytes, n, DYNO_ISA_AVX2 | DYNO_ISA_AVX512, NULL) == DYNO_OK);
    dyno_plan_destroy(plan);
    dyno_free(bytes);
}

static void test_warning(const uint8_t *bytes, size_t n)
{
    struct dyno_target here = everything;
    struct dyno_plan *plan = NULL;
    char warning[512];
    here.l2_bytes = (uint64_t)12345 * 1024;
    CHECK(dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), NULL) == DYNO_OK);
    CHECK_MSG(strstr(warning, "12345") != NULL, "%s", warning);
    dyno_plan_destroy(plan);
    CHECK(dyno_engine_read(bytes, n, &here, &plan, NULL, 0, NULL) == DYNO_OK);
    dyno_plan_destroy(plan);
}

/* One text of the file replaced by another of the same length. */
static void check_replaced(const uint8_t *bytes, size_t n, const char *from, const char *to,
                           enum dyno_status want, const char *sentence)
{
    uint8_t *copy = dyno_alloc_raw(n, 1);
    memcpy(copy, bytes, n);
    uint8_t *at = memmem(copy, n, from, strlen(from) + 1);
    REQUIRE(at != NULL && strlen(from) == strlen(to));
    memcpy(at, to, strlen(from));
    mend(copy, n);
    struct dyno_err err = {0};
    CHECK_MSG(read_bytes(copy, n, UINT64_MAX, &err) == want, "%s: %s", to, err.text);
    CHECK_MSG(strstr(err.text, sentence) != NULL, "%s", err.text);
    dyno_free(copy);
}

static void check_patched(const uint8_t *bytes, size_t n, size_t offset, uint32_t value,
                          enum dyno_status want)
{
    uint8_t *copy = dyno_alloc_raw(n, 1);
    memcpy(copy, bytes, n);
    memcpy(copy + offset, &value, sizeof(value));
    mend(copy, n);
    struct dyno_err err = {0};
    CHECK_MSG(read_bytes(copy, n, UINT64_MAX, &err) == want, "%zu: %s", offset, err.text);
    dyno_free(copy);
}

static void test_foreign_build(const uint8_t *bytes, size_t n)
{
    check_replaced(bytes, n, "Add", "Odd", DYNO_E_UNSUPPORTED, "op 'Odd'");
    check_replaced(bytes, n, dyno_pw_infos[DYNO_PW_COUNT - 1].name,
                   "zzzzzzzzzzzzzzzzzz" + 18 - strlen(dyno_pw_infos[DYNO_PW_COUNT - 1].name),
                   DYNO_E_UNSUPPORTED, "tail instruction 'zzz");
    check_patched(bytes, n, 8, DYNO_ENGINE_VERSION + 1, DYNO_E_UNSUPPORTED);
    /* The error and what was allowed: beside each other, behind two names and the plan's flags. */
    uint64_t info = 0;
    memcpy(&info, bytes + 64 + 8, sizeof(info));
    check_patched(bytes, n, (size_t)info + 12, 0x3e800000U, DYNO_OK);       /* 0.25 */
    check_patched(bytes, n, (size_t)info + 12, 0x3d000000U, DYNO_E_FORMAT); /* under the error */
    check_patched(bytes, n, (size_t)info + 12, 0x3f800000U, DYNO_E_FORMAT); /* 1 */
    check_patched(bytes, n, (size_t)info + 12, 0x7fc00000U, DYNO_E_FORMAT); /* NaN */
    check_patched(bytes, n, (size_t)info + 16, 0x3f000000U, DYNO_E_FORMAT); /* over the budget */
    check_patched(bytes, n, (size_t)info + 16, 0xbe000000U, DYNO_E_FORMAT); /* negative */
    check_patched(bytes, n, (size_t)info + 16, 0xffc00000U, DYNO_E_FORMAT); /* NaN */
    check_patched(bytes, n, 12, DYNO_ENGINE_SECTIONS + 1, DYNO_E_FORMAT);
    check_patched(bytes, n, 44, 1, DYNO_E_FORMAT);
    check_patched(bytes, n, 64 + 8, 384, DYNO_E_FORMAT);
    CHECK(read_bytes((const uint8_t *)"", 0, 0, NULL) != DYNO_OK);
    CHECK(read_bytes(bytes + 1, n - 1, UINT64_MAX, NULL) == DYNO_E_ARG);
}

/* Data of several chunks, with a packed block that ends on a chunk. */
static void test_large(const struct dyno_kernel *kernel)
{
    struct dyno_plan *plan = make_plan(kernel);
    const size_t packed_bytes = 5 * (size_t)DYNO_ENGINE_CHUNK_BYTES + 192;
    uint8_t *packed = dyno_alloc_raw(packed_bytes, 1);
    for (size_t i = 0; i < packed_bytes; i++)
        packed[i] = (uint8_t)(i * 31 + i / 1000);
    plan->steps[0].packed = packed;
    plan->steps[0].tactic.packed_bytes = packed_bytes;
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    CHECK(n > packed_bytes && read_bytes(bytes, n, UINT64_MAX, NULL) == DYNO_OK);
    for (size_t at = 3; at < n; at += 9973) {
        bytes[at] ^= 0x10;
        struct dyno_err err = {0};
        CHECK(read_bytes(bytes, n, UINT64_MAX, &err) != DYNO_OK);
        bytes[at] ^= 0x10;
    }
    dyno_plan_destroy(plan);
    dyno_free(bytes);
    dyno_free(packed);
}

int main(void)
{
    const struct dyno_kernel *kernel = kernel_with(0);
    REQUIRE(kernel != NULL);
    open_file();
    struct dyno_plan *plan = make_plan(kernel);
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    test_truncation(bytes, n);
    test_flips(bytes, n);
    test_mended(bytes, n);
    test_out_of_memory(bytes, n, plan);
    test_warning(bytes, n);
    test_foreign_build(bytes, n);
    dyno_plan_destroy(plan);
    dyno_free(bytes);
    test_foreign_machine();
    test_large(kernel);
    CHECK(unlink(path) == 0 && dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
