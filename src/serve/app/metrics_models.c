/* metrics_models.c - of models that come and go, of the machine, and of who was refused. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "serve/app/http.h"

static void put_head(struct dyno_strbuf *out, const char *name, const char *help, const char *type)
{
    dyno_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct dyno_strbuf *out, const char *name, const char *help, const char *type,
                    uint64_t value)
{
    put_head(out, name, help, type);
    dyno_strbuf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_loads(struct dyno_strbuf *out, const struct dyno_figures *figures)
{
    put_one(out, "dyno_model_memory_bytes", "Bytes that loaded engines hold, and loads will",
            "gauge", figures->memory_bytes);
    put_one(out, "dyno_model_memory_limit_bytes", "Bytes that they may hold; 0: any", "gauge",
            figures->memory_bytes_max);
    put_one(out, "dyno_heap_bytes", "Bytes that the server has allocated, engines' files apart",
            "gauge", dyno_mem_live_bytes());
    put_one(out, "dyno_model_evictions_total", "Engines that went to make room for others",
            "counter", figures->eviction_count);
    put_one(out, "dyno_model_load_failures_total", "Loads of engines that failed", "counter",
            figures->failed_count);
    put_one(out, "dyno_model_load_put_off_total", "Loads for which there was no room", "counter",
            figures->put_off_count);
    put_head(out, "dyno_model_load_seconds", "Loads of engines that went well", "histogram");
    dyno_histogram_write(&figures->load, "dyno_model_load_seconds", "", out);
}

static void put_slots(struct dyno_strbuf *out, const struct dyno_slot_figures *rows, size_t count)
{
    static const char requests[] = "dyno_engine_requests_total";
    uint64_t states[DYNO_SLOT_STATES] = {0};
    put_head(out, requests, "Requests that wanted the engine, which was there (hit) or not (miss)",
             "counter");
    for (size_t i = 0; i < count; i++) {
        const struct dyno_slot_figures *row = &rows[i];
        states[row->state]++;
        if (row->hit_count == 0 && row->miss_count == 0)
            continue; /* nobody asked yet */
        for (int hit = 1; hit >= 0; hit--)
            dyno_strbuf_printf(
                out, "%s{model=\"%s\",version=\"%s\",variant=\"%s\",result=\"%s\"} %llu\n",
                requests, row->model, row->version, row->name, hit ? "hit" : "miss",
                (unsigned long long)(hit ? row->hit_count : row->miss_count));
    }
    put_head(out, "dyno_engines", "Engines that are known, by state", "gauge");
    for (int i = 0; i < DYNO_SLOT_STATES; i++)
        dyno_strbuf_printf(out, "dyno_engines{state=\"%s\"} %llu\n",
                           dyno_slot_state_text((enum dyno_slot_state)i),
                           (unsigned long long)states[i]);
}

/* Of those that an engine has wanted so far. */
static void put_gpus(struct dyno_strbuf *out, struct dyno_manager *manager)
{
    static const struct {
        const char *name, *help, *type;
    } rows[] = {
        {"dyno_gpu_up", "1 while the process that drives the GPU runs", "gauge"},
        {"dyno_gpu_restarts_total", "Times that it was started again", "counter"},
        {"dyno_gpu_memory_bytes", "Bytes of the GPU that loaded engines hold, and loads will",
         "gauge"},
        {"dyno_gpu_memory_limit_bytes", "Bytes that they may hold", "gauge"},
        {"dyno_gpu_memory_total_bytes", "Bytes that the GPU has", "gauge"},
        {"dyno_gpu_items_total", "Rows of requests that were done on the GPU", "counter"},
    };
    struct dyno_gpu_figures gpus[DYNO_GPUS_MAX];
    const int count = dyno_manager_gpu_figures(manager, gpus);
    int used_count = 0;
    for (int i = 0; i < count; i++)
        used_count += gpus[i].card.memory_bytes != 0;
    for (size_t row = 0; row < DYNO_COUNT(rows) && used_count > 0; row++) {
        put_head(out, rows[row].name, rows[row].help, rows[row].type);
        for (int i = 0; i < count; i++) {
            const struct dyno_gpu_figures *gpu = &gpus[i];
            const uint64_t values[DYNO_COUNT(rows)] = {
                gpu->card.pid != 0,    gpu->card.restart_count, gpu->memory_bytes,
                gpu->memory_bytes_max, gpu->card.memory_bytes,  gpu->item_count};
            if (gpu->card.memory_bytes != 0)
                dyno_strbuf_printf(out, "%s{device=\"%s\"} %llu\n", rows[row].name,
                                   gpu->card.device, (unsigned long long)values[row]);
        }
    }
}

/* What the cards tell of themselves: under Triton's names what Triton tells, with its label, and
 * what is ours.  What a card does not tell is left out. */
