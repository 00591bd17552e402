/* The path sse4: every kernel on the lanes of its own header. */
#include "dispatch.h"

#ifdef AQE_X86
#include "lanes_sse4.h"

AQE_FOR_SSE4
#include "kernels.h"
AQE_FOR_END

AQE_PATH(aqe_sse4, AQE_SSE4);
#else
typedef int aqe_no_sse4_here;
#endif
