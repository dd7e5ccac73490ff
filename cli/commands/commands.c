/* commands.c: the table of commands: a new one is a line here and a cmd_*.c beside it. */
#include "cli.h"

extern const command cmd_embed, cmd_rank, cmd_generate, cmd_chat, cmd_tokenize, cmd_detokenize, cmd_eval, cmd_info,
    cmd_plan, cmd_diff, cmd_quantize, cmd_verify, cmd_bench, cmd_version, cmd_completion, cmd_man, cmd_help;

const command *const cli_commands[] = {
    &cmd_embed, &cmd_rank,    &cmd_generate,   &cmd_chat, &cmd_tokenize, &cmd_detokenize,
    &cmd_eval,  &cmd_info,    &cmd_plan,       &cmd_diff, &cmd_quantize, &cmd_verify,
    &cmd_bench, &cmd_version, &cmd_completion, &cmd_man,  &cmd_help,     NULL,
};
