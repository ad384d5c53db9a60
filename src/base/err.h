/* err.h - recording and propagating failures (struct dyno_err is in dyno/status.h). */
#ifndef DYNO_BASE_ERR_H
#define DYNO_BASE_ERR_H

#include "dyno/status.h"

#define DYNO_PRINTF(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))
#define DYNO_COUNT(array)             (sizeof(array) / sizeof((array)[0]))

/* Record a failure and return `status`, so that a call reads `return DYNO_FAIL(...)`.
 * The text is a sentence without a final dot: value, rule, place. */
#define DYNO_FAIL(err, status, ...) \
    dyno_failed((status), dyno_err_set((err), (status), __FILE__, __LINE__, __VA_ARGS__))

/* `return DYNO_NOMEM(err);` */
#define DYNO_NOMEM(err) DYNO_FAIL((err), DYNO_E_NOMEM, "out of memory")

/* Propagate a failure.  Only for functions that own nothing yet; the others use `goto out`. */
#define DYNO_TRY(expr)                              \
    do {                                            \
        enum dyno_status dyno_try_status_ = (expr); \
        if (dyno_try_status_ != DYNO_OK)            \
            return dyno_try_status_;                \
    } while (0)

enum dyno_status dyno_err_set(struct dyno_err *err, enum dyno_status status, const char *file,
                              int line, const char *fmt, ...) DYNO_PRINTF(5, 6);

/* What dyno_err_set returned, spelled so that compilers and linters see which status it is. */
static inline enum dyno_status dyno_failed(enum dyno_status status, enum dyno_status recorded)
{
    (void)recorded;
    return status;
}

/* Put "prefix: " before the recorded text (adding where it happened); no-op when err is NULL. */
void dyno_err_prefix(struct dyno_err *err, const char *fmt, ...) DYNO_PRINTF(2, 3);

/* A broken invariant stops the process, in release builds too. */
#define DYNO_ASSERT(cond) ((cond) ? (void)0 : dyno_assert_fail(#cond, __FILE__, __LINE__))
_Noreturn void dyno_assert_fail(const char *cond, const char *file, int line);

#endif /* DYNO_BASE_ERR_H */
