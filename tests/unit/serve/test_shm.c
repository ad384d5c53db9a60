/* test_shm.c - regions: names, ranges, limits, objects that are shortened under the server. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/shm/shm.h"
#include "test.h"

#define OBJECT_BYTES 10000

static char key[64];
static int object = -1;

static void make_object(void)
{
    (void)snprintf(key, sizeof(key), "/dyno-test-shm-%d", (int)getpid());
    object = shm_open(key, O_RDWR | O_CREAT | O_EXCL, 0600);
    REQUIRE(object >= 0 && ftruncate(object, OBJECT_BYTES) == 0);
}

static enum dyno_status put(struct dyno_shm *shm, const char *name, const char *at, uint64_t offset,
                            uint64_t bytes)
{
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_shm_register(shm, name, at, offset, bytes, &err);
    /* What a client is told holds no path and no reason of the system. */
    CHECK(status == DYNO_OK || (err.text[0] != 0 && strstr(err.text, "/dev") == NULL &&
                                strstr(err.text, "No su") == NULL));
    return status;
}

static void test_names(struct dyno_shm *shm)
{
    static const char *const bad_keys[] = {
        "",
        "/",
        "//x",
        "a/b",
        "/a/b",
        "..",
        "/..",
        ".",
        "a\nb",
        "a\x80",
        "/sem.x",
        "triton_python_backend_shm_region_1",
        "/nosuch-dyno-object",
    };
    char long_text[400];
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = 0;
    for (size_t i = 0; i < DYNO_COUNT(bad_keys); i++)
        CHECK_MSG(put(shm, "r", bad_keys[i], 0, 1) == DYNO_E_ARG, "key '%s'", bad_keys[i]);
    CHECK(put(shm, "r", long_text, 0, 1) == DYNO_E_ARG);
    CHECK(put(shm, "", key, 0, 1) == DYNO_E_ARG && put(shm, "a\nb", key, 0, 1) == DYNO_E_ARG);
    CHECK(put(shm, "\xff", key, 0, 1) == DYNO_E_ARG &&
          put(shm, long_text, key, 0, 1) == DYNO_E_ARG);
    CHECK(put(shm, "slash", key, 0, 1) == DYNO_OK && put(shm, "none", key + 1, 0, 1) == DYNO_OK);
    CHECK(put(shm, "slash", key, 0, 1) == DYNO_E_EXISTS);
    dyno_shm_unregister(shm, "slash");
    dyno_shm_unregister(shm, "slash");
    CHECK(put(shm, "slash", key, 0, 1) == DYNO_OK);
    dyno_shm_unregister(shm, "");
}

static void test_ranges(struct dyno_shm *shm)
{
    CHECK(put(shm, "r", key, 0, 0) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, 0, OBJECT_BYTES + 1) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, 1, OBJECT_BYTES) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, OBJECT_BYTES, 1) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, UINT64_MAX, 2) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, 2, UINT64_MAX) == DYNO_E_ARG);
    CHECK(put(shm, "r", key, 3, OBJECT_BYTES - 3) == DYNO_OK); /* at no page's begin */
    struct dyno_shm_region *region = NULL;
    CHECK(dyno_shm_find(shm, "q", &region, NULL) == DYNO_E_NOT_FOUND && region == NULL);
    REQUIRE(dyno_shm_find(shm, "r", &region, NULL) == DYNO_OK);
    char text[8] = "";
    CHECK(dyno_shm_write(region, 5, "abc", 4, NULL) == DYNO_OK);
    CHECK(pread(object, text, 4, 8) == 4);
    CHECK_STR(text, "abc");
    CHECK(pwrite(object, "xyz", 4, 3) == 4);
    CHECK(dyno_shm_read(region, 0, text, 4, NULL) == DYNO_OK);
    CHECK_STR(text, "xyz");
    CHECK(dyno_shm_read(region, OBJECT_BYTES - 3, text, 0, NULL) == DYNO_OK);
    CHECK(dyno_shm_read(region, OBJECT_BYTES - 3, text, 1, NULL) == DYNO_E_ARG);
    CHECK(dyno_shm_read(region, UINT64_MAX, text, 2, NULL) == DYNO_E_ARG);
    CHECK(dyno_shm_write(region, OBJECT_BYTES - 4, text, 2, NULL) == DYNO_E_ARG);
    CHECK(dyno_shm_check(region, 1, UINT64_MAX, NULL) == DYNO_E_ARG);
    /* It stays usable, and so does its name for another, when it is unregistered. */
    dyno_shm_unregister(shm, "r");
    CHECK(put(shm, "r", key, 0, 1) == DYNO_OK);
    CHECK(dyno_shm_read(region, 0, text, 4, NULL) == DYNO_OK);
    dyno_shm_unref(region);
    dyno_shm_unregister(shm, "");
}