static void put_cards(struct dyno_strbuf *out, struct dyno_manager *manager)
{
    static const struct {
        const char *name, *help, *type;
        size_t offset_bytes; /* a double of the facts */
        double unit;         /* of ours; 0: it is Triton's */
    } rows[] = {
        {"nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0)", "gauge",
         offsetof(struct dyno_device_facts, busy), 0.0},
        {"nv_gpu_memory_total_bytes", "GPU total memory, in bytes", "gauge",
         offsetof(struct dyno_device_facts, memory_bytes), 0.0},
        {"nv_gpu_memory_used_bytes", "GPU used memory, in bytes", "gauge",
         offsetof(struct dyno_device_facts, memory_used_bytes), 0.0},
        {"nv_gpu_power_usage", "GPU power usage in watts", "gauge",
         offsetof(struct dyno_device_facts, power_w), 0.0},
        {"nv_gpu_power_limit", "GPU power management limit in watts", "gauge",
         offsetof(struct dyno_device_facts, power_limit_w), 0.0},
        {"nv_energy_consumption", "GPU energy consumption in joules since the server asked first",
         "counter", offsetof(struct dyno_device_facts, energy_j), 0.0},
        {"dyno_gpu_energy_joules_total", "The same joules, by device as the items are", "counter",
         offsetof(struct dyno_device_facts, energy_j), 1.0},
        {"dyno_gpu_core_clock_hertz", "Clock of the GPU's multiprocessors", "gauge",
         offsetof(struct dyno_device_facts, core_mhz), 1e6},
        {"dyno_gpu_memory_clock_hertz", "Clock of the GPU's memory", "gauge",
         offsetof(struct dyno_device_facts, memory_mhz), 1e6},
        {"dyno_gpu_temperature_celsius", "Temperature of the GPU", "gauge",
         offsetof(struct dyno_device_facts, temperature_c), 1.0},
    };
    struct dyno_gpu_figures gpus[DYNO_GPUS_MAX];
    const int count = dyno_manager_gpu_figures(manager, gpus);
    for (size_t row = 0; row < DYNO_COUNT(rows); row++) {
        const bool is_ours = rows[row].unit > 0.0;
        bool is_told = false;
        for (int i = 0; i < count; i++) {
            const struct dyno_card_figures *card = &gpus[i].card;
            double value = 0.0;
            memcpy(&value, (const char *)&card->facts + rows[row].offset_bytes, sizeof(value));
            if (!card->has_facts || isnan(value))
                continue;
            if (!is_told)
                put_head(out, rows[row].name, rows[row].help, rows[row].type);
            is_told = true;
            dyno_strbuf_printf(
                out, "%s{%s=\"%s\"} %.15g\n", rows[row].name, is_ours ? "device" : "gpu_uuid",
                is_ours || card->facts.uuid[0] == 0 ? card->device : card->facts.uuid,
                is_ours ? value * rows[row].unit : value);
        }
    }
}

/* Triton's. */
static void put_host(struct dyno_strbuf *out, struct dyno_host *host)
{
    struct dyno_host_figures figures;
    dyno_host_look(host, &figures);
    put_head(out, "nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", "gauge");
    dyno_strbuf_printf(out, "nv_cpu_utilization %.4f\n", figures.cpu_use);
    put_one(out, "nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", "gauge",
            figures.total_bytes);
    put_one(out, "nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", "gauge",
            figures.used_bytes);
}

static void put_refusals(struct dyno_strbuf *out, struct dyno_gate *gate)
{
    static const char name[] = "dyno_refused_requests_total";
    static const char *const texts[DYNO_REFUSALS] = {[DYNO_REFUSED_UNKNOWN] = "unknown_key",
                                                     [DYNO_REFUSED_DENIED] = "denied",
                                                     [DYNO_REFUSED_LIMIT] = "limit"};
    uint64_t counts[DYNO_REFUSALS];
    dyno_gate_refusals(gate, counts);
    put_head(out, name, "Requests that were refused at the gate", "counter");
    for (int i = 0; i < DYNO_REFUSALS; i++)
        dyno_strbuf_printf(out, "%s{reason=\"%s\"} %llu\n", name, texts[i],
                           (unsigned long long)counts[i]);
}

enum dyno_status dyno_server_print_models(struct dyno_server *server, struct dyno_arena *arena,
                                          struct dyno_strbuf *out, struct dyno_err *err)
{
    struct dyno_figures figures;
    struct dyno_slot_figures *rows = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_catalog_figures(server->catalog, arena, &rows, &count, err));
    dyno_manager_figures(server->manager, &figures);
    put_loads(out, &figures);
    put_slots(out, rows, count);
    put_gpus(out, server->manager);
    put_cards(out, server->manager);
    put_host(out, &server->host);
    put_refusals(out, server->gate);
    return DYNO_OK;
}
