// Large textures, in several launches: encode, steps, probe. Planes are (items, K, H, W).

constexpr int WIDE = 256;   // threads of a block of the kernels below

extern "C" __global__ void encode(INPUTS, float* to) {
    const Inputs in = GIVEN;
    const long long cell = blockIdx.x * static_cast<long long>(WIDE) + threadIdx.x;
    if (cell >= PLANE) return;
    const Item item(in, blockIdx.y);
    for (int k = 0; k < K; ++k)
        to[(blockIdx.y * static_cast<long long>(K) + k) * PLANE + cell] =
            item.encoded(held(k), static_cast<int>(cell));
}

extern "C" __global__ void probe(INPUTS, const float* planes, int snapshot, int snapshots,
                                 float threshold, float* out) {
    const Inputs in = GIVEN;
    const Item item(in, blockIdx.y);
    const float* own = planes + blockIdx.y * (K * PLANE);
    features_of(
        [&](int c, int y, int x) {
            return held_as(c) >= 0 ? own[held_as(c) * PLANE + y * W + x]
                                   : item.encoded(c, y * W + x);
        },
        out + (blockIdx.y * static_cast<long long>(snapshots) + snapshot) * SNAPSHOT_FEATURES,
        threshold, blockIdx.x * WIDE + threadIdx.x, gridDim.x * WIDE);
}
