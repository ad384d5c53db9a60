/* conv_planes.c - Conv of groups of one channel, in ROW layout. */
#include "backend/cpu/body/conv_planes.h"
