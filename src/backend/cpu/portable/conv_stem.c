/* conv_stem.c - Conv of few input channels from ROW into BLOCK layout. */
#include "backend/cpu/body/conv_stem.h"
