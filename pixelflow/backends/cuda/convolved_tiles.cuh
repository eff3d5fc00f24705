// One step of large textures by rules that convolve: a block has a tile of one, and what is around it.

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
advance_convolved(INPUTS, const float* from, float* to, unsigned done) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* const weights = reinterpret_cast<float*>(shared);
    float* const tile = weights + WEIGHTS;
    const Item item(in, blockIdx.z);
    const int top = blockIdx.y * BH, start = blockIdx.x * BW;
    const long long planes = blockIdx.z * (K * PLANE);
    load_weights(item, weights);
    constexpr int ACROSS = LEFT + BW + RIGHT;
    for (int n = threadIdx.x; n < (UP + BH + DOWN) * ACROSS; n += THREADS) {
        const int y = folded(top + n / ACROSS - UP, H), x = folded(start + n % ACROSS - LEFT, W);
        float cell[K] = {};
#pragma unroll
        for (int k = 0; k < K; ++k)
            if (y >= 0 && x >= 0) cell[k] = from[planes + k * PLANE + y * W + x];
        leave<K, lanes_of(K)>(tile + n / ACROSS * LINE + n % ACROSS * K, cell);
    }
    __syncthreads();
    if (threadIdx.x >= STRIPS * BH) return;
    const int y = threadIdx.x % BH, x = threadIdx.x / BH * P;
    float sums[CONVOLVED][P], next[P][K];
    convolve_all<false>(tile, y, x, weights, sums);
#pragma unroll
    for (int j = 0; j < P; ++j)
        rule(ConvolvedCell{{}, tile, sums, item, top, start, y, x, j, done}, next[j]);
#pragma unroll
    for (int k = 0; k < K; ++k)
#pragma unroll
        for (int j = 0; j < P; ++j) {
            if (x + j >= BW || top + y >= H || start + x + j >= W) continue;
            to[planes + k * PLANE + (top + y) * W + start + x + j] =
                written(k) ? next[j][k] : row_of(tile, y)[(LEFT + x + j) * K + k];
        }
}
