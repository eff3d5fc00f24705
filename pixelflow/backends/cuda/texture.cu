// How a texture runs on a CUDA device. kernels.py writes what stands before and after this: the
// constants of one plan's shape, encoder and probe (namespace `plan`), and its rule as a function of
// one cell.
//
//   fused_registers   encoder, all steps and probe in one launch; a thread keeps a patch of R x P
//                     cells in registers, gets the columns beside it by shuffles and the rows above
//                     and below through shared memory
//   fused_shared      the same with all cells in shared memory, for rules that look further
//   encode, advance, advance_plain, probe
//                     the same in several launches for textures that are too large for that;
//                     `advance` does several steps of a tile whose margin goes stale (temporal
//                     blocking), `advance_plain` one step
//
// An item is one member's texture for one sample. `K` channels are held: those that the rule reads
// or writes. All others stay as the encoder left them.

using namespace plan;

template <class Cell> __device__ __forceinline__ void rule(const Cell& at, float* next);

constexpr long long PLANE = static_cast<long long>(H) * W;

struct Inputs {
    const Value* latents;       // (n, 1 or M, D_in)
    long long sample_stride;
    long long member_stride;    // 0 where members share the latents
    const int* index;           // (driven channels, H, W): which latent, or -1
    const float* params;        // (M, parameters)
    const float* media;         // (M, media, H, W)
    const unsigned* keys;       // (M)
};

#define INPUTS                                                                          \
    const Value *latents, long long sample_stride, long long member_stride, const int *index, \
        const float *params, const float *media, const unsigned *keys
#define GIVEN Inputs { latents, sample_stride, member_stride, index, params, media, keys }

__device__ __forceinline__ float loaded(const float* p) { return __ldg(p); }
__device__ __forceinline__ float loaded(const unsigned char* p) {
    return static_cast<float>(__ldg(p)) * PIXEL;
}

// What one item sees of the inputs.
struct Item {
    const Value* latents;
    const int* index;
    const float* params;
    const float* media;
    unsigned key;

    __device__ __forceinline__ Item(const Inputs& in, long long item) {
        const long long sample = item / MEMBERS, member = item % MEMBERS;
        latents = in.latents + sample * in.sample_stride + member * in.member_stride;
        index = in.index;
        params = in.params + member * PARAMETERS;
        media = in.media + member * (MEDIA * H * W);
        key = __ldg(in.keys + member);
    }

    // The encoded value of a channel's cell.
    __device__ __forceinline__ float encoded(int channel, int cell) const {
        if (IDENTITY) return loaded(latents + cell * C + channel);
        if (driven(channel) < 0) return 0.0f;
        const int source = __ldg(index + driven(channel) * (H * W) + cell);
        return source >= 0 ? loaded(latents + source) : 0.0f;
    }
};

// -- what a rule may call -------------------------------------------------------------------------

// The smaller and the larger of two, NaN where the first is; the second is finite.
__device__ __forceinline__ float least(float a, float b) {
#if __CUDA_ARCH__ >= 800
    float c;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
#else
    return b < a ? b : a;
#endif
}
__device__ __forceinline__ float most(float a, float b) {
#if __CUDA_ARCH__ >= 800
    float c;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
#else
    return b > a ? b : a;
#endif
}
// x * 1 + 0 is x, to the bit; it balances the pipelines better than a second selection.
__device__ __forceinline__ float flushed(float x) {
    return __fmaf_rn(x, fabsf(x) < SMALLEST ? 0.0f : 1.0f, 0.0f);
}
__device__ __forceinline__ float positive(float x) { return x < SMALLEST ? 0.0f : x; }

#if defined(REGISTERS) || defined(TILES)
// -- a patch of cells in registers ----------------------------------------------------------------

constexpr int ROW_LANES = BW / P;               // threads side by side in a row of patches
constexpr int WARP_ROWS = 32 / ROW_LANES;       // rows of patches in a warp
constexpr int GROUPS = BH / R;                  // rows of patches in a texture, or a tile of one
constexpr int EDGE = (UP + DOWN) * BW;          // what a row of patches shows to those beside it
constexpr int EXCHANGE = VERTICALS * SLOTS * GROUPS * EDGE;

struct Patch {
    float s[K][R][P];
    float medium[MEDIA > 0 ? MEDIA : 1][R][P];
    float parameters[PARAMETERS > 0 ? PARAMETERS : 1];
    int ys[R], xs[P];   // where the cells are in the texture
    int lane, column, group, left, right;
    bool active, first_column, last_column, first_row, last_row;
};

