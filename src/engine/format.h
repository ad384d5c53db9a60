/* format.h - engine files: a plan with its weights, written once and used in place from a map.
 *
 * The format is in docs/engine-format.md; constants here are its numbers.
 */
#ifndef DYNO_ENGINE_FORMAT_H
#define DYNO_ENGINE_FORMAT_H

#include "backend/backend.h"
#include "base/err.h"
#include "plan/plan.h"

#define DYNO_ENGINE_MAGIC        "\211DYNO\r\n\032"
#define DYNO_ENGINE_VERSION      3U
#define DYNO_ENGINE_HEADER_BYTES 64U
#define DYNO_ENGINE_ENTRY_BYTES  24U /* of the section table */
#define DYNO_ENGINE_CHUNK_BYTES  65536U
#define DYNO_ENGINE_ALIGN_BYTES  64U
#define DYNO_ENGINE_EXPRS_MAX    262144U
#define DYNO_ENGINE_NONE         UINT32_MAX

enum dyno_engine_section {
    DYNO_SECTION_INFO = 1,
    DYNO_SECTION_STRINGS,
    DYNO_SECTION_EXPRS,
    DYNO_SECTION_TENSORS,
    DYNO_SECTION_STEPS,
    DYNO_SECTION_IOS,
    DYNO_SECTION_GPU,
    DYNO_SECTION_DATA,
    DYNO_SECTION_CRC,
    DYNO_SECTION_END
};
#define DYNO_ENGINE_SECTIONS ((uint32_t)DYNO_SECTION_END - 1U)

/* Write `plan` to `path`, atomically.  target: the machine it was built for.  The same plan, target
 * and build of Dyno give the same bytes.
 * Fails with E_IO, E_NOMEM, E_UNSUPPORTED (a step with sub-graphs, a kernel not in this build). */
DYNO_NODISCARD enum dyno_status dyno_engine_write(const struct dyno_plan *plan,
                                                  const struct dyno_target *target,
                                                  const char *path, struct dyno_err *err);

/* The plan in bytes[n], which are 64-byte aligned and outlive it: names, weights and packed weights
 * stay there.  here: this machine.  `warning` gets a sentence about how this machine differs from
 * the one it was built on, "" when it does not.
 * Fails with E_FORMAT, E_CORRUPT, E_UNSUPPORTED, E_TARGET, E_LIMIT, E_NOMEM: see the document. */
DYNO_NODISCARD enum dyno_status dyno_engine_read(const void *bytes, size_t n,
                                                 const struct dyno_target *here,
                                                 struct dyno_plan **plan_out, char *warning,
                                                 size_t warning_bytes, struct dyno_err *err);

#endif /* DYNO_ENGINE_FORMAT_H */
