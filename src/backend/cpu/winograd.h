/* winograd.h - minimal filtering F(m x m, 3 x 3): the constant matrices and weights.
 *
 * Y = A'[(G g G') . (B' d B)]A (Lavin and Gray, "Fast Algorithms for Convolutional Neural
 * Networks", section 4.1): a tile of m x m outputs costs (m + 2)^2 products a channel pair.
 */
#ifndef DYNO_BACKEND_CPU_WINOGRAD_H
#define DYNO_BACKEND_CPU_WINOGRAD_H

#include "backend/cpu/conv.h"

/* Refuses unless 3x3, stride 1, not dilated, not grouped. */
enum dyno_status dyno_cpu_winograd_check(const struct dyno_site *site,
                                         struct dyno_cpu_conv *conv_out, struct dyno_err *err);

/* Packed: bias [columns up to a multiple of 16], then for each of (m + 2)^2 points a matrix
 * [c, mg] packed by dyno_gemm_pack. */
struct dyno_cpu_winograd_packed {
    int64_t points;
    int64_t b_at;    /* floats before the first matrix */
    int64_t b_point; /* floats of one */
    uint64_t all_bytes;
};
bool dyno_cpu_winograd_packed(const struct dyno_cpu_conv *conv, int m, int panel,
                              struct dyno_cpu_winograd_packed *packed_out);
void dyno_cpu_winograd_pack(const struct dyno_site *site, const struct dyno_cpu_conv *conv, int m,
                            int panel, float *dst);

#endif /* DYNO_BACKEND_CPU_WINOGRAD_H */
