/* softmax.c - Softmax and LogSoftmax. */
#include "backend/cpu/body/softmax.h"
