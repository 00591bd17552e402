/* The path avx2: every kernel on the lanes of its own header. */
#include "dispatch.h"

#ifdef AQE_X86
#include "lanes_avx2.h"
#include "short_codes_avx2.h"

AQE_FOR_AVX2
#include "kernels.h"
AQE_FOR_END

AQE_PATH(aqe_avx2, AQE_AVX2);
#else
typedef int aqe_no_avx2_here;
#endif