// One cell of a patch, as its rule sees it. IN_RANGE: every channel that has a `bound` is within it,
// so that the shortcuts give the same bits.
template <bool IN_RANGE>
struct PatchCell {
    const float (&w)[K][UP + R + DOWN][LEFT + P + RIGHT];
    const Patch& patch;
    const Item& item;
    int i, j;
    unsigned done;
    unsigned& least_bits;   // of numbers that are not 0, minus 1

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        return w[k][UP + i + dy][LEFT + j + dx];
    }
    __device__ __forceinline__ float param(int n) const { return patch.parameters[n]; }
    __device__ __forceinline__ float medium(int q) const { return patch.medium[q][i][j]; }
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const { return patch.ys[i] * W + patch.xs[j]; }
    __device__ __forceinline__ unsigned key() const { return item.key; }

    __device__ __forceinline__ float scaled(float scale, float x, float other) const {
        return IN_RANGE ? __fmaf_rn(scale, x, other) : scale * x + other;
    }
    // Clipped to [0, 1] and flushed; in range the clip comes with the addition before it, and the
    // flush is left to the end of the step, where few steps have anything to flush.
    __device__ __forceinline__ float unit(float x) const {
        if (!IN_RANGE) return least(positive(x), 1.0f);
        x = __saturatef(x);
        least_bits = __viaddmin_u32(__float_as_uint(x), ~0u, least_bits);
        return x;
    }
};

template <int N>
__device__ __forceinline__ void put(float* to, const float (&from)[N]) {
    if constexpr (N % 4 == 0 && W % 4 == 0) {
#pragma unroll
        for (int j = 0; j < N; j += 4)
            *reinterpret_cast<float4*>(to + j) =
                make_float4(from[j], from[j + 1], from[j + 2], from[j + 3]);
    } else {
#pragma unroll
        for (int j = 0; j < N; ++j) to[j] = from[j];
    }
}

// A row of a patch from memory; patches begin at multiples of 4 cells where they hold 4.
template <int N>
__device__ __forceinline__ void get(float (&to)[N], const float* row, const int (&xs)[N]) {
    if constexpr (N == 4 && W % 4 == 0) {
        const float4 cells = *reinterpret_cast<const float4*>(row + xs[0]);
        to[0] = cells.x, to[1] = cells.y, to[2] = cells.z, to[3] = cells.w;
    } else {
#pragma unroll
        for (int j = 0; j < N; ++j) to[j] = row[xs[j]];
    }
}

// The columns beside a row of a patch, from the threads beside this one.
template <int N>
__device__ __forceinline__ void sides(const Patch& p, float (&row)[N]) {
#pragma unroll
    for (int q = 1; q <= LEFT; ++q) {
        const float value = __shfl_sync(~0u, row[LEFT + P - q], p.left);
        row[LEFT - q] = BOUNDARY == PERIODIC || !p.first_column ? value
                        : BOUNDARY == REFLECT                   ? row[LEFT + q - 1]
                                                                : 0.0f;
    }
#pragma unroll
    for (int q = 1; q <= RIGHT; ++q) {
        const float value = __shfl_sync(~0u, row[LEFT + q - 1], p.right);
        row[LEFT + P + q - 1] = BOUNDARY == PERIODIC || !p.last_column ? value
                                : BOUNDARY == REFLECT                  ? row[LEFT + P - q]
                                                                       : 0.0f;
    }
}

// One step; `exchange` alternates between two halves, so that one barrier a step is enough.
template <bool IN_RANGE>
__device__ __forceinline__ void step_patch(Patch& p, const Item& item, float* exchange,
                                              int slot_group, int above, int below,
                                              unsigned done) {
    float w[K][UP + R + DOWN][LEFT + P + RIGHT];
    float* half = exchange + (done & 1) * EXCHANGE + p.column * P;
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < P; ++j) w[k][UP + i][LEFT + j] = p.s[k][i][j];
        if (vertical(k) < 0 || GROUPS == 1) continue;
        float* edge = half + (vertical(k) * SLOTS * GROUPS + slot_group) * EDGE;
        if (p.active) {
#pragma unroll
            for (int q = 0; q < UP; ++q) put(edge + q * BW, p.s[k][R - UP + q]);
#pragma unroll
            for (int q = 0; q < DOWN; ++q) put(edge + (UP + q) * BW, p.s[k][q]);
        }
    }
    if (EXCHANGE > 0 && GROUPS > 1) __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) {
        if (vertical(k) >= 0) {
            const float* from = half + vertical(k) * SLOTS * GROUPS * EDGE;
#pragma unroll
            for (int q = 0; q < UP; ++q)
#pragma unroll
                for (int j = 0; j < P; ++j) {
                    const float value = GROUPS == 1 ? p.s[k][R - UP + q][j]
                                                    : from[above * EDGE + q * BW + j];
                    w[k][q][LEFT + j] = BOUNDARY == PERIODIC || !p.first_row ? value
                                        : BOUNDARY == REFLECT ? p.s[k][UP - 1 - q][j]
                                                              : 0.0f;
                }
#pragma unroll
            for (int q = 0; q < DOWN; ++q)
#pragma unroll
                for (int j = 0; j < P; ++j) {
                    const float value =
                        GROUPS == 1 ? p.s[k][q][j] : from[below * EDGE + (UP + q) * BW + j];
                    w[k][UP + R + q][LEFT + j] = BOUNDARY == PERIODIC || !p.last_row ? value
                                                 : BOUNDARY == REFLECT ? p.s[k][R - 1 - q][j]
                                                                       : 0.0f;
                }
        }
        if (horizontal(k)) {
#pragma unroll
            for (int i = 0; i < UP + R + DOWN; ++i)
                if ((i >= UP && i < UP + R) || diagonal(k)) sides(p, w[k][i]);
        }
    }
    unsigned least_bits = ~0u;
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < P; ++j) {
            float next[K];
            rule(PatchCell<IN_RANGE>{w, p, item, i, j, done, least_bits}, next);
#pragma unroll
            for (int k = 0; k < K; ++k)
                if (written(k)) p.s[k][i][j] = next[k];
        }
    if (IN_RANGE && least_bits < __float_as_uint(SMALLEST) - 1)
