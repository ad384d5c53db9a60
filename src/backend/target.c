/* target.c - what this machine is: caches, speed, name.
 *
 * Nothing here is measured: the estimates built on it decide plans when nothing is timed, and the
 * same machine must then give the same plan.
 */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* First line of a small file; false when it cannot be read. */
static bool read_line(const char *path, char *text_out, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const bool ok = fgets(text_out, (int)bytes, file) != NULL;
    (void)fclose(file);
    if (ok)
        text_out[strcspn(text_out, "\n")] = '\0';
    return ok;
}

/* "32K", "8M" */
static uint64_t parse_size(const char *text)
{
    char *end = NULL;
    const uint64_t value = strtoull(text, &end, 10);
    if (*end == 'K')
        return value << 10;
    if (*end == 'M')
        return value << 20;
    return value;
}

static void read_caches(struct dyno_target *target)
{
    for (int i = 0; i < 8; i++) {
        char path[96];
        char level[16], type[32], size[32];
        (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (!read_line(path, level, sizeof(level)))
            break;
        (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if (!read_line(path, type, sizeof(type)) || strcmp(type, "Instruction") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!read_line(path, size, sizeof(size)))
            continue;
        const uint64_t bytes = parse_size(size);
        if (level[0] == '1')
            target->l1_bytes = bytes;
        else if (level[0] == '2')
            target->l2_bytes = bytes;
        else if (level[0] == '3')
            target->l3_bytes = bytes;
    }
}

static double clock_ghz(void)
{
    char text[32];
    if (read_line("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", text, sizeof(text))) {
        const double khz = strtod(text, NULL);
        if (khz > 0.0)
            return khz * 1e-6;
    }
#if defined(__x86_64__)
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0x16, &a, &b, &c, &d) != 0 && (b & 0xffffU) != 0)
        return (b & 0xffffU) * 1e-3;
#endif
    return 3.0; /* virtual machines tend not to say */
}

void dyno_target_detect(struct dyno_target *target_out, const struct dyno_pool *pool)
{
    *target_out = (struct dyno_target){
        .isa_mask = dyno_isa_detect(),
        .thread_count = pool == NULL ? 1 : dyno_pool_thread_count(pool),
        .l1_bytes = 32U << 10,
        .l2_bytes = 512U << 10,
        .l3_bytes = 8U << 20,
        .mem_gbps = 12.0F,
        .workspace_bytes_max = UINT64_MAX,
    };
    read_caches(target_out);
    double flops_a_cycle = 8.0; /* SSE2: a multiplication and an addition of four */
    if ((target_out->isa_mask & DYNO_ISA_AVX512) != 0)
        flops_a_cycle = 64.0;
    else if ((target_out->isa_mask & DYNO_ISA_AVX2) != 0)
        flops_a_cycle = 32.0;
    target_out->peak_gflops = (float)(clock_ghz() * flops_a_cycle);
}

void dyno_cpu_name(char *text_out, size_t bytes)
{
#if defined(__x86_64__)
    char brand[49] = "";
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0x80000000U, &a, &b, &c, &d) != 0 && a >= 0x80000004U) {
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t words[4];
            (void)__get_cpuid(0x80000002U + i, &words[0], &words[1], &words[2], &words[3]);
            memcpy(brand + (size_t)i * 16, words, sizeof(words));
        }
    }
    const char *start = brand + strspn(brand, " ");
    size_t length = strlen(start);
    while (length > 0 && start[length - 1] == ' ')
        length--;
    (void)__get_cpuid(1, &a, &b, &c, &d);
    uint32_t family = a >> 8 & 0xfU;
    uint32_t model = a >> 4 & 0xfU;
    if (family == 6 || family == 15)
        model |= (a >> 16 & 0xfU) << 4;
    if (family == 15)
        family += a >> 20 & 0xffU;
    (void)snprintf(text_out, bytes, "%.*s, family %u model %u", (int)length, start, family, model);
#else
    char line[128];
    if (read_line("/sys/firmware/devicetree/base/model", line, sizeof(line)))
        (void)snprintf(text_out, bytes, "%s", line);
    else
        (void)snprintf(text_out, bytes, "unknown processor");
#endif
}
