// A thread keeps a patch of R x P cells in registers. It gets the columns beside it by shuffles from
// the threads beside it, and the rows above and below through shared memory, the exchange.
//
// The last patches of a whole texture may reach over its edge, by PAD_Y rows and PAD_X columns. What
// they hold there is never written, and read only after it was replaced by what lies beyond the edge.

constexpr int ROW_LANES = (BW + P - 1) / P;     // threads side by side in a row of patches
constexpr int WARP_ROWS = 32 / ROW_LANES;       // rows of patches in a warp
constexpr int GROUPS = (BH + R - 1) / R;        // rows of patches in a texture, or a tile of one
constexpr int ROW = ROW_LANES * P;              // cells of a row of patches
constexpr int PAD_X = ROW - BW, PAD_Y = GROUPS * R - BH;
constexpr int EDGE = (UP + DOWN) * ROW;         // what a row of patches shows to those beside it
constexpr int EXCHANGE = VERTICALS * SLOTS * GROUPS * EDGE;

struct Patch {
    float s[K][R][P];
    float medium[MEDIA > 0 ? MEDIA : 1][R][P];
    float parameters[PARAMETERS > 0 ? PARAMETERS : 1];
    int ys[R], xs[P];         // where the cells are in the texture
    int lane, left, right;    // in the warp: this thread, and those beside it
    int column, group;        // the patch's place in its texture or tile
    int slot;                 // which of the block's textures
    int shown, above, below;  // rows of patches in the exchange: this one, and those around it
    bool active, first_column, last_column, first_row, last_row;  // at the texture's own edge
};

// A row of a patch to memory whose rows lie PITCH apart.
template <int PITCH, int N>
__device__ __forceinline__ void put(float* to, const float (&from)[N]) {
    if constexpr (N % 4 == 0 && PITCH % 4 == 0) {
#pragma unroll
        for (int j = 0; j < N; j += 4)
            *reinterpret_cast<float4*>(to + j) =
                make_float4(from[j], from[j + 1], from[j + 2], from[j + 3]);
    } else {
#pragma unroll
        for (int j = 0; j < N; ++j) to[j] = from[j];
    }
}

// A row of a patch from memory whose rows lie PITCH apart. Patches of 4 cells begin at multiples of 4,
// but for those of a tile that reaches over the edge of a row of another length.
template <int PITCH, int N>
__device__ __forceinline__ void get(float (&to)[N], const float* row, const int (&xs)[N]) {
    if constexpr (N == 4 && PITCH % 4 == 0) {
        if (W % 4 == 0 || (xs[0] % 4 == 0 && xs[3] == xs[0] + 3)) {
            const float4 cells = *reinterpret_cast<const float4*>(row + xs[0]);
            to[0] = cells.x, to[1] = cells.y, to[2] = cells.z, to[3] = cells.w;
            return;
        }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) to[j] = row[xs[j]];
}

constexpr int BLOCK_GROUPS = SLOTS * GROUPS;

// The first row of patches of this thread's warp.
__device__ __forceinline__ int first_group() { return threadIdx.x / 32 * WARP_ROWS; }

// Which edges of a tile are the texture's own.
struct Edges { bool top, bottom, left, right; };

// This thread's patch of a texture, or of a tile that begins at row `top` and column `start`.
__device__ __forceinline__ Patch placed(int top, int start, Edges edges) {
    Patch p;
    p.lane = threadIdx.x % 32;
    p.column = p.lane % ROW_LANES;
    const int base = p.lane - p.column, warp_row = p.lane / ROW_LANES;
    p.active = warp_row < WARP_ROWS && first_group() + warp_row < BLOCK_GROUPS;
    p.shown = min(first_group() + min(warp_row, WARP_ROWS - 1), BLOCK_GROUPS - 1);
    p.slot = p.shown / GROUPS;
    p.group = p.shown % GROUPS;
    p.left = base + (p.column == 0 ? ROW_LANES - 1 : p.column - 1);
    p.right = base + (p.column == ROW_LANES - 1 ? 0 : p.column + 1);
    p.above = p.shown + (p.group == 0 ? GROUPS - 1 : -1);
    p.below = p.shown - (p.group == GROUPS - 1 ? GROUPS - 1 : -1);
    p.first_column = p.column == 0 && edges.left;
    p.last_column = p.column == ROW_LANES - 1 && edges.right;
    p.first_row = p.group == 0 && edges.top;
    p.last_row = p.group == GROUPS - 1 && edges.bottom;
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
    return p;
}

// Whether a cell of a patch is one of the texture.
__device__ __forceinline__ bool holds(const Patch& p, int i, int j) {
    return (PAD_Y == 0 || i < R - PAD_Y || !p.last_row) &&
           (PAD_X == 0 || j < P - PAD_X || !p.last_column);
}

// What does not change while a patch evolves.
__device__ __forceinline__ void load_fixed(Patch& p, const Item& item) {
#pragma unroll
    for (int n = 0; n < PARAMETERS; ++n) p.parameters[n] = __ldg(item.params + n);
#pragma unroll
    for (int q = 0; q < MEDIA; ++q)
#pragma unroll
        for (int i = 0; i < R; ++i)
            get<W>(p.medium[q][i], item.media + q * PLANE + p.ys[i] * W, p.xs);
}

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
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const { return patch.ys[i] * W + patch.xs[j]; }
    __device__ __forceinline__ unsigned key() const { return item.key; }

    __device__ __forceinline__ float scaled(float scale, float x, float other) const {
        return IN_RANGE ? __fmaf_rn(scale, x, other) : Exact().scaled(scale, x, other);
    }
    // Clipped to [0, 1] and flushed; in range the clip comes with the addition before it, and the
    // flush is left to the end of the step, where few steps have anything to flush.
    __device__ __forceinline__ float unit(float x) const {
        if (!IN_RANGE) return Exact().unit(x);
        x = __saturatef(x);
        least_bits = __viaddmin_u32(__float_as_uint(x), ~0u, least_bits);
        return x;
    }
};

