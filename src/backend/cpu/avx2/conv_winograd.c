/* conv_winograd.c - Conv 3x3 by minimal filtering, in BLOCK layout. */
#include "backend/cpu/body/conv_winograd.h"
