/* mutate.c: mutants of every tiny model through every call, and poisoned ones through those that compute; see
 * mutants.c, chain.c, poison.c. Build it with sanitizers (preset fuzz). Workers are processes: one that crashes, hangs
 * or takes too much memory is a finding with its item, and another goes on after it.
 *
 *     mutate [--mutants N] [--poisoned N] [--seed S] [--jobs J] [--timeout SECONDS] [--verbose]
 *     mutate --only ITEM [--poisoned 1] [--seed S]      that one again, in this process
 *
 * The same seed and item make the same file on every machine. Exit 0: nothing was found; 1: something was. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, MAP_ANONYMOUS */
#endif
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mutate/mutate.h"

enum { MAX_MODELS = 256, MAX_JOBS = 64 };
#define MEMORY_BOUND ((size_t)256 << 20)

static tiny_model models[MAX_MODELS];
static size_t n_models;

typedef struct options {
    uint64_t mutants, poisoned, seed, only;
    int jobs, timeout;
    bool one, verbose;
} options;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "mutate: %s\n", what);
    exit(2);
}

/* ---- for the parts ---- */

void mutate_found(worker *w, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    w->p->findings++;
    printf("FOUND item %llu seed %llu: %s: %s\n", (unsigned long long)w->item, (unsigned long long)w->seed, w->what,
           msg);
    fflush(stdout);
}

bool mutate_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, size, f) == size;
    if (f) ok &= fclose(f) == 0;
    return ok;
}

#define HEAD 64

static void *take(void *user, size_t size, size_t align)
{
    worker *w = user;
    if (size > MEMORY_BOUND || w->live + size > MEMORY_BOUND) return NULL;
    size_t head = align > HEAD ? align : HEAD;
    uint8_t *p = aligned_alloc(head, (size + 2 * head - 1) / head * head);
    if (!p) return NULL;
    memcpy(p + head - 16, &size, sizeof size);
    memcpy(p + head - 8, &head, sizeof head);
    w->live += size;
    if (w->live > w->peak) w->peak = w->live;
    return p + head;
}

static void give(void *user, void *ptr)
{
    worker *w = user;
    uint8_t *p = ptr;
    size_t size, head;
    if (!p) return;
    memcpy(&size, p - 16, sizeof size);
    memcpy(&head, p - 8, sizeof head);
    w->live -= size;
    free(p - head);
}

strata_allocator mutate_allocator(worker *w)
{
    return (strata_allocator){take, give, w};
}

/* ---- the models ---- */

static bool load(const char *folder, const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%.900s/%.100s", folder, file);
    FILE *f = fopen(path, "rb");
    if (!f || n_models == MAX_MODELS) return false;
    tiny_model *m = &models[n_models];
    fseek(f, 0, SEEK_END);
    m->size = (size_t)ftell(f);
    rewind(f);
    m->data = malloc(m->size);
    bool ok = m->data && fread(m->data, 1, m->size, f) == m->size;
    fclose(f);
    st_mem_init(&m->mem, NULL, 0);
    if (!ok || st_gguf_parse(&m->g, m->data, m->size, file, false, &m->mem, NULL)) return false;
    m->head = m->g.n_tensors ? (size_t)(m->g.tensors[0].data - m->data) : m->size;
    snprintf(m->name, sizeof m->name, "%.*s", (int)(strlen(file) - 5), file);
    n_models++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* In an order that does not depend on the disk. */
static void load_all(const char *folder)
{
    static char names[MAX_MODELS][128];
    size_t n = 0;
    DIR *d = opendir(folder);
    if (!d) die("no tests/data/tiny");
    for (struct dirent *e; (e = readdir(d)) && n < MAX_MODELS;) {
        size_t len = strlen(e->d_name);
        if (len > 5 && len < 64 && strcmp(e->d_name + len - 5, ".gguf") == 0) memcpy(names[n++], e->d_name, len + 1);
    }
    closedir(d);
    qsort(names, n, sizeof names[0], by_name);
    for (size_t i = 0; i < n; i++)
        if (!load(folder, names[i])) die("a tiny model cannot be read");
}

/* ---- work ---- */

static void empty_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[1024];
        snprintf(path, sizeof path, "%.500s/%s", dir, e->d_name);
        if (e->d_name[0] != '.') (void)remove(path);
    }
    closedir(d);
}

static void run_item(worker *w, const options *o, bool poisons)
{
    uint64_t r = (o->seed * 1000003 + w->item) * 7919 + 1;
    char path[MUTATE_PATH];
    w->peak = 0;
    snprintf(w->what, sizeof w->what, "?");
    for (int i = 0; i < 4; i++) (void)mutate_rng(&r);
    if (poisons)
        mutate_poison(w);
    else if (mutate_make(w, &r, path))
        mutate_chain(w, path, &r);
    if (w->verbose)
        printf("item %llu: %s: %.1f ms, %zu bytes at most\n", (unsigned long long)w->item, w->what,
               (seconds() - w->p->begun) * 1e3, w->peak);
    if (w->live) {
        mutate_found(w, "%zu bytes of the library are left", w->live);
        w->live = 0;
    }
    empty_dir(w->dir);
}

/* Items first, first + jobs, ...; mutants come before poisoned ones. */
static void work(worker *w, const options *o, uint64_t first)
{
    for (uint64_t i = first; i < o->mutants + o->poisoned; i += (uint64_t)o->jobs) {
        bool poisons = i >= o->mutants;
        w->item = poisons ? i - o->mutants : i;
        w->p->begun = seconds();
        w->p->at = i + 1;
        run_item(w, o, poisons);
        w->p->done++;
    }
    w->p->at = 0;
}

static pid_t start(worker *w, const options *o, uint64_t first)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) die("cannot fork");
    if (pid) return pid;
    work(w, o, first);
    exit(0);
}

