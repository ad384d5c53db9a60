/* test_base.c - errors, memory, arenas, strings, log and progress. */
#include <pthread.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/strbuf.h"

#include <fcntl.h>
#include <unistd.h>

#include "test.h"

static void test_err(void)
{
    struct dyno_err err = {0};
    CHECK(DYNO_FAIL(&err, DYNO_E_ARG, "value %d", 7) == DYNO_E_ARG);
    CHECK(DYNO_FAIL(&err, DYNO_E_IO, "second") == DYNO_E_IO);
    CHECK_STR(err.text, "value 7");
    CHECK(err.status == DYNO_E_ARG && err.line > 0);
    dyno_err_prefix(&err, "file %s", "x");
    CHECK_STR(err.text, "file x: value 7");
    char text[2 * DYNO_ERR_TEXT_BYTES];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    struct dyno_err full = {0};
    (void)DYNO_FAIL(&full, DYNO_E_ARG, "%s", text);
    CHECK(strlen(full.text) == DYNO_ERR_TEXT_BYTES - 1);
    dyno_err_prefix(&full, "here");
    CHECK(strlen(full.text) == DYNO_ERR_TEXT_BYTES - 1 && strncmp(full.text, "here: aa", 8) == 0);
    dyno_err_prefix(&full, "%s", text);
    CHECK(strncmp(full.text, "here: aa", 8) == 0);
    dyno_err_prefix(NULL, "nobody");
    CHECK(DYNO_NOMEM(NULL) == DYNO_E_NOMEM);
    CHECK_STR(dyno_status_text(DYNO_E_TARGET), "built for another machine");
    CHECK(dyno_status_exit_code(DYNO_OK) == 0 && dyno_status_exit_code((enum dyno_status)99) == 70);
}

static void test_mem(void)
{
    const uint64_t live = dyno_mem_live_count();
    char *a = dyno_alloc(3, 5);
    CHECK(a != NULL && (uintptr_t)a % DYNO_MEM_ALIGN_BYTES == 0 && a[14] == 0);
    CHECK(dyno_mem_live_count() == live + 1 && dyno_mem_peak_bytes() >= dyno_mem_live_bytes());
    a[0] = 'x';
    a = dyno_realloc(a, 15, 100, 5);
    CHECK(a != NULL && a[0] == 'x' && a[499] == 0);
    CHECK(dyno_alloc(SIZE_MAX / 2, 3) == NULL && dyno_alloc_raw(SIZE_MAX, 1) == NULL);
    dyno_mem_fail_at(2);
    void *b = dyno_alloc(1, 1);
    void *c = dyno_alloc(1, 1);
    void *d = dyno_alloc(1, 1);
    CHECK(b != NULL && c == NULL && d != NULL);
    dyno_free(a);
    dyno_free(b);
    dyno_free(d);
    dyno_free(NULL);
    CHECK(dyno_mem_live_count() == live);
}

static void *free_elsewhere(void *ptr)
{
    dyno_free(ptr);
    return NULL;
}

static void test_mem_account(void)
{
    struct dyno_mem_account outer = {0};
    struct dyno_mem_account inner = {0};
    pthread_t thread;
    void *none = dyno_alloc(1, 1);
    CHECK(dyno_mem_enter(&outer) == NULL);
    void *a = dyno_alloc(1000, 1);
    struct dyno_mem_account *before = dyno_mem_enter(&inner);
    CHECK(before == &outer);
    void *b = dyno_alloc(1, 1);
    dyno_mem_leave(before);
    const uint64_t bytes = outer.bytes;
    CHECK(bytes >= 1000 && inner.bytes > 0 && inner.bytes < 1000);
    a = dyno_realloc(a, 1000, 3000, 1);
    CHECK(outer.bytes > bytes + 1900 && outer.bytes < bytes + 2200);
    dyno_free(none); /* of no account */
    dyno_mem_leave(NULL);
    dyno_free(b); /* of the account it was made under */
    CHECK(inner.bytes == 0 && outer.bytes >= 3000);
    REQUIRE(pthread_create(&thread, NULL, free_elsewhere, a) == 0);
    (void)pthread_join(thread, NULL);
    CHECK(outer.bytes == 0);
    dyno_free(dyno_alloc(1, 1));
    CHECK(outer.bytes == 0);
}

static void test_arena(void)
{
    struct dyno_arena *arena = dyno_arena_create();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 2000; i++) {
            unsigned char *at = dyno_arena_alloc(arena, i, 1);
            REQUIRE(at != NULL);
            CHECK((uintptr_t)at % (i >= 64 ? 64 : 16) == 0);
            for (size_t k = 0; k < i; k++)
                CHECK(at[k] == 0);
            memset(at, 0xff, i);
        }
        char *large = dyno_arena_alloc(arena, 1 << 20, 1);
        CHECK(large != NULL && large[(1 << 20) - 1] == 0);
        dyno_arena_reset(arena);
    }
    CHECK_STR(dyno_arena_strdup(arena, "abc"), "abc");
    CHECK_STR(dyno_arena_strndup(arena, "abcdef", 3), "abc");
    CHECK(memcmp(dyno_arena_memdup(arena, "xyz", 3), "xyz", 3) == 0);
    CHECK(dyno_arena_alloc(arena, SIZE_MAX, 2) == NULL &&
          dyno_arena_alloc(arena, SIZE_MAX, 1) == NULL);
    dyno_arena_destroy(arena);
}

