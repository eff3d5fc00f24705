// Several steps of a tile of a large texture, the cells in registers (temporal blocking). A tile's
// margin goes stale by the rule's reach a step, except at the texture's own edge; what is written
// back is what is not.

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
advance(INPUTS, const float* from, float* to, unsigned first, unsigned steps,
        int margin_y, int margin_x) {
    const Inputs in = GIVEN;
    extern __shared__ float4 shared[];
    float* exchange = reinterpret_cast<float*>(shared);
    const Item item(in, blockIdx.z);
    const int core_y = BH - (TILED_Y ? 2 * margin_y : 0);
    const int core_x = BW - (TILED_X ? 2 * margin_x : 0);
    const int from_y = blockIdx.y * core_y, from_x = blockIdx.x * core_x;
    // A tile lies inside the texture, but a periodic one may reach over its edge. The edges are not
    // told from `top` and `start`: ptxas 13.0 gets that comparison with a minimum wrong.
    const Edges edges{!TILED_Y || from_y <= margin_y, !TILED_Y || from_y >= H - BH + margin_y,
                      !TILED_X || from_x <= margin_x, !TILED_X || from_x >= W - BW + margin_x};
    int top = TILED_Y ? from_y - margin_y : 0, start = TILED_X ? from_x - margin_x : 0;
    if (BOUNDARY != PERIODIC) {
        top = edges.top ? 0 : edges.bottom ? H - BH : top;
        start = edges.left ? 0 : edges.right ? W - BW : start;
    }
    Patch p = placed(top, start, edges);
    load_fixed(p, item);
    const long long plane = blockIdx.z * (K * ROOM);
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int k = 0; k < K; ++k)
            get<STRIDE>(p.s[k][i], from + plane + k * ROOM + p.ys[i] * STRIDE, p.xs);
    advance_patch(p, item, exchange, first, first + steps);
    if (!p.active) return;
    const int x = start + p.column * P, first_x = TILED_X ? from_x : 0;
    const int last_x = TILED_X ? min(from_x + core_x, W) : W;
    const bool whole = x >= first_x && x + P <= last_x && (W % 4 == 0 || x % 4 == 0);
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int y = top + p.group * R + i;
        if (TILED_Y && (y < from_y || y >= min(from_y + core_y, H))) continue;
        if (PAD_Y > 0 && y >= H) continue;
        float* row = to + plane + at_cell(y, x);
        if (whole) {
#pragma unroll
            for (int k = 0; k < K; ++k) put<STRIDE>(row + k * ROOM, p.s[k][i]);
            continue;
        }
#pragma unroll
        for (int k = 0; k < K; ++k)
#pragma unroll
            for (int j = 0; j < P; ++j)
                if (x + j >= first_x && x + j < last_x) row[k * ROOM + j] = p.s[k][i][j];
    }
}
