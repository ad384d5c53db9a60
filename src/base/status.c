/* status.c - text and exit code of result codes. */
#include "dyno/status.h"

const char *dyno_status_text(enum dyno_status status)
{
    switch (status) {
#define X(sym, value, exit_code, text) \
    case DYNO_##sym:                   \
        return text;
        DYNO_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int dyno_status_exit_code(enum dyno_status status)
{
    switch (status) {
#define X(sym, value, exit_code, text) \
    case DYNO_##sym:                   \
        return exit_code;
        DYNO_STATUS_MAP(X)
#undef X
    }
    return 70;
}
