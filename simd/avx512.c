/* The path avx512: every kernel on the lanes of its own header. */
#include "dispatch.h"

#ifdef AQE_X86
#include <string.h>

#include "lanes_avx512.h"
#include "short_codes_avx512.h"

AQE_FOR_AVX512
#include "kernels.h"
AQE_FOR_END

AQE_PATH(aqe_avx512, AQE_AVX512);
#else
typedef int aqe_no_avx512_here;
#endif
