/* pool.c - poolings. */
#include "backend/cpu/body/pool.h"