#pragma unroll
        for (int k = 0; k < K; ++k)
#pragma unroll
            for (int n = 0; n < R * P; ++n)
                if (unit(k)) p.s[k][n / P][n % P] = positive(p.s[k][n / P][n % P]);
}

__device__ __forceinline__ bool in_range(const Patch& p) {
    bool inside = true;
#pragma unroll
    for (int k = 0; k < K; ++k)
#pragma unroll
        for (int n = 0; n < R * P; ++n)
            if (bound(k) >= 0.0f) inside = inside && fabsf(p.s[k][n / P][n % P]) <= bound(k);
    return inside;
}

// Steps `done` to `until`, with shortcuts as soon as all numbers are in range.
__device__ __forceinline__ void advance_patch(Patch& p, const Item& item, float* exchange,
                                              int slot_group, int above, int below,
                                              unsigned& done, unsigned until) {
    if constexpr (SHORTCUTS) {
        while (done < until && !__syncthreads_and(in_range(p)))
            step_patch<false>(p, item, exchange, slot_group, above, below, done++);
#pragma unroll 1
        for (; done < until; ++done)
            step_patch<true>(p, item, exchange, slot_group, above, below, done);
    } else {
#pragma unroll 1
        for (; done < until; ++done)
            step_patch<false>(p, item, exchange, slot_group, above, below, done);
    }
}

// Rows of interleaved cells (y, x, channel), moved between a warp's patches and memory through
// shared memory, so that memory is read and written in whole lines, all of it at once.
constexpr int VECTOR = (P * C) % 4 == 0 && (W * C) % 4 == 0 && ALIGNED ? 4 : 1;
constexpr int LANE_VECTORS = P * C / VECTOR;
constexpr int ROW_VECTORS = BW * C / VECTOR;
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

// Calls `each(vector of the stage, vector of the row in memory)` for row i of all patches of a warp,
// whose first row of patches is `first_group`; `texture(slot)` is where an item's texture is in
// memory, or null.
template <class Texture, class Each>
__device__ __forceinline__ void for_line(int lane, int first_group, int i, Texture texture,
                                         Each each) {
    constexpr int LINE = WARP_ROWS * ROW_VECTORS;
    constexpr bool FULL = LINE % 32 == 0 && THREADS / 32 * WARP_ROWS == SLOTS * GROUPS;
#pragma unroll
    for (int n = 0; n < (LINE + 31) / 32; ++n) {
        const int v = n * 32 + lane, group = first_group + v / ROW_VECTORS;
        if (!FULL && (v >= LINE || group >= SLOTS * GROUPS)) continue;
        auto* memory = texture(SLOTS == 1 ? 0 : group / GROUPS);
        if (SLOTS > 1 && memory == nullptr) continue;
        const int row = (SLOTS == 1 ? group : group % GROUPS) * R + i;
        each(swizzled(v), memory + row * ROW_VECTORS + v % ROW_VECTORS);
    }
}

#endif

// -- probes ---------------------------------------------------------------------------------------

__device__ __forceinline__ float rectified(float value, int sign, float threshold) {
    if (SIGNS == 1) return value;
    const float over = (sign == 0 ? value : -value) - threshold;
    return over <= 0.0f ? 0.0f : over;   // NaN stays
}

