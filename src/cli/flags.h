/* flags.h - rows that the flag tables of several commands share.
 *
 * The options struct of the command has a member of the name that the row names.
 */
#ifndef DYNO_CLI_FLAGS_H
#define DYNO_CLI_FLAGS_H

#include "cli/command.h"

/* Where the value of a row lands. */
#define DYNO_FLAG_AT(type, field) .offset_bytes = offsetof(struct type, field)

/* --- arrays and shapes --- */

#define DYNO_FLAG_INPUTS(type)                                                                     \
    {                                                                                              \
        .name = "--input", .value = "NAME=FILE.npy",                                               \
        .help = "Array for an input; inputs without one get made-up data", .kind = DYNO_FLAG_LIST, \
        DYNO_FLAG_AT(type, inputs)                                                                 \
    }

#define DYNO_FLAG_SHAPES(type, text)                                         \
    {                                                                        \
        .name = "--shapes", .value = "NAME:1x3x224x224,...", .help = (text), \
        .kind = DYNO_FLAG_STR, DYNO_FLAG_AT(type, shapes)                    \
    }

/* The corners of a profile; `when` is "" or ends the sentence. */
#define DYNO_FLAGS_PROFILE(type, when)                                                          \
    {.name = "--minShapes",                                                                     \
     .value = "SHAPES",                                                                         \
     .help = "Smallest shapes of the profile" when,                                             \
     .kind = DYNO_FLAG_STR,                                                                     \
     DYNO_FLAG_AT(type, min_shapes)},                                                           \
        {.name = "--optShapes",                                                                 \
         .value = "SHAPES",                                                                     \
         .help = "Shapes to tune for" when,                                                     \
         .kind = DYNO_FLAG_STR,                                                                 \
         DYNO_FLAG_AT(type, opt_shapes)},                                                       \
    {                                                                                           \
        .name = "--maxShapes", .value = "SHAPES", .help = "Largest shapes of the profile" when, \
        .kind = DYNO_FLAG_STR, DYNO_FLAG_AT(type, max_shapes)                                   \
    }

/* --- the fleet --- */

#define DYNO_FLAG_FLEET_LEDGER(type, field)                                                      \
    {                                                                                            \
        .name = "--fleet-ledger", .value = "CONNINFO",                                           \
        .help = "The fleet's ledger in PostgreSQL: 'service=dyno' or 'host=H dbname=D user=U', " \
                "as libpq takes it; the password is in a passfile or the environment",           \
        .kind = DYNO_FLAG_STR, DYNO_FLAG_AT(type, field)                                         \
    }

/* --- how it runs and how it is built --- */

#define DYNO_FLAG_THREADS(type, what)                                                            \
    {                                                                                            \
        .name = "--threads", .value = "N", .help = what "; 0 is one a CPU this process may use", \
        .kind = DYNO_FLAG_INT, DYNO_FLAG_AT(type, threads), .min = 0, .max = 64                  \
    }

#define DYNO_FLAG_LEVEL(type, level_fallback)                                                     \
    {                                                                                             \
        .name = "--builderOptimizationLevel", .value = "0..5",                                    \
        .help = "0 builds from estimates without timing; higher levels time more "                \
                "candidates for longer",                                                          \
        .kind = DYNO_FLAG_INT, DYNO_FLAG_AT(type, level), .fallback = (level_fallback), .min = 0, \
        .max = 5                                                                                  \
    }

#define DYNO_FLAG_TIMING_CACHE(type)                                                   \
    {                                                                                  \
        .name = "--timingCacheFile", .value = "FILE",                                  \
        .help = "Timings read before and written after a build; the same cache gives " \
                "the same engine",                                                     \
        .kind = DYNO_FLAG_STR, DYNO_FLAG_AT(type, timing_cache)                        \
    }

#define DYNO_FLAG_DEVICE(type, text)                                                        \
    {                                                                                       \
        .name = "--device", .value = "cpu|cuda[:N]", .help = (text), .kind = DYNO_FLAG_STR, \
        DYNO_FLAG_AT(type, device)                                                          \
    }

#define DYNO_FLAG_BASELINE(type, text)                                                             \
    {                                                                                              \
        .name = "--baseline", .help = (text), .kind = DYNO_FLAG_BOOL, DYNO_FLAG_AT(type, baseline) \
    }

#define DYNO_FLAG_EXACT(type)                                                                \
    {                                                                                        \
        .name = "--exact", .help = "Use no algorithm with larger rounding error (Winograd)", \
        .kind = DYNO_FLAG_BOOL, DYNO_FLAG_AT(type, exact)                                    \
    }

#define DYNO_FLAG_JSON(type)                                                     \
    {                                                                            \
        .name = "--json", .help = "Print the report as JSON on standard output", \
        .kind = DYNO_FLAG_BOOL, DYNO_FLAG_AT(type, json)                         \
    }

/* --- a file of values --- */

#define DYNO_FLAGS_CONFIG(type)                                                               \
    {.name = "--config",                                                                      \
     .value = "FILE",                                                                         \
     .help = "JSON: values for flags, by their names without dashes; flags given here win",   \
     .kind = DYNO_FLAG_CONFIG,                                                                \
     DYNO_FLAG_AT(type, config)},                                                             \
    {                                                                                         \
        .name = "--print-config",                                                             \
        .help = "Print the values of all flags, as a file for --config, and do nothing else", \
        .kind = DYNO_FLAG_PRINT_CONFIG, DYNO_FLAG_AT(type, print_config)                      \
    }

#endif /* DYNO_CLI_FLAGS_H */
