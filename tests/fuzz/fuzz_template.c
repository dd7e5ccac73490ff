/* fuzz_template.c: a template and its variables: the bytes before the first NUL are the source, those behind it JSON.
 * Small budgets, so that no input is slow. Whatever happens, all memory comes back, and the output is UTF-8 whose
 * pieces alternate. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
    size_t n, pieces;
    bool last;
} seen;

static int emit(void *user, const char *p, size_t n, bool is_template)
{
    seen *s = user;
    if (!n || (s->pieces && s->last == is_template)) abort();
    if (st_utf8_check(p, n) != n) abort();
    s->n += n;
    s->pieces++;
    s->last = is_template;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    st_mem mem;
    st_template *t = NULL;
    strata_error err = {0};
    seen s = {0};
    st_chat_message m[] = {{.role = {"user", 4}, .content = {" Hi \xc3\xa9\n", 7}},
                           {.role = {"assistant", 9}, .content = {"ok", 2}}};
    st_template_opts o = {.messages = m,
                          .n_messages = 2,
                          .bos = {"<s>", 3},
                          .eos = {"</s>", 4},
                          .now = 1772856309,
                          .add_generation_prompt = true,
                          .max_steps = 1 << 16,
                          .max_output = 1 << 16,
                          .max_memory = 1 << 22};
    if (nul) o.variables = (st_str){(const char *)nul + 1, size - n - 1};
    st_mem_init(&mem, NULL, 0);
    int rc = st_template_open((st_str){(const char *)data, n}, &mem, &t, &err);
    if (!rc) rc = st_template_render(t, &o, emit, &s, &err);
    if (rc && (err.code != rc || !err.msg[0] || s.n)) abort();
    if (rc && rc != STRATA_BAD_TEMPLATE && rc != STRATA_INVALID_ARG) abort();
    if (s.n > 1 << 16) abort();
    st_template_close(t);
    if (mem.used) abort();
    return 0;
}
