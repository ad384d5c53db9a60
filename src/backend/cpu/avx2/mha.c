/* mha.c - multi-head attention. */
#include "backend/cpu/body/mha.h"