__device__ __forceinline__ void join(float& total, float value) {
    if (MEAN) total += value;
    else if (!(total >= value)) total = value;   // NaN wins
}

// Means or maxima of one channel's plane (row pitch W) over a POOL x POOL grid, by the threads of a
// team of 8 for each cell of the grid; features of one sign follow those of the other.
template <class Plane>
__device__ __forceinline__ void pooled(Plane plane, float* out, int team, int teams, int mate,
                                       float threshold) {
    constexpr int GRID = POOL > 0 ? POOL : 1;
    for (int o = team; o - team < GRID * GRID; o += teams) {
        const bool inside = o < GRID * GRID;
        const int a = inside ? o / GRID : 0, b = inside ? o % GRID : 0;
        const int top = a * H / GRID, bottom = ((a + 1) * H + GRID - 1) / GRID;
        const int first = b * W / GRID, last = ((b + 1) * W + GRID - 1) / GRID;
        float total[SIGNS];
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign) total[sign] = MEAN ? 0.0f : -__int_as_float(0x7f800000);
        for (int y = top; y < bottom; ++y)
            for (int x = first + mate; x < last; x += 8) {
                const float value = plane(y, x);
#pragma unroll
                for (int sign = 0; sign < SIGNS; ++sign)
                    join(total[sign], rectified(value, sign, threshold));
            }
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign) {
#pragma unroll
            for (int hop = 4; hop > 0; hop /= 2)
                join(total[sign], __shfl_xor_sync(~0u, total[sign], hop));
            if (mate == 0 && inside)
                out[sign * GRID * GRID + o] =
                    MEAN ? total[sign] * __frcp_rn((bottom - top) * (last - first)) : total[sign];
        }
    }
}

#ifdef REGISTERS
// Whether every patch lies in one cell of the grid.
constexpr int GRID_ROWS = POOL > 0 ? H / POOL : 1, GRID_COLUMNS = POOL > 0 ? W / POOL : 1;
constexpr bool ALIKE = POOL > 0 && GRID_ROWS * POOL == H && GRID_COLUMNS * POOL == W &&
                       GRID_ROWS % R == 0 && GRID_COLUMNS % P == 0;

// A cell of the grid, from the totals of the patches in it.
__device__ __forceinline__ float joined(const float* totals, int cell) {
    constexpr int DOWNWARD = ALIKE ? GRID_ROWS / R : 1, ACROSS = ALIKE ? GRID_COLUMNS / P : 1;
    const float* first = totals + cell / (POOL + !POOL) * DOWNWARD * ROW_LANES +
                         cell % (POOL + !POOL) * ACROSS;
    float total = first[0];
#pragma unroll
    for (int n = 1; n < DOWNWARD * ACROSS; ++n)
        join(total, first[n / ACROSS * ROW_LANES + n % ACROSS]);
    return MEAN ? total * (1.0f / (GRID_ROWS * GRID_COLUMNS)) : total;
}
#endif

constexpr int CHANNEL_FEATURES = SIGNS * (POOL > 0 ? POOL * POOL : H * W);
constexpr long long SNAPSHOT_FEATURES = static_cast<long long>(READ) * CHANNEL_FEATURES;

// -- everything in one launch ---------------------------------------------------------------------

#ifdef REGISTERS
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
fused_registers(INPUTS, const int* times, int snapshots, float threshold, float* out,
                long long items) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* exchange = reinterpret_cast<float*>(shared) +
                      (KEPT ? THREADS / 32 * STAGED * LINE_VECTORS * VECTOR : 0);
    const int lane = threadIdx.x % 32;
    V* stage = reinterpret_cast<V*>(shared) + threadIdx.x / 32 * (STAGED * LINE_VECTORS);
    const int warp_row = lane / ROW_LANES;
    const int first_group = threadIdx.x / 32 * WARP_ROWS;
    const int slot_group = min(first_group + min(warp_row, WARP_ROWS - 1), SLOTS * GROUPS - 1);
    const int slot = slot_group / GROUPS;
    const long long block_item = static_cast<long long>(blockIdx.x) * SLOTS;
    const long long wanted = block_item + slot;
    const long long own = wanted < items ? wanted : items - 1;
    const Item item(in, own);
    const long long size = snapshots * SNAPSHOT_FEATURES;   // features of one item

    Patch p;
    p.lane = lane;
    p.active = warp_row < WARP_ROWS && first_group + warp_row < SLOTS * GROUPS && wanted < items;
    p.column = lane % ROW_LANES;
    p.group = slot_group % GROUPS;
    const int base = lane - p.column;
    p.left = base + (p.column == 0 ? ROW_LANES - 1 : p.column - 1);
    p.right = base + (p.column == ROW_LANES - 1 ? 0 : p.column + 1);
    p.first_column = p.column == 0;
    p.last_column = p.column == ROW_LANES - 1;
    p.first_row = p.group == 0;
    p.last_row = p.group == GROUPS - 1;
    const int above = slot * GROUPS + (p.first_row ? GROUPS - 1 : p.group - 1);
    const int below = slot * GROUPS + (p.last_row ? 0 : p.group + 1);
