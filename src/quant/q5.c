/* q5.c: Q5_0 and Q5_1, 32 values of 5 bits: nibbles as in Q4_0, and the fifth bit of value i in bit i of a word. */
#include "quant/quant_rows.h"

/* Bit i of x -> 16 or 0 in byte i: each byte of a word keeps its bit, and a sum of at most 0xff moves it to the top. */
static uint64_t q5_spread_bits(uint8_t x)
{
    uint64_t v = (x * 0x0101010101010101u & 0x8040201008040201u) + 0x7f7f7f7f7f7f7f7fu;
    return v >> 3 & 0x1010101010101010u;
}

/* Eight values at a time, as bytes of a word; the top bit of each keeps the difference from borrowing. */
static void q5_unpack5(const uint8_t *high, const uint8_t *low, int8_t *q, int offset)
{
    const uint64_t tops = 0x8080808080808080u, offsets = 0x0101010101010101u * (uint64_t)offset;
    uint64_t words[2];
    for (int i = 0; i < 2; i++) words[i] = (uint64_t)st_get_u32(low + 8 * i + 4) << 32 | st_get_u32(low + 8 * i);
    for (int i = 0; i < 4; i++, q += 8) {
        uint64_t v = (words[i % 2] >> i / 2 * 4 & 0x0f0f0f0f0f0f0f0fu) | q5_spread_bits(high[i]);
        v = ((v | tops) - offsets) ^ tops;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        memcpy(q, &v, sizeof v);
#else
        for (int j = 0; j < 8; j++) q[j] = (int8_t)(uint8_t)(v >> 8 * j);
#endif
    }
}

static void q5_pack5(uint8_t *high, uint8_t *low, const uint8_t *q)
{
    uint32_t h = 0;
    for (int i = 0; i < 32; i++) h |= (uint32_t)(q[i] >> 4) << i;
    st_put_u32(high, h);
    for (int i = 0; i < 16; i++) low[i] = (uint8_t)((q[i] & 15) | (q[16 + i] & 15) << 4);
}

/* {f16 d; u8 qh[4], qs[16]}, value = d * (q - 16) */
static void block_q5_0(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = st_get_f16(p);
    q5_unpack5(p + 2, p + 6, q, 16);
}

void st_quantize_q5_0(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[32];
    for (size_t at = 0; at < n; at += 32, p += 22) {
        st_put_f16(p, st_quantize_symmetric(src + at, 16, q));
        q5_pack5(p + 2, p + 6, q);
    }
}

/* {f16 d, m; u8 qh[4], qs[16]}, value = d * q + m */
static void block_q5_1(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    *scale = st_get_f16(p);
    *min = -st_get_f16(p + 2);
    q5_unpack5(p + 4, p + 8, q, 0);
}

void st_quantize_q5_1(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[32];
    for (size_t at = 0; at < n; at += 32, p += 24) {
        float min;
        st_put_f16(p, st_quantize_affine(src + at, 31, q, &min));
        st_put_f16(p + 2, min);
        q5_pack5(p + 4, p + 8, q);
    }
}

ST_QUANT_TYPE(q5_0);
ST_QUANT_TYPE(q5_1);
