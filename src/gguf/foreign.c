/* foreign.c: knows other formats by their first bytes, and GGUF files that are no text models by their keys. */
#include "gguf/foreign.h"

#include <string.h>

#include "gguf/cursor.h"

/* ---- files that are not GGUF ------------------------------------------------------------------------------------- */

typedef struct foreign_magic {
    const char *bytes;
    size_t at, n;
    const char *what;
} foreign_magic;

#define CONVERT    "convert its HuggingFace folder to GGUF (tools/convert, llama.cpp's convert_hf_to_gguf.py)"
#define UNPACK     "unpack it first"
#define MAGIC(m)   m, 0, sizeof(m) - 1
#define AT(m, pos) m, pos, sizeof(m) - 1

static const foreign_magic foreign_magics[] = {
    {MAGIC("FUGG"), "a big-endian GGUF file; convert it with gguf-py's gguf_convert_endian"},
    {MAGIC("lmgg"), "an old GGML file, as whisper.cpp still has them: no text model of GGUF"},
    {MAGIC("fmgg"), "a GGML file of early 2023 (GGMF): get or make the model as GGUF"},
    {MAGIC("tjgg"), "a GGML file of 2023 (GGJT): get or make the model as GGUF"},
    {MAGIC("algg"), "a LoRA adapter in the GGML format of 2023"},
    {MAGIC("nsgg"), "a session that llama.cpp saved"},
    {MAGIC("qsgg"), "the state of a sequence that llama.cpp saved"},
    {MAGIC("PK\x05\x06"), "an empty zip archive"},
    {MAGIC("\x1f\x8b"), "a gzip archive: " UNPACK},
    {MAGIC("\x28\xb5\x2f\xfd"), "a zstd archive: " UNPACK},
    {MAGIC("\xfd"
           "7zXZ"),
     "an xz archive: " UNPACK},
    {MAGIC("BZh"), "a bzip2 archive: " UNPACK},
    {MAGIC("7z\xbc\xaf\x27\x1c"), "a 7z archive: " UNPACK},
    {MAGIC("Rar!\x1a\x07"), "a rar archive: " UNPACK},
    {MAGIC("\x04\x22\x4d\x18"), "an lz4 archive: " UNPACK},
    {AT("ustar", 257), "a tar archive: " UNPACK},
    {MAGIC("\x7f"
           "ELF"),
     "a program or a library (ELF), not a model"},
    {MAGIC("MZ"), "a program, not a model (of a llamafile, the GGUF inside is wanted)"},
    {MAGIC("\xcf\xfa\xed\xfe"), "a program or a library (Mach-O), not a model"},
    {MAGIC("\xca\xfe\xba\xbe"), "a program or a library (Mach-O), not a model"},
    {MAGIC("\x89HDF\r\n\x1a\n"), "an HDF5 file (Keras): " CONVERT},
    {AT("TFL3", 4), "a TensorFlow Lite file: " CONVERT},
    {MAGIC("\x93NUMPY"), "a NumPy array, not a model"},
    {MAGIC("%PDF"), "a PDF document"},
    {MAGIC("\x89PNG"), "a picture (PNG)"},
    {MAGIC("\xff\xd8\xff"), "a picture (JPEG)"},
    {MAGIC("SQLite format 3"), "an SQLite database"},
    {MAGIC("# xet version"), "a Xet pointer, not the model: fetch it with `hf download`"},
    {MAGIC("\xff\xfe"), "text in UTF-16"},
    {MAGIC("\xfe\xff"), "text in UTF-16"},
};

static bool foreign_has(const uint8_t *p, size_t n, const char *bytes, size_t len)
{
    for (size_t i = 0; len <= n && i + len <= n; i++)
        if (memcmp(p + i, bytes, len) == 0) return true;
    return false;
}

/* A length, and JSON of that length. */
static bool foreign_is_safetensors(const uint8_t *p, size_t n)
{
    if (n < 10 || p[8] != '{') return false;
    uint64_t header = st_le64(p);
    return header >= 2 && header <= 100000000;
}

/* PyTorch's archives hold data.pkl in their first entry, NumPy's an array. */
static const char *foreign_zip(const uint8_t *p, size_t n)
{
    if (n < 4 || memcmp(p, "PK\x03\x04", 4) != 0) return NULL;
    size_t head = n < 512 ? n : 512;
    if (foreign_has(p, head, ".pkl", 4)) return "a PyTorch file: " CONVERT;
    return foreign_has(p, head, ".npy", 4) ? "a NumPy archive, not a model" : "a zip archive: " UNPACK;
}

