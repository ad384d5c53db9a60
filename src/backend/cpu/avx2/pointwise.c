/* pointwise.c - Pointwise and the operators that are one instruction. */
#include "backend/cpu/body/pointwise.h"
