/* resize.c - Resize. */
#include "backend/cpu/body/resize.h"
