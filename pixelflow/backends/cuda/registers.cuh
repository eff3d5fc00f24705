// Everything in one launch, the cells in registers.

// What a block works on.
struct Work {
    long long first, items;  // its first item, and how many there are
    long long size;          // features of an item
    float* out;

    // Where a slot's features are, or null: the last block may have fewer items than slots.
    __device__ __forceinline__ float* features(int slot) const {
        return first + slot < items ? out + (first + slot) * size : nullptr;
    }
};

__device__ __forceinline__ void load_staged(Patch& p, const Inputs& in, const Work& work,
                                            V* stage) {
    const auto texture = [&](int slot) {
        const long long item = work.first + slot;
        const Value* at = in.latents + item / MEMBERS * in.sample_stride +
                          item % MEMBERS * in.member_stride;
        return reinterpret_cast<const V*>(item < work.items ? at : nullptr);
    };
#pragma unroll
    for (int first = 0; first < R; first += STAGED) {
#pragma unroll
        for (int i = 0; i < STAGED; ++i)
            for_line(p.lane, first + i, texture, [&](int v, const V* memory) {
                copy_async(stage + i * LINE_VECTORS + v, memory);
            });
        copies_done();
        __syncwarp();
#pragma unroll
        for (int i = 0; i < STAGED; ++i) {
            float values[P * C];
#pragma unroll
            for (int v = 0; v < LANE_VECTORS; ++v)
                unpack(stage[i * LINE_VECTORS + swizzled(p.lane * LANE_VECTORS + v)], values, v);
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int j = 0; j < P; ++j) p.s[k][first + i][j] = values[j * C + held(k)];
        }
        if (first + STAGED < R) __syncwarp();  // the next rows take the same place
    }
    if (!KEPT) __syncthreads();  // the stage lies in the exchange
}

__device__ __forceinline__ void load_encoded(Patch& p, const Item& item) {
#pragma unroll
    for (int k = 0; k < K; ++k)
#pragma unroll
        for (int i = 0; i < R; ++i) {
            if (PRODUCTS && IDENTITY) {
                get<W>(p.s[k][i], item.products(held(k)) + p.ys[i] * W, p.xs);
                continue;
            }
#pragma unroll
            for (int j = 0; j < P; ++j)
                p.s[k][i][j] = item.given(held(k), p.ys[i] * W + p.xs[j]);
        }
#pragma unroll
    for (int k = 0; k < K; ++k)
#pragma unroll
        for (int n = 0; n < R * P; ++n) p.s[k][n / P][n % P] = squashed(p.s[k][n / P][n % P]);
}

__device__ __forceinline__ float value_of(const Patch& p, const Item& item, int c, int i, int j) {
    return held_as(c) >= 0 ? p.s[held_as(c)][i][j] : item.encoded(c, p.ys[i] * W + p.xs[j]);
}

// The textures themselves. KEPT: the stage has them as they came, for the channels not held.
__device__ __forceinline__ void store_textures(const Patch& p, const Item& item, const Work& work,
                                               V* stage, long long offset) {
    const auto texture = [&](int slot) {
        float* features = work.features(slot);
        return reinterpret_cast<V*>(features == nullptr ? nullptr : features + offset);
    };
    if (!KEPT) __syncthreads();
#pragma unroll
    for (int i = 0; i < R; ++i) {
        V* line = stage + i % STAGED * LINE_VECTORS;
        float values[P * C];
#pragma unroll
        for (int v = 0; KEPT && v < LANE_VECTORS; ++v)
            unpack(line[swizzled(p.lane * LANE_VECTORS + v)], values, v);
#pragma unroll
        for (int j = 0; j < P; ++j)
#pragma unroll
            for (int c = 0; c < C; ++c)
                if (!KEPT || held_as(c) >= 0) values[j * C + c] = value_of(p, item, c, i, j);
#pragma unroll
        for (int v = 0; v < LANE_VECTORS; ++v)
            line[swizzled(p.lane * LANE_VECTORS + v)] = packed(values, v, V{});
        if (i % STAGED != STAGED - 1) continue;
        __syncwarp();
#pragma unroll
        for (int before = STAGED - 1; before >= 0; --before)
            for_line(p.lane, i - before, texture, [&](int v, V* memory) {
                *memory = stage[(i - before) % STAGED * LINE_VECTORS + v];
            });
        __syncwarp();
    }
    if (!KEPT) __syncthreads();
}

