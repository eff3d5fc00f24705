// What each cell of an input sees, (rows, n, cells): as many values as taps, divided by their deviation, then a
// row of ones, to which a matrix product adds its bias, then rows of zeros. A thread for each cell.

extern "C" __global__ void windows(const float* inputs, const int* window, float* seen, int samples,
                                   int values, int taps, int rows, int cells, float contrast) {
    const int cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= cells) return;
    const long long row = static_cast<long long>(samples) * cells;   // from one row to the next
    for (long long n = blockIdx.y; n < samples; n += gridDim.y) {
        const float* input = inputs + n * values;
        float* out = seen + n * cells + cell;
        float sum = 0, squares = 0;
        for (int t = 0; t < taps; ++t) {
            const int from = window[t * cells + cell];
            const float value = from < 0 ? 0 : input[from];
            sum += value;
            out[t * row] = value;
        }
        for (int t = taps; t < rows; ++t) out[t * row] = t == taps ? 1.0f : 0.0f;
        if (contrast == 0) continue;
        const float mean = sum / taps;
        for (int t = 0; t < taps; ++t) {
            const float deviation = out[t * row] - mean;
            squares += deviation * deviation;
        }
        const float scale = 1 / sqrtf(squares / taps + contrast * contrast);
        for (int t = 0; t < taps; ++t) out[t * row] *= scale;
    }
}
