// What an encoder's local map does after its matrix product (n, H W, M, C): adds the bias of each
// member and channel, squashes, and puts members first, (n, M, H W, C).

extern "C" __global__ void squash(const float* product, const float* bias, float* out, int samples,
                                  int members, int cells, int channels, float low, float high,
                                  int rooted) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= cells * channels) return;
    const int cell = i / channels, channel = i % channels;
    for (long long n = blockIdx.z; n < samples; n += gridDim.z)
        for (long long m = blockIdx.y; m < members; m += gridDim.y) {
            const long long from = (n * cells + cell) * members + m;
            float value = product[from * channels + channel] + bias[m * channels + channel];
            value = value < low ? low : value > high ? high : value;  // NaN stays
            out[(n * members + m) * cells * channels + i] = rooted ? sqrtf(value) : value;
        }
}
