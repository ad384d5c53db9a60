/* winograd.c - weights for minimal filtering, transformed in double. */
#include "backend/cpu/winograd.h"

#include "backend/cpu/kernel.h"

static const double g4[6][3] = {
    {1.0 / 4.0, 0.0, 0.0},
    {-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0},
    {-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0},
    {1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0},
    {1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0},
    {0.0, 0.0, 1.0},
};
static const double g2[4][3] = {
    {1.0, 0.0, 0.0},
    {0.5, 0.5, 0.5},
    {0.5, -0.5, 0.5},
    {0.0, 0.0, 1.0},
};

enum dyno_status dyno_cpu_winograd_check(const struct dyno_site *site,
                                         struct dyno_cpu_conv *conv_out, struct dyno_err *err)
{
    const struct dyno_cpu_conv *g = conv_out;
    DYNO_TRY(dyno_cpu_conv_check(site, conv_out, err));
    const bool fits = g->kh == 3 && g->kw == 3 && g->sh == 1 && g->sw == 1 && g->dh == 1 &&
                      g->dw == 1 && g->groups == 1;
    return fits ? DYNO_OK : dyno_cpu_refuse(site, err);
}

bool dyno_cpu_winograd_packed(const struct dyno_cpu_conv *conv, int m, int panel,
                              struct dyno_cpu_winograd_packed *packed_out)
{
    const int64_t columns = dyno_gemm_columns(panel, conv->m);
    const int64_t points = (int64_t)(m + 2) * (m + 2);
    const uint64_t bias = ((uint64_t)columns + 15) & ~15ULL;
    const uint64_t point = dyno_cpu_size((uint64_t)columns, (uint64_t)conv->c, 0);
    const uint64_t floats = dyno_cpu_size(point, (uint64_t)points, bias);
    if (floats > UINT64_C(1) << 40)
        return false;
    *packed_out = (struct dyno_cpu_winograd_packed){
        .points = points,
        .b_at = (int64_t)bias,
        .b_point = (int64_t)point,
        .all_bytes = floats * sizeof(float),
    };
    return true;
}

/* u[(m + 2)^2] = G k G' of one 3x3 filter. */
static void transform(int m, const float *k, float *u)
{
    const double(*g)[3] = m == 4 ? g4 : g2;
    const int a = m + 2;
    for (int i = 0; i < a; i++) {
        double row[3];
        for (int c = 0; c < 3; c++)
            row[c] =
                g[i][0] * (double)k[c] + g[i][1] * (double)k[3 + c] + g[i][2] * (double)k[6 + c];
        for (int j = 0; j < a; j++)
            u[i * a + j] = (float)(row[0] * g[j][0] + row[1] * g[j][1] + row[2] * g[j][2]);
    }
}

void dyno_cpu_winograd_pack(const struct dyno_site *site, const struct dyno_cpu_conv *conv, int m,
                            int panel, float *dst)
{
    struct dyno_cpu_winograd_packed packed;
    DYNO_ASSERT(dyno_cpu_winograd_packed(conv, m, panel, &packed));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    for (int64_t i = 0; i < packed.b_at; i++)
        dst[i] = bias && i < conv->m ? bias[i] : 0.0F;
    float *to = dst + packed.b_at;
    for (int64_t p = 0; p < dyno_gemm_panels(panel, conv->m); p++) {
        const int width = dyno_gemm_width(panel, conv->m, p);
        for (int64_t c = 0; c < conv->c; c++) {
            for (int j = 0; j < width; j++) {
                const int64_t o = p * panel + j;
                float u[36] = {0.0F};
                if (o < conv->m)
                    transform(m, w + (o * conv->c + c) * 9, u);
                for (int64_t e = 0; e < packed.points; e++)
                    to[e * packed.b_point + c * width + j] = u[e];
            }
        }
        to += width * conv->c;
    }
}
