// What each cell of an input sees, (rows, n, cells): as many values as taps, divided by their deviation, then a
// row of ones, to which a matrix product adds its bias, then rows of zeros. A thread for each cell, which does some
// inputs at once for each number that it reads of the window; values are gathered again rather than written twice.

struct Seen {
    const float* inputs[AT_ONCE];
    float values[AT_ONCE];

    __device__ void gather(int from) {
        for (int s = 0; s < AT_ONCE; ++s) values[s] = from < 0 ? 0 : inputs[s][from];
    }
};

extern "C" __global__ void windows(const float* inputs, const int* window, float* seen, int samples,
                                   int values, int taps, int rows, int cells, float contrast) {
    const int cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= cells) return;
    const long long row = static_cast<long long>(samples) * cells;   // from one row to the next
    for (long long n = static_cast<long long>(blockIdx.y) * AT_ONCE; n < samples; n += gridDim.y * AT_ONCE) {
        const int some = samples - n < AT_ONCE ? static_cast<int>(samples - n) : AT_ONCE;
        Seen now;
        for (int s = 0; s < AT_ONCE; ++s) now.inputs[s] = inputs + (s < some ? n + s : n) * values;
        float scale[AT_ONCE];
        for (int s = 0; s < AT_ONCE; ++s) scale[s] = 1;
        if (contrast != 0) {
            float mean[AT_ONCE] = {}, squares[AT_ONCE] = {};
            for (int t = 0; t < taps; ++t) {
                now.gather(window[t * cells + cell]);
                for (int s = 0; s < AT_ONCE; ++s) mean[s] += now.values[s];
            }
            for (int s = 0; s < AT_ONCE; ++s) mean[s] /= taps;
            for (int t = 0; t < taps; ++t) {
                now.gather(window[t * cells + cell]);
                for (int s = 0; s < AT_ONCE; ++s) {
                    const float deviation = now.values[s] - mean[s];
                    squares[s] += deviation * deviation;
                }
            }
            for (int s = 0; s < AT_ONCE; ++s) scale[s] = 1 / sqrtf(squares[s] / taps + contrast * contrast);
        }
        float* out = seen + n * cells + cell;
        for (int t = 0; t < rows; ++t) {
            if (t < taps) now.gather(window[t * cells + cell]);
            for (int s = 0; s < AT_ONCE; ++s) {
                if (s < some) out[t * row + s * cells] = t < taps ? now.values[s] * scale[s] : t == taps ? 1.0f : 0.0f;
            }
        }
    }
}
