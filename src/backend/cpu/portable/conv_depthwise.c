/* conv_depthwise.c - Conv with one filter a channel, in BLOCK layout. */
#include "backend/cpu/body/conv_depthwise.h"
