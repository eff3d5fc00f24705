// Several steps of a tile of a large texture, the cells in registers (temporal blocking). A tile's
// margin goes stale by the rule's reach a step, except at the texture's own edge; what is written
// back is what is not.

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
advance(INPUTS, const float* from, float* to, unsigned first, unsigned steps, int margin) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* exchange = reinterpret_cast<float*>(shared);
    const Item item(in, blockIdx.z);
    const int core_y = BH - (TILED_Y ? 2 * margin : 0), core_x = BW - (TILED_X ? 2 * margin : 0);
    const int from_y = blockIdx.y * core_y, from_x = blockIdx.x * core_x;
    // A tile lies inside the texture, but a periodic one may reach over its edge. The edges are not
    // told from `top` and `start`: ptxas 13.0 gets that comparison with a minimum wrong.
    const Edges edges{!TILED_Y || from_y <= margin, !TILED_Y || from_y >= H - BH + margin,
                      !TILED_X || from_x <= margin, !TILED_X || from_x >= W - BW + margin};
    int top = TILED_Y ? from_y - margin : 0, start = TILED_X ? from_x - margin : 0;
    if (BOUNDARY != PERIODIC) {
        top = edges.top ? 0 : edges.bottom ? H - BH : top;
        start = edges.left ? 0 : edges.right ? W - BW : start;
    }
    Patch p = placed(top, start, edges);
    load_fixed(p, item);
    const long long plane = blockIdx.z * (K * PLANE);
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int k = 0; k < K; ++k) get(p.s[k][i], from + plane + k * PLANE + p.ys[i] * W, p.xs);
    advance_patch(p, item, exchange, first, first + steps);
    if (!p.active) return;
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + p.group * R + i;
        if (TILED_Y && (y < from_y || y >= min(from_y + core_y, H))) continue;
        const int x = start + p.column * P, first = TILED_X ? from_x : 0;
        const int last = TILED_X ? min(from_x + core_x, W) : W;
        if constexpr (W % P == 0) {   // cores begin and end between patches
            if (x < first || x >= last) continue;
#pragma unroll
            for (int k = 0; k < K; ++k) put(to + plane + k * PLANE + y * W + x, p.s[k][i]);
        } else {
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int j = 0; j < P; ++j)
                    if (x + j >= first && x + j < last)
                        to[plane + k * PLANE + y * W + x + j] = p.s[k][i][j];
        }
    }
}
