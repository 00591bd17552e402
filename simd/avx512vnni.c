/* The path avx512vnni: lanes of 512 bits for CPUs with VNNI that do not count bits in vectors. */
#include "dispatch.h"

#ifdef AQE_X86
#include <string.h>

#define AQE_512_VNNI
#include "lanes_avx512.h"
#include "short_codes_avx2.h"

AQE_FOR_512
#include "kernels.h"
AQE_FOR_END

AQE_PATH(aqe_avx512vnni, AQE_AVX512VNNI);
#else
typedef int aqe_no_avx512vnni_here;
#endif
