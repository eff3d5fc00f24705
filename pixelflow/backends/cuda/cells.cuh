// One step of large textures, a thread for each cell: for rules that look too far for tiles.

struct PlaneCell : Exact {
    const float* planes;
    const Item& item;
    int y, x;
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        const int from_y = dy == 0 ? y : folded(y + dy, H), from_x = dx == 0 ? x : folded(x + dx, W);
        if (BOUNDARY == ZERO && (from_y < 0 || from_x < 0)) return 0.0f;
        return planes[k * PLANE + from_y * W + from_x];
    }
    // The specification's sum of products; -0 plus any number is that number.
    __device__ __forceinline__ float convolve(int first, int side, int channels) const {
        float total = -0.0f;
        for (int dy = -(side / 2); dy <= side / 2; ++dy)
            for (int dx = -(side / 2); dx <= side / 2; ++dx)
                for (int c = 0; c < channels; ++c)
                    total = total + param(first++) * read(c, dy, dx);
        return total;
    }
    __device__ __forceinline__ float param(int n) const { return __ldg(item.params + n); }
    __device__ __forceinline__ float medium(int q) const {
        return __ldg(item.media + q * PLANE + y * W + x);
    }
    __device__ __forceinline__ unsigned step() const { return done; }
    __device__ __forceinline__ unsigned cell() const { return y * W + x; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

extern "C" __global__ void advance_plain(INPUTS, const float* from, float* to, unsigned done) {
    const Inputs in = GIVEN;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    const long long planes = blockIdx.y * (K * PLANE);
    float next[K];
    const int y = static_cast<int>(cell / W), x = static_cast<int>(cell % W);
    rule(PlaneCell{{}, from + planes, item, y, x, done}, next);
#pragma unroll
    for (int k = 0; k < K; ++k)
        to[planes + k * PLANE + cell] = written(k) ? next[k] : from[planes + k * PLANE + cell];
}