#pragma unroll
    for (int n = 0; n < PARAMETERS; ++n) p.parameters[n] = __ldg(item.params + n);
#pragma unroll
    for (int i = 0; i < R; ++i) p.ys[i] = p.group * R + i;
#pragma unroll
    for (int j = 0; j < P; ++j) p.xs[j] = p.column * P + j;

    if (STAGED_IN) {
        const auto from = [&](int each) {
            const long long of = SLOTS == 1 ? own : block_item + each;
            const Value* texture = of >= items ? nullptr
                                               : latents + of / MEMBERS * sample_stride +
                                                     of % MEMBERS * member_stride;
            return reinterpret_cast<const V*>(texture);
        };
#pragma unroll
        for (int i = 0; i < R; ++i)
            for_line(lane, first_group, i, from, [&](int v, const V* memory) {
                copy_async(stage + i * LINE_VECTORS + v, memory);
            });
        copies_done();
        __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int cell = p.ys[i] * W + p.xs[0];
        if (STAGED_IN) {
            float values[P * C];
#pragma unroll
            for (int v = 0; v < LANE_VECTORS; ++v)
                unpack(stage[i * LINE_VECTORS + swizzled(lane * LANE_VECTORS + v)], values, v);
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int j = 0; j < P; ++j) p.s[k][i][j] = values[j * C + held(k)];
        } else {
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int j = 0; j < P; ++j) p.s[k][i][j] = item.encoded(held(k), cell + j);
        }
#pragma unroll
        for (int q = 0; q < MEDIA; ++q)
#pragma unroll
            for (int j = 0; j < P; ++j)
                p.medium[q][i][j] = __ldg(item.media + q * (H * W) + cell + j);
    }
    if (STAGED_IN && !KEPT) __syncthreads();   // the stage lies in the exchange

    const auto value_of = [&](int c, int i, int j) {
        return held_as(c) >= 0 ? p.s[held_as(c)][i][j] : item.encoded(c, p.ys[i] * W + p.xs[j]);
    };
    unsigned done = 0;
    for (int snapshot = 0; snapshot < snapshots; ++snapshot) {
        advance_patch(p, item, exchange, slot_group, above, below, done,
                      __ldg(times + snapshot));
        float* features = out + own * size + snapshot * SNAPSHOT_FEATURES;
        if (PLAIN) {
            const auto to = [&](int each) {
                const long long of = SLOTS == 1 ? own : block_item + each;
                return reinterpret_cast<V*>(of >= items ? nullptr : out + of * size);
            };
            if (!KEPT) __syncthreads();
#pragma unroll
            for (int i = 0; i < R; ++i) {
                V* line = stage + i % STAGED * LINE_VECTORS;
                float values[P * C];
#pragma unroll
                for (int v = 0; KEPT && v < LANE_VECTORS; ++v)
                    unpack(line[swizzled(lane * LANE_VECTORS + v)], values, v);
#pragma unroll
                for (int j = 0; j < P; ++j)
#pragma unroll
                    for (int c = 0; c < C; ++c)
                        if (!KEPT || held_as(c) >= 0) values[j * C + c] = value_of(c, i, j);
#pragma unroll
                for (int v = 0; v < LANE_VECTORS; ++v)
                    line[swizzled(lane * LANE_VECTORS + v)] = packed(values, v, V{});
                if (i % STAGED != STAGED - 1) continue;
                __syncwarp();
#pragma unroll
                for (int before = STAGED - 1; before >= 0; --before)
                    for_line(lane, first_group, i - before, to, [&](int v, V* memory) {
                        *memory = stage[(i - before) % STAGED * LINE_VECTORS + v];
                    });
                __syncwarp();
            }
            if (!KEPT) __syncthreads();
            continue;
        }
#pragma unroll
        for (int r = 0; r < READ; ++r) {
            const int c = read_channel(r);
            float* channel_features = features + r * CHANNEL_FEATURES;
            if (POOL == 0) {
#pragma unroll
                for (int i = 0; i < R; ++i)
#pragma unroll
                    for (int sign = 0; sign < SIGNS; ++sign)
#pragma unroll
                        for (int j = 0; j < P; ++j)
                            if (p.active)
                                channel_features[sign * (H * W) + p.ys[i] * W + p.xs[j]] =
                                    rectified(value_of(c, i, j), sign, threshold);
                continue;
            }
            __syncthreads();
            if (ALIKE) {   // every patch lies in one cell of the grid: its total stands for it
#pragma unroll
                for (int sign = 0; sign < SIGNS; ++sign) {
                    float total = rectified(value_of(c, 0, 0), sign, threshold);
#pragma unroll
                    for (int n = 1; n < R * P; ++n)
                        join(total, rectified(value_of(c, n / P, n % P), sign, threshold));
                    if (p.active)
                        exchange[((slot * SIGNS + sign) * GROUPS + p.group) * ROW_LANES +
                                 p.column] = total;
                }
            } else if (p.active) {
#pragma unroll
                for (int i = 0; i < R; ++i) {
                    float values[P];
#pragma unroll
                    for (int j = 0; j < P; ++j) values[j] = value_of(c, i, j);
                    put(exchange + slot * (H * W) + p.ys[i] * W + p.xs[0], values);
                }
            }
            __syncthreads();
            const int each = ALIKE ? SIGNS * POOL * POOL : 1;
            for (int n = ALIKE ? threadIdx.x : 0; n < SLOTS * each; n += ALIKE ? THREADS : 1) {
                const long long of = block_item + n / each;
                float* to = out + of * size + snapshot * SNAPSHOT_FEATURES + r * CHANNEL_FEATURES;
                if (of >= items) break;
                if (ALIKE) {
                    to[n % each] = joined(exchange + n / (POOL * POOL + !POOL) * (GROUPS * ROW_LANES),
                                          n % (POOL * POOL + !POOL));
                } else {
                    const float* plane = exchange + n * (H * W);
                    pooled([&](int y, int x) { return plane[y * W + x]; }, to, threadIdx.x / 8,
                           THREADS / 8, threadIdx.x % 8, threshold);
                }
            }
        }
        if (POOL > 0) __syncthreads();
    }
}
#endif

