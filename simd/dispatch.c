/* Which paths this build holds, best first, and which of them run on this machine. */
#include "dispatch.h"

extern const aqe_path aqe_avx512, aqe_avx512vnni, aqe_avx2, aqe_sse4, aqe_neon, aqe_portable;

static const aqe_path *const BUILT[] = {
#ifdef AQE_X86
    &aqe_avx512, &aqe_avx512vnni, &aqe_avx2, &aqe_sse4,
#elif defined(AQE_ARM)
    &aqe_neon,
#endif
    &aqe_portable,
};

const aqe_path *aqe_path_at(size_t position)
{
    for (size_t i = 0; i < sizeof BUILT / sizeof *BUILT; i++)
        if (aqe_runs(BUILT[i]->isa) && position-- == 0)
            return BUILT[i];
    return NULL;
}
