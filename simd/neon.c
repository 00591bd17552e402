/* The path neon: every kernel on the lanes of its own header. */
#include "dispatch.h"

#ifdef AQE_ARM
#include "lanes_neon.h"

#include "kernels.h"

AQE_PATH(aqe_neon, AQE_NEON);
#else
typedef int aqe_no_neon_here;
#endif
