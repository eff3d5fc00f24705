// The stage: rows of interleaved cells (y, x, channel) go between a warp's patches and memory through
// shared memory, so that memory is read and written in whole lines, all of it at once.

constexpr int VECTOR = (P * C) % 4 == 0 && (W * C) % 4 == 0 && ALIGNED ? 4 : 1;
constexpr int LANE_VECTORS = P * C / VECTOR;
constexpr int ROW_VECTORS = BW * C / VECTOR, ROW_PITCH = ROW_LANES * LANE_VECTORS;
constexpr int LINE_VECTORS = 32 * LANE_VECTORS;   // of a warp, for one row of each patch

template <int N> struct Vector;
template <> struct Vector<1> { using type = float; };
template <> struct Vector<4> { using type = float4; };
using V = typename Vector<VECTOR>::type;

// Element by element: an array that is read through another type would leave the registers.
__device__ __forceinline__ float packed(const float* from, int v, float) { return from[v]; }
__device__ __forceinline__ float4 packed(const float* from, int v, float4) {
    return make_float4(from[4 * v], from[4 * v + 1], from[4 * v + 2], from[4 * v + 3]);
}
__device__ __forceinline__ void unpack(float value, float* to, int v) { to[v] = value; }
__device__ __forceinline__ void unpack(float4 value, float* to, int v) {
    to[4 * v] = value.x, to[4 * v + 1] = value.y, to[4 * v + 2] = value.z, to[4 * v + 3] = value.w;
}

// Where a vector stands in the stage: lanes that write vectors far apart get other banks.
__device__ __forceinline__ int swizzled(int v) { return VECTOR == 4 ? v ^ ((v >> 3) & 7) : v; }

__device__ __forceinline__ void copy_async(V* to, const V* from) {
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    if (VECTOR == 4)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(from));
#else
    *to = *from;
#endif
}

__device__ __forceinline__ void copies_done() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Calls `each(vector of the stage, vector of the row in memory)` for row i of all patches of a warp;
// `texture(slot)` is where a texture of the block is in memory, or null.
template <class Texture, class Each>
__device__ __forceinline__ void for_line(int lane, int i, Texture texture, Each each) {
    constexpr int LINE = WARP_ROWS * ROW_VECTORS;
    constexpr bool FULL =
        LINE % 32 == 0 && THREADS / 32 * WARP_ROWS == BLOCK_GROUPS && PAD_Y == 0;
#pragma unroll
    for (int n = 0; n < (LINE + 31) / 32; ++n) {
        const int v = n * 32 + lane, group = first_group() + v / ROW_VECTORS;
        if (!FULL && (v >= LINE || group >= BLOCK_GROUPS)) continue;
        auto* memory = texture(SLOTS == 1 ? 0 : group / GROUPS);
        if (SLOTS > 1 && memory == nullptr) continue;
        const int row = (SLOTS == 1 ? group : group % GROUPS) * R + i;
        if (PAD_Y > 0 && row >= H) continue;
        each(swizzled(v / ROW_VECTORS * ROW_PITCH + v % ROW_VECTORS),
             memory + row * ROW_VECTORS + v % ROW_VECTORS);
    }
}