#ifdef TILES
// -- several steps of a tile of a large texture ---------------------------------------------------
// Planes are (items, K, H, W). A tile's margin goes stale by the rule's reach a step, except at the
// texture's own edge; what is written back is what is not.

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
advance(INPUTS, const float* from, float* to, unsigned first, unsigned steps, int margin) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* exchange = reinterpret_cast<float*>(shared);
    const Item item(in, blockIdx.z);
    const int core_y = BH - (TILED_Y ? 2 * margin : 0), core_x = BW - (TILED_X ? 2 * margin : 0);
    // A tile lies inside the texture, but a periodic one may reach over its edge.
    int top = TILED_Y ? blockIdx.y * core_y - margin : 0;
    int start = TILED_X ? blockIdx.x * core_x - margin : 0;
    const int from_y = blockIdx.y * core_y, from_x = blockIdx.x * core_x;
    if (BOUNDARY != PERIODIC) {
        top = max(0, min(top, H - BH));
        start = max(0, min(start, W - BW));
    }
    Patch p;
    p.lane = threadIdx.x % 32;
    p.column = p.lane % ROW_LANES;
    const int warp_row = p.lane / ROW_LANES;
    const int group = threadIdx.x / 32 * WARP_ROWS + warp_row;
    p.active = warp_row < WARP_ROWS && group < GROUPS;
    p.group = min(group, GROUPS - 1);
    const int base = p.lane - p.column;
    p.left = base + (p.column == 0 ? ROW_LANES - 1 : p.column - 1);
    p.right = base + (p.column == ROW_LANES - 1 ? 0 : p.column + 1);
    p.first_column = p.column == 0 && start == 0;
    p.last_column = p.column == ROW_LANES - 1 && start + BW == W;
    p.first_row = p.group == 0 && top == 0;
    p.last_row = p.group == GROUPS - 1 && top + BH == H;
    const int above = p.group == 0 ? GROUPS - 1 : p.group - 1;
    const int below = p.group == GROUPS - 1 ? 0 : p.group + 1;
#pragma unroll
    for (int n = 0; n < PARAMETERS; ++n) p.parameters[n] = __ldg(item.params + n);
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + p.group * R + i;
        p.ys[i] = y < 0 ? y + H : y >= H ? y - H : y;
    }
#pragma unroll
    for (int j = 0; j < P; ++j) {
        const int x = start + p.column * P + j;
        p.xs[j] = x < 0 ? x + W : x >= W ? x - W : x;
    }
    const long long plane = blockIdx.z * (K * PLANE);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
        for (int k = 0; k < K; ++k) get(p.s[k][i], from + plane + k * PLANE + p.ys[i] * W, p.xs);
