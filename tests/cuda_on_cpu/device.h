// What a CUDA kernel finds on its device, on a CPU: a block's threads are fibers that take turns at
// each barrier and shuffle, so that the kernel's logic runs exactly, and a mistake is an error.
//
// A launch runs twice, with its blocks, warps and lanes in both orders: results that depend on it,
// for want of a barrier, differ (cupy.py compares). A warp runs on to the next block-wide barrier
// before another begins. Shared memory begins as NaN, and so does what lies behind it.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

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
static Index threadIdx, blockIdx, gridDim;

static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int min(int a, int b) { return b < a ? b : a; }
static inline int max(int a, int b) { return b > a ? b : a; }
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
static inline float __saturatef(float x) { return x >= 1 ? 1.0f : x > 0 ? x : 0.0f; }
static inline unsigned __viaddmin_u32(unsigned a, unsigned b, unsigned c) {
    return a + b < c ? a + b : c;
}

namespace device {
enum { WARP = 32, MOST_THREADS = 1024, STACK = 1 << 17 };   // STACK in bytes, of a thread
enum { SHARED_WORDS = 1 << 16, GUARD_WORDS = 1024 };
enum State { FRESH, READY, AT_WARP, AT_BLOCK, ENDED };   // above READY: not to be resumed
constexpr uint32_t POISON = 0x7fc0dead;   // a NaN

struct Thread {
    jmp_buf place;
    ucontext_t start;
    State state;
    int line;        // of the barrier where it waits
    unsigned turn;   // of the two sets of words that shuffles pass through
    unsigned votes;  // how often it has voted, likewise
};
static Thread threads[MOST_THREADS];
static float exchanged[2][MOST_THREADS];
static bool voted[2][MOST_THREADS];
static int count, current;
static jmp_buf scheduler;
static void (*body)();
static void** arguments;
static char message[256];
}

// What a kernel declares as `extern __shared__ float4 shared[]`
float4 shared[(device::SHARED_WORDS + device::GUARD_WORDS) / 4];

namespace device {
static __attribute__((noinline)) void wait(State state, int line) {
    threads[current].state = state, threads[current].line = line;
    if (_setjmp(threads[current].place) == 0) _longjmp(scheduler, 1);
}

static void begin() {
    body();
    threads[current].state = ENDED;
    _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void resume(int thread) {
    current = thread, threadIdx.x = thread;
    if (_setjmp(scheduler) != 0) return;
    if (threads[thread].state == FRESH) setcontext(&threads[thread].start);
    _longjmp(threads[thread].place, 1);
}

static float exchange(unsigned mask, float value, int lane, int line) {
    float* words = exchanged[threads[current].turn++ & 1];
    words[current] = value;
    wait(AT_WARP, mask == ~0u ? line : -line);   // a part of a warp is not emulated
    return words[current / WARP * WARP + lane % WARP];
}

static bool all(bool yes, int line) {
    bool* votes = voted[threads[current].votes++ & 1];
    votes[current] = yes;
    wait(AT_BLOCK, line);
    for (int i = 0; i < count; ++i) yes = yes && votes[i];
    return yes;
}

// Whether threads from `first` to `last` all wait for each other at one place; they go on then.
static bool released(int first, int last, State state) {
    for (int i = first; i < last; ++i)
        if (threads[i].state != state || threads[i].line != threads[first].line ||
            threads[i].line < 0)
            return false;
    for (int i = first; i < last; ++i) threads[i].state = READY;
    return true;
}

static void run_warp(int first, int last, bool backward) {
    do
        for (int n = first; n < last; ++n) {
            const int thread = backward ? first + last - 1 - n : n;
            if (threads[thread].state <= READY) resume(thread);
        }
    while (released(first, last, AT_WARP));
}

static void describe(char* text, size_t size, int thread) {
    const Thread& t = threads[thread];
    if (t.state == ENDED)
        snprintf(text, size, "thread %d ended", thread);
    else
        snprintf(text, size, "thread %d waits in %s, line %d", thread,
                 t.state == AT_BLOCK ? "its block" : t.line < 0 ? "a part of its warp" : "its warp",
                 abs(t.line));
}

static bool stuck() {
    int waiting = -1, other = -1;
    for (int i = 0; i < count; ++i)
        if (threads[i].state != ENDED) waiting = i;
    if (waiting < 0) return false;
    for (int i = 0; i < count; ++i)
        if (threads[i].state != threads[waiting].state || threads[i].line != threads[waiting].line)
            other = i;
    char one[80], another[80];
    describe(one, sizeof one, waiting), describe(another, sizeof another, other < 0 ? 0 : other);
    snprintf(message, sizeof message, "block (%u, %u, %u) is stuck: %s; %s", blockIdx.x, blockIdx.y,
             blockIdx.z, one, another);
    return true;
}

static bool run_block(char* stacks, int shared_bytes, bool backward) {
    const int words = shared_bytes / 4;
    uint32_t* const memory = reinterpret_cast<uint32_t*>(shared);
    for (int i = 0; i < words + GUARD_WORDS; ++i) memory[i] = POISON;
    for (int i = 0; i < count; ++i) {
        threads[i].state = FRESH, threads[i].line = 0, threads[i].turn = threads[i].votes = 0;
        getcontext(&threads[i].start);
        threads[i].start.uc_stack.ss_sp = stacks + static_cast<size_t>(i) * STACK;
        threads[i].start.uc_stack.ss_size = STACK;
        threads[i].start.uc_link = nullptr;
        makecontext(&threads[i].start, begin, 0);
    }
    const int warps = (count + WARP - 1) / WARP;
    do
        for (int n = 0; n < warps; ++n) {
            const int first = (backward ? warps - 1 - n : n) * WARP;
            run_warp(first, min(first + WARP, count), backward);
        }
    while (released(0, count, AT_BLOCK));
    if (stuck()) return false;
    for (int i = words; i < words + GUARD_WORDS; ++i)
        if (memory[i] != POISON) {
            snprintf(message, sizeof message, "wrote behind its %d bytes of shared memory",
                     shared_bytes);
            return false;
        }
    return true;
}

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
    arguments = values, count = n_threads;
    gridDim = {unsigned(grid[0]), unsigned(grid[1]), unsigned(grid[2])};
    body = [] { call(kernel, typename UpTo<sizeof...(Args)>::type{}); };
    const size_t size = static_cast<size_t>(n_threads) * STACK;
    void* stacks = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stacks == MAP_FAILED) return "no memory for the threads' stacks";
    const long long blocks = static_cast<long long>(grid[0]) * grid[1] * grid[2];
    bool well = true;
    for (long long n = 0; well && n < blocks; ++n) {
        const long long block = backward ? blocks - 1 - n : n;
        blockIdx = {unsigned(block % grid[0]), unsigned(block / grid[0] % grid[1]),
                    unsigned(block / grid[0] / grid[1])};
        well = run_block(static_cast<char*>(stacks), shared_bytes, backward);
    }
    munmap(stacks, size);
    return well ? nullptr : message;
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
