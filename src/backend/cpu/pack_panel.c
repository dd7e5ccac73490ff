/* pack_panel.c: 16 rows of a matrix as the file has them -> one panel. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/half.h"
#include "quant/quant.h"

enum {
    CHUNK = 256,      /* values of a row unpacked at a time; a multiple of every block */
    SCALES = 16,      /* blocks of Q8_0 whose scales are converted together */
    Q8_0_BYTES = 34,  /* f16 scale, int8 q[32] */
    Q8_0_BLOCK = 576, /* of ST_SHAPE_32 */
    SIGN = 128        /* panels hold weight + 128, which is the weight with its sign bit turned */
};

/* Whether one of n half floats is NaN or infinity. */
static bool panel_has_bad_halves(const uint16_t *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7c00u) == 0x7c00u;
    return bad;
}

/* Whether one of n values of 2 or 4 bytes has all the bits of its exponent. */
static bool panel_has_bad_floats(const void *p, size_t n, st_pack_kind kind)
{
    uint32_t bad = 0;
    if (kind == ST_PACK_F32) {
        const uint32_t *x = p;
        for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7f800000u) == 0x7f800000u;
        return bad;
    }
    if (kind == ST_PACK_F16) return panel_has_bad_halves(p, n);
    const uint16_t *x = p;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7f80u) == 0x7f80u;
    return bad;
}

/* Row i of the panel, or NULL past the part's last row. */
static const uint8_t *panel_source_row(const st_part *part, uint32_t panel, uint32_t i)
{
    uint32_t r = panel * 16 + i;
    if (r >= part->n) return NULL;
    return part->m->data + (size_t)(part->row + r) * st_mat_row_bytes(part->m);
}

static void pack_float_rows(const st_packed *p, const st_part *part, uint32_t panel, size_t first, uint8_t *dst)
{
    size_t size = p->kind == ST_PACK_F32 ? 4 : 2;
    for (uint32_t i = 0; i < 16; i++) {
        const uint8_t *src = panel_source_row(part, panel, i);
        uint8_t *d = dst + i * size;
        for (size_t x = first; x < p->k; x++) {
            if (!src)
                memset(d + x * 16 * size, 0, size);
            else
                memcpy(d + x * 16 * size, src + x * size, size);
        }
    }
}

/* Two columns of 16-bit values in a dword of each row, interleaved by dwords -> one after the other. */
static void panel_split_pairs(const uint32_t pairs[128], uint16_t *dst)
{
    for (uint32_t g = 0; g < 8; g++)
        for (uint32_t i = 0; i < 16; i++) {
            dst[32 * g + i] = (uint16_t)pairs[16 * g + i];
            dst[32 * g + 16 + i] = (uint16_t)(pairs[16 * g + i] >> 16);
        }
}

/* The whole blocks of 8 dwords of a row. */
static bool pack_floats(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel, uint8_t *dst)
{
    size_t per_block = p->kind == ST_PACK_F32 ? 8 : 16, row = st_mat_row_bytes(part->m);
    uint32_t blocks = panel_source_row(part, panel, 15) ? (uint32_t)(p->k / per_block) : 0;
    const uint8_t *src = panel_source_row(part, panel, 0);
    if (p->kind == ST_PACK_F32 && blocks) {
        kern->interleave(src, row, 32, blocks, 0, dst, 512);
    } else {
        for (uint32_t b = 0; b < blocks; b++) {
            uint32_t pairs[128];
            kern->interleave(src + 32 * (size_t)b, row, 32, 1, 0, (uint8_t *)pairs, 512);
            panel_split_pairs(pairs, (uint16_t *)(void *)(dst + 512 * (size_t)b));
        }
    }
    pack_float_rows(p, part, panel, blocks * per_block, dst);
    return !panel_has_bad_floats(dst, (size_t)p->k * 16, p->kind);
}

/* Q8_0 has the integers already. */
static bool pack_q8_0(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel, uint8_t *dst)
{
    const uint8_t *src = panel_source_row(part, panel, 0);
    size_t row = st_mat_row_bytes(part->m);
    uint32_t blocks = p->k / 32;
    bool bad = false;
    kern->interleave(src + 2, row, Q8_0_BYTES, blocks, SIGN, dst, Q8_0_BLOCK);
    for (uint32_t b = 0; b < blocks; b += SCALES) {
        uint32_t n = blocks - b < SCALES ? blocks - b : SCALES;
        uint16_t d[SCALES][16];
        float scale[SCALES][16];
        for (uint32_t i = 0; i < 16; i++)
            for (uint32_t j = 0; j < n; j++) memcpy(&d[j][i], src + i * row + (size_t)(b + j) * Q8_0_BYTES, 2);
        bad |= panel_has_bad_halves(d[0], (size_t)n * 16);
        kern->f16_to_f32(d[0], scale[0], (size_t)n * 16);
        for (uint32_t j = 0; j < n; j++) memcpy(dst + (size_t)(b + j) * Q8_0_BLOCK + 512, scale[j], 64);
    }
    return !bad;
}

