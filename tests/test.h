/* test.h - checks that count.  A test file is a main that calls test functions and returns
 * TEST_RESULT(); failures go to stderr with file, line and the expression. */
#ifndef DYNO_TESTS_TEST_H
#define DYNO_TESTS_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_check_count;
static int test_fail_count;

#define CHECK(cond)                                                                        \
    do {                                                                                   \
        test_check_count++;                                                                \
        if (!(cond)) {                                                                     \
            test_fail_count++;                                                             \
            (void)fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond); \
        }                                                                                  \
    } while (0)

/* The same with a printf explanation. */
#define CHECK_MSG(cond, ...)                                                               \
    do {                                                                                   \
        test_check_count++;                                                                \
        if (!(cond)) {                                                                     \
            test_fail_count++;                                                             \
            (void)fprintf(stderr, "%s:%d: CHECK(%s) failed: ", __FILE__, __LINE__, #cond); \
            (void)fprintf(stderr, __VA_ARGS__);                                            \
            (void)fprintf(stderr, "\n");                                                   \
        }                                                                                  \
    } while (0)

#define CHECK_STR(got, want)                                                         \
    do {                                                                             \
        const char *got_ = (got);                                                    \
        const char *want_ = (want);                                                  \
        CHECK_MSG(strcmp(got_, want_) == 0, "got \"%s\", want \"%s\"", got_, want_); \
    } while (0)

/* Stop this test program: nothing after it makes sense. */
#define REQUIRE(cond)             \
    do {                          \
        CHECK(cond);              \
        if (test_fail_count != 0) \
            exit(TEST_RESULT());  \
    } while (0)

static inline int test_result(void)
{
    printf("%d checks, %d failed\n", test_check_count, test_fail_count);
    return test_fail_count == 0 && test_check_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#define TEST_RESULT() test_result()

#endif /* DYNO_TESTS_TEST_H */
