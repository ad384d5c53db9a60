/* test_table.c - the kernel table, the instruction sets and what is known of the machine. */
#include <stdlib.h>

#include "backend/backend.h"
#include "test.h"

static void ids_are_stable_and_distinct(void)
{
    for (size_t i = 0; i < dyno_kernel_count; i++) {
        const struct dyno_kernel *kernel = dyno_kernels[i];
        const uint32_t id = dyno_kernel_id(kernel);
        CHECK_MSG(dyno_kernel_find(id) == kernel, "%s", kernel->name);
        CHECK_MSG(kernel->enumerate != NULL && kernel->settle != NULL && kernel->prepare != NULL &&
                      kernel->run != NULL,
                  "%s", kernel->name);
        for (size_t k = 0; k < i; k++)
            CHECK_MSG(dyno_kernel_id(dyno_kernels[k]) != id, "%s and %s", kernel->name,
                      dyno_kernels[k]->name);
    }
    /* FNV-1a of "reference", by hand: engines hold it. */
    uint32_t hash = 2166136261U;
    for (const char *c = "reference"; *c != '\0'; c++)
        hash = (hash ^ (uint32_t)*c) * 16777619U;
    const struct dyno_kernel *reference = dyno_kernel_find(hash);
    CHECK(reference != NULL && reference->isa_mask == DYNO_ISA_PORTABLE);
    CHECK(dyno_kernel_find(0) == NULL);
}

static void instruction_sets_can_be_disabled(void)
{
    CHECK(unsetenv("DYNO_ISA_DISABLE") == 0);
    const uint64_t all = dyno_isa_detect();
    CHECK((all & DYNO_ISA_AVX512) == 0 || (all & DYNO_ISA_AVX2) != 0);
    CHECK(setenv("DYNO_ISA_DISABLE", "avx512", 1) == 0);
    const uint64_t no_avx512 =
        DYNO_ISA_AVX512 | DYNO_ISA_AVX512VNNI | DYNO_ISA_AVX512BF16 | DYNO_ISA_AMX;
    CHECK(dyno_isa_detect() == (all & ~no_avx512));
    CHECK(setenv("DYNO_ISA_DISABLE", "nothing,avx2", 1) == 0);
    CHECK(dyno_isa_detect() == 0);
    CHECK(setenv("DYNO_ISA_DISABLE", "avx", 1) == 0);
    CHECK(dyno_isa_detect() == all);
    CHECK(unsetenv("DYNO_ISA_DISABLE") == 0);
}

static void sets_print_by_name(void)
{
    struct dyno_strbuf text = {0};
    dyno_isa_print(DYNO_ISA_AVX2 | DYNO_ISA_AVX512, &text);
    CHECK_STR(dyno_strbuf_text(&text), "avx2 avx512");
    dyno_strbuf_clear(&text);
    dyno_isa_print(0, &text);
    CHECK_STR(dyno_strbuf_text(&text), "portable");
    dyno_strbuf_fini(&text);
}

static void the_machine_is_described(void)
{
    struct dyno_target a, b;
    char name[128] = "";
    char cut[5] = "";
    dyno_target_detect(&a, NULL);
    dyno_target_detect(&b, NULL);
    CHECK(a.thread_count == 1 && a.isa_mask == dyno_isa_detect());
    CHECK(a.l1_bytes >= 4096 && a.l2_bytes > a.l1_bytes);
    CHECK(a.peak_gflops > 0.0F && a.mem_gbps > 0.0F);
    /* Plans built from estimates must come out the same each time. */
    CHECK(test_same(&a, &b, sizeof(a)));
    dyno_cpu_name(name, sizeof(name));
    CHECK(name[0] != '\0');
    dyno_cpu_name(cut, sizeof(cut));
    CHECK(strlen(cut) == sizeof(cut) - 1 && strncmp(cut, name, sizeof(cut) - 1) == 0);
}

int main(void)
{
    ids_are_stable_and_distinct();
    instruction_sets_can_be_disabled();
    sets_print_by_name();
    the_machine_is_described();
    return TEST_RESULT();
}
