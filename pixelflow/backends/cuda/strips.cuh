// A thread takes a strip of R cells of one column, so that neighbours in a warp read neighbours in
// memory. They are as far apart as the rule's reads, so that what one of them reads another has read
// already.

constexpr int BAND = R * ROW_STRIDE;   // rows that ROW_STRIDE strips cover
constexpr int BANDS = (H + BAND - 1) / BAND;
constexpr int STRIPS = BANDS * ROW_STRIDE * W;
constexpr bool WHOLE = BANDS * BAND == H;   // else some strips reach beyond the texture's last row

__device__ __forceinline__ int first_row(int strip) {
    return strip / W / ROW_STRIDE * BAND + strip / W % ROW_STRIDE;
}
