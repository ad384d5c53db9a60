/* conv_im2col.c - Conv in ROW layout, any rank and groups. */
#include "backend/cpu/body/conv_im2col.h"
