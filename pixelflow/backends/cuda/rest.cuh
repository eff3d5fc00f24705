// Textures until they rest, in one launch: each block takes a texture, whose cells lie in shared
// memory. Channels that a step writes lie there twice: a step reads one copy and writes the other.
// Channels that no step writes lie there once, if neighbours read them, and else stay in memory.
//
// A step computes the cells that may change: those that read one which changed in the step before. All
// others hold the same value in both copies. A rule that knows the time computes every cell.

constexpr int CELLS = H * W;
constexpr int WORDS = (W + 31) / 32;   // of a row of a mask, which has a bit for each cell
constexpr int MASK = H * WORDS;

struct RestCell : Exact {
    const float* now;      // the channels that steps write
    const float* fixed;    // those that neighbours read and no step writes
    const float* parameters;
    const Item& item;
    int y, x;
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        if (copy_of(k) < 0 && fixed_as(k) < 0) return item.encoded(held(k), y * W + x);
        const int from_y = dy == 0 ? y : within<H, REACH>(y + dy);
        const int from_x = dx == 0 ? x : within<W, REACH>(x + dx);
        if (BOUNDARY == ZERO && (from_y < 0 || from_x < 0)) return 0.0f;
        const float* plane = copy_of(k) >= 0 ? now + copy_of(k) * CELLS : fixed + fixed_as(k) * CELLS;
        return plane[from_y * W + from_x];
    }
    __device__ __forceinline__ float param(int n) const { return parameters[n]; }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + y * W + x);
    }
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const { return y * W + x; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

// The bits of word `w` of a row that stand for columns.
__device__ __forceinline__ unsigned columns_of(int w) {
    return w == WORDS - 1 && W % 32 ? (1u << W % 32) - 1 : ~0u;
}
// The bits of word `w` for the columns from `first` to `last`, the latter not among them.
__device__ __forceinline__ unsigned between(int first, int last, int w) {
    const int from = max(first - 32 * w, 0), to = min(last - 32 * w, 32);
    if (from >= 32 || to <= from) return 0;
    return (to == 32 ? ~0u : (1u << to) - 1) & ~((1u << from) - 1);
}
// The columns of word `w` from which a rule may read beyond the sides.
__device__ __forceinline__ unsigned sides(int w) {
    return (between(0, REACH, w) | between(W - REACH, W, w)) & columns_of(w);
}

// Which cells of word `w` of row `y` read a changed cell that is DY rows and DX columns away. Where
// they read beyond a side, one changed cell near any side counts for all of them.
template <int DY, int DX>
__device__ __forceinline__ unsigned near_change(const unsigned* changed, int y, int w) {
    const int from = DY == 0 ? y : within<H, REACH>(y + DY);
    if (BOUNDARY == ZERO && from < 0) return 0;
    const unsigned* row = changed + from * WORDS;
    if constexpr (DX == 0) return row[w];
    unsigned found = 0;
    if constexpr (DX > 0)
        found = row[w] >> DX | (w + 1 < WORDS ? row[w + 1] << (32 - DX) : 0);
    if constexpr (DX < 0)
        found = row[w] << -DX | (w > 0 ? row[w - 1] >> (32 + DX) : 0);
    if (BOUNDARY != ZERO && sides(w) != 0) {
        unsigned beside = 0;
        for (int n = 0; n < WORDS; ++n) beside |= row[n] & sides(n);
        if (beside != 0) found |= sides(w);
    }
    return found & columns_of(w);
}
__device__ __forceinline__ unsigned may_change(const unsigned* changed, int y, int w);   // a cell each

// Lists the cells that may change.
__device__ __forceinline__ void list_cells(const unsigned* changed, unsigned short* cells,
                                           int* listed) {
    for (int word = threadIdx.x; word < MASK; word += THREADS) {
        const int y = word / WORDS, w = word % WORDS;
        unsigned bits = may_change(changed, y, w);
        if (bits == 0) continue;
        int place = atomicAdd(listed, __popc(bits));
        for (; bits != 0; bits &= bits - 1) cells[place++] = y * W + 32 * w + __ffs(bits) - 1;
    }
}

__device__ __forceinline__ double difference(float a, float b) {
    const double d = static_cast<double>(a) - static_cast<double>(b);
    return d < 0.0 ? -d : d;
}
// A difference as a number of which atomics find the largest; NaN is above all others.
__device__ __forceinline__ unsigned long long ordered(double d) {
    return d == d ? __double_as_longlong(d) : ~0ull >> 1;
}

// What a block has in shared memory.
struct Room {
    unsigned long long* largest;   // changes, of three steps
    int* listed;                   // how many cells are listed, in two steps
    float *now, *after, *fixed, *parameters;
    unsigned* changed;             // two masks
    unsigned short* cells;         // the list

    __device__ __forceinline__ explicit Room(float4* shared) {
        largest = reinterpret_cast<unsigned long long*>(shared);
        listed = reinterpret_cast<int*>(largest + 3);
        now = reinterpret_cast<float*>(listed + 2);
        after = now + COPIED * CELLS;
        fixed = after + COPIED * CELLS;
        parameters = fixed + FIXED * CELLS;
        changed = reinterpret_cast<unsigned*>(parameters + PARAMETERS);
        cells = reinterpret_cast<unsigned short*>(changed + 2 * MASK);
    }
};

__device__ __forceinline__ void load_room(const Room& room, const Item& item) {
    for (int n = threadIdx.x; n < PARAMETERS; n += THREADS) room.parameters[n] = item.params[n];
    for (int n = threadIdx.x; n < 2 * MASK; n += THREADS) room.changed[n] = 0;
    if (threadIdx.x < 3) room.largest[threadIdx.x] = 0;
    if (threadIdx.x < 2) room.listed[threadIdx.x] = 0;
    for (int cell = threadIdx.x; cell < CELLS; cell += THREADS) {
        if (SKIPS) room.cells[cell] = cell;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (copy_of(k) >= 0) room.now[copy_of(k) * CELLS + cell] = item.encoded(held(k), cell);
            if (fixed_as(k) >= 0) room.fixed[fixed_as(k) * CELLS + cell] = item.encoded(held(k), cell);
        }
    }
    __syncthreads();
}

