/* warp.c - what the lanes of a warp do together.  Layouts of matrices in registers: PTX manual,
 * "Warp-level matrix instructions". */
#include "emulate.h"

#include <string.h>

#define PENDING_MAX 96

static float f16_table[1 << 16];

/* Products of groups of warps that run on. */
static struct pending {
    struct emulate_wgmma lanes[EMULATE_LANES];
    bool is_f16;
    unsigned group;
} pending[EMULATE_WARPS][PENDING_MAX];
static unsigned pending_counts[EMULATE_WARPS], groups[EMULATE_WARPS];

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

const float *emulate_f16_table(void)
{
    for (uint32_t i = 0; i < 1U << 16; i++) {
        const uint32_t sign = (i & 0x8000) << 16, exponent = i >> 10 & 31, part = i & 1023;
        if (exponent == 0)
            f16_table[i] = (sign != 0 ? -1.0F : 1.0F) * (float)part / 16777216.0F;
        else
            f16_table[i] =
                of_bits(sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | part << 13);
    }
    return f16_table;
}

static float number(uint16_t bits, bool is_f16)
{
    return is_f16 ? f16_table[bits] : of_bits((uint32_t)bits << 16);
}

static void shuffle(void *const lanes[EMULATE_LANES])
{
    struct emulate_shuffle *lane[EMULATE_LANES];
    float values[EMULATE_LANES];
    for (int i = 0; i < EMULATE_LANES; i++) {
        lane[i] = lanes[i];
        values[i] = lane[i]->value;
    }
    for (int i = 0; i < EMULATE_LANES; i++)
        lane[i]->value = values[(i ^ lane[i]->lane_mask) % EMULATE_LANES];
}

/* Lane i has elements 2 (i % 4) and the next of row i / 4 of each matrix. */
static void load_matrices(void *const lanes[EMULATE_LANES], bool turned)
{
    uint16_t rows[32][8];
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_matrices *lane = lanes[i];
        memcpy(rows[i], emulate_shared(lane->at, 16), 16);
    }
    for (int i = 0; i < EMULATE_LANES; i++) {
        struct emulate_matrices *lane = lanes[i];
        for (int m = 0; m < 4; m++) {
            const int row = i / 4, column = i % 4 * 2;
            const uint16_t low = turned ? rows[8 * m + column][row] : rows[8 * m + row][column];
            const uint16_t high =
                turned ? rows[8 * m + column + 1][row] : rows[8 * m + row][column + 1];
            lane->r[m] = (uint32_t)high << 16 | low;
        }
    }
}

static void multiply(void *const lanes[EMULATE_LANES], bool is_f16)
{
    float a[16][16], b[16][8], c[16][8];
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_multiply *lane = lanes[i];
        const int row = i / 4, column = i % 4 * 2;
        for (int e = 0; e < 8; e++) /* registers: top left, bottom left, top right, bottom right */
            a[row + (e / 2 % 2) * 8][column + e / 4 * 8 + e % 2] =
                number((uint16_t)(lane->a[e / 2] >> e % 2 * 16), is_f16);
        for (int e = 0; e < 4; e++)
            b[column + e / 2 * 8 + e % 2][row] =
                number((uint16_t)(lane->b[e / 2] >> e % 2 * 16), is_f16);
        for (int e = 0; e < 4; e++)
            c[row + e / 2 * 8][column + e % 2] = lane->c[e];
    }
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 8; n++)
                c[m][n] += a[m][k] * b[k][n];
        }
    }
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_multiply *lane = lanes[i];
        for (int e = 0; e < 4; e++)
            lane->c[e] = c[i / 4 + e / 2 * 8][i % 4 * 2 + e % 2];
    }
}

/* Of 16 x 8 and 8 x 8 numbers, of which the last thirteen bits are not read. */
static void multiply_tf32(void *const lanes[EMULATE_LANES])
{
    float a[16][8], b[8][8];
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_multiply *lane = lanes[i];
        for (int e = 0; e < 4; e++)
            a[i / 4 + e % 2 * 8][i % 4 + e / 2 * 4] = of_bits(lane->a[e] & ~0x1fffU);
        for (int e = 0; e < 2; e++)
            b[i % 4 + e * 4][i / 4] = of_bits(lane->b[e] & ~0x1fffU);
    }
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_multiply *lane = lanes[i];
        for (int e = 0; e < 4; e++) {
            for (int k = 0; k < 8; k++)
                lane->c[e] += a[i / 4 + e / 2 * 8][k] * b[k][i % 4 * 2 + e % 2];
        }
    }
}

