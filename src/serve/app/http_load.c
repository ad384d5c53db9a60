/* http_load.c - how loaded the server is, in a header of the answer that asks for it.
 *
 * ORCA's native HTTP forms (github.com/envoyproxy/envoy, "Open Request Cost Aggregation"), asked
 * for as Triton is: endpoint-load-metrics-format: text or json.
 */
#include <stdio.h>
#include <string.h>

#include "serve/app/http.h"

void dyno_visit_print_load(const struct dyno_visit *visit, char *out, size_t room)
{
    const char *format = dyno_http_header(&visit->request, "endpoint-load-metrics-format");
    const struct dyno_server *server = visit->io->server;
    const struct dyno_task *task = &visit->call->task;
    unsigned long long in_flight = 0;
    out[0] = 0;
    if (format == NULL || (strcmp(format, "text") != 0 && strcmp(format, "json") != 0))
        return;
    for (int i = 0; i < server->io_count; i++)
        in_flight += atomic_load_explicit(&server->ios[i].open_count, memory_order_relaxed);
    const unsigned long long waiting =
        atomic_load_explicit(&task->variant->waiting_count, memory_order_relaxed);
    const unsigned long long queue_us = (task->start_ns - task->queue_ns) / 1000;
    (void)snprintf(
        out, room,
        strcmp(format, "json") == 0
            ? "endpoint-load-metrics: JSON {\"named_metrics\":{\"requests_in_flight\":%llu,"
              "\"model_requests_waiting\":%llu,\"queue_time_us\":%llu}}\r\n"
            : "endpoint-load-metrics: TEXT named_metrics.requests_in_flight=%llu, "
              "named_metrics.model_requests_waiting=%llu, "
              "named_metrics.queue_time_us=%llu\r\n",
        in_flight, waiting, queue_us);
}