#pragma unroll
        for (int q = 0; q < MEDIA; ++q)
            get(p.medium[q][i], item.media + q * PLANE + p.ys[i] * W, p.xs);
    }
    advance_patch(p, item, exchange, p.group, above, below, first, first + steps);
    if (!p.active) return;
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + p.group * R + i;
        if (TILED_Y && (y < from_y || y >= min(from_y + core_y, H))) continue;
        const int x = start + p.column * P;   // cores begin and end between patches
        if (TILED_X && (x < from_x || x >= min(from_x + core_x, W))) continue;
#pragma unroll
        for (int k = 0; k < K; ++k) put(to + plane + k * PLANE + y * W + x, p.s[k][i]);
    }
}
#endif

// -- all cells in shared memory -------------------------------------------------------------------
// A padded plane for each held channel, twice: a step reads one and writes the other. A thread takes
// strips of ROWS cells of one column, so that neighbours in a warp read neighbours in memory.

constexpr int PITCH = W + 2 * REACH, SIZE = (H + 2 * REACH) * PITCH, ROWS = 4;
constexpr int STRIPS = (H + ROWS - 1) / ROWS * W;

__device__ __forceinline__ int folded(int at, int length) {   // where a cell beyond an edge is
    if (BOUNDARY == PERIODIC) {
        while (at < 0) at += length;
        while (at >= length) at -= length;
        return at;
    }
    if (BOUNDARY == ZERO) return at < 0 || at >= length ? -1 : at;
    while (at < 0 || at >= length) at = at < 0 ? -1 - at : 2 * length - 1 - at;
    return at;
}

struct SharedCell {
    const float* planes;   // at the cell itself
    const float* parameters;
    const Item& item;
    int cell_number;
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        return planes[k * SIZE + dy * PITCH + dx];
    }
    __device__ __forceinline__ float param(int n) const { return parameters[n]; }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + cell_number);
    }
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const { return cell_number; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
    __device__ __forceinline__ float unit(float x) const { return least(positive(x), 1.0f); }
    __device__ __forceinline__ float scaled(float scale, float x, float other) const {
        return scale * x + other;
    }
};

__device__ __forceinline__ void refresh(float* plane) {   // the cells beyond the edge
    constexpr int BESIDE = 2 * REACH * H, BEYOND = 2 * REACH * PITCH;
    for (int n = threadIdx.x; n < BESIDE + BEYOND; n += THREADS) {
        int y, x;
        if (n < BEYOND) {
            y = n / PITCH, x = n % PITCH;
            if (y >= REACH) y += H;
        } else {
            y = REACH + (n - BEYOND) / (2 * REACH + !REACH), x = (n - BEYOND) % (2 * REACH + !REACH);
            if (x >= REACH) x += W;
        }
        const int from_y = folded(y - REACH, H), from_x = folded(x - REACH, W);
        plane[y * PITCH + x] = from_y < 0 || from_x < 0
                                   ? 0.0f
                                   : plane[(from_y + REACH) * PITCH + from_x + REACH];
    }
}

// Features of one snapshot, by a whole block, of values that `value(channel, y, x)` gives.
template <class Value_>
__device__ __forceinline__ void features_of(Value_ value, float* features, float threshold,
                                            int thread, int threads) {
    if (PLAIN) {
        if (C == 4 && ALIGNED) {
            for (int cell = thread; cell < H * W; cell += threads) {
                const int y = cell / W, x = cell % W;
                reinterpret_cast<float4*>(features)[cell] = make_float4(
                    value(0, y, x), value(1, y, x), value(2, y, x), value(3, y, x));
            }
        } else {
            for (int n = thread; n < H * W * C; n += threads)
                features[n] = value(n % C, n / C / W, n / C % W);
        }
        return;
    }
    for (int r = 0; r < READ; ++r) {
        const int c = read_channel(r);
        float* out = features + static_cast<long long>(r) * CHANNEL_FEATURES;
        if (POOL > 0) {
            pooled([&](int y, int x) { return value(c, y, x); }, out, thread / 8, threads / 8,
                   thread % 8, threshold);
            continue;
        }
        for (int cell = thread; cell < H * W; cell += threads) {
            const float seen = value(c, cell / W, cell % W);
            for (int sign = 0; sign < SIGNS; ++sign)
                out[sign * PLANE + cell] = rectified(seen, sign, threshold);
        }
    }
}

