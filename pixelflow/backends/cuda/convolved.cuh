// Everything in one launch, for rules that convolve. A block has one member's weights, and SLOTS
// samples' textures in shared memory.

constexpr int TEXTURE = (H + 1) * LINE;   // the last row is zeros

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
                rule(ConvolvedCell{{}, texture, sums, item, 0, 0, y, x, j, done}, next[j]);
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
