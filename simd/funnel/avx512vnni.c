/* The funnel's path avx512vnni. */
#include "isa.h"

#ifdef AQE_X86
#define AQE_512_VNNI
#include "lanes_avx512.h"
#include "lines_avx512.h"

AQE_FOR_512
#include "body.h"
AQE_FOR_END

AQE_FUNNEL_PATH(aqe_funnel_avx512vnni, AQE_AVX512VNNI);
#else
typedef int aqe_no_avx512vnni_here;
#endif
