// What an encoder's local map does beside its matrix product, a thread for each cell of an input.
// Before it, `windows` writes what the cell sees, (n, T, cells), divided by its deviation; after it,
// `squash` makes latent values (n, M, cells, C) of the products (n, M, C, cells).

extern "C" __global__ void windows(const float* inputs, const int* window, float* seen, int samples,
                                   int values, int taps, int cells, float contrast) {
    const int cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= cells) return;
    for (long long n = blockIdx.y; n < samples; n += gridDim.y) {
        const float* input = inputs + n * values;
        float* out = seen + n * taps * cells + cell;
        float sum = 0, squares = 0;
        for (int t = 0; t < taps; ++t) {
            const int from = window[t * cells + cell];
            const float value = from < 0 ? 0 : input[from];
            sum += value;
            out[t * cells] = value;
        }
        if (contrast == 0) continue;
        const float mean = sum / taps;
        for (int t = 0; t < taps; ++t) {
            const float deviation = out[t * cells] - mean;
            squares += deviation * deviation;
        }
        const float scale = 1 / sqrtf(squares / taps + contrast * contrast);
        for (int t = 0; t < taps; ++t) out[t * cells] *= scale;
    }
}

extern "C" __global__ void squash(const float* products, const float* bias, float* out, int samples,
                                  int members, int channels, int cells, float low, float high,
                                  int rooted) {
    const int cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= cells) return;
    for (long long n = blockIdx.y; n < samples; n += gridDim.y)
        for (int m = blockIdx.z; m < members; m += gridDim.z) {
            const long long first = (n * members + m) * channels * cells;
            for (int c = 0; c < channels; ++c) {
                float value = products[first + c * cells + cell] + bias[m * channels + c];
                value = value < low ? low : value > high ? high : value;  // NaN stays
                out[first + cell * channels + c] = rooted ? sqrtf(value) : value;
            }
        }
}
