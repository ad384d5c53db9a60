/* program.h - the program dyno, which the server lets do what it cannot do itself. */
#ifndef DYNO_SERVE_MODEL_PROGRAM_H
#define DYNO_SERVE_MODEL_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Its path: `named`, or when that is NULL the one beside this program, or the one in PATH; when
 * there is none, where it would lie beside this program. */
void dyno_program_find(const char *named, char *path_out, size_t room);

/* May it know this "NAME=value" of our environment: where programs and libraries are, what is
 * written where, which GPUs there are, and what is ours? */
bool dyno_program_may_know(const char *item);

#endif /* DYNO_SERVE_MODEL_PROGRAM_H */
