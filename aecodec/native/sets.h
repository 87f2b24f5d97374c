/* The instruction sets: their macros for kernels.h, and how to find out what a processor has. */

enum { WIDEST = 16 }; /* lanes: arrays of numbers are padded to a multiple */

/* What a layer needs to run, in the order and the types of a kernel set. */
typedef struct {
    int32_t inputs, outputs, stride, active;
    int32_t runs, pairs; /* of one position's input: a run for each row of the kernel */
    const int16_t *weight;
    const int32_t *taps;
    const int32_t *bias, *shift, *low, *high;
} Weights;

typedef void (*Product)(const Weights *, const int16_t *x, ptrdiff_t row, int32_t columns, int32_t first, int32_t last,
                        const int16_t *add, int16_t *y);

typedef struct {
    const char *name;
    int (*runs)(void);
    int32_t lanes, columns;
    int32_t split;      /* a vector of weights holds the first halves, then the second ones */
    int32_t multiplies; /* a shift by s is prepared as 2^(30 - s) */
    Product conv, depthwise;
} Set;

#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define UNROLL
#define WITH(features)
#else
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__) /* which takes "GCC unroll" for a hint to a later pass, when the sums are in memory for good */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define WITH(features) __attribute__((target(features)))
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

static uint32_t cpuid(uint32_t leaf, uint32_t part, int which) /* register eax, ebx, ecx, edx: 0..3 */
{
#if defined(_MSC_VER)
    int found[4];
    __cpuidex(found, 0, 0);
    if ((uint32_t)found[0] < leaf)
        return 0;
    __cpuidex(found, (int)leaf, (int)part);
    return (uint32_t)found[which];
#else
    uint32_t found[4];
    return __get_cpuid_count(leaf, part, found, found + 1, found + 2, found + 3) ? found[which] : 0;
#endif
}

/* Whether the operating system saves the registers of `wanted`, bits of XCR0. */
static int system_saves(uint64_t wanted)
{
    uint64_t saved;
    if (!(cpuid(1, 0, 2) >> 27 & 1)) /* OSXSAVE: xgetbv may be asked */
        return 0;
#if defined(_MSC_VER)
    saved = _xgetbv(0);
#else
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    saved = (uint64_t)high << 32 | low;
#endif
    return (saved & wanted) == wanted;
}

static int has_avx2(void) { return system_saves(0x6) && cpuid(1, 0, 2) >> 28 & 1 && cpuid(7, 0, 1) >> 5 & 1; }

#define NAME(f) f##_avx2
#define TARGET WITH("avx2")
#define VEC __m256i
#define LANES 8
#define ROWS 6
#define COLUMNS 2
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define SET _mm256_set1_epi32
#define DOT(a, x, w) _mm256_add_epi32(a, _mm256_madd_epi16(x, w))
#define TAP(a, p, w) DOT(a, WIDEN(p), LOAD(w)) /* the second half of a weight is 0 */
#define SHIFT(v, p) _mm256_srav_epi32(v, LOAD(p))
#define ADD _mm256_add_epi32
#define MIN _mm256_min_epi32
#define MAX _mm256_max_epi32
#define EIGHTH(v) _mm256_srai_epi32(v, 3)
#define WIDEN(p) _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define NARROW(p, v)                                                                                                   \
    _mm_storeu_si128((__m128i *)(p), _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)))
#include "kernels.h"

#if defined(__clang__) || !defined(__GNUC__) || __GNUC__ >= 11
#define HAS_AVX_VNNI
static int has_avx_vnni(void) { return has_avx2() && cpuid(7, 1, 0) >> 4 & 1; }

#define NAME(f) f##_avx_vnni
#define TARGET WITH("avx2,avxvnni")
#define DOT _mm256_dpwssd_avx_epi32
#include "kernels.h"
#endif

static int has_avx512_vnni(void)
{
    uint32_t b = cpuid(7, 0, 1), c = cpuid(7, 0, 2);
    /* F, BW, VL; VNNI */
    return has_avx2() && system_saves(0xe6) && b >> 16 & 1 && b >> 30 & 1 && b >> 31 & 1 && c >> 11 & 1;
}

