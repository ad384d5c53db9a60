/* names.c - names and permits as text. */
#include <string.h>

#include "control/control.h"

static const struct {
    enum dyno_permit permit;
    const char *name;
} rows[] = {
#define X(sym, bit, name) {DYNO_PERMIT_##sym, name},
    DYNO_PERMIT_MAP(X)
#undef X
};

bool dyno_control_name_ok(const char *name)
{
    size_t bytes = 0;
    for (; bytes <= DYNO_CONTROL_NAME_BYTES_MAX && name[bytes] != 0; bytes++) {
        const char c = name[bytes];
        const bool is_alnum =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && (bytes == 0 || strchr("_.-", c) == NULL))
            return false;
    }
    return bytes > 0 && bytes <= DYNO_CONTROL_NAME_BYTES_MAX;
}

enum dyno_status dyno_permits_parse(const char *text, uint32_t *permits_out, struct dyno_err *err)
{
    *permits_out = 0;
    for (const char *at = text;;) {
        const size_t bytes = strcspn(at, ",");
        uint32_t found = 0;
        for (size_t i = 0; i < DYNO_COUNT(rows); i++)
            if (strlen(rows[i].name) == bytes && memcmp(rows[i].name, at, bytes) == 0)
                found = rows[i].permit;
        if (found == 0)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "'%.64s' is no list of rights: infer, read, control and metrics, "
                             "with commas between them",
                             text);
        *permits_out |= found;
        if (at[bytes] == 0)
            return DYNO_OK;
        at += bytes + 1;
    }
}

void dyno_permits_print(uint32_t permits, struct dyno_strbuf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if ((permits & rows[i].permit) == 0)
            continue;
        dyno_strbuf_printf(out, "%s%s", comma, rows[i].name);
        comma = ",";
    }
}

const char *dyno_permit_text(enum dyno_permit permit)
{
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        if (rows[i].permit == permit)
            return rows[i].name;
    return "";
}
