/* certify_job.h - one run of `dyno certify`, which makes certificates or verifies one. */
#ifndef DYNO_CLI_CERTIFY_JOB_H
#define DYNO_CLI_CERTIFY_JOB_H

#include "cli/certify.h"

struct dyno_certify_job {
    const struct dyno_certify_options *options;
    char folder[4096];
    struct dyno_cert_hash model;
    struct dyno_cert *cited;     /* a reference certificate that was there */
    struct dyno_cert *reference; /* or a new one */
    struct dyno_cert *engine;
    struct dyno_certify_subject subject;
    struct dyno_certify_campaign campaign;
};

/* All work through: measure, save or judge, tell. */
DYNO_NODISCARD enum dyno_status dyno_certify_make(const struct dyno_certify_options *options,
                                                  struct dyno_err *err);
DYNO_NODISCARD enum dyno_status dyno_certify_verify(const struct dyno_certify_options *options,
                                                    struct dyno_err *err);

DYNO_NODISCARD enum dyno_status dyno_certify_watch(const struct dyno_certify_options *options,
                                                   struct dyno_err *err);

/* --- steps --- */

/* Is the certificate of this model, engine and device, and in its term?  As dyno_cert_check. */
DYNO_NODISCARD enum dyno_status dyno_certify_check_subject(
    const struct dyno_certify_options *options, const struct dyno_cert *cert,
    const struct dyno_cert_hash *model, struct dyno_err *err);

/* Attempts into the certificates of the job until one is not refused. */
DYNO_NODISCARD enum dyno_status dyno_certify_measure(struct dyno_certify_job *job, uint64_t batch,
                                                     struct dyno_err *err);
/* E_MISMATCH: the engine's answers are not those of the model. */
DYNO_NODISCARD enum dyno_status dyno_certify_gate(const struct dyno_certify_job *job,
                                                  struct dyno_err *err);
/* E_TARGET: the certificate is of another number of threads. */
DYNO_NODISCARD enum dyno_status dyno_certify_check_threads(const struct dyno_certify_job *job,
                                                           const struct dyno_cert *cert,
                                                           struct dyno_err *err);
/* E_MISMATCH: the certificate is of another baseline than was built here. */
DYNO_NODISCARD enum dyno_status dyno_certify_check_baseline(const struct dyno_certify_job *job,
                                                            const struct dyno_cert *cert,
                                                            struct dyno_err *err);
void dyno_certify_job_end(struct dyno_certify_job *job);

/* --- telling --- */

/* Write the picture where a flag asks for it. */
DYNO_NODISCARD enum dyno_status dyno_certify_save_svg(const struct dyno_certify_options *options,
                                                      const struct dyno_cert *cert,
                                                      struct dyno_err *err);

struct dyno_certify_told {
    const char *key;
    const struct dyno_cert *cert;
    const char *path;
    const struct dyno_anchor *anchor; /* beside it; NULL: none */
};

/* Certificates as text or JSON on standard output; those that are NULL are left out.  verdict: NULL
 * or the last word. */
DYNO_NODISCARD enum dyno_status dyno_certify_tell(const struct dyno_certify_options *options,
                                                  const struct dyno_certify_told *told,
                                                  uint32_t count, const char *verdict,
                                                  struct dyno_err *err);

#endif /* DYNO_CLI_CERTIFY_JOB_H */