/* Blocks are narrowed eight bytes at a time; compilers make vectors of it. */
enum { STEP = 8, WORDS = 8 * STEP }; /* words of a step, and of a block */

static inline uint64_t panel_every_byte(unsigned x)
{
    return x * 0x0101010101010101u;
}

/* `bits` of each byte from `shift` on, at the bottom of the byte. */
static inline uint64_t panel_bits_at(uint64_t x, int shift, int bits)
{
    return x >> shift & panel_every_byte((1u << bits) - 1);
}

/* Such bits of a block's steps, side by side in the bytes of dst: 8 / bits steps in 64 bytes. */
static inline void panel_gather_bits(const uint64_t q[WORDS], int shift, int bits, uint8_t *dst)
{
    const int per = 8 / bits;
    for (int g = 0; g < 8; g += per)
        for (int i = 0; i < STEP; i++, dst += 8) {
            uint64_t x = 0;
            for (int h = 0; h < per; h++) x |= panel_bits_at(q[STEP * (g + h) + i], shift, bits) << h * bits;
            memcpy(dst, &x, 8);
        }
}

/* Four bits of steps 0..3 in the low halves of bytes, of steps 4..7 in the high ones. */
static inline void panel_gather_nibbles(const uint64_t q[WORDS], int shift, uint8_t *dst)
{
    for (int i = 0; i < WORDS / 2; i++, dst += 8) {
        const uint64_t x = panel_bits_at(q[i], shift, 4) | panel_bits_at(q[WORDS / 2 + i], shift, 4) << 4;
        memcpy(dst, &x, 8);
    }
}

/* A block of weights + 128 -> its narrow form (kernels.h). */
static void panel_narrow_weights(const st_panel_form *f, const uint64_t w[WORDS], uint8_t *dst)
{
    const uint64_t offset = panel_every_byte(128u - f->zero);
    uint64_t q[WORDS];
    for (int i = 0; i < WORDS; i++) q[i] = w[i] - offset; /* every byte is at least that: none borrows */
    panel_gather_nibbles(q, 0, dst);
    if (f->width == ST_WIDTH_5)
        panel_gather_bits(q, 4, 1, dst + 256);
    else if (f->width == ST_WIDTH_6)
        panel_gather_bits(q, 4, 2, dst + 256);
}

/* A block of weights + 128 -> their upper five bits and their lower three. */
static void panel_split_weights(const uint64_t w[WORDS], uint8_t *dst, uint8_t *low)
{
    panel_gather_nibbles(w, 3, dst);
    panel_gather_bits(w, 7, 1, dst + 256);
    panel_gather_bits(w, 0, 2, low);
    panel_gather_bits(w, 2, 1, low + 128);
}

/* Q8_0 in two places; its scales stay f16. Rows past the part's last are zero. */
static bool pack_split(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel, uint8_t *dst)
{
    enum { ROW = CHUNK / 32 * Q8_0_BYTES };
    static const uint8_t none[ROW];
    const size_t block_bytes = st_form_block_bytes(&p->form);
    uint8_t *low = p->apart + panel * st_form_apart(&p->form, p->k / 32);
    bool bad = false;
    for (uint32_t k0 = 0; k0 < p->k; k0 += CHUNK) {
        const uint32_t n = p->k - k0 < CHUNK ? p->k - k0 : CHUNK;
        uint8_t rows[16][ROW];
        uint64_t w[CHUNK / 32][WORDS];
        for (uint32_t i = 0; i < 16; i++) {
            const uint8_t *src = panel_source_row(part, panel, i);
            memcpy(rows[i], src ? src + (size_t)k0 / 32 * Q8_0_BYTES : none, (size_t)n / 32 * Q8_0_BYTES);
        }
        kern->interleave(rows[0] + 2, ROW, Q8_0_BYTES, n / 32, SIGN, (uint8_t *)w[0], sizeof w[0]);
        for (uint32_t b = 0; b < n / 32; b++, dst += block_bytes, low += ST_LOW_BYTES) {
            uint16_t d[16];
            panel_split_weights(w[b], dst, low);
            for (uint32_t i = 0; i < 16; i++) memcpy(&d[i], rows[i] + (size_t)b * Q8_0_BYTES, 2);
            bad |= panel_has_bad_halves(d, 16);
            memcpy(dst + st_width_bytes(ST_WIDTH_5_3), d, sizeof d);
        }
    }
    return !bad;
}

