// Textures until they rest, in one launch: each block takes a texture, whose cells lie in shared
// memory. Channels that a step writes lie there twice: a step reads one copy and writes the other.
// Channels that no step writes lie there once, if neighbours read them, and else stay in memory.
//
// A step computes the cells that may change: those that read one which changed in the step before. All
// others hold the same value in both copies. A step computes every cell where most may change, and
// where the rule knows the time.

constexpr int CELLS = H * W;
constexpr int PITCH = W + 2 * REACH, SIZE = (H + 2 * REACH) * PITCH;   // of a plane with its margins
constexpr int DENSE = CELLS / 2;       // cells that may change, from which a step computes every cell
constexpr int DENSE_STEPS = 8;         // of which the first finds out which cells have changed
constexpr int WORDS = (W + 31) / 32;   // of a row of a mask, which has a bit for each cell
constexpr int MASK = H * WORDS;

struct RestCell : Exact {
    const float* now;      // the channels that steps write, at the cell itself
    const float* fixed;    // those that neighbours read and no step writes
    const float* parameters;
    const Item& item;
    int number;            // of the cell
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        if (copy_of(k) >= 0) return now[copy_of(k) * SIZE + dy * PITCH + dx];
        if (fixed_as(k) >= 0) return fixed[fixed_as(k) * SIZE + dy * PITCH + dx];
        return item.encoded(held(k), number);
    }
    __device__ __forceinline__ float param(int n) const { return parameters[n]; }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + number);
    }
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const { return number; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

// Where a cell is in its plane.
__device__ __forceinline__ int placed(int y, int x) { return (y + REACH) * PITCH + x + REACH; }

// Where a margin shows a row or column, before the first and behind the last.
template <int LENGTH> __device__ __forceinline__ int shown_before(int at) {
    return BOUNDARY == PERIODIC ? at - LENGTH : -1 - at;
}
template <int LENGTH> __device__ __forceinline__ int shown_behind(int at) {
    return BOUNDARY == PERIODIC ? at + LENGTH : 2 * LENGTH - 1 - at;
}

// Writes a cell, and all places in the margins that show it.
__device__ __forceinline__ void put(float* plane, int y, int x, bool inner, float value) {
    plane[placed(y, x)] = value;
    if (BOUNDARY == ZERO || inner) return;
    const int ys[3] = {y, shown_before<H>(y), shown_behind<H>(y)};
    const int xs[3] = {x, shown_before<W>(x), shown_behind<W>(x)};
#pragma unroll
    for (int n = 1; n < 9; ++n) {
        const int to_y = ys[n / 3], to_x = xs[n % 3];
        if (to_y >= -REACH && to_y < H + REACH && to_x >= -REACH && to_x < W + REACH)
            plane[placed(to_y, to_x)] = value;
    }
}

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
        after = now + COPIED * SIZE;
        fixed = after + COPIED * SIZE;
        parameters = fixed + FIXED * SIZE;
        changed = reinterpret_cast<unsigned*>(parameters + PARAMETERS);
        cells = reinterpret_cast<unsigned short*>(changed + 2 * MASK);
    }
};

__device__ __forceinline__ void load_room(const Room& room, const Item& item) {
    for (int n = threadIdx.x; n < PARAMETERS; n += THREADS) room.parameters[n] = item.params[n];
    for (int n = threadIdx.x; n < 2 * MASK; n += THREADS) room.changed[n] = 0;
    if (threadIdx.x < 3) room.largest[threadIdx.x] = 0;
    if (threadIdx.x < 2) room.listed[threadIdx.x] = 0;
    for (int place = threadIdx.x; place < SIZE; place += THREADS) {
        const int y = within<H, REACH>(place / PITCH - REACH);
        const int x = within<W, REACH>(place % PITCH - REACH);
        const bool outside = y < 0 || x < 0;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (copy_of(k) < 0 && fixed_as(k) < 0) continue;
            const float value = outside ? 0.0f : item.encoded(held(k), y * W + x);
            if (fixed_as(k) >= 0) room.fixed[fixed_as(k) * SIZE + place] = value;
            if (copy_of(k) >= 0) {
                room.now[copy_of(k) * SIZE + place] = value;
                room.after[copy_of(k) * SIZE + place] = value;
            }
        }
    }
    __syncthreads();
}

// One step of `n` listed cells, or of all; the largest change, where it is asked for. Where it
// `tracks`, it marks the cells that change.
__device__ __forceinline__ unsigned long long step_cells(const Room& room, const Item& item,
                                                         unsigned done, int n, bool measures,
                                                         bool tracks, unsigned* changed) {
    unsigned long long largest = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const int cell = n < CELLS ? room.cells[i] : i, y = cell / W, x = cell % W;
        const int place = placed(y, x);
        const bool inner = y >= REACH && y < H - REACH && x >= REACH && x < W - REACH;
        float next[K];
        rule(RestCell{{}, room.now + place, room.fixed + place, room.parameters, item, cell, done},
             next);
        bool differs = false;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (copy_of(k) < 0) continue;
            const float before = room.now[copy_of(k) * SIZE + place];
            put(room.after + copy_of(k) * SIZE, y, x, inner || !neighboured(k), next[k]);
            // Infinities and NaN are changes, because their difference from themselves is NaN.
            const bool finite = fabsf(next[k]) < __int_as_float(0x7f800000);
            differs |= !finite || __float_as_uint(before) != __float_as_uint(next[k]);
            if (measures) {
                const unsigned long long change = ordered(difference(next[k], before));
                largest = change > largest ? change : largest;
            }
        }
        if (tracks && differs) atomicOr(changed + y * WORDS + x / 32, 1u << x % 32);
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
    int turn = 0;   // of masks and lists
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
        const bool tracks = SKIPS && (n < CELLS || done % DENSE_STEPS == 0);
        const unsigned long long own = step_cells(room, item, done, n, measures, tracks,
                                                  room.changed + turn * MASK);
        if (measures) atomicMax(largest, own);
        __syncthreads();
        float* swap = room.now;
        room.now = room.after, room.after = swap;
        if (measures) change = __longlong_as_double(*largest);
        if (measures && rests(change, tol)) {
            ++done;
            break;
        }
        if (tracks) {
            list_cells(room.changed + turn * MASK, room.cells, room.listed + turn);
            for (int i = threadIdx.x; i < MASK; i += THREADS) room.changed[(1 - turn) * MASK + i] = 0;
            if (threadIdx.x == 0) room.listed[1 - turn] = 0;
            __syncthreads();
            n = room.listed[turn] < DENSE ? room.listed[turn] : CELLS;
            turn = 1 - turn;
        }
        ++done;
    }
    if (threadIdx.x == 0) counts[blockIdx.x] = done, changes[blockIdx.x] = change;
    for (int cell = threadIdx.x; cell < CELLS; cell += THREADS)
        for (int c = 0; c < C; ++c) {
            const int copy = held_as(c) >= 0 ? copy_of(held_as(c)) : -1;
            ended[(blockIdx.x * PLANE + cell) * C + c] =
                copy >= 0 ? room.now[copy * SIZE + placed(cell / W, cell % W)]
                          : item.encoded(c, cell);
        }
}
