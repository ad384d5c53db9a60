/* conv_transpose.c - ConvTranspose in ROW layout. */
#include "backend/cpu/body/conv_transpose.h"
