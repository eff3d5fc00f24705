// One step of large textures, a thread for each strip: for rules that look too far for tiles.

struct PlaneCell : Exact {
    const float* planes;
    const Item& item;
    int y, x;
    unsigned done;

    __device__ __forceinline__ float read(int k, int dy, int dx) const {
        const int from_y = dy == 0 ? y : within<H, REACH>(y + dy);
        const int from_x = dx == 0 ? x : within<W, REACH>(x + dx);
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
    __device__ __forceinline__ unsigned step() const { return item.first + done; }
    __device__ __forceinline__ unsigned cell() const { return y * W + x; }
    __device__ __forceinline__ unsigned key() const { return item.key; }
};

extern "C" __global__ void advance_plain(INPUTS, const float* from, float* to, unsigned done) {
    const Inputs in = GIVEN;
    const unsigned strip = blockIdx.x * WIDE + threadIdx.x;
    if (strip >= STRIPS) return;
    const Item item(in, blockIdx.y);
    const long long planes = blockIdx.y * (K * PLANE);
    const int x = strip % W, top = first_row(strip);
    float next[R][K];
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + i * ROW_STRIDE;
        rule(PlaneCell{{}, from + planes, item, WHOLE ? y : min(y, H - 1), x, done}, next[i]);
    }
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + i * ROW_STRIDE;
        if (!WHOLE && y >= H) break;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            const long long place = planes + k * PLANE + y * W + x;
            to[place] = written(k) ? next[i][k] : from[place];
        }
    }
}
