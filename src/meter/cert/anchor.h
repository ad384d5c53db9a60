/* anchor.h - the second anchor: what an item takes a framework's default execution, told beside the
 * unoptimised execution.
 *
 * The framework is none of ours, so whoever has it measures, and gives the samples
 * (docs/certificates.md, "A second anchor").  They are kept in ADDRESS.anchor.json beside the
 * reference certificate, once, are shown with it, and nothing is ever billed by them.  The text is
 * hostile until it is read.
 */
#ifndef DYNO_METER_CERT_ANCHOR_H
#define DYNO_METER_CERT_ANCHOR_H

#include "meter/cert/cert.h"

#define DYNO_ANCHOR_SEGMENTS_MIN 20U
#define DYNO_ANCHOR_SEGMENTS_MAX 10000U

struct dyno_anchor {
    const char *framework, *by;
    int64_t made_s;
    uint32_t point_idx; /* of the certificate's points, the one that it was measured at */
    uint32_t segment_count;
    double least_ns, median_ns, most_ns; /* an item */
    double ratio; /* the unoptimised execution's time of an item, by the median */
};

/* The anchor of this reference certificate; texts live in the arena.  E_FORMAT names the member and
 * the rule; E_MISMATCH: it is of another model, device, number of threads, batch or shape; E_ARG:
 * the certificate is of an engine. */
enum dyno_status dyno_anchor_parse(const char *text, size_t bytes, const struct dyno_cert *cert,
                                   struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                   struct dyno_err *err);

/* What lies beside the certificate in the folder; *found_out false: nothing. */
enum dyno_status dyno_anchor_read(const struct dyno_cert *cert, const char *folder,
                                  struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                  bool *found_out, struct dyno_err *err);
/* Keep a file's text there, which must be one.  E_EXISTS: another one is there. */
enum dyno_status dyno_anchor_keep(const struct dyno_cert *cert, const char *path,
                                  const char *folder, struct dyno_err *err);

#endif /* DYNO_METER_CERT_ANCHOR_H */