#undef VEC
#undef LANES
#undef ROWS
#undef COLUMNS
#undef LOAD
#undef STORE
#undef SET
#undef TAP
#undef SHIFT
#undef ADD
#undef MIN
#undef MAX
#undef EIGHTH
#undef WIDEN
#undef NARROW
#define NAME(f) f##_avx512_vnni
#define TARGET WITH("avx512f,avx512bw,avx512vl,avx512vnni")
#define VEC __m512i
#define LANES 16
#define ROWS 6
#define COLUMNS 4
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define SET _mm512_set1_epi32
#define DOT _mm512_dpwssd_epi32
#define TAP(a, p, w) DOT(a, WIDEN(p), LOAD(w))
#define SHIFT(v, p) _mm512_srav_epi32(v, LOAD(p))
#define ADD _mm512_add_epi32
#define MIN _mm512_min_epi32
#define MAX _mm512_max_epi32
#define EIGHTH(v) _mm512_srai_epi32(v, 3)
#define WIDEN(p) _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#define NARROW(p, v) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtsepi32_epi16(v))
#include "kernels.h"
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>
static int has_neon(void) { return 1; } /* every 64-bit Arm processor has it */

#define NAME(f) f##_neon
#define TARGET
#define VEC int32x4_t
#define LANES 4
#define ROWS 4
#define COLUMNS 4
#define LOAD(p) vld1q_s32((const int32_t *)(p))
#define STORE(p, v) vst1q_s32((int32_t *)(p), v)
#define SET vdupq_n_s32
#define HALVES(v) vreinterpretq_s16_s32(v)
#define DOT(a, x, w)                                                                                                   \
    vmlal_lane_s16(vmlal_lane_s16(a, vget_low_s16(HALVES(w)), vget_low_s16(HALVES(x)), 0), vget_high_s16(HALVES(w)),   \
                   vget_low_s16(HALVES(x)), 1)
#define TAP(a, p, w) vmlal_s16(a, vld1_s16(p), vmovn_s32(LOAD(w)))
#define SHIFT(v, p) vshlq_s32(v, vnegq_s32(LOAD(p)))
#define ADD vaddq_s32
#define MIN vminq_s32
#define MAX vmaxq_s32
#define EIGHTH(v) vshrq_n_s32(v, 3)
#define WIDEN(p) vmovl_s16(vld1_s16(p))
#define NARROW(p, v) vst1_s16(p, vqmovn_s32(v))
#include "kernels.h"
#endif

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
static int has_wasm(void) { return 1; } /* a module with SIMD does not load elsewhere */

/* v >> s is v 2^(30 - s) >> 30 in 64 bits: WebAssembly has no shift lane by lane. Of the 64 only bits are kept that the
   unsigned shift gives, too; x86 has no other one. */
INLINE v128_t shift_wasm(v128_t v, v128_t power)
{
    v128_t low = wasm_u64x2_shr(wasm_i64x2_extmul_low_i32x4(v, power), 30);
    v128_t high = wasm_u64x2_shr(wasm_i64x2_extmul_high_i32x4(v, power), 30);
    return wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
}

#define NAME(f) f##_wasm
#define TARGET
#define VEC v128_t
#define LANES 4
#define ROWS 2 /* with 8 sums, V8 spills no register: a tenth faster than 6x2 */
#define COLUMNS 4
#define LOAD(p) wasm_v128_load(p)
#define STORE(p, v) wasm_v128_store(p, v)
#define SET wasm_i32x4_splat
#define DOT(a, x, w) wasm_i32x4_add(a, wasm_i32x4_dot_i16x8(x, w))
#define TAP(a, p, w) DOT(a, WIDEN(p), LOAD(w))
#define SHIFT(v, p) shift_wasm(v, LOAD(p))
#define ADD wasm_i32x4_add
#define MIN wasm_i32x4_min
#define MAX wasm_i32x4_max
#define EIGHTH(v) wasm_i32x4_shr(v, 3)
#define WIDEN(p) wasm_i32x4_load16x4(p)
#define NARROW(p, v) wasm_v128_store64_lane(p, wasm_i16x8_narrow_i32x4(v, v), 0)
#include "kernels.h"
#endif

/* The best first. */
static const Set sets[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512-vnni", has_avx512_vnni, 16, 4, 0, 0, conv_avx512_vnni, depthwise_avx512_vnni},
#if defined(HAS_AVX_VNNI)
    {"avx-vnni", has_avx_vnni, 8, 2, 0, 0, conv_avx_vnni, depthwise_avx_vnni},
#endif
    {"avx2", has_avx2, 8, 2, 0, 0, conv_avx2, depthwise_avx2},
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
    {"neon", has_neon, 4, 4, 1, 0, conv_neon, depthwise_neon},
#endif
#if defined(__wasm_simd128__)
    {"wasm", has_wasm, 4, 4, 0, 1, conv_wasm, depthwise_wasm},
#endif
    {0, 0, 0, 0, 0, 0, 0, 0}};

enum { SETS = sizeof sets / sizeof *sets - 1 };
