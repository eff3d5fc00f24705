// Large textures, in several launches: encode, steps, probe. Planes are (items, K, H, STRIDE), of
// whose rows the first W cells are used.

constexpr int WIDE = 256;   // threads of a block of the kernels below
constexpr long long ROOM = static_cast<long long>(H) * STRIDE;   // of a plane

// Where a cell is in its plane.
__device__ __forceinline__ int at_cell(int y, int x) { return y * STRIDE + x; }

extern "C" __global__ void encode(INPUTS, float* to) {
    const Inputs in = GIVEN;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    const int n = static_cast<int>(cell), place = STRIDE == W ? n : at_cell(n / W, n % W);
    for (int k = 0; k < K; ++k)
        to[(blockIdx.y * static_cast<long long>(K) + k) * ROOM + place] = item.encoded(held(k), n);
}

extern "C" __global__ void probe(INPUTS, const float* planes, int snapshot, int snapshots,
                                 float threshold, float* out) {
    const Inputs in = GIVEN;
    const Item item(in, blockIdx.y);
    const float* own = planes + blockIdx.y * (K * ROOM);
    features_of(
        [&](int c, int y, int x) {
            return held_as(c) >= 0 ? own[held_as(c) * ROOM + at_cell(y, x)]
                                   : item.encoded(c, y * W + x);
        },
        out + (blockIdx.y * static_cast<long long>(snapshots) + snapshot) * SNAPSHOT_FEATURES,
        threshold, blockIdx.x * WIDE + threadIdx.x, gridDim.x * WIDE);
}

#if DRIVEN
// Adds input `t`, and what textures are at the end.
extern "C" __global__ void drive(INPUTS, const float* from, float* to, int t SEQUENCE) {
    const Sequence sequence = DRIVE;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const int n = static_cast<int>(cell), place = at_cell(n / W, n % W);
    for (int k = 0; k < K; ++k) {
        const long long at = (blockIdx.y * static_cast<long long>(K) + k) * ROOM + place;
        to[at] = drives(k) < 0 ? from[at] : sequence.driven(k, from[at], blockIdx.y, t, n);
    }
}

extern "C" __global__ void leave_planes(INPUTS, const float* planes, int t SEQUENCE) {
    const Inputs in = GIVEN;
    const Sequence sequence = DRIVE;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    const int n = static_cast<int>(cell), place = at_cell(n / W, n % W);
    const float* own = planes + blockIdx.y * (K * ROOM);
    for (int c = 0; c < C; ++c)
        sequence.cell(blockIdx.y, n)[c] =
            held_as(c) >= 0 ? own[held_as(c) * ROOM + place] : item.encoded(c, n);
}
#endif
