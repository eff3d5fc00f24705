// What is read from a texture, and how it is pooled.

constexpr int GRID = POOL > 0 ? POOL : 1;
constexpr int CHANNEL_FEATURES = SIGNS * (POOL > 0 ? POOL * POOL : H * W);
constexpr long long SNAPSHOT_FEATURES = static_cast<long long>(READ) * CHANNEL_FEATURES;

__device__ __forceinline__ float rectified(float value, int sign, float threshold) {
    if (SIGNS == 1) return value;
    const float over = (sign == 0 ? value : -value) - threshold;
    return over <= 0.0f ? 0.0f : over;   // NaN stays
}

__device__ __forceinline__ void join(float& total, float value) {
    if (MEAN) total += value;
    else if (!(total >= value)) total = value;   // NaN wins
}

// Means or maxima of planes over a POOL x POOL grid, by a team of 8 threads for each cell of the grid
// of each plane; `value(plane, y, x)` is a cell. Features of one sign follow those of the other.
template <int PLANES, class Value>
__device__ __forceinline__ void pooled(Value value, float* features, float threshold, int thread,
                                       int threads) {
    constexpr int CELLS = GRID * GRID;
    const int team = thread / 8, mate = thread % 8;
    for (int o = team; o - team < PLANES * CELLS; o += threads / 8) {
        const bool inside = o < PLANES * CELLS;
        const int plane = inside ? o / CELLS : 0, cell = inside ? o % CELLS : 0;
        const int a = cell / GRID, b = cell % GRID;
        const int top = a * H / GRID, bottom = ((a + 1) * H + GRID - 1) / GRID;
        const int first = b * W / GRID, last = ((b + 1) * W + GRID - 1) / GRID;
        float total[SIGNS];
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign)
            total[sign] = MEAN ? 0.0f : -__int_as_float(0x7f800000);
        for (int y = top; y < bottom; ++y)
            for (int x = first + mate; x < last; x += 8) {
                const float seen = value(plane, y, x);
#pragma unroll
                for (int sign = 0; sign < SIGNS; ++sign)
                    join(total[sign], rectified(seen, sign, threshold));
            }
#pragma unroll
        for (int sign = 0; sign < SIGNS; ++sign) {
#pragma unroll
            for (int hop = 4; hop > 0; hop /= 2)
                join(total[sign], __shfl_xor_sync(~0u, total[sign], hop));
            if (mate == 0 && inside)
                features[plane * CHANNEL_FEATURES + sign * CELLS + cell] =
                    MEAN ? total[sign] * __frcp_rn((bottom - top) * (last - first)) : total[sign];
        }
    }
}

// Features of one snapshot, by many threads, of values that `value(channel, y, x)` gives.
template <class Values>
__device__ __forceinline__ void features_of(Values value, float* features, float threshold,
                                            int thread, int threads) {
    if (PLAIN) {
        if (C == 4 && ALIGNED) {
            for (int cell = thread; cell < H * W; cell += threads) {
                const int y = cell / W, x = cell % W;
                reinterpret_cast<float4*>(features)[cell] = make_float4(
                    value(0, y, x), value(1, y, x), value(2, y, x), value(3, y, x));
            }
        } else {
            for (int n = thread; n < H * W * C; n += threads)
                features[n] = value(n % C, n / C / W, n / C % W);
        }
        return;
    }
    if (POOL > 0) {
        pooled<READ>([&](int r, int y, int x) { return value(read_channel(r), y, x); }, features,
                     threshold, thread, threads);
        return;
    }
    for (int r = 0; r < READ; ++r) {
        const int c = read_channel(r);
        float* out = features + static_cast<long long>(r) * CHANNEL_FEATURES;
        for (int cell = thread; cell < H * W; cell += threads) {
            const float seen = value(c, cell / W, cell % W);
            for (int sign = 0; sign < SIGNS; ++sign)
                out[sign * PLANE + cell] = rectified(seen, sign, threshold);
        }
    }
}