// One channel, not pooled.
__device__ __forceinline__ void store_channel(const Patch& p, const Item& item, int c,
                                              float threshold, float* features) {
    if (!p.active) return;
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign)
#pragma unroll
            for (int j = 0; j < P; ++j)
                if (holds(p, i, j))
                    features[sign * PLANE + p.ys[i] * W + p.xs[j]] =
                        rectified(value_of(p, item, c, i, j), sign, threshold);
}

// Whether every patch lies in one cell of the grid that is pooled to.
constexpr int GRID_ROWS = POOL > 0 ? H / POOL : 1, GRID_COLUMNS = POOL > 0 ? W / POOL : 1;
constexpr bool ALIKE = POOL > 0 && GRID_ROWS * POOL == H && GRID_COLUMNS * POOL == W &&
                       GRID_ROWS % R == 0 && GRID_COLUMNS % P == 0;

// A cell of the grid, from the totals of the patches in it.
__device__ __forceinline__ float joined(const float* totals, int cell) {
    constexpr int DOWNWARD = ALIKE ? GRID_ROWS / R : 1, ACROSS = ALIKE ? GRID_COLUMNS / P : 1;
    const float* first = totals + cell / GRID * DOWNWARD * ROW_LANES + cell % GRID * ACROSS;
    float total = first[0];
#pragma unroll
    for (int n = 1; n < DOWNWARD * ACROSS; ++n)
        join(total, first[n / ACROSS * ROW_LANES + n % ACROSS]);
    return MEAN ? total * (1.0f / (GRID_ROWS * GRID_COLUMNS)) : total;
}

// One channel for `store_pooled`: a patch's total where it lies in one cell, else all values.
__device__ __forceinline__ void share_channel(const Patch& p, const Item& item, float* memory,
                                              int c, float threshold) {
    if (ALIKE) {
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign) {
            float total = rectified(value_of(p, item, c, 0, 0), sign, threshold);
#pragma unroll
            for (int n = 1; n < R * P; ++n)
                join(total, rectified(value_of(p, item, c, n / P, n % P), sign, threshold));
            if (p.active)
                memory[((p.slot * SIGNS + sign) * GROUPS + p.group) * ROW_LANES + p.column] = total;
        }
    } else if (p.active) {
#pragma unroll
        for (int i = 0; i < R; ++i) {
            float values[P];
#pragma unroll
            for (int j = 0; j < P; ++j) values[j] = value_of(p, item, c, i, j);
            float* row = memory + p.slot * (H * W) + p.ys[i] * W + p.xs[0];
            if (PAD_X == 0 && PAD_Y == 0) {
                put<W>(row, values);
                continue;
            }
#pragma unroll
            for (int j = 0; j < P; ++j)
                if (holds(p, i, j)) row[j] = values[j];
        }
    }
}

// One channel, pooled by way of shared memory.
__device__ __forceinline__ void store_pooled(const Patch& p, const Item& item, const Work& work,
                                             float* memory, int c, float threshold,
                                             long long offset) {
    __syncthreads();
    share_channel(p, item, memory, c, threshold);
    __syncthreads();
    if (ALIKE) {
        for (int n = threadIdx.x; n < SLOTS * CHANNEL_FEATURES; n += THREADS) {
            float* features = work.features(n / CHANNEL_FEATURES);
            if (features == nullptr) break;
            features[offset + n % CHANNEL_FEATURES] =
                joined(memory + n / (GRID * GRID) * (GROUPS * ROW_LANES), n % (GRID * GRID));
        }
        return;
    }
    for (int slot = 0; slot < SLOTS; ++slot) {
        float* features = work.features(slot);
        if (features == nullptr) break;
        const float* plane = memory + slot * (H * W);
        pooled<1>([&](int, int y, int x) { return plane[y * W + x]; }, features + offset, threshold,
                  threadIdx.x, THREADS);
    }
}

