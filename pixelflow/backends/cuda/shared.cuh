// Everything in one launch, all cells in shared memory: for rules that look far. Each held channel
// has a padded plane, twice: a step reads one and writes the other.

constexpr int PITCH = W + 2 * REACH, SIZE = (H + 2 * REACH) * PITCH;
constexpr int BELOW = (BANDS * BAND - H) * PITCH;  // what strips may read beyond a copy's last plane
constexpr int MARGIN = SIZE - H * W;        // cells beyond the edge

struct SharedCell : Exact {
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
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const { return cell_number; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

// Where a cell of the texture is in its plane.
__device__ __forceinline__ int placed(int y, int x) { return (y + REACH) * PITCH + x + REACH; }

// Lists the cells beyond the edge: where each is in its plane, and above 16 bits, which one it shows.
__device__ __forceinline__ void list_margin(unsigned* margin) {
    constexpr int BESIDE = 2 * REACH > 0 ? 2 * REACH : 1, BEYOND = 2 * REACH * PITCH;
    for (int n = threadIdx.x; n < MARGIN; n += THREADS) {
        int y, x;
        if (n < BEYOND) {
            y = n / PITCH - REACH, x = n % PITCH - REACH;
            if (y >= 0) y += H;
        } else {
            y = (n - BEYOND) / BESIDE, x = (n - BEYOND) % BESIDE - REACH;
            if (x >= 0) x += W;
        }
        const int from_y = within<H, REACH>(y), from_x = within<W, REACH>(x);
        margin[n] = placed(y, x) | static_cast<unsigned>(placed(from_y, from_x)) << 16;
    }
}

// Before a step: what no step writes need be shown once, in each of the two copies, from when it was
// changed, `since` steps ago.
__device__ __forceinline__ void refresh(float* planes, const unsigned* margin, unsigned since) {
    for (int n = threadIdx.x; n < MARGIN; n += THREADS) {
        const unsigned to = margin[n] & 0xffff, from = margin[n] >> 16;
        float shown[K];
#pragma unroll
        for (int k = 0; k < K; ++k)
            if (neighboured(k)) shown[k] = BOUNDARY == ZERO ? 0.0f : planes[k * SIZE + from];
#pragma unroll
        for (int k = 0; k < K; ++k)
            if (neighboured(k) && (since < 2 || (written(k) && BOUNDARY != ZERO)))
                planes[k * SIZE + to] = shown[k];
    }
}

// One step of a strip's cells; what lies beyond the last row is computed of whatever is there.
__device__ __forceinline__ void step_strip(const float* now, float* after, const float* parameters,
                                           const Item& item, int strip, unsigned done) {
    const int x = strip % W, top = first_row(strip);
    float next[R][K];
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + i * ROW_STRIDE, cell = (WHOLE ? y : min(y, H - 1)) * W + x;
        rule(SharedCell{{}, now + placed(top, x) + i * ROW_STRIDE * PITCH, parameters, item, cell, done},
             next[i]);
    }
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int k = 0; k < K; ++k)
            if (written(k) && (WHOLE || top + i * ROW_STRIDE < H))
                after[k * SIZE + placed(top, x) + i * ROW_STRIDE * PITCH] = next[i][k];
}

// The encoded texture, read many values at once. Only what no step writes is needed in both copies.
__device__ __forceinline__ void load_planes(const Item& item, float* now, float* after) {
    constexpr int CELLS = K < 16 ? 16 / K : 1;
    for (int first = threadIdx.x; first < H * W; first += CELLS * THREADS) {
        float values[CELLS][K];
#pragma unroll
        for (int i = 0; i < CELLS; ++i)
#pragma unroll
            for (int k = 0; k < K; ++k)
                values[i][k] = item.given(held(k), min(first + i * THREADS, H * W - 1));
#pragma unroll
        for (int i = 0; i < CELLS; ++i) {
            const int cell = first + i * THREADS;
            if (cell >= H * W) break;
            const int place = placed(cell / W, cell % W);
#pragma unroll
            for (int k = 0; k < K; ++k) {
                const float value = squashed(values[i][k]);
                now[k * SIZE + place] = value;
                if (!written(k)) after[k * SIZE + place] = value;
            }
        }
    }
}

// Steps `done` to `until`; nothing but steps has changed the planes for `since` of them.
__device__ __forceinline__ void advance_planes(float*& now, float*& after, const float* parameters,
                                               const unsigned* margin, const Item& item,
                                               unsigned& done, unsigned& since, unsigned until) {
    for (; done < until; ++done, ++since) {
        if (REACH > 0) {
            refresh(now, margin, since);
            __syncthreads();
        }
        for (int strip = threadIdx.x; strip < STRIPS; strip += THREADS)
            step_strip(now, after, parameters, item, strip, done);
        __syncthreads();
        float* swap = now;
        now = after, after = swap;
    }
}

__device__ __forceinline__ void drive_planes(float* now, float* after, const Sequence& sequence,
                                             int t) {
    for (int cell = threadIdx.x; cell < H * W; cell += THREADS) {
        const int place = placed(cell / W, cell % W);
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (drives(k) < 0) continue;
            const float value = sequence.driven(k, now[k * SIZE + place], blockIdx.x, t, cell);
            now[k * SIZE + place] = value;
            if (!written(k)) after[k * SIZE + place] = value;
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
fused_shared(INPUTS, const int* times, int snapshots, float threshold, float* out,
             long long items SEQUENCE) {
    const Inputs in = GIVEN;
    const Sequence sequence = DRIVE;
    const int turns = DRIVEN ? snapshots * sequence.inputs : snapshots;
    extern __shared__ float4 shared[];
    float* now = reinterpret_cast<float*>(shared);
    float* after = now + K * SIZE + BELOW;
    float* parameters = after + K * SIZE;
    unsigned* margin = reinterpret_cast<unsigned*>(parameters + PARAMETERS);
    const Item item(in, blockIdx.x);
    load_planes(item, now, after);
    if (DRIVEN || __ldg(times + snapshots - 1) > 0) {
        for (int n = threadIdx.x; n < PARAMETERS; n += THREADS) parameters[n] = item.params[n];
        list_margin(margin);
    }
    __syncthreads();

    const auto value = [&](int c, int y, int x) {
        return held_as(c) >= 0 ? now[held_as(c) * SIZE + placed(y, x)]
                               : item.encoded(c, y * W + x);
    };
    unsigned done = 0, since = 0;
    for (int snapshot = 0; snapshot < turns; ++snapshot) {
        unsigned until = __ldg(times + (DRIVEN ? snapshot % snapshots : snapshot));
        if constexpr (DRIVEN) {
            const int t = snapshot / snapshots;
            if (snapshot % snapshots == 0) {
                advance_planes(now, after, parameters, margin, item, done, since,
                               t * sequence.steps);
                __syncthreads();  // all have read
                drive_planes(now, after, sequence, t);
                since = 0;
            }
            until += t * sequence.steps;
        }
        advance_planes(now, after, parameters, margin, item, done, since, until);
        features_of(value, out + (blockIdx.x * static_cast<long long>(turns) + snapshot) *
                                     SNAPSHOT_FEATURES,
                    threshold, threadIdx.x, THREADS);
    }
    if constexpr (DRIVEN) {
        advance_planes(now, after, parameters, margin, item, done, since,
                       sequence.inputs * sequence.steps);
        for (int n = threadIdx.x; n < H * W * C; n += THREADS)
            sequence.cell(blockIdx.x, n / C)[n % C] = value(n % C, n / C / W, n / C % W);
    }
}
