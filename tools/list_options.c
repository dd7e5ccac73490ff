/* list_options.c: the lists of options in docs/CLI.md, from the tables of the program.
 *
 *     list_options FILE           fails unless every list of FILE is what the tables say (the test cli_doc)
 *     list_options --write FILE   renews them
 *
 * A list stands in the page between "<!-- options: COMMAND -->" and "<!-- end -->"; every command has one. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/pages.h"

static const char begins[] = "<!-- options: ", ends[] = "<!-- end -->";

static int fail(const char *file, const char *what)
{
    fprintf(stderr, "%s: %s\n", file, what);
    return 1;
}

/* The page as it should be, or a message. */
static const char *put_page(FILE *f, const char *page)
{
    size_t n_lists = 0, n_commands = 0;
    const char *at = page, *mark;
    while (cli_commands[n_commands]) n_commands++;
    for (; (mark = strstr(at, begins)) != NULL; n_lists++) {
        char name[64];
        const char *p = mark + strlen(begins), *end = strstr(p, ends);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, " "), p);
        const command *c = command_find(name);
        if (!c) return "a list of a command that there is not";
        if (!end) return "a list without an end";
        if (n_lists >= n_commands || c != cli_commands[n_lists]) return "a command's list is missing or not in order";
        fwrite(at, 1, (size_t)(mark - at), f);
        fprintf(f, "%s%s -->\n```text\nstrata %s%s%s\n\n", begins, name, name, *c->usage ? " " : "", c->usage);
        help_options(f, c);
        fprintf(f, "```\n%s", ends);
        at = end + strlen(ends);
    }
    fputs(at, f);
    return n_lists == n_commands ? NULL : "not every command has a list";
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f && text) text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    if (!f) free(text), text = NULL;
    if (f) fclose(f);
    return text;
}

int main(int argc, char **argv)
{
    bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
    if (argc != 2 && !write) return fail("list_options", "[--write] FILE");
    const char *path = argv[argc - 1];
    char *have = read_file(path), *want = NULL;
    size_t len = 0;
    FILE *f = have ? open_memstream(&want, &len) : NULL;
    if (!f) return free(have), fail(path, "cannot be read");
    const char *wrong = put_page(f, have);
    int rc = fclose(f) != 0;
    if (!rc && wrong) rc = fail(path, wrong);
    if (!rc && !write && strcmp(have, want) != 0)
        rc = fail(path, "a list is not what the program says: list_options --write docs/CLI.md renews it");
    if (!rc && write) {
        f = fopen(path, "wb");
        if (!f || fwrite(want, 1, len, f) != len) rc = fail(path, "cannot be written");
        if (f && fclose(f) != 0) rc = fail(path, "cannot be written");
    }
    free(have);
    free(want);
    return rc;
}
