/* Which paths of the funnel this build holds, best first, and which of them run on this machine. */
#include "funnel.h"

extern const aqe_funnel_path aqe_funnel_avx512, aqe_funnel_avx512vnni, aqe_funnel_avx2, aqe_funnel_sse4, aqe_funnel_neon,
    aqe_funnel_portable;

static const aqe_funnel_path *const BUILT[] = {
#ifdef AQE_X86
    &aqe_funnel_avx512, &aqe_funnel_avx512vnni, &aqe_funnel_avx2, &aqe_funnel_sse4,
#elif defined(AQE_ARM)
    &aqe_funnel_neon,
#endif
    &aqe_funnel_portable,
};

const aqe_funnel_path *aqe_funnel_path_at(size_t position)
{
    for (size_t i = 0; i < sizeof BUILT / sizeof *BUILT; i++)
        if (aqe_runs(BUILT[i]->isa) && position-- == 0)
            return BUILT[i];
    return NULL;
}
