/* test_hash.c - published vectors, pieces against the whole, the table against a plain list. */
#include "base/hash.h"

#include "base/map.h"
#include "base/mem.h"
#include "test.h"

static void test_crc(void)
{
    uint8_t bytes[300];
    CHECK(dyno_crc32c(0, "123456789", 9) == 0xe3069283U);
    memset(bytes, 0, 32);
    CHECK(dyno_crc32c(0, bytes, 32) == 0x8a9136aaU); /* RFC 3720, B.4 */
    memset(bytes, 0xff, 32);
    CHECK(dyno_crc32c(0, bytes, 32) == 0x62a8ab43U);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK(dyno_crc32c(0, bytes, 32) == 0x46dd794eU);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t start = 0; start < 9; start++)
        for (size_t length = 0; length + start <= sizeof(bytes); length++) {
            const uint32_t whole = dyno_crc32c(0, bytes + start, length);
            CHECK(whole == dyno_crc32c_portable(0, bytes + start, length));
            const size_t cut = length / 3;
            CHECK(whole == dyno_crc32c(dyno_crc32c(0, bytes + start, cut), bytes + start + cut,
                                       length - cut));
        }
}

/* Every way against the portable one, at lengths around what each takes at a time. */
static void test_crc_ways(void)
{
    enum { BYTES = 140000 };
    static uint8_t bytes[BYTES];
    static const size_t around[] = {0, 256, 512, 768, 21824, 65472, 65536, 130944, BYTES - 18};
    uint32_t dice = 7;
    for (size_t i = 0; i < BYTES; i++) {
        dice = dice * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(dice >> 24);
    }
    int count = 0;
    for (dyno_crc32c_fn *way; (way = dyno_crc32c_way(count)) != NULL; count++) {
        for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
            for (size_t more = 0; more < 18; more++) {
                const size_t length = more < 9 && around[i] < 9 ? more : around[i] + more - 9;
                const uint8_t *at = bytes + more % 9;
                const size_t cut = length * 2 / 3;
                CHECK(way(0, at, length) == dyno_crc32c_portable(0, at, length));
                CHECK(way(way(0, at, cut), at + cut, length - cut) ==
                      dyno_crc32c_portable(0, at, length));
            }
    }
    CHECK(count >= 1);
}

static void check_sha(const char *text, size_t repeat, const char *want)
{
    struct dyno_sha256 sha;
    uint8_t digest[32];
    char hex[65];
    dyno_sha256_init(&sha);
    for (size_t i = 0; i < repeat; i++)
        dyno_sha256_update(&sha, text, strlen(text));
    dyno_sha256_final(&sha, digest);
    for (int i = 0; i < 32; i++)
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
    CHECK_STR(hex, want);
}