static const char *foreign_pickle(const uint8_t *p, size_t n)
{
    return n > 2 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5 ? "a Python pickle (PyTorch): " CONVERT : NULL;
}

/* Protocol buffers have no magic: ONNX begins with its version and the name of the program that wrote it, or goes on
 * with its graph; SentencePiece with a piece of some bytes. */
static const char *foreign_protobuf(const uint8_t *p, size_t n)
{
    if (n < 16) return NULL;
    bool name = p[2] == 0x12 && p[3] >= 2 && p[3] < 64 && p[4] >= 0x20 && p[4] < 0x7f && p[5] >= 0x20 && p[5] < 0x7f;
    if (p[0] == 0x08 && p[1] >= 1 && p[1] <= 32 && (name || p[2] == 0x3a)) return "an ONNX file: " CONVERT;
    if (p[0] == 0x0a && p[2] == 0x0a && p[3] && p[3] < 32 && p[1] >= p[3] + 2 && foreign_has(p, 16, "<", 1))
        return "a SentencePiece vocabulary (tokenizer.model), not a model";
    return NULL;
}

static bool foreign_starts(const uint8_t *p, size_t n, const char *lower)
{
    size_t len = strlen(lower);
    if (n < len) return false;
    for (size_t i = 0; i < len; i++)
        if ((p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]) != (uint8_t)lower[i]) return false;
    return true;
}

/* Well-formed enough to be a text that somebody wrote: no control characters, and UTF-8 where it is not ASCII. */
static bool foreign_is_text(const uint8_t *p, size_t n)
{
    size_t head = n < 4096 ? n : 4096, more = 0;
    for (size_t i = 0; i < head; i++) {
        uint8_t c = p[i];
        if (more) {
            if ((c & 0xc0) != 0x80) return false;
            more--;
        } else if (c >= 0x80) {
            if (c < 0xc2 || c > 0xf4) return false;
            more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        } else if (c < 0x20 && !(c >= '\t' && c <= '\r') && c != 0x1b) {
            return false;
        }
    }
    return head >= 8;
}

static const char *foreign_text(const uint8_t *p, size_t n)
{
    if (!foreign_is_text(p, n)) return NULL;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3, n -= 3;
    while (n && (*p == ' ' || (*p >= '\t' && *p <= '\r'))) p++, n--;
    if (foreign_starts(p, n, "<!doctype") || foreign_starts(p, n, "<html") || foreign_starts(p, n, "<head"))
        return "a web page, not the model: the download failed, or wants a login";
    if (foreign_starts(p, n, "<")) return "text with markup (XML), not the model: did the download fail?";
    if (n && (*p == '{' || *p == '['))
        return "JSON, not a model: a config or an index of one, or a server's answer instead of it";
    return foreign_starts(p, n, "#!") ? "a script, not a model" : "text, not a model";
}

static bool foreign_is_zeros(const uint8_t *p, size_t n)
{
    size_t head = n < 64 ? n : 64;
    for (size_t i = 0; i < head; i++)
        if (p[i]) return false;
    return head >= 16;
}

const char *st_foreign_bytes(const uint8_t *p, size_t n)
{
    const char *what;
    if (n >= 8 && memcmp(p, "version ", 8) == 0)
        return "a Git LFS pointer, not the model: fetch it with `git lfs pull`";
    for (size_t i = 0; i < sizeof foreign_magics / sizeof *foreign_magics; i++) {
        const foreign_magic *m = &foreign_magics[i];
        if (n >= m->at + m->n && memcmp(p + m->at, m->bytes, m->n) == 0) return m->what;
    }
    if (foreign_is_safetensors(p, n)) return "a safetensors file: " CONVERT;
    if ((what = foreign_zip(p, n)) || (what = foreign_pickle(p, n)) || (what = foreign_protobuf(p, n))) return what;
    if ((what = foreign_text(p, n))) return what;
    return foreign_is_zeros(p, n) ? "nothing but zeros where it begins: a download that did not end?" : "";
}

/* ---- GGUF files that are no text models -------------------------------------------------------------------------- */

#define PICTURES  "a model of pictures or films, not of text"
#define SOUND     "a model of speech or sound, not of text"
#define PROJECTOR "a projector (mmproj) of pictures or sound, which goes beside the text model that is wanted"
#define LORA      "a LoRA adapter, which goes with a model"
#define CONTROL   "a control vector, which goes with a model"
#define IMATRIX   "an importance matrix, which goes with a model"

