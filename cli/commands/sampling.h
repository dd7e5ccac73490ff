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
    {OPT_NUMBER, 0, "temp", "T", "temperature, 0: greedy (default: 0.8)", &(x).g.temperature, 0, NULL},            \
    {OPT_WHOLE, 0, "top-k", "K", "0: off (default: 40)", &(x).top_k, 0, NULL},                                     \
    {OPT_NUMBER, 0, "top-p", "P", "1: off (default: 0.95)", &(x).g.top_p, 0, NULL},                                \
    {OPT_NUMBER, 0, "min-p", "P", "0: off (default: 0.05)", &(x).g.min_p, 0, NULL},                                \
    {OPT_NUMBER, 0, "typical", "P", "1: off (default: 1)", &(x).g.typical_p, 0, NULL},                             \
    {OPT_NUMBER, 0, "repeat-penalty", "X", "1: off (default: 1)", &(x).g.repeat_penalty, 0, NULL},                 \
    {OPT_NUMBER, 0, "frequency-penalty", "X", "default: 0", &(x).g.frequency_penalty, 0, NULL},                    \
    {OPT_NUMBER, 0, "presence-penalty", "X", "default: 0", &(x).g.presence_penalty, 0, NULL},                      \
    {OPT_WHOLE, 0, "repeat-last-n", "N", "tokens that penalties look back (default: 64)", &(x).repeat_last_n, 0,   \
     NULL},                                                                                                        \
    {OPT_WHOLE, 0, "mirostat", "0|1|2", "default: 0", &(x).mirostat, 0, NULL},                                     \
    {OPT_NUMBER, 0, "mirostat-tau", "X", "surprise it aims at, in bits (default: 5)", &(x).g.mirostat_tau, 0, NULL}, \
    {OPT_NUMBER, 0, "mirostat-eta", "X", "how fast it learns (default: 0.1)", &(x).g.mirostat_eta, 0, NULL},         \
    {OPT_LIST, 0, "logit-bias", "ID=X", "added to a token's logit, -inf bans it; may stand several times", &(x).bias, 0, NULL}, \
    {OPT_WHOLE, 's', "seed", "S", "same seed, same text (default: 0)", &(x).g.seed, 0, NULL},                      \
    {OPT_STRING, 0, "grammar", "FILE|GBNF", "what the answer must follow", &(x).grammar_file, 0, NULL},            \
    {OPT_STRING, 0, "json-schema", "FILE|JSON", "which schema the answer must follow", &(x).schema_file, 0, NULL},  \
    {OPT_CHOICE, 0, "think", "auto|none|free", "what a grammar or schema does while the model thinks (default: auto)", &(x).g.think, STRATA_THINK_AUTO, NULL}, \
    {OPT_STRING, 0, "think-end", "TEXT", "ends thinking (default: as the prompt began it, \"</think>\")", &(x).g.think_end, 0, NULL}, \
    {OPT_LIST, 0, "stop", "TEXT", "ends the answer; may stand several times", &(x).stop, 0, NULL}
/* clang-format on */

/* Reads the files and fills x->g. Returns an exit code; a message has been written. */
int sampling_read(const command *c, sampling *x);
void sampling_free(sampling *x);

#endif
