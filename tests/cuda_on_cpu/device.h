// What a CUDA kernel finds on its device, on a CPU. What runs its threads is in device.cpp, which is
// compiled once: this is compiled with each kernel.
#pragma once
#include <stddef.h>
#include <stdint.h>

// All that rules use of <math.h>, which takes longer to compile than a kernel.
extern "C" float fabsf(float), sqrtf(float), expf(float), logf(float), tanhf(float);
extern "C" float fmaf(float, float, float);

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct Index { unsigned x, y, z; };

static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int min(int a, int b) { return b < a ? b : a; }
static inline int max(int a, int b) { return b > a ? b : a; }
// Threads take turns, so that nothing comes between.
inline int atomicSub(int* at, int value) {
    const int before = *at;
    *at = before - value;
    return before;
}
inline int atomicAdd(int* at, int value) {
    const int before = *at;
    *at = before + value;
    return before;
}
inline unsigned atomicOr(unsigned* at, unsigned value) {
    const unsigned before = *at;
    *at = before | value;
    return before;
}
inline unsigned long long atomicMax(unsigned long long* at, unsigned long long value) {
    const unsigned long long before = *at;
    *at = value > before ? value : before;
    return before;
}
static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline int __ffs(int bits) { return __builtin_ffs(bits); }
template <class T> static inline T __ldg(const T* p) { return *p; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline long long clock64() {
    static long long now;
    return now += 1 << 20;
}
static inline float __int_as_float(int bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline long long __double_as_longlong(double x) {
    long long bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline double __longlong_as_double(long long bits) {
    double x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
static inline float __saturatef(float x) { return x >= 1 ? 1.0f : x > 0 ? x : 0.0f; }
static inline unsigned __viaddmin_u32(unsigned a, unsigned b, unsigned c) {
    return a + b < c ? a + b : c;
}

#pragma GCC visibility push(hidden)
extern Index threadIdx, blockIdx, gridDim;
extern float4 shared[];   // what a kernel declares as `extern __shared__ float4 shared[]`

namespace device {
enum { WARP = 32 };
enum State { FRESH, READY, AT_WARP, AT_BLOCK, ENDED };   // above READY: not to be resumed

void wait(State state, int line);
float exchange(unsigned mask, float value, int lane, int line);
bool all(bool yes, int line);
const char* run(void (*body)(), const int* grid, int n_threads, int shared_bytes, bool backward);

extern void** arguments;
}
#pragma GCC visibility pop

namespace device {
template <int... I> struct Places {};
template <int N, int... I> struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <int... I> struct UpTo<0, I...> { using type = Places<I...>; };

template <class... Args, int... I>
static void call(void (*kernel)(Args...), Places<I...>) {
    kernel(*static_cast<Args*>(arguments[I])...);
}

// All blocks of one kernel's launch; what went wrong, or null.
template <auto kernel, class... Args>
static const char* launch(void (*)(Args...), void** values, const int* sizes, int given,
                          const int* grid, int n_threads, int shared_bytes, int backward) {
    const int expected[] = {sizeof(Args)..., 0};
    bool fits = given == sizeof...(Args);
    for (int i = 0; fits && i < given; ++i) fits = sizes[i] == expected[i];
    if (!fits) return "the arguments are not of the kernel's types";
    arguments = values;
    return run([] { call(kernel, typename UpTo<sizeof...(Args)>::type{}); }, grid, n_threads,
               shared_bytes, backward);
}
}

#define __syncthreads() device::wait(device::AT_BLOCK, __LINE__)
#define __syncthreads_and(yes) device::all(yes, __LINE__)
#define __syncwarp() device::wait(device::AT_WARP, __LINE__)
#define __shfl_sync(mask, value, lane) device::exchange(mask, value, lane, __LINE__)
#define __shfl_xor_sync(mask, value, hop) \
    device::exchange(mask, value, (threadIdx.x % 32) ^ (hop), __LINE__)

#define LAUNCHED(name)                                                                            \
    extern "C" __attribute__((visibility("default"))) const char* launch_##name(                  \
        void** values, const int* sizes, int given, const int* grid, int n_threads,               \
        int shared_bytes, int backward) {                                                         \
        return device::launch<name>(name, values, sizes, given, grid, n_threads, shared_bytes,    \
                                    backward);                                                    \
    }
