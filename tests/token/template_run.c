/* template_run.c: renders templates for tests/token/diff_jinja.py: records of {"variables" JSON, source} on standard
 * input, each `length length\n` and the two texts; an answer `status length\n` and the text or the message for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/template.h"

typedef struct text {
    char *p;
    size_t n;
} text;

static int collect(void *user, const char *p, size_t n, bool is_template)
{
    text *t = user;
    (void)is_template;
    t->p = realloc(t->p, t->n + n);
    memcpy(t->p + t->n, p, n);
    t->n += n;
    return 0;
}

static char *take(size_t n)
{
    char *p = malloc(n + 1);
    if (fread(p, 1, n, stdin) != n) exit(1);
    p[n] = 0;
    return p;
}

int main(int argc, char **argv)
{
    size_t nv, ns;
    st_template_opts o = {.now = argc > 1 ? strtoll(argv[1], NULL, 10) : 0};
    while (scanf("%zu %zu", &nv, &ns) == 2 && getchar() == '\n') {
        char *vars = take(nv), *source = take(ns);
        st_mem mem;
        st_template *t = NULL;
        strata_error err = {0};
        text out = {0};
        st_mem_init(&mem, NULL, 0);
        o.variables = (st_str){vars, nv};
        int rc = st_template_open((st_str){source, ns}, &mem, &t, &err);
        if (!rc) rc = st_template_render(t, &o, collect, &out, &err);
        st_template_close(t);
        if (rc)
            printf("%d %zu\n%s", rc, strlen(err.msg), err.msg);
        else if (printf("0 %zu\n", out.n) > 0 && out.n)
            fwrite(out.p, 1, out.n, stdout);
        fflush(stdout);
        free(out.p);
        free(vars);
        free(source);
    }
    return 0;
}
