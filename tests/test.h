/* test.h - checks that count.  A test file is a main that calls test functions and returns
 * TEST_RESULT(); failures go to stderr with file, line and the expression. */
#ifndef DYNO_TESTS_TEST_H
#define DYNO_TESTS_TEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_check_count;
static int test_fail_count;

/* Count a check; false when it failed. */
static inline bool test_check(bool ok, const char *file, int line, const char *text)
{
    test_check_count++;
    if (!ok) {
        test_fail_count++;
        (void)fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, text);
    }
    return ok;
}

__attribute__((format(printf, 1, 2))) static inline bool test_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fprintf(stderr, "    ");
    (void)vfprintf(stderr, fmt, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    return false;
}

/* The same bytes.  Floats too: where bits are meant, not values. */
static inline bool test_same(const void *got, const void *want, size_t bytes)
{
    return memcmp(got, want, bytes) == 0;
}

#define CHECK(cond) ((void)test_check((cond), __FILE__, __LINE__, #cond))

/* The same with a printf explanation. */
#define CHECK_MSG(cond, ...) \
    ((void)(test_check((cond), __FILE__, __LINE__, #cond) || test_say(__VA_ARGS__)))

#define CHECK_STR(got, want)                                                         \
    do {                                                                             \
        const char *got_ = (got);                                                    \
        const char *want_ = (want);                                                  \
        CHECK_MSG(strcmp(got_, want_) == 0, "got \"%s\", want \"%s\"", got_, want_); \
    } while (0)

/* Stop this test program: nothing after it makes sense. */
#define REQUIRE(cond) \
    ((void)(test_check((cond), __FILE__, __LINE__, #cond) || (exit(TEST_RESULT()), false)))

static inline int test_result(void)
{
    printf("%d checks, %d failed\n", test_check_count, test_fail_count);
    return test_fail_count == 0 && test_check_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#define TEST_RESULT() test_result()

#endif /* DYNO_TESTS_TEST_H */
