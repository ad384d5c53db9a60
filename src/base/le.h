/* le.h - whole numbers as little-endian bytes, at any address.  A compiler makes each one load or
 * store. */
#ifndef DYNO_BASE_LE_H
#define DYNO_BASE_LE_H

#include <stdint.h>

static inline uint64_t dyno_le_get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void dyno_le_put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline uint16_t dyno_le_u16(const uint8_t *at)
{
    return (uint16_t)dyno_le_get(at, 2);
}

static inline uint32_t dyno_le_u32(const uint8_t *at)
{
    return (uint32_t)dyno_le_get(at, 4);
}

static inline uint64_t dyno_le_u64(const uint8_t *at)
{
    return dyno_le_get(at, 8);
}

static inline void dyno_le_put_u16(uint8_t *at, uint16_t value)
{
    dyno_le_put(at, value, 2);
}

static inline void dyno_le_put_u32(uint8_t *at, uint32_t value)
{
    dyno_le_put(at, value, 4);
}

static inline void dyno_le_put_u64(uint8_t *at, uint64_t value)
{
    dyno_le_put(at, value, 8);
}

#endif /* DYNO_BASE_LE_H */
