/* export.h - records as lines of text: CSV (RFC 4180) or JSON, one record a line. */
#ifndef DYNO_METER_LEDGER_EXPORT_H
#define DYNO_METER_LEDGER_EXPORT_H

#include "base/strbuf.h"
#include "meter/ledger/scan.h"

#define DYNO_NS_TEXT_ROOM 40

/* "2026-01-31T00:00:00.000000007Z", of ns since 1970. */
const char *dyno_ns_text(uint64_t time_ns, char out[DYNO_NS_TEXT_ROOM]);
/* The same backwards; also without the fraction, or of a day alone ("2026-01-31").  False: it is
 * none, or before 1970 or past 2554. */
bool dyno_ns_parse(const char *text, uint64_t *time_ns_out);

/* The names of the columns, and a record; each ends its line.  Numbers of 128 bits are text in
 * JSON. */
void dyno_export_csv_head(struct dyno_strbuf *out);
void dyno_export_csv(const struct dyno_scanned *scanned, struct dyno_strbuf *out);
void dyno_export_json(const struct dyno_scanned *scanned, struct dyno_strbuf *out);

/* A usage record as one CloudEvent (CloudEvents 1.0, JSON format), without an end of line: its id
 * is that of the record, so that whoever gets one twice drops it. */
void dyno_export_cloudevent(const struct dyno_scanned *scanned, struct dyno_strbuf *out);

#endif /* DYNO_METER_LEDGER_EXPORT_H */
