/* pack.h - zlib's streams (RFC 1950), by its library, which is loaded when the first one is wanted.
 * Any thread. */
#ifndef DYNO_METER_LEDGER_PACK_H
#define DYNO_METER_LEDGER_PACK_H

#include "base/err.h"
#include "base/strbuf.h"

/* Replaces what is in `out`.  E_UNSUPPORTED: no libz; E_NOMEM. */
enum dyno_status dyno_pack(const void *data, size_t bytes, struct dyno_strbuf *out,
                           struct dyno_err *err);

/* Exactly so many bytes to out[out_bytes]; E_CORRUPT: it gives others. */
enum dyno_status dyno_unpack(const void *data, size_t bytes, void *out, size_t out_bytes,
                             struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_PACK_H */
