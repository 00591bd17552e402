/* Which path runs on this machine: asked once per module, by CPUID through the compiler's builtin. */
#include "dispatch.h"

#ifdef AQE_HAS_AVX2
static int runs_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

const aqe_path *aqe_path_at(size_t position)
{
#ifdef AQE_HAS_AVX2
    if (runs_avx2() && position-- == 0)
        return &aqe_avx2;
#endif
    return position == 0 ? &aqe_portable : NULL;
}
