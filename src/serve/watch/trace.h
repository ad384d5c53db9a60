/* trace.h - W3C trace context: the header traceparent (https://www.w3.org/TR/trace-context/).
 *
 * What belongs to tracestate is for whoever is called next, and nobody is called from here.
 */
#ifndef DYNO_SERVE_WATCH_TRACE_H
#define DYNO_SERVE_WATCH_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define DYNO_TRACE_BYTES    55 /* 00-TRACE-PARENT-FLAGS */
#define DYNO_TRACE_ID_BYTES 32 /* of TRACE, */
#define DYNO_TRACE_ID_AT    3  /* which begins here */

/* Where new ones come from; of one thread. */
struct dyno_trace_source {
    uint64_t state[3];
};

/* False when the system has no random numbers. */
bool dyno_trace_source_init(struct dyno_trace_source *source);

/* A header as it came, in the form of version 00, into out[DYNO_TRACE_BYTES]; false for a malformed
 * one, which means as much as none. */
bool dyno_trace_parse(const char *text, char *out);
/* A new one, which nobody has asked to record. */
void dyno_trace_make(struct dyno_trace_source *source, char *out);

#endif /* DYNO_SERVE_WATCH_TRACE_H */
