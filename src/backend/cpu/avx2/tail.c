/* tail.c - execution of tails. */
#include "backend/cpu/body/tail_run.h"