static void lost(worker *w, const options *o, uint64_t at, int status, bool late)
{
    char what[64];
    bool poisons = at >= o->mutants;
    if (late)
        snprintf(what, sizeof what, "took more than %d s", o->timeout);
    else if (WIFSIGNALED(status))
        snprintf(what, sizeof what, "signal %d", WTERMSIG(status));
    else
        snprintf(what, sizeof what, "exit status %d", WEXITSTATUS(status));
    w->p->findings++;
    w->p->done++;
    printf("FOUND item %llu seed %llu%s: %s (again: mutate --seed %llu --only %llu%s)\n",
           (unsigned long long)(poisons ? at - o->mutants : at), (unsigned long long)o->seed,
           poisons ? ", poisoned" : "", what, (unsigned long long)o->seed,
           (unsigned long long)(poisons ? at - o->mutants : at), poisons ? " --poisoned 1" : "");
    fflush(stdout);
}

static void watch(worker *ws, const options *o)
{
    pid_t pids[MAX_JOBS];
    int running = o->jobs;
    for (int j = 0; j < o->jobs; j++) pids[j] = start(&ws[j], o, (uint64_t)j);
    while (running) {
        struct timespec nap = {0, 20000000};
        nanosleep(&nap, NULL);
        for (int j = 0; j < o->jobs; j++) {
            int status = 0;
            if (!pids[j]) continue;
            uint64_t at = ws[j].p->at;
            bool late = at && seconds() - ws[j].p->begun > o->timeout;
            if (late) kill(pids[j], SIGKILL);
            if (waitpid(pids[j], &status, late ? 0 : WNOHANG) != pids[j]) continue;
            at = ws[j].p->at;
            pids[j] = 0;
            running--;
            if (!late && WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
            if (!at) { /* after its last item: a leak of what the allocator does not see */
                printf("FOUND at the end of worker %d: exit status %d\n", j, WEXITSTATUS(status));
                ws[j].p->findings++;
                continue;
            }
            lost(&ws[j], o, at - 1, status, late);
            empty_dir(ws[j].dir);
            if (at - 1 + (uint64_t)o->jobs >= o->mutants + o->poisoned) continue;
            pids[j] = start(&ws[j], o, at - 1 + (uint64_t)o->jobs);
            running++;
        }
    }
}

static uint64_t number(char **argv, int *i)
{
    char *end;
    if (!argv[*i + 1]) die("a number is missing");
    errno = 0;
    unsigned long long v = strtoull(argv[++*i], &end, 10);
    if (*end || errno) die("not a number");
    return v;
}

static options read_options(char **argv)
{
    options o = {.mutants = 1000, .seed = 1, .jobs = 2, .timeout = 30};
    bool mutants = false;
    for (int i = 1; argv[i]; i++) {
        if (strcmp(argv[i], "--mutants") == 0)
            o.mutants = number(argv, &i), mutants = true;
        else if (strcmp(argv[i], "--poisoned") == 0)
            o.poisoned = number(argv, &i);
        else if (strcmp(argv[i], "--seed") == 0)
            o.seed = number(argv, &i);
        else if (strcmp(argv[i], "--jobs") == 0)
            o.jobs = (int)(number(argv, &i) % (MAX_JOBS + 1));
        else if (strcmp(argv[i], "--timeout") == 0)
            o.timeout = (int)number(argv, &i);
        else if (strcmp(argv[i], "--only") == 0)
            o.only = number(argv, &i), o.one = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            o.verbose = true;
        else
            die("options: --mutants N --poisoned N --seed S --jobs J --timeout S --only ITEM --verbose");
    }
    if (o.poisoned && !mutants) o.mutants = 0;
    if (o.jobs < 1) o.jobs = 1;
    return o;
}

int main(int argc, char **argv)
{
    (void)argc;
    options o = read_options(argv);
    worker ws[MAX_JOBS] = {0};
    char root[] = "/tmp/strata-mutate-XXXXXX";
    progress *p = mmap(NULL, sizeof *p * MAX_JOBS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || !mkdtemp(root)) die("cannot begin");
    load_all(STRATA_SOURCE_DIR "/tests/data/tiny");
    for (int j = 0; j < o.jobs; j++) {
        ws[j] = (worker){.models = models, .n_models = n_models, .seed = o.seed, .p = &p[j], .verbose = o.verbose};
        snprintf(ws[j].dir, sizeof ws[j].dir, "%s/%d", root, j);
        if (mkdir(ws[j].dir, 0700)) die("cannot make a folder");
    }
    double begun = seconds();
    if (o.one) {
        ws[0].item = o.only;
        ws[0].verbose = true;
        p[0].begun = begun;
        run_item(&ws[0], &o, o.poisoned > 0);
    } else {
        watch(ws, &o);
    }
    progress sum = {0};
    for (int j = 0; j < o.jobs; j++) {
        sum.done += p[j].done, sum.opened += p[j].opened, sum.refused += p[j].refused;
        sum.nonfinite += p[j].nonfinite, sum.findings += p[j].findings;
        empty_dir(ws[j].dir);
        rmdir(ws[j].dir);
    }
    rmdir(root);
    double took = seconds() - begun;
    printf(
        "%llu items of %zu models in %.1f s (%.1f a second): %llu opened, %llu refused, %llu not finite; %llu found\n",
        (unsigned long long)sum.done, n_models, took, (double)sum.done / took, (unsigned long long)sum.opened,
        (unsigned long long)sum.refused, (unsigned long long)sum.nonfinite, (unsigned long long)sum.findings);
    for (size_t i = 0; i < n_models; i++) {
        st_gguf_free(&models[i].g);
        free(models[i].data);
    }
    return sum.findings ? 1 : 0;
}