__device__ __forceinline__ void drive_patch(Patch& p, long long item, const Sequence& sequence,
                                            int t) {
#pragma unroll
    for (int k = 0; k < K; ++k)
#pragma unroll
        for (int n = 0; n < R * P; ++n) {
            const int i = n / P, j = n % P;
            if (drives(k) >= 0)
                p.s[k][i][j] =
                    sequence.driven(k, p.s[k][i][j], item, t, p.ys[i] * W + p.xs[j]);
        }
}

__device__ __forceinline__ void leave_patch(const Patch& p, const Item& item, long long number,
                                            const Sequence& sequence) {
    if (!p.active) return;
#pragma unroll
    for (int n = 0; n < R * P; ++n) {
        const int i = n / P, j = n % P;
        if (!holds(p, i, j)) continue;
        float* cell = sequence.cell(number, p.ys[i] * W + p.xs[j]);
#pragma unroll
        for (int c = 0; c < C; ++c) cell[c] = value_of(p, item, c, i, j);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
fused_registers(INPUTS, const int* times, int snapshots, float threshold, float* out,
                long long items SEQUENCE) {
    const Inputs in = GIVEN;
    const Sequence sequence = DRIVE;
    const int turns = DRIVEN ? snapshots * sequence.inputs : snapshots;
    extern __shared__ float4 shared[];
    V* stage = reinterpret_cast<V*>(shared) + threadIdx.x / 32 * (STAGED * LINE_VECTORS);
    float* exchange = reinterpret_cast<float*>(shared) +
                      (KEPT ? THREADS / 32 * STAGED * LINE_VECTORS * VECTOR : 0);
    const Work work{static_cast<long long>(blockIdx.x) * SLOTS, items,
                    turns * SNAPSHOT_FEATURES, out};
    Patch p = placed(0, 0, {true, true, true, true});
    const bool exists = SLOTS == 1 || work.first + p.slot < items;
    const long long number = exists ? work.first + p.slot : items - 1;
    const Item item(in, number);
    p.active = p.active && exists;
    load_fixed(p, item);
    if constexpr (STAGED_IN) load_staged(p, in, work, stage);
    else load_encoded(p, item);

    unsigned done = 0;
    for (int snapshot = 0; snapshot < turns; ++snapshot) {
        unsigned until = __ldg(times + (DRIVEN ? snapshot % snapshots : snapshot));
        if constexpr (DRIVEN) {
            const int t = snapshot / snapshots;
            if (snapshot % snapshots == 0) {
                advance_patch(p, item, exchange, done, t * sequence.steps);
                drive_patch(p, number, sequence, t);
            }
            until += t * sequence.steps;
        }
        advance_patch(p, item, exchange, done, until);
        const long long start = snapshot * SNAPSHOT_FEATURES;
        if constexpr (PLAIN) store_textures(p, item, work, stage, start);
#pragma unroll
        for (int r = 0; !PLAIN && r < READ; ++r) {
            const int c = read_channel(r);
            const long long offset = start + r * CHANNEL_FEATURES;
            if constexpr (POOL > 0)
                store_pooled(p, item, work, exchange, c, threshold, offset);
            else if (float* features = work.features(p.slot))
                store_channel(p, item, c, threshold, features + offset);
        }
        if (POOL > 0) __syncthreads();
    }
    if constexpr (DRIVEN) {
        advance_patch(p, item, exchange, done, sequence.inputs * sequence.steps);
        leave_patch(p, item, number, sequence);
    }
}
