/* Which instruction sets this CPU and its system can run, and how a file is compiled for one of them.

   Each extension under simd/ has one table of functions for each path that it was written for, and offers those that
   aqe_runs() allows, best first; which of them is used is decided in Python (aqe.simd.active(), AQE_SIMD). Nothing here
   needs compiler flags: a file for one path stands between AQE_FOR_AVX512 (or _AVX512VNNI, _AVX2, _SSE4) and AQE_FOR_END,
   after its #include of <immintrin.h>, and nothing outside the file is compiled for that path. */
#ifndef AQE_ISA_H
#define AQE_ISA_H

typedef enum { AQE_PORTABLE, AQE_SSE4, AQE_AVX2, AQE_AVX512VNNI, AQE_AVX512, AQE_NEON } aqe_isa;

/* What a path may use. avx512vnni has the sets of Cascade Lake, avx512 those that came together with Ice Lake and
   Zen 4; a CPU with older ones alone runs the AVX2 path. */
#define AQE_SSE4_SETS "sse4.1"
#define AQE_AVX2_SETS "avx2,fma,f16c,popcnt,bmi,bmi2"
#define AQE_AVX512VNNI_SETS "avx2,fma,f16c,popcnt,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define AQE_AVX512_SETS \
    "avx2,fma,f16c,popcnt,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,avx512bitalg,avx512vpopcntdq"

#if defined(__x86_64__) && defined(__GNUC__)
#define AQE_X86 1
#define AQE_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define AQE_FOR(sets) AQE_PRAGMA(clang attribute push(__attribute__((target(sets))), apply_to = function))
#define AQE_FOR_END AQE_PRAGMA(clang attribute pop)
#else
#define AQE_FOR(sets) AQE_PRAGMA(GCC push_options) AQE_PRAGMA(GCC target(sets))
#define AQE_FOR_END AQE_PRAGMA(GCC pop_options)
#endif
#define AQE_FOR_SSE4 AQE_FOR(AQE_SSE4_SETS)
#define AQE_FOR_AVX2 AQE_FOR(AQE_AVX2_SETS)
#define AQE_FOR_AVX512VNNI AQE_FOR(AQE_AVX512VNNI_SETS)
#define AQE_FOR_AVX512 AQE_FOR(AQE_AVX512_SETS)
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define AQE_ARM 1 /* NEON belongs to every AArch64 CPU: nothing to ask, nothing to switch on */
#endif

#ifdef AQE_X86
#include <cpuid.h>

/* The registers that the system saves for a process (XCR0), 0 where it saves none beyond SSE. */
static inline unsigned aqe_saved_registers(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static inline int aqe_runs(aqe_isa isa)
{
    const unsigned YMM = 0x6, ZMM = 0xe6;                                 /* XCR0: SSE, AVX; and opmask, upper halves */
    const unsigned AVX2_1 = 1u << 12 | 1u << 23 | 1u << 28 | 1u << 29;    /* leaf 1 ecx: FMA, POPCNT, AVX, F16C */
    const unsigned AVX2_7 = 1u << 3 | 1u << 5 | 1u << 8;                  /* leaf 7 ebx: BMI, AVX2, BMI2 */
    const unsigned AVX512_7 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  /* leaf 7 ebx: F, DQ, BW, VL */
    const unsigned VNNI_7 = 1u << 11;                                     /* ecx */
    const unsigned MORE_7 = 1u << 1 | 1u << 6 | 1u << 12 | 1u << 14;      /* ecx: VBMI(2), BITALG, VPOPCNTDQ */
    unsigned a, b, c1, d, b7 = 0, c7 = 0, saved = aqe_saved_registers();
    if (!__get_cpuid(1, &a, &b, &c1, &d))
        return isa == AQE_PORTABLE;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d))
        b7 = c7 = 0;
    int avx2 = (saved & YMM) == YMM && (c1 & AVX2_1) == AVX2_1 && (b7 & AVX2_7) == AVX2_7;
    int avx512vnni = avx2 && (saved & ZMM) == ZMM && (b7 & AVX512_7) == AVX512_7 && (c7 & VNNI_7);
    switch (isa) {
    case AQE_PORTABLE:
        return 1;
    case AQE_SSE4:
        return c1 >> 19 & 1;
    case AQE_AVX2:
        return avx2;
    case AQE_AVX512VNNI:
        return avx512vnni;
    case AQE_AVX512:
        return avx512vnni && (c7 & MORE_7) == MORE_7;
    default:
        return 0;
    }
}
#elif defined(AQE_ARM)
static inline int aqe_runs(aqe_isa isa)
{
    return isa == AQE_NEON || isa == AQE_PORTABLE;
}
#else
static inline int aqe_runs(aqe_isa isa)
{
    return isa == AQE_PORTABLE;
}
#endif

/* The name of a path, as AQE_SIMD and aqe.simd.active() spell it. */
static inline const char *aqe_isa_name(aqe_isa isa)
{
    static const char *const NAMES[] = {"portable", "sse4", "avx2", "avx512vnni", "avx512", "neon"};
    return NAMES[isa];
}

#endif
