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
            for (int k = 0; k < K; ++k) cell[k] = item.given(held(k), place);
#pragma unroll
            for (int k = 0; k < K; ++k) cell[k] = squashed(cell[k]);
        }
        leave<K, lanes_of(K)>(
            textures + slot * TEXTURE + place / W * LINE + (LEFT + place % W) * K, cell);
    }
    for (int n = threadIdx.x; n < SLOTS * LINE; n += THREADS)
        textures[n / LINE * TEXTURE + H * LINE + n % LINE] = 0.0f;
}

// Where the features of an item's snapshot are.
struct Features {
    float* out;
    long long sample;   // the block's first
    int member, samples, snapshots, snapshot;
    float threshold;

    __device__ __forceinline__ long long item(int slot) const {
        return (sample + slot) * MEMBERS + member;
    }
    __device__ __forceinline__ float* of(int slot) const {
        return out + (item(slot) * snapshots + snapshot) * SNAPSHOT_FEATURES;
    }
};

// Pools where each strip lies in one cell of the grid: every thread sums its strip, then a few
// threads add up the strips.
__device__ __forceinline__ void pool_strips(const float* strip, float* totals, const Features& to) {
    constexpr int PARTS = POOL > 0 ? POOL : 1, GRID_CELLS = PARTS * PARTS, VALUES = READ * SIGNS;
    constexpr int DOWNWARD = H / PARTS, ACROSS = W / PARTS / P > 0 ? W / PARTS / P : 1;
    float cells[P][K];
#pragma unroll
    for (int j = 0; j < P; ++j) fetch<K, lanes_of(K)>(cells[j], strip + j * K);
#pragma unroll
    for (int v = 0; v < VALUES; ++v) {
        const int k = held_as(read_channel(v / SIGNS));
        float total = rectified(cells[0][k], v % SIGNS, to.threshold);
#pragma unroll
        for (int j = 1; j < P; ++j) join(total, rectified(cells[j][k], v % SIGNS, to.threshold));
        totals[v * THREADS + threadIdx.x] = total;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < to.samples * VALUES * GRID_CELLS; n += THREADS) {
        const int slot = n / (VALUES * GRID_CELLS), place = n % (VALUES * GRID_CELLS);
        const int v = place / GRID_CELLS, cell = place % GRID_CELLS;
        const float* first = totals + v * THREADS + slot * STRIPS * H +
                             cell % PARTS * ACROSS * H + cell / PARTS * DOWNWARD;
        float total = first[0];
#pragma unroll 8
        for (int i = 1; i < DOWNWARD * ACROSS; ++i)
            join(total, first[i / DOWNWARD * H + i % DOWNWARD]);
        to.of(slot)[place] = MEAN ? total * (1.0f / (DOWNWARD * ACROSS * P)) : total;
    }
}

// What is read of a snapshot, for all other probes.
__device__ __forceinline__ void read_textures(const Inputs& in, const float* textures,
                                              const Features& to) {
    for (int slot = 0; slot < to.samples; ++slot) {
        const float* seen = textures + slot * TEXTURE;
        const auto value = [&](int c, int y, int x) {
            return READ_HELD || held_as(c) >= 0 ? seen[y * LINE + (LEFT + x) * K + held_as(c)]
                                                : Item(in, to.item(slot)).encoded(c, y * W + x);
        };
        features_of(value, to.of(slot), to.threshold, threadIdx.x, THREADS);
    }
}

// Adds input `t` to the textures of a block's samples.
__device__ __forceinline__ void drive_textures(float* textures, const Features& to,
                                               const Sequence& sequence, int t) {
    for (int n = threadIdx.x; n < to.samples * (H * W); n += THREADS) {
        const int slot = n / (H * W), place = n % (H * W);
        float* cell = textures + slot * TEXTURE + place / W * LINE + (LEFT + place % W) * K;
#pragma unroll
        for (int k = 0; k < K; ++k)
            if (drives(k) >= 0) cell[k] = sequence.driven(k, cell[k], to.item(slot), t, place);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
fused_convolved(INPUTS, const int* times, int snapshots, float threshold, float* out,
                long long n_samples SEQUENCE) {
    const Inputs in = GIVEN;
    const Sequence sequence = DRIVE;
    const int turns = DRIVEN ? snapshots * sequence.inputs : snapshots;
    extern __shared__ float4 shared[];
    float* const weights = reinterpret_cast<float*>(shared);
    float* const textures = weights + WEIGHTS;
    const int member = blockIdx.x % MEMBERS;
    const long long sample = blockIdx.x / MEMBERS * static_cast<long long>(SLOTS);
    const int samples = n_samples - sample < SLOTS ? n_samples - sample : SLOTS;
    const Item item(in, sample * MEMBERS + member);
    load_weights(item, weights);
    load_textures(in, sample, member, samples, textures);

    const int thread = min(static_cast<int>(threadIdx.x), SLOTS * STRIPS * H - 1);
    const int y = thread % H, x = thread / H % STRIPS * P;
    const bool active = threadIdx.x < SLOTS * STRIPS * H;
    float* const texture = textures + thread / H / STRIPS * TEXTURE;
    float* const row = texture + y * LINE;
    __syncthreads();
    if (active) show_ends(row, x);
    __syncthreads();

    unsigned done = 0;
    const auto advance = [&](const unsigned until) {
        for (; done < until; ++done) {
            float sums[CONVOLVED][P], next[P][K];
            if (SPARSE && done == 0) convolve_all<true>(texture, y, x, weights, sums);
            else convolve_all<false>(texture, y, x, weights, sums);
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
    };
    for (int snapshot = 0; snapshot < turns; ++snapshot) {
        const Features to{out, sample, member, samples, turns, snapshot, threshold};
        unsigned until = __ldg(times + (DRIVEN ? snapshot % snapshots : snapshot));
        if constexpr (DRIVEN) {
            const int t = snapshot / snapshots;
            if (snapshot % snapshots == 0) {
                advance(t * sequence.steps);
                __syncthreads();  // all have read
                drive_textures(textures, to, sequence, t);
                __syncthreads();
                if (BOUNDARY != ZERO && active) show_ends(row, x);
                __syncthreads();
            }
            until += t * sequence.steps;
        }
        advance(until);
        if constexpr (TOTALS > 0)
            pool_strips(row + (LEFT + x) * K, textures + SLOTS * TEXTURE, to);
        else
            read_textures(in, textures, to);
    }
    if constexpr (DRIVEN) {
        advance(sequence.inputs * sequence.steps);
        const Features to{out, sample, member, samples, turns, 0, threshold};
        for (int n = threadIdx.x; n < samples * (H * W * C); n += THREADS) {
            const int slot = n / (H * W * C), place = n / C % (H * W), c = n % C;
            const float* cell =
                textures + slot * TEXTURE + place / W * LINE + (LEFT + place % W) * K;
            sequence.cell(to.item(slot), place)[c] =
                held_as(c) >= 0 ? cell[held_as(c)] : Item(in, to.item(slot)).encoded(c, place);
        }
    }
}
