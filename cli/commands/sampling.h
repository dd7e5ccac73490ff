/* sampling.h: the options of generation that generate and chat share. */
#ifndef CLI_COMMANDS_SAMPLING_H
#define CLI_COMMANDS_SAMPLING_H

#include <stdbool.h>

#include "cli.h"

typedef struct sampling {
    strata_gen_opts g;
    uint64_t top_k, repeat_last_n, mirostat;
    strings stop, bias;
    strata_logit_bias *biases;
    const char *grammar_file, *schema_file;
    buf grammar, schema;
    int ignore_end;
} sampling;

/* strata_gen_default(), as a constant: options are stored before any code runs. */
#define SAMPLING_DEFAULT                 \
    {                                    \
        .g = {.temperature = 0.8f,       \
              .top_p = 0.95f,            \
              .min_p = 0.05f,            \
              .typical_p = 1.0f,         \
              .repeat_penalty = 1.0f,    \
              .mirostat_tau = 5.0f,      \
              .mirostat_eta = 0.1f},     \
        .top_k = 40, .repeat_last_n = 64 \
    }

/* clang-format off */
#define OPTS_OF_SAMPLING(x)                                                                                        \
    {OPT_NUMBER, 0, "temp", "T", "temperature, 0: greedy", .value = &(x).g.temperature},            \
    {OPT_WHOLE, 0, "top-k", "K", "0: off", .value = &(x).top_k},                                     \
    {OPT_NUMBER, 0, "top-p", "P", "1: off", .value = &(x).g.top_p},                                \
    {OPT_NUMBER, 0, "min-p", "P", "0: off", .value = &(x).g.min_p},                                \
    {OPT_NUMBER, 0, "typical", "P", "1: off", .value = &(x).g.typical_p},                             \
    {OPT_NUMBER, 0, "repeat-penalty", "X", "1: off", .value = &(x).g.repeat_penalty},                 \
    {OPT_NUMBER, 0, "frequency-penalty", "X", "0: off", .value = &(x).g.frequency_penalty},                    \
    {OPT_NUMBER, 0, "presence-penalty", "X", "0: off", .value = &(x).g.presence_penalty},                      \
    {OPT_WHOLE, 0, "repeat-last-n", "N", "tokens that penalties look back", .value = &(x).repeat_last_n},                                                                                                        \
    {OPT_WHOLE, 0, "mirostat", "0|1|2", "version of it, 0: off", .value = &(x).mirostat},                                     \
    {OPT_NUMBER, 0, "mirostat-tau", "X", "surprise it aims at, in bits", .value = &(x).g.mirostat_tau}, \
    {OPT_NUMBER, 0, "mirostat-eta", "X", "how fast it learns", .value = &(x).g.mirostat_eta},         \
    {OPT_LIST, 0, "logit-bias", "ID=X", "added to a token's logit, -inf bans it; may stand several times", .value = &(x).bias}, \
    {OPT_WHOLE, 's', "seed", "S", "same seed, same text", .value = &(x).g.seed},                      \
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
