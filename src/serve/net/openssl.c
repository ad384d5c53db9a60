/* openssl.c - finding OpenSSL's functions. */
#include "serve/net/openssl.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libssl.so.3" /* libcrypto.so.3 comes with it */

struct dyno_openssl dyno_ssl;

static const struct {
    const char *name;
    size_t offset_bytes;
} functions[] = {
#define X(name) {#name, offsetof(struct dyno_openssl, name)},
    DYNO_OPENSSL(X)
#undef X
};

enum dyno_status dyno_openssl_load(struct dyno_err *err)
{
    if (dyno_ssl.SSL_new != NULL)
        return DYNO_OK;
    struct dyno_openssl found;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "TLS wants OpenSSL 3: %s", dlerror());
    for (size_t i = 0; i < DYNO_COUNT(functions); i++) {
        void *function = dlsym(library, functions[i].name);
        if (function == NULL)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "TLS wants OpenSSL 3: %s has no %s", LIBRARY,
                             functions[i].name);
        /* POSIX lets a function's address be an object's; C does not. */
        memcpy((char *)&found + functions[i].offset_bytes, &function, sizeof(function));
    }
    dyno_ssl = found;
    return DYNO_OK;
}

const char *dyno_openssl_reason(void)
{
    const char *reason = dyno_ssl.ERR_reason_error_string(dyno_ssl.ERR_peek_error());
    return reason != NULL ? reason : "no reason given";
}
