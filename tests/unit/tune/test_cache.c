/* test_cache.c - the timing cache in memory and as a file. */
#include "tune/cache.h"

#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "test.h"

static char folder[] = "/tmp/dyno-test-cache-XXXXXX";
static char path[64], other_path[64];

static struct dyno_tune_key key_of(uint64_t i)
{
    /* Neighbours and far ones, many in one slot of a small table. */
    return (struct dyno_tune_key){.hi = i * UINT64_C(0x9e3779b97f4a7c15), .lo = i << (i % 3 * 20)};
}

static struct dyno_tune_cache *load(const char *from)
{
    struct dyno_err err = {0};
    struct dyno_tune_cache *cache = dyno_tune_cache_create();
    REQUIRE(cache != NULL);
    CHECK_MSG(dyno_tune_cache_load(cache, from, &err) == DYNO_OK, "%s", err.text);
    return cache;
}

static void test_put_and_find(void)
{
    struct dyno_tune_cache *cache = dyno_tune_cache_create();
    float us = 0.0F;
    CHECK(!dyno_tune_cache_find(cache, key_of(1), &us));
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(dyno_tune_cache_put(cache, key_of(i), (float)(i + 1), "k"));
    CHECK(dyno_tune_cache_count(cache) == 5000);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(dyno_tune_cache_find(cache, key_of(i), &us) && us == (float)(i + 1));
    CHECK(!dyno_tune_cache_find(cache, key_of(5000), &us));
    /* The least time wins, whichever came first; no time is none at all. */
    CHECK(dyno_tune_cache_put(cache, key_of(10), 100.0F, "k"));
    CHECK(dyno_tune_cache_find(cache, key_of(10), &us) && us == 11.0F);
    CHECK(dyno_tune_cache_put(cache, key_of(10), 2.0F, "k"));
    CHECK(dyno_tune_cache_find(cache, key_of(10), &us) && us == 2.0F);
    CHECK(dyno_tune_cache_put(cache, key_of(6000), 0.0F, "k"));
    CHECK(dyno_tune_cache_find(cache, key_of(6000), &us) && us > 0.0F);
    CHECK(dyno_tune_cache_count(cache) == 5001);
    dyno_tune_cache_destroy(cache);
    dyno_tune_cache_destroy(NULL);
}

static void check_same_file(const char *a, const char *b)
{
    struct dyno_file_map x;
    struct dyno_file_map y;
    REQUIRE(dyno_file_map(a, &x, NULL) == DYNO_OK && dyno_file_map(b, &y, NULL) == DYNO_OK);
    CHECK(x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0);
    dyno_file_unmap(&x);
    dyno_file_unmap(&y);
}

/* What is saved comes back to the bit, in whatever order it was put. */
static void test_there_and_back(void)
{
    struct dyno_tune_cache *cache = dyno_tune_cache_create();
    struct dyno_tune_cache *mirror = dyno_tune_cache_create();
    float us = 0.0F;
    for (uint64_t i = 0; i < 700; i++) {
        const uint64_t k = 699 - i;
        CHECK(dyno_tune_cache_put(cache, key_of(i), 1.0F / (float)(i + 3), "conv_direct_avx2"));
        CHECK(dyno_tune_cache_put(mirror, key_of(k), 1.0F / (float)(k + 3), "conv_direct_avx2"));
    }
    CHECK(dyno_tune_cache_save(cache, path, NULL) == DYNO_OK);
    CHECK(dyno_tune_cache_save(mirror, other_path, NULL) == DYNO_OK);
    check_same_file(path, other_path);
    dyno_tune_cache_destroy(mirror);
    dyno_tune_cache_destroy(cache);
    cache = load(path);
    CHECK(dyno_tune_cache_count(cache) == 700);
    for (uint64_t i = 0; i < 700; i++)
        CHECK(dyno_tune_cache_find(cache, key_of(i), &us) && us == 1.0F / (float)(i + 3));
    CHECK(dyno_tune_cache_save(cache, other_path, NULL) == DYNO_OK);
    check_same_file(path, other_path);
    dyno_tune_cache_destroy(cache);
}

/* --- files by hand --- */

#define KEY_A "00000000000000010000000000000002"
#define KEY_B "ffffffffffffffff0000000000000002"

static void write_text(const char *text)
{
    REQUIRE(dyno_file_write_atomic(path, text, strlen(text), NULL) == DYNO_OK);
}

static void test_by_hand(void)
{
    float us = 0.0F;
    write_text("# a comment\n" KEY_A " 2.5 one\n\n" KEY_B " 7 two\n# two files in one\n" KEY_A
               " 1.25 one\n" KEY_B " 9 two");
    struct dyno_tune_cache *cache = load(path);
    CHECK(dyno_tune_cache_count(cache) == 2);
    CHECK(dyno_tune_cache_find(cache, (struct dyno_tune_key){1, 2}, &us) && us == 1.25F);
    CHECK(dyno_tune_cache_find(cache, (struct dyno_tune_key){UINT64_MAX, 2}, &us) && us == 7.0F);
    dyno_tune_cache_destroy(cache);
    write_text("");
    cache = load(path);
    CHECK(dyno_tune_cache_count(cache) == 0);
    dyno_tune_cache_destroy(cache);
    cache = load("/nonexistent/times"); /* the first build of all */
    CHECK(dyno_tune_cache_count(cache) == 0);
    dyno_tune_cache_destroy(cache);
}

static void test_malformed(void)
{
    static const char *const lines[] = {
        "nonsense",
        KEY_A,
        KEY_A " 1.5",
        KEY_A " -1.5 k",
        KEY_A " 0 k",
        KEY_A " nan k",
        KEY_A " inf k",
        KEY_A " 1e30 k",
        KEY_A " many k",
        "0000000000000001 1.5 k",
        "00000000000000010000000000000g02 1.5 k",
        KEY_A "3 1.5 k",
        " " KEY_A " 1.5 k",
    };
    for (size_t i = 0; i < DYNO_COUNT(lines); i++) {
        struct dyno_err err = {0};
        char text[256];
        char want[256];
        struct dyno_tune_cache *cache = dyno_tune_cache_create();
        (void)snprintf(text, sizeof(text), "# fine\n" KEY_B " 1 k\n%s\n", lines[i]);
        (void)snprintf(want, sizeof(want),
                       "timing cache '%s': line 3 is not 'KEY MICROSECONDS KERNEL'", path);
        write_text(text);
        CHECK_MSG(dyno_tune_cache_load(cache, path, &err) == DYNO_E_FORMAT, "'%s'", lines[i]);
        CHECK_STR(err.text, want);
        dyno_tune_cache_destroy(cache);
    }
    /* Cut off anywhere: loaded or refused, nothing else. */
    static const char whole[] = KEY_A " 2.5 one\n" KEY_B " 7 two\n";
    for (size_t bytes = 0; bytes < sizeof(whole); bytes++) {
        struct dyno_tune_cache *cache = dyno_tune_cache_create();
        REQUIRE(dyno_file_write_atomic(path, whole, bytes, NULL) == DYNO_OK);
        const enum dyno_status status = dyno_tune_cache_load(cache, path, NULL);
        CHECK(status == DYNO_OK || status == DYNO_E_FORMAT);
        CHECK(dyno_tune_cache_count(cache) <= 2);
        dyno_tune_cache_destroy(cache);
    }
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/times", folder);
    (void)snprintf(other_path, sizeof(other_path), "%s/other", folder);
    test_put_and_find();
    test_there_and_back();
    test_by_hand();
    test_malformed();
    (void)unlink(path);
    (void)unlink(other_path);
    CHECK(rmdir(folder) == 0);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
