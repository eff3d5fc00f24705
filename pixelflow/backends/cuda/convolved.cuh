// Everything in one launch, for rules that convolve. A block runs one member's weights on SLOTS
// samples, whose textures are in shared memory, cell by cell. A thread takes a strip of P cells of a
// row and keeps all their sums in registers: a cell once loaded serves every sum and every cell that
// it is near to, a weight serves the strip. Threads side by side in a warp take rows below each
// other, whose pitch is an odd number of vectors, so that their loads meet in no bank.

constexpr int STRIPS = (W + P - 1) / P, TEXTURE = (H + 1) * LINE;   // the last row is zeros

// What source.py writes after this: a call of `convolve` for each shape of the rule's convolutions.
__device__ __forceinline__ void load_weights(const Item& item, float* weights);
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

// Where a cell beyond an edge is, at most REACH cells away.
template <int LENGTH, int REACH>
__device__ __forceinline__ int within(int at) {
    if constexpr (REACH == 0) return at;
    else if constexpr (REACH > LENGTH) return folded(at, LENGTH);
    else if constexpr (BOUNDARY == PERIODIC)
        return at < 0 ? at + LENGTH : at >= LENGTH ? at - LENGTH : at;
    else if constexpr (BOUNDARY == ZERO) return at < 0 || at >= LENGTH ? -1 : at;
    else return at < 0 ? -1 - at : at >= LENGTH ? 2 * LENGTH - 1 - at : at;
}

// A row of a texture, or zeros where there is none.
__device__ __forceinline__ const float* row_of(const float* texture, int y) {
    const int row = within<H, (UP > DOWN ? UP : DOWN)>(y);
    return texture + (BOUNDARY == ZERO && row < 0 ? H : row) * LINE;
}

// SUMS convolutions of one shape, the first of which is sum FIRST, of a strip that begins at `x`:
// over SIDE rows, SIDE columns and CHANNELS in this order, each product and each sum rounded, as the
// specification has it. A sum begins as -0, to which any number may be added without changing it.
template <int SIDE, int CHANNELS, int SUMS, int FIRST>
__device__ __forceinline__ void convolve(const float* texture, int y, int x, const float* weights,
                                         float (&sums)[CONVOLVED][P]) {
    constexpr int NEAR = SIDE / 2, PADDED = SUMS > 2 ? (SUMS + 3) / 4 * 4 : SUMS;
    constexpr int VECTOR = lanes_of(K) < lanes_of(CHANNELS) ? lanes_of(K) : lanes_of(CHANNELS);
    constexpr bool WHOLE = (P + SIDE - 1) * CHANNELS <= WINDOW;
#pragma unroll
    for (int o = 0; o < SUMS; ++o)
#pragma unroll
        for (int j = 0; j < P; ++j) sums[FIRST + o][j] = -0.0f;
    const auto add = [&](int o, int j, float weight, float cell) {
        sums[FIRST + o][j] = sums[FIRST + o][j] + weight * cell;
    };
#pragma unroll 1
    for (int dy = -NEAR; dy <= NEAR; ++dy) {   // rolled: the body fits the instruction cache
        const float* row = row_of(texture, y + dy) + (LEFT + x - NEAR) * K;
        if constexpr (WHOLE) {
            float cells[P + SIDE - 1][CHANNELS];
#pragma unroll
            for (int j = 0; j < P + SIDE - 1; ++j) fetch<CHANNELS, VECTOR>(cells[j], row + j * K);
#pragma unroll
            for (int dx = 0; dx < SIDE; ++dx)
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c, weights += PADDED) {
                    float weight[PADDED];
                    fetch<PADDED, lanes_of(PADDED)>(weight, weights);
#pragma unroll
                    for (int o = 0; o < SUMS; ++o)
#pragma unroll
                        for (int j = 0; j < P; ++j) add(o, j, weight[o], cells[j + dx][c]);
                }
        } else {
#pragma unroll 1
            for (int dx = 0; dx < SIDE; ++dx, row += K)
#pragma unroll 4
                for (int c = 0; c < CHANNELS; ++c, weights += PADDED) {
                    float weight[PADDED], cells[P];
                    fetch<PADDED, lanes_of(PADDED)>(weight, weights);
#pragma unroll
                    for (int j = 0; j < P; ++j) cells[j] = row[j * K + c];
#pragma unroll
                    for (int o = 0; o < SUMS; ++o)
#pragma unroll
                        for (int j = 0; j < P; ++j) add(o, j, weight[o], cells[j]);
                }
        }
    }
}

struct ConvolvedCell : Exact {
    const float* texture;
    const float (&sums)[CONVOLVED][P];
    const Item& item;
    int y, x, j;
    unsigned done;

