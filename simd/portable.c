/* The path portable: every kernel in plain C. */
#include "dispatch.h"

#include "lanes_plain.h"

#include "kernels.h"

AQE_PATH(aqe_portable, AQE_PORTABLE);
