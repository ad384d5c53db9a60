/* conv_direct.c - Conv in BLOCK layout as a matrix product. */
#include "backend/cpu/body/conv_direct.h"
