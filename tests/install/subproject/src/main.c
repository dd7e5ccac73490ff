/* main.c: a stranger's program, which builds strata within its own project. */
#include <stdio.h>
#include <strata.h>
#include <string.h>

int main(void)
{
    strata_model *m = NULL;
    strata_error e;
    if (strata_model_open("/nonexistent.gguf", NULL, &m, &e) != STRATA_IO) return 1;
    if (strcmp(strata_version(), STRATA_VERSION) != 0) return 1;
    puts(strata_version());
    return 0;
}
