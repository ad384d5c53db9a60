/* liar.h - a child of the server's that says what no driver of a GPU would. */
#ifndef DYNO_TESTS_CUDA_LIAR_H
#define DYNO_TESTS_CUDA_LIAR_H

#include <stdbool.h>

#define LIAR_SILENT (-1)

/* Its lies are numbered from 0 on. */
int liar_count(void);
/* Speaks on DYNO_GPU_FD as a child does; answers a run, as if its one output were [2, 7], with that
 * lie, or with nothing (LIAR_SILENT).  Its exit code. */
int liar_speak(int lie);
/* A lie after which it goes on living. */
bool liar_goes_on(int lie);

#endif /* DYNO_TESTS_CUDA_LIAR_H */