static void panel_put_tail(const st_panel_form *f, float x, uint8_t *tail, uint32_t at)
{
    switch (f->tails) {
    case ST_TAILS_F32: memcpy(tail + 4 * at, &x, 4); break;
    case ST_TAILS_F16: {
        uint16_t h = st_f32_to_f16(x);
        memcpy(tail + 2 * at, &h, 2);
        break;
    }
    case ST_TAILS_I8: tail[at] = (uint8_t)(int8_t)x; break;
    }
}

/* Unpacks a K-quant's block with factors of 1, which leaves the integers of its scales and minima; the factors ->
 * apart.
 */
static void panel_unpack_integers(const st_quant *quant, const uint8_t *src, int8_t *q, float *scale, float *min,
                                  uint16_t *apart)
{
    enum { MOST = 256, ONE = 0x3c00 };
    uint8_t block[MOST];
    uint32_t n = quant->has_min ? 2 : 1;
    memcpy(block, src, quant->bytes);
    for (uint32_t i = 0; i < n; i++) {
        const uint16_t one = ONE;
        memcpy(apart + 16 * (size_t)i, block + quant->scale_at + 2 * (size_t)i, 2);
        memcpy(block + quant->scale_at + 2 * (size_t)i, &one, 2);
    }
    quant->unpack(block, q, scale, min, quant->block);
}

/* Any quantised type, by its exact unpacking. */
static bool pack_ints(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel, uint8_t *dst)
{
    const st_quant *quant = st_quant_get(part->m->type);
    const st_panel_form *f = &p->form;
    uint32_t k = p->k, group = quant->group, per_block = 32 / group;
    size_t block_bytes = st_form_block_bytes(f), weights = st_width_bytes(f->width);
    uint8_t *apart = f->tails == ST_TAILS_I8 ? p->apart + panel * st_form_apart(f, k / 32) : NULL;
    bool bad = false;
    for (uint32_t k0 = 0; k0 < k; k0 += CHUNK, dst += CHUNK / 32 * block_bytes) {
        uint32_t n = k - k0 < CHUNK ? k - k0 : CHUNK, groups = n / group;
        int8_t q[16][CHUNK];
        uint64_t w[CHUNK / 32][WORDS];
        float scale[16][CHUNK / 16], min[16][CHUNK / 16];
        uint16_t factors[32] = {0};
        for (uint32_t i = 0; i < 16; i++) {
            const uint8_t *src = panel_source_row(part, panel, i);
            if (src) src += (size_t)k0 / quant->block * quant->bytes;
            if (src && apart) {
                panel_unpack_integers(quant, src, q[i], scale[i], min[i], factors + i);
            } else if (src) {
                quant->unpack(src, q[i], scale[i], min[i], n);
            } else {
                memset(q[i], 0, sizeof q[i]);
                memset(scale[i], 0, sizeof scale[i]);
                memset(min[i], 0, sizeof min[i]);
            }
        }
        if (f->width == ST_WIDTH_8) {
            kern->interleave((const uint8_t *)q, CHUNK, 32, n / 32, SIGN, dst, block_bytes);
        } else {
            kern->interleave((const uint8_t *)q, CHUNK, 32, n / 32, SIGN, (uint8_t *)w[0], sizeof w[0]);
            for (uint32_t b = 0; b < n / 32; b++) panel_narrow_weights(f, w[b], dst + b * block_bytes);
        }
        if (apart) {
            bad |= panel_has_bad_halves(factors, 32);
            memcpy(apart, factors, st_super_bytes(f->shape));
            apart += st_super_bytes(f->shape);
        }
        for (uint32_t i = 0; i < 16; i++) {
            bad |= panel_has_bad_floats(scale[i], groups, ST_PACK_F32);
            if (quant->has_min) bad |= panel_has_bad_floats(min[i], groups, ST_PACK_F32);
        }
        for (uint32_t g = 0; g < groups; g++) {
            uint8_t *tail = dst + g / per_block * block_bytes + weights;
            uint32_t at = g % per_block * 16;
            for (uint32_t i = 0; i < 16; i++) panel_put_tail(f, scale[i][g], tail, at + i);
            for (uint32_t i = 0; i < 16 && quant->has_min; i++)
                panel_put_tail(f, min[i][g], tail, 16 * per_block + at + i);
        }
    }
    return !bad;
}

bool st_pack_panel(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel)
{
    uint8_t *dst = p->panels + (size_t)panel * p->panel_bytes;
    if (p->kind != ST_PACK_I8) return pack_floats(kern, p, part, panel, dst);
    if (p->form.width == ST_WIDTH_5_3) return pack_split(kern, p, part, panel, dst);
    if (part->m->type == ST_Q8_0 && panel_source_row(part, panel, 15)) return pack_q8_0(kern, p, part, panel, dst);
    return pack_ints(kern, p, part, panel, dst);
}
