/* row_norm.c - LayerNormalization and RMSNormalization. */
#include "backend/cpu/body/row_norm.h"