static const struct {
    const char *arch, *what;
} foreign_archs[] = {
    {"clip", PROJECTOR},      {"mmproj", PROJECTOR},   {"controlvector", CONTROL},
    {"imatrix", IMATRIX},     {"whisper", SOUND},      {"wavtokenizer-dec", SOUND},
    {"kokoro", SOUND},        {"parler-tts", SOUND},   {"dia", SOUND},
    {"orpheus", SOUND},       {"snac", SOUND},         {"encodec", SOUND},
    {"flux", PICTURES},       {"sd1", PICTURES},       {"sd2", PICTURES},
    {"sdxl", PICTURES},       {"sd3", PICTURES},       {"aura", PICTURES},
    {"hidream", PICTURES},    {"cosmos", PICTURES},    {"ltxv", PICTURES},
    {"hyvid", PICTURES},      {"wan", PICTURES},       {"lumina2", PICTURES},
    {"qwen_image", PICTURES}, {"diffusion", PICTURES}, {"pig", PICTURES},
};

static const char *foreign_arch(st_str arch)
{
    for (size_t i = 0; i < sizeof foreign_archs / sizeof *foreign_archs; i++)
        if (st_str_eq(arch, foreign_archs[i].arch)) return foreign_archs[i].what;
    return NULL;
}

static bool foreign_prefix(st_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

static bool foreign_suffix(st_str s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && memcmp(s.ptr + s.len - n, suffix, n) == 0;
}

static st_str foreign_key(const st_gguf *g, const char *key)
{
    st_str s = {"", 0};
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (kv && kv->type == ST_GGUF_STRING) (void)st_gguf_str(g, key, &s, NULL);
    return s;
}

/* What goes with a model: by gguf-py's general.type, or, since older files have none, by keys and tensors. */
static const char *foreign_addition(const st_gguf *g)
{
    st_str type = foreign_key(g, "general.type"), arch = foreign_key(g, "general.architecture");
    if (st_str_eq(type, "adapter"))
        return st_str_eq(foreign_key(g, "adapter.type"), "lora") ? LORA : "an adapter, which goes with a model";
    if (st_str_eq(type, "dataset")) return "a data set, not a model";
    if (st_str_eq(arch, "controlvector")) return CONTROL;
    if (st_str_eq(type, "imatrix") || st_str_eq(arch, "imatrix") || st_gguf_find(g, "imatrix.chunk_count"))
        return IMATRIX;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (foreign_suffix(g->tensors[i].name, ".lora_a") || foreign_suffix(g->tensors[i].name, ".lora_b")) return LORA;
    return NULL;
}

/* Converters of picture models may write no metadata at all. */
static const char *foreign_pictures(const st_gguf *g)
{
    static const char *const prefixes[] = {"model.diffusion_model.", "double_blocks.", "first_stage_model.",
                                           "joint_blocks.", "cond_stage_model."};
    if (foreign_key(g, "general.architecture").len) return NULL;
    for (size_t i = 0; i < g->n_tensors; i++)
        for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++)
            if (foreign_prefix(g->tensors[i].name, prefixes[k])) return PICTURES;
    return NULL;
}

static int foreign_refuse(const st_gguf *g, const char *what, strata_error *err)
{
    st_str arch = foreign_key(g, "general.architecture");
    char seen[ST_STR_PRINT];
    if (arch.len)
        ST_FAIL(err, STRATA_UNSUPPORTED_ARCH, "%s: is %s (architecture '%s')", g->name, what, st_str_print(arch, seen));
    ST_FAIL(err, STRATA_UNSUPPORTED_ARCH, "%s: is %s", g->name, what);
}

int st_foreign_check_tensors(const st_gguf *g, strata_error *err)
{
    const char *what = foreign_addition(g);
    return what ? foreign_refuse(g, what, err) : STRATA_OK;
}

int st_foreign_check(const st_gguf *g, strata_error *err)
{
    st_str type = foreign_key(g, "general.type");
    bool projects = st_str_eq(type, "mmproj") || st_str_eq(type, "clip-vision") || st_str_eq(type, "projector");
    const char *what = foreign_addition(g);
    if (!what && projects) what = PROJECTOR;
    if (!what) what = foreign_arch(foreign_key(g, "general.architecture"));
    if (!what) what = foreign_pictures(g);
    return what ? foreign_refuse(g, what, err) : STRATA_OK;
}
