/* factor.h - the table that ties devices: reference-ns on a device for one on the reference device.
 *
 * A JSON document (docs/certificates.md), which is hostile until it is read.  Each row says where
 * its factor is from: the definition, measured with pairs of reference certificates, or elsewhere.
 */
#ifndef DYNO_METER_CERT_FACTOR_H
#define DYNO_METER_CERT_FACTOR_H

#include "meter/cert/cert.h"

#define DYNO_FACTOR_ONE       UINT64_C(1000000000)
#define DYNO_FACTOR_MAX       (UINT64_C(1000000) * DYNO_FACTOR_ONE)
#define DYNO_FACTOR_ROWS_MAX  1000U
#define DYNO_FACTOR_PAIRS_MAX 1000U

/* X(symbol, name) */
#define DYNO_FACTOR_SOURCES(X)                                           \
    X(DEFINITION, "definition") /* of the reference device: 1 */         \
    X(MEASURED, "measured")     /* the same models, certified on both */ \
    X(ELSEWHERE, "elsewhere")   /* taken from where its text says */

enum dyno_factor_source {
#define X(sym, name) DYNO_FACTOR_##sym,
    DYNO_FACTOR_SOURCES(X)
#undef X
        DYNO_FACTOR_SOURCE_COUNT
};

/* One model on both devices: addresses of the reference certificates, and t_ref here for 1e9 there.
 */
struct dyno_factor_pair {
    struct dyno_cert_hash model, here, there;
    uint64_t ratio_1e9;
};

struct dyno_factor_row {
    const char *device_class;
    uint64_t factor_1e9; /* the geometric mean of its pairs, rounded up: a doubt costs nobody */
    enum dyno_factor_source source;
    const char *from; /* of ELSEWHERE; of DEFINITION the certificate that began it, or "" */
    struct dyno_factor_pair *pairs;
    uint32_t pair_count; /* MEASURED */
};

struct dyno_factors {
    const char *reference; /* the class of the reference device, whose row is the first */
    struct dyno_factor_row *rows;
    uint32_t row_count;
};

/* In the arena.  E_FORMAT names the row and the rule: two rows of one class, a factor that is not
 * that of its pairs, a source without what it wants. */
enum dyno_status dyno_factors_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_factors *factors_out, struct dyno_err *err);
void dyno_factors_print(const struct dyno_factors *factors, struct dyno_strbuf *out);

/* Of a class; "" is the reference device.  0: the table has no such row. */
uint64_t dyno_factors_find(const struct dyno_factors *factors, const char *device_class);

/* Put what a reference certificate of another device says into its row, which is made when it is
 * not there; `there` is that of the same model on the reference device.  E_MISMATCH: other models
 * or shapes; E_DENIED: trials, or refused ones; E_EXISTS: the row is taken from elsewhere. */
enum dyno_status dyno_factors_add(struct dyno_factors *factors, const struct dyno_cert *here,
                                  const struct dyno_cert *there, struct dyno_arena *arena,
                                  struct dyno_err *err);

#endif /* DYNO_METER_CERT_FACTOR_H */