static void test_sha(void)
{
    check_sha("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_sha("aaaaaaaaaa", 100000,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_fnv(void)
{
    CHECK(dyno_fnv1a32("", 0) == 0x811c9dc5U);
    CHECK(dyno_fnv1a32("a", 1) == 0xe40c292cU);
    CHECK(dyno_fnv1a32("foobar", 6) == 0xbf9cf968U);
}

/* Every way of adding blocks gives the same state. */
static void test_sha_ways(void)
{
    uint8_t blocks[64 * 9];
    uint32_t first[8];
    uint32_t state[8];
    for (size_t i = 0; i < sizeof(blocks); i++)
        blocks[i] = (uint8_t)(i * 167 + (i >> 3));
    for (int nth = 0; dyno_sha256_way(nth) != NULL; nth++) {
        for (uint32_t i = 0; i < 8; i++)
            state[i] = i * 0x9e3779b9U;
        dyno_sha256_way(nth)(state, blocks, 0);
        dyno_sha256_way(nth)(state, blocks, 1);
        dyno_sha256_way(nth)(state, blocks + 1, 8); /* at any address */
        if (nth == 0)
            memcpy(first, state, sizeof(first));
        CHECK(memcmp(first, state, sizeof(first)) == 0);
    }
    CHECK(dyno_sha256_way(0) != NULL);
}

/* Two at once are each what it is alone, of every length and in every way. */
static void test_sha_pair(void)
{
    uint8_t data[2][DYNO_SHA256_PAIR_MAX];
    uint8_t blocks[2][64 * 3];
    for (size_t i = 0; i < sizeof(data[0]); i++) {
        data[0][i] = (uint8_t)(i * 31 + 7);
        data[1][i] = (uint8_t)(i * 57 + (i >> 2));
    }
    for (size_t bytes = 0; bytes <= DYNO_SHA256_PAIR_MAX; bytes++) {
        uint8_t pair[2][32];
        dyno_sha256_pair(data[0], data[1], bytes, pair[0], pair[1]);
        for (int k = 0; k < 2; k++) {
            struct dyno_sha256 sha;
            uint8_t digest[32];
            dyno_sha256_init(&sha);
            dyno_sha256_update(&sha, data[k], bytes);
            dyno_sha256_final(&sha, digest);
            CHECK(memcmp(digest, pair[k], sizeof(digest)) == 0);
        }
    }
    for (size_t i = 0; i < sizeof(blocks); i++)
        ((uint8_t *)blocks)[i] = (uint8_t)(i * 167 + (i >> 3));
    for (int nth = 0; dyno_sha256_pair_way(nth) != NULL; nth++) {
        uint32_t pair[2][8];
        uint32_t alone[2][8];
        for (uint32_t i = 0; i < 16; i++)
            pair[i / 8][i % 8] = alone[i / 8][i % 8] = i * 0x9e3779b9U;
        dyno_sha256_pair_way(nth)(pair, (const uint8_t *const[2]){blocks[0], blocks[1]}, 3);
        for (int k = 0; k < 2; k++)
            dyno_sha256_way(nth)(alone[k], blocks[k], 3);
        CHECK(memcmp(pair, alone, sizeof(pair)) == 0);
    }
    CHECK(dyno_sha256_pair_way(0) != NULL);
}

static void test_hash64(void)
{
    uint8_t bytes[64] = {0};
    const uint64_t base = dyno_hash64(0, bytes, sizeof(bytes));
    CHECK(base != dyno_hash64(1, bytes, sizeof(bytes)));
    CHECK(base != dyno_hash64(0, bytes, sizeof(bytes) - 1));
    for (size_t i = 0; i < sizeof(bytes) * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
        const uint64_t flipped = dyno_hash64(0, bytes, sizeof(bytes));
        const int distance = __builtin_popcountll(base ^ flipped);
        CHECK_MSG(distance > 10 && distance < 54, "bit %zu: %d", i, distance);
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
}

#define KEYS 500

static void test_map(void)
{
    static char keys[KEYS][8];
    static uint64_t want[KEYS]; /* 0: absent */
    struct dyno_map map = {0};
    uint32_t dice = 1;
    for (int i = 0; i < KEYS; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
    CHECK(!dyno_map_find(&map, "k1", 2, NULL) && !dyno_map_remove(&map, "k1", 2));
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        dice = dice * 1664525U + 1013904223U;
        const uint32_t i = (dice >> 16) % KEYS;
        if ((dice >> 8) % 3 != 0) {
            CHECK(dyno_map_put(&map, keys[i], strlen(keys[i]), (uint64_t)step + 1));
            count += want[i] == 0;
            want[i] = (uint64_t)step + 1;
        } else {
            CHECK(dyno_map_remove(&map, keys[i], strlen(keys[i])) == (want[i] != 0));
            count -= want[i] != 0;
            want[i] = 0;
        }
        CHECK(map.count == count);
    }
    for (int i = 0; i < KEYS; i++) {
        uint64_t value = 0;
        CHECK(dyno_map_find(&map, keys[i], strlen(keys[i]), &value) == (want[i] != 0));
        CHECK(value == want[i]);
    }
    size_t cursor = 0;
    size_t seen = 0;
    const char *key = NULL;
    size_t key_bytes = 0;
    uint64_t value = 0;
    for (; dyno_map_next(&map, &cursor, &key, &key_bytes, &value); seen++)
        CHECK(want[strtol(key + 1, NULL, 10)] == value);
    CHECK(seen == count);
    dyno_map_clear(&map);
    CHECK(map.count == 0 && !dyno_map_find(&map, "k1", 2, NULL));
    CHECK(dyno_map_put(&map, "", 0, 7) && dyno_map_find(&map, NULL, 0, &value) && value == 7);
    CHECK(dyno_map_put_ptr(&map, "p", 1, keys) && dyno_map_find_ptr(&map, "p", 1) == keys);
    CHECK(dyno_map_find_ptr(&map, "q", 1) == NULL);
    dyno_map_fini(&map);
    dyno_mem_fail_at(1);
    CHECK(!dyno_map_put(&map, "a", 1, 1) && map.count == 0);
    dyno_mem_fail_at(0);
}

int main(void)
{
    test_crc();
    test_crc_ways();
    test_sha();
    test_sha_ways();
    test_sha_pair();
    test_fnv();
    test_hash64();
    test_map();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
