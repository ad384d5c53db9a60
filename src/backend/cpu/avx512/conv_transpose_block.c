/* conv_transpose_block.c - ConvTranspose in BLOCK layout. */
#include "backend/cpu/body/conv_transpose_block.h"