// The columns beside a row of a patch, from the threads beside this one.
template <int N>
__device__ __forceinline__ void sides(const Patch& p, float (&row)[N]) {
#pragma unroll
    for (int q = 1; q <= LEFT; ++q) {
        const float shown =
            PAD_X > 0 && p.last_column ? row[LEFT + P - PAD_X - q] : row[LEFT + P - q];
        const float value = __shfl_sync(~0u, shown, p.left);
        row[LEFT - q] = BOUNDARY == PERIODIC || !p.first_column ? value
                        : BOUNDARY == REFLECT                   ? row[LEFT + q - 1]
                                                                : 0.0f;
    }
#pragma unroll
    for (int q = 1; q <= RIGHT; ++q) {
        const float value = __shfl_sync(~0u, row[LEFT + q - 1], p.right);
        const float beside = BOUNDARY == PERIODIC || !p.last_column ? value
                             : BOUNDARY == REFLECT                  ? row[LEFT + P - PAD_X - q]
                                                                    : 0.0f;
        row[LEFT + P + q - 1] = beside;
        if (PAD_X > 0 && p.last_column) row[LEFT + P - PAD_X + q - 1] = beside;
    }
}

using Window = float[K][UP + R + DOWN][LEFT + P + RIGHT];   // a patch and what surrounds it

// Shows the patch's outer rows to the threads above and below.
__device__ __forceinline__ void show(const Patch& p, float* exchange) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
        if (vertical(k) < 0 || !p.active) continue;
        float* edge = exchange + (vertical(k) * BLOCK_GROUPS + p.shown) * EDGE;
#pragma unroll
        for (int q = 0; q < UP; ++q) {
            float row[P];
#pragma unroll
            for (int j = 0; j < P; ++j)
                row[j] = PAD_Y > 0 && p.last_row ? p.s[k][R - PAD_Y - UP + q][j]
                                                 : p.s[k][R - UP + q][j];
            put<ROW>(edge + q * ROW, row);
        }
#pragma unroll
        for (int q = 0; q < DOWN; ++q) put<ROW>(edge + (UP + q) * ROW, p.s[k][q]);
    }
}

// The rows above and below one channel's patch, which others have shown.
__device__ __forceinline__ void look(const Patch& p, const float* exchange, int k,
                                     float (&w)[UP + R + DOWN][LEFT + P + RIGHT]) {
    const float* from = exchange + vertical(k) * BLOCK_GROUPS * EDGE;
#pragma unroll
    for (int q = 0; q < UP; ++q)
#pragma unroll
        for (int j = 0; j < P; ++j) {
            const float value = GROUPS == 1 ? p.s[k][R - PAD_Y - UP + q][j]
                                            : from[p.above * EDGE + q * ROW + j];
            w[q][LEFT + j] = BOUNDARY == PERIODIC || !p.first_row ? value
                             : BOUNDARY == REFLECT                ? p.s[k][UP - 1 - q][j]
                                                                  : 0.0f;
        }
#pragma unroll
    for (int q = 0; q < DOWN; ++q)
#pragma unroll
        for (int j = 0; j < P; ++j) {
            const float value =
                GROUPS == 1 ? p.s[k][q][j] : from[p.below * EDGE + (UP + q) * ROW + j];
            const float below = BOUNDARY == PERIODIC || !p.last_row ? value
                                : BOUNDARY == REFLECT ? p.s[k][R - PAD_Y - 1 - q][j]
                                                      : 0.0f;
            w[UP + R + q][LEFT + j] = below;
            if (PAD_Y > 0 && p.last_row) w[UP + R - PAD_Y + q][LEFT + j] = below;
        }
}

// The window of a patch; `exchange` alternates between two halves, so that one barrier a step is
// enough.
__device__ __forceinline__ void fill(Window& w, const Patch& p, float* exchange, unsigned done) {
    float* half = exchange + (done & 1) * EXCHANGE + p.column * P;
    if (EXCHANGE > 0 && GROUPS > 1) {
        show(p, half);
        __syncthreads();
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < P; ++j) w[k][UP + i][LEFT + j] = p.s[k][i][j];
        if (vertical(k) >= 0) look(p, half, k, w[k]);
        if (!horizontal(k)) continue;
#pragma unroll
        for (int i = 0; i < UP + R + DOWN; ++i)
            if ((i >= UP && i < UP + R) || diagonal(k)) sides(p, w[k][i]);
    }
}

template <bool IN_RANGE>
__device__ __forceinline__ void step_patch(Patch& p, const Item& item, float* exchange,
                                           unsigned done) {
    Window w;
    fill(w, p, exchange, done);
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
            if (bound(k) >= 0.0f && holds(p, n / P, n % P))
                inside = inside && fabsf(p.s[k][n / P][n % P]) <= bound(k);
    return inside;
}

// Steps `done` to `until`, with shortcuts as soon as all numbers are in range.
__device__ __forceinline__ void advance_patch(Patch& p, const Item& item, float* exchange,
                                              unsigned& done, unsigned until) {
    if constexpr (SHORTCUTS) {
        while (done < until && !__syncthreads_and(in_range(p)))
            step_patch<false>(p, item, exchange, done++);
#pragma unroll 1
        for (; done < until; ++done)
            step_patch<true>(p, item, exchange, done);
    } else {
#pragma unroll 1
        for (; done < until; ++done)
            step_patch<false>(p, item, exchange, done);
    }
}
