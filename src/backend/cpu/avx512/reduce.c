/* reduce.c - Reduce*. */
#include "backend/cpu/body/reduce.h"
