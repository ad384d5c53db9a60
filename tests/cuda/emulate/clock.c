/* clock.c - what launches take by the clock of the emulated GPU: by what they are, and by what was
 * before them.  Inside of a call: one at a time. */
#include "api.h"

#define LAUNCH_NS UINT64_C(1000)
#define THREAD_NS UINT64_C(10)

static const struct emulate_program *last; /* the program that computed last */
static bool is_behind_program;             /* no library has since */

static uint64_t by_clock(uint64_t ns)
{
    return ns * emulate_setting("DYNO_EMULATE_CLOCK", 1);
}

uint64_t emulate_launch_ns(const struct emulate_launch *what)
{
    const uint64_t blocks = (uint64_t)what->grid[0] * what->grid[1] * what->grid[2];
    const bool is_other = what->program != last;
    last = what->program;
    is_behind_program = true;
    return by_clock(LAUNCH_NS + THREAD_NS * blocks * what->threads +
                    (is_other ? blocks * emulate_setting("DYNO_EMULATE_CHANGE", 0) : 0));
}

uint64_t emulate_call_ns(uint64_t results)
{
    const uint64_t ns = emulate_setting("DYNO_EMULATE_LIBRARY_NS", LAUNCH_NS + THREAD_NS * results);
    const uint64_t more = is_behind_program ? emulate_setting("DYNO_EMULATE_LIBRARY_CHANGE", 0) : 0;
    is_behind_program = false;
    return by_clock(ns + more);
}