static void test_strbuf(void)
{
    struct dyno_strbuf out = {0};
    CHECK_STR(dyno_strbuf_text(&out), "");
    for (int i = 0; i < 100; i++)
        dyno_strbuf_printf(&out, "%d,", i);
    CHECK(out.bytes == 290 && strlen(out.text) == 290 && strncmp(out.text, "0,1,2,", 6) == 0);
    dyno_strbuf_clear(&out);
    dyno_strbuf_puts(&out, "x");
    CHECK_STR(dyno_strbuf_text(&out), "x");
    dyno_mem_fail_at(1);
    char block[1000] = {0};
    dyno_strbuf_add(&out, block, sizeof(block));
    dyno_mem_fail_at(0);
    CHECK(!dyno_strbuf_ok(&out));
    dyno_strbuf_puts(&out, "y");
    CHECK_STR(dyno_strbuf_text(&out), "x");
    dyno_strbuf_clear(&out);
    dyno_strbuf_puts(&out, "z");
    CHECK(dyno_strbuf_ok(&out));
    CHECK_STR(dyno_strbuf_text(&out), "z");
    dyno_strbuf_clear(&out);
    dyno_strbuf_u64(&out, 0);
    dyno_strbuf_u64(&out, UINT64_MAX);
    dyno_strbuf_i64(&out, INT64_MIN);
    dyno_strbuf_i64(&out, INT64_MAX);
    CHECK_STR(dyno_strbuf_text(&out),
              "018446744073709551615-92233720368547758089223372036854775807");
    dyno_strbuf_fini(&out);
}

/* What `act` writes to stderr. */
static void captured(void (*act)(void), char *text_out, size_t bytes)
{
    char path[] = "/tmp/dyno-test-log-XXXXXX";
    const int fd = mkstemp(path);
    const int before = dup(STDERR_FILENO);
    (void)fflush(stderr);
    (void)dup2(fd, STDERR_FILENO);
    act();
    (void)fflush(stderr);
    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    const ssize_t got = pread(fd, text_out, bytes - 1, 0);
    text_out[got > 0 ? got : 0] = 0;
    (void)close(fd);
    (void)unlink(path);
}

static void say(void)
{
    dyno_log(DYNO_LOG_WARN, "value %d", 3);
    dyno_log(DYNO_LOG_INFO, "hidden");
    dyno_log(DYNO_LOG_ERROR, "bad");
}

static void say_lines(void)
{
    dyno_log(DYNO_LOG_ERROR, "a\nwarn: b\x1b[0m\xc3\xa4");
}

static void say_long(void)
{
    char text[10000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    dyno_log(DYNO_LOG_ERROR, "%s", text);
}

static void make_progress(void)
{
    struct dyno_progress progress;
    dyno_progress_begin(&progress, "work", 3);
    for (int i = 0; i < 3; i++)
        dyno_progress_step(&progress, 1, "item");
    CHECK(progress.done_count == 3 && !progress.is_visible);
    dyno_progress_end(&progress);
}

static void test_log(void)
{
    char text[12000];
    dyno_log_set_level(DYNO_LOG_WARN);
    captured(say, text, sizeof(text));
    CHECK_STR(text, "warn: value 3\nerror: bad\n");
    CHECK(dyno_log_on(DYNO_LOG_WARN) && !dyno_log_on(DYNO_LOG_INFO));
    captured(say_lines, text, sizeof(text));
    CHECK_STR(text, "error: a?warn: b?[0m\xc3\xa4\n");
    captured(say_long, text, sizeof(text));
    CHECK(strlen(text) <= 4096 && text[strlen(text) - 1] == '\n');
    dyno_log_enable(DYNO_LOG_INFO, true);
    dyno_log_enable(DYNO_LOG_WARN, false);
    CHECK(dyno_log_on(DYNO_LOG_INFO) && !dyno_log_on(DYNO_LOG_WARN) &&
          !dyno_log_on(DYNO_LOG_DEBUG));
    captured(say, text, sizeof(text));
    CHECK(strstr(text, "warn: ") == NULL && strstr(text, "error: bad\n") != NULL);
    dyno_log_set_time(true);
    captured(say, text, sizeof(text));
    CHECK(dyno_log_has_time() && text[4] == '-' && text[10] == 'T' && text[19] == 'Z');
    CHECK_STR(strstr(text, "error"), "error: bad\n");
    dyno_log_set_time(false);
    dyno_log_set_level(DYNO_LOG_WARN);
    CHECK(dyno_log_on(DYNO_LOG_WARN) && !dyno_log_on(DYNO_LOG_INFO));
    captured(make_progress, text, sizeof(text));
    CHECK_STR(text, "");
}

static void test_clock(void)
{
    const uint64_t start = dyno_clock_ns();
    const uint64_t cpu_start = dyno_clock_cpu_ns();
    (void)usleep(2000);
    CHECK(dyno_clock_ns() - start >= 2000000 && dyno_clock_cpu_ns() >= cpu_start);
}

int main(void)
{
    test_err();
    test_mem();
    test_mem_account();
    test_arena();
    test_strbuf();
    test_log();
    test_clock();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