/* Element `column` of row `row` of what a descriptor names: rows of 128 bytes, or of 64, in groups
 * of eight; which 16-byte chunks are permuted follows from the address alone, wherever the first
 * row lies.  ("Shared memory matrix layout", swizzles of 128 and 64 bytes.) */
static float described(unsigned long long descriptor, int row, int column, bool is_f16)
{
    const unsigned start = (unsigned)(descriptor & 0x3fff) << 4;
    const unsigned group_bytes = (unsigned)(descriptor >> 32 & 0x3fff) << 4;
    const unsigned row_bytes = descriptor >> 62 == 2 ? 64 : 128;
    unsigned at = start + (unsigned)(row / 8) * group_bytes + (unsigned)(row % 8) * row_bytes +
                  2 * (unsigned)column;
    uint16_t bits;
    at ^= (at >> 7 & (row_bytes / 16 - 1)) << 4;
    memcpy(&bits, emulate_shared(at, 2), 2);
    return number(bits, is_f16);
}

/* Rows 16 * (warp % 4) and on, of 64. */
static void multiply_group(const struct pending *what, unsigned warp)
{
    const struct emulate_wgmma *first = &what->lanes[0];
    const bool is_f16 = what->is_f16;
    float a[16][16], b[128][16];
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 16; k++)
            a[m][k] = described(first->a, (int)(warp % 4) * 16 + m, k, is_f16);
    }
    for (int n = 0; n < first->columns; n++) {
        for (int k = 0; k < 16; k++)
            b[n][k] = described(first->b, n, k, is_f16);
    }
    for (int i = 0; i < EMULATE_LANES; i++) {
        const struct emulate_wgmma *lane = &what->lanes[i];
        for (int j = 0; j < lane->columns / 8 * 4; j++) {
            const float *x = a[i / 4 + j % 4 / 2 * 8];
            const float *y = b[j / 4 * 8 + i % 4 * 2 + j % 2];
            for (int k = 0; k < 16; k++)
                lane->d[j / 4][j % 4] += x[k] * y[k];
        }
    }
}

static void begin_group(void *const lanes[EMULATE_LANES], const struct emulate_warp *warp,
                        bool is_f16)
{
    struct pending *what = &pending[warp->number][pending_counts[warp->number]];
    for (int i = 0; i < EMULATE_LANES; i++)
        memcpy(&what->lanes[i], lanes[i], sizeof(what->lanes[i]));
    what->is_f16 = is_f16;
    what->group = groups[warp->number];
    if (!warp->is_late || pending_counts[warp->number] + 1 == PENDING_MAX)
        multiply_group(what, warp->idx);
    else
        pending_counts[warp->number]++;
}

static void wait_for_groups(const struct emulate_wait *wait, const struct emulate_warp *warp)
{
    struct pending *mine = pending[warp->number];
    unsigned *count = &pending_counts[warp->number], done = 0;
    while (done < *count && mine[done].group + (unsigned)wait->left < groups[warp->number])
        multiply_group(&mine[done++], warp->idx);
    *count -= done;
    memmove(mine, mine + done, *count * sizeof(*mine));
}

unsigned emulate_warp_reset(void)
{
    unsigned left = 0;
    for (int i = 0; i < EMULATE_WARPS; i++) {
        left += pending_counts[i];
        pending_counts[i] = groups[i] = 0;
    }
    return left;
}

void emulate_warp_do(enum emulate_op op, void *const lanes[EMULATE_LANES],
                     const struct emulate_warp *warp)
{
    switch (op) {
    case EMULATE_SHUFFLE:
        shuffle(lanes);
        break;
    case EMULATE_LOAD_MATRICES:
    case EMULATE_LOAD_TURNED:
        load_matrices(lanes, op == EMULATE_LOAD_TURNED);
        break;
    case EMULATE_MULTIPLY_F16:
    case EMULATE_MULTIPLY_BF16:
        multiply(lanes, op == EMULATE_MULTIPLY_F16);
        break;
    case EMULATE_MULTIPLY_TF32:
        multiply_tf32(lanes);
        break;
    case EMULATE_WGMMA_F16:
    case EMULATE_WGMMA_BF16:
        begin_group(lanes, warp, op == EMULATE_WGMMA_F16);
        break;
    case EMULATE_WGMMA_COMMIT:
        groups[warp->number]++;
        break;
    case EMULATE_WGMMA_WAIT:
        wait_for_groups(lanes[0], warp);
        break;
    }
}
