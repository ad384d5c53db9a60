/* host.c - /proc/stat and /proc/meminfo. */
#include "serve/watch/host.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define TICKS_MIN 10 /* a shorter time says nothing */

void dyno_host_init(struct dyno_host *host)
{
    *host = (struct dyno_host){0};
    (void)pthread_mutex_init(&host->lock, NULL);
}

void dyno_host_fini(struct dyno_host *host)
{
    (void)pthread_mutex_destroy(&host->lock);
}

/* The first bytes of a file, as a text. */
static bool read_text(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const size_t bytes = fread(text, 1, room - 1, file);
    text[bytes] = 0;
    (void)fclose(file);
    return bytes > 0;
}

/* "cpu  user nice system idle iowait irq softirq steal ..." */
static bool read_ticks(uint64_t *busy_out, uint64_t *all_out)
{
    char text[256];
    uint64_t all = 0;
    uint64_t idle = 0;
    if (!read_text("/proc/stat", text, sizeof(text)) || strncmp(text, "cpu ", 4) != 0)
        return false;
    char *at = text + 4;
    for (int i = 0; i < 8; i++) {
        char *end = NULL;
        const uint64_t ticks = strtoull(at, &end, 10);
        if (end == at)
            return false;
        at = end;
        all += ticks;
        idle += i == 3 || i == 4 ? ticks : 0;
    }
    *busy_out = all - idle;
    *all_out = all;
    return true;
}

/* "NAME:   12345 kB" */
static uint64_t memory_bytes(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

void dyno_host_look(struct dyno_host *host, struct dyno_host_figures *figures_out)
{
    char text[512];
    uint64_t busy = 0;
    uint64_t all = 0;
    *figures_out = (struct dyno_host_figures){0};
    const bool is_told = read_ticks(&busy, &all);
    (void)pthread_mutex_lock(&host->lock);
    if (is_told && all >= host->all_ticks + TICKS_MIN) {
        host->use = (double)(busy - host->busy_ticks) / (double)(all - host->all_ticks);
        host->busy_ticks = busy;
        host->all_ticks = all;
    }
    figures_out->cpu_use = host->use;
    (void)pthread_mutex_unlock(&host->lock);
    if (!read_text("/proc/meminfo", text, sizeof(text)))
        return;
    const uint64_t free_bytes = memory_bytes(text, "MemAvailable:");
    figures_out->total_bytes = memory_bytes(text, "MemTotal:");
    figures_out->used_bytes =
        figures_out->total_bytes > free_bytes ? figures_out->total_bytes - free_bytes : 0;
}
