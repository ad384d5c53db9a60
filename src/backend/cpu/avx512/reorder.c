/* reorder.c - ROW to BLOCK and back. */
#include "backend/cpu/body/reorder.h"