    __device__ __forceinline__ float convolved(int n) const { return sums[n][j]; }
    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        const float* row = dy == 0 ? texture + y * LINE : row_of(texture, y + dy);
        return row[(LEFT + x + j + dx) * K + k];
    }
    __device__ __forceinline__ float param(int n) const { return __ldg(item.params + n); }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + cell());
    }
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const {   // the last strip may reach over the edge
        return y * W + (W % P == 0 ? x + j : min(x + j, W - 1));
    }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

// Copies what a strip shows beyond its row's ends.
__device__ __forceinline__ void show_ends(float* row, int x) {
#pragma unroll
    for (int n = 0; n < LEFT + RIGHT; ++n) {
        const int at = n < LEFT ? n - LEFT : W + n - LEFT;
        const int from = within<W, (LEFT > RIGHT ? LEFT : RIGHT)>(at);
        if (from < 0 ? x > 0 : from < x || from >= x + P) continue;
        float cell[K] = {};
        if (from >= 0) fetch<K, lanes_of(K)>(cell, row + (LEFT + from) * K);
        leave<K, lanes_of(K)>(row + (LEFT + at) * K, cell);
    }
}

// The encoded textures of a block's samples, without what lies beyond their edges.
__device__ __forceinline__ void load_textures(const Inputs& in, long long sample, int member,
                                              int samples, float* textures) {
#pragma unroll 4
    for (int n = threadIdx.x; n < samples * (H * W); n += THREADS) {
        const int slot = n / (H * W), place = n % (H * W);
        const Item item(in, (sample + slot) * MEMBERS + member);
        float cell[K];
        if constexpr (FLOAT4_IN) {
            spread(__ldg(reinterpret_cast<const float4*>(item.latents) + place), cell);
        } else {
#pragma unroll
            for (int k = 0; k < K; ++k) cell[k] = item.encoded(held(k), place);
        }
        leave<K, lanes_of(K)>(
            textures + slot * TEXTURE + place / W * LINE + (LEFT + place % W) * K, cell);
    }
    for (int n = threadIdx.x; n < SLOTS * LINE; n += THREADS)
        textures[n / LINE * TEXTURE + H * LINE + n % LINE] = 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
fused_convolved(INPUTS, const int* times, int snapshots, float threshold, float* out,
                long long n_samples) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* const weights = reinterpret_cast<float*>(shared);
    float* const textures = weights + WEIGHTS;
    const int member = blockIdx.x % MEMBERS;
    const long long sample = blockIdx.x / MEMBERS * static_cast<long long>(SLOTS);
    const int samples = min(static_cast<long long>(SLOTS), n_samples - sample);
    const Item item(in, sample * MEMBERS + member);
    load_weights(item, weights);
    load_textures(in, sample, member, samples, textures);

    const int thread = min(threadIdx.x, SLOTS * STRIPS * H - 1);
    const int y = thread % H, x = thread / H % STRIPS * P;
    const bool active = threadIdx.x < SLOTS * STRIPS * H;
    float* const texture = textures + thread / H / STRIPS * TEXTURE;
    float* const row = texture + y * LINE;
    __syncthreads();
    if (active) show_ends(row, x);
    __syncthreads();

    unsigned done = 0;
    for (int snapshot = 0; snapshot < snapshots; ++snapshot) {
        for (const unsigned until = __ldg(times + snapshot); done < until; ++done) {
            float sums[CONVOLVED][P], next[P][K];
            convolve_all(texture, y, x, weights, sums);
#pragma unroll
            for (int j = 0; j < P; ++j)
                rule(ConvolvedCell{{}, texture, sums, item, y, x, j, done}, next[j]);
            __syncthreads();
#pragma unroll
            for (int j = 0; j < P; ++j) {
                if (!active || (W % P != 0 && x + j >= W)) continue;
                float* cell = row + (LEFT + x + j) * K;
                if constexpr (ALL_WRITTEN) {
                    leave<K, lanes_of(K)>(cell, next[j]);
                } else {
#pragma unroll
                    for (int k = 0; k < K; ++k)
                        if (written(k)) cell[k] = next[j][k];
                }
            }
            if (BOUNDARY != ZERO && active) show_ends(row, x);
            __syncthreads();
        }
        for (int slot = 0; slot < samples; ++slot) {
            const long long number = (sample + slot) * MEMBERS + member;
            const float* seen = textures + slot * TEXTURE;
            features_of(
                [&](int c, int y, int x) {
                    return held_as(c) >= 0 ? seen[y * LINE + (LEFT + x) * K + held_as(c)]
                                           : Item(in, number).encoded(c, y * W + x);
                },
                out + (number * snapshots + snapshot) * SNAPSHOT_FEATURES, threshold, threadIdx.x,
                THREADS);
        }
    }
}
