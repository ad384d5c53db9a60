/* make_gpus.c - asking the builder what a GPU is; taking turns. */
#include "serve/model/make_gpus.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "serve/model/child.h"

#define ASK_NS UINT64_C(120000000000) /* a driver may take long to start */

void dyno_make_gpus_init(struct dyno_make_gpus *gpus)
{
    *gpus = (struct dyno_make_gpus){.count = 0};
    (void)pthread_mutex_init(&gpus->ask_lock, NULL);
    (void)pthread_mutex_init(&gpus->turn_lock, NULL);
    atomic_store(&gpus->wish_count, 1); /* one that was never asked for is not of it */
}

void dyno_make_gpus_fini(struct dyno_make_gpus *gpus)
{
    (void)pthread_mutex_destroy(&gpus->ask_lock);
    (void)pthread_mutex_destroy(&gpus->turn_lock);
}

void dyno_make_gpus_wish(struct dyno_make_gpus *gpus)
{
    (void)atomic_fetch_add(&gpus->wish_count, 1);
}

/* Found or added; under both locks where it may have to be.  NULL: there are more GPUs than a
 * server has. */
static struct dyno_make_gpu *find(struct dyno_make_gpus *gpus, const char *device)
{
    for (size_t i = 0; i < gpus->count; i++)
        if (strcmp(gpus->items[i].device, device) == 0)
            return &gpus->items[i];
    if (gpus->count == DYNO_GPUS_MAX || strlen(device) >= sizeof(gpus->items[0].device))
        return NULL;
    struct dyno_make_gpu *gpu = &gpus->items[gpus->count++];
    memcpy(gpu->device, device, strlen(device) + 1);
    return gpu;
}

/* --- what it is --- */

/* Its own words, without whose they are. */
static const char *without_command(const char *text)
{
    static const char command[] = "dyno inspect: ";
    return strncmp(text, command, sizeof(command) - 1) == 0 ? text + sizeof(command) - 1 : text;
}

static void ask(const struct dyno_make_gpu_asking *asking, struct dyno_make_gpu *gpu)
{
    const char *const args[] = {"dyno", "inspect", "device", gpu->device, "--json", NULL};
    struct dyno_child_end end = {0};
    struct dyno_err reason = {0};
    const struct dyno_child_options options = {.path = asking->builder,
                                               .args = args,
                                               .env = asking->env,
                                               .timeout_ns = ASK_NS,
                                               .cancel_fd = asking->cancel_fd,
                                               .out = gpu->text,
                                               .out_room = sizeof(gpu->text)};
    enum dyno_status status = dyno_child_run(&options, &end, &reason);
    gpu->why_not = (struct dyno_err){0};
    if (status == DYNO_OK && gpu->text[0] != 0)
        return;
    if (status == DYNO_OK)
        status =
            DYNO_FAIL(&reason, DYNO_E_IO, "the builder says nothing of the GPU %s", gpu->device);
    if (end.exit_code == dyno_status_exit_code(DYNO_E_TARGET))
        status = DYNO_E_TARGET;
    (void)DYNO_FAIL(&gpu->why_not, status, "%s", without_command(reason.text));
    if (status != DYNO_E_CANCELLED)
        dyno_log(status == DYNO_E_TARGET ? DYNO_LOG_INFO : DYNO_LOG_WARN,
                 "nothing can be built for the GPU %s: %s", gpu->device, gpu->why_not.text);
}

enum dyno_status dyno_make_gpus_ask(struct dyno_make_gpus *gpus,
                                    const struct dyno_make_gpu_asking *asking, const char *device,
                                    char text_out[DYNO_MAKE_GPU_TEXT_BYTES], struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&gpus->ask_lock);
    (void)pthread_mutex_lock(&gpus->turn_lock);
    struct dyno_make_gpu *gpu = find(gpus, device);
    (void)pthread_mutex_unlock(&gpus->turn_lock);
    const uint64_t wish_count = atomic_load(&gpus->wish_count);
    if (gpu == NULL) {
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "'%.64s' is one GPU too many", device);
    } else {
        if (gpu->wish_count != wish_count || gpu->why_not.status == DYNO_E_CANCELLED)
            ask(asking, gpu);
        gpu->wish_count = wish_count;
        memcpy(text_out, gpu->text, sizeof(gpu->text));
        if (gpu->why_not.status != DYNO_OK)
            status = DYNO_FAIL(err, gpu->why_not.status, "%s", gpu->why_not.text);
    }
    (void)pthread_mutex_unlock(&gpus->ask_lock);
    return status;
}

/* --- whose turn it is --- */

bool dyno_make_gpus_take(struct dyno_make_gpus *gpus, const char *device)
{
    bool is_mine = false;
    (void)pthread_mutex_lock(&gpus->turn_lock);
    for (size_t i = 0; i < gpus->count; i++)
        if (strcmp(gpus->items[i].device, device) == 0) {
            is_mine = !gpus->items[i].is_taken;
            gpus->items[i].is_taken = true;
        }
    (void)pthread_mutex_unlock(&gpus->turn_lock);
    return is_mine;
}

void dyno_make_gpus_leave(struct dyno_make_gpus *gpus, const char *device)
{
    (void)pthread_mutex_lock(&gpus->turn_lock);
    for (size_t i = 0; i < gpus->count; i++)
        if (strcmp(gpus->items[i].device, device) == 0)
            gpus->items[i].is_taken = false;
    (void)pthread_mutex_unlock(&gpus->turn_lock);
}
