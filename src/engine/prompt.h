/* prompt.h: messages through a model's chat template to text or ids. See strata.h, chat. */
#ifndef ST_ENGINE_PROMPT_H
#define ST_ENGINE_PROMPT_H

#include "engine/engine.h"

/* A prompt: one text and who wrote what of it. Freed by st_prompt_free. */
typedef struct st_prompt {
    char *text; /* [len] */
    size_t len, cap;
    strata_text_part *parts; /* [n], into text */
    size_t n, part_cap;
    st_mem *mem;
} st_prompt;

/* Errors: those of strata_chat_render but TOO_LONG. */
int st_chat_prompt(const strata_model *m, const strata_message *messages, size_t n, const strata_chat_opts *opts,
                   st_prompt *out, strata_error *err);
void st_prompt_free(st_prompt *p);

/* The file's template of that name, or its main one for NULL; len 0: none. */
int st_chat_source(const strata_model *m, const char *name, st_str *out, strata_error *err);

#endif
