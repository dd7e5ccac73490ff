/* sampling.h: the options of generation that generate and chat share. */
#ifndef CLI_COMMANDS_SAMPLING_H
#define CLI_COMMANDS_SAMPLING_H

#include <stdbool.h>

#include "cli.h"
#include "sample/knobs.def"

#define SAMPLING_BESIDE(x, kind, name, ...) SAMPLING_BESIDE_##kind(name)
#define SAMPLING_BESIDE_number(name)
#define SAMPLING_BESIDE_seed(name)
#define SAMPLING_BESIDE_whole(name)  uint64_t name;
#define SAMPLING_BESIDE_choice(name) uint64_t name;

/* The knobs are those of the library's one list. Options hold floats and uint64_t: knobs of other kinds lie beside `g`
 * until sampling_read. */
typedef struct sampling {
    strata_gen_opts g;
    ST_KNOBS(SAMPLING_BESIDE, )
    strings stop, bias;
    strata_logit_bias *biases;
    const char *grammar_file, *schema_file;
    buf grammar, schema;
    int ignore_end;
} sampling;

/* strata_gen_default(), as a constant: options are stored before any code runs. */
#define SAMPLING_DEFAULT                                                        \
    {                                                                           \
        .g = {ST_KNOBS(ST_KNOB_DEFAULT, )}, ST_KNOBS(SAMPLING_BESIDE_DEFAULT, ) \
    }
#define SAMPLING_BESIDE_DEFAULT(x, kind, name, def, ...) SAMPLING_BESIDE_DEFAULT_##kind(name, def)
#define SAMPLING_BESIDE_DEFAULT_number(name, def)
#define SAMPLING_BESIDE_DEFAULT_seed(name, def)
#define SAMPLING_BESIDE_DEFAULT_whole(name, def)  .name = (def),
#define SAMPLING_BESIDE_DEFAULT_choice(name, def) .name = (def),

/* An option of each knob. */
#define SAMPLING_OPT(x, kind, name, def, least, most, letter, option, arg, help) \
    {SAMPLING_KIND_##kind, letter, option, arg, help, .value = &SAMPLING_AT_##kind(x, name)},
#define SAMPLING_KIND_number        OPT_NUMBER
#define SAMPLING_KIND_whole         OPT_WHOLE
#define SAMPLING_KIND_choice        OPT_WHOLE
#define SAMPLING_KIND_seed          OPT_WHOLE
#define SAMPLING_AT_number(x, name) (x).g.name
#define SAMPLING_AT_seed(x, name)   (x).g.name
#define SAMPLING_AT_whole(x, name)  (x).name
#define SAMPLING_AT_choice(x, name) (x).name

/* clang-format off */
#define OPTS_OF_SAMPLING(x)                                                                                        \
    ST_KNOBS(SAMPLING_OPT, x)                                                                                      \
    {OPT_LIST, 0, "logit-bias", "ID=X", "added to a token's logit, -inf bans it; may stand several times", .value = &(x).bias}, \
    {OPT_STRING, 0, "grammar", "FILE|GBNF", "what the answer must follow", .value = &(x).grammar_file},            \
    {OPT_STRING, 0, "json-schema", "FILE|JSON", "which schema the answer must follow", .value = &(x).schema_file},  \
    {OPT_CHOICE, 0, "think", "auto|none|free", "what a grammar or schema does while the model thinks", .value = &(x).g.think, .first = STRATA_THINK_AUTO}, \
    {OPT_STRING, 0, "think-end", "TEXT", "ends thinking", .value = &(x).g.think_end, .def = "as the prompt began it, \"</think>\""}, \
    {OPT_LIST, 0, "stop", "TEXT", "ends the answer; may stand several times", .value = &(x).stop}
/* clang-format on */

/* Reads the files and fills x->g. Returns an exit code; a message has been written. */
int sampling_read(const command *c, sampling *x);
void sampling_free(sampling *x);

#endif
