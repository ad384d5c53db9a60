/* channel_norm.c - Instance-, Group- and BatchNormalization. */
#include "backend/cpu/body/channel_norm.h"
