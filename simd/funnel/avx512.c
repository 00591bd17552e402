/* The funnel's path avx512. */
#include "isa.h"

#ifdef AQE_X86
#include "lanes_avx512.h"
#include "lines_avx512.h"

AQE_FOR_512
#include "body.h"
AQE_FOR_END

AQE_FUNNEL_PATH(aqe_funnel_avx512, AQE_AVX512);
#else
typedef int aqe_no_avx512_here;
#endif