#ifdef SHARED
extern "C" __global__ void __launch_bounds__(THREADS)
fused_shared(INPUTS, const int* times, int snapshots, float threshold, float* out,
             long long items) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* now = reinterpret_cast<float*>(shared);
    float* after = now + K * SIZE;
    float* parameters = after + K * SIZE;
    const Item item(in, blockIdx.x);
    for (int n = threadIdx.x; n < PARAMETERS; n += THREADS) parameters[n] = item.params[n];
    for (int cell = threadIdx.x; cell < H * W; cell += THREADS)
        for (int k = 0; k < K; ++k) {
            const int place = k * SIZE + (cell / W + REACH) * PITCH + cell % W + REACH;
            now[place] = after[place] = item.encoded(held(k), cell);
        }
    __syncthreads();
    for (int k = 0; k < K; ++k)
        if (neighboured(k)) refresh(now + k * SIZE), refresh(after + k * SIZE);
    __syncthreads();

    unsigned done = 0;
    for (int snapshot = 0; snapshot < snapshots; ++snapshot) {
        for (const unsigned until = __ldg(times + snapshot); done < until; ++done) {
            for (int strip = threadIdx.x; strip < STRIPS; strip += THREADS) {
                const int top = strip / W * ROWS, x = strip % W;
                const float* planes = now + (top + REACH) * PITCH + x + REACH;
                float next[ROWS][K];
#pragma unroll
                for (int i = 0; i < ROWS; ++i)
                    if (H % ROWS == 0 || top + i < H)
                        rule(SharedCell{planes + i * PITCH, parameters, item, (top + i) * W + x,
                                        done},
                             next[i]);
#pragma unroll
                for (int i = 0; i < ROWS; ++i)
#pragma unroll
                    for (int k = 0; k < K; ++k)
                        if (written(k) && (H % ROWS == 0 || top + i < H))
                            after[k * SIZE + (top + i + REACH) * PITCH + x + REACH] = next[i][k];
            }
            __syncthreads();
            if (REACH > 0) {
                for (int k = 0; k < K; ++k)
                    if (neighboured(k) && written(k)) refresh(after + k * SIZE);
                __syncthreads();
            }
            float* swap = now;
            now = after, after = swap;
        }
        features_of(
            [&](int c, int y, int x) {
                return held_as(c) >= 0
                           ? now[held_as(c) * SIZE + (y + REACH) * PITCH + x + REACH]
                           : item.encoded(c, y * W + x);
            },
            out + (blockIdx.x * static_cast<long long>(snapshots) + snapshot) * SNAPSHOT_FEATURES,
            threshold, threadIdx.x, THREADS);
    }
}
#endif

// -- large textures, step by step -----------------------------------------------------------------

#ifdef PLANES
constexpr int WIDE = 256;   // threads of a block of the kernels below

extern "C" __global__ void encode(INPUTS, float* to) {
    const Inputs in = GIVEN;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    for (int k = 0; k < K; ++k)
        to[(blockIdx.y * static_cast<long long>(K) + k) * PLANE + cell] =
            item.encoded(held(k), static_cast<int>(cell));
}

struct PlaneCell {
    const float* planes;
    const Item& item;
    int y, x;
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        const int from_y = dy == 0 ? y : folded(y + dy, H), from_x = dx == 0 ? x : folded(x + dx, W);
        if (BOUNDARY == ZERO && (from_y < 0 || from_x < 0)) return 0.0f;
        return planes[k * PLANE + from_y * W + from_x];
    }
    __device__ __forceinline__ float param(int n) const { return __ldg(item.params + n); }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + y * W + x);
    }
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const { return y * W + x; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
    __device__ __forceinline__ float unit(float x) const { return least(positive(x), 1.0f); }
    __device__ __forceinline__ float scaled(float scale, float x, float other) const {
        return scale * x + other;
    }
};

extern "C" __global__ void advance_plain(INPUTS, const float* from, float* to, unsigned done) {
    const Inputs in = GIVEN;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    const long long planes = blockIdx.y * (K * PLANE);
    float next[K];
    const int y = static_cast<int>(cell / W), x = static_cast<int>(cell % W);
    rule(PlaneCell{from + planes, item, y, x, done}, next);
#pragma unroll
    for (int k = 0; k < K; ++k)
        to[planes + k * PLANE + cell] = written(k) ? next[k] : from[planes + k * PLANE + cell];
}

extern "C" __global__ void probe(INPUTS, const float* planes, int snapshot, int snapshots,
                                 float threshold, float* out) {
    const Inputs in = GIVEN;
    const Item item(in, blockIdx.y);
    const float* own = planes + blockIdx.y * (K * PLANE);
    features_of(
        [&](int c, int y, int x) {
            return held_as(c) >= 0 ? own[held_as(c) * PLANE + y * W + x]
                                   : item.encoded(c, y * W + x);
        },
        out + (blockIdx.y * static_cast<long long>(snapshots) + snapshot) * SNAPSHOT_FEATURES,
        threshold, blockIdx.x * WIDE + threadIdx.x, gridDim.x * WIDE);
}
#endif
