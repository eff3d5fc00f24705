// Everything in one launch, all cells in shared memory: for rules that look far. Each held channel
// has a padded plane, twice: a step reads one and writes the other. A thread takes strips of ROWS
// cells of one column, so that neighbours in a warp read neighbours in memory.

constexpr int PITCH = W + 2 * REACH, SIZE = (H + 2 * REACH) * PITCH, ROWS = 4;
constexpr int STRIPS = (H + ROWS - 1) / ROWS * W;

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
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const { return cell_number; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
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
                        rule(SharedCell{{}, planes + i * PITCH, parameters, item, (top + i) * W + x,
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
