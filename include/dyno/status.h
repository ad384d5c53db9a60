/* dyno/status.h - result codes shared by every public dyno call.
 *
 * Codes are stable across releases: append, never renumber.
 */
#ifndef DYNO_STATUS_H
#define DYNO_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DYNO_NODISCARD __attribute__((warn_unused_result))
#define DYNO_API       __attribute__((visibility("default")))
#else
#define DYNO_NODISCARD
#define DYNO_API
#endif

/* X(symbol, value, exit_code, text) - the only list of codes.  The exit codes are sysexits(3). */
#define DYNO_STATUS_MAP(X)                                 \
    X(OK, 0, 0, "ok")                                      \
    X(E_NOMEM, 1, 71, "out of memory")                     \
    X(E_ARG, 2, 64, "invalid argument")                    \
    X(E_FORMAT, 3, 65, "malformed input")                  \
    X(E_UNSUPPORTED, 4, 69, "not supported by this build") \
    X(E_LIMIT, 5, 75, "configured limit exceeded")         \
    X(E_IO, 6, 74, "input/output failure")                 \
    X(E_CORRUPT, 7, 76, "stored data failed its checksum") \
    X(E_TARGET, 8, 78, "built for another machine")        \
    X(E_CANCELLED, 9, 70, "cancelled before it started")   \
    X(E_MISMATCH, 10, 1, "results differ")                 \
    X(E_NOT_FOUND, 11, 66, "not found")                    \
    X(E_BUSY, 12, 75, "busy: try again later")             \
    X(E_UNKNOWN_CALLER, 13, 77, "who asks is not known")   \
    X(E_DENIED, 14, 77, "not allowed to this caller")      \
    X(E_QUOTA, 15, 75, "nothing is left of the allowance") \
    X(E_EXISTS, 16, 73, "there already")

enum dyno_status {
#define X(sym, value, exit_code, text) DYNO_##sym = (value),
    DYNO_STATUS_MAP(X)
#undef X
};

/* Static text for a code; never NULL, never freed. */
DYNO_API const char *dyno_status_text(enum dyno_status status);

/* Process exit code for a code (documented in dyno(1)). */
DYNO_API int dyno_status_exit_code(enum dyno_status status);

#define DYNO_ERR_TEXT_BYTES 1024

/* Error detail.  A caller that wants it owns one, zeroed, and passes it down; NULL means "the code
 * alone is enough".  The first failure wins. */
struct dyno_err {
    enum dyno_status status;
    const char *file; /* static storage */
    int line;
    char text[DYNO_ERR_TEXT_BYTES]; /* always NUL-terminated; one sentence */
};

#ifdef __cplusplus
}
#endif
#endif /* DYNO_STATUS_H */
