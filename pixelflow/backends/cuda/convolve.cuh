// Convolutions of cells in shared memory, cell by cell. A thread takes a strip of P cells of a row and
// keeps all their sums in registers: a cell once loaded serves every sum and every cell that it is
// near to, a weight serves the strip. Threads side by side in a warp take rows below each other,
// whose pitch is an odd number of vectors, so that their loads meet in no bank.

constexpr int STRIPS = (BW + P - 1) / P;

// What source.py writes after this: a call of `convolve` for each shape of the rule's convolutions.
__device__ __forceinline__ void load_weights(const Item& item, float* weights);
template <bool BEFORE_STEPS>
__device__ __forceinline__ void convolve_all(const float* texture, int y, int x,
                                             const float* weights, float (&sums)[CONVOLVED][P]);

template <int N> struct Lanes;   // so many floats, as memory moves them
template <> struct Lanes<1> { using type = float; };
template <> struct Lanes<2> { using type = float2; };
template <> struct Lanes<4> { using type = float4; };
__device__ constexpr int lanes_of(int n) { return n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1; }

__device__ __forceinline__ void spread(float v, float* to) { to[0] = v; }
__device__ __forceinline__ void spread(float2 v, float* to) { to[0] = v.x, to[1] = v.y; }
__device__ __forceinline__ void spread(float4 v, float* to) {
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
__device__ __forceinline__ void gathered(const float* from, float& v) { v = from[0]; }
__device__ __forceinline__ void gathered(const float* from, float2& v) {
    v.x = from[0], v.y = from[1];
}
__device__ __forceinline__ void gathered(const float* from, float4& v) {
    v.x = from[0], v.y = from[1], v.z = from[2], v.w = from[3];
}

// N floats out of shared memory and into it; cells and weights are aligned to ALIGN of them.
template <int N, int ALIGN>
__device__ __forceinline__ void fetch(float* to, const float* from) {
    using V = typename Lanes<ALIGN>::type;
    static_assert(N % ALIGN == 0, "whole vectors");
#pragma unroll
    for (int i = 0; i < N; i += ALIGN) spread(*reinterpret_cast<const V*>(from + i), to + i);
}
template <int N, int ALIGN>
__device__ __forceinline__ void leave(float* to, const float* from) {
    using V = typename Lanes<ALIGN>::type;
#pragma unroll
    for (int i = 0; i < N; i += ALIGN) {
        V v;
        gathered(from + i, v);
        *reinterpret_cast<V*>(to + i) = v;
    }
}

// A row of a texture, or zeros where there is none; tiles hold the rows around them too.
__device__ __forceinline__ const float* row_of(const float* texture, int y) {
    if (TILES) return texture + (UP + y) * LINE;
    const int row = within<H, (UP > DOWN ? UP : DOWN)>(y);
    return texture + (BOUNDARY == ZERO && row < 0 ? H : row) * LINE;
}

// SUMS convolutions of one shape, the first of which is sum FIRST, of a strip that begins at `x`:
// over SIDE rows, SIDE columns and CHANNELS in this order, each product and each sum rounded, as the
// specification has it. A sum begins as -0, to which any number may be added without changing it.
// So much is unrolled as registers (WINDOW) and the instruction cache (BODY) hold.
//
// Channels whose bit of OTHERS is clear hold +0 and may be left out: what they add is 0, which changes
// a sum only if that is -0, and then to +0, because one of their weights is positive.
template <int SIDE, int CHANNELS, int SUMS, int FIRST, unsigned OTHERS>
__device__ __forceinline__ void convolve(const float* texture, int y, int x, const float* weights,
                                         float (&sums)[CONVOLVED][P]) {
    constexpr int NEAR = SIDE / 2, TERMS = CHANNELS * SUMS * P;
    constexpr int PADDED = SUMS > 2 ? (SUMS + 3) / 4 * 4 : SUMS;
    constexpr int VECTOR = lanes_of(K) < lanes_of(CHANNELS) ? lanes_of(K) : lanes_of(CHANNELS);
    constexpr bool HELD = P * CHANNELS <= WINDOW && TERMS <= BODY;
    constexpr bool ROW = HELD && (P + SIDE - 1) * CHANNELS <= WINDOW && SIDE * TERMS <= BODY;
    constexpr int ACROSS = ROW ? SIDE : 1;
    constexpr bool ALL = OTHERS == ~0u;
#pragma unroll
    for (int o = 0; o < SUMS; ++o)
#pragma unroll
        for (int j = 0; j < P; ++j) sums[FIRST + o][j] = -0.0f;
    const auto add = [&](auto cell) {
        float weight[PADDED];
        fetch<PADDED, lanes_of(PADDED)>(weight, weights);
        weights += PADDED;
#pragma unroll
        for (int o = 0; o < SUMS; ++o)
#pragma unroll
            for (int j = 0; j < P; ++j)
                sums[FIRST + o][j] = sums[FIRST + o][j] + weight[o] * cell(j);
    };
    int dy = -NEAR;
    asm volatile("" : "+r"(dy));   // else the first of the rows may be written out, beside the loop
#pragma unroll 1
    for (; dy <= NEAR; ++dy) {
        const float* row = row_of(texture, y + dy) + (LEFT + x - NEAR) * K;
#pragma unroll 1
        for (int dx = 0; dx < SIDE; dx += ACROSS, row += ACROSS * K) {
            if constexpr (HELD) {
                float cells[P + ACROSS - 1][CHANNELS];
#pragma unroll
                for (int j = 0; j < P + ACROSS - 1; ++j)
                    fetch<CHANNELS, VECTOR>(cells[j], row + j * K);
#pragma unroll
                for (int n = 0; n < ACROSS * CHANNELS; ++n)
                    if (ALL || OTHERS >> n % CHANNELS & 1)
                        add([&](int j) { return cells[j + n / CHANNELS][n % CHANNELS]; });
                    else
                        weights += PADDED;
            } else {
#pragma unroll 4
                for (int c = 0; c < CHANNELS; ++c) add([&](int j) { return row[j * K + c]; });
            }
        }
    }
    if constexpr (!ALL) {
#pragma unroll
        for (int o = 0; o < SUMS; ++o)
#pragma unroll
            for (int j = 0; j < P; ++j) sums[FIRST + o][j] = sums[FIRST + o][j] + 0.0f;
    }
}

struct ConvolvedCell : Exact {
    const float* texture;
    const float (&sums)[CONVOLVED][P];
    const Item& item;
    int top, start;   // of the tile, in the texture
    int y, x, j;      // in the tile
    unsigned done;

    __device__ __forceinline__ float convolved(int n) const { return sums[n][j]; }
    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        const float* row = dy == 0 && !TILES ? texture + y * LINE : row_of(texture, y + dy);
        return row[(LEFT + x + j + dx) * K + k];
    }
    __device__ __forceinline__ float param(int n) const { return __ldg(item.params + n); }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + cell());
    }
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const {   // the last strip may reach over the edge
        return min(top + y, H - 1) * W + min(start + x + j, W - 1);
    }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};