/* A page that is gone, or may not come, is an error and no signal. */
static void test_shortened(struct dyno_shm *shm)
{
    static char bytes[OBJECT_BYTES];
    struct dyno_shm_region *region = NULL;
    struct rlimit limit;
    REQUIRE(put(shm, "r", key, 0, OBJECT_BYTES) == DYNO_OK);
    REQUIRE(dyno_shm_find(shm, "r", &region, NULL) == DYNO_OK);
    REQUIRE(ftruncate(object, 100) == 0);
    CHECK(dyno_shm_read(region, 0, bytes, 100, NULL) == DYNO_OK);
    CHECK(dyno_shm_read(region, 0, bytes, 101, NULL) == DYNO_E_ARG);
    CHECK(dyno_shm_read(region, 5000, bytes, 1, NULL) == DYNO_E_ARG);
    CHECK(dyno_shm_write(region, 0, bytes, 101, NULL) == DYNO_E_ARG);
    CHECK(lseek(object, 0, SEEK_END) == 100);
    REQUIRE(ftruncate(object, OBJECT_BYTES) == 0);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const struct rlimit small = {.rlim_cur = 50, .rlim_max = limit.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK(dyno_shm_write(region, 60, bytes, 1, NULL) == DYNO_E_ARG);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(dyno_shm_write(region, 60, bytes, 1, NULL) == DYNO_OK);
    dyno_shm_unref(region);
    dyno_shm_unregister(shm, "");
}

static void test_limits(struct dyno_shm *shm)
{
    char name[32];
    const uint64_t wide = DYNO_SHM_BYTES_MAX / 4;
    REQUIRE(ftruncate(object, (off_t)wide) == 0);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof(name), "wide%d", i);
        CHECK(put(shm, name, key, 0, wide) == DYNO_OK);
    }
    CHECK(put(shm, "more", key, 0, 1) == DYNO_E_LIMIT);
    dyno_shm_unregister(shm, "wide3");
    CHECK(put(shm, "more", key, 0, 1) == DYNO_OK);
    dyno_shm_unregister(shm, "");
    int count = 0;
    for (; count < DYNO_SHM_REGIONS_MAX; count++) {
        (void)snprintf(name, sizeof(name), "r%04d", 9999 - count);
        if (put(shm, name, key, 0, 1) != DYNO_OK)
            break;
    }
    CHECK(count == DYNO_SHM_REGIONS_MAX && put(shm, "more", key, 0, 1) == DYNO_E_LIMIT);
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_shm_row *rows = NULL;
    size_t row_count = 0;
    CHECK(dyno_shm_list(shm, "", arena, &rows, &row_count, NULL) == DYNO_OK);
    CHECK(row_count == DYNO_SHM_REGIONS_MAX && strcmp(rows[0].name, "r8976") == 0);
    CHECK(strcmp(rows[0].key, key) == 0 && rows[0].offset == 0 && rows[0].bytes == 1);
    CHECK(dyno_shm_list(shm, "r9999", arena, &rows, &row_count, NULL) == DYNO_OK && row_count == 1);
    CHECK(dyno_shm_list(shm, "x", arena, &rows, &row_count, NULL) == DYNO_E_NOT_FOUND);
    dyno_arena_destroy(arena);
    dyno_shm_unregister(shm, "");
    REQUIRE(ftruncate(object, OBJECT_BYTES) == 0);
}

/* Each allocation fails once. */
static void test_out_of_memory(void)
{
    const uint64_t before = dyno_mem_live_count();
    for (uint64_t nth = 1; nth < 20; nth++) {
        struct dyno_shm *shm = NULL;
        dyno_mem_fail_at(nth);
        enum dyno_status status = dyno_shm_create(&shm, NULL);
        if (status == DYNO_OK)
            status = dyno_shm_register(shm, "r", key, 0, 1, NULL);
        dyno_mem_fail_at(0);
        dyno_shm_destroy(shm);
        CHECK(dyno_mem_live_count() == before && (status == DYNO_OK || status == DYNO_E_NOMEM));
        if (status == DYNO_OK) {
            CHECK(nth > 2);
            return;
        }
    }
    CHECK(false);
}

int main(void)
{
    struct dyno_shm *shm = NULL;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    make_object();
    REQUIRE(dyno_shm_create(&shm, NULL) == DYNO_OK);
    test_names(shm);
    test_ranges(shm);
    test_shortened(shm);
    test_limits(shm);
    dyno_shm_destroy(shm);
    test_out_of_memory();
    (void)close(object);
    (void)shm_unlink(key);
    return TEST_RESULT();
}