// One step of `n` listed cells, or of all; the largest change, where it is asked for.
__device__ __forceinline__ unsigned long long step_cells(const Room& room, const Item& item,
                                                         unsigned done, int n, bool measures) {
    unsigned long long largest = 0;
    unsigned* changed = room.changed + done % 2 * MASK;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const int cell = SKIPS ? room.cells[i] : i, y = cell / W, x = cell % W;
        float next[K];
        rule(RestCell{{}, room.now, room.fixed, room.parameters, item, y, x, done}, next);
        bool differs = false;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (copy_of(k) < 0) continue;
            const int place = copy_of(k) * CELLS + cell;
            const float before = room.now[place];
            room.after[place] = next[k];
            // Infinities and NaN are changes, because their difference from themselves is NaN.
            const bool finite = fabsf(next[k]) < __int_as_float(0x7f800000);
            differs |= !finite || __float_as_uint(before) != __float_as_uint(next[k]);
            if (measures) {
                const unsigned long long change = ordered(difference(next[k], before));
                largest = change > largest ? change : largest;
            }
        }
        if (SKIPS && differs) atomicOr(changed + y * WORDS + x / 32, 1u << x % 32);
    }
    return largest;
}

__device__ __forceinline__ bool rests(double change, double tol) {   // or has diverged
    return !(change > tol && change < __int_as_float(0x7f800000));
}

extern "C" __global__ void __launch_bounds__(THREADS)
rest(INPUTS, float* ended, long long* counts, double* changes, unsigned every, unsigned most,
     double tol) {
    const Inputs in = GIVEN;
    const Item item(in, blockIdx.x);
    extern __shared__ float4 shared[];
    Room room(shared);
    unsigned done = counts[blockIdx.x];
    double change = changes[blockIdx.x];
    if (done > 0 && rests(change, tol)) return;   // in an earlier launch
    load_room(room, item);
    for (int n = CELLS; done < most;) {
        const unsigned checked = most - done <= every - done % every ? most
                                                                      : done + every - done % every;
        if (n == 0) {   // nothing will change until the next check
            done = checked, change = 0.0;
            break;
        }
        const bool measures = done + 1 == checked;
        unsigned long long* largest = room.largest + done % 3;
        if (threadIdx.x == 0) room.largest[(done + 1) % 3] = 0;
        const unsigned long long own = step_cells(room, item, done, n, measures);
        if (measures) atomicMax(largest, own);
        __syncthreads();
        float* swap = room.now;
        room.now = room.after, room.after = swap;
        if (measures) change = __longlong_as_double(*largest);
        if (measures && rests(change, tol)) {
            ++done;
            break;
        }
        if (SKIPS) {
            const unsigned turn = done % 2;
            list_cells(room.changed + turn * MASK, room.cells, room.listed + turn);
            for (int i = threadIdx.x; i < MASK; i += THREADS) room.changed[(1 - turn) * MASK + i] = 0;
            if (threadIdx.x == 0) room.listed[1 - turn] = 0;
            __syncthreads();
            n = room.listed[turn];
        }
        ++done;
    }
    if (threadIdx.x == 0) counts[blockIdx.x] = done, changes[blockIdx.x] = change;
    for (int cell = threadIdx.x; cell < CELLS; cell += THREADS)
        for (int c = 0; c < C; ++c) {
            const int copy = held_as(c) >= 0 ? copy_of(held_as(c)) : -1;
            ended[(blockIdx.x * PLANE + cell) * C + c] =
                copy >= 0 ? room.now[copy * CELLS + cell] : item.encoded(c, cell);
        }
}
