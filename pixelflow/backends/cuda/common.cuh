// What every kernel needs. Before this stand the constants of one plan (namespace `plan`: shape,
// encoder, probe, layout), after it `squashed` and the rule as functions; source.py writes both.
// The latent values of a local map come as PRODUCTS, and are squashed as they are read.
//
// An item is one member's texture for one sample. `K` channels are held: those that the rule reads
// or writes. All others stay as the encoder left them.

using namespace plan;

template <class Cell> __device__ __forceinline__ void rule(const Cell& at, float* next);
__device__ __forceinline__ float squashed(float x);   // what becomes of a latent value

constexpr long long PLANE = static_cast<long long>(H) * W;

struct Inputs {
    const Value* latents;       // (n, 1 or M, D_in); PRODUCTS: (M, DEPTH, n, cells)
    long long sample_stride;
    long long member_stride;    // 0 where members share the latents
    long long plane_stride;     // PRODUCTS: from one channel to the next
    const int* index;           // (encoded channels, H, W): which latent, or -1
    const float* params;        // (M, parameters)
    const float* media;         // (M, media, H, W)
    const unsigned* keys;       // (M)
    unsigned first;             // the number of the first step
};

#define INPUTS                                                                          \
    const Value *latents, long long sample_stride, long long member_stride,             \
        long long plane_stride, const int *index, const float *params, const float *media, \
        const unsigned *keys, unsigned first_step
#define GIVEN                                                                           \
    Inputs {                                                                            \
        latents, sample_stride, member_stride, plane_stride, index, params, media, keys, first_step \
    }

__device__ __forceinline__ float loaded(const float* p) { return __ldg(p); }
__device__ __forceinline__ float loaded(const unsigned char* p) {
    return static_cast<float>(__ldg(p)) * PIXEL;
}

// What one item sees of the inputs.
struct Item {
    const Value* latents;
    long long plane_stride;
    const int* index;
    const float* params;
    const float* media;
    unsigned key;
    unsigned first;   // the number of the first step

    __device__ __forceinline__ Item(const Inputs& in, long long item) {
        const long long sample = item / MEMBERS, member = item % MEMBERS;
        latents = in.latents + sample * in.sample_stride + member * in.member_stride;
        plane_stride = in.plane_stride;
        index = in.index;
        params = in.params + member * PARAMETERS;
        media = in.media + member * (MEDIA * H * W);
        key = __ldg(in.keys + member);
        first = in.first;
    }

    // PRODUCTS: one channel of them.
    __device__ __forceinline__ const float* products(int channel) const {
        return reinterpret_cast<const float*>(latents) + channel * plane_stride;
    }
    // Value `place` of DEPTH that the latent values have of a cell.
    __device__ __forceinline__ float latent(int place, int cell) const {
        return PRODUCTS ? __ldg(products(place) + cell) : loaded(latents + cell * DEPTH + place);
    }
    // What a channel's cell gets, to be squashed; a 0 stays one.
    __device__ __forceinline__ float given(int channel, int cell) const {
        if (IDENTITY) return latent(channel, cell);
        if (encodes(channel) < 0) return 0.0f;
        const int source = __ldg(index + encodes(channel) * (H * W) + cell);
        return source >= 0 ? latent(source % DEPTH, source / DEPTH) : 0.0f;
    }
    // The encoded value of a channel's cell.
    __device__ __forceinline__ float encoded(int channel, int cell) const {
        return squashed(given(channel, cell));
    }
};

// Of sequences: what each input adds to a texture, and where the texture is left after the last.
struct Sequence {
    const float* u;         // (n, inputs, COLUMNS)
    int inputs, steps;      // how many inputs, and steps after each
    const int* columns;     // (M, TERMS, DRIVES, H, W)
    const float* weights;
    float* ended;           // (items, H, W, C)

    // The value of held channel `k` in a cell when input `t` has been added to it.
    __device__ __forceinline__ float driven(int k, float x, long long item, int t, int cell) const {
        const float* input = u + (item / MEMBERS * inputs + t) * COLUMNS;
        long long place = (item % MEMBERS * TERMS * DRIVES + drives(k)) * PLANE + cell;
#pragma unroll
        for (int term = 0; term < TERMS; ++term, place += DRIVES * PLANE) {
            const int column = COLUMNS > 1 ? __ldg(columns + place) : 0;
            x = x + __ldg(weights + place) * __ldg(input + column);
            x = fabsf(x) < SMALLEST ? 0.0f : x;
        }
        return x;
    }
    __device__ __forceinline__ float* cell(long long item, int cell) const {
        return ended + (item * PLANE + cell) * C;
    }
};
#if DRIVEN
#define SEQUENCE                                                                        \
    , const float *driving, int inputs, int steps_each, const int *driving_columns,     \
        const float *driving_weights, float *ended
#define DRIVE                                                                           \
    Sequence { driving, inputs, steps_each, driving_columns, driving_weights, ended }
#else
#define SEQUENCE
#define DRIVE                                                                           \
    Sequence {}
#endif

// The smaller and the larger of two, NaN where the first is; the second is finite. The instructions
// tell -0 from +0, which only what an inexact rule calls could tell too.
__device__ __forceinline__ float least(float a, float b) {
#if __CUDA_ARCH__ >= 800
    if (EXACT_RULE) {
        asm("min.NaN.f32 %0, %1, %2;" : "=f"(a) : "f"(a), "f"(b));
        return a;
    }
#endif
    return b < a ? b : a;
}
__device__ __forceinline__ float most(float a, float b) {
#if __CUDA_ARCH__ >= 800
    if (EXACT_RULE) {
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(a) : "f"(a), "f"(b));
        return a;
    }
#endif
    return b > a ? b : a;
}
// The square root, whose code for unusual numbers 0, the most usual one, would take too.
__device__ __forceinline__ float root(float x) {
    const float found = sqrtf(x == 0.0f ? 1.0f : x);
    return x == 0.0f ? x : found;
}
// x * 1 + 0 is x, to the bit; it balances the pipelines better than a second selection.
__device__ __forceinline__ float flushed(float x) {
    return __fmaf_rn(x, fabsf(x) < SMALLEST ? 0.0f : 1.0f, 0.0f);
}
__device__ __forceinline__ float positive(float x) { return x < SMALLEST ? 0.0f : x; }

// What a cell without shortcuts makes of the operations that have one.
struct Exact {
    __device__ __forceinline__ float unit(float x) const { return least(positive(x), 1.0f); }
    __device__ __forceinline__ float scaled(float scale, float x, float other) const {
        return scale * x + other;
    }
};

// Where a cell beyond an edge is; -1 where there is none.
__device__ __forceinline__ int folded(int at, int length) {
    if (BOUNDARY == PERIODIC) {
        while (at < 0) at += length;
        while (at >= length) at -= length;
        return at;
    }
    if (BOUNDARY == ZERO) return at < 0 || at >= length ? -1 : at;
    while (at < 0 || at >= length) at = at < 0 ? -1 - at : 2 * length - 1 - at;
    return at;
}

// The same, at most FAR cells away.
template <int LENGTH, int FAR>
__device__ __forceinline__ int within(int at) {
    if constexpr (FAR == 0) return at;
    else if constexpr (FAR > LENGTH) return folded(at, LENGTH);
    else if constexpr (BOUNDARY == PERIODIC)
        return at < 0 ? at + LENGTH : at >= LENGTH ? at - LENGTH : at;
    else if constexpr (BOUNDARY == ZERO) return at < 0 || at >= LENGTH ? -1 : at;
    else return at < 0 ? -1 - at : at >= LENGTH ? 2 * LENGTH - 1 - at : at;
}
