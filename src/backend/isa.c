/* isa.c - which instruction sets this machine and its operating system give. */
#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const struct {
    uint64_t bit;
    const char *name;
} isa_names[] = {
    {DYNO_ISA_AVX2, "avx2"},
    {DYNO_ISA_AVX512, "avx512"},
    {DYNO_ISA_AVX512VNNI, "avx512vnni"},
    {DYNO_ISA_AVX512BF16, "avx512bf16"},
    {DYNO_ISA_AVXVNNI, "avxvnni"},
    {DYNO_ISA_AMX, "amx"},
};

#if defined(__x86_64__)
/* XCR0: which registers the operating system saves. */
static uint64_t saved_registers(void)
{
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool bit(uint32_t word, int idx)
{
    return (word >> idx & 1U) != 0;
}

static uint64_t machine_isa(void)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !bit(c, 27) || !bit(c, 28))
        return 0; /* no OSXSAVE, no AVX */
    const bool fma = bit(c, 12);
    const bool f16c = bit(c, 29);
    const uint64_t saved = saved_registers();
    if ((saved & 0x6) != 0x6 || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0)
        return 0;
    uint64_t mask = 0;
    if (bit(b, 5) && fma && f16c)
        mask |= DYNO_ISA_AVX2;
    const uint32_t leaf1_max = a;
    uint32_t a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    if (leaf1_max >= 1)
        (void)__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    if ((mask & DYNO_ISA_AVX2) != 0 && bit(a1, 4))
        mask |= DYNO_ISA_AVXVNNI;
    const bool f_dq_bw_vl = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
    if ((mask & DYNO_ISA_AVX2) == 0 || (saved & 0xe0) != 0xe0 || !f_dq_bw_vl)
        return mask;
    mask |= DYNO_ISA_AVX512;
    if (bit(c, 11))
        mask |= DYNO_ISA_AVX512VNNI;
    if (bit(a1, 5))
        mask |= DYNO_ISA_AVX512BF16;
    if ((saved & 0x60000) == 0x60000 && bit(d, 22) && bit(d, 24) && bit(d, 25))
        mask |= DYNO_ISA_AMX;
    return mask;
}
#else
static uint64_t machine_isa(void)
{
    return 0;
}
#endif

/* What needs this bit goes with it. */
static uint64_t dependents(uint64_t bit_gone)
{
    if (bit_gone == DYNO_ISA_AVX2)
        return UINT64_MAX;
    if (bit_gone == DYNO_ISA_AVX512)
        return DYNO_ISA_AVX512 | DYNO_ISA_AVX512VNNI | DYNO_ISA_AVX512BF16 | DYNO_ISA_AMX;
    return bit_gone;
}

uint64_t dyno_isa_detect(void)
{
    uint64_t mask = machine_isa();
    const char *disabled = getenv("DYNO_ISA_DISABLE");
    while (disabled != NULL && *disabled != '\0') {
        const size_t bytes = strcspn(disabled, ",");
        for (size_t i = 0; i < DYNO_COUNT(isa_names); i++)
            if (strlen(isa_names[i].name) == bytes &&
                strncmp(isa_names[i].name, disabled, bytes) == 0)
                mask &= ~dependents(isa_names[i].bit);
        disabled += bytes;
        disabled += *disabled == ',';
    }
    return mask;
}

void dyno_isa_print(uint64_t isa_mask, struct dyno_strbuf *out)
{
    bool first = true;
    for (size_t i = 0; i < DYNO_COUNT(isa_names); i++) {
        if ((isa_mask & isa_names[i].bit) == 0)
            continue;
        dyno_strbuf_printf(out, "%s%s", first ? "" : " ", isa_names[i].name);
        first = false;
    }
    if (first)
        dyno_strbuf_puts(out, "portable");
}
